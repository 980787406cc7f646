package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// tablesQuery lists ordinary and partitioned tables and the partitions, one
// row each, with the root of its tree.
//
// A usable key has no expression, no predicate, no nullable column, and is
// checked at once: a deferrable one may hold two equal keys for a moment. From
// PostgreSQL 18 on NOT NULL may be NOT VALID: old rows may have NULL. The
// primary key comes first, then the replica identity, then the shortest.
//
// The replica identity is as the WAL has it: DEFAULT is the primary key where
// there is one that is not deferrable (PostgreSQL documentation, ALTER TABLE,
// REPLICA IDENTITY).
//
// Values are stored apart, and so may be left out of the log, in a relation of
// their own, which is empty where there has never been one. To ask for its size
// would wait for whoever has locked it; vacuum and the statistics know as much.
const tablesQuery = `
SELECT c.oid, n.nspname, c.relname, c.relkind::text,
       COALESCE(pg_catalog.pg_partition_root(c.oid), c.oid)::oid,
       c.relreplident::text,
       CASE WHEN c.reltuples < 0 THEN -1
            WHEN c.reltuples = 0 AND c.relpages = 0 AND pg_catalog.current_setting('server_version_num')::int < 140000 THEN -1
            ELSE c.reltuples::int8 END,
       COALESCE(apart.relpages > 0, false) OR pg_catalog.pg_stat_get_live_tuples(c.reltoastrelid) > 0 OR pg_catalog.pg_stat_get_tuples_inserted(c.reltoastrelid) > 0,
       COALESCE(k.columns, '{}'), COALESCE(r.columns, '{}'), c.relfilenode, c.relpersistence::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class apart ON apart.oid = c.reltoastrelid
LEFT JOIN LATERAL (
    SELECT columns FROM (
        SELECT i.indexrelid, i.indisprimary, i.indisreplident, i.indnkeyatts,
               pg_catalog.array_agg(a.attname ORDER BY u.place) AS columns
        FROM pg_catalog.pg_index i
        CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL AND u.place <= i.indnkeyatts
        GROUP BY 1, 2, 3, 4
        HAVING pg_catalog.bool_and(a.attnotnull AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint n
            WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey[1] = a.attnum AND NOT n.convalidated))
    ) usable
    ORDER BY indisprimary DESC, indisreplident DESC, indnkeyatts, indexrelid
    LIMIT 1
) k ON true
LEFT JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname ORDER BY u.place) AS columns
    FROM pg_catalog.pg_index i
    CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
    WHERE i.indrelid = c.oid AND i.indimmediate AND i.indisvalid AND u.place <= i.indnkeyatts
      AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
) r ON true
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\_temp\_%'`

// onlyThese narrows tablesQuery to some tables and their partitions. No lock is
// waited for.
const onlyThese = ` AND c.oid IN (
    WITH RECURSIVE tree(oid) AS (
        SELECT t.oid FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) u(nspname, relname)
        JOIN pg_catalog.pg_namespace n USING (nspname) JOIN pg_catalog.pg_class t ON t.relnamespace = n.oid AND t.relname = u.relname
        UNION ALL
        SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p' JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
    ) SELECT oid FROM tree)`

const tablesOrder = ` ORDER BY n.nspname, c.relname`

// columnsQuery lists the columns of the given tables, and of the generated ones
// which the publication has: stored ones from PostgreSQL 18 on, where it says so. A
// NOT NULL that old rows need not fulfil is named where a key hangs on it.
const columnsQuery = `
SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attnotnull AND n.conname IS NULL, CASE WHEN EXISTS (
           SELECT FROM pg_catalog.pg_index i
           WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND a.attnum = ANY (i.indkey::int2[])) THEN COALESCE(n.conname, '') ELSE '' END,
       a.attlen = -1 AND a.attstorage <> 'p', a.attgenerated <> '',
       a.attgenerated <> '' AND NOT (a.attgenerated = 's' AND EXISTS (
           SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = $2 AND pg_catalog.to_jsonb(p)->>'pubgencols' = 's'))
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_constraint n ON n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey[1] = a.attnum AND NOT n.convalidated
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`

// typesQuery lists the types of the given tables' columns and what these are
// made of. The multirange's column came to pg_range with PostgreSQL 14, so that
// it is asked for by way of jsonb.
const typesQuery = `
WITH RECURSIVE used(oid) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT part.oid
    FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem
        UNION ALL SELECT t.typbasetype
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE t.typtype = 'm' AND pg_catalog.to_jsonb(r)->>'rngmultitypid' = t.oid::text
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) part(oid)
    WHERE part.oid <> 0
)
SELECT t.oid, t.typnamespace = 'pg_catalog'::regnamespace, t.typname, pg_catalog.format_type(t.oid, NULL),
       t.typtype::text, t.typcategory::text, COALESCE(r.part, t.typelem), t.typbasetype, t.typtypmod, t.typdelim::text,
       COALESCE(f.names, '{}'), COALESCE(f.types, '{}'), COALESCE(f.typmods, '{}')
FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
LEFT JOIN LATERAL (
    SELECT CASE t.typtype WHEN 'r' THEN r.rngsubtype ELSE r.rngtypid END AS part
    FROM pg_catalog.pg_range r
    WHERE t.typtype = 'r' AND r.rngtypid = t.oid OR t.typtype = 'm' AND pg_catalog.to_jsonb(r)->>'rngmultitypid' = t.oid::text
) r ON true
LEFT JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname ORDER BY a.attnum) AS names,
           pg_catalog.array_agg(a.atttypid ORDER BY a.attnum) AS types,
           pg_catalog.array_agg(a.atttypmod ORDER BY a.attnum) AS typmods
    FROM pg_catalog.pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
) f ON true`

// A catalogScope says what to read of the catalog.
type catalogScope struct {
	publication string           // what it has of the tables belongs to their fingerprints; empty: it is not asked for
	only        []*sources.Table // nil: all
}

// readCatalog reads all tables outside the system schemas with their columns,
// ordered by name. A partitioned table is one table, of its root's columns; a
// child by inheritance is a table of its own. It may be repeated. All is read
// in one state of the catalog: a fingerprint of two states would hide a change.
func readCatalog(ctx context.Context, conn *pgx.Conn, scope catalogScope) (tables []*sources.Table, registry *typeRegistry, err error) {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, conn, options, func(pgx.Tx) error {
		tables, registry, err = readTables(ctx, conn, scope)
		return err
	})
	return tables, registry, err
}

func readTables(ctx context.Context, conn *pgx.Conn, scope catalogScope) ([]*sources.Table, *typeRegistry, error) {
	relations, err := readRelations(ctx, conn, scope.only)
	if err != nil {
		return nil, nil, fmt.Errorf("read tables: %w", err)
	}
	registry := &typeRegistry{types: map[uint32]*catalogType{}, tables: map[uint32]*sources.Table{}, roots: map[string]uint32{}}
	var tables []*sources.Table
	var roots []uint32
	for _, r := range relations {
		if r.root == r.oid {
			t := &sources.Table{Schema: r.schema, Name: r.name, Home: r.schema == "public", EstimatedRows: -1}
			tables, roots = append(tables, t), append(roots, r.oid)
			registry.tables[r.oid], registry.roots[t.String()] = t, r.oid
		}
	}
	for _, r := range relations {
		if root := registry.tables[r.root]; root != nil {
			registry.tables[r.oid] = root
		}
	}
	if err := readTypes(ctx, conn, registry, roots); err != nil {
		return nil, nil, fmt.Errorf("read types: %w", err)
	}
	if err := readColumns(ctx, conn, registry, roots, scope.publication); err != nil {
		return nil, nil, fmt.Errorf("read columns: %w", err)
	}
	if err := readForeignKeys(ctx, conn, registry, roots); err != nil {
		return nil, nil, fmt.Errorf("read foreign keys: %w", err)
	}
	setIdentities(registry, relations)
	if err := readFingerprints(ctx, conn, registry, relations, scope); err != nil {
		return nil, nil, fmt.Errorf("read fingerprints: %w", err)
	}
	return tables, registry, nil
}

// A relation is a table or partition, as pg_class has it.
type relation struct {
	oid, root    uint32
	schema, name string
	kind         string // r ordinary, p partitioned
	replident    string // d default, n nothing, f full, i index
	rows         int64  // -1 unknown
	apart        bool   // some values are stored apart
	key          []string
	identity     []string
	file         uint32
	persistence  string // p permanent, u unlogged
}

func readRelations(ctx context.Context, conn *pgx.Conn, only []*sources.Table) ([]relation, error) {
	query, arguments := tablesQuery+tablesOrder, []any(nil)
	if only != nil {
		schemas, names := make([]string, len(only)), make([]string, len(only))
		for i, t := range only {
			schemas[i], names[i] = t.Schema, t.Name
		}
		query, arguments = tablesQuery+onlyThese+tablesOrder, []any{schemas, names}
	}
	rows, err := conn.Query(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r relation, err error) {
		return r, row.Scan(&r.oid, &r.schema, &r.name, &r.kind, &r.root, &r.replident, &r.rows, &r.apart, &r.key, &r.identity, &r.file, &r.persistence)
	})
}

func readTypes(ctx context.Context, conn *pgx.Conn, registry *typeRegistry, relations []uint32) error {
	rows, err := conn.Query(ctx, typesQuery, relations)
	if err != nil {
		return err
	}
	var t catalogType
	var delim string
	_, err = pgx.ForEachRow(rows, []any{
		&t.oid, &t.builtin, &t.name, &t.sql, &t.class, &t.category, &t.elem, &t.base,
		&t.typmod, &delim, &t.fields, &t.fieldTypes, &t.fieldTypmods,
	}, func() error {
		row := t
		row.delim = delim[0]
		registry.types[t.oid] = &row
		t = catalogType{}
		return nil
	})
	return err
}

func readColumns(ctx context.Context, conn *pgx.Conn, registry *typeRegistry, relations []uint32, publication string) error {
	rows, err := conn.Query(ctx, columnsQuery, relations, publication)
	if err != nil {
		return err
	}
	var c sources.Column
	var relation, oid uint32
	var typmod int32
	var sql string
	_, err = pgx.ForEachRow(rows, []any{
		&relation, &c.Name, &oid, &typmod, &sql,
		&c.NotNull, &c.Unvalidated, &c.MayBeMissing, &c.Generated, &c.NotLogged,
	}, func() error {
		t := registry.tables[relation]
		if c.Type, _, err = registry.lookup(oid, typmod); err != nil {
			return fmt.Errorf("read column %s.%s: %w", t, c.Name, err)
		}
		c.Type.SQL = sql
		c.MayBeMissing = c.MayBeMissing && !c.NotLogged
		c.Raw = isRaw(conn.PgConn()) && (c.Type.Kind == sources.Text || c.Type.Kind == sources.Keyword || c.Type.Kind == sources.JSON)
		t.Columns = append(t.Columns, c)
		return nil
	})
	return err
}

// setIdentities sets what hangs on the whole tree of a table: rows, key and
// replica identity. The log carries the identity of the relation that holds
// the row, so that for a partitioned table the partitions' count: the weakest.
func setIdentities(registry *typeRegistry, relations []relation) {
	seen, apart := map[*sources.Table]bool{}, map[*sources.Table]bool{}
	for _, r := range relations {
		t := registry.tables[r.oid]
		if t == nil {
			continue
		}
		if r.oid == r.root {
			t.Key = indexes(t, r.key)
		}
		if r.kind == "p" {
			continue
		}
		if r.rows >= 0 {
			t.EstimatedRows = max(t.EstimatedRows, 0) + r.rows
		}
		apart[t] = apart[t] || r.apart
		identity, columns := r.identityOf(t)
		if identity != sources.IdentityFull {
			if t.WholeRows != "" {
				t.WholeRows += "; "
			}
			t.WholeRows += identityRemedy([]string{pgx.Identifier{r.schema, r.name}.Sanitize()})
		}
		switch {
		case !seen[t] || identity < t.Identity:
			t.Identity, t.IdentityColumns = identity, columns
		case identity == sources.IdentityKey && t.Identity == sources.IdentityKey:
			if t.IdentityColumns = common(t.IdentityColumns, columns); len(t.IdentityColumns) == 0 {
				t.Identity = sources.IdentityNone
			}
		}
		seen[t] = true
	}
	for _, r := range relations {
		t := registry.tables[r.oid]
		if t == nil || r.oid != r.root {
			continue
		}
		if !seen[t] { // a partitioned table without partitions
			t.Identity, t.IdentityColumns = r.identityOf(t)
		}
		if t.Identity == sources.IdentityFull || !apart[t] {
			for i := range t.Columns {
				t.Columns[i].MayBeMissing = false
			}
		}
	}
}

// identityOf is the relation's replica identity in terms of its table.
func (r *relation) identityOf(t *sources.Table) (sources.Identity, []int) {
	switch {
	case r.replident == "f":
		return sources.IdentityFull, nil
	case len(r.identity) > 0:
		return sources.IdentityKey, indexes(t, r.identity)
	}
	return sources.IdentityNone, nil
}

// indexes finds columns by name: a partition may have them in another order.
func indexes(t *sources.Table, names []string) []int {
	var found []int
	for _, name := range names {
		if i := t.Column(name); i >= 0 {
			found = append(found, i)
		}
	}
	return found
}

func common(a, b []int) []int {
	return slices.DeleteFunc(slices.Clone(a), func(i int) bool { return !slices.Contains(b, i) })
}
