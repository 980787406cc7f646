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
	w.compareWith(index, w.wanted(sql))
}

// wanted are the documents that SQL gives, by id.
func (w *world) wanted(sql string) map[string]string {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.ctx, sql)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	want := map[string]string{}
	for rows.Next() {
		var id, document string
		if err := rows.Scan(&id, &document); err != nil {
			w.t.Fatal(err)
		}
		want[id] = document
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return want
}

// compareWith fails the test unless an index has exactly the given documents, by id.
func (w *world) compareWith(index string, wanted map[string]string) {
	w.t.Helper()
	w.compareThese(index, w.documentsOf(index), wanted)
}

// compareThese does the same for documents that were read from it. It deletes them.
func (w *world) compareThese(index string, documents map[string]json.RawMessage, wanted map[string]string) {
	w.t.Helper()
	missing, different := 0, 0
	for id, want := range wanted {
		got, ok := documents[id]
		delete(documents, id)
		switch {
		case !ok:
			if missing++; missing <= 3 {
				w.t.Errorf("document %s is missing from %s", id, index)
			}
		case !reflect.DeepEqual(canonical(w, got), canonical(w, []byte(want))):
			if different++; different <= 3 {
				w.t.Errorf("document %s of %s differs\n is %s\nnot %s", id, index, got, want)
			}
		}
	}
	extra := 0
	for id, source := range documents {
		if extra++; extra <= 3 {
			w.t.Errorf("document %s of %s has no row: %s", id, index, source)
		}
	}
	w.t.Logf("%s: %d documents compared; %d missing, %d different, %d extra", index, len(wanted), missing, different, extra)
}

// sameIn reports whether an index has exactly the documents that SQL gives.
func (w *world) sameIn(index, sql string) bool {
	wanted, documents := w.wanted(sql), w.documentsOf(index)
	for id, want := range wanted {
		if got, ok := documents[id]; !ok || !reflect.DeepEqual(canonical(w, got), canonical(w, []byte(want))) {
			return false
		}
	}
	return len(documents) == len(wanted)
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
