package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const verifyIndexes = `
  NAME:
    table: item
    fields: "*"
    routing: owner_id
    settings: {number_of_replicas: 0}
  NAME-joined:
    table: item
    fields: {counter: {}, id: {}, owner: owner.name}
tables:
  item:
    relations:
      owner: {table: owner, column: owner_id}
`

// A found is what verify --json prints of an index.
type found struct {
	Index     string
	State     string
	Documents counts
	Stored    map[string]counts `json:"stored_tables"`
	Unsettled int
	List      []struct {
		Table, Kind, ID string
		Fields          []string
		Repaired        bool
	} `json:"differences"`
}

type counts struct{ Compared, Missing, Extra, Different, Repaired int }

// verify runs the command, and returns what it has found by index, and whether it was content.
func (w *world) verify(args ...string) (map[string]found, bool) {
	w.t.Helper()
	cmd := w.command(append([]string{"verify", "--json"}, args...)...)
	cmd.Stdout = nil
	out, err := cmd.Output()
	var all []found
	if bad := json.Unmarshal(out, &all); bad != nil {
		w.t.Fatalf("verify prints %q: %v, %v", out, bad, err)
	}
	by := map[string]found{}
	for _, f := range all {
		by[f.Index] = f
	}
	return by, err == nil
}

// differences are the differences that were found, sorted.
func (f *found) differences() []string {
	var all []string
	for _, d := range f.List {
		text := strings.TrimSpace(d.Kind + " " + d.ID + " " + strings.Join(d.Fields, ","))
		if d.Table != "" {
			text = "stored " + text
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// TestVerifyUnderWriters compares indexes again and again while rows change, come and go: nothing is found.
func TestVerifyUnderWriters(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const rows = 3000
		w.items(rows)
		w.config(verifyIndexes)
		w.start()
		w.settle()
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { w.raise(ctx, rows) })
		all.Go(func() { w.rename(ctx) })
		for range 5 {
			reports, ok := w.verify()
			for index, f := range reports {
				if n := f.Documents.Compared; n < rows || len(f.List) > 0 || f.Unsettled > 0 {
					t.Errorf("index %s: %+v", index, f)
				}
			}
			if !ok || len(reports) != 2 {
				t.Errorf("%d reports, content: %v", len(reports), ok)
			}
		}
	})
}

// rename renames owners, each of which many items have, until ctx ends.
func (w *world) rename(ctx context.Context) {
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		<-pace.C
		statement := fmt.Sprintf("UPDATE owner SET name = 'n%d' WHERE id = %d", n, 1+n%7)
		if _, err := w.db.ExecContext(context.WithoutCancel(ctx), statement); err != nil {
			w.t.Error(err)
			return
		}
	}
}

// TestVerifyFindsAndRepairs plants differences of each kind in documents.
func TestVerifyFindsAndRepairs(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const rows = 2000
		w.items(rows)
		w.config(verifyIndexes)
		w.start()
		w.settle()
		if reports, ok := w.verify(); !ok {
			t.Fatalf("before anything is planted: %+v", reports)
		}
		w.plant(w.name)
		w.plant(w.name + "-joined")
		w.plantRouting()
		want := map[string][]string{
			w.name:             {"different 12 counter", "different 13 nothing,owner_id", "different 14 _routing", "extra 99999", "missing 11"},
			w.name + "-joined": {"different 12 counter", "different 13 nothing,owner", "extra 99999", "missing 11"},
		}
		for _, repair := range []string{"--rate=100000", "--repair"} {
			reports, ok := w.verify(repair)
			for index, planted := range want {
				f := reports[index]
				if got := f.differences(); !slices.Equal(got, planted) {
					t.Errorf("verify %s of %s finds %q, planted are %q", repair, index, got, planted)
				}
				if n := f.Documents.Repaired; repair == "--repair" && n != len(planted) {
					t.Errorf("%d differences of %s are repaired: %+v", n, index, f)
				}
			}
			if ok != (repair == "--repair") {
				t.Errorf("verify %s is content: %v", repair, ok)
			}
		}
		if reports, ok := w.verify(); !ok {
			t.Errorf("after repair: %+v", reports)
		}
	})
}

// plant changes documents by hand: one is missing, one extra, two have other fields.
func (w *world) plant(index string) {
	w.t.Helper()
	do := func(method, path, body string) {
		w.t.Helper()
		code, answer := w.request(method, w.search.URL+"/"+index+path, body)
		if code/100 != 2 {
			w.t.Fatalf("%s %s is answered %d %s", method, path, code, answer)
		}
	}
	by := func(id string, script string) {
		w.t.Helper()
		do(http.MethodPost, "/_refresh", "")
		do(http.MethodPost, "/_update_by_query?refresh=true", fmt.Sprintf(`{"query":{"ids":{"values":[%q]}},"script":{"source":%q}}`, id, script))
	}
	do(http.MethodPut, "/_mapping", `{"properties":{"nothing":{"type":"keyword"}}}`)
	do(http.MethodPost, "/_refresh", "")
	do(http.MethodPost, "/_delete_by_query?refresh=true", `{"query":{"ids":{"values":["11"]}}}`)
	by("12", "ctx._source.counter = 77")
	field := "owner"
	if index == w.name {
		field = "owner_id"
	}
	by("13", "ctx._source.nothing = 'x'; ctx._source.remove('"+field+"')")
	do(http.MethodPut, "/_doc/99999?refresh=true", `{"id":99999}`)
}

// plantRouting gives a document another routing.
func (w *world) plantRouting() {
	w.t.Helper()
	doc := w.search.URL + "/" + w.name + "/_doc/14?refresh=true&routing="
	_, body := w.get(w.search.URL + "/" + w.name + "/_source/14?routing=1")
	if code, answer := w.request(http.MethodPut, doc+"6", string(body)); code/100 != 2 {
		w.t.Fatalf("put is answered %d %s", code, answer)
	}
}
