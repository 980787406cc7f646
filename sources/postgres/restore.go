package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"haystream/sources"
)

// restorer turns a type's converter around: what it makes of canonical text the
// server reads as the value. An error of that is for a text that is not of the type.
func (r *typeRegistry) restorer(oid uint32) (converter, error) {
	t := r.types[oid]
	if t == nil {
		return nil, fmt.Errorf("look up type %d: not in the catalog as it was read", oid)
	}
	c, err := r.resolve(oid, -1)
	if err != nil {
		return nil, err
	}
	if t.class == "d" {
		return r.restorer(t.base)
	}
	if c.Lossy || c.Kind == sources.Point {
		return nil, fmt.Errorf("a value of type %s is not told by its text", t.sql)
	}
	if t.class == "c" {
		fields := make([]restored, len(t.fields))
		for i := range fields {
			if fields[i], err = r.restored(t.fieldTypes[i]); err != nil {
				return nil, err
			}
		}
		return unmarked(func(dst, text []byte) ([]byte, error) { return restoreRecord(dst, text, t.fields, fields) }), nil
	}
	if c.Elem != nil {
		elem, err := r.restored(t.elem)
		if err != nil {
			return nil, err
		}
		return unmarked(restoreContainer(t, r.delimiter(t.elem), elem)), nil
	}
	switch {
	case c.Kind == sources.Int:
		return restoreInt(c.Type), nil
	case c.Kind == sources.Bytes:
		return restoreBytes, nil
	case c.Kind == sources.Date, c.Kind == sources.Timestamp, c.Kind == sources.TimestampTZ:
		return restoreTime, nil
	case t.name == "hstore" && !t.builtin:
		return restoreHstore, nil
	case c.Kind == sources.JSON && !t.builtin:
		return nil, fmt.Errorf("a value of type %s is not told by its text", t.sql)
	}
	return nil, nil
}

// restoreInt refuses what is no such number: some types take it for another one.
func restoreInt(t sources.Type) converter {
	return func(dst, text []byte) ([]byte, error) {
		whole, fraction, _ := bytes.Cut(text, []byte("."))
		_, err := strconv.ParseInt(string(whole), 10, 8*t.Size)
		if t.Unsigned {
			_, err = strconv.ParseUint(string(whole), 10, 8*t.Size)
		}
		if len(bytes.Trim(fraction, "0")) > 0 || err != nil {
			return nil, errors.Join(err, errText("integer", text))
		}
		return append(dst, whole...), nil
	}
}

func restoreBytes(dst, text []byte) ([]byte, error) {
	return hex.AppendEncode(append(dst, `\x`...), text), nil
}

// restoreTime gives years before and after those of four digits PostgreSQL's form.
func restoreTime(dst, text []byte) ([]byte, error) {
	text = bytes.Replace(text, []byte("T"), []byte(" "), 1)
	if zone, ok := bytes.CutSuffix(text, []byte("Z")); ok {
		text = slices.Concat(zone, []byte("+00"))
	}
	text = bytes.TrimPrefix(text, []byte("+"))
	negative := len(text) > 0 && text[0] == '-'
	digits := bytes.TrimPrefix(text, []byte("-"))
	end := bytes.IndexByte(digits, '-')
	if end < 0 || !negative && string(digits[:end]) != "0000" { // or infinity
		return append(dst, text...), nil
	}
	year, err := strconv.Atoi(string(digits[:end]))
	if err != nil {
		return nil, errText("date", text)
	}
	return fmt.Appendf(dst, "%04d%s BC", year+1, digits[end:]), nil
}

// unmarked takes the mark for the value where a text has one: it is the server's own text.
func unmarked(restore converter) converter {
	return func(dst, text []byte) ([]byte, error) {
		if shown := sources.CutMark(text); len(shown) < len(text) {
			return append(dst, text[len(shown)+1:len(text)-1]...), nil
		}
		return restore(dst, text)
	}
}

// restored is how values within others are restored.
type restored struct {
	sources.Type
	restore converter
}

func (r *typeRegistry) restored(oid uint32) (restored, error) {
	c, err := r.resolve(oid, -1)
	if err != nil {
		return restored{}, err
	}
	restore, err := r.restorer(oid)
	return restored{c.Type, restore}, err
}

// value is the server's text of a JSON value, which is not null.
func (e *restored) value(value json.RawMessage) (text []byte, err error) {
	text = value
	if len(value) > 0 && value[0] == '"' && e.Kind != sources.JSON {
		var unquoted string
		if err := json.Unmarshal(value, &unquoted); err != nil {
			return nil, err
		}
		text = []byte(unquoted)
		if e.Kind == sources.Bytes {
			if text, err = base64.StdEncoding.DecodeString(unquoted); err != nil {
				return nil, err
			}
		}
	}
	if e.restore == nil {
		return text, nil
	}
	return e.restore(nil, text)
}

// append appends the value in quotes.
func (e *restored) append(dst []byte, value json.RawMessage) ([]byte, error) {
	text, err := e.value(value)
	if err != nil {
		return nil, err
	}
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"'), nil
}

func isNull(value json.RawMessage) bool { return value == nil || string(value) == "null" }

// restoreContainer restores arrays, vectors, ranges and multiranges.
func restoreContainer(t *catalogType, delim byte, elem restored) converter {
	switch {
	case t.class == "r":
		return func(dst, text []byte) ([]byte, error) { return elem.appendRange(dst, text) }
	case t.class == "m":
		return func(dst, text []byte) ([]byte, error) {
			var ranges []json.RawMessage
			if err := json.Unmarshal(text, &ranges); err != nil {
				return nil, err
			}
			dst = append(dst, '{')
			for i, one := range ranges {
				if i > 0 {
					dst = append(dst, ',')
				}
				text, err := elem.value(one)
				if err != nil {
					return nil, err
				}
				dst = append(dst, text...)
			}
			return append(dst, '}'), nil
		}
	case t.name == "int2vector" || t.name == "oidvector":
		return func(dst, text []byte) ([]byte, error) {
			return append(dst, bytes.ReplaceAll(bytes.Trim(text, "[]"), []byte(","), []byte(" "))...), nil
		}
	}
	return func(dst, text []byte) ([]byte, error) { return elem.appendArray(dst, text, delim) }
}

// appendArray appends an array. Lists in it are its dimensions, unless its
// elements may be such.
func (e *restored) appendArray(dst, text []byte, delim byte) ([]byte, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil || list == nil {
		return nil, errors.Join(err, errText("array", text))
	}
	dst = append(dst, '{')
	for i, value := range list {
		if i > 0 {
			dst = append(dst, delim)
		}
		var err error
		switch {
		case isNull(value):
			dst = append(dst, "NULL"...)
		case value[0] == '[' && e.Kind != sources.Array && (e.Kind != sources.JSON || e.restore != nil):
			dst, err = e.appendArray(dst, value, delim)
		default:
			dst, err = e.append(dst, value)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func (e *restored) appendRange(dst, text []byte) ([]byte, error) {
	var bounds struct{ GTE, GT, LTE, LT json.RawMessage }
	if err := json.Unmarshal(text, &bounds); err != nil {
		return nil, err
	}
	open, lower, upper, shut := byte('('), bounds.GT, bounds.LT, byte(')')
	if bounds.GTE != nil {
		open, lower = '[', bounds.GTE
	}
	if bounds.LTE != nil {
		upper, shut = bounds.LTE, ']'
	}
	dst = append(dst, open)
	for i, bound := range []json.RawMessage{lower, upper} {
		if i > 0 {
			dst = append(dst, ',')
		}
		if bound == nil {
			continue
		}
		var err error
		if dst, err = e.append(dst, bound); err != nil {
			return nil, err
		}
	}
	return append(dst, shut), nil
}

func restoreRecord(dst, text []byte, names []string, fields []restored) ([]byte, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	dst = append(dst, '(')
	for i := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		value := values[names[i]]
		if isNull(value) {
			continue
		}
		var err error
		if dst, err = fields[i].append(dst, value); err != nil {
			return nil, err
		}
	}
	return append(dst, ')'), nil
}

func restoreHstore(dst, text []byte) ([]byte, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	str := restored{Type: sources.Type{Kind: sources.Text}}
	for name, value := range values {
		if len(dst) > 0 {
			dst = append(dst, ',')
		}
		dst, _ = str.append(dst, sources.AppendJSONString(nil, []byte(name)))
		dst = append(dst, "=>"...)
		if isNull(value) {
			dst = append(dst, "NULL"...)
			continue
		}
		var err error
		if dst, err = str.append(dst, value); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
