package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/sources"
)

const oldestVersion = 130000

// Prepare makes the publication carry the tables and the slot hold the log
// after from. What is there is looked at before anything is changed.
func (s *Source) Prepare(ctx context.Context, tables []*sources.Table, from sources.Position) (sources.Start, error) {
	var start sources.Start
	err := s.use(ctx, func(conn *pgx.Conn) (err error) {
		start, err = s.prepare(ctx, conn, tables, from)
		return err
	})
	if err != nil {
		return sources.Start{}, fmt.Errorf("prepare source: %w", err)
	}
	return start, nil
}

func (s *Source) prepare(ctx context.Context, conn *pgx.Conn, tables []*sources.Table, from sources.Position) (sources.Start, error) {
	start := sources.Start{Position: from, Fresh: from.IsZero()}
	version, err := s.suitable(ctx, conn, from)
	if err != nil {
		return start, err
	}
	sl, err := readSlot(ctx, conn, s.cfg.Slot)
	if err != nil {
		return start, err
	}
	if sl != nil {
		if err := sl.usable(s.cfg.Slot, s.config.Database); err != nil {
			return start, err
		}
	}
	if err := s.free(ctx, conn, sl); err != nil {
		return start, err
	}
	where, err := s.locate(ctx)
	if err != nil {
		return start, err
	}
	p, err := readPublication(ctx, conn, s.cfg.Publication)
	if err != nil {
		return start, err
	}
	if !start.Fresh {
		if start.Moved, err = s.continues(from, where, sl, p); err != nil {
			return start, err
		}
	}
	now, err := s.compareCatalog(ctx, conn, tables)
	if err != nil {
		return start, err
	}
	altered, err := s.ensurePublication(ctx, conn, p, tables)
	if err != nil {
		return start, err
	}
	if altered {
		if now, err = s.compareCatalog(ctx, conn, tables); err != nil {
			return start, fmt.Errorf("after the publication was set up: %w", err)
		}
	}
	joined := s.newlyPublished(now, tables)
	if start.Fresh {
		joined = tables
		if start.Position, err = s.freshSlot(ctx, conn, sl, where, version); err != nil {
			return start, err
		}
	}
	if err := s.raiseBarriers(ctx, conn, tables, joined); err != nil {
		return start, err
	}
	now.keep(tables)
	s.mu.Lock()
	s.prepared, s.system = now, where
	for _, t := range tables {
		name, signs := t.String(), now.published(t)
		s.published[name] = signs
		if s.gaps[name].signs == nil {
			s.gaps[name] = gap{signs: signs}
		}
	}
	s.mu.Unlock()
	if start.Mark, err = s.logEnd(ctx, conn, where); err != nil {
		return start, err
	}
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&start.Clock); err != nil {
		return start, fmt.Errorf("read clock: %w", err)
	}
	return start, nil
}

// suitable looks at the server before anything else, and returns its version.
func (s *Source) suitable(ctx context.Context, conn *pgx.Conn, from sources.Position) (int, error) {
	if err := checkNames(s.cfg); err != nil {
		return 0, err
	}
	var version int
	var walLevel string
	var standby bool
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery()`).
		Scan(&version, &walLevel, &standby)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read settings: %w", err)
	case version < oldestVersion:
		return 0, fmt.Errorf("%w: PostgreSQL 13 or later is needed, the server is %s", sources.ErrConfig, conn.PgConn().ParameterStatus("server_version"))
	case standby && from.IsZero():
		return 0, fmt.Errorf("%w: the server is a standby; point source.url to the primary", sources.ErrConfig)
	case standby:
		// In the middle of a failover it may yet be promoted.
		return 0, fmt.Errorf("the server is a standby and not promoted")
	case walLevel != "logical":
		return 0, fmt.Errorf("%w: wal_level is %s; run: %s", sources.ErrConfig, walLevel, walLevelRemedy)
	}
	return version, nil
}

const walLevelRemedy = "ALTER SYSTEM SET wal_level = 'logical' (and restart the server)"

// locate asks on a replication connection which cluster and timeline this is.
func (s *Source) locate(ctx context.Context) (system, error) {
	conn, err := s.connectReplication(ctx)
	if err != nil {
		return system{}, err
	}
	defer closeReplication(conn)
	return identify(ctx, conn)
}

func identify(ctx context.Context, conn *pgconn.PgConn) (system, error) {
	found, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return system{}, fmt.Errorf("identify system: %w", err)
	}
	where := system{id: found.SystemID, timeline: found.Timeline, end: found.XLogPos}
	if found.Timeline > 1 { // the first timeline has no history
		history, err := pglogrepl.TimelineHistory(ctx, conn, found.Timeline)
		if err != nil {
			return system{}, fmt.Errorf("read timeline history: %w", err)
		}
		where.history = history.Content
	}
	return where, nil
}

// continues says why the server cannot lead on from the position, or whether it
// does so on another timeline.
func (s *Source) continues(from sources.Position, where system, sl *slot, p *publication) (moved bool, err error) {
	at, err := parsePosition(from)
	if err != nil {
		return false, fmt.Errorf("%w: %w", sources.ErrPositionLost, err)
	}
	if err := where.contains(at); err != nil {
		return false, err
	}
	if err := sl.continues(s.cfg.Slot, at.lsn); err != nil {
		return false, err
	}
	if p == nil {
		return false, fmt.Errorf("%w: the publication %s is gone, and what was written without it", sources.ErrPositionLost, s.cfg.Publication)
	}
	return at.timeline != where.timeline, nil
}

// freshSlot replaces a leftover slot and returns where the new one begins.
func (s *Source) freshSlot(ctx context.Context, conn *pgx.Conn, leftover *slot, where system, version int) (sources.Position, error) {
	if leftover != nil {
		if err := s.dropSlot(ctx, conn); err != nil {
			return "", err
		}
	}
	lsn, err := s.createSlot(ctx, conn, version)
	if err != nil {
		return "", err
	}
	// Another cluster's or time's numbers mean nothing here.
	s.acked.Store(0)
	s.wanted.Store(0)
	s.emitted.reset()
	return position{system: where.id, timeline: where.timeline, lsn: lsn}.String(), nil
}

// compareCatalog reads the catalog again and returns ErrSchemaChanged where a
// table in use is no longer what the caller planned with.
func (s *Source) compareCatalog(ctx context.Context, conn *pgx.Conn, tables []*sources.Table) (*catalog, error) {
	now, err := s.readCatalog(ctx, conn, nil)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	planned := s.catalog
	s.mu.Unlock()
	for _, t := range tables {
		if planned == nil || planned.tables[t.String()] == nil {
			return nil, fmt.Errorf("%w: %s was not in the catalog when it was read", sources.ErrSchemaChanged, t)
		}
		if err := sources.Compare(planned.tables[t.String()], now.tables[t.String()]); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// newlyPublished are the tables that the publication has not had all the time
// since they were prepared before.
func (s *Source) newlyPublished(now *catalog, tables []*sources.Table) (joined []*sources.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tables {
		if was, known := s.published[t.String()]; known && !slices.ContainsFunc(was, func(sign string) bool {
			return slices.Contains(now.published(t), sign)
		}) {
			joined = append(joined, t)
		}
	}
	return joined
}

// raiseBarriers notes for each table that has joined the publication, and for
// each table at the first start of a process, the first transaction id that
// was not yet given out. Transactions below it may have written to the table
// unpublished, or were streamed to an earlier process while they were not yet
// visible. Chunks wait until they have ended.
//
// It is a new id, not pg_snapshot_xmax: that one is the highest finished id
// plus one, and running transactions may be above it.
func (s *Source) raiseBarriers(ctx context.Context, conn *pgx.Conn, tables, joined []*sources.Table) error {
	var text string
	if err := conn.QueryRow(ctx, `SELECT pg_current_xact_id()::text`).Scan(&text); err != nil {
		return fmt.Errorf("read transaction id: %w", err)
	}
	barrier, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("read transaction id: %w", err)
	}
	s.emitted.widen(barrier)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tables {
		if _, known := s.barriers[t.String()]; !known {
			s.barriers[t.String()] = barrier
		}
	}
	for _, t := range joined {
		s.barriers[t.String()] = barrier
	}
	return nil
}
