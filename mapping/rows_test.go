package mapping

import (
	"testing"

	"haystream/mapping/rowstore"
	"haystream/sinks"
)

// TestRowsInExpressionsAndTemplates shows note 1, which has two comments, one
// of them by a person, two tags, an author of organisation 1 and no editor.
func TestRowsInExpressionsAndTemplates(t *testing.T) {
	tests := []struct {
		field Field
		want  string
	}{
		{Field{Expr: `author.org.name`}, `"o"`},
		{Field{Expr: `author?.org?.name`}, `"o"`},
		{Field{Expr: `editor.org.name`}, `null`},
		{Field{Expr: `editor == nil && author != nil`}, `true`},
		{Field{Expr: `$env["author"].name + "!"`}, `"a!"`},
		{Field{Expr: `len(comments)`}, `2`},
		{Field{Expr: `len(filter(comments, .created > 1))`}, `1`},
		{Field{Expr: `map(comments, .body)`}, `["x","y"]`},
		{Field{Expr: `map(filter(comments, .person != nil), .person.name)`}, `["a"]`},
		{Field{Expr: `find(comments, .created == 2).body`}, `"y"`},
		{Field{Expr: `first(comments).person.org.name`}, `"o"`},
		{Field{Expr: `last(comments).body`}, `"y"`},
		{Field{Expr: `comments[1].body ?? "none"`}, `"y"`},
		{Field{Expr: `comments[7].body`}, `null`},
		{Field{Expr: `map(comments[1:], .body)`}, `["y"]`},
		{Field{Expr: `sum(comments, .created) + count(tags, .name == "b")`}, `4`},
		{Field{Expr: `any(comments, any(.note.tags, .name == "b") && .created == 1)`}, `true`},
		{Field{Expr: `map(sortBy(comments, .created, "desc"), .body)`}, `["y","x"]`},
		{Field{Expr: `all(tags, len(.name) == 1)`}, `true`},
		{Field{Expr: `author.full`}, `"a (o)"`},
		{Field{Expr: `let comments = [1, 2]; any(comments, # == 2)`}, `true`},
		{Field{Template: `{{ with .editor }}{{ .name }}{{ else }}none{{ end }}`}, `"none"`},
		{Field{Template: `{{ with .author.org }}{{ .name }}{{ end }}{{ .editor.org.name }}`}, `"o"`},
		{Field{Template: `{{ $a := object.author }}{{ $a.org.name }}{{ range .comments }}{{ $.title }}{{ .person.name }}{{ end }}`}, `"otat"`},
		{Field{Template: `{{ range $i, $c := .comments }}{{ if $i }}, {{ end }}{{ $c.body }}{{ else }}none{{ end }}`}, `"x, y"`},
		{Field{Template: `{{ len .tags }}{{ if .editor }}e{{ end }}{{ if not .editor }}n{{ end }}{{ if .author }}a{{ end }}`}, `"2na"`},
		{Field{Template: `{{ index .author "name" }} {{ (index .author "name") | upper }}`}, `"a A"`},
		{Field{Template: `{{ range .comments }}{{ range .note.tags }}{{ .name }}{{ end }}{{ end }}`}, `"abab"`},
		{Field{From: "comments.note.tags.name"}, `["a","b","a","b"]`},
		{Field{From: "editor.notes.title"}, `[]`},
		{Field{From: "author.full"}, `"a (o)"`},
		{Field{From: "comments.person.full"}, `["a (o)"]`},
		{Field{From: "comments.person", Fields: Fields{Named: map[string]*Field{"name": nil}}}, `[{"name":"a"}]`},
		{Field{From: "comments.person", Fields: Fields{All: true, Named: map[string]*Field{"org_id": {Expr: "org_id + 1", Type: "long"}}}, Exclude: []string{"code", "id"}}, `[{"name":"a","org_id":2,"region":null}]`},
	}
	rows := map[string][]string{
		"org": {"id=1 name=o"}, "person": {"id=1 code=c name=a org_id=1"}, "note": {"id=1 title=t author_id=1"},
		"comment": {"id=1 note_id=1 person_id=1 body=x created=1", "id=2 note_id=1.0 body=y created=2"},
		"tag":     {"id=1 name=a", "id=2 name=b"}, "note_tag": {"id=1 note_id=1 tag_id=1", "id=2 note_id=1 tag_id=2"},
	}
	for _, tt := range tests {
		what := tt.field.Expr + tt.field.Template + tt.field.From
		set, err := decodeSet(map[string]string{"config.yaml": joinedConfig})
		if err != nil {
			t.Fatal(err)
		}
		if tt.field.Expr != "" {
			tt.field.Type = "keyword"
		}
		set.Indexes = map[string]*Definition{"notes": {Table: "note", Fields: Fields{Named: map[string]*Field{"x": &tt.field, "k": {From: "author.name"}}}}}
		plan, err := Options{}.Compile(joinedTables(t), set)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		store := openStore(t, plan)
		b := store.Batch()
		for _, stored := range plan.Layout.Tables {
			for _, row := range rows[stored.Name] {
				if _, err := b.Put(stored, image(stored.Table, cells(row))); err != nil {
					t.Fatal(err)
				}
			}
		}
		j, out := plan.Sets[0][0].Joined[0], &sinks.Batch{}
		key, _ := rowstore.AppendKey(nil, j.Stored, image(j.Stored.Table, cells("id=1")), j.Stored.Key)
		if _, err := j.Document(NewScratch(), b, out, &sinks.Target{}, j.Mark(nil, key), 1); err != nil {
			t.Fatal(err)
		}
		if got := string(out.Actions[0].Body); got != `{"k":"a","x":`+tt.want+`}` {
			t.Errorf("%s gives %s, want %s", what, got, tt.want)
		}
		if err := b.Discard(); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
