package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// stillFollowed returns ErrSchemaChanged where the name of a table in use has
// come to stand for another relation (renamed, dropped and created again), or
// the publication no longer carries it. The log says nothing of either: the
// changes just stay away.
func (st *stream) stillFollowed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err := st.source.pool.use(ctx, func(conn *pgx.Conn) error {
		p, err := readPublication(ctx, conn, st.source.cfg.Publication)
		if err != nil {
			return err
		}
		if p == nil {
			return fmt.Errorf("%w: the publication %s is gone", sources.ErrSchemaChanged, st.source.cfg.Publication)
		}
		for _, t := range st.tables {
			if !p.carries(t) {
				return fmt.Errorf("%w: the publication %s no longer carries %s", sources.ErrSchemaChanged, st.source.cfg.Publication, t)
			}
		}
		return st.sameRelations(ctx, conn)
	})
	if err != nil && !errors.Is(err, sources.ErrSchemaChanged) {
		st.source.log.Debug().Err(err).Msg("cannot look whether the tables are still the same")
		return nil // the next look may
	}
	return err
}

// sameRelations compares the relations that the tables' names stand for with
// those that are followed.
func (st *stream) sameRelations(ctx context.Context, conn *pgx.Conn) error {
	tables := make([]*sources.Table, 0, len(st.tables))
	quoted := make([]string, 0, len(st.tables))
	for _, t := range st.tables {
		tables, quoted = append(tables, t), append(quoted, quoteTable(t))
	}
	const query = `SELECT COALESCE(to_regclass(name)::oid::int8, 0) FROM unnest($1::text[]) WITH ORDINALITY AS t (name, n) ORDER BY n`
	rows, err := conn.Query(ctx, query, quoted)
	if err != nil {
		return fmt.Errorf("look up tables: %w", err)
	}
	now, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("look up tables: %w", err)
	}
	for i, t := range tables {
		if int64(st.catalog.registry.roots[t.String()]) != now[i] {
			return fmt.Errorf("%w: %s is another table now", sources.ErrSchemaChanged, t)
		}
	}
	return nil
}
