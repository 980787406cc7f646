// Package postgres tails PostgreSQL 13 and later by logical decoding.
//
// The guarantee: Stream emits every committed change of the tables in use, in
// commit order, from the LSN of its checkpoint on, and never acknowledges to
// the server what Ack was not told. Chunk reads rows that have seen all that
// the stream had emitted when it was called, and says exactly which
// transactions it saw. Check and Info change nothing on the server.
//
// The goroutine that calls Stream owns the replication connection; queries run
// on connections of their own. The package starts no goroutine but one that
// says whom the creation of a slot waits for, and ends with it.
package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"golang.org/x/text/encoding/charmap"

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
	pool   pool

	acked   atomic.Uint64 // LSN up to which everything is held durably
	wanted  atomic.Uint64 // highest mark of a chunk
	stream  atomic.Pointer[stream]
	emitted emittedIDs

	encoding atomic.Value                    // the server's, a string
	decode   atomic.Pointer[charmap.Charmap] // what makes UTF-8 here; nil: the server does

	mu       sync.Mutex
	catalog  *catalog // as the last Catalog read it: what the projected tables came from
	prepared *catalog // as the last Prepare read it: what Stream compares the log with
	system   system   // as the last connection found it
	pid      uint32   // of the last stream's server process
	barriers map[string]uint64
	widths   map[string]int
}

// A catalog is what one readCatalog found.
type catalog struct {
	tables   map[string]*sources.Table // by Table.String
	registry *typeRegistry
}

// New reads the configuration and connects to nothing.
func New(cfg sources.Config, log zerolog.Logger) (*Source, error) {
	config, err := parseURL(cfg)
	if err != nil {
		return nil, err
	}
	return &Source{
		cfg: cfg, log: log, config: config,
		pool:     pool{config: config},
		barriers: map[string]uint64{},
		widths:   map[string]int{},
	}, nil
}

// Info connects and says what the server is.
func (s *Source) Info(ctx context.Context) (sources.Info, error) {
	info := sources.Info{Kind: "postgres", Address: address(s.config)}
	err := s.pool.use(ctx, func(conn *pgx.Conn) error {
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
	var tables []*sources.Table
	err := s.pool.use(ctx, func(conn *pgx.Conn) (err error) {
		var registry *typeRegistry
		if tables, registry, err = readCatalog(ctx, conn); err != nil {
			return fmt.Errorf("read catalog: %w", err)
		}
		s.mu.Lock()
		s.catalog = newCatalog(tables, registry)
		s.mu.Unlock()
		return nil
	})
	return tables, err
}

func newCatalog(tables []*sources.Table, registry *typeRegistry) *catalog {
	c := &catalog{tables: make(map[string]*sources.Table, len(tables)), registry: registry}
	for _, t := range tables {
		c.tables[t.String()] = t
	}
	return c
}

// Ack lets the server recycle its log up to pos.
func (s *Source) Ack(pos sources.Position) {
	p, err := parsePosition(pos)
	if err != nil {
		s.log.Error().Err(err).Msg("cannot acknowledge")
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
	err := s.pool.use(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query, s.cfg.Slot, at).Scan(&lag.Bytes, &lag.Retained, &lag.SafeLeft)
	})
	if err != nil {
		return lag, fmt.Errorf("read lag: %w", err)
	}
	return lag, nil
}

// Close ends all idle connections. A running Stream or Chunk ends with its context.
func (s *Source) Close() { s.pool.close() }
