package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/sources"
)

// Chunk reads the next rows in key order, all in one short transaction that
// has seen everything the stream had emitted when Chunk was called. Last holds
// the key as the server prints it, so that the server reads it back exactly.
func (s *Source) Chunk(ctx context.Context, req sources.ChunkRequest) (*sources.Chunk, error) {
	emitted := s.emitted.all()
	var chunk *sources.Chunk
	err := s.use(ctx, func(conn *pgx.Conn) (err error) {
		chunk, err = s.chunk(ctx, conn, req, emitted)
		if ctx.Err() != nil {
			return err
		}
		return explainChunk(err, req.Table, s.config.User)
	})
	if err != nil {
		s.noteEncoding(ctx, err)
		return nil, fmt.Errorf("read chunk of %s: %w", req.Table, err)
	}
	return chunk, nil
}

// explainChunk says which statement or change of the table is behind an error,
// and whether it says nothing of other tables.
func explainChunk(err error, t *sources.Table, role string) error {
	server, refused := errors.AsType[*pgconn.PgError](err)
	if !refused || sources.Known(err) {
		return err
	}
	switch class := server.Code[:2]; {
	case server.Code == codeUndefinedTable, server.Code == codeUndefinedColumn, server.Code == codeUndefinedSchema:
		return fmt.Errorf("%w: %w", sources.ErrSchemaChanged, err)
	case server.Code == codeInsufficientPrivilege && server.Routine == "check_enable_rls":
		return fmt.Errorf("%w: %w; run: %s", sources.ErrUnreadable, err, bypassSecurity(role))
	case server.Code == codeInsufficientPrivilege && server.Routine == "aclcheck_error":
		return fmt.Errorf("%w: %w; run: %s; %s", sources.ErrUnreadable, err, grantUsage(t, role), grantSelect(t, role))
	case server.Code == codeInsufficientPrivilege:
		return fmt.Errorf("%w: %w; run: %s", sources.ErrUnreadable, err, grantSelect(t, role))
	case class == classData, class == classInternal, class == classLimit, server.Code == codeQueryCanceled:
		return fmt.Errorf("%w: %w", sources.ErrUnreadable, err)
	}
	return err
}

func (s *Source) chunk(ctx context.Context, conn *pgx.Conn, req sources.ChunkRequest, emitted []uint64) (*sources.Chunk, error) {
	name := req.Table.String()
	s.mu.Lock()
	known, prepared, where, barrier, width := s.catalog, s.prepared, s.system, s.barriers[name], s.widths[name]
	s.mu.Unlock()
	if prepared != nil {
		known = prepared
	}
	if known == nil {
		return nil, errors.New("the catalog was not read")
	}
	query, err := newChunkQuery(ctx, conn, req, width)
	if err != nil {
		return nil, err
	}
	query.decode, query.spare = s.decode.Load(), &s.spare
	if req.Having != nil {
		if err := query.readValues(ctx, conn, known.registry); err != nil {
			return nil, err
		}
	}
	seen, err := s.beginChunk(ctx, conn, query, barrier, emitted)
	if err != nil {
		return nil, err
	}
	chunk, err := query.read(ctx, conn.PgConn(), known.registry)
	if err != nil {
		return nil, errors.Join(err, rollback(ctx, conn))
	}
	if err := s.endChunk(ctx, conn, seen.end, prepared != nil); err != nil {
		return nil, err
	}
	if rows := len(chunk.Rows); rows > 0 {
		s.mu.Lock()
		s.widths[name] = max(1, chunk.Arena.Size()/rows)
		s.mu.Unlock()
	}
	s.emitted.below(seen.snapshot.xmin)
	s.want(seen.end)
	chunk.Mark = position{system: where.id, timeline: where.timeline, lsn: seen.end}.String()
	chunk.Sees = seen.snapshot.sees
	return chunk, nil
}

// rollback makes the connection usable again, if it is still open.
func rollback(ctx context.Context, conn *pgx.Conn) error {
	if conn.IsClosed() {
		return nil
	}
	_, err := conn.Exec(ctx, "ROLLBACK")
	return err
}

// A view is what a chunk's transaction sees.
type view struct {
	snapshot snapshot
	end      pglogrepl.LSN // of the log, when all that is seen was in it
}

// beginChunk opens a transaction whose snapshot has seen all that was emitted,
// and everything that began before the table's barrier. Until then it tries again.
func (s *Source) beginChunk(ctx context.Context, conn *pgx.Conn, query *chunkQuery, barrier uint64, emitted []uint64) (view, error) {
	var w wait
	for {
		seen, err := query.begin(ctx, conn.PgConn())
		until := "rows of " + query.Table.String() + " can be read"
		switch {
		case err == nil && seen.snapshot.xmin >= barrier && seesAll(&seen.snapshot, emitted):
			return seen, nil
		case err != nil && sqlState(err) != codeLockNotAvailable:
			return view{}, errors.Join(err, rollback(ctx, conn))
		case err != nil:
			until = "the lock on " + query.Table.String() + " is free"
		}
		if err := rollback(ctx, conn); err != nil {
			return view{}, err
		}
		report, err := w.pause(ctx)
		if err != nil {
			return view{}, err
		}
		if report {
			s.logOldest(ctx, conn, until)
		}
	}
}

func seesAll(s *snapshot, ids []uint64) bool {
	for _, id := range ids {
		if !s.sees(id) {
			return false
		}
	}
	return true
}

// endChunk commits. With a stream behind it, it sees to it that the log is
// flushed up to what the chunk saw.
func (s *Source) endChunk(ctx context.Context, conn *pgx.Conn, end pglogrepl.LSN, streamed bool) error {
	if _, err := conn.PgConn().Exec(ctx, "COMMIT").ReadAll(); err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	if !streamed {
		return nil
	}
	return s.flushLog(ctx, conn, end)
}

// flushLog sees to it that the stream can reach a place in the log: an idle
// server may keep the last of it in memory for many seconds, where a transaction
// is open that wrote something. A commit of our own flushes that too.
func (s *Source) flushLog(ctx context.Context, conn *pgx.Conn, end pglogrepl.LSN) error {
	results, err := conn.PgConn().Exec(ctx, "SELECT pg_current_wal_flush_lsn()").ReadAll()
	if err != nil {
		return fmt.Errorf("read the log's end: %w", err)
	}
	flushed, err := parseLSN(string(results[0].Rows[0][0]))
	if err != nil || flushed >= end {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'haystream', ''); COMMIT").ReadAll()
	if err != nil { // it only takes longer
		s.log.Debug().Err(err).Msg("cannot flush the log")
		return rollback(ctx, conn)
	}
	return nil
}

// logEnd is where the log ends now, and makes the stream hurry there.
func (s *Source) logEnd(ctx context.Context, conn *pgx.Conn, where system) (sources.Position, error) {
	results, err := conn.PgConn().Exec(ctx, "SELECT "+logEndColumns).ReadAll()
	if err != nil {
		return "", fmt.Errorf("read the log's end: %w", err)
	}
	end, err := parseEnd(results[0].Rows[0])
	if err != nil {
		return "", err
	}
	s.want(end)
	return position{system: where.id, timeline: where.timeline, lsn: end}.String(), s.flushLog(ctx, conn, end)
}
