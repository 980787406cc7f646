package mapping

import (
	"slices"
	"strings"
	"testing"

	"haystream/sources"
)

// TestWhatIsStored: only definitions that cannot do without are rendered from
// stored rows.
func TestWhatIsStored(t *testing.T) {
	outside := &Definition{Table: "person", Routing: "region", Fields: Fields{Named: map[string]*Field{"name": nil}}}
	toast := &Definition{Table: "note", Fields: Fields{Named: map[string]*Field{"title": nil}}}
	plain := &Definition{Table: "note", Where: "published", Fields: Fields{Named: map[string]*Field{"pub": nil}}}
	tests := []struct {
		name       string
		definition *Definition
		options    Options
		why        string // of the stored table; empty where none is
		refused    string
	}{
		{"plain", plain, Options{Store: true, Complete: true}, "", ""},
		{"toast", toast, Options{Store: true}, "", ""},
		{"toast completed", toast, Options{Store: true, Complete: true}, "index x: the log may leave out the value of column title", ""},
		{"toast without a store", toast, Options{Complete: true}, "", ""},
		{"joined without a store", &Definition{Table: "note", Fields: Fields{Named: map[string]*Field{"a": {From: "author.name"}}}}, Options{}, "", "which is not in this version yet"},
		{"outside", outside, Options{Store: true}, "index x: its routing comes from column region, whose old value is not in the log", ""},
		{"outside without a store", outside, Options{}, "", "outside the replica identity"},
	}
	for _, tt := range tests {
		plan, err := tt.options.Compile(joinedTables(t), definitions(map[string]*Definition{"x": tt.definition}))
		if tt.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		index := plan.Sets[0][0]
		if tt.why == "" {
			if plan.Layout != nil || plan.Stored != nil || len(index.Joined) != 0 || len(index.Renderers) != 1 {
				t.Errorf("%s: stores %s", tt.name, describeStored(plan))
			}
			continue
		}
		if len(index.Joined) != 1 || len(index.Renderers) != 0 || !slices.Equal(plan.Stored[0].Why, []string{tt.why}) {
			t.Errorf("%s: stores %s", tt.name, describeStored(plan))
		}
	}
}

// TestStoredRow is a row of the stream, cut down and completed.
func TestStoredRow(t *testing.T) {
	definition := &Definition{Table: "note", Fields: Fields{Named: map[string]*Field{"title": nil, "author": {From: "author.name"}}}}
	plain := &Definition{Table: "note", Fields: Fields{Named: map[string]*Field{"unused": nil}}}
	plan, err := Options{Store: true}.Compile(joinedTables(t), definitions(map[string]*Definition{"joined": definition, "plain": plain}))
	if err != nil {
		t.Fatal(err)
	}
	note := plan.Stored[slices.IndexFunc(plan.Stored, func(s *StoredTable) bool { return s.Source.Name == "note" })]
	if got := strings.Join(note.Names(every(len(note.Table.Columns))), " "); got != "id title author_id" {
		t.Errorf("stores %s", got)
	}
	var a sources.Arena
	old := note.Cut(&a, image(note.Source, map[string]string{"id": "1", "title": "long", "author_id": "7", "unused": "x"}))
	change := image(note.Source, map[string]string{"id": "1"})
	a.StartRow(change.Len())
	for i := range change.Len() {
		if note.Source.Columns[i].Name == "title" {
			a.Missing()
		} else {
			a.Copy(change, i)
		}
	}
	row, err := note.Row(&a, old, a.EndRow())
	if err != nil {
		t.Fatal(err)
	}
	if string(row.Text(0)) != "1" || string(row.Text(1)) != "long" || !row.Null(2) {
		t.Errorf("completed to %q %q %q", row.Text(0), row.Text(1), row.Text(2))
	}
}

// TestUnfollowable names the foreign keys that change rows unlogged and cannot be
// followed, and the columns whose comparison is not the server's.
func TestUnfollowable(t *testing.T) {
	number := sources.Type{Kind: sources.Int, Size: 32, SQL: "int"}
	tables := func(change func(parent *sources.Table)) []*sources.Table {
		parent := &sources.Table{
			Schema: "public", Name: "parent", Key: []int{0}, Identity: sources.IdentityKey, IdentityColumns: []int{0},
			Columns: []sources.Column{{Name: "id", Type: number, NotNull: true}, {Name: "other", Type: number, NotNull: true}},
		}
		change(parent)
		return []*sources.Table{parent, {
			Schema: "public", Name: "child", Key: []int{0}, Identity: sources.IdentityKey, IdentityColumns: []int{0},
			Columns: []sources.Column{{Name: "id", Type: number, NotNull: true}, {Name: "parent_id", Type: parent.Columns[0].Type}},
			ForeignKeys: []sources.ForeignKey{{
				Name: "fk", Columns: []string{"parent_id"}, Schema: "public", Table: "parent", Targets: []string{"id"}, OnDelete: sources.Cascade, OnUpdate: sources.Restrict, Unlogged: true,
			}},
		}}
	}
	for name, tt := range map[string]struct {
		change func(*sources.Table)
		want   string
		stored bool
	}{
		"followed":  {func(*sources.Table) {}, "", true},
		"no key":    {func(p *sources.Table) { p.Key = nil }, "since table public.parent has no key", false},
		"other key": {func(p *sources.Table) { p.IdentityColumns = []int{1} }, "since table public.parent has a key whose old values are not in the log", false},
		"without cases": {func(p *sources.Table) {
			p.Columns[0].Type, p.Columns[0].Collation = sources.Type{Kind: sources.Text, SQL: "varchar(9)"}, "utf8mb4_0900_ai_ci"
		}, "without regard to case", true},
	} {
		index := &Definition{Table: "child", Fields: Fields{Named: map[string]*Field{"id": nil}}}
		plan, err := Options{Store: true, Complete: true}.Compile(tables(tt.change), definitions(map[string]*Definition{"x": index}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var warned string
		for _, f := range plan.Warnings {
			warned += f.String()
		}
		if (tt.want == "") != (warned == "") || !strings.Contains(warned, tt.want) || (plan.Layout != nil) != tt.stored {
			t.Errorf("%s: stored %v, warned %q", name, plan.Layout != nil, warned)
		}
	}
}
