package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"haystream/mapping/template/django"
	"haystream/mapping/value"
	"haystream/sources"
)

// haystackForm is what django-haystack's Elasticsearch backend (haystack/backends)
// reads: ids app.model.pk, the fields id, django_ct and django_id, dates as Python's
// isoformat writes them, decimals and text in the snowball analyzer.
type haystackForm struct {
	*Haystack
	zone *time.Location // of the pipeline
}

func (f haystackForm) check(u *unit, problems *Problems) {
	if app, model, ok := strings.Cut(f.Model, "."); !ok || app == "" || model == "" || strings.Contains(model, ".") || strings.ToLower(f.Model) != f.Model {
		problems.add(u.path("haystack", "model"), "%q is not a model's name; write app_label.model_name in small letters", f.Model)
	}
	for name := range u.def.Fields.Named {
		if f.reserves(name) {
			problems.add(u.path("fields", name), "haystack fills %q itself", name)
		}
	}
	if names := f.names(); names[0] == names[1] || names[1] == names[2] || names[0] == names[2] {
		problems.add(u.path("haystack"), "the names of id, django_ct and django_id must differ: they are %s", strings.Join(names[:], ", "))
	}
}

// names are those of the fields id, django_ct and django_id.
func (f haystackForm) names() [3]string {
	names := [3]string{"id", "django_ct", "django_id"}
	for i, own := range []string{f.IDField, f.ContentTypeField, f.KeyField} {
		if own != "" {
			names[i] = own
		}
	}
	return names
}

func (f haystackForm) ids() (prefix, setting string) {
	return f.Model + ".", "haystack: {model: " + f.Model + "}"
}

func (f haystackForm) reserves(name string) bool {
	names := f.names()
	return slices.Contains(names[:], name)
}

func (f haystackForm) fields(id, key *documentName, t *sources.Table) map[string]fieldPlan {
	names := f.names()
	contents := [3]content{&haystackID{id, t}, valueContent(sources.AppendJSONString(nil, []byte(f.Model))), &haystackID{key, t}}
	fields := map[string]fieldPlan{}
	for i, name := range names {
		fields[name] = fieldPlan{docField: docField{content: contents[i]}, mapping: object{"type": "keyword"}}
	}
	return fields
}

// expand adds a field for each that is faceted, and gives a facet the content of the
// field that it is for.
func (haystackForm) expand(given, fields map[string]*Field, fail func(name, setting, message string)) {
	claimed := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		of := fields[name].FacetFor
		if claimed[of] = true; of == "" || given[name].content() > 0 {
			continue
		}
		if source := fields[of]; source == nil || source.FacetFor != "" {
			fail(name, "facet_for", fmt.Sprintf("there is no field %q whose content it could have", of))
		} else {
			fields[name] = source.facet(of, fields[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !fields[name].Faceted || claimed[name] {
			continue
		}
		exact := name + "_exact"
		if fields[exact] != nil {
			fail(name, "faceted", fmt.Sprintf("its facet is the field %q, which is there already; write facet_for: %s in that one", exact, name))
			continue
		}
		fields[exact] = fields[name].facet(name, &Field{})
	}
}

// facet is the facet of a field with a name: its content, with the mapping of own.
func (f *Field) facet(name string, own *Field) *Field {
	facet := *f
	facet.FacetFor, facet.Faceted, facet.Document, facet.Boost, facet.Indexed = name, false, false, 0, nil
	facet.Mapping = own.Mapping
	if own.Type != "" {
		facet.Type = own.Type
	}
	return &facet
}

func (haystackForm) settings() object {
	settings, _ := decodeObject(json.RawMessage(haystackSettings))
	return settings
}

func (haystackForm) omitsNull() bool { return true }
func (haystackForm) haystack() bool  { return true }
func (haystackForm) uuids() bool     { return true }
func (f haystackForm) useTZ() *bool  { return f.UseTZ }

// engine is Django's: documents are to be as haystack writes them.
func (haystackForm) engine() string { return engineDjango }

// text is the mapping of haystack's text fields.
func (haystackForm) text() object { return object{"type": "text", "analyzer": "snowball"} }

// haystackSettings are the analyzers that haystack's fields may name.
const haystackSettings = `{"analysis":{` +
	`"analyzer":{` +
	`"ngram_analyzer":{"type":"custom","tokenizer":"standard","filter":["haystack_ngram","lowercase"]},` +
	`"edgengram_analyzer":{"type":"custom","tokenizer":"standard","filter":["haystack_edgengram","lowercase"]}},` +
	`"filter":{` +
	`"haystack_ngram":{"type":"ngram","min_gram":3,"max_gram":4},` +
	`"haystack_edgengram":{"type":"edge_ngram","min_gram":2,"max_gram":15}}},` +
	`"index":{"max_ngram_diff":2}}`

// types are the field types of haystack beside the sink's own, with their mappings.
func (f haystackForm) types() map[string]object {
	return map[string]object{
		"char": f.text(), "decimal": f.text(), "multi_value": f.text(),
		"ngram":      {"type": "text", "analyzer": "ngram_analyzer"},
		"edge_ngram": {"type": "text", "analyzer": "edgengram_analyzer"},
		"location":   {"type": "geo_point"},
		"datetime":   {"type": "date"},
	}
}

// mapping is a field's mapping as the settings of haystack's fields change it.
func (haystackForm) mapping(x *inferrer, f *Field, m object) object {
	if m["type"] == "text" && (f.FacetFor != "" || f.Indexed != nil && !*f.Indexed) {
		m = cloneObject(m)
		m["type"] = "keyword"
		delete(m, "analyzer")
	}
	if f.Boost != 0 && f.Boost != 1 {
		if x.rules.NoBoost {
			x.warn("the sink's fields take no boost of their own; give it in the query: " + m["type"].(string))
			return m
		}
		m = cloneObject(m)
		m["boost"] = f.Boost
	}
	return m
}

func (f haystackForm) column(_ *inferrer, column int, t *sources.Type, wanted string) (content, object) {
	var of content = &columnContent{column, t}
	switch t.Kind {
	case sources.Bool:
		return f.value(of, object{"type": "boolean"}, wanted)
	case sources.Int:
		return f.value(of, object{"type": "long"}, wanted)
	case sources.Float:
		if isTextField(wanted) {
			of = &pythonFloat{of}
		}
		return f.value(of, object{"type": "float"}, wanted)
	case sources.Decimal:
		if slices.Contains(numberTypes, wanted) {
			return of, object{"type": "float"}
		}
		return f.value(&columnContent{column, &sources.Type{Kind: sources.Text}}, f.text(), wanted)
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		if isTextField(wanted) {
			date := f.date(of)
			date.text = true
			of = date
		}
		return f.value(of, object{"type": "date"}, wanted)
	case sources.Point:
		return f.value(of, object{"type": "geo_point"}, wanted)
	case sources.Array:
		return f.value(of, f.text(), wanted)
	}
	if isHexUUID(t) {
		return f.value(&hexUUID{column}, f.text(), wanted)
	}
	return f.value(&columnContent{column, &sources.Type{Kind: sources.Text}}, f.text(), wanted)
}

// value is any content as a field of haystack's writes it.
func (f haystackForm) value(of content, inferred object, wanted string) (content, object) {
	if isTextField(wanted) {
		return &pythonText{of}, inferred
	}
	switch wanted {
	case "multi_value":
		return &listOf{of}, inferred
	case "location":
		return &latLon{of}, inferred
	case "date", "datetime":
		return f.date(of), inferred
	case "":
	default:
		return of, inferred
	}
	switch inferred["type"] {
	case "text", "keyword":
		return of, f.text()
	case "double", "scaled_float":
		return of, object{"type": "float"}
	case "date":
		return f.date(of), object{"type": "date"}
	}
	return of, inferred
}

// isTextField reports whether a type of field is one of text, of which haystack's fields take Python's str.
func isTextField(typ string) bool {
	return slices.Contains([]string{"char", "decimal", "ngram", "edge_ngram"}, typ)
}

func (f haystackForm) date(of content) *isoDate {
	d := &isoDate{of: of, zone: f.zone}
	if f.UseTZ != nil {
		d.utc, d.naive = *f.UseTZ, !*f.UseTZ
	}
	return d
}

// isHexUUID reports whether Django keeps UUIDs in a column of the type, as 32 hex
// digits, in MySQL and MariaDB: its text fields are varchar and longtext there.
func isHexUUID(t *sources.Type) bool { return t.SQL == "char(32)" }

// hexUUID is a column of such UUIDs.
type hexUUID struct{ column int }

func (c *hexUUID) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	text := s.row.Text(c.column)
	if text == nil {
		return dst, true, nil
	}
	var buffer [36]byte
	return sources.AppendJSONString(dst, appendUUID(buffer[:0], text)), false, nil
}

// appendUUID appends 32 hex digits with a UUID's hyphens; any other text as it is.
func appendUUID(dst, text []byte) []byte {
	if len(text) != 32 || slices.ContainsFunc(text, func(c byte) bool { return !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') }) {
		return append(dst, text...)
	}
	for i, end := range []int{8, 12, 16, 20, 32} {
		if i > 0 {
			dst = append(dst, '-')
		}
		start := []int{0, 8, 12, 16, 20}[i]
		dst = append(dst, text[start:end]...)
	}
	return dst
}

// isoDate is a date as midnight, or a timestamp, as Python's isoformat
// writes it: six digits of microseconds or none, +00:00 for UTC. Lists have them each.
type isoDate struct {
	of    content
	utc   bool // a timestamp without a zone is one of UTC
	naive bool // a timestamp with a zone is shown in zone, without it
	zone  *time.Location
	text  bool // as str writes it instead: a space for the T, and a date alone
}

func (c *isoDate) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null {
		return dst, null, err
	}
	return eachElement(dst, start, c.date), false, nil
}

func (c *isoDate) date(dst, element []byte) []byte {
	if len(element) < 2 || element[0] != '"' || !sources.IsDay(element[1:len(element)-1]) {
		return append(dst, element...)
	}
	text := element[1 : len(element)-1]
	day, clock, timed := bytes.Cut(text, []byte("T"))
	separator := byte('T')
	if c.text {
		separator = ' '
	}
	switch {
	case timed:
	case c.text:
		return append(dst, element...)
	default:
		return append(append(append(dst, '"'), day...), `T00:00:00"`...)
	}
	clock, zoned := bytes.CutSuffix(clock, []byte("Z"))
	if zoned && c.naive {
		if t, err := value.ParseTime(string(text)); err == nil {
			local := t.In(c.zone).AppendFormat(nil, "2006-01-02T15:04:05.999999")
			day, clock, _ = bytes.Cut(local, []byte("T"))
			zoned = false
		}
	}
	dst = append(append(append(append(dst, '"'), day...), separator), clock...)
	if _, fraction, ok := bytes.Cut(clock, []byte(".")); ok {
		dst = append(dst, "000000"[min(len(fraction), 6):]...)
	}
	if zoned || c.utc {
		dst = append(dst, "+00:00"...)
	}
	return append(dst, '"')
}

// pythonFloat is a float as a text, as Python's str writes it. Lists have them each.
type pythonFloat struct{ of content }

func (c *pythonFloat) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null {
		return dst, null, err
	}
	return eachElement(dst, start, func(dst, element []byte) []byte {
		f, err := strconv.ParseFloat(string(element), 64)
		if err != nil {
			return append(dst, element...) // null in a list
		}
		return sources.AppendJSONString(dst, []byte(django.FloatText(f)))
	}), false, nil
}

// pythonText is a value as Python's str writes it.
type pythonText struct{ of content }

func (c *pythonText) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null {
		return dst, null, err
	}
	switch text := dst[start:]; {
	case string(text) == "true":
		return append(dst[:start], `"True"`...), false, nil
	case string(text) == "false":
		return append(dst[:start], `"False"`...), false, nil
	case text[0] == '"' || text[0] == '[' || text[0] == '{':
		return dst, false, nil
	}
	dst = append(slices.Insert(dst, start, '"'), '"')
	return dst, false, nil
}

// listOf is a value as a list of one, unless it is a list.
type listOf struct{ of content }

func (c *listOf) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null || dst[start] == '[' {
		return dst, null, err
	}
	return append(slices.Insert(dst, start, '['), ']'), false, nil
}

// latLon is a point as "latitude,longitude".
type latLon struct{ of content }

func (c *latLon) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	start := len(dst)
	dst, null, err := c.of.append(dst, s)
	if err != nil || null {
		return dst, null, err
	}
	var at struct{ Lat, Lon json.Number }
	if json.Unmarshal(dst[start:], &at) != nil || at.Lat == "" {
		return dst, false, nil //nolint:nilerr // a text, or a geometry of another kind, stays as it is
	}
	return append(dst[:start], `"`+at.Lat.String()+","+at.Lon.String()+`"`...), false, nil
}

// eachElement rewrites the JSON value from start on, or each element of an array.
func eachElement(dst []byte, start int, rewrite func(dst, element []byte) []byte) []byte {
	var buffer [64]byte
	text := append(buffer[:0], dst[start:]...)
	dst = dst[:start]
	if text[0] != '[' {
		return rewrite(dst, text)
	}
	dst = append(dst, '[')
	for w := sources.WalkJSON(text); w.Next(); {
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst = rewrite(dst, w.Value())
	}
	return append(dst, ']')
}

// haystackID is the id, or the key alone, as a string.
type haystackID struct {
	name  *documentName
	table *sources.Table
}

func (c *haystackID) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	text, err := c.name.append(s.text[:0], s, c.table, s.row)
	s.text = text
	return sources.AppendJSONString(dst, text), false, err
}
