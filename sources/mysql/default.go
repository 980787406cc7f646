package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"haystream/sources"
)

// An unset is the value that a column has where an INSERT does not name it.
// A partial row image leaves it out where it is a constant: MySQL logs what an
// expression, a trigger or AUTO_INCREMENT has given.
type unset struct {
	kind unsetKind
	text []byte // canonical
}

type unsetKind uint8

const (
	unsetUnknown unsetKind = iota
	unsetNull
	unsetText
	unsetFixed // a constant that was not read yet
)

// unsetOf reads a column's default as MySQL's information_schema.COLUMNS has
// it: in UTF-8 and without quotes; nil where there is none. What is not told
// there for certain readDefaults asks for. MariaDB has expressions and texts in
// one form, and its partial images are not taken.
func unsetOf(f flavor, c *column, text []byte, notNull bool, extra string) unset {
	fixed := text != nil
	switch {
	case f != mysqlServer || c.refused != nil || strings.Contains(extra, "GENERATED") || strings.Contains(extra, "auto_increment"):
		return unset{}
	case text == nil && !notNull:
		return unset{kind: unsetNull}
	case text == nil: // the server was not strict
		switch c.dataType {
		case "tinyint", "smallint", "mediumint", "int", "bigint":
			text = []byte("0")
		case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
			text = []byte{}
		}
	}
	switch c.dataType {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return unset{unsetText, slices.Clone(text)}
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "enum", "set", "date", "datetime", "time", "year":
		if value, err := c.convert([]byte{}, text); err == nil && text != nil {
			return unset{unsetText, value}
		}
	}
	if fixed {
		return unset{kind: unsetFixed}
	}
	return unset{}
}

// readDefaults asks for the constants that columns of some tables have as
// defaults, in the form that their rows are read in.
func (c *catalog) readDefaults(ctx context.Context, conn *conn, tables []*sources.Table) error {
	for _, t := range tables {
		found := c.table(t.Schema, t.Name)
		if found == nil {
			continue // dropped since
		}
		// The server tells them to one who reads a row. Beside a row that is not there it
		// tells those of columns that may be NULL.
		for _, from := range []string{quoteTable(t) + " LIMIT 1", "(SELECT 1) AS one LEFT JOIN " + quoteTable(t) + " ON FALSE"} {
			if err := found.readDefaults(ctx, conn, from); err != nil {
				return fmt.Errorf("read defaults of %s: %w", t, err)
			}
		}
	}
	return nil
}

func (t *table) readDefaults(ctx context.Context, conn *conn, from string) error {
	var columns []*column
	var selected []string
	for i := range t.columns {
		if c := &t.columns[i]; c.unset.kind == unsetFixed {
			columns = append(columns, c)
			selected = append(selected, c.expression("DEFAULT("+quote(c.name)+")"))
		}
	}
	if len(columns) == 0 {
		return nil
	}
	err := conn.query(ctx, "SELECT "+strings.Join(selected, ", ")+" FROM "+from, func(row [][]byte) error {
		for i, c := range columns {
			if row[i] == nil {
				continue
			}
			value, err := c.convert([]byte{}, row[i])
			if err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
			c.unset = unset{unsetText, value}
		}
		return nil
	})
	if serverCode(err) != 0 {
		return nil // it may not be read, or has changed: the first row that lacks a value says so
	}
	return err
}

// add adds the value to a row.
func (u unset) add(a *sources.Arena) {
	switch u.kind {
	case unsetNull:
		a.Null()
	case unsetText:
		a.Text(u.text)
	default:
		a.Missing()
	}
}
