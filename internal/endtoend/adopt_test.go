package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const adoptIndexes = `
  NAME:
    table: item
    id: "shop.item.{{ .id }}"
    fields: {django_ct: {value: shop.item, type: keyword}, text: {template: "{{ .counter }}"}}
  NAME-alias:
    table: item
    fields: "*"
`

// TestAdopt takes the places of an index as django-haystack makes it, and of an alias that
// leads to somebody's index: nothing happens before it was said, searches find all the while
// what was there, and what no row gives is kept.
func TestAdopt(t *testing.T) {
	w := newWorld(t)
	w.items(400)
	alias, old := w.name+"-alias", w.name+"_old_v1"
	w.ask(http.MethodPut, "/"+w.name, `{"settings":{"number_of_replicas":0},"mappings":{"properties":{"django_ct":{"type":"keyword"},"django_id":{"type":"keyword"},"text":{"type":"text"}}}}`)
	for id, ct := range map[string]string{"shop.item.1": "shop.item", "shop.item.2": "shop.item", "blog.note.7": "blog.note"} {
		w.ask(http.MethodPut, "/"+w.name+"/_doc/"+id+"?refresh=true", fmt.Sprintf(`{"django_ct":%q,"text":"of haystack"}`, ct))
	}
	w.ask(http.MethodPut, "/"+old, `{"settings":{"number_of_replicas":0}}`)
	w.ask(http.MethodPut, "/"+old+"/_doc/9?refresh=true", `{"word":"somebody's"}`)
	w.aliases(fmt.Sprintf(`{"add":{"index":%q,"alias":%q}}`, old, alias))
	w.config(adoptIndexes)

	refused := func() {
		t.Helper()
		if out, err := w.cli("run"); err == nil || !strings.Contains(out, "haystream adopt") {
			t.Fatalf("a daemon that meets what others have made prints %q, %v", out, err)
		}
	}
	refused()
	out := w.must("adopt", w.name, "--dry-run")
	for _, want := range []string{"made by django-haystack, with 3 documents", "will build " + w.name + "-<time> of item", "refuse writes", "copy it as it is to " + w.name + "-before-", "in one step"} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run lacks %q:\n%s", want, out)
		}
	}
	if out, err := w.cli("adopt", w.name); err == nil || !strings.Contains(out, "nothing adopted: add --yes") {
		t.Errorf("adopt without --yes prints %q, %v", out, err)
	}
	refused()
	if out := w.must("adopt", alias, "--yes"); !strings.Contains(out, "leads to "+old) {
		t.Errorf("adopt prints\n%s", out)
	}
	w.must("adopt", w.name, "--yes")
	if out := w.must("check"); !strings.Contains(out, "its place is taken once the new index is loaded") {
		t.Errorf("check prints\n%s", out)
	}

	w.chunk, w.rate = 50, 200
	w.config(adoptIndexes)
	w.start()
	failed := 0 // searches that were under way when the index was deleted
	w.eventually("both places are taken", func() bool {
		if n, ok := w.count(w.name); !ok {
			failed++
		} else if n != 3 && n != 400 {
			t.Errorf("a search on %s finds %d documents", w.name, n)
		}
		if n := w.total(alias); n != 1 && n != 400 {
			t.Errorf("a search on %s finds %d documents", alias, n)
		}
		physical := w.physicalOf(w.name)
		return physical != w.name && strings.HasPrefix(w.physicalOf(alias), alias+"-2") && strings.HasPrefix(physical, w.name+"-2")
	})
	if failed > 1 {
		t.Errorf("%d searches have failed", failed)
	}
	w.settle()
	w.compareIn(alias, itemDocuments)
	kept := out[strings.Index(out, w.name+"-before-"):]
	kept, _, _ = strings.Cut(kept, "\n")
	if n := w.total(kept); n != 3 {
		t.Errorf("%s has %d documents", kept, n)
	}
	if n := w.total(old); n != 1 {
		t.Errorf("%s has %d documents", old, n)
	}

	// What was allowed is used up.
	w.aliases(fmt.Sprintf(`{"remove":{"index":%q,"alias":%q}},{"add":{"index":%q,"alias":%q}}`, w.physicalOf(alias), alias, old, alias))
	w.eventually("the daemon says that the alias leads to somebody's index", func() bool { return strings.Contains(w.notReady(), "haystream adopt") })
	if n := w.total(alias); n != 1 {
		t.Errorf("a search on %s finds %d documents", alias, n)
	}
	w.must("adopt", alias, "--yes")
	w.eventually("the running daemon takes the place", func() bool { return strings.HasPrefix(w.physicalOf(alias), alias+"-2") })
	w.settle()
	if out := w.must("adopt", alias); !strings.Contains(out, "nothing to adopt") {
		t.Errorf("adopt of an own index prints %q", out)
	}
}

// total is how many documents a search finds.
func (w *world) total(index string) int {
	w.t.Helper()
	n, ok := w.count(index)
	if !ok {
		w.t.Errorf("a search on %s fails", index)
	}
	return n
}

// count is how many documents a search finds; not ok where it fails.
func (w *world) count(index string) (n int, ok bool) {
	var answer struct{ Count int }
	code, body := w.get(w.search.URL + "/" + index + "/_count")
	ok = code == http.StatusOK && json.Unmarshal(body, &answer) == nil
	return answer.Count, ok
}
