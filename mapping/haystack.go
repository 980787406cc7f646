package mapping

import (
	"encoding/json"
	"strings"

	"haystream/sources"
)

// haystackForm is what django-haystack's Elasticsearch backend (haystack/backends)
// reads: ids app.model.pk, the fields id, django_ct and django_id, dates as Python's
// isoformat writes them, decimals and text in the snowball analyzer.
type haystackForm struct{ model string }

func (f haystackForm) check(u *unit, problems *Problems) {
	if app, model, ok := strings.Cut(f.model, "."); !ok || app == "" || model == "" || strings.Contains(model, ".") || strings.ToLower(f.model) != f.model {
		problems.add(u.path("haystack", "model"), "%q is not a model's name; write app_label.model_name in small letters", f.model)
	}
	if u.def.ID != "" {
		problems.add(u.path("id"), "haystack gives the id; leave it out")
	}
	for name := range u.def.Fields.Named {
		if f.reserves(name) {
			problems.add(u.path("fields", name), "haystack fills %q itself", name)
		}
	}
}

func (f haystackForm) ids() (prefix, setting string) {
	return f.model + ".", "haystack: {model: " + f.model + "}"
}

func (haystackForm) reserves(name string) bool {
	return name == "id" || name == "django_ct" || name == "django_id"
}

func (f haystackForm) fields(id *documentName, t *sources.Table) map[string]fieldPlan {
	key := &documentName{what: "id", longest: id.longest, key: id.key, escaped: id.escaped, columns: id.columns}
	fields := map[string]fieldPlan{}
	for name, content := range map[string]content{
		"id": &haystackID{id, t}, "django_id": &haystackID{key, t}, "django_ct": valueContent(sources.AppendJSONString(nil, []byte(f.model))),
	} {
		fields[name] = fieldPlan{docField: docField{content: content}, mapping: object{"type": "keyword"}}
	}
	return fields
}

func (haystackForm) settings() object {
	settings, _ := decodeObject(json.RawMessage(haystackSettings))
	return settings
}

func (haystackForm) omitsNull() bool     { return true }
func (haystackForm) marksDocument() bool { return true }

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

func (f haystackForm) column(_ *inferrer, column int, t *sources.Type, _ string) (content, object) {
	switch t.Kind {
	case sources.Bool:
		return &columnContent{column, t}, object{"type": "boolean"}
	case sources.Int:
		return &columnContent{column, t}, object{"type": "long"}
	case sources.Float:
		return &columnContent{column, t}, object{"type": "float"}
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		return &haystackDate{column}, object{"type": "date"}
	case sources.Point:
		return &columnContent{column, t}, object{"type": "geo_point"}
	case sources.Array:
		return &columnContent{column, t}, f.text()
	}
	return &columnContent{column, &sources.Type{Kind: sources.Text}}, f.text()
}

// haystackDate is a date as midnight, or a timestamp, as Python's isoformat
// writes it: six digits of microseconds or none, +00:00 for UTC.
type haystackDate struct{ column int }

func (c *haystackDate) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	text := string(s.row.Text(c.column))
	if text == "" {
		return dst, true, nil
	}
	if !sources.IsDay([]byte(text)) {
		s.nulled++
		return dst, true, nil
	}
	day, clock, timed := strings.Cut(text, "T")
	if !timed {
		clock = "00:00:00"
	}
	clock, utc := strings.CutSuffix(clock, "Z")
	dst = append(append(append(append(dst, '"'), day...), 'T'), clock...)
	if _, fraction, ok := strings.Cut(clock, "."); ok {
		dst = append(dst, "000000"[min(len(fraction), 6):]...)
	}
	if utc {
		dst = append(dst, "+00:00"...)
	}
	return append(dst, '"'), false, nil
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
