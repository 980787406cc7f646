package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// items is a table whose counters only grow, with a related one: rows up to the given one are never deleted.
func (w *world) items(rows int) {
	w.t.Helper()
	var values []string
	for id := range rows {
		values = append(values, fmt.Sprintf("(%d, %d, 0)", id+1, 1+id%7))
	}
	w.exec("CREATE TABLE owner (id int PRIMARY KEY, name varchar(20))", "INSERT INTO owner VALUES (1,'a'),(2,'b'),(3,'c'),(4,'d'),(5,'e'),(6,'f'),(7,'g')",
		"CREATE TABLE item (id int PRIMARY KEY, owner_id int, counter int NOT NULL)", "INSERT INTO item VALUES "+strings.Join(values, ","))
}

const itemIndexes = `
  NAME:
    table: item
    fields: "*"
    keep_old: 1
    settings: {number_of_replicas: 0, refresh_interval: 200ms}
  NAME-joined:
    table: item
    fields: {counter: {}, id: {}, owner: owner.name}
tables:
  item:
    relations:
      owner: {table: owner, column: owner_id}
`

const itemDocuments = "SELECT id::text, json_build_object('id', id, 'owner_id', owner_id, 'counter', counter)::text FROM item"

const joinedItems = "SELECT i.id::text, json_build_object('id', i.id, 'counter', counter, 'owner', o.name)::text FROM item i JOIN owner o ON o.id = owner_id"

// TestReindexUnderSearches builds indexes anew, ten times, under writes and searches on their
// aliases: no search fails, none finds fewer documents, and what they say is never older.
func TestReindexUnderSearches(t *testing.T) {
	const rows = 1500
	w := newWorld(t)
	w.items(rows)
	w.config(itemIndexes)
	w.start()
	w.settle()
	aliases := []string{w.name, w.name + "-joined"}
	for _, alias := range aliases {
		w.eventually("the first load is searched", func() bool { return w.total(alias) == rows })
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { w.raise(ctx, rows) })
	var searches atomic.Int64
	for _, alias := range aliases {
		all.Go(func() { w.searchOn(ctx, alias, rows, &searches) })
	}
	served := map[string]bool{}
	for round := range 10 {
		args := append([]string{"reindex", "--wait"}, aliases...)
		if round == 5 {
			args = append(args, "--force-merge")
		}
		out := w.must(args...)
		for _, alias := range aliases {
			physical := w.physicalOf(alias)
			if served[physical] || !strings.Contains(out, alias+" serves from "+physical) {
				t.Errorf("round %d: %s serves; reindex prints\n%s", round, physical, out)
			}
			served[physical] = true
		}
	}
	at := searches.Load()
	w.eventually("searches go on", func() bool { return searches.Load() > at+50 })
	cancel()
	all.Wait()
	t.Logf("%d searches over ten times two indexes", searches.Load())
	w.settle()
	w.compare(itemDocuments)
	w.eventually("one replaced index is kept, where that is said, and all others are dropped", func() bool {
		_, body := w.get(w.search.URL + "/" + w.name + "-*/_alias")
		return strings.Count(string(body), "-write") == 3
	})
	_, body := w.get(w.search.URL + "/" + w.physical() + "/_settings?flat_settings=true")
	if !strings.Contains(string(body), `"index.refresh_interval":"200ms"`) {
		t.Errorf("settings are not restored: %s", body)
	}
	if n := w.log.count("segments are merged"); n != 2 {
		t.Errorf("segments were merged %d times", n)
	}
	if out, err := w.cli("reindex", w.name+"-joind"); err == nil || !strings.Contains(out, `did you mean`) {
		t.Errorf("reindex of a name that is none prints %q", out)
	}
}

// raise raises counters of rows, and adds and deletes others, until ctx ends.
func (w *world) raise(ctx context.Context, rows int) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		<-pace.C
		for _, statement := range []string{
			fmt.Sprintf("UPDATE item SET counter = counter + 1 WHERE id = %d", 1+n*7%rows),
			fmt.Sprintf("INSERT INTO item VALUES (%d, 1, 0)", rows+1+n),
			fmt.Sprintf("DELETE FROM item WHERE id = %d", rows+1+n-50),
		} {
			if n < 50 && strings.HasPrefix(statement, "DELETE") {
				continue
			}
			if _, err := w.db.ExecContext(context.WithoutCancel(ctx), statement); err != nil {
				w.t.Error(err)
				return
			}
		}
	}
}

// searchOn searches an alias until ctx ends: each answer is whole, and no counter falls.
func (w *world) searchOn(ctx context.Context, alias string, rows int, searches *atomic.Int64) {
	query := fmt.Sprintf(`{"size":0,"track_total_hits":true,"query":{"range":{"id":{"lte":%d}}},"aggs":{"sum":{"sum":{"field":"counter"}}}}`, rows)
	newest := 0.0
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		<-pace.C
		code, body := w.request(http.MethodPost, w.search.URL+"/"+alias+"/_search", query)
		var answer struct {
			TimedOut bool                 `json:"timed_out"`
			Shards   struct{ Failed int } `json:"_shards"`
			Hits     struct{ Total struct{ Value int } }
			Aggs     struct{ Sum struct{ Value float64 } } `json:"aggregations"`
		}
		err := json.Unmarshal(body, &answer)
		switch {
		case err != nil || code != http.StatusOK || answer.TimedOut || answer.Shards.Failed > 0:
			w.t.Errorf("a search on %s fails: %d %s %v", alias, code, body, err)
		case answer.Hits.Total.Value != rows:
			w.t.Errorf("a search on %s finds %d documents of %d", alias, answer.Hits.Total.Value, rows)
		case answer.Aggs.Sum.Value < newest:
			w.t.Errorf("a search on %s finds older documents: %v after %v", alias, answer.Aggs.Sum.Value, newest)
		}
		newest = max(newest, answer.Aggs.Sum.Value)
		searches.Add(1)
	}
}

// TestReindexKilled kills the daemon at several points of a build, which goes on where it was.
func TestReindexKilled(t *testing.T) {
	w := newWorld(t)
	w.items(3000)
	w.chunk, w.rate = 200, 1500
	w.config(itemIndexes)
	w.start()
	w.settle()
	building := func() string {
		name, _ := w.firstIndex()["building"].(string)
		return name
	}
	done := func() float64 {
		snapshot, _ := w.firstIndex()["snapshot"].(map[string]any)
		rows, _ := snapshot["rows_done"].(float64)
		return rows
	}
	for _, point := range []struct {
		name string
		at   func(before string) bool
		goes bool // the build has begun, and goes on
	}{
		{"it was answered", func(string) bool { return true }, false},
		{"the build has begun", func(string) bool { return building() != "" }, true},
		{"rows were read", func(string) bool { return building() != "" && done() > 1000 }, true},
		{"it was swapped", func(before string) bool { return w.physical() != before }, false},
	} {
		before, beside, joined := w.physical(), "", w.physicalOf(w.name+"-joined")
		if code, body := w.post("/indexes/" + w.name + "-joined/reindex"); code != http.StatusAccepted {
			t.Fatalf("reindex is answered %d %s", code, body)
		}
		code, body := w.post("/indexes/" + w.name + "/reindex")
		if code != http.StatusAccepted || !strings.Contains(body, before) {
			t.Fatalf("reindex is answered %d %s", code, body)
		}
		w.within(time.Minute, point.name, func() bool { return point.at(before) })
		if beside = building(); point.goes && w.physical() == before {
			w.kill()
			w.exec("UPDATE item SET counter = counter + 1 WHERE id < 30", "DELETE FROM item WHERE id = 3000")
			w.start()
			w.eventually("a fresh index serves", func() bool { return w.physical() != before && w.physical() != "" })
			if w.physical() != beside {
				t.Errorf("killed when %s: %s was being built, and %s serves", point.name, beside, w.physical())
			}
		} else {
			w.kill()
			w.start()
			w.eventually("a fresh index serves", func() bool { return w.physical() != before && w.physical() != "" })
		}
		w.settle()
		w.compare(itemDocuments)
		w.compareIn(w.name+"-joined", joinedItems)
		if w.physicalOf(w.name+"-joined") == joined {
			t.Errorf("%s serves on", joined)
		}
		if t.Failed() {
			t.Fatalf("killed when %s", point.name)
		}
	}
}

// TestReindexRefused: what an index of mode append holds cannot be read again.
func TestReindexRefused(t *testing.T) {
	w := newWorld(t)
	w.items(10)
	w.config("\n  NAME:\n    table: item\n    mode: append\n    fields: \"*\"\n")
	w.start()
	w.settle()
	if code, body := w.post("/indexes/" + w.name + "/reindex"); code != http.StatusConflict || !strings.Contains(body, "mode: append") {
		t.Errorf("reindex is answered %d %s", code, body)
	}
	if code, _ := w.post("/indexes/nothing/reindex"); code != http.StatusNotFound {
		t.Errorf("reindex of nothing is answered %d", code)
	}
}

// TestReindexKilledAt kills the daemon at every step of building an index anew: the next one finishes it, and leaves nothing
// behind.
func TestReindexKilledAt(t *testing.T) {
	w := worldOn(t, mysqls[len(mysqls)-1].Get(t), search.Get(t))
	w.items(300)
	w.config(strings.ReplaceAll(itemIndexes, "    keep_old: 1\n", ""))
	w.start()
	w.settle()
	for n, point := range []string{"build planned", "index created", "chunk merged", "stretch held", "alias to be swapped", "alias swapped", "retired", "index to be dropped", "checkpoint saved"} {
		before := w.physical()
		for _, alias := range []string{w.name, w.name + "-joined"} {
			if code, body := w.post("/indexes/" + alias + "/reindex"); code != http.StatusAccepted {
				t.Fatalf("reindex is answered %d %s", code, body)
			}
		}
		w.stop()
		w.exec(fmt.Sprintf("UPDATE item SET counter = %d WHERE id < 30", n))
		w.dieAt(point)
		w.exec("UPDATE item SET counter = counter + 100 WHERE id < 20", fmt.Sprintf("DELETE FROM item WHERE id = %d", 300-n))
		w.start()
		w.eventually("a fresh index serves", func() bool { p := w.physical(); return p != "" && p != before })
		w.settle()
		if reports, ok := w.verify(); !ok || len(reports) != 2 {
			t.Errorf("killed at %q: verify finds %+v", point, reports)
		}
	}
	w.eventually("nothing else is left", func() bool {
		_, body := w.get(w.search.URL + "/" + w.name + "-*/_alias")
		return strings.Count(string(body), "-write") == 2
	})
}
