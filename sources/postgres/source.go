// Package postgres tails PostgreSQL 13 and later by logical decoding.
//
// The guarantee: Stream emits every committed change of the tables in use, in
// commit order, from the LSN of its checkpoint on, and never acknowledges to
// the server what Ack was not told. Chunk reads rows that have seen all that
// the stream had emitted when it was called, and says exactly which
// transactions it saw. Check and Info change nothing on the server.
//
// The goroutine that calls Stream owns the replication connection; queries run
// on connections of their own, and goroutines that open and close those have ended
// when Close returns. Stream owns one more goroutine, which looks at the
// catalog; the creation of a slot one that says whom it waits for.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"haystream/internal/quiet"
	"haystream/sources"
)

// Keys of log lines.
const (
	keySlot        = "slot"
	keyPublication = "publication"
	keyPosition    = "position"
	keyTable       = "table"
	keyTables      = "tables"
	keyDifference  = "difference"
	keyPID         = "pid"
	keyApplication = "application"
	keyState       = "state"
	keySince       = "since"
	keyQueryStart  = "query_start"
)

// Source is a PostgreSQL server. It implements sources.Source.
type Source struct {
	cfg    sources.Config
	log    zerolog.Logger
	config *pgx.ConnConfig
	pool   *sources.Pool[*pgx.Conn]

	lookInterval time.Duration // between looks at the catalog

	acked   atomic.Uint64 // LSN up to which everything is held durably
	wanted  atomic.Uint64 // highest mark of a chunk
	stream  atomic.Pointer[stream]
	emitted emittedIDs
	silence sources.Silence
	spare   sync.Pool // chunks that were released
	unacked quiet.Log // positions that cannot be acknowledged

	brought map[string]bool // whether a partition may have brought rows along; nil: none was looked into yet

	decode   atomic.Pointer[charset] // what makes UTF-8 here; nil: the server does
	messages atomic.Pointer[charset] // what makes UTF-8 of messages; nil: none was other

	mu       sync.Mutex
	catalog  *catalog // as the last Catalog read it: what the projected tables came from
	prepared *catalog // as the last Prepare read it: what Stream compares the log with
	system   system   // as the last connection found it
	pid      uint32   // of the last stream's server process
	barriers map[string]uint64
	widths   map[string]int

	published  map[string][]string // signs of each table, as the last Prepare found them
	gaps       map[string]gap      // when tables in use were found unpublished
	passedOver map[uint32]bool     // relations that the catalog did not have
}

// A catalog is what one readCatalog found.
type catalog struct {
	list     []*sources.Table
	tables   map[string]*sources.Table // by Table.String
	registry *typeRegistry
}

// keep forgets the fingerprints of all tables but those in use: they are most of
// what a large catalog takes.
func (c *catalog) keep(tables []*sources.Table) {
	inUse := make(map[string]bool, len(tables))
	for _, t := range tables {
		inUse[t.String()] = true
	}
	for name, t := range c.tables {
		if !inUse[name] {
			t.Fingerprint = sources.Fingerprint{}
		}
	}
	c.registry.parts = nil
}

// published are the signs of what the publication has of a table.
func (c *catalog) published(t *sources.Table) []string {
	if found := c.tables[t.String()]; found != nil {
		return found.Fingerprint.Table[factPublished]
	}
	return nil
}

// New reads the configuration and connects to nothing.
func New(cfg sources.Config, log zerolog.Logger) (*Source, error) {
	config, err := parseURL(cfg)
	if err != nil {
		return nil, err
	}
	return &Source{
		cfg: cfg, log: log, config: config, lookInterval: lookInterval,
		pool:     newPool(config),
		barriers: map[string]uint64{},
		widths:   map[string]int{}, published: map[string][]string{}, passedOver: map[uint32]bool{}, gaps: map[string]gap{},
	}, nil
}

// Info connects and says what the server is.
func (s *Source) Info(ctx context.Context) (sources.Info, error) {
	info := sources.Info{Kind: "postgres", Address: address(s.config)}
	err := s.use(ctx, func(conn *pgx.Conn) error {
		info.Version = conn.PgConn().ParameterStatus("server_version")
		// A slot belongs to one database of the cluster.
		return conn.QueryRow(ctx, `SELECT system_identifier || '/' || current_database() FROM pg_control_system()`).Scan(&info.Identity)
	})
	if err != nil {
		return sources.Info{}, fmt.Errorf("identify server: %w", err)
	}
	return info, nil
}

// Catalog reads the tables that the role can see.
func (s *Source) Catalog(ctx context.Context) ([]*sources.Table, error) {
	var found *catalog
	err := s.use(ctx, func(conn *pgx.Conn) (err error) {
		if found, err = s.readCatalog(ctx, conn, nil); err != nil {
			return err
		}
		if err := s.lookIntoParts(ctx, conn, found.registry); err != nil {
			return fmt.Errorf("look into partitions: %w", err)
		}
		s.mu.Lock()
		s.catalog = found
		s.mu.Unlock()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found.list, nil
}

// readCatalog reads the catalog as it is now; only is nil for all tables.
func (s *Source) readCatalog(ctx context.Context, conn *pgx.Conn, only []*sources.Table) (*catalog, error) {
	tables, registry, err := readCatalog(ctx, conn, catalogScope{publication: s.cfg.Publication, only: only})
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	now := newCatalog(tables, registry)
	s.noteGaps(now)
	return now, nil
}

func newCatalog(tables []*sources.Table, registry *typeRegistry) *catalog {
	c := &catalog{list: tables, tables: make(map[string]*sources.Table, len(tables)), registry: registry}
	for _, t := range tables {
		c.tables[t.String()] = t
	}
	return c
}

// Ack lets the server recycle its log up to pos.
func (s *Source) Ack(pos sources.Position) {
	p, err := parsePosition(pos)
	if err != nil {
		if _, tell := s.unacked.Failed(err.Error()); tell {
			s.log.Error().Err(err).Msg("cannot acknowledge")
		}
		return
	}
	if raise(&s.acked, p.lsn) {
		if st := s.stream.Load(); st != nil {
			st.wake()
		}
	}
}

// raise moves a mark that only goes forward, and reports whether it moved.
func raise(mark *atomic.Uint64, to pglogrepl.LSN) bool {
	for {
		was := mark.Load()
		if uint64(to) <= was {
			return false
		}
		if mark.CompareAndSwap(was, uint64(to)) {
			return true
		}
	}
}

// Look looks at the catalog at once, of which the stream's own looks may be seconds behind.
func (s *Source) Look(ctx context.Context) error {
	st := s.stream.Load()
	if st == nil {
		return errors.New("look at the catalog: no stream runs")
	}
	if err := st.lookout.atOnce(ctx); err != nil {
		return fmt.Errorf("look at the catalog: %w", err)
	}
	return nil
}

// Silence is for how long the server has said nothing, though it was asked.
func (s *Source) Silence() time.Duration { return s.silence.Lasted(time.Now()) }

// Reached reports whether a stream at pos has emitted everything up to mark.
func (s *Source) Reached(pos, mark sources.Position) bool {
	at, err := parsePosition(pos)
	if err != nil {
		return false
	}
	until, err := parsePosition(mark)
	return err == nil && at.lsn >= until.lsn
}

// Lag asks the server for the distance from pos to the end of its log, and
// for what the slot holds back.
func (s *Source) Lag(ctx context.Context, pos sources.Position) (sources.Lag, error) {
	lag := sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1}
	var at any
	if !pos.IsZero() {
		p, err := parsePosition(pos)
		if err != nil {
			return lag, err
		}
		at = p.lsn.String()
	}
	const query = `
SELECT COALESCE(GREATEST(l.lsn - $2::pg_lsn, 0), -1)::int8, COALESCE(l.lsn - s.restart_lsn, -1)::int8, COALESCE(s.safe_wal_size, -1)
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END AS lsn) l
LEFT JOIN pg_replication_slots s ON s.slot_name = $1`
	err := s.use(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query, s.cfg.Slot, at).Scan(&lag.Bytes, &lag.Retained, &lag.SafeLeft)
	})
	if err != nil {
		return lag, fmt.Errorf("read lag: %w", err)
	}
	return lag, nil
}

// Close ends all connections, when those in use are back. A running Stream or Chunk ends with its context.
func (s *Source) Close() { s.pool.Close() }
