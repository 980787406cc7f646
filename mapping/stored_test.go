package mapping

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// TestWhatIsStored: only definitions that cannot do without are rendered from
// stored rows.
func TestWhatIsStored(t *testing.T) {
	outside := &Definition{Table: "person", Routing: Template{Text: "region"}, Fields: Fields{Named: map[string]*Field{"name": nil}}}
	toast := &Definition{Table: "note", Fields: Fields{Named: map[string]*Field{"title": nil}}}
	plain := &Definition{Table: "note", Where: "published", Fields: Fields{Named: map[string]*Field{"pub": nil}}}
	tests := []struct {
		name       string
		definition *Definition
		options    Options
		why        string // of the stored table; empty where none is
	}{
		{"plain", plain, Options{Complete: true}, ""},
		{"toast", toast, Options{}, ""},
		{"toast completed", toast, Options{Complete: true}, "index x: the log may leave out the value of column title"},
		{"outside", outside, Options{}, "index x: its routing comes from column region, whose old value is not in the log"},
	}
	for _, tt := range tests {
		plan, err := tt.options.Compile(joinedTables(t), definitions(map[string]*Definition{"x": tt.definition}))
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
	plan, err := Options{}.Compile(joinedTables(t), definitions(map[string]*Definition{"joined": definition, "plain": plain}))
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
		plan, err := Options{Complete: true}.Compile(tables(tt.change), definitions(map[string]*Definition{"x": index}))
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

// TestKeptTables: what the row store holds is used as it is where it has what is
// needed, and else stays beside for the saved definitions.
func TestKeptTables(t *testing.T) {
	options := Options{Complete: true}
	compile := func(catalog []*sources.Table, kept []rowstore.Description, fields ...map[string]*Field) *Plan {
		t.Helper()
		o := options
		o.Kept = kept
		var sets []Set
		for _, f := range fields {
			set := definitions(map[string]*Definition{"x": {Table: "comment", Fields: Fields{Named: f}}})
			set.Stored = true
			sets = append(sets, set)
		}
		plan, err := o.Compile(catalog, sets...)
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	acting := func() []*sources.Table {
		catalog := joinedTables(t)
		for _, table := range catalog {
			for i := range table.ForeignKeys {
				if k := &table.ForeignKeys[i]; table.Name == "comment" && k.Table == "person" {
					k.OnDelete, k.Unlogged = sources.Cascade, true
				}
			}
		}
		return catalog
	}
	name := map[string]*Field{"id": nil, "name": {From: "person.name"}}
	region := map[string]*Field{"id": nil, "name": {From: "person.region"}}
	both := map[string]*Field{"id": nil, "name": {From: "person.name"}, "region": {From: "person.region"}}
	var kept []rowstore.Description
	for _, table := range compile(acting(), nil, name).Layout.Tables {
		kept = append(kept, table.Describe())
	}
	isKept := func(s *StoredTable) bool {
		return slices.ContainsFunc(kept, func(d rowstore.Description) bool { return d.Print == s.Print() })
	}
	describe := func(plan *Plan) string {
		var all []string
		for n, s := range plan.Stored {
			text := s.Source.Name
			if isKept(s) {
				text = "kept " + text
			}
			for _, k := range s.Cascades {
				text += " > " + k.Child.Source.Name
			}
			if s.Ordinal != n {
				t.Errorf("%s is the table %d, not %d", text, s.Ordinal, n)
			}
			all = append(all, text)
		}
		return strings.Join(all, ", ")
	}
	retyped := acting()
	for _, table := range retyped {
		if i := table.Column("name"); table.Name == "person" && i >= 0 {
			table.Columns[i].Type.SQL = "varchar(7)"
		}
	}
	for what, tt := range map[string]struct {
		plan *Plan
		want string
	}{
		"the same":          {compile(acting(), kept, name), "kept comment, kept person > comment"},
		"another column":    {compile(acting(), kept, region), "kept comment, person > comment"},
		"and the saved one": {compile(acting(), kept, region, name), "kept comment, person, kept person > comment"},
		"nothing is kept":   {compile(acting(), nil, region, name), "kept comment, person > comment"}, // as it would be
		"another type":      {compile(retyped, kept, name), "kept comment, person > comment"},
	} {
		if got := describe(tt.plan); got != tt.want {
			t.Errorf("%s: stores %s, want %s", what, got, tt.want)
		}
	}
	for _, table := range compile(acting(), kept, both).Layout.Tables {
		kept = append(kept, table.Describe())
	}
	if got := describe(compile(acting(), kept, region)); got != "kept comment, kept person > comment" {
		t.Errorf("with more than is needed: stores %s", got)
	}
	changed := acting() // a foreign key changes what is not needed
	for _, table := range changed {
		if table.Name == "person" {
			table.ForeignKeys = append(table.ForeignKeys, sources.ForeignKey{Name: "fk", Columns: []string{"region"}, Schema: "public", Table: "category", Targets: []string{"name"}, OnUpdate: sources.Cascade, Unlogged: true})
		}
	}
	for _, s := range compile(changed, kept[2:], name).Stored {
		if s.Source.Name == "person" && s.Column("region") >= 0 {
			t.Error("a column is kept that nothing follows")
		}
	}
	plan := compile(acting(), kept[:2], region, name)
	for set, want := range []string{"region", "name"} {
		person := plan.Sets[set][0].Joined[0].Related()[0]
		if person.Column(want) < 0 || isKept(plan.Stored[person.Ordinal]) != (set == 1) {
			t.Errorf("set %d reads %v", set, person.Names(every(len(person.Columns))))
		}
	}
}

// TestSavedStaysStored: documents that were rendered from stored rows for what another definition needs of their table are
// so rendered when their definition is restored alone.
func TestSavedStaysStored(t *testing.T) {
	catalog := joinedTables(t)
	for _, table := range catalog {
		for i := range table.ForeignKeys {
			if k := &table.ForeignKeys[i]; table.Name == "comment" && k.Table == "person" {
				k.OnDelete, k.Unlogged = sources.SetNull, true
			}
		}
	}
	flat := &Definition{Table: "comment", Fields: Fields{Named: map[string]*Field{"id": nil}}}
	wanted := definitions(map[string]*Definition{"flat": flat, "following": {Table: "comment", Fields: Fields{Named: map[string]*Field{"name": {From: "person.name"}}}}})
	for _, stored := range []bool{true, false} {
		saved := definitions(map[string]*Definition{"flat": flat})
		saved.Stored = stored
		plan, err := Options{Complete: true}.Compile(catalog, wanted, saved)
		if err != nil {
			t.Fatal(err)
		}
		if index := plan.Sets[0][0]; index.Alias != "flat" || len(index.Joined) != 1 {
			t.Fatalf("index %s is rendered from %d stored tables", index.Alias, len(index.Joined))
		}
		if index := plan.Sets[1][0]; (len(index.Joined) == 1) != stored || (len(index.Renderers) == 1) == stored {
			t.Errorf("stored %v: restored alone it is rendered from %d stored tables, and %d by the log", stored, len(index.Joined), len(index.Renderers))
		}
	}
}

// TestKeyIsStored: a configured key is stored though no field shows it.
func TestKeyIsStored(t *testing.T) {
	catalog := joinedTables(t)
	for _, table := range catalog {
		if table.Name == "person" {
			table.Identity, table.Columns[table.Column("name")].NotNull = sources.IdentityFull, true
		}
	}
	set := definitions(map[string]*Definition{"x": {Table: "comment", Fields: Fields{Named: map[string]*Field{"region": {From: "person.region"}}}}})
	set.Tables = map[string]*TableConfig{"person": {Key: []string{"name"}}}
	plan, err := Options{Complete: true}.Compile(catalog, set)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Stored {
		if s.Source.Name == "person" && !slices.Equal(s.Names(s.Table.Key), []string{"name"}) {
			t.Errorf("person is stored by %v", s.Names(s.Table.Key))
		}
	}
}

// TestIndexesOfWholeRows: entries hold rows only of indexes by which documents come to them, not of those that lead
// from changed rows to documents.
func TestIndexesOfWholeRows(t *testing.T) {
	r := newJoinedRig(t, 1)
	got := map[string]bool{}
	for _, s := range r.plan.Stored {
		for n, columns := range s.Indexes {
			got[s.Source.Name+" by "+strings.Join(s.Names(columns), ",")] = s.Whole[n]
		}
	}
	want := map[string]bool{
		"comment by note_id": true, "comment by person_id": false, "note_tag by note_id": true, "note_tag by tag_id": false,
		"note by author_id": true, "note by editor_id": false, "note by category_id": false, "note by place_a,place_b": false,
		"category by parent_id": true, "person by org_id": false,
	}
	if !maps.Equal(got, want) {
		t.Errorf("whole rows: %v", got)
	}
}
