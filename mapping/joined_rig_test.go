package mapping

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// joinedCatalog has every kind of relation: several keys to one table, a table
// related to itself, a composite key, a table in between, keys of different types.
const joinedCatalog = `
table public.org key
id integer key
name text
table public.person key
id bigint key
code text notnull
name text
region text
org_id smallint
table public.category key
id integer key
name text
parent_id integer
table public.place key
a integer key
b text key
name text
table public.note key
id integer key
title text toast
unused text
published boolean
pub timestamp
author_id integer
editor_id bigint
category_id integer
place_a bigint
place_b text
table public.comment key
id integer key
note_id numeric(10,2)
person_id integer
body text
created integer
table public.tag key
id integer key
name text
region text
table public.note_tag key
id integer key
note_id integer
tag_id integer
kind text
rank integer
`

func joinedTables(t testing.TB) []*sources.Table {
	catalog := parseCatalog(t, joinedCatalog)
	for _, line := range []string{
		"person org_id org id", "category parent_id category id", "note author_id person id", "note editor_id person id",
		"note category_id category id", "comment note_id note id", "comment person_id person id", "note_tag note_id note id", "note_tag tag_id tag id",
	} {
		words := strings.Fields(line)
		for _, table := range catalog {
			if table.Name == words[0] {
				table.ForeignKeys = append(table.ForeignKeys, sources.ForeignKey{Name: line, Columns: words[1:2], Schema: "public", Table: words[2], Targets: words[3:]})
			}
		}
	}
	return catalog
}

const joinedConfig = `
tables:
  person:
    computed: {full: "{{ .name }}{{ with .org }} ({{ .name }}){{ end }}", loud: "{{ .full | upper }}"}
    relations: {notes: {table: note, column: author_id, many: true}}
  category:
    relations: {children: {table: category, column: parent_id, many: true, order_by: -name}}
  note:
    relations:
      comments: {table: comment, many: true, order_by: [created, -id]}
      tags: {table: tag, through: note_tag, order_by: [name]}
      place: {table: place, column: [place_a, place_b]}
indexes:
  notes:
    table: note
    where: published && (pub == nil || pub <= now() - duration("10s")) && author.name != "hidden"
    routing: "{{ .author.region }}"
    fields:
      title: {}
      author: author.name
      org: {from: author.org.name, default: none}
      editor: {from: editor, fields: {name: {}, loud: {}}}
      who: author.full
      grand: category.parent.parent.name
      siblings: category.children.name
      tags: tags.name
      comments:
        from: comments
        type: nested
        fields: {author: person.name, body: {}, label: {template: "{{ .body }}/{{ object.person.full }}"}}
      commenters: comments.person.name
      place: place.name
      text:
        template: "{{ object.title }}|{{ range .comments }}{{ .body }}:{{ .person.name }};{{ end }}|{{ range $i, $t := .tags }}{{ $i }}{{ $t.name }}{{ end }}|{{ if .editor }}E{{ end }}{{ len .tags }}"
      django:
        template: "{% autoescape off %}{{ object.title|default_if_none:'' }}|{% for c in comments %}{{ c.body|default_if_none:'' }}:{{ c.person.name|default_if_none:'' }};{% endfor %}|{% for t in object.tags.all %}{{ forloop.counter0 }}{{ t.name|default_if_none:'' }}{% endfor %}|{% if editor %}E{% endif %}{{ tags.count }}{% endautoescape %}"
      named: {template: "{% autoescape off %}{{ author.full }}{% with e=editor %}{{ e.loud }}{% endwith %}{% endautoescape %}"}
      total: {expr: 'sum(comments, .created) + count(tags, .name startsWith "a")', type: long}
      involved: {expr: 'any(comments, .person.org.name == "a")'}
      first: {expr: 'first(comments).body', type: keyword}
  people:
    table: person
    id: "{{ .code }}"
    fields: {name: {}, written: {expr: "len(notes)", type: long}, titles: notes.title}
`

// A joinedRig is a plan with a row store and indexes that hold documents by
// their places, and beside it the rows as a database would have them.
type joinedRig struct {
	testing.TB
	dirty   []map[string]bool // marks, by the index's place
	plan    *Plan
	store   *rowstore.Store
	scratch *Scratch
	random  *rand.Rand
	tables  map[string]map[string]map[string]string // by table, key and column
	indexes map[string]map[string]string            // by alias, place and version: documents
	seen    map[string]int64                        // versions by alias and place
	due     map[string]map[string]int64             // by alias and mark
	version int64
	work    uint64
	limit   int
	marked  []string // of the last change

	compared int // documents
}

func newJoinedRig(t testing.TB, seed uint64) *joinedRig { return newRig(t, seed, joinedConfig) }

func newRig(t testing.TB, seed uint64, config string) *joinedRig {
	t.Helper()
	set, err := decodeSet(map[string]string{"config.yaml": config})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Options{}.Compile(joinedTables(t), set)
	if err != nil {
		t.Fatal(err)
	}
	store := openStore(t, plan)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &joinedRig{
		TB: t, plan: plan, store: store, scratch: NewScratch(), random: rand.New(rand.NewPCG(seed, 1)), limit: 2,
		dirty: make([]map[string]bool, len(plan.Sets[0])), tables: map[string]map[string]map[string]string{}, indexes: map[string]map[string]string{}, seen: map[string]int64{}, due: map[string]map[string]int64{},
	}
	for _, table := range plan.Layout.Tables {
		r.tables[table.Name] = map[string]map[string]string{}
	}
	r.scratch.Now = 1_700_000_000_000_000
	return r
}

// openStore makes a store in memory with the plan's tables.
func openStore(t testing.TB, plan *Plan) *rowstore.Store {
	t.Helper()
	store, err := rowstore.Open("/store", rowstore.Meta{}, rowstore.Options{FS: vfs.NewMem()})
	if err == nil {
		err = store.Use(plan.Layout)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (r *joinedRig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *joinedRig) stored(table string) *StoredTable {
	for _, t := range r.plan.Stored {
		if t.Source.Name == table {
			return t
		}
	}
	r.Fatalf("table %s is not stored", table)
	return nil
}

// image is a row as the stream has it.
func image(t *sources.Table, values map[string]string) sources.Row {
	if values == nil {
		return sources.Row{}
	}
	var a sources.Arena
	a.StartRow(len(t.Columns))
	for i := range t.Columns {
		if v, ok := values[t.Columns[i].Name]; ok {
			a.Text([]byte(v))
		} else {
			a.Null()
		}
	}
	return a.EndRow()
}

// change puts a row (nil: none) in the place of another into the store, with
// the marks of the documents that it touches.
func (r *joinedRig) change(b *rowstore.Batch, table string, old, row map[string]string) {
	r.Helper()
	t := r.stored(table)
	var a sources.Arena
	var before, after sources.Row
	if old != nil {
		before = t.Cut(&a, image(t.Source, old))
	}
	if row != nil {
		after = t.Cut(&a, image(t.Source, row))
	}
	for n, index := range r.plan.Sets[0] {
		work, err := index.Joined[0].Affected(r.scratch, b, t.Table, before, after, r.limit, func(mark []byte) error {
			r.marked = append(r.marked, index.Alias+string(mark))
			return r.mark(n, mark)
		})
		r.must(err)
		for _, w := range work {
			r.work++
			r.must(b.PutWork(r.work<<2|uint64(n), w.Append(nil)))
		}
	}
	if old != nil {
		key, _ := rowstore.AppendKey(nil, t.Table, before, t.Table.Key)
		_, err := b.Delete(t.Table, key)
		r.must(err)
		delete(r.tables[table], rowKey(t, old))
	}
	if row != nil {
		_, err := b.Put(t.Table, after)
		r.must(err)
		r.tables[table][rowKey(t, row)] = row
	}
}

func rowKey(t *StoredTable, row map[string]string) string {
	var key []string
	for _, i := range t.Table.Key {
		key = append(key, row[t.Table.Columns[i].Name])
	}
	return strings.Join(key, "/")
}

// resume goes on with one piece of work.
func (r *joinedRig) resume() bool {
	b := r.store.Batch()
	done := true
	r.must(b.Work(func(id uint64, data []byte) (bool, error) {
		done = false
		w, err := ParseWork(data)
		r.must(err)
		n := uint32(id & 3)
		next, err := r.plan.Sets[0][n].Joined[0].Continue(r.scratch, b, w, r.limit, func(mark []byte) error { return r.mark(int(n), mark) })
		r.must(err)
		if next == nil {
			return false, b.DeleteWork(id)
		}
		return false, b.PutWork(id, next.Append(nil))
	}))
	r.must(b.Commit(false))
	return !done
}

func (r *joinedRig) mark(n int, mark []byte) error {
	if r.dirty[n] == nil {
		r.dirty[n] = map[string]bool{}
	}
	r.dirty[n][string(mark)] = true
	return nil
}

// render renders what is marked.
func (r *joinedRig) render() {
	r.version++
	snapshot := r.store.Snapshot()
	for n, index := range r.plan.Sets[0] {
		target, out := &sinks.Target{Index: index.Alias}, &sinks.Batch{}
		if r.due[index.Alias] == nil {
			r.due[index.Alias], r.indexes[index.Alias] = map[string]int64{}, map[string]string{}
		}
		due := r.due[index.Alias]
		marks := slices.Sorted(maps.Keys(r.dirty[n]))
		clear(r.dirty[n])
		for mark, at := range due {
			if at <= r.scratch.Now && !slices.Contains(marks, mark) {
				marks = append(marks, mark)
			}
		}
		for _, mark := range marks {
			at, err := index.Joined[0].Document(r.scratch, snapshot, out, target, []byte(mark), r.version)
			r.must(err)
			delete(due, mark)
			if at != 0 {
				due[mark] = at
			}
			if at != 0 && at <= r.scratch.Now {
				r.Errorf("due in the past: %d", at)
			}
		}
		for _, a := range out.Actions {
			place := string(a.ID) + "@" + string(a.Routing)
			if seen := index.Alias + place; a.Version < r.seen[seen] {
				r.Errorf("%s at version %d after %d", place, a.Version, r.seen[seen])
			} else {
				r.seen[seen] = a.Version
			}
			switch a.Op {
			case sinks.OpIndex:
				r.indexes[index.Alias][place] = string(a.Body)
			case sinks.OpDelete:
				delete(r.indexes[index.Alias], place)
			default:
				r.Errorf("rejected %s: %s", place, a.Body)
			}
		}
	}
	r.must(snapshot.Release())
}

func (r *joinedRig) settle() {
	for r.resume() {
	}
	r.render()
}

// compare wants the indexes to hold what the rows give when joined by hand.
func (r *joinedRig) compare(what string) {
	r.Helper()
	byHand := map[string]func() map[string]string{"notes": r.notes, "people": r.people, "briefs": r.briefs}
	for _, index := range r.plan.Sets[0] {
		alias := index.Alias
		want, got := byHand[alias](), r.indexes[alias]
		r.compared += len(want)
		for _, place := range slices.Sorted(maps.Keys(want)) {
			if got[place] != want[place] {
				r.Errorf("%s: %s %s is\n%s, want\n%s", what, alias, place, got[place], want[place])
			}
		}
		for place := range got {
			if _, ok := want[place]; !ok {
				r.Errorf("%s: %s %s is left over", what, alias, place)
			}
		}
	}
}
