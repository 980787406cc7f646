package joins

import (
	"testing"

	"haystream/mapping"
	"haystream/sinks"
	"haystream/sources"
)

// TestProgress: rows of all tables that documents are made of count as they are loaded, and
// those of the documents' own table once more when they are rendered and held; also
// in a later session.
func TestProgress(t *testing.T) {
	column := func(name string) sources.Column { return sources.Column{Name: name, Type: integer, NotNull: true} }
	table := func(name string, estimated int64, columns ...sources.Column) *sources.Table {
		return &sources.Table{
			Schema: "s", Name: name, Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey,
			Columns: columns, EstimatedRows: estimated,
		}
	}
	s := benchOf(
		t, []*sources.Table{table("note", 4, column("id"), column("by")), table("person", 10, column("id"), column("age")), table("tag", -1, column("id"), column("of"))},
		mapping.Set{
			Indexes: map[string]*mapping.Definition{
				"notes": {Table: "note", Fields: mapping.Fields{Named: map[string]*mapping.Field{"age": {From: "person.age"}}}},
				"tags":  {Table: "tag", Fields: mapping.Fields{Named: map[string]*mapping.Field{"age": {From: "note.person.age"}}}},
			},
			Tables: map[string]*mapping.TableConfig{
				"note": {Relations: map[string]*mapping.Relation{"person": {Table: "person", Column: []string{"by"}}}},
				"tag":  {Relations: map[string]*mapping.Relation{"note": {Table: "note", Column: []string{"of"}}}},
			},
		},
	)
	expect := func(done, estimated int64) {
		t.Helper()
		if d, e := s.j.Progress("notes"); d != done || e != estimated {
			t.Errorf("%d of %d rows, want %d of %d", d, e, done, estimated)
		}
	}
	s.feeds = true
	s.session()
	expect(0, 10+4+4)
	s.merge("person", false, "1,30")
	expect(1, 10+4+4)
	s.merge("person", true, "2,40")
	expect(2, 2+4+4)
	s.merge("note", true, "1,1", "2,1", "3,2")
	expect(5, 2+3+3)
	s.merge("tag", true) // only now is anything rendered
	var pieces []*Piece
	s.j.rounds.loaded = func(*target) {}
	err := s.j.rounds.round(t.Context(), func(p *Piece) error {
		pieces = append(pieces, p)
		return p.Render(mapping.NewScratch(), &sinks.Batch{})
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(5, 2+3+3)
	hold := func(pieces ...*Piece) {
		t.Helper()
		for _, p := range pieces {
			p.Hold()
		}
		if err := s.j.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	hold(pieces[0]) // of one document: how large it is was not known
	expect(6, 2+3+3)
	s.session()
	expect(6, 2+3+3)
	if d, e := s.j.Progress("other"); d != 0 || e != 0 {
		t.Errorf("of an index that is not there: %d of %d", d, e)
	}
}
