package sources

import (
	"regexp"
	"strconv"
	"strings"
)

// A Kind says what a column's canonical text looks like. Every source converts
// its own representation to it in one place, for snapshot and stream alike, so
// that both give the same bytes.
type Kind uint8

// Kinds and their canonical text. Values that the server tells apart have
// different texts, except where Type.Lossy: keys and documents' ids are made of
// them. So a text may say more than documents show: which date it was that no
// calendar has, which number a MySQL tinyint(1) held, or behind the JSON of a
// value, as a mark, what that JSON leaves out (see AppendMark).
//
// An Elasticsearch date or date_range field takes every Date, Timestamp and
// TimestampTZ there is with the format
//
//	strict_date_optional_time||uuuu-MM-dd['T'HH:mm:ss[.SSSSSS][.SSSSS][.SSSS][.SSS][.SS][.S][X]]
//
// while its default format refuses years beyond 9999. An ip field takes no Inet
// with a prefix length and an ip_range field none without.
const (
	Text        Kind = iota // UTF-8
	Keyword                 // UTF-8: uuid, enum, macaddr, bit, interval, time and other short words
	Bool                    // true, false; of a MySQL tinyint(1) any other number than 1 and 0 as its digits, which is true
	Int                     // decimal digits, optional minus
	Float                   // a JSON number, or NaN, Infinity, -Infinity
	Decimal                 // the database's own digits as a JSON number, or NaN, Infinity, -Infinity
	Bytes                   // raw bytes
	Date                    // 2006-01-02, infinity, -infinity; years as in ISO 8601 beyond 0000..9999: -0043, +12024; MySQL's 0000-00-00, 2021-02-30
	Timestamp               // 2006-01-02T15:04:05[.999999], no zone; infinity, -infinity
	TimestampTZ             // 2006-01-02T15:04:05[.999999]Z, UTC; infinity, -infinity
	JSON                    // a JSON text without line breaks
	Array                   // a JSON array, elements rendered as AppendJSON renders them; Elem is set
	Range                   // a JSON object with gte/gt/lte/lt, or null where empty; Elem is set
	Inet                    // an address, with a prefix length where it has one
	Point                   // a JSON object {"lat":y,"lon":x}
)

// A Type is a column's type.
type Type struct {
	Kind Kind

	// SQL is the type as the server writes it, such as character varying(200).
	SQL string

	// Size: bytes of an Int or Float; the declared length of Text, Keyword,
	// Bytes in characters or bytes, 0 where unbounded.
	Size int

	Unsigned bool

	// Precision and Scale of a Decimal; Precision 0 where undeclared.
	Precision, Scale int

	// Elem of an Array (of any depth) or Range.
	Elem *Type

	// Lossy: different values may have one text, so that it is no part of a key.
	Lossy bool
}

// bounds are a type's length, or its digits and those of a fraction.
var bounds = regexp.MustCompile(`\((\d+)(?:,(-?\d+))?\)`)

// Unbounded is SQL without what bounds the values and does not change how they
// read: what a server makes of values that are there when a bound is altered is
// told apart from it.
func (t *Type) Unbounded() string {
	switch name, _, _ := strings.Cut(t.SQL, "("); name {
	case "varbinary", "enum", "set": // of MySQL and MariaDB
		return name
	}
	of := t
	for of.Elem != nil {
		of = of.Elem
	}
	switch of.Kind {
	case Text, Decimal, Timestamp, TimestampTZ:
		return bounds.ReplaceAllString(t.SQL, "")
	}
	return t.SQL
}

// Widened reports whether a type, as a server writes it, takes all values of
// another, and they stay as they are: it is longer, or has more labels at its end.
func Widened(from, to string) bool {
	switch name, _, _ := strings.Cut(from, "("); name {
	case "enum", "set":
		return strings.HasPrefix(to, strings.TrimSuffix(from, ")")+",")
	case "varchar", "varbinary", "character varying", "numeric", "decimal":
	default:
		return false
	}
	was, is := bounds.FindStringSubmatch(from), bounds.FindStringSubmatch(to)
	if was == nil || bounds.ReplaceAllString(from, "") != bounds.ReplaceAllString(to, "") {
		return false
	}
	if is == nil {
		return true
	}
	had, _ := strconv.Atoi(was[1])
	has, _ := strconv.Atoi(is[1])
	return had <= has && was[2] == is[2]
}
