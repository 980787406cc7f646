package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// An object is a decoded JSON object: a mapping or settings while they are
// put together. Numbers are json.Number.
type object = map[string]any

// decodeObject reads raw JSON that must be an object; nothing gives an empty one.
func decodeObject(raw json.RawMessage) (object, error) {
	o := object{}
	if len(raw) == 0 {
		return o, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		return object{}, errors.New("wants a mapping of names to values")
	}
	return o, nil
}

// encodeObject writes an object with sorted keys; nil for an empty one.
func encodeObject(o object) (json.RawMessage, error) {
	if len(o) == 0 {
		return nil, nil
	}
	return encodeJSON(o)
}

// encodeJSON is json.Marshal that leaves <, > and & as they are.
func encodeJSON(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// canonical writes raw JSON with sorted keys and no spaces.
func canonical(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return encodeJSON(v)
}

// override puts what over says in the place of what o says, deeply.
func override(o, over object) {
	for k, v := range over {
		if inner, ok := v.(object); ok {
			if old, ok := o[k].(object); ok {
				override(old, inner)
				continue
			}
		}
		o[k] = v
	}
}

// combine adds what another object says and calls conflict with the way to
// each value about which they disagree.
func combine(o, other object, way []string, conflict func(way []string, a, b any)) {
	for _, k := range slices.Sorted(maps.Keys(other)) {
		v, at := other[k], append(slices.Clone(way), k)
		have, taken := o[k]
		inner, isObject := v.(object)
		old, wasObject := have.(object)
		switch {
		case !taken:
			o[k] = v
		case isObject && wasObject:
			combine(old, inner, at, conflict)
		case !sameJSON(have, v):
			conflict(at, have, v)
		}
	}
}

func sameJSON(a, b any) bool {
	x, errX := encodeJSON(a)
	y, errY := encodeJSON(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
