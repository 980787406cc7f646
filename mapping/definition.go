package mapping

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"

	"haystream/internal/conf"
)

// A Set is the `indexes:` and `tables:` of one configuration.
type Set struct {
	Indexes map[string]*Definition
	Tables  map[string]*TableConfig

	// TimeZone is what templates and expressions show times in; empty: UTC.
	TimeZone string

	// Stored, of a saved set: its documents were rendered from stored rows, also
	// where only the log's gaps, or another definition, called for that.
	Stored bool

	// Replaced, of a saved set: its index is being replaced, and goes on from rows of
	// earlier epochs, where the row store has such.
	Replaced bool

	// Unsure: not all of Tables could be read, so that what a table is said to lack
	// may only follow from that.
	Unsure bool
}

// Alias is the alias of a definition in the sink.
func (s *Set) Alias(name string) string {
	if d := s.Indexes[name]; d != nil && d.Index != "" {
		return d.Index
	}
	return name
}

// Find is the alias that is meant by a definition's name or by the alias itself; ok is false where
// no definition has it. An alias that is also the name of another definition means the alias: so each can be reached.
func (s *Set) Find(name string) (alias string, ok bool) {
	if slices.Contains(s.Aliases(), name) {
		return name, true
	}
	if s.Indexes[name] == nil {
		return "", false
	}
	return s.Alias(name), true
}

// Aliases are those of all definitions, sorted, each once.
func (s *Set) Aliases() []string {
	aliases := make([]string, 0, len(s.Indexes))
	for definition := range s.Indexes {
		aliases = append(aliases, s.Alias(definition))
	}
	slices.Sort(aliases)
	return slices.Compact(aliases)
}

// Appends reports whether documents stay when their rows go.
func (d *Definition) Appends() bool {
	return d != nil && (d.Mode == ModeAppend || d.Events != nil)
}

// A Definition is one entry of `indexes:`.
type Definition struct {
	// Index is the alias in the sink; empty for the definition's own name.
	Index string `yaml:"index" json:"index,omitempty"`

	// Table is schema.table, a bare name, or a glob that maps many tables.
	Table string `yaml:"table" json:"table"`

	// Events makes documents of events instead of a table's rows.
	Events *Events `yaml:"events" json:"events,omitempty"`

	// Where is an expression; rows for which it is not true have no document.
	Where string `yaml:"where" json:"where,omitempty"`

	// Fields are the document's fields.
	Fields Fields `yaml:"fields" json:"fields"`

	// Exclude names columns that `fields: "*"` leaves out.
	Exclude []string `yaml:"exclude" json:"exclude,omitempty"`

	// ID and Routing are a column's name, or a template where they hold {{ or {%.
	ID      Template `yaml:"id" json:"id,omitzero"`
	Routing Template `yaml:"routing" json:"routing,omitzero"`

	// Mode is empty, or append: no document is ever removed.
	Mode string `yaml:"mode" json:"mode,omitempty"`

	// Partition makes an index for each period, in mode append.
	Partition *Partition `yaml:"partition" json:"partition,omitempty"`

	// Settings are the physical index's settings, Mapping is merged over the
	// mapping that is inferred, Pipeline names an ingest pipeline.
	Settings json.RawMessage `yaml:"settings" json:"settings,omitempty"`
	Mapping  json.RawMessage `yaml:"mapping" json:"mapping,omitempty"`
	Pipeline string          `yaml:"pipeline" json:"pipeline,omitempty"`

	// KeepOld is how many physical indexes that were replaced are kept. It decides nothing
	// about documents, and so is not part of what is saved.
	KeepOld int `yaml:"keep_old" json:"-"`

	// Haystack makes documents that django-haystack's own backend reads.
	Haystack *Haystack `yaml:"haystack" json:"haystack,omitempty"`

	// Only holds the tables that a glob stood for when its index was built.
	// It is no setting: Restore fills it.
	Only []string `yaml:"-" json:"only,omitempty"`
}

// Events is a definition's `events:`.
type Events struct {
	// Name is the name that the events are pushed under; empty for the definition's own.
	Name string `yaml:"name" json:"name,omitempty"`
}

// Haystack is a definition's `haystack:`.
type Haystack struct {
	// Model is app_label.model_name, as Django writes it.
	Model string `yaml:"model" json:"model"`

	// IDField, ContentTypeField and KeyField are what Django's settings call the fields:
	// HAYSTACK_ID_FIELD, HAYSTACK_DJANGO_CT_FIELD and HAYSTACK_DJANGO_ID_FIELD.
	IDField          string `yaml:"id_field" json:"id_field,omitempty"`
	ContentTypeField string `yaml:"django_ct_field" json:"django_ct_field,omitempty"`
	KeyField         string `yaml:"django_id_field" json:"django_id_field,omitempty"`

	// UseTZ is Django's USE_TZ: with it timestamps are of UTC and say so, without it they are
	// those of the pipeline's time_zone and do not. Left out, the column's type decides.
	UseTZ *bool `yaml:"use_tz" json:"use_tz,omitempty"`
}

// Fields is `"*"`, every column, or a mapping of names to fields, which may
// hold the key "*" as well.
type Fields struct {
	All   bool
	Named map[string]*Field
}

const everyColumn = "*"

// UnmarshalYAML reads either form.
func (f *Fields) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Value == everyColumn {
		f.All = true
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return at(node, `wants "*" or a mapping of names to fields`)
	}
	var mistakes conf.Errors
	if err := conf.Decode(node, &f.Named); err != nil && !errors.As(err, &mistakes) {
		return err
	}
	if all, ok := f.Named[everyColumn]; ok {
		f.All = true
		delete(f.Named, everyColumn)
		if all != nil && !reflect.DeepEqual(all, &Field{}) {
			mistakes = append(mistakes, at(node, `"*" stands for every column and takes no settings of its own`)...)
		}
	}
	return mistakes.Err()
}

// any reports whether there are fields.
func (f *Fields) any() bool { return f.All || len(f.Named) > 0 }

// MarshalJSON writes the named fields; "*" has been expanded to them.
func (f Fields) MarshalJSON() ([]byte, error) { return json.Marshal(f.Named) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Fields) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &f.Named) }

// A Field of a document. At most one of From, Template, TemplateFile, Expr and
// Value says where its content comes from; none is the column of its name.
type Field struct {
	From         string          `yaml:"from" json:"from,omitempty"`
	Template     string          `yaml:"template" json:"template,omitempty"`
	TemplateFile string          `yaml:"template_file" json:"-"`
	Expr         string          `yaml:"expr" json:"expr,omitempty"`
	Value        json.RawMessage `yaml:"value" json:"value,omitempty"`

	// Engine is the language of the template, django or go, where its text does not
	// tell. In what is saved it is written out.
	Engine string `yaml:"engine" json:"engine,omitempty"`

	// TimeZone is what the template, the expression or date_format shows times in,
	// instead of the pipeline's zone.
	TimeZone string `yaml:"time_zone" json:"time_zone,omitempty"`

	// Type is the sink's type of the field, Mapping its raw mapping. Both
	// take precedence over what is inferred.
	Type    string          `yaml:"type" json:"type,omitempty"`
	Mapping json.RawMessage `yaml:"mapping" json:"mapping,omitempty"`

	// Default stands in for NULL; OmitNull leaves the field out instead.
	Default  json.RawMessage `yaml:"default" json:"default,omitempty"`
	OmitNull bool            `yaml:"omit_null" json:"omit_null,omitempty"`

	// DateFormat is a Go layout, epoch_millis or epoch_second.
	DateFormat string `yaml:"date_format" json:"date_format,omitempty"`

	// Document marks haystack's document field.
	Document bool `yaml:"document" json:"document,omitempty"`

	// Faceted adds haystack's facet of the field, NAME_exact. FacetFor makes the field the
	// facet of another one, with its content where it has none of its own.
	Faceted  bool   `yaml:"faceted" json:"faceted,omitempty"`
	FacetFor string `yaml:"facet_for" json:"facet_for,omitempty"`

	// Indexed, Stored and Boost are those of haystack's fields.
	Indexed *bool   `yaml:"indexed" json:"indexed,omitempty"`
	Stored  *bool   `yaml:"stored" json:"stored,omitempty"`
	Boost   float64 `yaml:"boost" json:"boost,omitempty"`

	// Fields are those of related rows.
	Fields Fields `yaml:"fields" json:"fields,omitzero"`

	// Exclude names columns of related rows that `fields: "*"` leaves out.
	Exclude []string `yaml:"exclude" json:"exclude,omitempty"`

	// Includes are the texts of the files that the template includes, by path, and
	// File is the template's own path where there are some. They are no settings.
	Includes map[string]string `yaml:"-" json:"includes,omitempty"`
	File     string            `yaml:"-" json:"file,omitempty"`

	inlined bool // Template is the content of TemplateFile
}

// UnmarshalYAML reads a path alone, or a field's settings.
func (f *Field) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		f.From = node.Value
		return nil
	}
	type settings Field
	return conf.Decode(node, (*settings)(f))
}

// at is a mistake in the node's place.
func at(node *yaml.Node, message string) conf.Errors {
	return conf.Errors{{Line: node.Line, Message: message}}
}

// content counts the settings that say where the content comes from.
func (f *Field) content() int {
	n := 0
	for _, set := range []bool{
		f.From != "", f.Template != "" && !f.inlined, f.TemplateFile != "" || f.inlined, f.Expr != "", f.Value != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// alone returns the field once for each of its contents, with that one only.
func (f *Field) alone() []*Field {
	if f.content() == 1 {
		return []*Field{f}
	}
	var all []*Field
	none := *f
	none.From, none.Template, none.TemplateFile, none.Expr, none.Value, none.inlined = "", "", "", "", nil, false
	for _, keep := range []func(to *Field){
		func(to *Field) { to.From = f.From },
		func(to *Field) { to.Template, to.TemplateFile, to.inlined = f.Template, f.TemplateFile, f.inlined },
		func(to *Field) { to.Expr = f.Expr },
		func(to *Field) { to.Value = f.Value },
	} {
		one := none
		if keep(&one); one.content() > 0 {
			all = append(all, &one)
		}
	}
	return all
}

// hasTemplate reports whether the field is rendered by a template.
func (f *Field) hasTemplate() bool { return f.Template != "" || f.TemplateFile != "" || f.inlined }

// A TableConfig is one entry of `tables:`: what the catalog cannot tell.
type TableConfig struct {
	// Key names the columns that identify a row, where the catalog has no key
	// or not the wanted one.
	Key []string `yaml:"key" json:"key,omitempty"`

	// Computed are virtual columns, by name: templates. They give text as it is: what
	// a template of Django's prints there is not escaped.
	Computed map[string]Template `yaml:"computed" json:"computed,omitempty"`

	// Relations lead to rows of other tables, by name.
	Relations map[string]*Relation `yaml:"relations" json:"relations,omitempty"`

	// Choices are labels of a column's values, by column and value. They make the
	// computed column get_COLUMN_display.
	Choices map[string]map[string]string `yaml:"choices" json:"choices,omitempty"`

	// Includes are the texts of the files that templates of Computed include, by
	// path. It is no setting.
	Includes map[string]string `yaml:"-" json:"includes,omitempty"`

	// Unsure: as of a Set, for this entry. It is no setting.
	Unsure bool `yaml:"-" json:"-"`
}

// A Relation leads from a row to related ones.
type Relation struct {
	// Table is the one that is led to.
	Table string `yaml:"table" json:"table"`

	// Column names the referring columns: of the own table; of the other one
	// where many rows are led to; of Through, where they refer to the own row.
	// A foreign key tells where they are left out.
	Column Names `yaml:"column" json:"column,omitempty"`

	// Through is a table in between, whose rows each join an own row and another one.
	Through string `yaml:"through" json:"through,omitempty"`

	// TargetColumn names the columns that Column refers to, where they are not
	// the key; the columns of Through that refer to the other row.
	TargetColumn Names `yaml:"target_column" json:"target_column,omitempty"`

	// Many: any number of rows are led to, else the first one. Left out, it is
	// true with Through and false without.
	Many *bool `yaml:"many" json:"many,omitempty"`

	// OrderBy are columns of the rows that are led to, or with Through those of the row
	// in between after "through.", each the other way round where a minus is before it.
	OrderBy Names `yaml:"order_by" json:"order_by,omitempty"`

	// Where is an expression over a row that is led to. Rows for which it is not
	// true are left out. With Through it sees the row in between as "through".
	Where string `yaml:"where" json:"where,omitempty"`

	// Limit is how many rows are led to at most, the first ones; 0: all.
	Limit int `yaml:"limit" json:"limit,omitempty"`

	// Distinct, with Through: a row is there once, however many rows in between lead to it.
	Distinct bool `yaml:"distinct" json:"distinct,omitempty"`
}

// many reports whether any number of rows are led to.
func (r *Relation) many() bool {
	if r.Many == nil {
		return r.Through != ""
	}
	return *r.Many
}

// Names are one name, or a list.
type Names []string

// UnmarshalYAML reads either form.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = Names{node.Value}
		return nil
	}
	return conf.Decode(node, (*[]string)(n))
}
