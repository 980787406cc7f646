package widgets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Field of an index, as far as widgets have to know it.
type Field struct {
	Type     string
	Keyword  string // the sub-field that holds a text whole; empty for none
	Decimals int    // after the point of a scaled_float; -1 where they are not known

	nested  string // the nested field that it is in; empty for none
	unfiled bool   // the index has no values of it in columns (doc_values: false)
}

// Fields are those of an index by their full name.
type Fields struct {
	named map[string]*Field
	open  []string // objects below which there may be any field; "" for the whole document
}

// node is one field of a mapping.
type node struct {
	Type          string           `json:"type"`
	Dynamic       any              `json:"dynamic"`
	Enabled       *bool            `json:"enabled"`
	Properties    map[string]*node `json:"properties"`
	Fields        map[string]*node `json:"fields"`
	ScalingFactor json.Number      `json:"scaling_factor"`
	DocValues     *bool            `json:"doc_values"`
	Path          string           `json:"path"`
}

// ReadFields reads mappings as an index is made with: {"dynamic":…,"properties":{…}}.
func ReadFields(mappings json.RawMessage) (*Fields, error) {
	f := &Fields{named: map[string]*Field{}}
	return f, f.merge(mappings)
}

// merge adds the fields of another index behind the same alias.
func (f *Fields) merge(mappings json.RawMessage) error {
	var root node
	d := json.NewDecoder(bytes.NewReader(mappings))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return fmt.Errorf("read mappings: %w", err)
	}
	if root.open(true) {
		f.open = append(f.open, "")
	}
	f.add("", "", root.Properties, root.open(true))
	for _, field := range f.named {
		if field.Type == "alias" {
			if target := f.named[field.Keyword]; target != nil {
				*field = *target
			}
		}
	}
	return nil
}

// open reports whether unknown fields may be below.
func (n *node) open(inherited bool) bool {
	if n.Enabled != nil && !*n.Enabled {
		return false
	}
	switch n.Dynamic {
	case nil:
		return inherited
	case true, "true", "runtime":
		return true
	}
	return false
}

func (f *Fields) add(path, nested string, properties map[string]*node, open bool) {
	for name, n := range properties {
		full := path + name
		switch {
		case n.Type == "nested" || n.Type == "object" || n.Type == "" || n.Properties != nil:
			inside, below := nested, n.open(open)
			if n.Type == "nested" {
				inside = full
			}
			if below {
				f.open = append(f.open, full+".")
			}
			f.named[full] = &Field{Type: "object", Decimals: -1, nested: inside}
			f.add(full+".", inside, n.Properties, below)
		default:
			if n.Type == "flattened" || n.Type == "flat_object" {
				f.open = append(f.open, full+".")
			}
			f.named[full] = n.field(full, nested)
			for sub, m := range n.Fields {
				f.named[full+"."+sub] = m.field(full+"."+sub, nested)
			}
		}
	}
}

func (n *node) field(full, nested string) *Field {
	field := &Field{Type: n.Type, Decimals: -1, nested: nested, unfiled: n.DocValues != nil && !*n.DocValues}
	switch n.Type {
	case "alias":
		field.Keyword = n.Path // until it is resolved
	case "scaled_float":
		if factor, err := n.ScalingFactor.Float64(); err == nil && factor > 0 {
			if digits := math.Log10(factor); digits == math.Trunc(digits) {
				field.Decimals = int(digits)
			}
		}
	case "long", "integer", "short", "byte", "unsigned_long":
		field.Decimals = 0
	case "text", "match_only_text", "annotated_text", "search_as_you_type":
		for _, sub := range slices.Sorted(maps.Keys(n.Fields)) {
			if n.Fields[sub].Type == "keyword" {
				field.Keyword = full + "." + sub
				break
			}
		}
	}
	return field
}

// Find is a field of that name. known is true with a nil field where there may be one
// whose type is not known.
func (f *Fields) Find(name string) (field *Field, known bool) {
	if field := f.named[name]; field != nil {
		return field, true
	}
	if strings.HasPrefix(name, "_") { // the server's own, such as _id
		return nil, true
	}
	return nil, slices.ContainsFunc(f.open, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// Names are all, sorted.
func (f *Fields) Names() []string { return slices.Sorted(maps.Keys(f.named)) }

// Exact is the name by which whole values of a field are counted and listed: that of a
// text's keyword sub-field.
func (f *Fields) Exact(name string) string {
	if field := f.named[name]; field != nil && field.Keyword != "" {
		return field.Keyword
	}
	return name
}

// decimals after the point that a value of the field has at most; -1 where unknown.
func (f *Fields) decimals(name string) int {
	if field := f.named[name]; field != nil {
		return field.Decimals
	}
	return -1
}

var numeric = []string{"long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long"}

// Dates reports whether the field holds dates.
func (f *Field) Dates() bool { return f.Type == "date" || f.Type == "date_nanos" }

func (f *Field) notNumeric() string {
	if why := f.unreachable(); why != "" {
		return why
	}
	if !slices.Contains(numeric, f.Type) {
		return "is of the type " + f.Type + "; this takes a number"
	}
	return ""
}

func (f *Field) notOrdered() string {
	if f.Dates() {
		return f.unreachable()
	}
	why := f.notNumeric()
	return strings.Replace(why, "takes a number", "takes a number or a date", 1)
}

func (f *Field) notDate() string {
	if why := f.unreachable(); why != "" {
		return why
	}
	if !f.Dates() {
		return "is of the type " + f.Type + "; this takes a date"
	}
	return ""
}

// countable are the types whose values are told apart, beside numbers and dates.
var countable = []string{"keyword", "constant_keyword", "wildcard", "boolean", "ip", "version", "flattened", "flat_object"}

func (f *Field) notCountable() string {
	if why := f.unreachable(); why != "" {
		return why
	}
	switch {
	case f.Keyword != "", f.Dates(), slices.Contains(numeric, f.Type), slices.Contains(countable, f.Type):
		return ""
	case f.Type == "text" || f.Type == "match_only_text":
		return "is a text without a keyword sub-field, whose words and not whose values could be counted; give the field `type: keyword`, or `mapping: {fields: {keyword: {type: keyword}}}`"
	}
	return "is of the type " + strconv.Quote(f.Type) + "; this takes a keyword, a number, a date or a boolean"
}

// unreachable says why no aggregation sees the field.
func (f *Field) unreachable() string {
	switch {
	case f.nested != "":
		return "is in the nested field " + f.nested + ", and widgets look at whole documents"
	case f.unfiled:
		return "has doc_values: false, so that nothing can be computed of it"
	}
	return ""
}
