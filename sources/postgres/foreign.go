package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// foreignKeysQuery lists the foreign keys of the given tables. A partition's
// copies are left out: they hang on the constraint of their root.
const foreignKeysQuery = `
SELECT c.conrelid, c.confrelid, c.conname, c.confdeltype::text, c.confupdtype::text,
       pg_catalog.array_agg(a.attname ORDER BY u.place), pg_catalog.array_agg(f.attname ORDER BY u.place)
FROM pg_catalog.pg_constraint c
CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey)) WITH ORDINALITY u(own, other, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.own
JOIN pg_catalog.pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = u.other
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conrelid = ANY ($1)
GROUP BY 1, 2, 3, 4, 5, c.oid
ORDER BY c.conrelid, c.conname, c.oid`

// readForeignKeys gives the tables their foreign keys. One that refers to a
// partition refers to its root's rows.
func readForeignKeys(ctx context.Context, conn *pgx.Conn, registry *typeRegistry, roots []uint32) error {
	rows, err := conn.Query(ctx, foreignKeysQuery, roots)
	if err != nil {
		return err
	}
	var own, other uint32
	var onDelete, onUpdate string
	var key sources.ForeignKey
	_, err = pgx.ForEachRow(rows, []any{&own, &other, &key.Name, &onDelete, &onUpdate, &key.Columns, &key.Targets}, func() error {
		t, target := registry.tables[own], registry.tables[other]
		if t != nil && target != nil {
			k := key
			k.Schema, k.Table = target.Schema, target.Name
			k.OnDelete, k.OnUpdate = referenceAction(onDelete), referenceAction(onUpdate)
			t.ForeignKeys = append(t.ForeignKeys, k)
		}
		key = sources.ForeignKey{}
		return nil
	})
	return err
}

// referenceAction reads pg_constraint's confdeltype and confupdtype.
func referenceAction(letter string) sources.ReferenceAction {
	switch letter {
	case "c":
		return sources.Cascade
	case "n":
		return sources.SetNull
	case "d":
		return sources.SetDefault
	}
	return sources.Restrict
}
