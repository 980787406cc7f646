package mapping

import (
	"testing"

	"haystream/mapping/rowstore"
	"haystream/sinks"
)

// TestDueDocuments enter and leave when their time comes, to the microsecond.
func TestDueDocuments(t *testing.T) {
	at := parseMoment("2023-11-14T22:13:20")
	for where, want := range map[string]struct {
		before, after bool
		due           int64
	}{
		"pub <= now()":                    {false, true, at},
		"pub < now()":                     {false, true, at + 1},
		"now() < pub":                     {true, false, at},
		"pub >= now()":                    {true, false, at + 1},
		`pub > now() - duration("1h30m")`: {true, false, at + 90*60*1_000_000},
		`now() + duration("1ms") >= pub`:  {false, true, at - 1000},
		`published && any(comments, .created == 9) || pub <= now()`: {false, true, at},
		"pub > now() && title != nil":                               {true, false, at},
		`pub <= now() && pub > now() - duration("1s")`:              {false, true, at},
	} {
		set := Set{
			Indexes: map[string]*Definition{"notes": {Table: "note", Where: where, Fields: Fields{Named: map[string]*Field{"title": nil}}}},
			Tables:  map[string]*TableConfig{"note": {Relations: map[string]*Relation{"comments": {Table: "comment", Many: new(true)}}}},
		}
		plan, err := Options{}.Compile(joinedTables(t), set)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		store := openStore(t, plan)
		j, b := plan.Sets[0][0].Joined[0], store.Batch()
		if _, err := b.Put(j.Stored, image(j.Stored.Table, cells("id=1 title=t published=true pub=2023-11-14T22:13:20"))); err != nil {
			t.Fatal(err)
		}
		key, _ := rowstore.AppendKey(nil, j.Stored, image(j.Stored.Table, cells("id=1")), j.Stored.Key)
		s := NewScratch()
		for _, moment := range []struct {
			now  int64
			want bool
		}{{want.due - 1, want.before}, {want.due, want.after}} {
			s.Now = moment.now
			out := &sinks.Batch{}
			due, err := j.Document(s, b, out, &sinks.Target{}, j.Mark(nil, key), 1)
			if err != nil || len(out.Actions) != 1 || (out.Actions[0].Op == sinks.OpIndex) != moment.want {
				t.Errorf("%s at %+d: %v, %v", where, moment.now-at, out.Actions, err)
			}
			if moment.now < want.due && due != want.due {
				t.Errorf("%s: due at %+d, want %+d", where, due-at, want.due-at)
			}
		}
		if err := b.Discard(); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
