package endtoend

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/internal/typecases"
)

// TestTypes replicates every value of the type cases twice, by a snapshot and
// by the stream, with the mapping that the daemon infers. Both documents hold
// exactly the JSON that the cases expect.
func TestTypes(t *testing.T) {
	eachDatabase(t, testTypes)
}

// typesVersion is the server's as the file of type cases counts them.
func (w *world) typesVersion() int {
	major, minor, _ := strings.Cut(w.server.Version, ".")
	version, err := strconv.Atoi(major)
	if err == nil && minor != "" {
		var n int
		n, err = strconv.Atoi(minor)
		version = 100*version + n
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return version
}

func testTypes(t *testing.T, w *world) {
	const streamed = 1000
	statements, cases, err := typecases.Read("../../testdata/"+w.server.Kind+"/types.txt", w.typesVersion())
	if err != nil {
		t.Fatal(err)
	}
	w.exec(statements...)
	rows := 0
	create := "CREATE TABLE types (id integer PRIMARY KEY"
	for i, c := range cases {
		create += fmt.Sprintf(", c%d %s", i, strings.ReplaceAll(c.Type, "(v)", fmt.Sprintf("(c%d)", i))) // a constraint names its column
		rows = max(rows, len(c.Values))
	}
	w.exec(create + ")")
	if w.server.Kind == servers.Postgres {
		w.exec("ALTER TABLE types REPLICA IDENTITY FULL")
	}
	insert := func(n, id int) {
		values := make([]string, len(cases))
		for i, c := range cases {
			values[i] = "NULL"
			if v := c.Values[min(n, len(c.Values)-1)]; v.Refused == "" {
				values[i] = v.SQL
			}
		}
		w.exec(fmt.Sprintf("INSERT INTO types VALUES (%d, %s)", id, strings.Join(values, ", ")))
	}
	for n := range rows {
		insert(n, n)
	}
	w.config("  NAME: {table: types, fields: \"*\"}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	for n := range rows {
		insert(n, streamed+n)
	}
	w.settle()
	if reports, ok := w.verify(); !ok {
		t.Errorf("verify finds %+v", reports)
	}
	documents := w.documents()
	if len(documents) != 2*rows {
		t.Errorf("%d documents, want %d", len(documents), 2*rows)
	}
	for n := range rows {
		for _, id := range []int{n, streamed + n} {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(documents[fmt.Sprint(id)], &fields); err != nil {
				t.Errorf("document %d: %v: %s%s", id, err, documents[fmt.Sprint(id)], w.letterOf(fmt.Sprint(id)).Reason)
				continue
			}
			for i, c := range cases {
				v := c.Values[min(n, len(c.Values)-1)]
				want := strings.TrimSpace(v.Want)
				if v.Refused != "" {
					want = "null"
				}
				if got := string(fields[fmt.Sprintf("c%d", i)]); got != want {
					t.Errorf("document %d: %s %s became %s, want %s", id, c.Type, v.SQL, got, want)
				}
			}
		}
	}
}
