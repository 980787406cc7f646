// Package value holds what templates and expressions compute with: SQL's values
// in Go's types. NULL is a value of its own, numbers keep their digits, and what
// may be made of a row is bounded.
//
// A value is one of: Null, bool, int64, float64, string, Decimal, Time,
// time.Duration, []any, map[string]any.
package value

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"haystream/sources"
)

// Null is SQL NULL in templates and expressions. Being an empty map, it prints
// as nothing, is false as a condition, has no members and nothing to range over.
type Null map[string]any

// String is empty.
func (Null) String() string { return "" }

// IsNull reports whether v is NULL, or a member that is not there.
func IsNull(v any) bool {
	if v == nil {
		return true
	}
	n, ok := v.(Null)
	return ok && n == nil
}

// Box makes a value of a cell's canonical text; nil is NULL.
func Box(t *sources.Type, text []byte) (any, error) {
	if text == nil {
		return Null(nil), nil
	}
	switch t.Kind {
	case sources.Bool:
		return boxBool(string(text)), nil
	case sources.Int:
		return boxInt(string(text)), nil
	case sources.Float:
		f, err := strconv.ParseFloat(string(text), 64)
		return f, err
	case sources.Decimal:
		return Decimal{string(text)}, nil
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		return ParseTime(string(text))
	case sources.Bytes:
		return base64.StdEncoding.EncodeToString(text), nil
	case sources.JSON, sources.Array, sources.Range, sources.Point:
		return FromJSON(sources.CutMark(text))
	}
	return string(text), nil
}

// A tinyint is a MySQL tinyint(1) other than 0 and 1: true, and beside numbers itself.
type tinyint int64

// String is what documents hold.
func (tinyint) String() string { return "true" }

func boxBool(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return tinyint(n)
	}
	return text == "true"
}

// boxInt is an int64, or a Decimal beyond its range.
func boxInt(text string) any {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	return Decimal{text}
}

// FromJSON decodes a JSON text with numbers that keep their digits.
func FromJSON(text []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode json: %w", err)
	}
	return boxJSON(v), nil
}

func boxJSON(v any) any {
	switch v := v.(type) {
	case nil:
		return Null(nil)
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return Decimal{v.String()}
		}
		return boxInt(v.String())
	case []any:
		for i := range v {
			v[i] = boxJSON(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = boxJSON(v[k])
		}
	}
	return v
}

// AppendJSON appends a value as JSON. nulled counts the values that
// JSON cannot hold, for which null is appended.
func AppendJSON(dst []byte, v any) (out []byte, nulled int, err error) {
	switch v := v.(type) {
	case nil, Null:
		return append(dst, "null"...), 0, nil
	case bool:
		return strconv.AppendBool(dst, v), 0, nil
	case tinyint:
		return strconv.AppendBool(dst, true), 0, nil
	case int64:
		return strconv.AppendInt(dst, v, 10), 0, nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), 0, nil
	case float64:
		return appendFloat(dst, v)
	case string:
		return sources.AppendJSONString(dst, []byte(v)), 0, nil
	case Decimal:
		if !v.finite() {
			return append(dst, "null"...), 1, nil
		}
		return append(dst, v.text...), 0, nil
	case Time:
		if v.infinite != 0 {
			return append(dst, "null"...), 1, nil
		}
		return sources.AppendJSONString(dst, []byte(v.String())), 0, nil
	case time.Time:
		return sources.AppendJSONString(dst, []byte(Time{Time: v}.String())), 0, nil
	case time.Duration:
		return sources.AppendJSONString(dst, []byte(v.String())), 0, nil
	case map[string]any:
		return appendObject(dst, v)
	case []any:
		return appendArray(dst, len(v), func(i int) any { return v[i] })
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
		return appendArray(dst, list.Len(), func(i int) any { return list.Index(i).Interface() })
	}
	text, err := json.Marshal(v)
	if err != nil {
		return dst, 0, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(dst, text...), 0, nil
}

func appendFloat(dst []byte, f float64) ([]byte, int, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...), 1, nil
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64), 0, nil
}

func appendObject(dst []byte, m map[string]any) ([]byte, int, error) {
	nulled := 0
	dst = append(dst, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(sources.AppendJSONString(dst, []byte(k)), ':')
		var n int
		var err error
		if dst, n, err = AppendJSON(dst, m[k]); err != nil {
			return dst, nulled, err
		}
		nulled += n
	}
	return append(dst, '}'), nulled, nil
}

func appendArray(dst []byte, length int, at func(int) any) ([]byte, int, error) {
	nulled := 0
	dst = append(dst, '[')
	for i := range length {
		if i > 0 {
			dst = append(dst, ',')
		}
		var n int
		var err error
		if dst, n, err = AppendJSON(dst, at(i)); err != nil {
			return dst, nulled, err
		}
		nulled += n
	}
	return append(dst, ']'), nulled, nil
}

// Text is a value as templates print it: strings as they are, NULL as nothing,
// everything else as documents hold it.
func Text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil, Null:
		return "", nil
	case time.Time:
		return Time{Time: v}.String(), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	if k := reflect.ValueOf(v).Kind(); k == reflect.String {
		return reflect.ValueOf(v).String(), nil
	}
	text, _, err := AppendJSON(nil, v)
	return string(text), err
}
