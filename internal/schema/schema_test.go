package main

import (
	"encoding/json"
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
	good, err := filepath.Glob(root + "/replicator/testdata/config/*.good.yaml")
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
		"nmae: blog":                                 "nmae is not allowed",
		"http: 9600":                                 "http is no object",
		"sink: {elasticsearch: {addresses: a}}":      "sink.elasticsearch.addresses is no array",
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

// check lists what in a config does not fit the schema file.
func check(t *testing.T, text string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	var config any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	return validator{s["definitions"].(map[string]any)}.fits(s, config, "")
}

// A validator knows the keywords that the schema uses.
type validator struct{ definitions map[string]any }

func (v validator) fits(s map[string]any, value any, path string) (mistakes []string) {
	if ref, ok := s["$ref"].(string); ok {
		return v.fits(v.definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any), value, path)
	}
	if kind, ok := s["type"].(string); ok && kind != kindOf(value) {
		return []string{path + " is no " + kind}
	}
	if options, ok := s["anyOf"].([]any); ok {
		if !slices.ContainsFunc(options, func(o any) bool { return len(v.fits(o.(map[string]any), value, path)) == 0 }) {
			return []string{path + " fits nothing"}
		}
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
		return []string{path + " is none of " + fmt.Sprint(enum)}
	}
	if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value.(string)) {
		return []string{path + " does not match " + pattern}
	}
	if items, ok := s["items"].(map[string]any); ok {
		for i, item := range value.([]any) {
			mistakes = append(mistakes, v.fits(items, item, fmt.Sprintf("%s.%d", path, i))...)
		}
	}
	object, _ := value.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, member := range object {
		at := strings.TrimPrefix(path+"."+name, ".")
		switch rest := s["additionalProperties"].(type) {
		default:
			if p, ok := properties[name].(map[string]any); ok {
				mistakes = append(mistakes, v.fits(p, member, at)...)
			} else if rest == false {
				mistakes = append(mistakes, at+" is not allowed")
			}
		case map[string]any:
			mistakes = append(mistakes, v.fits(rest, member, at)...)
		}
	}
	return mistakes
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
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", value)
}
