package postgres

import (
	"context"

	"haystream/sources"
)

// resolve says how a relation's rows become rows of a table in use.
//
// The relation is as it was when the changes were made. Where it differs from
// the catalog that the tables were planned with, either the table has changed
// since (the catalog differs too: ErrSchemaChanged, the caller plans anew), or
// the changes are older than the plan (the catalog is the same: columns are
// taken by name, and those that the relation lacks are Missing, and told as
// stale, as are those that were others). What is in the log before the catalog
// shows it, a later look finds.
func (st *stream) resolve(ctx context.Context, message relationMessage) (*logRelation, error) {
	if st.decode != nil {
		message.decodeNames(st.decode)
	}
	whole := st.catalog.registry.table(message.oid)
	if whole == nil {
		// A partition that is newer than the catalog, or none of ours.
		if err := st.lookout.now(ctx); err != nil {
			return nil, err
		}
		st.source.passOver(message.oid)
		return nil, nil
	}
	table := st.tables[whole.String()]
	if table == nil {
		return nil, nil
	}
	if err := st.compare(ctx, message, whole); err != nil {
		return nil, err
	}
	r := newLogRelation(message, table, st.catalog.registry)
	for i := range r.cells {
		r.cells[i].convert = decoded(st.decode, r.cells[i].convert)
	}
	r.outdate(&message, whole, message.oid == st.catalog.registry.roots[whole.String()])
	return r, nil
}

// compare looks at the catalog where the log has a reason to: it describes a
// relation as other than planned, or anew, which it does after any change of it.
func (st *stream) compare(ctx context.Context, message relationMessage, whole *sources.Table) error {
	_, again := st.decoder.relations[message.oid]
	// Renamed: since the plan was made, or before it and this is older.
	renamed := message.oid == st.catalog.registry.roots[whole.String()] && (message.schema != whole.Schema || message.name != whole.Name)
	difference := message.differs(whole, st.catalog.registry)
	switch {
	case difference != nil:
		if err := st.lookout.now(ctx); err != nil {
			return err
		}
		st.source.log.Info().Stringer(keyTable, whole).AnErr(keyDifference, difference).
			Msg("reading changes from before the table got its present columns")
	case renamed:
		return st.lookout.now(ctx)
	case again:
		return st.lookout.ask(ctx)
	}
	return nil
}
