// Package draft makes a configuration out of a catalog: a definition for each table, and the
// relations that foreign keys make. It connects to nothing. Its caller tries the draft,
// tells it what is refused, and prints the rest.
package draft

import (
	"maps"
	"slices"
	"strings"

	"haystream/mapping"
	"haystream/sinks"
	"haystream/sources"
)

// A Draft is a configuration in the making.
type Draft struct {
	*relater
	tables []*table
	byName map[string]*table // as the catalog has them, schema.table
}

// A table is one that gets a definition.
type table struct {
	*sources.Table
	name    string // as configuration writes it
	alias   string
	why     string   // the definition is off because of this; empty: it is on
	refused []string // why it cannot be
	fields  []*field
	shown   []*field // of related rows, all off

	relations []*relation
}

// A field of a definition.
type field struct {
	name, from string
	note       string // in a comment
	off        bool
	refused    string // why it cannot be
}

// A relation that is declared.
type relation struct {
	name    string
	config  *mapping.Relation
	through *sources.Table
	target  *sources.Table
}

// New drafts definitions of some tables of a catalog, in their order.
func New(catalog, chosen []*sources.Table, rules sinks.Rules) *Draft {
	d := &Draft{byName: map[string]*table{}}
	aliases := names{}
	for _, t := range chosen {
		own := &table{Table: t, name: mapping.TableName(t), alias: aliases.take(aliasOf(t, rules)), why: bookkeeping(t)}
		d.tables, d.byName[t.String()] = append(d.tables, own), own
	}
	d.relater = newRelater(catalog)
	for _, t := range d.tables {
		t.columns(d.relater, rules)
		if t.why != "" {
			continue
		}
		if d.links[t.Table] {
			t.why = "joins rows of other tables, whose definitions have relations through it"
			continue
		}
		t.relations = d.relations(t.Table)
	}
	return d
}

// columns drafts a field for each column.
func (t *table) columns(r *relater, rules sinks.Rules) {
	taken := names{}
	for i := range t.Columns {
		c := &t.Columns[i]
		f := &field{name: taken.take(fieldName(c.Name, rules)), from: c.Name, note: c.Type.SQL}
		if refers := r.refersTo(t.Table, c.Name); len(refers) > 0 {
			f.note += ", refers to " + strings.Join(refers, ", ")
		}
		if isSecret(c) {
			f.off, f.note = true, f.note+"; looks like a secret"
		}
		t.fields = append(t.fields, f)
	}
	if t.why == "" && !slices.ContainsFunc(t.fields, func(f *field) bool { return !f.off }) {
		t.why = "has only columns that look like secrets"
	}
}

// Relate drops the relations that lead to tables which are refused, and drafts fields of
// related rows: one column for each relation.
func (d *Draft) Relate() {
	for _, t := range d.tables {
		t.relations = slices.DeleteFunc(t.relations, func(r *relation) bool { return d.isRefused(r.target) || d.isRefused(r.through) })
		if t.why == "" && len(t.refused) == 0 {
			d.show(t)
		}
	}
}

func (d *Draft) isRefused(t *sources.Table) bool {
	return t != nil && d.byName[t.String()] != nil && len(d.byName[t.String()].refused) > 0
}

func (d *Draft) show(t *table) {
	taken := names{}
	for _, f := range t.fields {
		taken[f.name] = true
	}
	add := func(relation string, target *sources.Table, note string) {
		label := labelOf(target)
		if label != "" && isIdentifier(relation) && !d.isRefused(target) && bookkeeping(target) == "" {
			name := taken.take(relation + "_" + fieldName(label, sinks.Rules{}))
			t.shown = append(t.shown, &field{name: name, from: relation + "." + label, note: note, off: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.found[t.Table])) {
		add(name, d.found[t.Table][name], "")
	}
	for _, r := range t.relations {
		note := ""
		if r.config.Many != nil || r.through != nil {
			note = "an array"
		}
		add(r.name, r.target, note)
	}
}

// Set is the draft as configuration, without what is refused; shown: with the fields of
// related rows, and with the definitions that are off.
func (d *Draft) Set(shown bool) mapping.Set {
	set := mapping.Set{Indexes: map[string]*mapping.Definition{}, Tables: map[string]*mapping.TableConfig{}}
	for _, t := range d.tables {
		if len(t.refused) > 0 || t.why != "" && !shown {
			continue
		}
		fields := map[string]*mapping.Field{}
		for _, f := range slices.Concat(t.fields, t.shown) {
			if f.refused == "" && (shown || !f.off) {
				fields[f.name] = &mapping.Field{From: f.from}
			}
		}
		set.Indexes[t.alias] = &mapping.Definition{Table: t.name, Mode: t.mode(), Fields: mapping.Fields{Named: fields}}
		if len(t.relations) == 0 {
			continue
		}
		config := &mapping.TableConfig{Relations: map[string]*mapping.Relation{}}
		for _, r := range t.relations {
			config.Relations[r.name] = r.config
		}
		set.Tables[t.name] = config
	}
	return set
}

// mode is the definition's: documents of rows that are nowhere must stay.
func (t *table) mode() string {
	if t.LogOnly {
		return mapping.ModeAppend
	}
	return ""
}

// Refuse takes out what problems of its Set are about; false where one is about nothing of it.
// Fields of related rows go first, since a problem of the whole may be theirs, and a relation
// goes without a word: nothing that is on needs it.
func (d *Draft) Refuse(problems mapping.Problems) bool {
	all, showed := true, map[*table]bool{}
	for _, t := range d.tables {
		showed[t] = len(t.shown) > 0
	}
	for _, p := range problems {
		all = d.refuse(p, showed) && all
	}
	return all
}

func (d *Draft) refuse(p mapping.Problem, showed map[*table]bool) bool {
	for _, t := range d.tables {
		if rest, ok := within(p.Path, "indexes."+t.alias); ok {
			name, isField := within(rest, "fields")
			name, _, _ = strings.Cut(name, ".")
			switch {
			case isField && t.refuseField(name, p.Message):
			case showed[t]:
				t.shown = nil
			default:
				t.refuse(p.Message)
			}
			return true
		}
		if rest, ok := within(p.Path, "tables."+t.name+".relations"); ok {
			before := len(t.relations)
			t.relations = slices.DeleteFunc(t.relations, func(r *relation) bool { _, ok := within(rest, r.name); return ok })
			return len(t.relations) < before
		}
	}
	return false
}

func (t *table) refuse(why string) {
	if !slices.Contains(t.refused, why) {
		t.refused = append(t.refused, why)
	}
}

// within cuts the beginning off a path.
func within(path, beginning string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path+".", beginning+".")
	return strings.TrimSuffix(rest, "."), ok
}

// refuseField takes out a field; false where there is none of the name.
func (t *table) refuseField(name, why string) bool {
	before := len(t.shown)
	if t.shown = slices.DeleteFunc(t.shown, func(f *field) bool { return f.name == name }); len(t.shown) < before {
		return true
	}
	for _, f := range t.fields {
		if f.name == name && f.refused == "" {
			f.refused = why
			return true
		}
	}
	return false
}

// RefuseTable takes out a table by its name in the catalog; false where it has no definition.
func (d *Draft) RefuseTable(name, why string) bool {
	t := d.byName[name]
	if t != nil {
		t.refuse(why)
	}
	return t != nil
}

// Count is how many definitions are on.
func (d *Draft) Count() (n int) {
	for _, t := range d.tables {
		if t.why == "" && len(t.refused) == 0 {
			n++
		}
	}
	return n
}
