package sinktest

import (
	"encoding/json"
	"fmt"
	"testing"

	"haystream/sinks"
)

// lists asks for the documents of an index, page by page, while others are written, and for each page twice, the second
// time of a sink that was made since.
func lists(t *testing.T, h Harness) {
	owner := name()
	s := open(t, h, owner)
	if _, ok := s.(sinks.Viewer); !ok {
		return
	}
	alias := name()
	of := spec(alias, alias+"-1", true)
	of.Settings = json.RawMessage(`{"number_of_shards":2}`)
	target := createAs(t, s, of)
	r := write(t, s)
	defer r.close()
	deliver := func(from, to int64, op func(id string, version int64) sinks.Action) {
		var actions []sinks.Action
		for n := from; n < to; n++ {
			actions = append(actions, op(fmt.Sprint(n), n+1))
		}
		r.deliver(actions...)
	}
	doc := func(id string, version int64) sinks.Action {
		a := index(target, id, version, `{"n":1}`)
		a.Routing = []byte("r" + id)
		return a
	}
	deliver(0, 9000, doc)
	deliver(1000, 6000, func(id string, version int64) sinks.Action { // pages without documents
		a := remove(target, id, version+10_000)
		a.Routing = []byte("r" + id)
		return a
	})
	found, pages := map[string]bool{}, 0
	for at, more := "", true; more; pages++ {
		if pages > 20 {
			t.Fatal("there is no last page")
		}
		first, next, err := s.(sinks.Viewer).Listed(t.Context(), target.Physical, at)
		if err != nil {
			t.Fatal(err)
		}
		if at != "" {
			again, after, err := open(t, h, owner).(sinks.Viewer).Listed(t.Context(), target.Physical, at)
			// What was written since may be on it, too, or be where one without others goes on.
			n, m := listedBefore(first), listedBefore(again)
			if err != nil || m != n || after != next && n > 0 {
				t.Errorf("page %d has %d documents and goes on at %q, and again %d and %q, %v", pages, n, next, m, after, err)
			}
		}
		for _, d := range first {
			id := string(d.ID)
			var n int64
			if _, err := fmt.Sscan(id, &n); err != nil || found[id] || string(d.Routing) != "r"+id || d.Version != n+1 || d.Body != nil {
				t.Errorf("on page %d is %s, by %s, of version %d: %v; it was found before: %t", pages, id, d.Routing, d.Version, err, found[id])
			}
			found[id] = true
		}
		deliver(20_000+int64(pages)*10, 20_010+int64(pages)*10, doc)
		at, more = next, next != ""
	}
	for n := range 9000 {
		if id := fmt.Sprint(n); found[id] != (n < 1000 || n >= 6000) {
			t.Errorf("document %s is listed: %t", id, found[id])
		}
	}
	if pages < 4 {
		t.Errorf("there were only %d pages", pages)
	}
	if none, next, err := s.(sinks.Viewer).Listed(t.Context(), createAs(t, s, spec(alias+"-none", alias+"-none-1", true)).Physical, ""); err != nil || len(none) > 0 || next != "" {
		t.Errorf("of an empty index there are %d documents, then %q, %v", len(none), next, err)
	}
	if _, _, err := s.(sinks.Viewer).Listed(t.Context(), alias+"-2", ""); err == nil {
		t.Error("documents are listed of an index that is not there")
	}
}

// listedBefore counts the documents that were there before the first page was asked for.
func listedBefore(docs []sinks.Document) (n int) {
	for i := range docs {
		if len(docs[i].ID) < len("20000") {
			n++
		}
	}
	return n
}
