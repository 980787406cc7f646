package mysql

import (
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
)

// unsetOf reads a column's default as MySQL's information_schema.COLUMNS has
// it: in UTF-8 and without quotes; nil where there is none. It leaves alone
// what is not told there for certain. MariaDB has expressions and texts in one
// form, and its partial images are not taken.
func unsetOf(f flavor, c *column, text []byte, notNull bool, extra string) unset {
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
		default:
			return unset{}
		}
	}
	switch c.dataType {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return unset{unsetText, slices.Clone(text)}
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "enum", "set", "date", "datetime", "time", "year":
		if value, err := c.convert([]byte{}, text); err == nil {
			return unset{unsetText, value}
		}
	}
	return unset{}
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
