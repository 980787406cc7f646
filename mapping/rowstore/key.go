package rowstore

import (
	"bytes"
	"slices"

	"haystream/sources"
)

// AppendKey appends the values of columns in a canonical form that delimits
// itself: values that are equal in SQL, of either side of a foreign key, give
// equal bytes. Numbers are in order of their value, words of their bytes.
// null: a value is NULL or Missing, so the row matches none.
func AppendKey(dst []byte, t *Table, row sources.Row, columns []int) (key []byte, null bool) {
	for _, i := range columns {
		if row.Null(i) || row.Missing(i) {
			return dst, true
		}
		dst = AppendValue(dst, &t.Columns[i].Type, t.fold(i), row.Text(i))
	}
	return dst, false
}

// What a value's encoding begins with. Between them are the tags of numbers.
const (
	tagText     = 0x10
	tagTime     = 0x18
	tagAfterAll = 0xff // no value begins with it
)

// AppendValue appends one value, as AppendKey does. fold may be nil.
//
// Equal are: integers, decimals and floats of one value, whatever their width
// and trailing zeros, and false and true with 0 and 1; a date and a timestamp
// at its midnight; texts, enums and bytes of the same bytes after folding; uuids
// in either case. A float equals the decimal of its shortest digits.
func AppendValue(dst []byte, of *sources.Type, fold *Fold, text []byte) []byte {
	switch of.Kind {
	case sources.Bool:
		switch string(text) {
		case "true":
			return append(dst, tagPositive+1, 1<<1)
		case "false":
			return append(dst, tagZero)
		}
		if out, ok := appendNumber(dst, text); ok {
			return out
		}
	case sources.Int, sources.Decimal, sources.Float:
		if out, ok := appendNumber(dst, text); ok {
			return out
		}
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		return appendEscaped(append(dst, tagTime), trimTime(text))
	}
	start := len(dst)
	switch {
	case fold != nil:
		dst = fold.Append(dst, text)
	case of.SQL == "uuid":
		dst = append(dst, text...)
		for i, c := range dst[start:] {
			if c >= 'A' && c <= 'Z' {
				dst[start+i] = c + 'a' - 'A'
			}
		}
	default:
		return appendEscaped(append(dst, tagText), text)
	}
	folded := dst[start:]
	dst = appendEscaped(append(dst, tagText), folded)
	return append(dst[:start], dst[start+len(folded):]...)
}

// appendEscaped appends bytes and an end mark that sorts before every byte.
func appendEscaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, 0)
		if i < 0 {
			return append(append(dst, text...), 0, 1)
		}
		dst = append(append(dst, text[:i]...), 0, 0xff)
		text = text[i+1:]
	}
}

// trimTime takes off what does not change a point in time: zeros that end the
// fraction, and a midnight without a zone.
func trimTime(text []byte) []byte {
	const midnight = "T00:00:00"
	zoned := bytes.HasSuffix(text, []byte("Z"))
	if dot := bytes.LastIndexByte(text, '.'); dot >= 0 && !zoned {
		text = bytes.TrimSuffix(bytes.TrimRight(text, "0"), []byte("."))
	} else if dot >= 0 {
		digits := bytes.TrimSuffix(bytes.TrimRight(text[:len(text)-1], "0"), []byte("."))
		return append(slices.Clip(digits), 'Z')
	}
	if !zoned {
		text = bytes.TrimSuffix(text, []byte(midnight))
	}
	return text
}
