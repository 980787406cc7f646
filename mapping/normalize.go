package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"haystream/sources"
)

// A Saved is the form of Index.Normalized.
type Saved struct {
	Alias       string                 `json:"alias"`
	Definitions map[string]*Definition `json:"definitions"`
	Tables      map[string]*savedTable `json:"tables"`
	Mappings    json.RawMessage        `json:"mappings"`
	Settings    json.RawMessage        `json:"settings,omitempty"`
	Pipeline    string                 `json:"pipeline,omitempty"`

	// TimeZone is what times are shown in, where templates or expressions see some.
	TimeZone string `json:"time_zone,omitempty"`
}

// savedTable is what an index took from the catalog.
type savedTable struct {
	Key     []string          `json:"key"`
	Columns map[string]string `json:"columns"` // SQL types of the columns in use

	Computed map[string]Template `json:"computed,omitempty"` // those in use
	Includes map[string]string   `json:"includes,omitempty"` // files that they include

	Choices map[string]map[string]string `json:"choices,omitempty"` // those in use

	Relations map[string]*Relation `json:"relations,omitempty"` // those in use, in full
}

// normalize writes down everything that decides the index, with <, > and &
// escaped, as package json does to whatever embeds it: the bytes stay the same.
func normalize(index *Index, units []*unit, made []compiled) (json.RawMessage, error) {
	saved := Saved{
		Alias: index.Alias, Mappings: index.Mappings, Settings: index.Settings, Pipeline: index.Pipeline,
		Definitions: map[string]*Definition{}, Tables: map[string]*savedTable{},
	}
	for i, u := range units {
		if err := saved.add(u, made[i]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(saved)
}

func (s *Saved) add(u *unit, made compiled) error {
	name := configName(u.table)
	made.renderer.root.all(s.addTable)
	if use, zone := u.form().useTZ(), u.schema.zone; use != nil && !*use && zone != time.UTC {
		s.TimeZone = zone.String()
	}
	if u.def.Partition != nil && u.schema.location() != time.UTC {
		s.TimeZone = u.schema.zone.String()
	}
	d := s.Definitions[u.name]
	if d == nil {
		d = &Definition{}
		*d = *u.def
		d.Index, d.Exclude, d.Only = u.alias, nil, nil
		d.Fields = Fields{Named: map[string]*Field{}}
		if !u.glob {
			d.Table = name
		}
		s.Definitions[u.name] = d
	}
	if u.glob && !slices.Contains(d.Only, name) {
		d.Only = append(d.Only, name)
	}
	maps.Copy(d.Fields.Named, u.fields)
	return d.canonical()
}

// addTable writes down what rows of a scope take from their table.
func (s *Saved) addTable(at *scope) {
	name := configName(at.source)
	t := s.Tables[name]
	if t == nil {
		t = &savedTable{Key: at.tree.schema.key(at.source), Columns: map[string]string{}}
		s.Tables[name] = t
	}
	if at.tree.zoned && at.zone() != time.UTC {
		s.TimeZone = at.zone().String()
	}
	for i, used := range at.used {
		if used != 0 {
			t.Columns[at.table.Columns[i].Name] = typeName(&at.table.Columns[i].Type)
		}
		if kind := at.table.Columns[i].Type.Kind; at.seen[i] != 0 && (kind == sources.Timestamp || kind == sources.TimestampTZ) && at.zone() != time.UTC {
			s.TimeZone = at.zone().String()
		}
	}
	for _, c := range at.computed {
		if c.choices != nil {
			if t.Choices == nil {
				t.Choices = map[string]map[string]string{}
			}
			t.Choices[at.table.Columns[c.column].Name] = c.choices
			continue
		}
		if t.Computed == nil {
			t.Computed = map[string]Template{}
		}
		t.Computed[c.name], t.Includes = at.tree.schema.computed[at.source][c.name], at.tree.schema.includes[at.source]
	}
	for _, c := range at.children {
		if c.via() == at {
			continue // of the table that has the relation
		}
		if t.Relations == nil {
			t.Relations = map[string]*Relation{}
		}
		t.Relations[c.relation.name] = c.relation.save()
	}
}

// typeName is a type as the server writes it, and what that is read as where a setting decides.
func typeName(t *sources.Type) string {
	if t.Kind == sources.Int && strings.HasPrefix(t.SQL, "tinyint(1)") {
		return t.SQL + " as a number"
	}
	return t.SQL
}

// canonical puts the definition's raw JSON into one form.
func (d *Definition) canonical() error {
	raws := append(rawFields(d.Fields.Named), &d.Settings, &d.Mapping)
	for _, raw := range raws {
		text, err := canonical(*raw)
		if err != nil {
			return err
		}
		*raw = text
	}
	return nil
}

// rawFields are the fields' raw JSON, of copies that take the fields' place.
func rawFields(fields map[string]*Field) []*json.RawMessage {
	var raws []*json.RawMessage
	for name, f := range fields {
		own := *f
		own.Fields.Named = maps.Clone(f.Fields.Named)
		fields[name] = &own
		raws = append(raws, &own.Value, &own.Mapping, &own.Default)
		raws = append(raws, rawFields(own.Fields.Named)...)
	}
	return raws
}

// Same reports whether an index that was made by one Normalized form is as one made by
// another would be: where they differ, columns take more values by now than they did.
func Same(saved, wanted json.RawMessage) bool {
	if bytes.Equal(saved, wanted) {
		return true
	}
	was, err := ParseSaved(saved)
	is, failed := ParseSaved(wanted)
	if err != nil || failed != nil {
		return false
	}
	for name, t := range was.Tables {
		for column, from := range t.Columns {
			if now := is.Tables[name]; now != nil && sources.Widened(from, now.Columns[column]) {
				t.Columns[column] = now.Columns[column]
			}
		}
	}
	again, err := json.Marshal(was)
	return err == nil && bytes.Equal(again, wanted)
}

// ParseSaved reads Index.Normalized.
func ParseSaved(normalized json.RawMessage) (saved Saved, err error) {
	err = json.Unmarshal(normalized, &saved)
	return saved, err
}

// Appends reports whether documents of rows that are gone stay in the index.
func (s *Saved) Appends() bool {
	for _, d := range s.Definitions {
		if d.Appends() {
			return true
		}
	}
	return false
}

// Partition is how the documents come into indexes of their periods, and in which zone;
// nil where all are in one.
func (s *Saved) Partition() (p *Partition, zone string) {
	for _, d := range s.Definitions {
		if d.Partition != nil {
			return d.Partition, s.TimeZone
		}
	}
	return nil, ""
}

// Restore returns the set that gives an index again: from its Normalized form,
// while a changed definition's new index is built, the old one is fed.
func Restore(normalized json.RawMessage) (Set, error) {
	saved, err := ParseSaved(normalized)
	if err != nil {
		return Set{}, fmt.Errorf("restore definition: %w", err)
	}
	set := Set{Indexes: saved.Definitions, Tables: map[string]*TableConfig{}, TimeZone: saved.TimeZone}
	for name, t := range saved.Tables {
		set.Tables[name] = &TableConfig{Key: t.Key, Computed: t.Computed, Includes: t.Includes, Choices: t.Choices, Relations: t.Relations}
	}
	return set, nil
}
