package mapping

import (
	"strings"

	"haystream/sources"
)

// What django-haystack's Elasticsearch backend (haystack/backends) reads:
// ids app.model.pk, the fields id, django_ct and django_id, dates as Python's
// isoformat writes them, decimals and text in the snowball analyzer.

// snowball is the mapping of haystack's text fields.
func snowball() object { return object{"type": "text", "analyzer": "snowball"} }

// haystackSettings are the analyzers that haystack's fields may name.
const haystackSettings = `{"analysis":{` +
	`"analyzer":{` +
	`"ngram_analyzer":{"type":"custom","tokenizer":"standard","filter":["haystack_ngram","lowercase"]},` +
	`"edgengram_analyzer":{"type":"custom","tokenizer":"standard","filter":["haystack_edgengram","lowercase"]}},` +
	`"filter":{` +
	`"haystack_ngram":{"type":"ngram","min_gram":3,"max_gram":4},` +
	`"haystack_edgengram":{"type":"edge_ngram","min_gram":2,"max_gram":15}}},` +
	`"index":{"max_ngram_diff":2}}`

// haystackContent is a column as haystack writes it, and haystack's mapping of it.
func haystackContent(column int, t *sources.Type) (content, object) {
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
		return &columnContent{column, t}, snowball()
	}
	return &columnContent{column, &sources.Type{Kind: sources.Text}}, snowball()
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

func isHaystackField(name string) bool {
	return name == "id" || name == "django_ct" || name == "django_id"
}

// haystackFields adds the fields that haystack knows a document by.
func (c *unitCompiler) haystackFields(r *Renderer, root *docField, properties object) {
	app, model, ok := strings.Cut(c.def.Haystack.Model, ".")
	if !ok || app == "" || model == "" || strings.Contains(model, ".") || strings.ToLower(c.def.Haystack.Model) != c.def.Haystack.Model {
		c.problems.add(c.path("haystack", "model"), "%q is not a model's name; write app_label.model_name in small letters", c.def.Haystack.Model)
		return
	}
	key := &documentName{what: "id", key: r.id.key, escaped: r.id.escaped, columns: r.id.columns}
	label := sources.AppendJSONString(nil, []byte(c.def.Haystack.Model))
	for name, content := range map[string]content{
		"id": &haystackID{r.id, c.table}, "django_id": &haystackID{key, c.table}, "django_ct": valueContent(label),
	} {
		if _, taken := c.fields[name]; taken {
			c.problems.add(c.path("fields", name), "haystack fills %q itself", name)
			continue
		}
		c.place(root, properties, name, fieldPlan{docField: docField{content: content}, mapping: object{"type": "keyword"}})
	}
}
