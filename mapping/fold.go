package mapping

import (
	"bytes"
	"strings"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// Equality of texts on the two sides of a join is the database's, by the
// column's collation: MySQL and MariaDB compare without case unless the
// collation says otherwise (its name has _bin, _cs or _as_cs), and leave
// trailing spaces out unless it is one without padding (_0900_, _nopad_).
// PostgreSQL compares bytes, but for citext and, without trailing spaces,
// char(n). Beyond ASCII, letters are folded by Unicode's simple lower case, and accents count.

// A comparison is how a column's texts are compared.
type comparison struct{ caseless, padded bool }

func comparisonOf(c *sources.Column) comparison {
	if k := joinKind(&c.Type); k != kindText {
		return comparison{}
	}
	name := c.Collation
	switch {
	case name == "":
		return comparison{caseless: c.Type.SQL == "citext", padded: isFixedText(c.Type.SQL)}
	case strings.HasSuffix(name, "_bin"), strings.HasSuffix(name, "_cs"):
		return comparison{padded: isPadded(name)}
	}
	return comparison{caseless: true, padded: isPadded(name)}
}

func isPadded(collation string) bool {
	return !strings.Contains(collation, "_0900_") && !strings.Contains(collation, "_nopad_")
}

// fold makes texts that are equal the same bytes; nil where they are anyway.
func (c comparison) fold() *rowstore.Fold {
	if c == (comparison{}) {
		return nil
	}
	f := &rowstore.Fold{Name: "trimmed"}
	if c.caseless {
		f.Name = "lower"
		if c.padded {
			f.Name = "trimmed lower"
		}
	}
	f.Append = func(dst, text []byte) []byte {
		if c.padded {
			text = bytes.TrimRight(text, " ")
		}
		if c.caseless {
			text = bytes.ToLower(text)
		}
		return append(dst, text...)
	}
	return f
}

// folds are those of a table's columns; nil where none needs one.
func folds(t *sources.Table) []*rowstore.Fold {
	var all []*rowstore.Fold
	for i := range t.Columns {
		if f := comparisonOf(&t.Columns[i]).fold(); f != nil {
			if all == nil {
				all = make([]*rowstore.Fold, len(t.Columns))
			}
			all[i] = f
		}
	}
	return all
}
