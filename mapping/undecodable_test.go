package mapping

import (
	"errors"
	"strings"
	"testing"

	"haystream/sinks"
	"haystream/sources"
)

// TestUndecodable renders values that are not UTF-8 in every way that they come
// into a document, by both policies.
func TestUndecodable(t *testing.T) {
	table := &sources.Table{Schema: "public", Name: "notes", Identity: sources.IdentityFull, Key: []int{0}, Columns: []sources.Column{
		{Name: "id", Type: sources.Type{Kind: sources.Text}, NotNull: true, Raw: true},
		{Name: "body", Type: sources.Type{Kind: sources.Text}, Raw: true},
		{Name: "doc", Type: sources.Type{Kind: sources.JSON}, Raw: true},
	}}
	fields := map[string]*Field{
		"body": {From: "body"}, "doc": {From: "doc"}, "inner": {From: "doc.a", Type: "keyword"},
		"told": {Template: "<{{ .body }}>"}, "upper": {Expr: "upper(body)"},
	}
	plan, err := Compile([]*sources.Table{table}, nil, Set{Indexes: map[string]*Definition{"notes": {Table: "notes", Fields: Fields{Named: fields}}}})
	if err != nil {
		t.Fatal(err)
	}
	render := func(texts ...string) (ids []string, bodies string, asked int) {
		for _, policy := range []error{nil, errors.New("refused")} {
			s := NewScratch()
			s.Undecodable = func(e *UndecodableError) error {
				asked++
				if policy != nil {
					return e
				}
				return nil
			}
			a := sources.NewArena(100)
			a.StartRow(len(texts))
			for _, text := range texts {
				a.Text([]byte(text))
			}
			var b sinks.Batch
			if err := plan.Sets[0][0].Renderers[0].Row(s, &b, &sinks.Target{}, a.EndRow(), 1); err != nil {
				t.Fatal(err)
			}
			ids, bodies = append(ids, string(b.Actions[0].ID)), bodies+string(b.Actions[0].Body)+"\n"
		}
		return ids, bodies, asked
	}
	ids, bodies, asked := render("1", "b\xe9d", "{\"a\":\"\xe9\"}")
	want := `{"body":"b�d","doc":{"a":"�"},"inner":"�","told":"<b�d>","upper":"B�D"}
column body of table public.notes holds bytes that are not UTF-8, in the row with key (1): 0xe9 at byte 2
`
	if bodies != want || asked < 4 || ids[0] != "1" {
		t.Errorf("ids %q, asked %d times, got\n%swant\n%s", ids, asked, bodies, want)
	}
	// Keys that differ give ids that do.
	seen := map[string]bool{}
	for _, key := range []string{"a\xe8", "a\xe9", "a\ufffd"} {
		ids, _, _ := render(key, "x", "{}")
		seen[ids[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("the ids are %v", seen)
	}
	if _, bodies, asked := render("1", "bád", "{}"); asked != 0 || !strings.Contains(bodies, "bád") {
		t.Errorf("asked %d times about UTF-8, got %s", asked, bodies)
	}
}
