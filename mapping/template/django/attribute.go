package django

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"haystream/sources"
)

// A Type is what is known of a value when a template is compiled.
type Type uint8

// Types.
const (
	AnyType Type = iota
	TextType
	NumberType
	DateType
	MomentType
	ClockType
	ListType
)

// String names the type for people.
func (t Type) String() string {
	return [...]string{"a value", "text", "a number", "a date", "a time", "a time of day", "a list"}[t]
}

// TypeOf is the type of a column's values.
func TypeOf(t *sources.Type) Type {
	switch t.Kind {
	case sources.Text, sources.Bytes, sources.Inet:
		return TextType
	case sources.Keyword:
		if _, ok := parseClock(t.SQL, "00:00:00"); ok {
			return ClockType
		}
		return TextType
	case sources.Bool, sources.Int, sources.Float, sources.Decimal:
		return NumberType
	case sources.Date:
		return DateType
	case sources.Timestamp, sources.TimestampTZ:
		return MomentType
	case sources.Array:
		return ListType
	}
	return AnyType
}

var (
	textAttributes = []string{
		"capitalize", "casefold", "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper",
		"lower", "lstrip", "rstrip", "split", "splitlines", "strip", "swapcase", "title", "upper",
	}
	dayAttributes    = []string{"day", "isoformat", "isoweekday", "month", "toordinal", "weekday", "year"}
	clockAttributes  = []string{"hour", "isoformat", "microsecond", "minute", "second"}
	momentAttributes = append(append([]string{"date", "time", "timestamp"}, dayAttributes...), clockAttributes...)
)

// attributes lists what values of a type have below them; known is false where
// that depends on the value.
func attributes(t Type) (names []string, known bool) {
	switch t {
	case TextType:
		return textAttributes, true
	case NumberType:
		return nil, true
	case DateType:
		return dayAttributes, true
	case MomentType:
		return momentAttributes, true
	case ClockType:
		return clockAttributes, true
	}
	return nil, false
}

// attribute is what a value has below it: a dict's key, else what Python's own
// type has, else the element of that index.
func (v Value) attribute(name string) Value {
	switch v.kind {
	case dict:
		if found, ok := v.member(name); ok {
			return found
		}
		return v.dictAttribute(name)
	case list:
		if n, err := strconv.Atoi(name); err == nil {
			return fromEnd(v.items(), n)
		}
	case str:
		if found := v.textAttribute(name); found.kind != missing {
			return found
		}
		if n, err := strconv.Atoi(name); err == nil {
			if found := fromEnd([]rune(v.text), n); found != 0 {
				return Text(string(found))
			}
		}
	case day, datetime, clock:
		return v.timeAttribute(name)
	}
	return Value{}
}

// fromEnd is a list's element of an index; negative ones count from the end.
func fromEnd[T any](list []T, n int) T {
	if n < 0 {
		n += len(list)
	}
	if n < 0 || n >= len(list) {
		var zero T
		return zero
	}
	return list[n]
}

func (v Value) dictAttribute(name string) Value {
	d, _ := v.ref.(*members)
	out := make([]Value, len(d.keys))
	for i, key := range d.keys {
		switch name {
		case "items":
			out[i] = ofTuple(Text(key), d.values[i])
		case "keys":
			out[i] = Text(key)
		case "values":
			out[i] = d.values[i]
		default:
			return Value{}
		}
	}
	if name != "items" && name != "keys" && name != "values" {
		return Value{}
	}
	return ofList(out)
}

func (v Value) textAttribute(name string) Value {
	all := func(ok func(rune) bool) Value {
		return ofBool(v.text != "" && strings.IndexFunc(v.text, func(r rune) bool { return !ok(r) }) < 0)
	}
	switch name {
	case "upper":
		return Text(upper(v.text))
	case "lower", "casefold":
		return Text(lower(v.text))
	case "title":
		return Text(title(v.text))
	case "capitalize":
		first := firstRune(v.text)
		return Text(titleRune(first) + lower(v.text[len(first):]))
	case "swapcase":
		return Text(strings.Map(func(r rune) rune {
			if unicode.IsUpper(r) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, v.text))
	case "strip":
		return Text(trimSpace(v.text))
	case "lstrip":
		return Text(strings.TrimLeftFunc(v.text, isSpace))
	case "rstrip":
		return Text(strings.TrimRightFunc(v.text, isSpace))
	case "split":
		return textList(strings.FieldsFunc(v.text, isSpace))
	case "splitlines":
		return textList(splitLines(v.text))
	case "isdigit":
		return all(unicode.IsDigit)
	case "isalpha":
		return all(unicode.IsLetter)
	case "isalnum":
		return all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
	case "isspace":
		return all(isSpace)
	case "isupper":
		return ofBool(strings.IndexFunc(v.text, unicode.IsUpper) >= 0 && strings.IndexFunc(v.text, unicode.IsLower) < 0)
	case "islower":
		return ofBool(strings.IndexFunc(v.text, unicode.IsLower) >= 0 && strings.IndexFunc(v.text, unicode.IsUpper) < 0)
	}
	return Value{}
}

func textList(texts []string) Value {
	out := make([]Value, len(texts))
	for i := range texts {
		out[i] = Text(texts[i])
	}
	return ofList(out)
}

// timeAttribute is a part of a date or time; a time with a zone is in UTC.
func (v Value) timeAttribute(name string) Value {
	t := time.UnixMicro(v.n).UTC()
	if v.kind != clock {
		switch name {
		case "year":
			return ofInt(t.Year())
		case "month":
			return ofInt(int(t.Month()))
		case "day":
			return ofInt(t.Day())
		case "weekday":
			return ofInt((int(t.Weekday()) + 6) % 7)
		case "isoweekday":
			return ofInt((int(t.Weekday())+6)%7 + 1)
		case "toordinal":
			return ofInt(int(t.Unix()/86400) + 719163)
		}
	}
	if v.kind != day {
		switch name {
		case "hour":
			return ofInt(t.Hour())
		case "minute":
			return ofInt(t.Minute())
		case "second":
			return ofInt(t.Second())
		case "microsecond":
			return ofInt(t.Nanosecond() / 1000)
		}
	}
	switch {
	case name == "isoformat":
		return Text(v.isoTime('T'))
	case name == "date" && v.kind == datetime:
		return Value{kind: day, n: t.Truncate(24 * time.Hour).UnixMicro()}
	case name == "time" && v.kind == datetime:
		return Value{kind: clock, n: t.Sub(t.Truncate(24 * time.Hour)).Microseconds()}
	case name == "timestamp" && v.kind == datetime:
		return ofFloat(float64(v.n) / 1e6)
	}
	return Value{}
}
