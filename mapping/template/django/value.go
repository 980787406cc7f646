package django

import (
	"encoding/base64"
	"math/big"
	"strconv"
	"strings"
	"unsafe"

	"haystream/sources"
)

// A kind is the Python type that a value stands for.
type kind uint8

const (
	missing kind = iota // a name that leads nowhere
	none
	boolean  // n is 0 or 1
	integer  // n, or where text is set its digits: beyond an int64
	float    // number
	decimal  // text has the digits
	str      // text; safe where it is not escaped any more
	day      // a date: n as of a datetime at midnight
	datetime // a datetime: n in microseconds since 1970; aware of its zone, UTC, or naive
	clock    // a time of day: n in microseconds
	list     // ref is *items
	dict     // ref is *members
	record   // a row: ref is the caller's
	records  // rows: ref is *rows
)

// A Value is what an expression gives: one of Python's values. The zero Value is
// that of a name that leads nowhere.
type Value struct {
	kind   kind
	safe   bool
	aware  bool
	n      int64
	number float64
	text   string
	ref    any
}

type items struct {
	values []Value
	tuple  bool
}

// members are a dict's, in the order in which they were written.
type members struct {
	keys   []string
	values []Value
}

type rows struct{ list []Row }

// Constructors.

// None is Python's None, SQL's NULL.
func None() Value { return Value{kind: none} }

// Text is a string that is escaped where it is printed.
func Text(s string) Value { return Value{kind: str, text: s} }

func safeText(s string) Value  { return Value{kind: str, text: s, safe: true} }
func ofInt(n int) Value        { return Value{kind: integer, n: int64(n)} }
func ofFloat(f float64) Value  { return Value{kind: float, number: f} }
func ofRow(row Row) Value      { return Value{kind: record, ref: row} }
func ofList(v []Value) Value   { return Value{kind: list, ref: &items{values: v}} }
func ofTuple(v ...Value) Value { return Value{kind: list, ref: &items{values: v, tuple: true}} }

func ofBool(b bool) Value {
	if b {
		return Value{kind: boolean, n: 1}
	}
	return Value{kind: boolean}
}

// ofBig is an integer of any size.
func ofBig(i *big.Int) Value {
	if i.IsInt64() {
		return Value{kind: integer, n: i.Int64()}
	}
	return Value{kind: integer, text: i.String()}
}

func (v Value) items() []Value {
	if l, ok := v.ref.(*items); ok {
		return l.values
	}
	return nil
}

func (v Value) rows() []Row {
	if r, ok := v.ref.(*rows); ok {
		return r.list
	}
	return nil
}

// member returns a dict's value of a key.
func (v Value) member(key string) (Value, bool) {
	d, ok := v.ref.(*members)
	if !ok {
		return Value{}, false
	}
	for i := len(d.keys) - 1; i >= 0; i-- { // the last of equal ones counts
		if d.keys[i] == key {
			return d.values[i], true
		}
	}
	return Value{}, false
}

// Column is the value of a cell's canonical text; nil is None. It refers to the
// text, which must stay as it is for as long as the value is used.
func Column(t *sources.Type, text []byte) (Value, error) {
	if text == nil {
		return None(), nil
	}
	switch t.Kind {
	case sources.Bool:
		return ofBool(string(text) != "false" && string(text) != "0"), nil
	case sources.Int:
		return parseInteger(refer(text)), nil
	case sources.Float:
		return parseFloatColumn(refer(text))
	case sources.Decimal:
		return Value{kind: decimal, text: refer(text)}, nil
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		return parseTime(t.Kind, refer(text))
	case sources.Keyword:
		if v, ok := parseClock(t.SQL, refer(text)); ok {
			return v, nil
		}
	case sources.Bytes:
		return Text(base64.StdEncoding.EncodeToString(text)), nil
	case sources.JSON, sources.Array, sources.Range, sources.Point:
		return readJSON(refer(sources.CutMark(text)))
	}
	return Text(refer(text)), nil
}

// refer is the text as a string that shares its bytes: most columns are printed
// once and never copied.
func refer(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }

func parseInteger(digits string) Value {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return Value{kind: integer, n: n}
	}
	return Value{kind: integer, text: digits}
}

// set gives a key its value; one that is there keeps its place.
func (m *members) set(key string, v Value) {
	for i := range m.keys {
		if m.keys[i] == key {
			m.values[i] = v
			return
		}
	}
	m.keys, m.values = append(m.keys, key), append(m.values, v)
}

// truth is a value as a condition.
func (v Value) truth() bool {
	switch v.kind {
	case missing, none:
		return false
	case boolean:
		return v.n != 0
	case integer:
		return v.n != 0 || v.text != ""
	case float:
		return v.number != 0
	case decimal:
		return strings.ContainsAny(v.text, "123456789N") || strings.Contains(v.text, "Infinity")
	case str:
		return v.text != ""
	case list:
		return len(v.items()) > 0
	case dict:
		d, _ := v.ref.(*members)
		return len(d.keys) > 0
	case records:
		return len(v.rows()) > 0
	}
	return true
}

// length is Python's len; ok is false for what has none.
func (v Value) length() (n int, ok bool) {
	switch v.kind {
	case str:
		return runes(v.text), true
	case list:
		return len(v.items()), true
	case dict:
		d, _ := v.ref.(*members)
		return len(d.keys), true
	case records:
		return len(v.rows()), true
	}
	return 0, false
}

// elements are what a loop over the value goes through; ok is false where there
// can be none. n is how many.
func (v Value) elements() (n int, at func(int) Value, ok bool) {
	switch v.kind {
	case list:
		values := v.items()
		return len(values), func(i int) Value { return values[i] }, true
	case records:
		list := v.rows()
		return len(list), func(i int) Value { return ofRow(list[i]) }, true
	case dict:
		d, _ := v.ref.(*members)
		return len(d.keys), func(i int) Value { return Text(d.keys[i]) }, true
	case str:
		text := []rune(v.text)
		return len(text), func(i int) Value { return Text(string(text[i])) }, true
	}
	return 0, nil, false
}

// typeName is how Python names the value's type.
func (v Value) typeName() string {
	return [...]string{"str", "NoneType", "bool", "int", "float", "Decimal", "str", "date", "datetime", "time", "list", "dict", "row", "rows"}[v.kind]
}
