package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"haystream/mapping/rowstore"
)

// cells reads "column=text column=text".
func cells(text string) map[string]string {
	row := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		column, value, _ := strings.Cut(word, "=")
		row[column] = value
	}
	return row
}

// with is a row with some cells changed; an empty text is NULL.
func with(row map[string]string, text string) map[string]string {
	changed := maps.Clone(row)
	for column, value := range cells(text) {
		changed[column] = value
		if value == "" {
			delete(changed, column)
		}
	}
	return changed
}

// insert puts rows into the store that were always there.
func (r *joinedRig) insert(table string, rows ...string) {
	r.Helper()
	b := r.store.Batch()
	for _, row := range rows {
		r.change(b, table, nil, cells(row))
	}
	r.must(b.Commit(false))
}

// names makes marks readable: the alias and the key, or the place left.
func (r *joinedRig) names(marks []string) []string {
	known := map[string]string{}
	for _, index := range r.plan.Sets[0] {
		j := index.Joined[0]
		for _, row := range r.tables[j.Stored.Name] {
			t := r.stored(j.Stored.Name)
			key, _ := rowstore.AppendKey(nil, t.Table, image(t.Table.Table, row), t.Table.Key)
			known[index.Alias+string(j.Mark(nil, key))] = index.Alias + " " + row["id"]
		}
	}
	var names []string
	for _, mark := range marks {
		name := known[mark]
		if alias, place, ok := strings.Cut(mark, string(rune(markPlace))); name == "" && ok {
			p, err := r.plan.Sets[0][0].Joined[0].parsePlace([]byte(string(rune(markPlace)) + place))
			r.must(err)
			name = fmt.Sprintf("%s left %s@%s", alias, p.id, p.routing)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func touchRig(t testing.TB) *joinedRig {
	r := newJoinedRig(t, 0)
	r.insert("org", "id=1 name=o", "id=2 name=p")
	r.insert("person", "id=1 code=one name=a region=north org_id=1", "id=2 code=two name=b region=south", "id=3 code=three name=c org_id=1")
	r.insert("category", "id=1 name=root", "id=2 name=mid parent_id=1", "id=3 name=leaf parent_id=2", "id=4 name=other")
	r.insert("place", "a=1 b=x name=here", "a=2 b=x name=there")
	r.insert("note", "id=1 published=true title=t author_id=1 editor_id=3 category_id=3 place_a=1 place_b=x", "id=2 published=true author_id=1", "id=3 published=true author_id=2 category_id=2", "id=4 published=true")
	r.insert("comment", "id=1 note_id=1.00 person_id=2 created=1", "id=2 note_id=3 created=2", "id=3 body=x")
	r.insert("tag", "id=1 name=a", "id=2 name=b", "id=3 name=c")
	r.insert("note_tag", "id=1 note_id=1 tag_id=1", "id=2 note_id=1 tag_id=2", "id=3 note_id=2 tag_id=1")
	return r
}

// TestAffected wants each change to mark the documents that it can affect, and
// no others.
func TestAffected(t *testing.T) {
	tests := []struct{ table, key, change, want string }{
		{"note", "1", "unused=changed", ""},
		{"note", "1", "title=changed", "notes 1, people 1"},
		{"note", "4", "title=changed", "notes 4"},
		{"note", "1", "pub=2024-01-01T00:00:00", "notes 1"},
		{"note", "2", "author_id=2", "notes 2, notes left 2@north, people 1, people 2"},
		{"note", "2", "author_id=", "notes 2, notes left 2@north, people 1"},
		{"note", "1", "editor_id=2", "notes 1"},
		{"note", "3", "id=9", "notes 9, notes left 3@south, people 2"},
		{"note", "3", "DELETE", "notes left 3@south, people 2"},
		{"person", "1", "region=west", "notes 1, notes 2, notes left 1@north, notes left 2@north"},
		{"person", "3", "region=west", ""},
		{"person", "3", "name=changed", "notes 1, people 3"},
		{"person", "1", "code=changed", "people 1, people left one@"},
		{"person", "2", "name=changed", "notes 1, notes 3, people 2"},
		{"person", "2", "DELETE", "notes 1, notes 3, notes left 3@south, people left two@"},
		{"org", "1", "name=changed", "notes 1, notes 1, notes 2"},
		{"org", "2", "name=changed", ""},
		{"comment", "1", "note_id=3", "notes 1, notes 3"},
		{"comment", "1", "note_id=4.0 body=y", "notes 1, notes 4"},
		{"comment", "1", "created=7", "notes 1"},
		{"comment", "2", "DELETE", "notes 3"},
		{"comment", "3", "body=changed", ""},
		{"tag", "1", "name=changed", "notes 1, notes 2"},
		{"tag", "3", "name=changed", ""},
		{"note_tag", "1", "DELETE", "notes 1"},
		{"note_tag", "1", "note_id=3", "notes 1, notes 3"},
		{"note_tag", "1", "tag_id=3", "notes 1"},
		{"category", "1", "name=changed", "notes 1"},
		{"category", "4", "parent_id=3", "notes 1"},
		{"category", "3", "parent_id=4", "notes 1, notes 3"},
		{"place", "1/x", "name=changed", "notes 1"},
		{"place", "2/x", "name=changed", ""},
	}
	for _, tt := range tests {
		t.Run(tt.table+" "+tt.key+" "+tt.change, func(t *testing.T) {
			r := touchRig(t)
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

// TestFanOutInSlices marks each document once, whatever happens to the row
// that a slice ended in.
func TestFanOutInSlices(t *testing.T) {
	for _, between := range []string{"", "move", "delete"} {
		t.Run(between, func(t *testing.T) {
			r := newJoinedRig(t, 0)
			r.insert("org", "id=1 name=o", "id=2 name=p")
			for person := 1; person <= 4; person++ {
				r.insert("person", fmt.Sprintf("id=%d code=c%d name=n org_id=1", person, person))
				for note := range 3 { // in another order than their authors
					r.insert("note", fmt.Sprintf("id=%d author_id=%d published=true", 90-person*10+note, person))
				}
			}
			r.settle()
			r.limit, r.marked = 2, nil
			b := r.store.Batch()
			r.change(b, "org", r.tables["org"]["1"], cells("id=1 name=changed"))
			if between != "" { // the slice has ended within the notes of person 1
				row := with(r.tables["person"]["1"], "org_id=2")
				if between == "delete" {
					row = nil
				}
				r.limit = 1000
				r.change(b, "person", r.tables["person"]["1"], row)
				r.limit = 1
			}
			r.must(b.Commit(false))
			slices := 0
			for r.resume() {
				slices++
			}
			r.render()
			r.compare("slices")
			if slices < 6 {
				t.Errorf("%d slices for 12 documents", slices)
			}
		})
	}
}

// TestWork survives being saved, and damage to it is seen.
func TestWork(t *testing.T) {
	w := &Work{scope: 3, value: []byte{1, 0, 2}, cursor: []level{{done: []byte{}, current: nil}, {done: nil, current: []byte("x")}}}
	saved := w.Append(nil)
	again, err := ParseWork(saved)
	if err != nil || string(again.Append(nil)) != string(saved) || again.cursor[0].done == nil || again.cursor[1].done != nil {
		t.Errorf("it is %+v, want %+v (%v)", again, w, err)
	}
	for _, cut := range [][]byte{nil, saved[:1], saved[:3], saved[:len(saved)-1], append(saved, 9)} {
		if w, err := ParseWork(cut); err == nil {
			t.Errorf("%v is %+v", cut, w)
		}
	}
}
