package django

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// element is v[n].
func element(v Value, n int) (Value, error) {
	count, at, ok := v.elements()
	if !ok || v.kind == dict {
		return v, failure("%s has no elements by number", v.typeName())
	}
	if n < 0 {
		n += count
	}
	if n < 0 || n >= count {
		return Text(""), nil
	}
	return at(n), nil
}

// each makes a list of what f makes of elements.
func each(v Value, f func(Value) Value) (Value, error) {
	n, at, ok := v.elements()
	if !ok {
		return v, failure("%s is no list", v.typeName())
	}
	out := make([]Value, n)
	for i := range n {
		out[i] = f(at(i))
	}
	return ofList(out), nil
}

func join(x input) (Value, error) {
	n, at, ok := x.v.elements()
	if !ok || x.arg.kind != str && !x.escape {
		return x.v, nil
	}
	separator := x.arg.text
	if x.escape {
		separator = x.arg.escaped()
	}
	var out strings.Builder
	for i := range n {
		if i > 0 {
			out.WriteString(separator)
		}
		v := at(i)
		switch {
		case x.escape:
			out.WriteString(v.escaped())
		case v.kind == str:
			out.WriteString(v.text)
		default: // Python's join takes text only
			return x.v, nil
		}
		if err := x.m.steps(0, out.Len()); err != nil {
			return x.v, err
		}
	}
	return safeText(out.String()), nil
}

// slice is Python's v[start:stop:step]; what cannot be sliced stays as it is.
func slice(x input) (Value, error) {
	var bounds [3]*int
	parts := strings.Split(x.arg.String(), ":")
	if len(parts) > 3 {
		return x.v, nil
	}
	for i, part := range parts {
		if part == "" {
			continue
		}
		n, err := Text(part).toSmall()
		if err != nil {
			return x.v, nil
		}
		bounds[i] = &n
	}
	if len(parts) == 1 { // one number is where it stops
		bounds[0], bounds[1] = nil, bounds[0]
	}
	step := 1
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return x.v, nil
	}
	switch x.v.kind {
	case str:
		return Text(string(sliced([]rune(x.v.text), bounds[0], bounds[1], step))), nil
	case list:
		out := ofList(sliced(x.v.items(), bounds[0], bounds[1], step))
		out.ref.(*items).tuple = isTuple(x.v)
		return out, nil
	case records:
		return Value{kind: records, ref: &rows{sliced(x.v.rows(), bounds[0], bounds[1], step)}}, nil
	}
	return x.v, nil
}

func sliced[T any](list []T, start, stop *int, step int) []T {
	n := len(list)
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	bound := func(at *int, otherwise int) int {
		if at == nil {
			return otherwise
		}
		i := *at
		if i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	from, to := bound(start, low), bound(stop, high)
	if step < 0 {
		from, to = bound(start, high), bound(stop, low)
	}
	out := []T{}
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, list[i])
	}
	return out
}

// dictSort sorts a list by a key, or a place, of its elements. What cannot be
// sorted gives empty text.
func dictSort(x input, reversed bool) (Value, error) {
	n, at, ok := x.v.elements()
	if !ok {
		return Text(""), nil
	}
	if _, err := x.arg.toFloat(); err != nil && (x.arg.text == "" || x.arg.text[0] == '_' || strings.Contains(x.arg.text, "._")) {
		return x.v, failure("%q is no name to sort by", x.arg)
	}
	entries := make([]entry, n)
	for i := range n {
		key, err := sortKey(at(i), x.arg)
		if err != nil {
			return Text(""), nil
		}
		entries[i] = entry{at(i), key}
	}
	if err := sortEntries(entries, reversed); err != nil {
		return Text(""), nil
	}
	out := make([]Value, n)
	for i := range entries {
		out[i] = entries[i].value
	}
	return ofList(out), nil
}

type entry struct{ value, key Value }

// sortKey is what an element is sorted by.
func sortKey(v, by Value) (Value, error) {
	if by.kind == integer {
		if v.kind != list && v.kind != str {
			return v, errType
		}
		n, err := by.toSmall()
		if err != nil {
			return v, err
		}
		found, err := element(v, n)
		return found, err
	}
	if _, err := by.toFloat(); err == nil { // text that is a number is a key only
		found, ok := v.member(by.text)
		if !ok {
			return v, errType
		}
		return found, nil
	}
	for part := range strings.SplitSeq(by.String(), ".") {
		if v = v.attribute(part); v.kind == missing {
			return v, errType
		}
	}
	return v, nil
}

func sortEntries(entries []entry, reversed bool) error {
	var failed error
	slices.SortStableFunc(entries, func(a, b entry) int {
		c, _, err := compare(a.key, b.key)
		if err != nil {
			failed = err
		}
		if reversed {
			return -c
		}
		return c
	})
	return failed
}

// sortRows sorts rows by what an expression gives of each.
func sortRows(x input, by *expression, reversed bool) (Value, error) {
	list := x.v.rows()
	entries := make([]entry, len(list))
	for i := range list {
		x.m.slots[x.m.base+by.slot] = ofRow(list[i])
		key, err := by.value(x.m, true)
		if err != nil {
			return x.v, err
		}
		entries[i] = entry{ofRow(list[i]), key}
	}
	if err := sortEntries(entries, reversed); err != nil {
		return Value{kind: records, ref: &rows{}}, nil
	}
	sorted := make([]Row, len(entries))
	for i := range entries {
		sorted[i] = entries[i].value.ref
	}
	return Value{kind: records, ref: &rows{sorted}}, nil
}

// unorderedList makes HTML's list items. A list behind an item is below it.
func unorderedList(x input) (Value, error) {
	if _, _, ok := x.v.elements(); !ok {
		return x.v, failure("%s is no list", x.v.typeName())
	}
	return safeText(string(appendListItems(nil, x.v, 1, x.escape))), nil
}

func appendListItems(dst []byte, v Value, depth int, escape bool) []byte {
	indent := strings.Repeat("\t", depth)
	n, at, _ := v.elements()
	for i := 0; i < n; i++ {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = append(append(dst, indent...), "<li>"...)
		item := at(i)
		if escape {
			dst = append(dst, item.escaped()...)
		} else {
			dst = append(dst, item.String()...)
		}
		if i+1 < n && at(i+1).kind == list {
			i++
			if below := at(i); below.truth() {
				dst = append(append(append(dst, '\n'), indent...), "<ul>\n"...)
				dst = appendListItems(dst, below, depth+1, escape)
				dst = append(append(append(dst, '\n'), indent...), "</ul>\n"...)
				dst = append(dst, indent...)
			}
		}
		dst = append(dst, "</li>"...)
	}
	return dst
}

func yesNo(x input) (Value, error) {
	texts := "yes,no,maybe"
	safe := false
	if x.given {
		if x.arg.kind != str {
			return x.v, failure("yesno wants text, not %s", x.arg.typeName())
		}
		texts = x.arg.text
	}
	parts := strings.Split(texts, ",")
	if len(parts) < 2 {
		return x.v, nil
	}
	answer := parts[1]
	switch {
	case x.v.kind == none && len(parts) == 3:
		answer = parts[2]
	case x.v.truth():
		answer = parts[0]
	}
	return Value{kind: str, text: answer, safe: safe}, nil
}

func pluralize(x input) (Value, error) {
	suffixes := "s"
	if x.given {
		if x.arg.kind != str {
			return x.v, failure("pluralize wants text, not %s", x.arg.typeName())
		}
		suffixes = x.arg.text
	}
	if !strings.Contains(suffixes, ",") {
		suffixes = "," + suffixes
	}
	parts := strings.Split(suffixes, ",")
	if len(parts) > 2 {
		return Text(""), nil
	}
	f, err := x.v.toFloat()
	one := err == nil && f == 1
	switch {
	case errors.Is(err, errValue):
		return Text(""), nil
	case err != nil:
		n, ok := x.v.length()
		if !ok {
			return Text(""), nil
		}
		one = n == 1
	}
	if one {
		return Text(parts[0]), nil
	}
	return Text(parts[1]), nil
}

// jsonScript is a value as JSON, in a script element.
func jsonScript(x input) (Value, error) {
	text, err := appendJSON(nil, x.v)
	if err != nil {
		return x.v, err
	}
	text = []byte(replaceAll(string(text), "<", `\u003C`, ">", `\u003E`, "&", `\u0026`))
	opening := `<script type="application/json">`
	if x.given && x.arg.truth() {
		opening = `<script id="` + x.arg.escaped() + `" type="application/json">`
	}
	return safeText(opening + string(text) + "</script>"), nil
}

// appendJSON appends a value as Python's json and Django's encoder write it.
func appendJSON(dst []byte, v Value) ([]byte, error) {
	switch v.kind {
	case none:
		return append(dst, "null"...), nil
	case boolean:
		return strconv.AppendBool(dst, v.n != 0), nil
	case integer:
		return append(dst, v.String()...), nil
	case float:
		return append(dst, replaceAll(floatText(v.number), "inf", "Infinity", "nan", "NaN")...), nil
	case list:
		dst = append(dst, '[')
		for i, e := range v.items() {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			var err error
			if dst, err = appendJSON(dst, e); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case dict:
		d, _ := v.ref.(*members)
		dst = append(dst, '{')
		for i, key := range d.keys {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			var err error
			if dst, err = appendJSON(append(appendJSONText(dst, key), ": "...), d.values[i]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case datetime, clock:
		if v.kind == clock && v.aware {
			return dst, errType
		}
		text := v.isoTime('T')
		if i := strings.IndexByte(text, '.'); i >= 0 {
			text = text[:i+4] + text[i+7:] // milliseconds
		}
		return appendJSONText(dst, strings.Replace(text, "+00:00", "Z", 1)), nil
	case record, records:
		return dst, failure("rows cannot be written as JSON")
	}
	return appendJSONText(dst, v.String()), nil
}

func appendJSONText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		case r > 0xffff:
			r -= 0x10000
			dst = appendHex(appendHex(dst, `\u`, 0xd800+r>>10, 4), `\u`, 0xdc00+r&0x3ff, 4)
		default:
			dst = appendHex(dst, `\u`, r, 4)
		}
	}
	return append(dst, '"')
}
