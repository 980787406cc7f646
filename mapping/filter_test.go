package mapping

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"haystream/mapping/rowstore"
)

// briefsConfig has relations of which not all rows are taken.
const briefsConfig = `
tables:
  note:
    relations:
      live: {table: comment, column: note_id, many: true, where: 'body != "p" && person.name != "hidden"', order_by: [-created], limit: 2}
      latest: {table: comment, column: id, target_column: note_id, order_by: [-created]}
      marked: {table: tag, through: note_tag, where: 'through.kind != "q" && name != "hidden"', distinct: true, order_by: [-through.rank]}
      topic: {table: tag, through: note_tag, many: false, where: 'through.tag.name != "b"', order_by: name}
indexes:
  briefs:
    table: note
    routing: "{{ .topic.name }}"
    where: len(live) > 0 || topic.name != "hidden" || published
    fields:
      live: live.body
      by: live.person.name
      latest: latest.body
      marked: marked.name
      topic: topic.name
      text: {template: "{{ range .live }}{{ .body }}{{ end }}|{{ len .marked }}|{{ with .latest }}{{ .person.name }}{{ end }}"}
`

// briefs joins them by hand.
func (r *joinedRig) briefs() map[string]string {
	documents := map[string]string{}
	for _, note := range r.tables["note"] {
		comments := r.where("comment", "note_id", note["id"])
		comments = byText(comments, "created", -1, func(a, b string) int { return number1(a) - number1(b) })
		var latest map[string]string
		if len(comments) > 0 {
			latest = comments[0]
		}
		live := slices.DeleteFunc(slices.Clone(comments), func(c map[string]string) bool {
			person := r.get("person", c, "person_id")
			return c["body"] == "" || c["body"] == "p" || person["name"] == "" || person["name"] == "hidden"
		})
		live = live[:min(len(live), 2)]
		text, people := "", []map[string]string{}
		for _, c := range live {
			text += c["body"]
			people = append(people, r.get("person", c, "person_id"))
		}
		marked, topic := r.marks(note)
		if note["published"] != "true" && len(live) == 0 && (topic["name"] == "" || topic["name"] == "hidden") {
			continue
		}
		body, err := json.Marshal(map[string]any{
			"live": texts(live, "body"), "by": texts(people, "name"), "latest": null1(latest, "body"), "marked": texts(marked, "name"),
			"topic": null1(topic, "name"), "text": text + "|" + string(rune('0'+len(marked))) + "|" + r.get("person", latest, "person_id")["name"],
		})
		r.must(err)
		documents[note["id"]+"@"+topic["name"]] = string(body)
	}
	return documents
}

// marks are the tags of a note that the two relations lead to.
func (r *joinedRig) marks(note map[string]string) (marked []map[string]string, topic map[string]string) {
	joins := r.where("note_tag", "note_id", note["id"])
	slices.SortStableFunc(joins, func(a, b map[string]string) int { return number1(a["tag_id"]) - number1(b["tag_id"]) })
	var topics []map[string]string
	for _, join := range byText(joins, "rank", -1, func(a, b string) int { return number1(a) - number1(b) }) {
		tag := r.get("tag", join, "tag_id")
		if tag["name"] == "" {
			continue
		}
		if join["kind"] != "" && join["kind"] != "q" && tag["name"] != "hidden" && !slices.ContainsFunc(marked, func(m map[string]string) bool { return m["id"] == tag["id"] }) {
			marked = append(marked, tag)
		}
		if tag["name"] != "b" {
			topics = append(topics, tag)
		}
	}
	slices.SortStableFunc(topics, func(a, b map[string]string) int { return number1(a["id"]) - number1(b["id"]) })
	if topics = byText(topics, "name", 1, strings.Compare); len(topics) > 0 {
		topic = topics[0]
	}
	return marked, topic
}

// TestTouchedByCondition wants a row that its relation leaves out, before a change and
// after it, to mark nothing.
func TestTouchedByCondition(t *testing.T) {
	const config = `
tables:
  note:
    relations:
      live: {table: comment, column: note_id, many: true, where: 'body != "p" && person.name != "hidden"'}
      marked: {table: tag, through: note_tag, where: 'through.kind == "k" && name != "hidden"'}
      named: {table: tag, through: note_tag, where: 'name startsWith "a"'}
indexes:
  briefs: {table: note, fields: {live: live.body, when: live.created, marked: marked.region, named: named.region}}
`
	tests := []struct{ table, key, change, want string }{
		{"comment", "1", "body=changed", "briefs 1"},
		{"comment", "1", "body=p", "briefs 1"},
		{"comment", "1", "created=9", "briefs 1"},
		{"comment", "1", "DELETE", "briefs 1"},
		{"comment", "1", "note_id=2", "briefs 1, briefs 2"},
		{"comment", "1", "note_id=2 body=p", "briefs 1"},
		{"comment", "1", "person_id=2", "briefs 1"},
		{"comment", "2", "created=9", ""},
		{"comment", "2", "DELETE", ""},
		{"comment", "2", "note_id=1", ""},
		{"comment", "2", "note_id=1 body=q", "briefs 1"},
		{"comment", "2", "body=q", "briefs 2"},
		{"comment", "3", "created=9", ""},
		{"comment", "3", "person_id=1", "briefs 2"},
		{"person", "2", "name=shown", "briefs 2"},
		{"tag", "1", "region=changed", "briefs 1, briefs 1"},
		{"tag", "2", "region=changed", "briefs 1"}, // what reads the row in between is not told
		{"tag", "2", "name=ab", "briefs 1, briefs 1"},
		{"note_tag", "1", "kind=x", "briefs 1"},
		{"note_tag", "2", "rank=5", ""},
		{"note_tag", "2", "kind=x note_id=2", ""},
		{"note_tag", "2", "kind=k", "briefs 1"},
		{"note_tag", "2", "DELETE", ""},
	}
	for _, tt := range tests {
		t.Run(tt.table+" "+tt.key+" "+tt.change, func(t *testing.T) {
			r := newRig(t, 0, config)
			r.insert("person", "id=1 code=1 name=a", "id=2 code=2 name=hidden")
			r.insert("note", "id=1", "id=2")
			r.insert("comment", "id=1 note_id=1.00 person_id=1 body=x", "id=2 note_id=2.00 person_id=1 body=p", "id=3 note_id=2.00 person_id=2 body=x")
			r.insert("tag", "id=1 name=a", "id=2 name=b")
			r.insert("note_tag", "id=1 note_id=1 tag_id=1 kind=k", "id=2 note_id=1 tag_id=2 kind=n")
			r.limit, r.marked = 1000, nil
			old := r.tables[tt.table][tt.key]
			row := with(old, tt.change)
			if tt.change == "DELETE" {
				row = nil
			}
			b := r.store.Batch()
			r.change(b, tt.table, old, row)
			got := strings.Join(r.names(r.marked), ", ")
			r.must(b.Discard())
			if got != tt.want {
				t.Errorf("marks %s, want %s", got, tt.want)
			}
		})
	}
}

// TestRelationsAreSaved wants an index to be made again of what was saved of it, also where
// the key of a table in between is made of what it refers to.
func TestRelationsAreSaved(t *testing.T) {
	catalog := joinedTables(t)
	for _, table := range catalog {
		if table.Name == "note_tag" {
			table.Key = []int{table.Column("note_id"), table.Column("tag_id")}
			table.IdentityColumns = table.Key
			for _, i := range table.Key {
				table.Columns[i].NotNull = true
			}
		}
	}
	const config = briefsConfig + `
      rows: {from: marked, type: nested, fields: "*", exclude: [region]}
      talk: {from: live, type: nested, fields: {"*": {}, person: person.name}}
`
	set, err := decodeSet(map[string]string{"config.yaml": config})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Options{}.Compile(catalog, set)
	if err != nil {
		t.Fatal(err)
	}
	wanted := string(plan.Sets[0][0].Normalized)
	restored, err := Restore(plan.Sets[0][0].Normalized)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Options{}.Compile(catalog, set, restored)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(again.Sets[1][0].Normalized); got != wanted {
		t.Errorf("it is saved as\n%s, and then as\n%s", wanted, got)
	}
	if len(again.Stored) != len(plan.Stored) {
		t.Errorf("%d tables are stored, and %d where both are fed", len(plan.Stored), len(again.Stored))
	}
}

// renderAll gives the documents of all rows of the first index's own table.
func (r *joinedRig) renderAll() map[string]string {
	r.Helper()
	j := r.plan.Sets[0][0].Joined[0]
	for _, row := range r.tables[j.Stored.Name] {
		key, _ := rowstore.AppendKey(nil, j.Stored, image(j.Stored.Table, row), j.Stored.Key)
		r.must(r.mark(0, j.Mark(nil, key)))
	}
	r.render()
	return r.indexes[r.plan.Sets[0][0].Alias]
}

// TestRelationOfTheSameNameBetween follows a relation of the table in between that has the
// name of the one that leads through it.
func TestRelationOfTheSameNameBetween(t *testing.T) {
	r := newRig(t, 0, `
tables: {note: {relations: {tag: {table: tag, through: note_tag, many: false, where: 'through.tag.name != "b"'}}}}
indexes: {briefs: {table: note, fields: {tag: tag.name}}}
`)
	r.insert("note", "id=1")
	r.insert("tag", "id=1 name=b", "id=2 name=c")
	r.insert("note_tag", "id=1 note_id=1 tag_id=1", "id=2 note_id=1 tag_id=2")
	if got := r.renderAll(); !maps.Equal(got, map[string]string{"1@": `{"tag":"c"}`}) {
		t.Errorf("got %v", got)
	}
}

// TestTouchedByConditionOnOthers wants a row to be marked whose condition reads rows of its own table,
// itself among them.
func TestTouchedByConditionOnOthers(t *testing.T) {
	r := newRig(t, 0, `
tables:
  note: {relations: {live: {table: comment, column: note_id, many: true, where: 'len(note.comment_set) >= 1'}}}
  comment: {relations: {note: {table: note, column: note_id}}}
indexes: {briefs: {table: note, fields: {live: live.body}}}
`)
	r.insert("note", "id=1", "id=2")
	r.marked = nil
	r.insert("comment", "id=1 note_id=1.00 body=x")
	if got := r.names(r.marked); !slices.Contains(got, "briefs 1") || slices.Contains(got, "briefs 2") {
		t.Errorf("marks %v", got)
	}
}

// TestEndlessConditions are told where they are declared, and hide no other mistake.
func TestEndlessConditions(t *testing.T) {
	set, err := decodeSet(map[string]string{"config.yaml": `
tables:
  category: {relations: {children: {table: category, column: parent_id, many: true, where: 'any(children, .name == "x")'}}}
  note: {relations: {comments: {table: comment, column: note_id, many: true, where: 'note.title == "x" && len(note.comments) > 1'}}}
  comment: {relations: {note: {table: note, column: note_id, where: 'len(comments) > 1 && titel == ""'}}}
indexes: {briefs: {table: category, where: 'any(children, .nmae == "")', fields: {names: children.nosuch, text: {template: "{% for c in children %}{{ c.nix }}{% endfor %}"}}}}
`})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Options{}.Compile(joinedTables(t), set)
	problems, _ := err.(Problems)
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	want := []string{"indexes.briefs.fields.names", "indexes.briefs.fields.text.template", "indexes.briefs.where", "tables.category.relations.children.where", "tables.comment.relations.note.where", "tables.comment.relations.note.where", "tables.note.relations.comments.where"}
	if !slices.Equal(paths, want) {
		t.Errorf("got %v", err)
	}
}

// TestComputedOfComputed computes columns of both template languages from each other, for
// several purposes.
func TestComputedOfComputed(t *testing.T) {
	tests := []struct{ config, want string }{
		{`
tables: {person: {computed: {full: "{{ .name }}!", label: "{% if full %}{{ full }}{% endif %}"}}}
indexes: {people: {table: person, where: 'id == 1', id: "{{ label }}{# not HTML #}&", fields: {text: {template: "{{ .label }}"}, bodies: comment_set.body}}}
`, `{"bodies":[],"text":"a<!"}`},
		{`
tables: {person: {computed: {full: "{{ .name }}!", loud: "{{ .full | upper }}"}}}
indexes: {people: {table: person, where: 'loud == "A<!"', id: "{{ .full }}&", fields: {text: loud, bodies: comment_set.body}}}
`, `{"bodies":[],"text":"A<!"}`},
		{`
tables: {person: {computed: {full: "{{ .name }}!", loud: "{{ .full | upper }}"}}}
indexes: {people: {table: person, where: 'loud == "A<!"', id: "{{ .full }}&", fields: {text: name, bodies: comment_set.body}}}
`, `{"bodies":[],"text":"a<"}`},
	}
	for _, tt := range tests {
		r := newRig(t, 0, tt.config)
		r.insert("person", "id=1 code=c name=a<", "id=2 code=d name=b")
		if got := r.renderAll(); !maps.Equal(got, map[string]string{"a<!&@": tt.want}) {
			t.Errorf("got %v", got)
		}
	}
}
