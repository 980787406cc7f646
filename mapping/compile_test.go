package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"haystream/sinks"
	"haystream/sources"
)

func definitions(d map[string]*Definition) Set { return Set{Indexes: d} }

func columnNames(t *sources.Table) string { return strings.Join(t.Names(every(len(t.Columns))), " ") }

func TestPlanProjectsTheUnion(t *testing.T) {
	other := &sources.Table{
		Schema: "public", Home: true, Name: "another", Identity: sources.IdentityFull, Key: []int{1},
		Columns: []sources.Column{
			{Name: "unused", Type: sources.Type{Kind: sources.Text}},
			{Name: "id", Type: sources.Type{Kind: sources.Int, Size: 4}, NotNull: true},
		},
	}
	unused := &sources.Table{Schema: "public", Home: true, Name: "unused"}
	now := definitions(map[string]*Definition{
		"notes":   {Table: "sample", Where: "published", Fields: Fields{Named: map[string]*Field{"title": {}}}},
		"another": {Table: "another", Fields: Fields{Named: map[string]*Field{"id": {}}}},
	})
	old := definitions(map[string]*Definition{
		"notes": {Table: "sample", Fields: Fields{Named: map[string]*Field{"t": {Template: "{{ .status }}"}}}},
	})
	plan, err := Compile([]*sources.Table{unused, sample(), other}, nil, now, old)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Tables) != 2 || plan.Tables[0].Name != "another" || plan.Tables[1].Name != "sample" || plan.Tables[1].Ordinal != 1 {
		t.Fatalf("plan has tables %v", plan.Tables)
	}
	if got := columnNames(plan.Tables[0]); got != "id" {
		t.Errorf("another has %s", got)
	}
	if got := columnNames(plan.Tables[1]); got != "id title status published" {
		t.Errorf("sample has %s", got)
	}
	if len(plan.Sets) != 2 || len(plan.Sets[0]) != 2 || plan.Sets[0][1].Alias != "notes" || plan.Sets[1][0].Renderers[0].Table != plan.Tables[1] {
		t.Errorf("sets are %v", plan.Sets)
	}
	if bytes.Equal(plan.Sets[0][1].Normalized, plan.Sets[1][0].Normalized) {
		t.Error("two definitions are the same index")
	}
}

// TestNormalized pins down what makes another index and what does not.
func TestNormalized(t *testing.T) {
	compile := func(change func(d *Definition, t *sources.Table)) string {
		table := sample()
		d := &Definition{Table: "sample", Fields: Fields{Named: map[string]*Field{"title": {}, "body": {Template: "x"}}}}
		change(d, table)
		plan, err := Compile([]*sources.Table{table}, nil, definitions(map[string]*Definition{"notes": d}))
		if err != nil {
			t.Fatal(err)
		}
		return string(plan.Sets[0][0].Normalized)
	}
	base := compile(func(*Definition, *sources.Table) {})
	for name, change := range map[string]func(d *Definition, t *sources.Table){
		"full table name":  func(d *Definition, _ *sources.Table) { d.Table = "public.sample" },
		"from written out": func(d *Definition, _ *sources.Table) { d.Fields.Named["title"] = &Field{From: "title"} },
		"index written":    func(d *Definition, _ *sources.Table) { d.Index = "notes" },
		"template in file": func(d *Definition, _ *sources.Table) {
			d.Fields.Named["body"] = &Field{TemplateFile: "f", Template: "x", inlined: true}
		},
		"another unused column": func(_ *Definition, t *sources.Table) {
			t.Columns = append(t.Columns, sources.Column{Name: "new", Type: sources.Type{Kind: sources.Text}})
		},
	} {
		if got := compile(change); got != base {
			t.Errorf("%s: another index:\n%s\nwant\n%s", name, got, base)
		}
	}
	for name, change := range map[string]func(d *Definition, t *sources.Table){
		"template":  func(d *Definition, _ *sources.Table) { d.Fields.Named["body"] = &Field{Template: "y"} },
		"where":     func(d *Definition, _ *sources.Table) { d.Where = "published" },
		"routing":   func(d *Definition, _ *sources.Table) { d.Routing = Template{Text: "id"} },
		"settings":  func(d *Definition, _ *sources.Table) { d.Settings = []byte(`{"number_of_shards": 2}`) },
		"pipeline":  func(d *Definition, _ *sources.Table) { d.Pipeline = "p" },
		"omit_null": func(d *Definition, _ *sources.Table) { d.Fields.Named["title"] = &Field{OmitNull: true} },
		"mode":      func(d *Definition, _ *sources.Table) { d.Mode = ModeAppend },
		"a column's type": func(_ *Definition, t *sources.Table) {
			t.Columns[t.Column("title")].Type.SQL = "character varying"
		},
		"key": func(_ *Definition, t *sources.Table) {
			t.Identity, t.Key = sources.IdentityFull, []int{t.Column("status")}
		},
	} {
		if compile(change) == base {
			t.Errorf("%s: still the same index", name)
		}
	}
	column := func(sql string, size int) string {
		return compile(func(_ *Definition, t *sources.Table) {
			t.Columns[t.Column("title")].Type = sources.Type{Kind: sources.Text, SQL: sql, Size: size}
		})
	}
	for _, test := range []struct {
		from, to string
		size     int // of the latter; the former is 50
		same     bool
	}{
		{"varchar(50)", "varchar(100)", 100, true},
		{"varchar(50)", "varchar(9)", 9, false},
		{"varchar(50)", "varchar(20000)", 20000, false}, // which is mapped in another way
		{"varchar(50)", "varbinary(100)", 50, false},
		{"enum('a','b')", "enum('a','b','c')", 50, true},
		{"enum('a','b')", "enum('a','bc')", 50, false},
		{"enum('a','b')", "enum('a')", 50, false},
		{"char(50)", "char(60)", 60, false},
	} {
		if got := Same([]byte(column(test.from, 50)), []byte(column(test.to, test.size))); got != test.same {
			t.Errorf("%s, then %s: the same index: %v", test.from, test.to, got)
		}
	}
}

func TestMixedModesAreToldOf(t *testing.T) {
	field := Fields{Named: map[string]*Field{"title": {}}}
	for mode, want := range map[string]int{"": 1, ModeAppend: 0} {
		plan, err := Compile([]*sources.Table{sample()}, nil, definitions(map[string]*Definition{
			"log":   {Table: "sample", Index: "both", ID: Template{Text: "log-{{ .id }}"}, Mode: ModeAppend, Fields: field},
			"notes": {Table: "sample", Index: "both", ID: Template{Text: "note-{{ .id }}"}, Mode: mode, Fields: field},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Warnings) != want {
			t.Errorf("mode %q beside append: warnings %v", mode, plan.Warnings)
		}
		if saved, err := ParseSaved(plan.Sets[0][0].Normalized); err != nil || !saved.Appends() {
			t.Errorf("mode %q beside append: the saved form does not tell: %v", mode, err)
		}
	}
}

// TestLogOnlyTablesAppend: what a table does not keep, no other mode could tell.
func TestLogOnlyTablesAppend(t *testing.T) {
	for mode, refused := range map[string]bool{"": true, ModeAppend: false} {
		table := sample()
		table.LogOnly = true
		_, err := Compile([]*sources.Table{table}, nil, definitions(map[string]*Definition{
			"presses": {Table: "sample", Mode: mode, Fields: Fields{Named: map[string]*Field{"title": {}}}},
		}))
		var problems Problems
		if errors.As(err, &problems) != refused || err != nil != refused {
			t.Fatalf("mode %q: %v", mode, err)
		}
		if refused && (len(problems) != 1 || problems[0].Path != "indexes.presses.mode" || !strings.Contains(problems[0].Message, "must be append: the table public.sample keeps no rows")) {
			t.Errorf("problems are %v", problems)
		}
	}
}

// TestNormalizedSurvivesEmbedding keeps the saved form equal to itself after a
// checkpoint has held it.
func TestNormalizedSurvivesEmbedding(t *testing.T) {
	plan, err := Compile([]*sources.Table{sample()}, nil, definitions(map[string]*Definition{"notes": {
		Table: "sample", Where: "quantity < 5 && quantity > 1",
		Fields: Fields{Named: map[string]*Field{"html": {Template: "<b>{{ .title }}</b> & \u2028"}, "v": {Value: []byte(`"<&>"`)}}},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	normalized := plan.Sets[0][0].Normalized
	text, err := json.Marshal(map[string]any{"definition": normalized})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Definition json.RawMessage }
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Definition, normalized) {
		t.Errorf("comes back as\n%s\nwant\n%s", back.Definition, normalized)
	}
}

func TestReadTemplates(t *testing.T) {
	set := definitions(map[string]*Definition{"notes": {Table: "sample", Fields: Fields{Named: map[string]*Field{
		"a": {TemplateFile: "t/a.txt"}, "b": {TemplateFile: "../etc/passwd"}, "c": {TemplateFile: "/etc/passwd"}, "d": {TemplateFile: "none"},
	}}}})
	problems := set.ReadTemplates(fstest.MapFS{"t/a.txt": &fstest.MapFile{Data: []byte("{{ .title }}")}})
	if got := set.Indexes["notes"].Fields.Named["a"].Template; got != "{{ .title }}" {
		t.Errorf("read %q", got)
	}
	if len(problems) != 3 {
		t.Errorf("problems: %v", problems)
	}
	for i, name := range []string{"b", "c", "d"} {
		if want := "indexes.notes.fields." + name + ".template_file"; problems[i].Path != want {
			t.Errorf("problem at %s, want %s", problems[i].Path, want)
		}
	}
}

// TestRestoredGlob feeds an old index only the tables that it was built from.
func TestRestoredGlob(t *testing.T) {
	table := func(name string, columns ...string) *sources.Table {
		t := &sources.Table{Schema: "public", Home: true, Name: name, Identity: sources.IdentityKey, Key: []int{0}, IdentityColumns: []int{0}}
		for _, c := range columns {
			t.Columns = append(t.Columns, sources.Column{Name: c, Type: sources.Type{Kind: sources.Text}, NotNull: true})
		}
		return t
	}
	catalog := []*sources.Table{table("orders_1", "id", "a"), table("orders_2", "id", "b")}
	set := definitions(map[string]*Definition{"orders": {Table: "orders_*", Fields: Fields{All: true}}})
	before, err := Compile(catalog, nil, set)
	if err != nil {
		t.Fatal(err)
	}
	old, err := Restore(before.Sets[0][0].Normalized)
	if err != nil {
		t.Fatal(err)
	}
	catalog[0] = table("orders_1", "id", "a", "later")
	catalog = append(catalog, table("orders_3", "id"))
	after, err := Compile(catalog, nil, set, old)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after.Sets[0][0].Renderers); n != 3 {
		t.Errorf("the new index has %d tables", n)
	}
	if !bytes.Equal(after.Sets[1][0].Normalized, before.Sets[0][0].Normalized) {
		t.Errorf("the old index has become another: %s", after.Sets[1][0].Normalized)
	}
	if _, err := Restore([]byte("{")); err == nil {
		t.Error("restores what is no JSON")
	}
}

func TestIncompleteErrorIsTyped(t *testing.T) {
	plan, err := Compile([]*sources.Table{sample()}, nil, definitions(map[string]*Definition{"notes": {Table: "sample", Fields: Fields{Named: map[string]*Field{"title": {}}}}}))
	if err != nil {
		t.Fatal(err)
	}
	r := plan.Sets[0][0].Renderers[0]
	var a sources.Arena
	a.StartRow(2)
	a.Text([]byte("1"))
	a.Missing()
	batch := &sinks.Batch{}
	err = r.Change(NewScratch(), batch, &sinks.Target{}, &sources.Change{Table: r.Table, Kind: sources.Update, After: a.EndRow()})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || incomplete.Table != "public.sample" || len(incomplete.Columns) != 1 || incomplete.Columns[0] != "title" {
		t.Errorf("got %v", err)
	}
	if len(batch.Actions) != 0 {
		t.Errorf("left %d actions", len(batch.Actions))
	}

	// The former document of a row whose key has changed has to go all the same.
	image := func(key string) sources.Row {
		a.StartRow(2)
		a.Text([]byte(key))
		a.Missing()
		return a.EndRow()
	}
	err = r.Change(NewScratch(), batch, &sinks.Target{}, &sources.Change{Table: r.Table, Kind: sources.Update, Version: 7, Before: image("1"), After: image("2")})
	if !errors.As(err, &incomplete) {
		t.Errorf("got %v", err)
	}
	if len(batch.Actions) != 1 || batch.Actions[0].Op != sinks.OpDelete || string(batch.Actions[0].ID) != "1" || batch.Actions[0].Version != 7 {
		t.Errorf("left %v", batch.Actions)
	}
}

// TestRenderersAreConcurrent renders the same rows in many goroutines; the
// race detector watches.
func TestRenderersAreConcurrent(t *testing.T) {
	plan, err := Compile([]*sources.Table{sample()}, nil, definitions(map[string]*Definition{"notes": {
		Table: "sample", Where: `published && "go" in tags`, Routing: Template{Text: "id"},
		Fields: Fields{All: true, Named: map[string]*Field{
			"text": {Template: "{{ .title | upper }} {{ range .tags }}{{ . }}{{ end }}"}, "total": {Expr: "sum(doc.items, .p)", Type: "double"}, "sku": {From: "doc.a.b.3.c"},
		}},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	r := plan.Sets[0][0].Renderers[0]
	image := image(r.Table, sampleRow)
	want := &sinks.Batch{}
	if err := r.Row(NewScratch(), want, &sinks.Target{}, image, 1); err != nil || len(want.Actions) != 1 {
		t.Fatal(err, want.Actions)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, batch := NewScratch(), &sinks.Batch{}
			for range 200 {
				batch.Reset()
				if err := r.Row(s, batch, &sinks.Target{}, image, 1); err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(batch.Actions[0].Body, want.Actions[0].Body) {
					t.Errorf("got %s, want %s", batch.Actions[0].Body, want.Actions[0].Body)
					return
				}
			}
		})
	}
	group.Wait()
}
