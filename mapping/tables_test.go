package mapping

import (
	"strings"
	"testing"

	"haystream/mapping/value"
	"haystream/sources"
)

func TestFindTables(t *testing.T) {
	var catalog []*sources.Table
	for _, name := range [][2]string{
		{"public", "notes"},
		{"public", "Mixed Case"},
		{"public", "a.b"},
		{"public", `q"q`},
		{"public", "star*"},
		{"public", "orders_1"},
		{"other", "orders_1"},
		{"other", "notes"},
		{"other", "only"},
		{"x", "twice"},
		{"y", "twice"},
	} {
		catalog = append(catalog, &sources.Table{Schema: name[0], Name: name[1], Home: name[0] == "public"})
	}
	tests := []struct{ name, want string }{
		{"notes", "public.notes"},
		{"other.notes", "other.notes"},
		{"only", "other.only"},
		{"Mixed Case", "public.Mixed Case"},
		{`"a.b"`, `public."a.b"`},
		{`public."a.b"`, `public."a.b"`},
		{`"q""q"`, `public."q""q"`},
		{`"star*"`, `public."star*"`},
		{"orders_*", "public.orders_1"},
		{"*.orders_*", "other.orders_1, public.orders_1"},
		{"other.*", "other.notes, other.only, other.orders_1"},
		{"twice", "ERROR twice is ambiguous; write one of x.twice, y.twice"},
		{"mixed case", `ERROR there is no table mixed case that the source's role can see; did you mean "Mixed Case"?`},
		{"zzz*", "ERROR no table matches zzz*"},
		{"a..b", "ERROR"},
		{`"open`, "ERROR"},
		{"[a", "ERROR"},
	}
	for _, tt := range tests {
		found, err := tableNames{}.find(catalog, tt.name)
		got := listTables(found)
		if err != nil {
			got = "ERROR " + err.Error()
		}
		if got != tt.want && (tt.want != "ERROR" || err == nil) {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		for _, table := range found { // a full name leads back to its table
			again, err := tableNames{}.find(catalog, configName(table))
			if err != nil || len(again) != 1 || again[0] != table {
				t.Errorf("%s leads to %s (%v)", configName(table), listTables(again), err)
			}
		}
	}
}

func TestSQLName(t *testing.T) {
	for name, want := range map[string]string{"notes": "notes", "Notes": `"Notes"`, "a b": `"a b"`, `q"q`: `"q""q"`, "1st": `"1st"`, "n1": "n1"} {
		if got := sqlIdentifier(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestFindJSON(t *testing.T) {
	text := `{"a": {"b": [1, "x,]}\"", null, {"c": -2.50e3}]}, "a\u0062c": true, "dup": 1, "dup": 2, "": 5, "e": {}, "l": []}`
	tests := []struct{ path, want string }{
		{"a.b.0", "1"},
		{"a.b.1", `"x,]}\""`},
		{"a.b.2", ""},
		{"a.b.3.c", "-2.50e3"},
		{"a.b.4", ""},
		{"a.b.-1", ""},
		{"a.b.x", ""},
		{"abc", "true"},
		{"abc.x", ""},
		{"dup", "2"},
		{"", "5"},
		{"e", "{}"},
		{"e.x", ""},
		{"l.0", ""},
		{"nope.at.all", ""},
		{"a", `{"b": [1, "x,]}\"", null, {"c": -2.50e3}]}`},
	}
	for _, tt := range tests {
		if got := string(findJSON([]byte(text), strings.Split(tt.path, "."))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.path, got, tt.want)
		}
	}
}

func FuzzFindJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"x"}]}`, `{"a"`, `{"a":`, `[`, `{"a\\`, `"`, ` {} `, `{"a":{"a":1},"a":[0]}`} {
		f.Add(s, "a.0.b")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		want := "" // must not panic on what is no JSON
		got := string(findJSON([]byte(text), strings.Split(path, ".")))
		v, err := value.FromJSON([]byte(text))
		if err != nil || hasDuplicates(text) {
			return
		}
		for step := range strings.SplitSeq(path, ".") {
			switch x := v.(type) {
			case map[string]any:
				v = x[step]
			case []any:
				v = nil
				for i := range x {
					if itoa(i) == step {
						v = x[i]
					}
				}
			default:
				v = nil
			}
		}
		if !value.IsNull(v) {
			b, _, err := value.AppendJSON(nil, v)
			if err != nil {
				t.Fatal(err)
			}
			want = string(b)
		}
		if got != "" {
			again, err := value.FromJSON([]byte(got))
			if err != nil {
				t.Fatalf("%q in %q gives %q: %v", path, text, got, err)
			}
			b, _, err := value.AppendJSON(nil, again)
			if err != nil {
				t.Fatal(err)
			}
			got = string(b)
		}
		if got != want {
			t.Errorf("%q in %q: got %s, want %s", path, text, got, want)
		}
	})
}

// hasDuplicates reports whether a key may be there twice, which package json
// and the invalid bytes in keys make hard to compare.
func hasDuplicates(text string) bool {
	return strings.Count(text, `":`)+strings.Count(text, `" :`) > 1 || !isASCII(text)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func itoa(i int) string { return string(number(i)) }

// TestNamesOfViews: what is no table is said to be a view, and which tables it shows.
func TestNamesOfViews(t *testing.T) {
	catalog := []*sources.Table{{Schema: "public", Name: "notes", Home: true}}
	views := []sources.View{
		{Schema: "other", Name: "recent", Kind: sources.OrdinaryView, Tables: []string{"other.x"}},
		{Schema: "public", Name: "recent", Home: true, Kind: sources.OrdinaryView, Tables: []string{"public.notes"}},
	}
	_, err := Options{Views: views}.Compile(catalog, Set{
		Indexes: map[string]*Definition{"a": {Table: "recent", Fields: Fields{All: true}}, "b": {Table: "lost", Fields: Fields{All: true}}},
		Tables:  map[string]*TableConfig{"other.recent": {}},
	})
	want := `indexes.a.table: public.recent is a view over public.notes; name that: its condition becomes where, its joins become relations
indexes.b.table: there is no table lost that the source's role can see
tables.other.recent: other.recent is a view over other.x; name that: its condition becomes where, its joins become relations`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
