package verify

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// mostFields is how many fields of one document are named.
const mostFields = 20

// Fields names the fields in which two JSON documents differ; none where they are equal. The
// order of members and white space make no difference; the digits of numbers do.
func Fields(a, b []byte) []string {
	if bytes.Equal(a, b) {
		return nil
	}
	x, errX := decode(a)
	y, errY := decode(b)
	if errX != nil || errY != nil {
		return []string{"_source"}
	}
	var out []string
	differ(&out, "", x, y)
	return out
}

func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// differ appends the paths at which two values differ. Members are gone into, arrays are not.
func differ(out *[]string, path string, a, b any) {
	x, isX := a.(map[string]any)
	y, isY := b.(map[string]any)
	if !isX || !isY {
		if !equal(a, b) && len(*out) < mostFields {
			*out = append(*out, path)
		}
		return
	}
	names := slices.Collect(maps.Keys(x))
	for name := range y {
		if _, both := x[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		at := name
		if path != "" {
			at = path + "." + name
		}
		_, inX := x[name]
		_, inY := y[name]
		if inX != inY {
			if len(*out) < mostFields {
				*out = append(*out, at)
			}
			continue
		}
		differ(out, at, x[name], y[name])
	}
}

func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equal)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}
