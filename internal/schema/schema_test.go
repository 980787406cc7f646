package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const (
	root = "../.."
	file = root + "/docs/haystream.schema.json"
)

func TestSchemaIsUpToDate(t *testing.T) {
	want, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/haystream.schema.json is not what the types say; run make schema")
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		for name, property := range s.Properties {
			if property.Description == "" {
				t.Errorf("%s.%s has no description: its Go field has no comment", path, name)
			}
			walk(path+"."+name, property)
		}
		for _, option := range s.AnyOf {
			walk(path, option)
		}
		if more, ok := s.AdditionalProperties.(*schema); ok {
			walk(path+".*", more)
		}
	}
	docs, err := readComments(root)
	if err != nil {
		t.Fatal(err)
	}
	s := newBuilder(docs).config()
	walk("", s)
	walk("field", s.Definitions["field"])
}

func TestConfigsFitTheSchema(t *testing.T) {
	good, err := filepath.Glob(root + "/replicator/config/testdata/*.good.yaml")
	if err != nil || len(good) == 0 {
		t.Fatal("no configs", err)
	}
	for _, path := range append(good, root+"/config.example.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, mistake := range check(t, string(text)) {
			t.Errorf("%s: %s", path, mistake)
		}
	}
}

func TestMistakesDoNotFitTheSchema(t *testing.T) {
	for text, want := range map[string]string{
		"nam: blog":                             "nam is not allowed",
		"http: 9600":                            "http is no object",
		"sink: {elasticsearch: {addresses: a}}": "sink.elasticsearch.addresses is no array",

		"sink: {elasticsearch: {bulk: {lanes: a}}}":  "sink.elasticsearch.bulk.lanes fits nothing",
		"indexes: {notes: {fields: all}}":            "indexes.notes.fields fits nothing",
		"indexes: {notes: {fields: {a: {tpye: b}}}}": "indexes.notes.fields fits nothing",
	} {
		if got := strings.Join(check(t, text), "; "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	if got := check(t, "sink: {elasticsearch: {bulk: {lanes: '${LANES}'}}}"); len(got) > 0 {
		t.Error(got)
	}
}

// check lists what in a config does not fit the schema.
func check(t *testing.T, text string) []string {
	t.Helper()
	var config any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	s := newBuilder(nil).config()
	return validator{s.Definitions}.fits(s, config, "")
}

// A validator knows the keywords that the schema uses.
type validator struct{ definitions map[string]*schema }

func (v validator) fits(s *schema, value any, path string) []string {
	if s.Ref != "" {
		return v.fits(v.definitions[strings.TrimPrefix(s.Ref, "#/definitions/")], value, path)
	}
	text, isText := value.(string)
	fitsOption := func(o *schema) bool { return len(v.fits(o, value, path)) == 0 }
	switch {
	case s.Type != "" && s.Type != kindOf(value) && (s.Type != "number" || kindOf(value) != "integer"):
		return []string{path + " is no " + s.Type}
	case s.AnyOf != nil && !slices.ContainsFunc(s.AnyOf, fitsOption):
		return []string{path + " fits nothing"}
	case s.Enum != nil && (!isText || !slices.Contains(s.Enum, text)):
		return []string{path + " is none of " + strings.Join(s.Enum, ", ")}
	case s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text):
		return []string{path + " does not match " + s.Pattern}
	}
	var mistakes []string
	if list, ok := value.([]any); ok && s.Items != nil {
		for i, item := range list {
			mistakes = append(mistakes, v.fits(s.Items, item, fmt.Sprintf("%s.%d", path, i))...)
		}
	}
	if object, ok := value.(map[string]any); ok {
		for name, member := range object {
			mistakes = append(mistakes, v.fitsMember(s, name, member, strings.TrimPrefix(path+"."+name, "."))...)
		}
	}
	return mistakes
}

func (v validator) fitsMember(s *schema, name string, member any, path string) []string {
	if property := s.Properties[name]; property != nil {
		return v.fits(property, member, path)
	}
	switch rest := s.AdditionalProperties.(type) {
	case *schema:
		return v.fits(rest, member, path)
	case bool:
		return []string{path + " is not allowed"}
	}
	return nil
}

func kindOf(value any) string {
	switch value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case int, uint64:
		return "integer"
	case float64:
		return "number"
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", value)
}
