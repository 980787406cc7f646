package mapping

import (
	"testing"

	"haystream/mapping/rowstore"
	"haystream/sinks"
)

// TestHaystackOverRelations renders fields of haystack's kinds from related rows.
func TestHaystackOverRelations(t *testing.T) {
	const config = `
indexes:
  notes:
    table: note
    haystack: {model: app.note}
    fields:
      tags: {from: tags.id, type: multi_value, faceted: true}
      author: {from: author.id, type: multi_value}
      shown: {from: author.id, type: char}
tables:
  note:
    relations:
      tags: {table: tag, through: note_tag}
`
	r := newRig(t, 0, config)
	r.insert("person", "id=1 code=c name=a")
	r.insert("note", "id=1 author_id=1")
	r.insert("tag", "id=1 name=a", "id=2 name=b")
	r.insert("note_tag", "id=1 note_id=1 tag_id=1", "id=2 note_id=1 tag_id=2")
	snapshot := r.store.Snapshot()
	defer func() { _ = snapshot.Release() }()
	j, out := r.plan.Sets[0][0].Joined[0], &sinks.Batch{}
	key, _ := rowstore.AppendKey(nil, j.Stored, image(j.Stored.Table, cells("id=1")), j.Stored.Key)
	_, err := j.Document(r.scratch, snapshot, out, &sinks.Target{}, j.Mark(nil, key), 1)
	r.must(err)
	const want = `{"author":[1],"django_ct":"app.note","django_id":"1","id":"app.note.1","shown":"1","tags":[1,2],"tags_exact":[1,2]}`
	if got := string(out.Actions[0].Body); got != want {
		t.Errorf("the document is %s, want %s", got, want)
	}
}
