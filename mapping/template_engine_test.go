package mapping

import (
	"bytes"
	"fmt"
	"testing"
	"testing/fstest"

	"haystream/sources"
)

// TestLanguage tells the language of texts.
func TestLanguage(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"plain", engineGo},
		{"{{ .title }}", engineGo},
		{"{{.title}}", engineGo},
		{"{{ $.title }}", engineGo},
		{"{{- title -}}", engineGo},
		{"{{ object.title }}", engineGo},
		{"{{ object.title|lower }}", engineGo},
		{"{{ object.title | upper }}", engineGo},
		{"{{ lower object.title }}", engineGo},
		{"{{ object.tags | join \", \" }}", engineGo},
		{"{{ if object.title }}x{{ end }}", engineGo},
		{"{{/* note */}}", engineGo},
		{"{{ object.count|intcomma }}", engineGo},
		{"{{ (object.title) }}", engineGo},
		{"{{ \"{% x %}\" | lower }}", engineGo},
		{"{{ $x := 1 }}", engineGo},
		{"{% if title %}{% endif %}", engineDjango},
		{"{# note #}", engineDjango},
		{"{{ object.title|default:\"x\" }}", engineDjango},
		{"{{ object.title|default:'x y' }}", engineDjango},
		{"{{ object.title|capfirst }}", engineDjango},
		{"{{ object.title|linebreaks }}", engineDjango},
		{"{{ object.title|slice:':3' }}", engineDjango},
		{"{{ title }}", engineDjango},
		{"{{ object.title.upper }}", engineDjango},
		{"{{ object.pk }}", engineDjango}, // Go cannot compile them
	} {
		c, err := templateText{text: tt.text}.compile(newTree(sample()))
		switch {
		case err != nil && tt.text != "{{- title -}}": // of which only the language is asked
			t.Errorf("%s: %v", tt.text, err)
		case err == nil && c.engine != tt.want:
			t.Errorf("%s is of %s, want %s", tt.text, c.engine, tt.want)
		}
	}
	c, err := templateText{text: "{{ object.title }}", prefers: engineDjango}.compile(newTree(sample()))
	if err != nil || c.engine != engineDjango {
		t.Errorf("the preferred language is not taken: %v %v", c, err)
	}
}

// TestSaved wants what decides about a text to be in an index's saved form.
func TestSaved(t *testing.T) {
	table := sample()
	saved := func(file, zone string) []byte {
		set := Set{TimeZone: zone, Indexes: map[string]*Definition{"notes": {Table: "sample", Fields: Fields{Named: map[string]*Field{"text": {TemplateFile: "a/b/text.txt"}}}}}}
		files := fstest.MapFS{"a/b/text.txt": {Data: []byte("{% include 'part.txt' %}")}, "a/part.txt": {Data: []byte("{% include 'deep.txt' %}{{ created }}")}, "deep.txt": {Data: []byte(file)}}
		if problems := set.ReadTemplates(files); len(problems) > 0 {
			t.Fatal(problems)
		}
		plan, err := Compile(append(parseCatalog(t, ""), table), nil, set)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Sets[0][0].Normalized
	}
	first := saved("{{ title }}", "")
	if !bytes.Equal(first, saved("{{ title }}", "UTC")) {
		t.Error("UTC is another zone than the default")
	}
	if bytes.Equal(first, saved("{{ title }}!", "")) {
		t.Error("a changed file that is included changes nothing")
	}
	if bytes.Equal(first, saved("{{ title }}", "Asia/Tokyo")) {
		t.Error("another time zone changes nothing")
	}
	if !bytes.Contains(first, []byte(`"engine":"django"`)) {
		t.Errorf("the language is not saved: %s", first)
	}
}

// TestSavedZone wants the zone of dates in expressions to be in an index's saved form.
func TestSavedZone(t *testing.T) {
	for expr, zoned := range map[string]bool{`date(title).Unix()`: true, `created > "2026-01-01"`: true, `upper(title)`: false, `day > "2026-01-01"`: true} {
		saved := map[string]bool{}
		for _, zone := range []string{"", "Asia/Tokyo"} {
			set := Set{TimeZone: zone, Indexes: map[string]*Definition{"notes": {Table: "sample", Fields: Fields{Named: map[string]*Field{"text": {Expr: expr, Type: "keyword"}}}}}}
			plan, err := Compile([]*sources.Table{sample()}, nil, set)
			if err != nil {
				t.Fatal(err)
			}
			saved[string(plan.Sets[0][0].Normalized)] = true
		}
		if len(saved) == 2 != zoned {
			t.Errorf("%s: another zone changes the index: %v", expr, len(saved) == 2)
		}
	}
}

// TestLooseTags wants nothing that looks like a tag to be text.
func TestLooseTags(t *testing.T) {
	for text, want := range map[string]string{
		"a\n{# b":                "{# is not closed by #} in its line; {% comment %} spans lines (template line 2)",
		"a\n#} b":                "#} ends no tag; {% templatetag %} prints it (template line 2)",
		"a %} b":                 "%} ends no tag; {% templatetag %} prints it (template line 1)",
		"{ title }}":             `}} ends no action; {{ "}}" }} prints it (template line 1)`,
		"{{ .title }}\nx }} y":   `}} ends no action; {{ "}}" }} prints it (template line 2)`,
		"{{ .title }} {#":        "{{ .title }} is of Go's templates and {# (line 1) is of Django's; write it in one of the two (template line 1)",
		"{{ .title }} {% x":      "{{ .title }} is of Go's templates and {% (line 1) is of Django's; write it in one of the two (template line 1)",
		"{{ title }} }}":         "}} ends no tag; {% templatetag %} prints it (template line 1)",
		"{# a\nb #} {{ title }}": "{# is not closed by #} in its line; {% comment %} spans lines (template line 1)",
		"{% load i18n %}{% blocktrans %}x }}{% endblocktrans %}": "}} ends no tag; {% templatetag %} prints it (template line 1)",

		`{"a": {"b": {{ .title }}}}`:              "",
		`{"a": {"b": {{ title }}}}`:               "",
		`{{ "{#" }} {{ "}}" }}`:                   "",
		"{% verbatim %}{# }} %}{% endverbatim %}": "",
		"{% comment %}{# }} {% endcomment %}":     "",
	} {
		_, err := templateText{text: text}.compile(newTree(sample()))
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
