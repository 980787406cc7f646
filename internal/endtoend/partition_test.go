package endtoend

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// everything answers once with all documents behind a name, so that it shows one moment, by their
// indexes and ids; nil while there is none of that name.
func (w *world) everything(name string) map[string]map[string]json.RawMessage {
	w.t.Helper()
	w.request(http.MethodPost, w.search.URL+"/"+name+"/_refresh", "")
	const most = 10_000
	code, body := w.request(http.MethodPost, w.search.URL+"/"+name+"/_search?allow_partial_search_results=false", fmt.Sprintf(`{"size":%d,"track_total_hits":true}`, most))
	var page struct {
		Hits struct {
			Total struct{ Value int }
			Hits  []struct {
				Index  string          `json:"_index"`
				ID     string          `json:"_id"`
				Source json.RawMessage `json:"_source"`
			}
		}
	}
	if code != http.StatusOK || json.Unmarshal(body, &page) != nil {
		return nil
	}
	if page.Hits.Total.Value > most {
		w.t.Fatalf("%s has %d documents; the test reads %d", name, page.Hits.Total.Value, most)
	}
	found := map[string]map[string]json.RawMessage{}
	for _, hit := range page.Hits.Hits {
		if found[hit.Index] == nil {
			found[hit.Index] = map[string]json.RawMessage{}
		}
		found[hit.Index][hit.ID] = hit.Source
	}
	return found
}

// periodsOf are the ids of the documents in each physical index behind an alias, by what the
// index's name says between alias and time.
func (w *world) periodsOf(alias string) map[string][]string {
	w.t.Helper()
	found := map[string][]string{}
	note := func(physical string, documents map[string]json.RawMessage) {
		name := strings.TrimPrefix(physical, alias+"-")
		period := name[:max(0, len(name)-len("-20261129-091610-807"))]
		found[period] = append(found[period], slices.Sorted(maps.Keys(documents))...) // twice where two indexes have it
	}
	for physical, documents := range w.everything(alias) {
		note(physical, documents)
	}
	for physical := range w.aliasOf(alias) { // those without documents, too
		note(physical, nil)
	}
	return found
}

func (w *world) wantPeriods(want map[string]string) {
	w.t.Helper()
	now := time.Now().UTC().Format("2006.01")
	if _, ok := want[now]; !ok {
		want[now] = ""
	}
	got := map[string]string{}
	w.within(time.Minute, fmt.Sprint("the periods are ", want), func() bool {
		clear(got)
		for period, ids := range w.periodsOf(w.name) {
			got[period] = strings.Join(ids, " ")
		}
		if maps.Equal(got, want) {
			return true
		}
		w.log.Write([]byte(fmt.Sprint("periods are ", got, "\n")))
		return false
	})
}

// TestPartition loads a table into an index for each month, follows it, and changes the
// definition in all ways, with kills.
func TestPartition(t *testing.T) {
	w := newWorld(t)
	month := func(ago int) (day, name string) {
		now := time.Now().UTC()
		first := time.Date(now.Year(), now.Month()-time.Month(ago), 15, 12, 0, 0, 0, time.UTC)
		return first.Format(time.DateOnly), first.Format("2006.01")
	}
	_, p0 := month(0)
	d1, p1 := month(1)
	d2, p2 := month(2)
	d9, p9 := month(9)
	w.exec("CREATE TABLE seen (id int PRIMARY KEY, word text, at timestamptz)",
		fmt.Sprintf("INSERT INTO seen VALUES (1, 'a', '%s'), (2, 'b', '%s'), (3, '3', now()), (4, 'd', NULL), (9, 'old', '%s')", d1, d2, d9))
	define := func(partition, fields string) {
		t.Helper()
		w.config("  NAME:\n    table: seen\n    mode: append\n    " + partition + "\n    fields: {at: {}, " + fields + "}\n")
	}
	const monthly = "partition: {by: at, every: month, keep: 3}"
	define(monthly, "word: {type: keyword}")
	w.start()
	w.settle()
	w.wantPeriods(map[string]string{"": "4", p2: "2", p1: "1", p0: "3"})

	// Changes: a row that moves, with and without its old image in the log.
	w.exec(fmt.Sprintf("UPDATE seen SET at = '%s' WHERE id = 2", d1), "ALTER TABLE seen REPLICA IDENTITY FULL",
		fmt.Sprintf("UPDATE seen SET at = '%s' WHERE id = 4", d2), fmt.Sprintf("INSERT INTO seen VALUES (5, 'x', '%s'), (6, 'y', '%s')", d9, d2))
	w.exec("DELETE FROM seen WHERE id IN (1, 3, 6)")
	w.settle()
	w.wantPeriods(map[string]string{"": "", p2: "4 6", p1: "1 2", p0: "3"})

	// More is kept: what is in the table still comes.
	w.stop()
	define("partition: {by: at, every: month}", "word: {type: keyword}, again: word")
	w.start()
	w.settle()
	w.wantPeriods(map[string]string{"": "", p9: "5 9", p2: "4 6", p1: "1 2", p0: "3"})

	// And goes again.
	w.kill()
	define(monthly, "word: {type: keyword}")
	w.start()
	w.settle()
	w.wantPeriods(map[string]string{"": "", p2: "4 6", p1: "1 2", p0: "3"})

	// Another type: all is filled anew.
	for range 2 {
		w.kill()
		define(monthly, "word: {type: text}")
		begun := w.log.count("copying documents of rows that are gone")
		w.start()
		w.eventually("documents are being copied, or were", func() bool {
			return w.log.count("copying documents of rows that are gone") > begun || w.ready()
		})
	}
	w.settle()
	w.wantPeriods(map[string]string{"": "", p2: "4 6", p1: "1 2", p0: "3"})

	// It is no more partitioned, and is again, by years, then by months.
	w.stop()
	define("", "word: {type: text}")
	w.start()
	w.settle()
	_, alone := "", w.periodsOf(w.name)
	if got := strings.Join(alone[""], " "); len(alone) != 1 || got != "1 2 3 4 5 6 9" {
		t.Errorf("without partition: %v", alone)
	}
	w.stop()
	define(monthly, "word: {type: text}")
	w.start()
	w.settle()
	w.wantPeriods(map[string]string{"": "", p2: "4 6", p1: "1 2", p0: "3"})

	// By hand: a period goes, and the rows that are there come back.
	for physical := range w.aliasOf(w.name) {
		if strings.Contains(physical, p1) {
			w.ask("DELETE", "/"+physical, "")
		}
	}
	w.eventually("it is seen", func() bool { return w.log.contains("with the documents of its period") })
	w.settle()
	w.wantPeriods(map[string]string{"": "", p2: "4 6", p1: "2", p0: "3"})

	// The checkpoint is lost. It knows which indexes were replaced: as long as these are there, their documents are
	// taken in again.
	w.eventually("what was replaced is dropped", func() bool { return len(w.aliasOf(w.name+"-*")) == len(w.aliasOf(w.name)) })
	w.stop()
	w.request("DELETE", w.search.URL+"/haystream-checkpoints/_doc/"+w.name, "")
	w.start()
	w.settle()
	w.wantPeriods(map[string]string{"": "", p2: "4 6", p1: "2", p0: "3"})
	index := w.firstIndex()
	if periods, _ := index["periods"].([]any); len(periods) != 3 || index["documents_expired"] == 0.0 {
		t.Errorf("/status: %v", index)
	}
}

// aliasOf are the physical indexes behind an alias.
func (w *world) aliasOf(alias string) (out map[string]any) {
	_, body := w.get(w.search.URL + "/" + alias + "/_alias")
	_ = json.Unmarshal(body, &out)
	return out
}

// TestPartitionIntoFile: lines name the index of their period.
func TestPartitionIntoFile(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE seen (id int PRIMARY KEY, at date)", "INSERT INTO seen VALUES (1, '2024-02-29'), (2, NULL), (3, '1969-12-31')")
	w.config("  NAME: {table: seen, mode: append, partition: {by: at, every: week}, fields: {at: {}}}\n")
	path := filepath.Join(w.dir, "out.ndjson")
	text, err := os.ReadFile(w.path())
	if err != nil {
		t.Fatal(err)
	}
	sink := fmt.Sprintf("elasticsearch:\n    addresses: [%s]\n    flavor: %s", w.search.URL, w.search.Kind)
	if err := os.WriteFile(w.path(), []byte(strings.Replace(string(text), sink, fmt.Sprintf("ndjson: {path: %q}", path), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.settle()
	w.stop()
	out, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"1": w.name + "-2024.w09-", "2": w.name + "-2", "3": w.name + "-1970.w01-"} {
		if !strings.Contains(string(out), `"_index":"`+want) || !strings.Contains(string(out), `"_id":"`+id+`"`) {
			t.Errorf("document %s is not in %s…: %s", id, want, out)
		}
	}
}

// TestRepeatInLaterPeriod: an event whose id is the client's is in the index once, in the period of its last push,
// however often and whenever it is pushed again without its time. One that has its time stays where that says.
func TestRepeatInLaterPeriod(t *testing.T) {
	w := newWorld(t)
	w.config("  NAME:\n    events: {}\n    fields: {n: {type: long}}\n    partition: {by: created, every: month, keep: 6}\n")
	w.start()
	now := time.Now().UTC()
	month := func(ago int) (day, name string) {
		first := time.Date(now.Year(), now.Month()-time.Month(ago), 15, 12, 0, 0, 0, time.UTC)
		return first.Format(time.RFC3339), first.Format("2006.01")
	}
	d1, p1 := month(1)
	d2, p2 := month(2)
	_, p0 := month(0)
	push := func(key, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.eventsURL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Idempotency-Key", key)
		request.Header.Set("Content-Type", "application/json")
		w.eventually("it is taken", func() bool {
			request.Body, _ = request.GetBody()
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			return answer.StatusCode == http.StatusAccepted
		})
	}
	push("", fmt.Sprintf(`[{"id": "a", "created": %q, "n": 1}, {"id": "b", "created": %[1]q, "n": 1}, {"id": "k", "created": %q, "n": 1}, {"id": "c", "created": %[2]q, "n": 1}]`, d1, d2))
	w.wantPeriods(map[string]string{"": "", p1: "a b", p2: "c k"})
	push("", `{"id": "a", "n": 2}`)
	push("k", `{"n": 2}`)
	push("", fmt.Sprintf(`{"id": "c", "created": %q, "n": 2}`, d2))
	w.wantPeriods(map[string]string{"": "", p0: "a k", p1: "b", p2: "c"})
	w.kill() // by what is in the sink, it knows of the periods
	w.start()
	push("", `[{"id": "b", "n": 2}, {"id": "a", "n": 2}, {"id": "b", "n": 2}]`)
	w.wantPeriods(map[string]string{"": "", p0: "a b k", p1: "", p2: "c"})
	for id, document := range w.documents() {
		var event struct{ N int }
		if err := json.Unmarshal(document, &event); err != nil || event.N != 2 {
			t.Errorf("%s has not its last content: %s", id, document)
		}
	}
}
