package mapping

import (
	"slices"
	"testing"
)

// TestTablesBesideProblems: a table that relations lead to and that cannot be followed is
// told once; what else is wrong with it only follows from that.
func TestTablesBesideProblems(t *testing.T) {
	catalog := parseCatalog(t, "table public.note key\n id integer key\ntable public.line none\n note_id integer\n body text\n")
	set := Set{
		Indexes: map[string]*Definition{"notes": {Table: "note", Fields: Fields{Named: map[string]*Field{"lines": {From: "lines.body"}}}}},
		Tables:  map[string]*TableConfig{"note": {Relations: map[string]*Relation{"lines": {Table: "line", Column: Names{"note_id"}, Many: new(true)}}}},
	}
	plan, err := Options{}.Compile(catalog, set)
	problems, _ := err.(Problems)
	if len(problems) != 1 || problems[0].Path != "indexes.notes.table" {
		t.Errorf("got %v", err)
	}
	var names []string
	for _, table := range plan.Tables {
		names = append(names, table.String())
	}
	if !slices.Equal(names, []string{"public.note"}) {
		t.Errorf("to be looked at are %v", names)
	}
}

// TestRelationString: a relation reads as it was written.
func TestRelationString(t *testing.T) {
	r := &Relation{
		Table: "a.b", Through: "c d", Column: Names{"x", "y z"}, TargetColumn: Names{"id"}, Many: new(false), OrderBy: Names{"-x"},
		Where: `kind == "${x}"`, Limit: 3, Distinct: true,
	}
	want := `{table: a.b, through: "c d", column: [x, "y z"], target_column: id, many: false, order_by: "-x", where: "kind == \"$${x}\"", limit: 3, distinct: true}`
	if got := r.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestMistakesOfRelations: each mistake is told, at its setting, and nothing that only follows from it.
func TestMistakesOfRelations(t *testing.T) {
	catalog := parseCatalog(t, `table public.note key
 id integer key
 user_id integer
table public.person key
 id integer key
 name text
table public.tag key
 id integer key
 name text
table public.note_tag key
 id integer key
 note_id integer
 tag_id integer
`)
	for declared, want := range map[*Relation][]string{
		{Table: "tag", Through: "note_tag", Column: Names{"note_idd"}, TargetColumn: Names{"tag_idd"}, Many: new(true)}: {
			`tables.note.relations.r.column: no column "note_idd" in public.note_tag; did you mean "note_id"?`,
			`tables.note.relations.r.target_column: no column "tag_idd" in public.note_tag; did you mean "tag_id"?`,
		},
		{Table: "person", Column: Names{"user_id"}, TargetColumn: Names{"idd"}}: {
			`tables.note.relations.r.target_column: no column "idd" in public.person; did you mean "id"?`,
		},
		{Table: "tag", Through: "note_tag", Column: Names{"note_id"}, TargetColumn: Names{"tag_id"}, OrderBy: Names{"nam"}}: {
			`tables.note.relations.r.order_by: no column "nam" in public.tag; did you mean "name"?`,
		},
	} {
		_, err := Options{}.Compile(catalog, Set{
			Indexes: map[string]*Definition{"notes": {Table: "note", Fields: Fields{Named: map[string]*Field{"x": {From: "r.name"}}}}},
			Tables:  map[string]*TableConfig{"note": {Relations: map[string]*Relation{"r": declared}}},
		})
		problems, _ := err.(Problems)
		var got []string
		for _, p := range problems {
			got = append(got, p.Path+": "+p.Message)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", declared, got, want)
		}
	}
}

// TestTableTwice: what is said of a table stands in one place.
func TestTableTwice(t *testing.T) {
	catalog := parseCatalog(t, "table public.note key\n id integer key\n")
	_, err := Options{}.Compile(catalog, Set{
		Indexes: map[string]*Definition{"notes": {Table: "note", Fields: Fields{All: true}}},
		Tables:  map[string]*TableConfig{"note": {Key: Names{"id"}}, "public.note": {Key: Names{"id"}}},
	})
	problems, _ := err.(Problems)
	if len(problems) != 1 || problems[0].Path != "tables.public.note" || problems[0].Message != "is table public.note, and so is tables.note; write what is said of it in one place" {
		t.Errorf("got %v", err)
	}
}
