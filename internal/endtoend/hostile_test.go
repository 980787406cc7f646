package endtoend

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"haystream/internal/servers"
)

// Names that have to be quoted everywhere, and the longest that both kinds of databases take.
var (
	hostileTable  = "or\"der `by`\n.*? ünïcode\\"
	longestName   = strings.Repeat("ü", 31) + "x" // 63 bytes
	hostileValues = []string{
		"", "plain", `"`, `'`, `\`, "`", "''; DROP TABLE x; --", "a\nb\r\n", "\t", "%25:%3A", "../..", "_all", "*", "é", "e\u0301", "\u2028", "日本", "😀", `{"a":1}`, "{{ .x }}", "{% x %}", strings.Repeat("k", 600),
		"sha256:x", " lead", "\x01\x7f", "null", "-", "+", "?q=1#f", "<script>", "\ufeff", "\u202egnp",
	}
)

// TestHostileNamesAndValues: whatever tables and columns are called, and keys and texts hold, each row's document has just that:
// from a snapshot and from the stream, flat and joined.
func TestHostileNamesAndValues(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		name, literal, text := quoting(w.server.Kind)
		key, column, parent, nl, inject := name(`k"e'y`), name("select"), name("parent id"), name("new\nline"), name(`'; DROP TABLE x; --`)
		w.exec(
			fmt.Sprintf("CREATE TABLE %s (id integer PRIMARY KEY, %s %s)", name(longestName), name("a.b"), text),
			fmt.Sprintf("CREATE TABLE %s (%s %s PRIMARY KEY, n integer NOT NULL, %s %s, %s integer, %s %s, %s %s)",
				name(hostileTable), key, text, column, text, parent, nl, text, inject, text),
		)
		n := 0
		insert := func(values ...string) (all []string) {
			for _, v := range values {
				n++
				all = append(all,
					fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", name(longestName), n, literal(v)),
					fmt.Sprintf("INSERT INTO %s VALUES (%s, %d, %s, %d, %s, %s)", name(hostileTable), literal(v), n, literal(v), n, literal(v), literal(v)))
			}
			return all
		}
		half := len(hostileValues) / 2
		w.exec(insert(hostileValues[:half]...)...)
		w.config(hostileConfig("NAME", "") + hostileConfig("NAME_joined", `
      parent: {from: "pa\"rent.a.b"}
      computed: {from: "com puted"}`) + fmt.Sprintf(`
tables:
  %[1]s:
    relations:
      "pa\"rent": {table: %[2]s, column: parent id}
    computed:
      "com puted": {template: '{{ index . "new\nline" }}'}
`, quotedJSON(doubled(hostileTable)), quotedJSON(longestName)))
		w.start()
		w.eventually("the daemon is ready", w.ready)
		w.exec(insert(hostileValues[half:]...)...)
		w.settle()
		w.matchHostile(name, key, column)

		var more []string
		for i, v := range hostileValues {
			other := literal(hostileValues[len(hostileValues)-1-i])
			switch i % 3 {
			case 0: // another key
				more = append(more, fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s = %s", name(hostileTable), key, literal("moved "+v), key, literal(v)))
			case 1:
				more = append(more, fmt.Sprintf("UPDATE %s SET %s = %s, %s = %s, %s = %s WHERE %s = %s", name(hostileTable), column, other, nl, other, inject, other, key, literal(v)))
			case 2:
				more = append(more, fmt.Sprintf("DELETE FROM %s WHERE %s = %s", name(hostileTable), key, literal(v)))
			}
		}
		w.exec(more...)
		w.settle()
		w.matchHostile(name, key, column)
	})
}

// hostileConfig is a definition over the table, with more fields.
func hostileConfig(index, more string) string {
	return fmt.Sprintf(`  %s:
    table: %s
    where: $env["select"] != "nobody's"
    fields:
      n: {}
      "k\"ey": {from: "k\"e'y"}
      "Größe": {from: select}
      nl: {from: "new\nline"}
      inject: {from: "'; DROP TABLE x; --"}
      text: {template: '{{ index . "select" }}'}%s
`, index, quotedJSON(doubled(hostileTable)), more)
}

// doubled is a table's name as the config has it.
func doubled(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quotedJSON is a text as YAML has it, too.
func quotedJSON(text string) string {
	quoted, _ := json.Marshal(text) // a text encodes
	return string(quoted)
}

// quoting is how a kind of database writes names and texts, and its type for those that are told apart byte by byte.
func quoting(kind string) (name, literal func(string) string, text string) {
	quote := func(mark string) func(string) string {
		return func(s string) string { return mark + strings.ReplaceAll(s, mark, mark+mark) + mark }
	}
	if kind == servers.Postgres {
		return quote(`"`), quote(`'`), "text"
	}
	return quote("`"), func(s string) string { return quote(`'`)(strings.ReplaceAll(s, `\`, `\\`)) }, "varchar(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
}

// matchHostile compares rows with documents, by n.
func (w *world) matchHostile(name func(string) string, key, column string) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.ctx, fmt.Sprintf("SELECT r.n, r.%s, r.%s, p.%s FROM %s r JOIN %s p ON p.id = r.%s", key, column, name("a.b"), name(hostileTable), name(longestName), name("parent id")))
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	want := map[int][3]string{}
	for rows.Next() {
		var n int
		var v [3]string
		if err := rows.Scan(&n, &v[0], &v[1], &v[2]); err != nil {
			w.t.Fatal(err)
		}
		want[n] = v
	}
	for _, index := range []string{w.name, w.name + "_joined"} {
		got := map[int][3]string{}
		for id, source := range w.documentsOf(index) {
			var d map[string]any // a struct's tag could not name all fields
			if err := json.Unmarshal(source, &d); err != nil {
				w.t.Fatal(err)
			}
			n := int(d["n"].(float64))
			v := [3]string{d[`k"ey`].(string), d["Größe"].(string), want[n][2]}
			texts := []any{d["nl"], d["inject"], d["text"]}
			if index != w.name {
				v[2], texts = fmt.Sprint(d["parent"]), append(texts, d["computed"])
			}
			if slices.ContainsFunc(texts, func(text any) bool { return text != v[1] }) {
				w.t.Errorf("%s: %q differs within %s", index, id, source)
			}
			got[n] = v
		}
		if !maps.Equal(got, want) {
			for _, n := range slices.Sorted(maps.Keys(want)) {
				if got[n] != want[n] {
					w.t.Errorf("%s: row %d is %q, the document %q", index, n, want[n], got[n])
				}
			}
			w.t.Errorf("%s: %d documents of %d rows", index, len(got), len(want))
		}
	}
}
