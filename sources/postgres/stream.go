package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"haystream/sources"
)

const (
	// A chunk that waits for its mark makes the stream ask an idle server
	// where it is, at first quickly.
	askFirst = 2 * time.Millisecond
	askLast  = 50 * time.Millisecond

	statusEvery    = 10 * time.Second
	pingEvery      = 3 * time.Second // while the server says nothing
	tellEvery      = time.Second     // between two that say that more is durable
	defaultSilence = time.Minute     // where the server has no wal_sender_timeout
	writeTimeout   = 10 * time.Second
	queryTimeout   = 5 * time.Second

	// A server that shuts down asks on and on where the stream is. It gets
	// this long to see everything confirmed, and is answered in no hurry.
	shutdownGrace = 3 * time.Second
	answerWait    = 100 * time.Millisecond

	// lookEvery is how many messages may pass without a look at the clock.
	lookEvery = 64
)

// A stream is one replication connection, owned by the goroutine that runs it.
type stream struct {
	source  *Source
	conn    *pgconn.PgConn
	where   system
	out     chan<- *sources.Batch
	tables  map[string]*sources.Table // projected, by name
	decode  *charset                  // what makes UTF-8 of texts; nil: the server does
	catalog *catalog                  // what the log's relations are compared with
	lookout *lookout                  // whether it still holds
	decoder decoder

	batch sources.Batcher
	sent  pglogrepl.LSN // position of the last batch

	heard      bool // the server, since received
	received   time.Time
	silence    time.Duration
	status     time.Time // when it is due
	statusWait time.Duration
	ping       time.Time     // when the server was asked last for a word
	told       pglogrepl.LSN // what the server knows to be durable
	toldAt     time.Time
	ask        time.Time // when it is due while a chunk waits
	askWait    time.Duration
	pinged     time.Time // when the server began to ask again and again
	pingedLast time.Time
	wanted     uint64 // the highest mark of a chunk, when last looked at
	prune      bool   // the ids kept for chunks are many
}

// Stream sends batches until the context or the connection ends. The context's
// end is the only good one.
func (s *Source) Stream(ctx context.Context, tables []*sources.Table, from sources.Checkpoint, out chan<- *sources.Batch) error {
	st, err := s.startStream(ctx, tables, from)
	if err != nil {
		return fmt.Errorf("start stream: %w", explainStream(err, s.config))
	}
	st.out = out
	st.decoder.text = func(content []byte) ([]byte, error) { return s.messageText(ctx, content) }
	st.decoder.resolve = func(message relationMessage) (*logRelation, error) { return st.resolve(ctx, message) }
	st.lookout = newLookout(st.look, s.lookInterval, st.wake, s.log)
	looking, end := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { st.lookout.run(looking) })
	err = st.run(ctx)
	end()
	beside.Wait()
	st.stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.noteEncoding(ctx, err)
	return fmt.Errorf("read stream: %w", explainStream(err, s.config))
}

func (s *Source) startStream(ctx context.Context, tables []*sources.Table, from sources.Checkpoint) (*stream, error) {
	at, err := parsePosition(from.Position)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	prepared := s.prepared
	s.mu.Unlock()
	if prepared == nil {
		return nil, errors.New("the source is not prepared")
	}
	conn, err := s.connectReplication(ctx)
	if err != nil {
		return nil, err
	}
	st := newStream(s, conn, tables, prepared, at, from.Version)
	if conn.ParameterStatus("client_encoding") == sqlASCII { // what turns up later is not for this connection
		st.decode = s.decode.Load()
	}
	if err := st.start(ctx, at); err != nil {
		closeReplication(conn)
		return nil, err
	}
	return st, nil
}

func newStream(s *Source, conn *pgconn.PgConn, tables []*sources.Table, prepared *catalog, at position, version int64) *stream {
	now := time.Now()
	st := &stream{
		source: s, conn: conn, catalog: prepared,
		tables: make(map[string]*sources.Table, len(tables)),
		batch:  sources.NewBatcher(),
		sent:   at.lsn, received: now,
		askWait: askFirst,
	}
	for _, t := range tables {
		st.tables[t.String()] = t
	}
	st.decoder = decoder{
		relations: map[uint32]*logRelation{},
		widen: func(xid uint32) uint64 {
			id, due := s.emitted.add(xid)
			st.prune = st.prune || due
			return id
		},
		now:      time.Now,
		versions: sources.NewVersioner(version),
		end:      at.lsn, version: version,
	}
	return st
}

// start checks that the server leads on from the position, as it may be
// another one than at the last connection, and starts the replication.
func (st *stream) start(ctx context.Context, at position) error {
	s := st.source
	var err error
	if st.where, err = identify(ctx, st.conn); err != nil {
		return err
	}
	messages := false
	err = s.use(ctx, func(conn *pgx.Conn) error {
		messages = s.cfg.Messages && serverVersion(conn) >= messagesFrom
		sl, err := readSlot(ctx, conn, s.cfg.Slot)
		if err != nil {
			return err
		}
		p, err := readPublication(ctx, conn, s.cfg.Publication)
		if err != nil {
			return err
		}
		// Another daemon that took the slot has moved it on: that is not a loss.
		if err := s.free(ctx, conn, sl); err != nil {
			return err
		}
		_, err = s.continues(at.String(), st.where, sl, p)
		return err
	})
	if err != nil {
		return err
	}
	if err := st.readTimeout(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	prepared := s.system.timeline
	s.system, s.pid = st.where, st.conn.PID()
	s.mu.Unlock()
	if st.where.timeline != prepared { // it is for Prepare to say
		return fmt.Errorf("the server has come from timeline %d to %d since it was prepared", prepared, st.where.timeline)
	}
	// Never more than what this stream begins with is acknowledged at its start.
	s.acked.Store(uint64(at.lsn))
	options := []string{
		"proto_version '1'",
		"publication_names '" + strings.ReplaceAll(quote(s.cfg.Publication), "'", "''") + "'",
	}
	if messages {
		forks, err := parseHistory(st.where.history)
		if err != nil {
			return err
		}
		st.decoder.record = func(at pglogrepl.LSN) string { return st.where.record(forks, at) }
		options = append(options, "messages 'true'")
	}
	return pglogrepl.StartReplication(ctx, st.conn, quote(s.cfg.Slot), at.lsn, pglogrepl.StartReplicationOptions{PluginArgs: options})
}

// messagesFrom is the first version that streams logical messages.
const messagesFrom = 140000

// readTimeout takes over the server's idea of a dead connection.
func (st *stream) readTimeout(ctx context.Context) error {
	results, err := st.conn.Exec(ctx, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'").ReadAll()
	if err != nil {
		return fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return errors.New("read wal_sender_timeout: no answer")
	}
	ms, err := strconv.ParseInt(string(results[0].Rows[0][0]), 10, 64)
	if err != nil {
		return fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	st.silence, st.statusWait = defaultSilence, statusEvery
	if ms > 0 {
		st.silence = time.Duration(ms) * time.Millisecond
		st.statusWait = min(statusEvery, st.silence/3)
	}
	return nil
}

// run reads until the context ends or the connection fails.
func (st *stream) run(ctx context.Context) error {
	st.source.stream.Store(st)
	defer st.source.stream.Store(nil)
	st.source.silence.Begin(st.received)
	defer st.source.silence.End()
	defer context.AfterFunc(ctx, st.wake)()
	for idle, messages := true, 0; ; messages++ {
		if idle || messages%lookEvery == 0 || st.conn.Frontend().ReadBufferLen() == 0 {
			until, err := st.due(ctx, time.Now())
			if err != nil {
				return err
			}
			if err := st.conn.Conn().SetReadDeadline(until); err != nil {
				return fmt.Errorf("set deadline: %w", err)
			}
			// Looked at after the deadline is set: what comes later calls wake, which sets another.
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if idle = st.source.wanted.Load() != st.wanted; idle {
				continue
			}
		}
		msg, err := st.conn.ReceiveMessage(context.Background()) // wake interrupts it
		if idle = isTimeout(err); idle {
			continue
		}
		if err != nil {
			return err
		}
		if err := st.handle(ctx, msg); err != nil {
			return err
		}
	}
}

func (st *stream) handle(ctx context.Context, msg pgproto3.BackendMessage) error {
	st.heard = true
	switch msg := msg.(type) {
	case *pgproto3.CopyData:
		return st.copyData(ctx, msg.Data)
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(msg)
	case *pgproto3.CopyDone, *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return errors.New("the server has ended the stream")
	}
	return nil // notices and parameters
}

// Sizes of what precedes the payload (PostgreSQL documentation, "Streaming
// Replication Protocol": XLogData, Primary keepalive message).
const (
	logDataHeader   = 1 + 8 + 8 + 8
	keepaliveLength = 1 + 8 + 8 + 1
)

func (st *stream) copyData(ctx context.Context, data []byte) error {
	switch {
	case len(data) > logDataHeader && data[0] == pglogrepl.XLogDataByteID:
		return st.logData(ctx, data[logDataHeader:])
	case len(data) == keepaliveLength && data[0] == pglogrepl.PrimaryKeepaliveMessageByteID:
		// Everything up to this position was sent before it. Within a
		// transaction it says nothing of that one's end.
		if !st.decoder.inTx {
			st.batch.Quiet()
			st.decoder.advance(pglogrepl.LSN(binary.BigEndian.Uint64(data[1:])))
		}
		if data[keepaliveLength-1] != 0 {
			return st.answer(time.Now())
		}
		return nil
	}
	return fmt.Errorf("unexpected replication message of %d bytes", len(data))
}

func (st *stream) logData(ctx context.Context, data []byte) error {
	committed, err := st.decoder.decode(data, st.batch.Batch)
	if err != nil {
		return err
	}
	if committed && st.batch.Whole() || st.batch.Full() {
		return st.send(ctx)
	}
	return nil
}

// forgetIDs asks the server which transactions are visible by now. It happens
// once in tens of thousands of transactions.
func (st *stream) forgetIDs(ctx context.Context) {
	st.prune = false
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var xmin uint64
	err := st.source.use(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8`).Scan(&xmin)
	})
	if err != nil {
		st.source.log.Debug().Err(err).Msg("cannot read the oldest transaction")
	}
	st.source.emitted.below(xmin) // after an error: none, and again later
}
