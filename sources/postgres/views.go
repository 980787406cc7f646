package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// viewsQuery lists what has a name like a table's and is none that has changes
// in the log of its own: with the tables that a view reads, through other views
// too, or the one that a partition belongs to.
const viewsQuery = `
WITH RECURSIVE reads(view, relation) AS (
    SELECT r.ev_class, d.refobjid
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
    WHERE d.refobjid <> r.ev_class
    UNION
    SELECT reads.view, d.refobjid
    FROM reads
    JOIN pg_catalog.pg_rewrite r ON r.ev_class = reads.relation
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
    WHERE d.refobjid <> r.ev_class
)
SELECT n.nspname, c.relname, n.nspname = 'public',
       CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'partition' END,
       ARRAY(SELECT bn.nspname || '.' || b.relname
             FROM pg_catalog.pg_class b JOIN pg_catalog.pg_namespace bn ON bn.oid = b.relnamespace
             WHERE b.relkind IN ('r', 'p', 'f') AND b.oid IN (SELECT relation FROM reads WHERE view = c.oid)
                OR c.relispartition AND b.oid = pg_catalog.pg_partition_root(c.oid)
             ORDER BY 1)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind IN ('v', 'm', 'f', 'S') OR c.relispartition AND c.relkind IN ('r', 'p'))
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\_temp\_%'
ORDER BY 1, 2`

// Views reads what has a table's name and cannot be tailed.
func (s *Source) Views(ctx context.Context) ([]sources.View, error) {
	var views []sources.View
	err := s.use(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, viewsQuery)
		if err != nil {
			return err
		}
		views, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (v sources.View, err error) {
			return v, row.Scan(&v.Schema, &v.Name, &v.Home, &v.Kind, &v.Tables)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read views: %w", err)
	}
	return views, nil
}
