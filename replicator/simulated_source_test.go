package replicator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"haystream/internal/backoff"
	"haystream/internal/model"
	"haystream/internal/preflight"
	"haystream/sources"
)

// A database is the simulated source's server: the model's tables with the log of their
// changes, each of which is a transaction. The world's lock guards it.
type database struct {
	*world
	*model.Model
	commits []time.Time       // of each change in the log
	kept    [][]map[int][]int // the tables after each change; first those before all
	born    int               // where the log began for a daemon without a checkpoint
	sent    int               // how much of the log a daemon has seen
	acked   int               // what the log no longer has
	forks   int               // how often the history has gone another way
	forked  map[int]int       // where each one ended
	holder  *tail             // which daemon has the only connection for replication
	moved   chan struct{}     // closed at the next change
	broken  time.Time         // until when connections break
	skew    time.Duration     // of the server's clock
	altered int               // how long the log was when a table was altered last
}

var errCut = errors.New("the connection was cut")

func (db *database) now() time.Time { return time.Now().Add(db.skew) }

func (db *database) position(n int) sources.Position {
	return sources.Position(fmt.Sprintf("%d/%d", db.forks, n))
}

// spot is where in the log a position is; fork is the history that it is of.
func spot(p sources.Position) (fork, n int) {
	a, b, _ := strings.Cut(string(p), "/")
	fork, _ = strconv.Atoi(a)
	n, _ = strconv.Atoi(b)
	return fork, n
}

// logged notes a change, and what the documents are since.
func (db *database) logged() {
	db.commits, db.kept = append(db.commits, db.now()), append(db.kept, db.Copy())
	db.tell("%d: %s", len(db.commits), db.Describe(db.Log[len(db.commits)-1]))
	db.note()
	close(db.moved)
	db.moved = make(chan struct{})
}

// lose is that the log is not kept any more.
func (db *database) lose() {
	db.acked, db.losable = len(db.Log), true
	db.tell("the log is lost up to %d", db.acked)
}

// fork goes back some changes, as where another server takes over that lacks them.
func (db *database) fork(back int) {
	n := max(len(db.Log)-back, db.altered)
	if n < db.sent {
		db.cluster.past = nil // one put back from before does not show what was lost, either
	}
	db.forked[db.forks] = n
	db.forks++
	db.Log, db.commits, db.Rows, db.kept = db.Log[:n], db.commits[:n], db.kept[n], db.kept[:n+1]
	db.kept[n] = db.Copy()
	db.acked, db.sent, db.losable = min(db.acked, n), min(db.sent, n), true
	db.tell("history forks at %d", n)
	db.note()
	close(db.moved)
	db.moved = make(chan struct{})
}

// A tail is a daemon's connections to the database.
type tail struct {
	*database
	of      *machine
	evicted chan struct{}
	forks   int                  // of the server that it is connected to
	seen    []*sources.Table     // the catalog as it was read
	looked  time.Time            // when the stream compared it last
	told    bool                 // the log has said that a table was altered, which was not compared since
	cells   map[int][]model.Cell // by table, of the last row in the log
}

// request is one that takes a moment, and fails while connections break.
func (s *tail) request(ctx context.Context, what string) error {
	what = s.of.name + " " + what
	if err := errors.Join(s.awake(ctx, s.of), backoff.Pause(ctx, s.latency(what))); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of.isDead() || time.Now().Before(s.broken) || s.faulty(100, "cut "+what) {
		return errCut
	}
	return nil
}

func (s *tail) Info(ctx context.Context) (sources.Info, error) {
	return sources.Info{Kind: "mysql", Version: "simulated", Identity: "simulated", Address: "nowhere"}, s.request(ctx, "Info")
}

func (s *tail) Catalog(ctx context.Context) ([]*sources.Table, error) {
	if err := s.request(ctx, "Catalog"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of.planned, s.seen = s.moment, s.catalog()
	return s.seen, nil
}

func (db *database) catalog() []*sources.Table {
	catalog := db.Catalog()
	for _, t := range catalog {
		t.Home = true
		for i := range t.Columns {
			t.Columns[i].MayBeMissing = db.Minimal && db.honest && i > 0
		}
	}
	return catalog
}

func (s *tail) Views(ctx context.Context) ([]sources.View, error) {
	return nil, s.request(ctx, "Views")
}

func (s *tail) Check(ctx context.Context, _ []*sources.Table) ([]preflight.Finding, error) {
	return nil, s.request(ctx, "Check")
}

func (s *tail) Prepare(ctx context.Context, _ []*sources.Table, from sources.Position) (sources.Start, error) {
	if err := s.request(ctx, "Prepare"); err != nil {
		return sources.Start{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != nil && s.holder != s {
		return sources.Start{}, sources.ErrBusy
	}
	if err := s.look(); err != nil {
		return sources.Start{}, err
	}
	s.holder, s.evicted, s.forks = s, make(chan struct{}), s.database.forks
	end := s.position(len(s.Log))
	start := sources.Start{Position: from, Mark: end, Clock: s.now()}
	if from.IsZero() {
		s.acked, s.born = len(s.Log), len(s.Log)
		start.Position, start.Fresh = end, true
		return start, nil
	}
	if !s.continues(from) {
		if _, n := spot(from); n < s.born { // a checkpoint that came late, of a session before: nothing had come
			return sources.Start{}, sources.ErrPositionLost
		}
		s.mayLose(fmt.Sprintf("position %s, of a log from %d to %d", from, s.acked, len(s.Log)))
		return sources.Start{}, sources.ErrPositionLost
	}
	fork, _ := spot(from)
	start.Moved = fork != s.forks
	return start, nil
}

// continues reports whether the log has what follows a position.
func (db *database) continues(p sources.Position) bool {
	fork, n := spot(p)
	for ; fork < db.forks; fork++ {
		if n > db.forked[fork] {
			return false
		}
	}
	return n >= db.acked && n <= len(db.Log)
}

func (s *tail) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == s {
		s.holder = nil
	}
}

func (s *tail) Stream(ctx context.Context, tables []*sources.Table, from sources.Checkpoint, out chan<- *sources.Batch) error {
	defer s.release()
	s.mu.Lock()
	evicted := s.evicted
	s.mu.Unlock()
	_, at := spot(from.Position)
	numbers := sources.NewVersioner(from.Version)
	s.cells = map[int][]model.Cell{}
	for idle := false; ; {
		if err := s.request(ctx, "Stream"); err != nil {
			return err
		}
		s.mu.Lock()
		if s.forks != s.database.forks || s.acked > at && s.losable || s.holder != s {
			s.mu.Unlock()
			return errCut
		}
		moved := s.moved
		b, err := s.batch(tables, &at, &numbers)
		s.sent = max(s.sent, at)
		s.mu.Unlock()
		if err != nil && b.Transactions == 0 {
			return err
		}
		if b.Transactions == 0 && idle {
			select {
			case <-moved:
			case <-time.After(lookEvery):
			case <-evicted:
				return errCut
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		idle = b.Transactions == 0
		select {
		case out <- b:
		case <-evicted:
			return errCut
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lookEvery is how often a stream looks at a catalog of which the log says nothing.
const lookEvery = 2 * time.Second

// look compares the catalog with what was read of it.
func (s *tail) look() error {
	s.looked, s.told = time.Now(), false
	for i, now := range s.catalog() {
		if err := sources.Compare(s.seen[i], now); err != nil {
			return err
		}
		if !slices.EqualFunc(s.seen[i].Columns, now.Columns, func(a, b sources.Column) bool { return a.Name == b.Name }) {
			return sources.ErrSchemaChanged
		}
	}
	return nil
}

// describe looks at the catalog before a row whose columns are not those of the one before.
func (s *tail) describe(l *model.Logged) error {
	if l.Kind == sources.Stale || slices.Equal(s.cells[l.Table], l.Cells) && !s.told {
		return nil
	}
	return s.look()
}

// older says which columns of a row were others than the catalog has now; nil where the log tells of that.
func (s *tail) older(l *model.Logged, t *sources.Table) *sources.Staleness {
	same := slices.Equal(s.cells[l.Table], l.Cells)
	if s.cells[l.Table] = l.Cells; same || !s.Untold {
		return nil
	}
	var others []string
	for _, c := range s.Cells[l.Table] {
		if t.Column(c.Name) >= 0 && !slices.Contains(l.Cells, c) {
			others = append(others, c.Name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return &sources.Staleness{Columns: others, Older: true, Reason: "was written to while its columns were others"}
}

// alter changes columns of a table.
func (db *database) alter(random *rand.Rand) {
	table := db.Alter(random)
	db.altered, db.touched = len(db.Log), time.Now()
	if db.Untold {
		db.kept[len(db.kept)-1] = db.Copy()
		db.tell("columns of %s are %v", db.Names[table], db.Cells[table])
		db.note()
	}
	for _, alias := range db.Shows(table) {
		db.stale[alias] = db.moment
	}
}

// batch is of some of the changes that follow.
func (s *tail) batch(tables []*sources.Table, at *int, numbers *sources.Versioner) (b *sources.Batch, err error) {
	if (s.Untold || s.told) && time.Since(s.looked) >= lookEvery {
		err = s.look()
	}
	b = &sources.Batch{Arena: &sources.Arena{}}
	for range 1 + s.draw("batch").IntN(6) {
		if err != nil || *at == len(s.Log) {
			break
		}
		l := s.Log[*at]
		if err = s.describe(&l); err != nil {
			break
		}
		b.CommitTime = s.commits[*at]
		*at++
		b.Transactions++
		numbers.Begin(b.CommitTime)
		version := numbers.Next()
		n := slices.IndexFunc(tables, func(t *sources.Table) bool { return t.Name == s.Names[l.Table] })
		if n < 0 {
			continue
		}
		if l.Kind == sources.Stale {
			b.Changes = append(b.Changes, sources.Change{
				Table: tables[n], Kind: l.Kind, Version: version, Tx: uint64(*at), Stale: l.Stale,
			})
			s.told = s.told || !l.Stale.Emptied
			continue
		}
		if older := s.older(&l, tables[n]); older != nil {
			b.Changes = append(b.Changes, sources.Change{Table: tables[n], Kind: sources.Stale, Version: version, Tx: uint64(*at), Stale: older})
		}
		columns := s.Places(l.Table, l.Cells, tables[n].Columns)
		b.Changes = append(b.Changes, sources.Change{
			Table: tables[n], Kind: l.Kind, Cascades: l.Kind != sources.Insert && !l.Unchecked, Version: version, Tx: uint64(*at),
			Before: model.Image(b.Arena, l.Before, columns), After: model.Image(b.Arena, l.After, columns),
		})
	}
	b.Checkpoint = sources.Checkpoint{Position: s.position(*at), Version: numbers.Last()}
	return b, err
}

func (s *tail) Ack(p sources.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, n := spot(p); !s.of.isDead() && s.continues(p) && n > s.acked {
		s.acked = n
	}
}

func (s *tail) Chunk(ctx context.Context, req sources.ChunkRequest) (*sources.Chunk, error) {
	what := fmt.Sprintf("%s after %v", req.Table, req.After)
	if err := s.request(ctx, "chunk of "+what); err != nil {
		return nil, err
	}
	c, err := s.read(req)
	if err == nil {
		err = s.request(ctx, "answer of "+what)
	}
	return c, err
}

func (s *tail) read(req sources.ChunkRequest) (*sources.Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forks != s.database.forks {
		return nil, errCut
	}
	table, end := slices.Index(s.Names, req.Table.Name), len(s.Log)
	columns := s.Places(table, s.Cells[table], req.Table.Columns)
	having := req.Having
	if having != nil {
		having = &sources.Values{Of: having.Of}
		for _, i := range req.Having.Columns {
			having.Columns = append(having.Columns, columns[i])
		}
	}
	rows, done := s.Model.Chunk(table, req.After, req.MaxRows, having)
	c := &sources.Chunk{Arena: &sources.Arena{}, Done: done, Last: req.After, Mark: s.position(end), Sees: func(tx uint64) bool { return int(tx) <= end }}
	for _, row := range rows {
		c.Rows = append(c.Rows, model.Image(c.Arena, row, columns))
		c.Last = sources.Key{strconv.Itoa(row[0])}
	}
	s.tell("  read %s after %v: %v", req.Table, req.After, rows)
	return c, nil
}

func (s *tail) Reached(pos, mark sources.Position) bool {
	_, at := spot(pos)
	_, to := spot(mark)
	return at >= to
}

func (s *tail) Remove(ctx context.Context, _ bool) ([]string, error) {
	return nil, s.request(ctx, "Remove")
}

func (s *tail) Silence() time.Duration { return 0 }

func (s *tail) Look(context.Context) error { return nil }

func (s *tail) Evict(ctx context.Context) error {
	if err := s.request(ctx, "Evict"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != nil {
		close(s.holder.evicted)
		s.holder = nil
	}
	return nil
}

func (s *tail) Lag(ctx context.Context, p sources.Position) (sources.Lag, error) {
	if err := s.request(ctx, "Lag"); err != nil {
		return sources.Lag{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, n := spot(p)
	return sources.Lag{Bytes: int64(len(s.Log) - n), Retained: -1, SafeLeft: -1}, nil
}

func (s *tail) Close() { s.release() }

// documents are what the indexes must hold now by a view, by alias and id.
func (db *database) documents(v view) map[string]string {
	all := map[string]string{}
	db.Less = v == less
	if db.joined && v != flat {
		all = db.Documents()
	}
	db.FlatDocuments(all)
	return all
}
