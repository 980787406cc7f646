package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"haystream/sources"
)

// readTables reads what the tables' findings need, at once for all of them.
func (c *check) readTables(ctx context.Context, conn *conn) error {
	var err error
	if c.catalog, _, err = readCatalog(ctx, conn); err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	c.transactional = map[string]bool{}
	err = conn.query(ctx, "SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'", func(row [][]byte) error {
		c.transactional[string(row[0])] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("read engines: %w", err)
	}
	if err := c.readIndexes(ctx, conn); err != nil {
		return fmt.Errorf("read indexes: %w", err)
	}
	return nil
}

func (c *check) readIndexes(ctx context.Context, conn *conn) error {
	const query = `
SELECT TABLE_SCHEMA, TABLE_NAME, SEQ_IN_INDEX, COLUMN_NAME FROM information_schema.STATISTICS
WHERE ` + userSchemas + ` AND SUB_PART IS NULL AND INDEX_TYPE = 'BTREE'
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`
	c.indexes = map[string][][]string{}
	return conn.query(ctx, query, func(row [][]byte) error {
		name, place := c.catalog.catalogName(string(row[0]), string(row[1])), number(row[2])
		found := c.indexes[name]
		if place == 1 {
			found = append(found, nil)
		}
		if len(found) > 0 && int(place) == len(found[len(found)-1])+1 { // else a part before it cannot be used
			found[len(found)-1] = append(found[len(found)-1], string(row[3]))
		}
		c.indexes[name] = found
		return nil
	})
}

// cascades reports on tables that the user may not read and of which changes
// go on to this one, by foreign keys, without a word in the log. Of those that
// the user may read, this is worked out.
func (c *check) cascades(ctx context.Context, conn *conn, subject string, t *table, above map[*table]bool) error {
	if above[t] {
		return nil
	}
	above[t] = true
	for _, k := range slices.Concat(t.sources.ForeignKeys, t.unseen) {
		if !k.Unlogged {
			continue
		}
		parent := &sources.Table{Schema: k.Schema, Name: k.Table}
		err := conn.exec(ctx, "SELECT "+quoteAll(k.Targets)+" FROM "+quoteTable(parent)+" LIMIT 0")
		switch code := serverCode(err); {
		case code == codeTableDenied || code == codeColumnDenied:
			c.warn(subject, "changes of "+parent.String()+", which user "+c.user+" may not read, go on to it without a word in the log, so that its documents miss them: "+rules(t.sources, &k), c.grantSelect(parent))
		case err != nil && code != codeNoSuchTable && code != codeUnknownDatabase && code != codeLockWait:
			return fmt.Errorf("read %s: %w", parent, err)
		case c.catalog.table(k.Schema, k.Table) != nil:
			if err := c.cascades(ctx, conn, subject, c.catalog.table(k.Schema, k.Table), above); err != nil {
				return err
			}
		}
	}
	return nil
}

// rules is what a foreign key does, in words.
func rules(t *sources.Table, k *sources.ForeignKey) string {
	text := "foreign key " + k.Name + " of " + t.String()
	if k.OnDelete != sources.Restrict {
		text += " ON DELETE " + string(k.OnDelete)
	}
	if k.OnUpdate != sources.Restrict {
		text += " ON UPDATE " + string(k.OnUpdate)
	}
	return text
}

// table reports on one table.
func (c *check) table(ctx context.Context, conn *conn, t *sources.Table) error {
	subject := "table " + t.String()
	before := len(c.findings)
	if readable, err := c.readable(ctx, conn, subject, t); err != nil || !readable {
		return err
	}
	found := c.catalog.table(t.Schema, t.Name)
	if found == nil {
		c.fail(subject, "there is no such table", "create it, or correct its name")
		return nil
	}
	if !c.inLog(t.Schema) {
		c.fail(subject, "its schema is not in the log", "correct binlog_do_db and binlog_ignore_db in the server's option file and restart it")
	}
	if found.partial {
		c.fail(subject, "the user may not see all of its columns, and so cannot tell which is which in the log", c.grantSelect(t))
	}
	if found.end >= 0 && found.columns[found.end].dataType != "timestamp" {
		c.fail(subject, "its versions are numbered by transactions, and the server logs its changes as statements", "leave it out, or ALTER TABLE "+quoteTable(t)+" DROP SYSTEM VERSIONING")
	}
	switch {
	case t.LogOnly:
		c.counted(subject, t, found)
	case !c.transactional[found.engine]:
		c.warn(subject, "its engine "+found.engine+" has no transactions: a statement that fails half-way leaves changes that may not be in the log",
			"ALTER TABLE "+quoteTable(t)+" ENGINE = InnoDB")
	}
	c.key(subject, t)
	c.columns(subject, t, found)
	if err := c.cascades(ctx, conn, subject, found, map[*table]bool{}); err != nil {
		return err
	}
	if len(c.findings) == before {
		text := "key (" + strings.Join(t.Names(t.Key), ", ") + ")"
		if t.LogOnly {
			text += "; it keeps no rows, its inserts are in the log only"
		}
		c.ok(subject, text)
	}
	return nil
}

// counted reports on keys that a table without rows would have to count.
func (c *check) counted(subject string, t *sources.Table, found *table) {
	for i := range t.Columns {
		if at := found.sources.Column(t.Columns[i].Name); at >= 0 && found.columns[at].counted {
			name := t.Columns[i].Name
			c.fail(subject, "its column "+name+" is AUTO_INCREMENT: ENGINE = BLACKHOLE counts from 1 in each statement, so that documents would replace one another",
				"ALTER TABLE "+quoteTable(t)+" MODIFY "+quote(name)+" CHAR(36) NOT NULL, and let the application make the values (UUIDs)")
		}
	}
}

// readable tries to read the table's columns. What the catalog tells of a
// missing table and of a missing privilege is the same.
func (c *check) readable(ctx context.Context, conn *conn, subject string, t *sources.Table) (bool, error) {
	columns := "1"
	if len(t.Columns) > 0 {
		all := make([]string, len(t.Columns))
		for i := range t.Columns {
			all[i] = quote(t.Columns[i].Name)
		}
		columns = strings.Join(all, ", ")
	}
	err := conn.exec(ctx, "SELECT "+columns+" FROM "+quoteTable(t)+" LIMIT 0")
	switch serverCode(err) {
	case 0:
		return err == nil, err
	case codeTableDenied, codeColumnDenied:
		c.fail(subject, "user "+c.user+" may not read it, or there is no such table", c.grantSelect(t))
	case codeNoSuchTable, codeUnknownDatabase:
		c.fail(subject, "there is no such table", "create it, or correct its name")
	case codeLockWait:
		c.warn(subject, "it is locked, and so was not tried to read", "end the session that holds its lock, or the statement that waits for it")
		return true, nil
	case codeNoEngine:
		c.fail(subject, "the server has not loaded its engine: "+err.Error(), "on MariaDB, INSTALL SONAME 'ha_blackhole' for ENGINE = BLACKHOLE; on MySQL, start the server with the engine")
	case codeUnknownColumn:
		c.fail(subject, "it no longer has all columns in use: "+err.Error(), "correct the definition")
	default:
		return false, fmt.Errorf("read %s: %w", subject, err)
	}
	return false, nil
}

func (c *check) grantSelect(t *sources.Table) string {
	return "GRANT SELECT ON " + quoteTable(t) + " TO " + c.user
}

// inLog reports whether the server writes the schema's changes to its log.
func (c *check) inLog(schema string) bool {
	same := func(name string) bool { return name == schema || c.catalog.fold && strings.EqualFold(name, schema) }
	return !slices.ContainsFunc(c.ignored, same) && (len(c.logged) == 0 || slices.ContainsFunc(c.logged, same))
}

// key reports on what identifies a row.
func (c *check) key(subject string, t *sources.Table) {
	if len(t.Key) == 0 {
		c.fail(subject, "it has no key", "add a primary key; or, if some columns identify a row all the same, name them in tables."+t.Name+".key")
		return
	}
	var unlogged []string
	for _, i := range t.Key {
		column := &t.Columns[i]
		if !column.NotNull {
			c.fail(subject, "its key column "+column.Name+" may be NULL", "ALTER TABLE "+quoteTable(t)+" MODIFY "+quote(column.Name)+" "+column.Type.SQL+" NOT NULL")
		}
		if column.NotLogged {
			unlogged = append(unlogged, column.Name)
		}
	}
	if len(unlogged) > 0 {
		c.fail(subject, "its key has generated columns, which are not in the log: "+strings.Join(unlogged, ", "), "name another key in tables."+t.Name+".key")
	}
	names := t.Names(t.Key)
	leads := func(index []string) bool { return len(index) >= len(names) && slices.Equal(index[:len(names)], names) }
	if !slices.ContainsFunc(c.indexes[c.catalog.catalogName(t.Schema, t.Name)], leads) {
		c.warn(subject, "no index has the key as its first columns: each chunk of a snapshot sorts the whole table",
			"ALTER TABLE "+quoteTable(t)+" ADD UNIQUE INDEX ("+quoteAll(names)+")")
	}
}

// columns reports on those whose values cannot be had.
func (c *check) columns(subject string, t *sources.Table, found *table) {
	var unlogged []string
	for i := range found.columns {
		if column := &found.columns[i]; column.compressed() {
			c.fail(subject, "its column "+column.name+" is compressed, which hides the columns behind it in the log", "ALTER TABLE "+quoteTable(t)+" MODIFY "+quote(column.name)+" without COMPRESSED")
		}
	}
	for i := range t.Columns {
		column := &t.Columns[i]
		if column.NotLogged && !slices.Contains(t.Key, i) {
			unlogged = append(unlogged, column.Name)
		}
		if at := found.sources.Column(column.Name); at >= 0 && found.columns[at].refused != nil && !found.columns[at].compressed() {
			c.fail(subject, "its column "+column.Name+" cannot be read: "+found.columns[at].refused.Error(), "leave it out of the definition with exclude")
		}
	}
	if len(unlogged) > 0 {
		c.fail(subject, "generated columns are not in the log of an update: "+strings.Join(unlogged, ", "), "leave them out of the definition with exclude, or use the columns they are made of")
	}
}
