package mapping

import "haystream/sources"

// A form is how a definition writes documents: their ids, the fields that each of
// them has, and values. A form that changes little embeds plainForm.
type form interface {
	// check reports what of the definition does not go with the form.
	check(u *unit, problems *Problems)

	// ids returns what ids begin with, before the key's columns, and the setting
	// that says so. Without a setting the form has no ids of its own.
	ids() (prefix, setting string)

	// fields are in every document; the definition has none of their names.
	fields(id *documentName, t *sources.Table) map[string]fieldPlan
	reserves(name string) bool

	// settings are those of the index that the fields need.
	settings() object

	// omitsNull reports whether a field that is NULL and has no default is left out.
	omitsNull() bool

	// marksDocument reports whether a field may be marked `document: true`.
	marksDocument() bool

	// text is the mapping of computed columns, and of the document field.
	text() object

	// column is a column's value and its mapping, in a field of the wanted type
	// (empty: the inferred one).
	column(x *inferrer, column int, t *sources.Type, wanted string) (content, object)
}

// form returns the form that the definition asks for.
func (d *Definition) form() form {
	if d.Haystack != nil {
		return haystackForm{model: d.Haystack.Model}
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
func (plainForm) marksDocument() bool           { return false }
func (plainForm) text() object                  { return textWithKeyword() }

func (plainForm) fields(*documentName, *sources.Table) map[string]fieldPlan { return nil }

func (plainForm) column(x *inferrer, column int, t *sources.Type, wanted string) (content, object) {
	if t.Kind == sources.JSON {
		return jsonContent(&columnContent{column, t}, wanted, x.column(t))
	}
	return &columnContent{column, t}, x.column(t)
}
