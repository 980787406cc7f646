package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// savedIndex is the form of Index.Normalized.
type savedIndex struct {
	Alias       string                 `json:"alias"`
	Definitions map[string]*Definition `json:"definitions"`
	Tables      map[string]*savedTable `json:"tables"`
	Mappings    json.RawMessage        `json:"mappings"`
	Settings    json.RawMessage        `json:"settings,omitempty"`
	Pipeline    string                 `json:"pipeline,omitempty"`
}

// savedTable is what an index took from the catalog.
type savedTable struct {
	Key     []string          `json:"key"`
	Columns map[string]string `json:"columns"` // SQL types of the columns in use
}

// normalize writes down everything that decides the index, with <, > and &
// escaped, as package json does to whatever embeds it: the bytes stay the same.
func normalize(index *Index, units []*unit, made []compiled) (json.RawMessage, error) {
	saved := savedIndex{
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

func (s *savedIndex) add(u *unit, made compiled) error {
	name := configName(u.table)
	t := s.Tables[name]
	if t == nil {
		t = &savedTable{Key: u.key, Columns: map[string]string{}}
		s.Tables[name] = t
	}
	for i, used := range made.used {
		if used {
			t.Columns[made.renderer.Table.Columns[i].Name] = made.renderer.Table.Columns[i].Type.SQL
		}
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

// canonical puts the definition's raw JSON into one form.
func (d *Definition) canonical() error {
	raws := []*json.RawMessage{&d.Settings, &d.Mapping}
	for name, f := range d.Fields.Named {
		own := *f
		d.Fields.Named[name] = &own
		raws = append(raws, &own.Value, &own.Mapping, &own.Default)
	}
	for _, raw := range raws {
		text, err := canonical(*raw)
		if err != nil {
			return err
		}
		*raw = text
	}
	return nil
}

// Restore returns the set that gives an index again: from its Normalized form,
// while a changed definition's new index is built, the old one is fed.
func Restore(normalized json.RawMessage) (Set, error) {
	var saved savedIndex
	if err := json.Unmarshal(normalized, &saved); err != nil {
		return Set{}, fmt.Errorf("restore definition: %w", err)
	}
	set := Set{Indexes: saved.Definitions, Tables: map[string]*TableConfig{}}
	for name, t := range saved.Tables {
		set.Tables[name] = &TableConfig{Key: t.Key}
	}
	return set, nil
}
