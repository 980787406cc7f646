package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/widgets"
)

// A schema is the part of JSON Schema (draft 7) that a config needs.
type schema struct {
	Schema               string             `json:"$schema,omitempty"`
	Title                string             `json:"title,omitempty"`
	Ref                  string             `json:"$ref,omitempty"`
	Description          string             `json:"description,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	Default              any                `json:"default,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"` // false, or the *schema of each value
	Items                *schema            `json:"items,omitempty"`
	AnyOf                []*schema          `json:"anyOf,omitempty"`
	Definitions          map[string]*schema `json:"definitions,omitempty"`
}

// A builder makes schemas of types.
type builder struct {
	docs        comments
	choices     map[string][]string // by path
	definitions map[string]*schema
}

func newBuilder(docs comments) *builder {
	return &builder{docs: docs, choices: config.Choices(), definitions: make(map[string]*schema)}
}

// config is the whole file's schema.
func (b *builder) config() *schema {
	s := b.structure(reflect.ValueOf(*config.New()), "")
	s.Schema = "http://json-schema.org/draft-07/schema#"
	s.Title = "Haystream configuration"
	s.Definitions = b.definitions
	return s
}

var (
	secretType     = reflect.TypeFor[conf.Secret]()
	rawType        = reflect.TypeFor[json.RawMessage]()
	fieldType      = reflect.TypeFor[mapping.Field]()
	fieldsType     = reflect.TypeFor[mapping.Fields]()
	queryType      = reflect.TypeFor[widgets.Query]()
	templateType   = reflect.TypeFor[mapping.Template]()
	valueType      = reflect.TypeFor[widgets.Value]()
	namesType      = reflect.TypeFor[mapping.Names]()
	textualType    = reflect.TypeFor[encoding.TextUnmarshaler]()
	variable       = `\$\{`
	fieldReference = "#/definitions/field"
)

// value is the schema of a setting with a default.
func (b *builder) value(v reflect.Value, path string) *schema {
	switch t := v.Type(); {
	case t == rawType:
		return &schema{}
	case t == fieldsType:
		return b.fields()
	case t == fieldType:
		return b.field()
	case t == namesType:
		return &schema{AnyOf: []*schema{{Type: "string"}, {Type: "array", Items: &schema{Type: "string"}}}}
	case t == queryType:
		return &schema{AnyOf: []*schema{{Type: "string"}, {Type: "object"}}}
	case t == templateType:
		return &schema{AnyOf: []*schema{{Type: "string"}, b.structure(v, path)}}
	case t == valueType:
		return &schema{AnyOf: []*schema{{Enum: []string{"count"}}, b.structure(v, path)}}
	case t == secretType:
		return &schema{Type: "string"}
	case reflect.PointerTo(t).Implements(textualType):
		return &schema{AnyOf: []*schema{{Type: "string"}, {Type: "integer"}}, Default: defaultOf(v)}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		return b.value(v.Elem(), path)
	case reflect.Struct:
		return b.structure(v, path)
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: b.value(reflect.Zero(v.Type().Elem()), path+".*")}
	case reflect.Slice:
		return &schema{Type: "array", Items: b.value(reflect.Zero(v.Type().Elem()), path)}
	case reflect.String:
		return b.text(v, path)
	case reflect.Bool:
		return b.orVariable(v, "boolean")
	case reflect.Float64:
		return b.orVariable(v, "number")
	}
	return b.orVariable(v, "integer")
}

// text is a string, or one of a few.
func (b *builder) text(v reflect.Value, path string) *schema {
	choices, ok := b.choices[path]
	if !ok {
		return &schema{Type: "string", Default: defaultOf(v)}
	}
	return &schema{AnyOf: []*schema{{Enum: choices}, {Type: "string", Pattern: variable}}, Default: defaultOf(v)}
}

// orVariable is a type that may be given by an environment variable.
func (b *builder) orVariable(v reflect.Value, kind string) *schema {
	return &schema{AnyOf: []*schema{{Type: kind}, {Type: "string", Pattern: variable}}, Default: defaultOf(v)}
}

func defaultOf(v reflect.Value) any {
	if v.IsZero() {
		return nil
	}
	if s, ok := reflect.TypeAssert[fmt.Stringer](v); ok {
		return s.String()
	}
	return v.Interface()
}

// structure is a section: its settings and no others.
func (b *builder) structure(v reflect.Value, path string) *schema {
	s := &schema{Type: "object", Properties: make(map[string]*schema), AdditionalProperties: false}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		property := b.value(v.Field(i), strings.TrimPrefix(path+"."+name, "."))
		property.Description = b.docs[v.Type().PkgPath()+"."+v.Type().Name()+"."+f.Name]
		s.Properties[name] = property
	}
	return s
}

// fields is `"*"`, or a mapping of names to fields.
func (b *builder) fields() *schema {
	return &schema{AnyOf: []*schema{
		{Enum: []string{"*"}},
		{Type: "object", AdditionalProperties: b.field()},
	}}
}

// field is a path alone, a field's settings, or nothing: the column of its name.
func (b *builder) field() *schema {
	if b.definitions["field"] == nil {
		both := &schema{}
		b.definitions["field"] = both // fields may hold fields
		both.AnyOf = []*schema{{Type: "string"}, {Type: "null"}, b.structure(reflect.Zero(fieldType), "indexes.*.fields.*")}
	}
	return &schema{Ref: fieldReference}
}
