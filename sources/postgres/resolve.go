package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// resolve says how a relation's rows become rows of a table in use.
//
// The relation is as it was when the changes were made. Where it differs from
// the catalog that the tables were planned with, either the table has changed
// since (the catalog differs too: ErrSchemaChanged, the caller plans anew), or
// the changes are older than the plan (the catalog is the same: columns are
// taken by name, and those that the relation lacks are Missing). The latter
// stays in doubt until the relation is described anew, as a commit is in the
// log before the catalog shows it.
func (st *stream) resolve(ctx context.Context, message relationMessage) (*logRelation, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	delete(st.doubts, message.oid)
	set := st.source.decode.Load()
	if set != nil {
		message.decodeNames(set)
	}
	whole := st.catalog.registry.table(message.oid)
	if whole == nil {
		// A partition that is newer than the catalog, or none of ours.
		now, err := st.readCatalog(ctx)
		if err != nil {
			return nil, err
		}
		st.catalog = now
		if whole = now.registry.table(message.oid); whole == nil {
			return nil, nil
		}
	}
	table := st.tables[whole.String()]
	if table == nil {
		return nil, nil
	}
	if message.oid == st.catalog.registry.roots[whole.String()] && (message.schema != whole.Schema || message.name != whole.Name) {
		// Renamed: since the plan was made, or before it and this is older.
		if err := st.stillFollowed(ctx); err != nil {
			return nil, err
		}
	}
	if difference := message.differs(whole, st.catalog.registry); difference != nil {
		if _, err := st.readCatalog(ctx); err != nil {
			return nil, err
		}
		st.doubts[message.oid] = true
		st.source.log.Info().Stringer(keyTable, table).AnErr(keyDifference, difference).
			Msg("reading changes from before the table got its present columns")
	}
	r := newLogRelation(message, table, st.catalog.registry)
	for i := range r.cells {
		r.cells[i].convert = decoded(set, r.cells[i].convert)
	}
	for _, i := range table.Key {
		if r.cells[i].at < 0 {
			return nil, fmt.Errorf("%w: changes of %s carry no usable key column %s", sources.ErrPositionLost, table, table.Columns[i].Name)
		}
	}
	return r, nil
}

// lookAgain returns ErrSchemaChanged if a table in use is another one by now,
// or if a change of the catalog has come into sight since a relation was found
// to differ from it.
func (st *stream) lookAgain(ctx context.Context) error {
	if err := st.stillFollowed(ctx); err != nil {
		return err
	}
	if len(st.doubts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := st.readCatalog(ctx)
	return err
}

// readCatalog reads the catalog as it is now and returns ErrSchemaChanged
// where a table in use is not as it was planned with.
func (st *stream) readCatalog(ctx context.Context) (*catalog, error) {
	var now *catalog
	err := st.source.pool.use(ctx, func(conn *pgx.Conn) error {
		tables, registry, err := readCatalog(ctx, conn)
		if err != nil {
			return fmt.Errorf("read catalog: %w", err)
		}
		now = newCatalog(tables, registry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name := range st.tables {
		if err := sources.Compare(st.catalog.tables[name], now.tables[name]); err != nil {
			return nil, err
		}
	}
	return now, nil
}
