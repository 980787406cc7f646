package conf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// raw puts the JSON of n into v, a json.RawMessage.
func (d *decoder) raw(n *yaml.Node, v reflect.Value, path string) {
	if text, ok := d.appendJSON(nil, n, path); ok {
		v.SetBytes(text)
	}
}

// anything puts n's value into v, an empty interface, as package json decodes
// it, numbers as json.Number.
func (d *decoder) anything(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.appendJSON(nil, n, path)
	if !ok {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(v.Addr().Interface()); err != nil {
		d.failf(n, path, "%v", err)
	}
}

// appendJSON appends n as JSON. Numbers keep their digits and keys their order.
func (d *decoder) appendJSON(b []byte, n *yaml.Node, path string) ([]byte, bool) {
	ok := true
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content) && ok; i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, n.Content[i].Value), ':')
			b, ok = d.appendJSON(b, n.Content[i+1], join(path, n.Content[i].Value))
		}
		return append(b, '}'), ok
	case yaml.SequenceNode:
		b = append(b, '[')
		for i := 0; i < len(n.Content) && ok; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			b, ok = d.appendJSON(b, n.Content[i], join(path, strconv.Itoa(i)))
		}
		return append(b, ']'), ok
	}
	switch n.ShortTag() {
	case "!!null":
		return append(b, "null"...), true
	case "!!bool":
		return append(b, strings.ToLower(n.Value)...), true
	case "!!int", "!!float":
		number, err := jsonNumber(n)
		if err != nil {
			d.failf(n, path, "%v", err)
			return b, false
		}
		return append(b, number...), true
	}
	return appendString(b, n.Value), true
}

// jsonNumber is a YAML number as JSON writes it.
func jsonNumber(n *yaml.Node) (string, error) {
	if json.Valid([]byte(n.Value)) {
		return n.Value, nil
	}
	if i, ok := parseInteger(n); ok {
		return i.String(), nil
	}
	return "", fmt.Errorf("%s is not a number that JSON can hold; write it like 0.5", n.Value)
}

// appendString appends s as a JSON string, readable characters as they are.
func appendString(b []byte, s string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil { // strings always encode
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
