package mapping

import (
	"slices"
	"testing"
)

// TestFind: each alias can be reached, also where it is the name of another definition.
func TestFind(t *testing.T) {
	set := Set{Indexes: map[string]*Definition{
		"notes": {Table: "note", Index: "people"}, "people": {Table: "person", Index: "notes"}, "tags": {Table: "tag", Index: "labels"},
	}}
	if got := set.Aliases(); !slices.Equal(got, []string{"labels", "notes", "people"}) {
		t.Errorf("the aliases are %q", got)
	}
	for name, want := range map[string]string{"notes": "notes", "people": "people", "tags": "labels", "labels": "labels", "tag": ""} {
		if alias, ok := set.Find(name); alias != want || ok != (want != "") {
			t.Errorf("Find(%q) is %q, %t", name, alias, ok)
		}
	}
}
