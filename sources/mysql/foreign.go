package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"haystream/sources"
)

// foreignKeysQuery lists the columns of foreign keys. What a key does is not
// shown to everybody who may read the table.
const foreignKeysQuery = `
SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME,
       k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE
FROM information_schema.KEY_COLUMN_USAGE k
LEFT JOIN information_schema.REFERENTIAL_CONSTRAINTS r
  ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
WHERE k.` + userSchemas + ` AND k.REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION`

// readForeignKeys gives the tables their foreign keys.
func (c *catalog) readForeignKeys(ctx context.Context, conn *conn) error {
	unseen := map[*table]bool{} // tables with keys of which the user may not see what they do
	err := conn.query(ctx, foreignKeysQuery, func(row [][]byte) error {
		t, target := c.table(string(row[0]), string(row[1])), c.table(string(row[4]), string(row[5]))
		if t == nil {
			return nil
		}
		one := sources.ForeignKey{
			Name: string(row[2]), Schema: string(row[4]), Table: string(row[5]),
			OnDelete: referenceAction(string(row[7])), OnUpdate: referenceAction(string(row[8])),
		}
		to := &t.unseen
		if target != nil {
			to, one.Schema, one.Table = &t.sources.ForeignKeys, target.sources.Schema, target.sources.Name
		}
		if n := len(*to); n == 0 || (*to)[n-1].Name != one.Name {
			*to = append(*to, one)
			if row[7] == nil {
				unseen[t] = true
			}
		}
		k := &(*to)[len(*to)-1]
		k.Columns, k.Targets = append(k.Columns, string(row[3])), append(k.Targets, string(row[6]))
		return nil
	})
	if err != nil {
		return err
	}
	for t := range unseen {
		if err := readActions(ctx, conn, t); err != nil {
			return fmt.Errorf("read foreign keys of %s: %w", t.sources, err)
		}
	}
	return c.readUnlogged(ctx, conn)
}

// readUnlogged finds out whether the log has what foreign keys do, which
// InnoDB keeps to itself. MySQL 9.6 and later do it in InnoDB's place, unless
// they are told to leave it as it was.
func (c *catalog) readUnlogged(ctx context.Context, conn *conn) error {
	row, err := conn.one(ctx, "SHOW GLOBAL VARIABLES LIKE 'innodb\\_native\\_foreign\\_keys'")
	if err != nil && !errors.Is(err, errNoRow) {
		return fmt.Errorf("read who carries them out: %w", err)
	}
	c.cascadesLogged = err == nil && row[1] == "OFF"
	c.actedOn = map[string][]tableName{}
	for _, t := range c.tables {
		for _, keys := range [][]sources.ForeignKey{t.sources.ForeignKeys, t.unseen} {
			for i := range keys {
				k := &keys[i]
				if k.OnDelete == sources.Restrict && k.OnUpdate == sources.Restrict {
					continue
				}
				k.Unlogged = !c.cascadesLogged
				parent := c.catalogName(k.Schema, k.Table)
				c.actedOn[parent] = append(c.actedOn[parent], tableName{t.sources.Schema, t.sources.Name})
				if parent := c.tables[parent]; parent != nil {
					parent.acts = true
				}
			}
		}
	}
	return nil
}

// reach adds a table and those that foreign keys change with it, by their catalogNames.
func (c *catalog) reach(name string, all map[string]bool) {
	if all[name] {
		return
	}
	all[name] = true
	for _, child := range c.actedOn[name] {
		c.reach(c.catalogName(child.schema, child.name), all)
	}
}

// readActions reads what a table's foreign keys do from the statement that
// creates it, which is shown to whoever may read the table.
func readActions(ctx context.Context, conn *conn, t *table) error {
	row, err := conn.one(ctx, "SHOW CREATE TABLE "+quoteTable(t.sources))
	if code := serverCode(err); code == codeTableDenied || code == codeColumnDenied {
		return nil // nor can the log be read for who may see some columns only
	}
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(row[1], "\n") {
		for _, keys := range [][]sources.ForeignKey{t.sources.ForeignKeys, t.unseen} {
			for i := range keys {
				k := &keys[i]
				if strings.HasPrefix(strings.TrimSpace(line), "CONSTRAINT "+quote(k.Name)+" FOREIGN KEY ") {
					k.OnDelete, k.OnUpdate = writtenActions(line)
				}
			}
		}
	}
	return nil
}

// writtenActions reads the end of a foreign key's line: … ON DELETE CASCADE ON UPDATE SET NULL,
func writtenActions(line string) (onDelete, onUpdate sources.ReferenceAction) {
	end := strings.TrimSuffix(line[strings.LastIndexByte(line, ')')+1:], ",")
	end, update, _ := strings.Cut(end, " ON UPDATE ")
	_, remove, _ := strings.Cut(end, " ON DELETE ")
	return referenceAction(remove), referenceAction(update)
}

// referenceAction reads a rule. Servers treat SET DEFAULT as they do RESTRICT
// or NO ACTION.
func referenceAction(rule string) sources.ReferenceAction {
	switch a := sources.ReferenceAction(rule); a {
	case sources.Cascade, sources.SetNull:
		return a
	}
	return sources.Restrict
}
