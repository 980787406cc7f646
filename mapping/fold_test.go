package mapping

import (
	"bytes"
	"testing"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// TestFolds wants texts to be equal where the column's collation says so.
func TestFolds(t *testing.T) {
	text, fixed := sources.Type{Kind: sources.Text}, sources.Type{Kind: sources.Keyword, SQL: "character(5)"}
	tests := []struct {
		column sources.Column
		a, b   string
		equal  bool
	}{
		{sources.Column{Type: text}, "a", "A", false},
		{sources.Column{Type: text}, "a", "a ", false},
		{sources.Column{Type: sources.Type{Kind: sources.Text, SQL: "citext"}}, "Ä", "ä", true},
		{sources.Column{Type: fixed}, "a", "a    ", true},
		{sources.Column{Type: fixed}, "a", "A", false},
		{sources.Column{Type: text, Collation: "utf8mb4_0900_ai_ci"}, "a", "A", true},
		{sources.Column{Type: text, Collation: "utf8mb4_0900_ai_ci"}, "a", "a ", false},
		{sources.Column{Type: text, Collation: "utf8mb4_general_ci"}, "a", "A ", true},
		{sources.Column{Type: text, Collation: "latin1_swedish_ci"}, "a", "b", false},
		{sources.Column{Type: text, Collation: "utf8mb4_bin"}, "a", "A", false},
		{sources.Column{Type: text, Collation: "utf8mb4_bin"}, "a", "a ", true},
		{sources.Column{Type: text, Collation: "utf8mb4_0900_as_cs"}, "a", "A", false},
		{sources.Column{Type: text, Collation: "utf8mb4_ja_0900_as_cs_ks"}, "a", "A", false},
		{sources.Column{Type: text, Collation: "utf8mb4_general_ci"}, "straße Ωmega Жук", "STRAßE ωMEGA жУК", true},
		{sources.Column{Type: text, Collation: "utf8mb4_general_ci"}, "k", "\u212a", false}, // the Kelvin sign
		{sources.Column{Type: text, Collation: "utf8mb4_general_ci"}, "ß", "ẞ", false},
		{sources.Column{Type: text, Collation: "utf8mb4_turkish_ci"}, "i", "I", false},
		{sources.Column{Type: text, Collation: "utf8mb4_tr_0900_ai_ci"}, "i", "I", false},
		{sources.Column{Type: text, Collation: "utf8mb4_turkish_ci"}, "ABC", "abc", true},
		{sources.Column{Type: text, Collation: "gbk_chinese_ci"}, "ABC", "abc", true},
		{sources.Column{Type: text, Collation: "gbk_chinese_ci"}, "Ж", "ж", false},
		{sources.Column{Type: text, Collation: "uca1400_nopad_ai_ci"}, "a", "A ", false},
		{sources.Column{Type: sources.Type{Kind: sources.Int}, Collation: "binary"}, "1", "2", false},
	}
	for _, tt := range tests {
		tt.column.Name = "c"
		table := &rowstore.Table{Table: &sources.Table{Columns: []sources.Column{tt.column}}}
		table.Folds = folds(table.Table)
		var keys [2][]byte
		for n, v := range []string{tt.a, tt.b} {
			keys[n], _ = rowstore.AppendKey(nil, table, image(table.Table, map[string]string{"c": v}), []int{0})
		}
		if got := bytes.Equal(keys[0], keys[1]); got != tt.equal {
			t.Errorf("%s %s: %q and %q are equal: %v", tt.column.Type.SQL, tt.column.Collation, tt.a, tt.b, got)
		}
	}
}
