package mapping

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"haystream/internal/preflight"
	"haystream/sinks"
	"haystream/sources"
)

// An Index is one physical index: what all the definitions of one alias make.
type Index struct {
	Alias     string
	Names     []string // of the definitions, sorted
	Renderers []*Renderer
	Joined    []*JoinedRenderer // of definitions whose documents are rendered from stored rows
	Mappings  json.RawMessage   // {"dynamic":"strict","properties":{…}}
	Settings  json.RawMessage   // as configured; nil for none
	Pipeline  string
	KeepOld   int // how many replaced physical indexes are kept

	// Partition is how documents come into the indexes of their periods; nil where all
	// are in one.
	Partition *Partitioning

	// Uses names the columns that documents are made of, by table, keys among them.
	Uses map[string][]string

	// Normalized is canonical JSON of everything that decides the documents
	// and the physical index: fields written out, template texts, keys, column
	// types, mappings. Equal bytes mean the same index. Restore reads it back.
	Normalized json.RawMessage
}

// Preview is a target of no sink, for documents that are only looked at.
func (index *Index) Preview(now time.Time) *sinks.Target {
	t := &sinks.Target{}
	if p := index.Partition; p != nil {
		t.Oldest.Store(int64(p.Oldest(now.In(p.Zone))))
	}
	return t
}

// Expired counts the documents of periods that are not kept.
func (index *Index) Expired() (n int64) {
	for _, r := range index.Renderers {
		n += r.Expired.Load()
	}
	for _, r := range index.Joined {
		n += r.Expired.Load()
	}
	return n
}

// Nulled counts the values that became null.
func (index *Index) Nulled() (n int64) {
	for _, r := range index.Renderers {
		n += r.Nulled.Load()
	}
	for _, r := range index.Joined {
		n += r.Nulled.Load()
	}
	return n
}

// indexes compiles the units of a set against the projected tables and puts
// those of one alias together.
func (p *planner) indexes(set int, projected map[*sources.Table]*sources.Table) []*Index {
	groups := p.grouped(set)
	var all []*Index
	for _, alias := range slices.Sorted(maps.Keys(groups)) {
		if set == 0 {
			p.mixed(groups[alias])
		}
		if index := p.index(alias, groups[alias], projected); index != nil {
			all = append(all, index)
		}
	}
	return all
}

// grouped are the units of a set by alias.
func (p *planner) grouped(set int) map[string][]*unit {
	groups := map[string][]*unit{}
	for _, u := range p.unitsFound {
		if u.set == set {
			groups[u.alias] = append(groups[u.alias], u)
		}
	}
	return groups
}

// index puts one alias together; nil where there are problems.
func (p *planner) index(alias string, units []*unit, projected map[*sources.Table]*sources.Table) *Index {
	before := len(p.problems)
	index := &Index{Alias: alias, Uses: map[string][]string{}}
	var made []compiled
	for _, u := range units {
		index.KeepOld = max(index.KeepOld, u.def.KeepOld)
		stored := p.storages[u.set].stored
		tree := &tree{schema: u.schema, stored: stored, at: func(t *sources.Table) *sources.Table { return projected[t] }}
		if len(u.joined) > 0 {
			tree.at = func(t *sources.Table) *sources.Table { return stored[t].Table }
		}
		out := u.compile(tree, p.infer, &p.problems)
		made = append(made, out)
		out.renderer.root.all(index.use)
		if len(u.joined) > 0 {
			index.Joined = append(index.Joined, p.joined(out.renderer, stored))
		} else {
			index.Renderers = append(index.Renderers, out.renderer)
		}
		if !slices.Contains(index.Names, u.name) {
			index.Names = append(index.Names, u.name)
		}
	}
	for _, u := range units {
		if u.def.Partition != nil {
			index.Partition = &Partitioning{u.def.Partition, u.schema.location()}
		}
	}
	mappings, settings, pipeline := p.together(alias, units)
	index.Pipeline = pipeline
	if len(p.problems) > before {
		return nil
	}
	err := index.encode(mappings, settings, units, made)
	if err != nil {
		p.problems.add("indexes."+units[0].name, "encode definition: %v", err)
		return nil
	}
	return index
}

// use notes what rows of a scope take from their table.
func (index *Index) use(at *scope) {
	uses := index.Uses[at.source.String()]
	add := func(name string) {
		if !slices.Contains(uses, name) {
			uses = append(uses, name)
		}
	}
	for i, used := range at.used {
		if used != 0 {
			add(at.table.Columns[i].Name)
		}
	}
	for _, name := range at.tree.schema.key(at.source) {
		add(name)
	}
	index.Uses[at.source.String()] = uses
}

// together puts together what units of one alias say of their index, as the
// first pass has found it, and reports what they do not agree about.
func (p *planner) together(alias string, units []*unit) (mappings, settings object, pipeline string) {
	mappings, settings = object{}, object{}
	for _, u := range units {
		combine(mappings, cloneObject(u.first.mapping), nil, p.conflict(u, units, "mapping"))
		own, _ := decodeObject(u.def.Settings) // checked by definition
		needed := u.def.form().settings()
		override(needed, own)
		combine(settings, needed, nil, p.conflict(u, units, "settings"))
		if pipeline != "" && u.def.Pipeline != "" && u.def.Pipeline != pipeline {
			p.problems.add(u.path("pipeline"), "is %s here and %s in another definition of the index %s", u.def.Pipeline, pipeline, alias)
		}
		if u.def.Pipeline != "" {
			pipeline = u.def.Pipeline
		}
		if !reflect.DeepEqual(u.def.Partition, units[0].def.Partition) {
			p.problems.add(u.path("partition"), "is another one in another definition of the index %s; all that share an index must agree", alias)
		}
	}
	return mappings, settings, pipeline
}

func (index *Index) encode(mappings, settings object, units []*unit, made []compiled) (err error) {
	if index.Mappings, err = encodeObject(mappings); err != nil {
		return err
	}
	if index.Settings, err = encodeObject(settings); err != nil {
		return err
	}
	index.Normalized, err = normalize(index, units, made)
	return err
}

// conflict reports what two definitions, or two tables of a glob, of one index
// disagree about.
func (p *planner) conflict(u *unit, units []*unit, setting string) func([]string, any, any) {
	return func(way []string, a, b any) {
		who := "in another definition of the index " + u.alias
		if units[0].name == u.name {
			who = "for another table of the glob"
		}
		have, _ := encodeJSON(a)
		want, _ := encodeJSON(b)
		at, what := u.path(setting), strings.Join(way, ".")
		if setting == "settings" {
			p.problems.add(at, "%s is %s here and %s %s; all that share an index must agree", what, want, have, who)
			return
		}
		if len(way) > 1 && way[0] == "properties" {
			at, what = u.path("fields", way[1]), strings.Join(way[2:], ".")
		}
		p.problems.add(at, "%s is %s for table %s and %s %s; all that share an index must agree", what, want, u.table, have, who)
	}
}

// mixed warns of an index in which some documents stay when their rows go, and
// others do not.
func (p *planner) mixed(units []*unit) {
	if slices.ContainsFunc(units, func(u *unit) bool { return u.def.Mode != units[0].def.Mode }) {
		p.warn(preflight.Finding{
			Level: preflight.Warning, Subject: "index " + units[0].alias,
			Text:   "some of its definitions have mode: append and some have not; where rows go without a word in the log (a table is emptied or replaced, the log is lost), the documents of all of them stay",
			Remedy: "set `index:` in one kind of them to another name",
		})
	}
}

// apart refuses definitions of one index whose documents would overwrite each
// other's.
func (p *planner) apart(units []*unit) {
	names := map[string]bool{}
	for _, u := range units {
		names[u.name] = true
	}
	ids := map[string]string{}
	for _, u := range units {
		_, form := u.def.form().ids()
		if len(names) > 1 && u.def.ID.Text == "" && form == "" && !u.glob {
			p.problems.add(u.path("id"), "definitions that share the index %s need ids that differ; set id to the name and the key's columns, such as id: %q", u.alias, u.name+"-{{ .id }}")
			continue
		}
		id := "id: " + u.def.ID.Text
		switch {
		case u.def.ID.Text == "" && form != "":
			id = form
		case u.def.ID.Text == "" && u.table == anyTable:
			continue
		case u.def.ID.Text == "":
			id = "the default id " + u.idPrefix() + "…"
		}
		if other, taken := ids[id]; taken && other != u.name {
			p.problems.add(u.path("id"), "%s is the same in definition %s of the index %s, so that documents would overwrite each other", id, other, u.alias)
		}
		ids[id] = u.name
	}
}
