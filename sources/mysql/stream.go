package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/sources"
)

// alteredWait is how long after a statement that concerns a table in use the
// catalog is compared, unless rows come before: several belong together, as in a migration.
const alteredWait = 300 * time.Millisecond

// A stream is one connection that the log comes on, owned by the goroutine that
// runs it.
type stream struct {
	source  *Source
	ctx     context.Context // of Stream, for what is done between two packets
	conn    *conn
	out     chan<- *sources.Batch
	tables  map[string]*sources.Table // projected, by their names in the catalog
	catalog *catalog                  // what the log's tables are compared with
	planned position                  // where the log ended when the plan's was read
	unnamed map[*sources.Table]bool   // whose columns are told by their places only

	altered   time.Time                  // when a statement last concerned a table in use; zero: the catalog was compared since
	unsure    map[string]map[string]bool // columns that may not be as it has them, by table
	freed     map[string]bool            // tables whose foreign keys were altered last: by one that was dropped
	former    *knowledge                 // of the stream before; nil: none
	defaulted map[*sources.Table]bool    // of which rows have got values that are their columns' defaults in the catalog
	catalogOf position                   // where the log ended when the catalog was read

	programs map[programOf][]*program // what statements run besides; nil: not read yet

	parser    *replication.BinlogParser
	checksum  bool // events end with one
	logTables map[uint64]*logTable
	rows      rowReader

	server string // whose files they are
	born   uint32 // when the file was begun, as its first event says
	file   string
	offset uint64   // behind the last event
	skip   position // events before it were read already
	gtids  gtidSet  // nil: the server numbers no transactions
	tx     transaction

	versions  sources.Versioner
	end       position  // behind the last whole transaction, but for its GTIDs
	number    int64     // the Version of its last change
	committed position  // from where reading may go on: the end, or before what is prepared
	version   int64     // of the last change before it
	commit    time.Time // of the last change's transaction
	prepared  prepared

	batch    sources.Batcher
	sent     position // of the last batch
	heard    bool     // the server, since received
	received time.Time
	failed   error // why idle ended the stream
}

// A transaction is the one that is being read.
type transaction struct {
	open    bool // from its GTID to its end
	begun   bool // its end is an event of its own
	undone  bool // its ALTER has changed nothing
	gtid    gtid
	began   uint64 // offset
	id      uint64
	commit  time.Time
	numbers bool             // its changes are being numbered
	wrote   []*sources.Table // in use, whose rows it has changed
}

// Stream sends batches until the context or the connection ends. The context's
// end is the only good one.
func (s *Source) Stream(ctx context.Context, tables []*sources.Table, from sources.Checkpoint, out chan<- *sources.Batch) error {
	c := s.takeHeld()
	if c == nil {
		var err error
		if c, err = s.acquire(ctx); err != nil {
			return fmt.Errorf("start stream: %w", err)
		}
	}
	defer s.release(c)
	st, err := s.newStream(ctx, c, tables, from, out)
	if err != nil {
		return fmt.Errorf("start stream: %w", explainDump(err))
	}
	err = st.run()
	st.leave()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("read stream: %w", explainDump(err))
}

func (s *Source) newStream(ctx context.Context, c *conn, tables []*sources.Table, from sources.Checkpoint, out chan<- *sources.Batch) (*stream, error) {
	at, err := parsePosition(from.Position)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	prepared, planned, server := s.prepared, s.planned, s.server
	s.mu.Unlock()
	if prepared == nil {
		return nil, errors.New("the source is not prepared")
	}
	facts, err := readFacts(ctx, c)
	if err != nil {
		return nil, err
	}
	if facts.server != server { // it is for Prepare to say
		return nil, fmt.Errorf("the server is %s, and %s was prepared", facts.server, server)
	}
	if err := facts.continues(ctx, c, at); err != nil {
		return nil, err
	}
	st := &stream{
		source: s, ctx: ctx, conn: c, out: out, catalog: prepared, planned: planned, catalogOf: planned,
		tables: make(map[string]*sources.Table, len(tables)), unnamed: map[*sources.Table]bool{}, unsure: map[string]map[string]bool{}, freed: map[string]bool{}, defaulted: map[*sources.Table]bool{},
		server: facts.server, versions: sources.NewVersioner(from.Version), number: from.Version, version: from.Version,
		batch: sources.NewBatcher(), received: time.Now(),
	}
	st.newFile()
	for _, t := range tables {
		st.tables[prepared.catalogName(t.Schema, t.Name)] = t
	}
	if at.server != facts.server {
		at.server, at.born, at.file, at.offset = facts.server, 0, "", 0 // another server of the same history
	}
	if facts.gtids {
		if st.gtids, err = c.flavor.parseGTIDs(at.gtids); err != nil {
			return nil, err
		}
	} else {
		st.file, st.offset = at.file, at.offset
		st.skip = at
	}
	st.end, st.committed, st.sent = at, at, at
	st.takeUp(at)
	s.emit(at)
	return st, s.startDump(ctx, c, at, facts.gtids)
}

// run reads until the context ends or the connection fails.
func (st *stream) run() error {
	st.source.stream.Store(st)
	defer st.source.stream.Store(nil)
	defer context.AfterFunc(st.ctx, st.conn.network.interrupt)()
	st.conn.network.idle = st.idle
	defer func() { st.conn.network.idle = nil }()
	st.source.silence.Begin(st.received)
	defer st.source.silence.End()
	for {
		packet, err := st.conn.next()
		if err != nil {
			st.conn.broken = true
			return errors.Join(st.failed, err)
		}
		st.heard = true
		if packet[0] != answerOK {
			return errors.New("the server has ended the stream")
		}
		if err := st.event(packet[1:]); err != nil {
			st.conn.broken = true
			return err
		}
	}
}

// idle does what is due while nothing is there to read, and says how long the
// server may be waited for.
func (st *stream) idle() (time.Duration, error) {
	wait, err := st.due(time.Now())
	if err != nil {
		st.failed = err
		return 0, err
	}
	if err := st.conn.network.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	// Looked at after the deadline is set: what comes later calls interrupt, which sets another.
	if st.ctx.Err() != nil {
		st.failed = st.ctx.Err()
		return 0, st.failed
	}
	return wait, nil
}

func (st *stream) due(now time.Time) (time.Duration, error) {
	if st.heard {
		st.received, st.heard = now, false
		st.source.silence.Begin(now)
	}
	if at, ok := st.sendAt(); ok && !now.Before(at) {
		if err := st.send(); err != nil {
			return 0, err
		}
		now = time.Now()
	}
	if err := st.compareAltered(now); err != nil {
		return 0, err
	}
	left := silence - now.Sub(st.received)
	if left <= 0 {
		return 0, fmt.Errorf("the server has said nothing for %s", silence)
	}
	if at, ok := st.sendAt(); ok {
		left = min(left, max(at.Sub(now), 0))
	}
	if !st.altered.IsZero() {
		left = min(left, max(st.altered.Add(alteredWait).Sub(now), 0))
	}
	return left, nil
}

// sendAt is when the batch is due; not ok: it holds nothing to send yet.
func (st *stream) sendAt() (at time.Time, ok bool) {
	moved := len(st.prepared.held) == 0 && !(st.end.at(st.sent) && st.end.born == st.sent.born)
	wanted := st.source.wanted.Load()
	return st.batch.Due(moved, wanted != nil && st.sent.before(*wanted))
}

// last is the end of the last whole transaction.
func (st *stream) last() position {
	p := st.end
	if st.gtids != nil {
		p.numbered, p.gtids = true, st.gtids.String()
	}
	return p
}

// settle moves the checkpoint to the last whole transaction, unless one is
// prepared: that must be read again should the stream end before it does.
func (st *stream) settle() {
	if len(st.prepared.held) == 0 {
		st.committed, st.version = st.last(), st.number
	}
}

// ended notes a whole transaction, and sends the batch where it is due.
func (st *stream) ended() error {
	if err := st.compareAltered(time.Now()); err != nil {
		return err
	}
	if st.batch.Whole() {
		return st.send()
	}
	return nil
}

// send hands the batch over. While out is full nothing is read, and the server
// waits for as long as the session's net_write_timeout says.
func (st *stream) send() error {
	b := st.batch.Batch
	st.settle()
	b.Checkpoint = sources.Checkpoint{Position: sources.Position(st.committed.String()), Version: st.version}
	if len(b.Changes) > 0 {
		b.CommitTime = st.commit
	}
	st.source.emit(st.emitting())
	st.source.silence.End()
	select {
	case st.out <- st.batch.Take():
	case <-st.ctx.Done():
		return st.ctx.Err()
	}
	st.received = time.Now() // the silence was ours
	st.source.silence.Begin(st.received)
	st.sent = st.committed
	return nil
}

// emitting is what a chunk must have seen once the batch is handed over: of a
// transaction that is not whole, too, some changes may be in it.
func (st *stream) emitting() position {
	p := st.last()
	if !st.tx.open || !st.tx.numbers {
		return p
	}
	p.file, p.offset = st.file, st.tx.began+1
	if st.gtids != nil {
		partial, err := st.conn.flavor.parseGTIDs(p.gtids)
		if err == nil { // the text is our own
			partial.add(st.tx.gtid)
			p.gtids = partial.String()
		}
	}
	return p
}

// emit notes up to where the stream's changes are in somebody's hands.
func (s *Source) emit(p position) {
	s.mu.Lock()
	s.emitted = p
	s.mu.Unlock()
}

// want makes the stream hurry to a chunk's mark.
func (s *Source) want(mark position) {
	s.wanted.Store(&mark)
	if st := s.stream.Load(); st != nil {
		st.conn.network.interrupt()
	}
}
