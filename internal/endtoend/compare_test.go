package endtoend

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// compare fails the test unless each row that sql returns (id, document as
// JSON text) equals the index's document of that id, and there is no other.
func (w *world) compare(sql string) {
	w.t.Helper()
	w.compareIn(w.name, sql)
}

func (w *world) compareIn(index, sql string) {
	w.t.Helper()
	w.compareWith(w.documentsOf(index), sql)
}

// compareWith compares documents that were read, and takes those that have a row out.
func (w *world) compareWith(documents map[string]json.RawMessage, sql string) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(), sql)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	count, missing, different := 0, 0, 0
	for rows.Next() {
		var id, want string
		if err := rows.Scan(&id, &want); err != nil {
			w.t.Fatal(err)
		}
		count++
		got, ok := documents[id]
		delete(documents, id)
		switch {
		case !ok:
			if missing++; missing <= 3 {
				w.t.Errorf("document %s is missing", id)
			}
		case !reflect.DeepEqual(canonical(w, got), canonical(w, []byte(want))):
			if different++; different <= 3 {
				w.t.Errorf("document %s differs\n is %s\nnot %s", id, got, want)
			}
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	extra := 0
	for id, source := range documents {
		if extra++; extra <= 3 {
			w.t.Errorf("document %s has no row: %s", id, source)
		}
	}
	w.t.Logf("%d rows compared; %d missing, %d different, %d extra", count, missing, different, extra)
}

// canonical decodes a document so that equal values compare equal: numbers keep
// their digits, times are instants.
func canonical(w *world, document []byte) any {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		w.t.Fatalf("%s: %v", document, err)
	}
	return instants(v)
}

func instants(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = instants(v[k])
		}
	case []any:
		for i := range v {
			v[i] = instants(v[i])
		}
	case string:
		if len(v) < 19 || v[4] != '-' || !strings.Contains(v, "T") {
			return v
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
			if at, err := time.Parse(layout, v); err == nil {
				return at.UTC().Format(time.RFC3339Nano)
			}
		}
	}
	return v
}
