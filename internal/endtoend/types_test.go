package endtoend

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"haystream/internal/typecases"
)

// TestTypes replicates every value of the type cases twice, by a snapshot and
// by the stream, with the mapping that the daemon infers. Both documents hold
// exactly the JSON that the cases expect.
func TestTypes(t *testing.T) {
	const version, streamed = 15, 1000
	statements, cases, err := typecases.Read("../../testdata/postgres/types.txt", version)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.exec(statements...)
	rows := 0
	create := "CREATE TABLE types (id integer PRIMARY KEY"
	for i, c := range cases {
		create += fmt.Sprintf(", c%d %s", i, c.Type)
		rows = max(rows, len(c.Values))
	}
	w.exec(create+")", "ALTER TABLE types REPLICA IDENTITY FULL")
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
	w.config("  NAME: {table: public.types, fields: \"*\"}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	for n := range rows {
		insert(n, streamed+n)
	}
	w.settle()
	documents := w.documents("NAME")
	if len(documents) != 2*rows {
		t.Errorf("%d documents, want %d", len(documents), 2*rows)
	}
	for n := range rows {
		for _, id := range []int{n, streamed + n} {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(documents[fmt.Sprint(id)], &fields); err != nil {
				t.Errorf("document %d: %v: %s", id, err, documents[fmt.Sprint(id)])
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
