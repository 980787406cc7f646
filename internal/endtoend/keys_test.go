package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/internal/typecases"
)

// TestKeys makes a key of every type that may be one, of all its example values
// that the server takes for different ones, and wants a document of each row:
// from a snapshot and from the stream, flat and joined.
func TestKeys(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		inserts := keyedTables(w)
		w.exec(inserts(0)...)
		w.config(`  NAME: {table: key*, fields: {n: {}}}
  NAME_joined: {table: key*, fields: {n: {}}, where: due == nil || due <= now()}
`)
		w.start()
		w.eventually("the daemon is ready", w.ready)
		w.settle()
		w.matchKeys()
		w.exec(inserts(50000)...)
		w.settle()
		w.matchKeys()
		w.repairAll(w.name, w.name+"_joined")
		w.matchKeys()
	})
}

// repairAll deletes all documents of indexes by hand: each is found to be missing, which asks for its row by key, and is
// repaired.
func (w *world) repairAll(aliases ...string) {
	w.t.Helper()
	deleted := map[string]int{}
	for _, alias := range aliases {
		var lines strings.Builder
		encoder := json.NewEncoder(&lines)
		for h := range w.eachHit(alias) {
			action := map[string]string{"_index": h.Index, "_id": h.ID}
			if h.Routing != "" {
				action["routing"] = h.Routing
			}
			if err := encoder.Encode(map[string]any{"delete": action}); err != nil {
				w.t.Fatal(err)
			}
			deleted[alias]++
		}
		if code, body := w.request(http.MethodPost, w.search.URL+"/_bulk", lines.String()); code != http.StatusOK || strings.Contains(string(body), `"errors":true`) {
			w.t.Fatalf("deletes are answered %d %.500s", code, body)
		}
	}
	for _, option := range []string{"--rate=100000", "--repair"} {
		reports, _ := w.verify(append([]string{option}, aliases...)...)
		for _, alias := range aliases {
			f := reports[alias]
			for _, d := range f.List {
				if d.Kind != "missing" {
					w.t.Errorf("%s: %s %q %v", alias, d.Kind, d.ID, d.Fields)
				}
			}
			f.List = nil
			if n := deleted[alias]; f.State != "done" || f.Documents.Missing != n || option == "--repair" && f.Documents.Repaired != n {
				w.t.Errorf("%d documents of %s were deleted; verify %s: %+v", n, alias, option, f)
			}
		}
	}
}

// keyedTables makes a table for each type. What it returns replaces all their rows.
func keyedTables(w *world) (inserts func(from int) []string) {
	w.t.Helper()
	statements, cases, err := typecases.Read("../../testdata/"+w.server.Kind+"/types.txt", w.typesVersion())
	if err != nil {
		w.t.Fatal(err)
	}
	w.exec(statements...)
	insert, otherwise := "INSERT IGNORE", ""
	if w.server.Kind == servers.Postgres {
		insert, otherwise = "INSERT", " ON CONFLICT DO NOTHING"
	}
	made := map[int]typecases.Case{}
	rows := func(from int) []string {
		var all []string
		if w.server.Kind != servers.Postgres {
			all = append(all, "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
		}
		for i, c := range made {
			all = append(all, fmt.Sprintf("DELETE FROM key%d", i))
			for n, v := range c.Values {
				if v.SQL != "NULL" {
					all = append(all, fmt.Sprintf("%s INTO key%d VALUES (%s, %d, NULL)%s", insert, i, v.SQL, from+100*i+n, otherwise))
				}
			}
		}
		return all
	}
	for i, c := range cases {
		create := fmt.Sprintf("CREATE TABLE key%d (v %s NOT NULL PRIMARY KEY, n INTEGER NOT NULL, due TIMESTAMP NULL)", i, strings.TrimSuffix(c.Type, " NULL"))
		if _, err := w.db.ExecContext(w.t.Context(), create); err != nil {
			continue // no key
		}
		made[i] = c
		none := fmt.Sprintf("SELECT SUB_PART FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = '%s' AND TABLE_NAME = 'key%d' AND SUB_PART > 0", w.name, i)
		if w.server.Kind == servers.Postgres { // it has arrays whose elements cannot be compared
			none = fmt.Sprintf("SELECT 1 FROM pg_type t LEFT JOIN pg_opclass c ON c.opcdefault AND c.opcintype = t.typelem AND c.opcmethod = 403 WHERE t.oid = (SELECT atttypid FROM pg_attribute WHERE attrelid = 'key%d'::regclass AND attname = 'v') AND t.typcategory = 'A' AND t.typelem <> 0 AND t.typelem::regtype::text IN ('json', 'point', 'box') AND c IS NULL", i)
		}
		if len(w.column(none)) > 0 {
			w.exec(fmt.Sprintf("DROP TABLE key%d", i))
			delete(made, i)
		}
	}
	if len(made) < len(cases)/3 {
		w.t.Fatalf("only %d of %d types make a key", len(made), len(cases))
	}
	return rows
}

// matchKeys compares the numbers of all rows with those of the documents.
func (w *world) matchKeys() {
	w.t.Helper()
	want := map[string]int{}
	tables, err := w.db.QueryContext(w.t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'key%' AND table_schema IN ('public', '"+w.name+"')")
	if err != nil {
		w.t.Fatal(err)
	}
	defer tables.Close()
	for tables.Next() {
		var name string
		if err := tables.Scan(&name); err != nil {
			w.t.Fatal(err)
		}
		for _, n := range w.column("SELECT n FROM " + name) {
			want[n]++
		}
	}
	for _, index := range []string{w.name, w.name + "_joined"} {
		got := map[string]int{}
		for _, source := range w.documentsOf(index) {
			var document struct {
				N json.Number `json:"n"`
			}
			if err := json.Unmarshal(source, &document); err != nil {
				w.t.Fatal(err)
			}
			got[document.N.String()]++
		}
		for row := range want {
			if got[row] != 1 {
				w.t.Errorf("%s: row %s has %d documents", index, row, got[row])
			}
		}
		if len(got) != len(want) {
			w.t.Errorf("%s: %d documents of %d rows", index, len(got), len(want))
		}
	}
}

// column is the first column of a query's answer.
func (w *world) column(query string) (values []string) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(), query)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			w.t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}
