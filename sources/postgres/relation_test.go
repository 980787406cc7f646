package postgres

import (
	"slices"
	"strings"
	"testing"

	"haystream/sources"
)

// TestMoved gives the log's columns, the catalog's with their numbers, and those
// that have moved.
func TestMoved(t *testing.T) {
	tests := []struct{ name, log, catalog, moved string }{
		{"the same", "id name other", "id:1 name:2 other:3", ""},
		{"one added since", "id name", "id:1 name:2 other:3", ""},
		{"one dropped before", "id name other", "id:1 name:3 other:4", ""},
		{"one dropped since", "id gone name other", "id:1 name:3 other:4", ""},
		{"two swapped", "id other name", "id:1 name:2 other:3", "name other"},
		{"two swapped behind one that was dropped, or one dropped and added since", "id other name", "id:1 name:3 other:4", "other name"},
		{"turned round by way of a third name", "id away name", "id:1 name:2 other:3", "name"},
		{"renamed", "id away other", "id:1 name:2 other:3", ""},
		{"a generated one that is not in the log", "id name", "id:1 twice:2g name:3", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := &sources.Table{Fingerprint: sources.Fingerprint{Columns: map[string]sources.Facts{}}}
			for _, column := range strings.Fields(test.catalog) {
				name, number, _ := strings.Cut(column, ":")
				number, generated := strings.CutSuffix(number, "g")
				table.Columns = append(table.Columns, sources.Column{Name: name, NotLogged: generated})
				table.Fingerprint.Columns[name] = sources.Facts{factColumn: {number}}
			}
			var message relationMessage
			for _, name := range strings.Fields(test.log) {
				message.columns = append(message.columns, relationColumn{name: name})
			}
			var moved []string
			for name, is := range message.moved(table) {
				if is {
					moved = append(moved, name)
				}
			}
			want := strings.Fields(test.moved)
			slices.Sort(moved)
			slices.Sort(want)
			if !slices.Equal(moved, want) {
				t.Errorf("moved: %v, want %v", moved, want)
			}
		})
	}
}
