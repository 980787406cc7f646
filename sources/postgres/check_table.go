package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// table reports on one table. own: the role owns it.
func (c *check) table(ctx context.Context, conn *pgx.Conn, t *sources.Table) (own bool, err error) {
	const query = `
SELECT c.relpersistence::text, has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), pg_has_role(c.relowner, 'USAGE'),
       row_security_active(c.oid), EXISTS (
           SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND $3::text[] = (
               SELECT array_agg(a.attname::text ORDER BY u.place)
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, place) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
               WHERE u.place <= cardinality($3::text[])))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`
	subject := "table " + t.String()
	var persistence string
	var usage, readable, secured, indexed bool
	err = conn.QueryRow(ctx, query, t.Schema, t.Name, t.Names(t.Key)).Scan(&persistence, &usage, &readable, &own, &secured, &indexed)
	if errors.Is(err, pgx.ErrNoRows) {
		c.fail(subject, "there is no such table", "create it, or correct its name")
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", subject, err)
	}
	relations, err := relationsOf(ctx, conn, t)
	if err != nil {
		return false, err
	}
	before := len(c.findings)
	if persistence == "u" {
		c.fail(subject, "it is unlogged", "ALTER TABLE "+quoteTable(t)+" SET LOGGED")
	}
	for _, r := range relations {
		switch {
		case r.foreign:
			c.fail(subject, "its partition "+r.name+" is a foreign table, whose changes are not in the log", "ALTER TABLE "+quoteTable(t)+" DETACH PARTITION "+r.name)
		case r.unlogged && r.partition:
			c.fail(subject, "its partition "+r.name+" is unlogged", "ALTER TABLE "+r.name+" SET LOGGED")
		}
	}
	if !usage {
		c.fail(subject, "role "+c.role+" may not use the schema", grantUsage(t, c.role))
	}
	if !readable {
		c.fail(subject, "role "+c.role+" may not read it", grantSelect(t, c.role))
	}
	if secured {
		c.fail(subject, "row level security hides rows from role "+c.role, bypassSecurity(c.role))
	}
	c.key(subject, t, indexed)
	c.identity(subject, t, relations)
	c.references(subject, t)
	if len(c.findings) == before {
		c.ok(subject, fmt.Sprintf("key (%s)", strings.Join(t.Names(t.Key), ", ")))
	}
	return own, nil
}

func grantUsage(t *sources.Table, role string) string {
	return "GRANT USAGE ON SCHEMA " + quote(t.Schema) + " TO " + quote(role)
}

func grantSelect(t *sources.Table, role string) string {
	return "GRANT SELECT ON " + quoteTable(t) + " TO " + quote(role)
}

func bypassSecurity(role string) string { return "ALTER ROLE " + quote(role) + " BYPASSRLS" }

// key reports on what identifies a row.
func (c *check) key(subject string, t *sources.Table, indexed bool) {
	if len(t.Key) == 0 {
		c.fail(subject, "it has no key", "add a primary key; or, if some columns identify a row all the same, ALTER TABLE "+quoteTable(t)+
			" REPLICA IDENTITY FULL and name them in tables."+t.Name+".key")
		return
	}
	var nullable, unlogged, outside []string
	for _, i := range t.Key {
		column := &t.Columns[i]
		if !column.NotNull {
			nullable = append(nullable, column.Name)
		}
		if column.NotLogged {
			unlogged = append(unlogged, column.Name)
		}
		if t.Identity == sources.IdentityKey && !slices.Contains(t.IdentityColumns, i) {
			outside = append(outside, column.Name)
		}
	}
	for _, name := range nullable {
		c.fail(subject, "its key column "+name+" may be NULL", "ALTER TABLE "+quoteTable(t)+" ALTER COLUMN "+quote(name)+" SET NOT NULL")
	}
	if len(unlogged) > 0 {
		c.fail(subject, "its key has generated columns, which are not in the log: "+strings.Join(unlogged, ", "), "name another key in tables."+t.Name+".key")
	}
	if len(outside) > 0 {
		c.fail(subject, "its replica identity lacks key columns, so that deletes cannot be followed: "+strings.Join(outside, ", "),
			"ALTER TABLE "+quoteTable(t)+" REPLICA IDENTITY FULL")
	}
	if !indexed {
		c.warn(subject, "no index has the key as its first columns: each chunk of a snapshot sorts the whole table",
			"CREATE UNIQUE INDEX CONCURRENTLY ON "+quoteTable(t)+" ("+quoteAll(t.Names(t.Key))+")")
	}
}

// identity reports on what the log tells of a row's old values.
func (c *check) identity(subject string, t *sources.Table, relations []relationIdentity) {
	var without []string
	for _, r := range relations {
		if !r.usable {
			without = append(without, r.name)
		}
	}
	if len(without) > 0 {
		c.fail(subject, "without a replica identity its updates and deletes cannot be followed, and would fail once it is published", identityRemedy(without))
	}
	var unlogged []string
	for i := range t.Columns {
		if t.Columns[i].NotLogged && !slices.Contains(t.Key, i) {
			unlogged = append(unlogged, t.Columns[i].Name)
		}
	}
	if len(unlogged) > 0 {
		c.fail(subject, "generated columns are not in the log: "+strings.Join(unlogged, ", "), "leave them out of the definition with exclude, or use the columns they are made of")
	}
}

// references warns of columns whose text is the name of a table, a role or the like, which changes with that and not with the row.
func (c *check) references(subject string, t *sources.Table) {
	var named []string
	for i := range t.Columns {
		if sql := t.Columns[i].Type.SQL; strings.HasPrefix(sql, "reg") || strings.HasPrefix(sql, "aclitem") { // types of people have their schema before them
			named = append(named, t.Columns[i].Name)
		}
	}
	if len(named) > 0 {
		c.warn(subject, "values are names of what they refer to, and the log says nothing when that is renamed: documents keep the former name until their row changes: "+strings.Join(named, ", "),
			"haystream verify --repair after each such renaming")
	}
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}
