package mapping

import (
	"time"

	"haystream/sources"
)

// A form is how a definition writes documents: their ids, the fields that each of
// them has, and values. A form that changes little embeds plainForm.
type form interface {
	// check reports what of the definition does not go with the form.
	check(u *unit, problems *Problems)

	// ids returns what ids begin with, before the key's columns, and the setting
	// that says so. Without a setting the form has no ids of its own.
	ids() (prefix, setting string)

	// fields are in every document; the definition has none of their names. key is
	// the name that the key's columns give.
	fields(id, key *documentName, t *sources.Table) map[string]fieldPlan
	reserves(name string) bool

	// settings are those of the index that the fields need.
	settings() object

	// omitsNull reports whether a field that is NULL and has no default is left out.
	omitsNull() bool

	// haystack reports whether fields take the settings of haystack's.
	haystack() bool

	// engine is the language of a template that could be of either; empty: Go's.
	engine() string

	// expand adds the fields that follow from settings of others. given are the
	// fields as they are written.
	expand(given, fields map[string]*Field, fail func(name, setting, message string))

	// types are the form's own names for types of fields, with their mappings.
	types() map[string]object

	// text is the mapping of texts: computed columns, templates, the document field.
	text() object

	// column is a column's value and its mapping, in a field of the wanted type
	// (empty: the inferred one). value is that of any other content.
	column(x *inferrer, column int, t *sources.Type, wanted string) (content, object)
	value(of content, inferred object, wanted string) (content, object)

	// mapping is a field's mapping as the form's settings change it.
	mapping(x *inferrer, f *Field, m object) object

	// uuids reports whether columns of 32 characters hold UUIDs without their hyphens.
	uuids() bool

	// useTZ is Django's USE_TZ: what templates of Django's take timestamps for. true:
	// those without a zone are of UTC; false: those with one are shown without. nil:
	// the column's type decides.
	useTZ() *bool
}

// form returns the form that the definition asks for.
func (d *Definition) form() form {
	if d.Haystack != nil {
		return haystackForm{d.Haystack, time.UTC}
	}
	return plainForm{}
}

// plainForm writes what the definition says, and nothing else.
type plainForm struct{}

func (plainForm) check(*unit, *Problems)        {}
func (plainForm) ids() (prefix, setting string) { return "", "" }
func (plainForm) reserves(string) bool          { return false }
func (plainForm) settings() object              { return object{} }
func (plainForm) omitsNull() bool               { return false }
func (plainForm) haystack() bool                { return false }
func (plainForm) uuids() bool                   { return false }
func (plainForm) useTZ() *bool                  { return nil }
func (plainForm) types() map[string]object      { return nil }
func (plainForm) engine() string                { return "" }
func (plainForm) text() object                  { return textWithKeyword() }

func (plainForm) fields(*documentName, *documentName, *sources.Table) map[string]fieldPlan {
	return nil
}

func (plainForm) expand(_, _ map[string]*Field, _ func(name, setting, message string)) {}

func (plainForm) value(of content, inferred object, _ string) (content, object) {
	return of, inferred
}

func (plainForm) mapping(_ *inferrer, _ *Field, m object) object { return m }

func (plainForm) column(x *inferrer, column int, t *sources.Type, wanted string) (content, object) {
	if t.Kind == sources.JSON {
		return jsonContent(&columnContent{column, t}, wanted, x.column(t))
	}
	return &columnContent{column, t}, x.column(t)
}
