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
