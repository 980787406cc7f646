package conf

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Decode decodes a YAML node strictly into v, a pointer: a key without a field
// of that yaml tag, or a value of another type, is an error. It returns Errors
// or nil; paths begin at node. An UnmarshalYAML method may call it for the
// forms that it accepts: its errors find their file and full path on the way
// out. A null leaves v as it is.
//
// It fills structs by their yaml tags, maps, slices, pointers and scalars;
// types with UnmarshalYAML or UnmarshalText by these; json.RawMessage with the
// JSON of the value, numbers digit by digit; any with decoded JSON.
func Decode(node *yaml.Node, v any) error {
	d := &decoder{}
	d.value(node, reflect.ValueOf(v).Elem(), "")
	return d.errs.Err()
}

type decoder struct {
	file  string
	files map[*yaml.Node]string // values that come from included files
	errs  Errors
}

func (d *decoder) failf(n *yaml.Node, path, format string, args ...any) {
	d.errs = append(d.errs, Error{File: d.file, Line: n.Line, Path: path, Message: fmt.Sprintf(format, args...)})
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if file, ok := d.files[n]; ok {
		defer func(before string) { d.file = before }(d.file)
		d.file = file
	}
	if v.Kind() == reflect.Pointer {
		d.pointer(n, v, path)
		return
	}
	if isNull(n) {
		return
	}
	if v.Type() == rawMessage {
		d.raw(n, v, path)
		return
	}
	switch u := v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		d.adopt(n, path, u.UnmarshalYAML(n))
		return
	case encoding.TextUnmarshaler:
		if d.is(n, path, yaml.ScalarNode, "text") {
			d.adopt(n, path, u.UnmarshalText([]byte(n.Value)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Interface:
		d.anything(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// pointer allocates what v points to, unless a null says that there is nothing.
// A section that is there but empty is an empty section.
func (d *decoder) pointer(n *yaml.Node, v reflect.Value, path string) {
	if v.IsNil() {
		if isNull(n) && v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
	}
	d.value(n, v.Elem(), path)
}

// adopt takes over the errors of a type's own unmarshaler.
func (d *decoder) adopt(n *yaml.Node, path string, err error) {
	var inner Errors
	var syntax *yaml.TypeError
	switch {
	case err == nil:
	case errors.As(err, &inner):
		for _, e := range inner {
			e.File, e.Path = d.file, join(path, e.Path)
			d.errs = append(d.errs, e)
		}
	case errors.As(err, &syntax):
		d.failf(n, path, "%s", strings.Join(syntax.Errors, "; "))
	default:
		d.failf(n, path, "%v", err)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if !d.is(n, path, yaml.MappingNode, "a section of settings") {
		return
	}
	fields := fieldsOf(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if index, ok := fields[key.Value]; ok {
			if whole, pieces := uncut(n, i, fields); pieces > 0 {
				d.failf(value, join(path, key.Value), "is cut off at a comma; inside { } a text that holds one needs quotes: %s: %s", key.Value, Quote(whole.Value))
				value, i = whole, i+2*pieces // what it was meant to be has no mistakes that follow from this one
			}
			d.value(value, v.FieldByIndex(index), join(path, key.Value))
			continue
		}
		near, message := unknown(key.Value, fields)
		d.errs = append(d.errs, Error{File: d.file, Line: key.Line, Path: join(path, key.Value), Message: message, Near: near})
	}
}

// uncut is the text of the setting at i of a mapping in braces, with the pieces behind commas that have become keys of their own.
func uncut(n *yaml.Node, i int, fields map[string][]int) (whole *yaml.Node, pieces int) {
	first := n.Content[i+1]
	text := *first
	plain := func(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Style == 0 }
	if n.Style&yaml.FlowStyle == 0 || !plain(&text) || text.Value == "" {
		return first, 0
	}
	cut := false
	for i += 2; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if _, known := fields[key.Value]; known || key.Kind != yaml.ScalarNode || !plain(value) || value.Value != "" {
			break
		}
		piece := key.Value
		if key.Style == yaml.DoubleQuotedStyle {
			piece = strconv.Quote(piece)
		}
		text.Value += ", " + piece
		cut = cut || isNoName(piece)
		pieces++
	}
	if !cut { // they are rather names without a value
		return first, 0
	}
	text.Tag = "!!str"
	return &text, pieces
}

func unknown(name string, fields map[string][]int) (near, message string) {
	names := slices.Sorted(maps.Keys(fields))
	if near := Nearest(name, names); near != "" {
		return near, "unknown setting" + DidYouMean(name, names)
	}
	if isNoName(name) {
		return "", "this is no setting; inside { } a text that holds a comma needs quotes"
	}
	return "", "unknown setting; there are " + strings.Join(names, ", ")
}

// isNoName reports whether a text can hardly be meant for the name of a setting.
func isNoName(text string) bool { return strings.ContainsAny(text, ` ()"'=<>&|`) }

// fieldsOf maps yaml names to field indexes. Fields without a tag are no
// settings; an inline struct's fields count as the outer one's.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := make(map[string][]int)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" && f.Type.Kind() == reflect.Struct:
			for inner, index := range fieldsOf(f.Type) {
				fields[inner] = append([]int{i}, index...)
			}
		case name != "" && name != "-" && f.IsExported():
			fields[name] = []int{i}
		}
	}
	return fields
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if !d.is(n, path, yaml.MappingNode, "a mapping of names to values") {
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(n.Content[i+1], element, join(path, name))
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), element)
	}
}

func (d *decoder) slice(n *yaml.Node, v reflect.Value, path string) {
	if !d.is(n, path, yaml.SequenceNode, "a list") {
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, list.Index(i), join(path, strconv.Itoa(i)))
	}
	v.Set(list)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Style&fromVariable != 0 && v.Kind() != reflect.String {
		typed := *n
		typed.Style, typed.Tag = 0, ""
		n = &typed
	}
	switch v.Kind() {
	case reflect.String:
		if d.is(n, path, yaml.ScalarNode, "text") {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			d.failf(n, path, "wants true or false, not %s", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if n.Kind != yaml.ScalarNode || err != nil {
			d.failf(n, path, "wants a number, not %s", describe(n))
			return
		}
		v.SetFloat(f)
	default:
		d.integer(n, v, path)
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	i, ok := parseInteger(n)
	switch {
	case !ok:
		d.failf(n, path, "wants a whole number, not %s", describe(n))
	case v.CanInt() && i.IsInt64() && !v.OverflowInt(i.Int64()):
		v.SetInt(i.Int64())
	case v.CanUint() && i.Sign() < 0:
		d.failf(n, path, "must not be negative")
	case v.CanUint() && i.IsUint64() && !v.OverflowUint(i.Uint64()):
		v.SetUint(i.Uint64())
	default:
		d.failf(n, path, "%s is out of range", n.Value)
	}
}

// parseInteger reads a YAML integer of any size and base.
func parseInteger(n *yaml.Node) (*big.Int, bool) {
	if n.ShortTag() != "!!int" {
		return nil, false
	}
	return new(big.Int).SetString(strings.ReplaceAll(n.Value, "_", ""), 0)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// is reports whether n is of the wanted kind, and says so where it is not.
func (d *decoder) is(n *yaml.Node, path string, kind yaml.Kind, wanted string) bool {
	if n.Kind == kind {
		return true
	}
	d.failf(n, path, "wants %s, not %s", wanted, describe(n))
	return false
}

// describe says what kind of value a node is, without the value: it may be a secret.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}
