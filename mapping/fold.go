package mapping

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// Equality of texts on the two sides of a join is the database's, by the
// column's collation: MySQL and MariaDB compare without case unless the
// collation says otherwise (its name has _bin, _cs or _as_cs), and leave
// trailing spaces out unless it is one without padding (_0900_, _nopad_).
// PostgreSQL compares bytes, but for citext and, without trailing spaces, char(n).
// Texts that the server tells apart are never held equal. So only letters are
// folded whose pairs all collations know, and accents count.

// A comparison is how a column's texts are compared.
type comparison struct {
	caseless, padded bool
	letters          string // which are folded, where not all that are safe: ascii, or turkish
}

func comparisonOf(c *sources.Column) comparison {
	if joinKind(&c.Type) != sources.Text {
		return comparison{}
	}
	name := c.Collation
	switch {
	case name == "":
		return comparison{caseless: c.Type.SQL == "citext", padded: isFixedText(c.Type.SQL)}
	case strings.HasSuffix(name, "_bin"), strings.HasSuffix(name, "_cs"), strings.Contains(name, "_cs_"):
		return comparison{padded: isPadded(name)}
	}
	of := comparison{caseless: true, padded: isPadded(name)}
	charset, language, _ := strings.Cut(name, "_")
	switch {
	case strings.HasPrefix(language, "turkish"), strings.HasPrefix(language, "tr_"), strings.Contains(language, "_turkish"):
		of.letters = "turkish"
	case slices.Contains([]string{"big5", "cp932", "eucjpms", "euckr", "gb2312", "gbk", "sjis", "ujis", "swe7", "tis620", "hebrew", "armscii8", "geostd8"}, charset):
		of.letters = "ascii"
	}
	return of
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
		if c.letters != "" {
			f.Name += " " + c.letters
		}
	}
	f.Append = func(dst, text []byte) []byte {
		if c.padded {
			text = bytes.TrimRight(text, " ")
		}
		if c.caseless {
			return c.appendLower(dst, text)
		}
		return append(dst, text...)
	}
	return f
}

// appendLower appends text with its letters folded.
func (c comparison) appendLower(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		b := text[i]
		switch {
		case b == 'I' && c.letters == "turkish": // the other case of it is dotless
			dst = append(dst, b)
		case b >= 'A' && b <= 'Z':
			dst = append(dst, b+'a'-'A')
		case b < utf8.RuneSelf || c.letters == "ascii":
			dst = append(dst, b)
		default:
			r, size := utf8.DecodeRune(text[i:])
			if lower := unicode.ToLower(r); lower != r && foldable(r) && unicode.ToUpper(lower) == r {
				dst = utf8.AppendRune(dst, lower)
			} else {
				dst = append(dst, text[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return dst
}

// foldable reports whether a letter is of a script whose cases all collations
// know: Latin, Greek, Cyrillic and Armenian ones that Unicode has long had.
func foldable(r rune) bool {
	return r <= 0x217 || r >= 0x386 && r <= 0x3ab || r >= 0x400 && r <= 0x42f || r >= 0x460 && r <= 0x480 || r >= 0x531 && r <= 0x556 || r >= 0x1e00 && r <= 0x1e95
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
