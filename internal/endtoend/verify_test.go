package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/servers"
)

// ownedItems have documents of one table, and of two.
const ownedItems = `
  NAME:
    table: item
    fields: "*"
    routing: owner_id
    settings: {number_of_replicas: 0}
  NAME-joined:
    table: item
    fields: {counter: {}, id: {}, owner: owner.name}
    settings: {number_of_replicas: 0}
tables:
  item:
    relations:
      owner: {table: owner, column: owner_id}
`

// A found is what verify --json prints of an index.
type found struct {
	Index     string
	State     string
	Reason    string
	Documents counts
	Stored    map[string]counts `json:"stored_tables"`
	Unsettled int
	Refused   int
	Notes     []string
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
		const rows = 1500
		w.items(rows)
		w.config(ownedItems)
		w.start()
		w.settle()
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { w.raise(ctx, rows) })
		all.Go(func() { w.rename(ctx) })
		for range 3 {
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
	pace := time.NewTicker(time.Second)
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
		w.config(ownedItems)
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
			if ok {
				t.Errorf("verify %s is content with what it has found", repair)
			}
		}
		if reports, ok := w.verify(); !ok {
			t.Errorf("after repair: %+v", reports)
		}
	})
}

// TestVerifyAgainstSource changes rows without a word in the log: documents of one table, and stored rows,
// are not as the source has them then.
func TestVerifyAgainstSource(t *testing.T) {
	for _, server := range append(mysqls, marias...) {
		t.Run(server.Spec.Kind+server.Spec.Version, func(t *testing.T) {
			w := worldOn(t, server.Get(t), search.Get(t))
			w.items(1500)
			w.config(ownedItems)
			w.start()
			w.settle()
			w.exec("SET sql_log_bin = 0", "UPDATE item SET counter = 500 WHERE id = 21", "INSERT INTO item VALUES (5000, 1, 5)",
				"DELETE FROM item WHERE id = 22", "UPDATE owner SET name = 'z' WHERE id = 3", "SET sql_log_bin = 1")
			want := map[string][]string{
				w.name:             {"different 21 counter", "extra 22", "missing 5000"},
				w.name + "-joined": {"stored different 21 counter", "stored different 3 name", "stored extra 22", "stored missing 5000"},
			}
			for _, repair := range []bool{false, true} {
				reports, ok := w.verify(map[bool]string{false: "--rate=100000", true: "--repair"}[repair])
				for index, planted := range want {
					f := reports[index]
					if got := f.differences(); !slices.Equal(got, planted) {
						t.Errorf("verify of %s, repair %v, finds %q, planted are %q", index, repair, got, planted)
					}
				}
				if ok {
					t.Errorf("verify, repair %v, is content with what it has found: %+v", repair, reports)
				}
			}
			if reports, ok := w.verify(); !ok {
				t.Errorf("after repair: %+v", reports)
			}
		})
	}
}

// TestVerifyGoesOn ends the daemon in the middle of comparisons: the next one goes on, keeps what was found, and takes
// nothing for extra that came meanwhile.
func TestVerifyGoesOn(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		const rows = 2000
		w.chunk = 100
		w.items(rows)
		w.config(strings.Replace(ownedItems, "    routing: owner_id\n", "", 1))
		w.start()
		w.settle()
		for i, index := range []string{w.name, w.name + "-joined"} {
			w.plant(index)
			url := fmt.Sprintf("http://127.0.0.1:%d/indexes/%s/verify", w.port, index)
			if code, answer := w.request(http.MethodPost, url+"?rate=250", ""); code != http.StatusAccepted {
				t.Fatalf("verify is answered %d %s", code, answer)
			}
			report := func() (f found) {
				_, body := w.get(url)
				_ = json.Unmarshal(body, &f)
				return f
			}
			w.eventually("what was planted is found", func() bool { f := report(); return f.Documents.Compared >= 400 && len(f.List) == 3 })
			w.must("pause")
			w.must("resume")
			at := report().Documents.Compared
			w.eventually("more is compared", func() bool { return report().Documents.Compared > at })
			early := -1 - 2*i
			w.exec(fmt.Sprintf("INSERT INTO item VALUES (%d, 1, 0)", early))
			w.eventually("the early row is delivered", func() bool { return w.documentsOf(index)[fmt.Sprint(early)] != nil })
			if i == 0 {
				w.kill()
			} else {
				w.stop()
			}
			routing, source := w.sourceOf(w.physicalOf(index), "12")
			source["counter"] = 0
			w.putDocument(w.physicalOf(index), "12", routing, source)
			w.exec(fmt.Sprintf("INSERT INTO item VALUES (%d, 1, 0)", early-1), fmt.Sprintf("DELETE FROM item WHERE id = %d", 20+i))
			w.start()
			w.eventually("it is over", func() bool { return report().State == "done" })
			f := report()
			if want := []string{"different 12 counter", "different 13 nothing," + []string{"owner_id", "owner"}[i], "extra 99999", "missing 11"}; !slices.Equal(f.differences(), want) {
				t.Errorf("verify of %s finds %q, planted are %q", index, f.differences(), want)
			}
			if n := f.Documents.Compared; n < rows || n > rows+20 {
				t.Errorf("%d documents of %s are compared", n, index)
			}
			if n := w.log.count("going on with verifying the index"); n < 2*(i+1) {
				t.Errorf("it went on %d times", n)
			}
			if reports, _ := w.verify(index, "--repair"); reports[index].Documents.Repaired != 3 {
				t.Errorf("repaired are %+v", reports)
			}
		}
		if reports, ok := w.verify("--sample=10%"); !ok || reports[w.name+"-joined"].Documents.Compared > rows/5 || reports[w.name+"-joined"].Documents.Compared < rows/20 {
			t.Errorf("a sample is %+v", reports)
		}
	})
}

// TestVerifyByPage: a page of the list of an index's documents that is not answered is asked for again, and alone; and a daemon that ends
// meanwhile goes on with that page.
func TestVerifyByPage(t *testing.T) {
	es := search.Get(t)
	lists := newPager(t, es.URL)
	w := worldOn(t, postgres.Get(t), es)
	w.sink = lists.URL
	w.items(3500)
	w.config("\n  NAME: {table: item, fields: \"*\"}\n")
	w.start()
	w.settle()
	w.putDocument(w.physical(), "99999", "", map[string]any{"id": 99999})
	at := fmt.Sprintf("http://127.0.0.1:%d/indexes/%s/verify", w.port, w.name)
	if code, answer := w.request(http.MethodPost, at, ""); code != http.StatusAccepted {
		t.Fatalf("verify is answered %d %s", code, answer)
	}
	w.eventually("the third page is asked for", func() bool { return lists.asked(3) > 2 })
	w.stop()
	lists.answers.Store(true)
	w.start()
	var f found
	w.eventually("it is over", func() bool {
		_, body := w.get(at)
		return json.Unmarshal(body, &f) == nil && (f.State == "done" || f.State == "failed")
	})
	if got := f.differences(); f.State != "done" || !slices.Equal(got, []string{"extra 99999"}) {
		t.Errorf("verify has %s and finds %q: %+v", f.State, got, f)
	}
	for n := range 4 {
		if asked, want := lists.asked(n+1), 2; n != 2 && asked != want {
			t.Errorf("page %d was asked for %d times, want %d", n+1, asked, want)
		}
	}
	if reports, _ := w.verify("--repair"); reports[w.name].Documents.Repaired != 1 {
		t.Errorf("repaired are %+v", reports)
	}
}

// A pager stands before a search server, and does not answer each page of a list of documents when it is asked for
// at first, nor the third one until it may.
type pager struct {
	*httptest.Server
	answers atomic.Bool
	mu      sync.Mutex
	pages   []string // their requests, in the order in which they came first
	times   map[string]int
}

func newPager(t *testing.T, to string) *pager {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &pager{times: map[string]int{}}
	on := httputil.NewSingleHostReverseProxy(u)
	on.ErrorLog = log.New(io.Discard, "", 0) // of daemons that end
	p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/_search") {
			on.ServeHTTP(rw, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch n := p.note(string(body)); {
		case err != nil || n == 0:
			on.ServeHTTP(rw, r)
		case n%3 == 1:
			rw.Header().Set("X-Elastic-Product", "Elasticsearch")
			http.Error(rw, "{}", http.StatusTooManyRequests)
		case n%3 == 2:
			panic(http.ErrAbortHandler)
		default:
			rw.Header().Set("X-Elastic-Product", "Elasticsearch")
			http.Error(rw, "{}", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// note notes a search. It is the number of the page, from 1 on, where that is not to be answered; else 0.
func (p *pager) note(body string) int {
	if !strings.Contains(body, `"range":{"_seq_no"`) {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.times[body]++; p.times[body] == 1 {
		p.pages = append(p.pages, body)
	}
	n := slices.Index(p.pages, body) + 1
	if p.times[body] == 1 || n == 3 && !p.answers.Load() {
		return n
	}
	return 0
}

// asked is how often a page was asked for.
func (p *pager) asked(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > len(p.pages) {
		return 0
	}
	return p.times[p.pages[n-1]]
}

// TestVerifyWhatCanBe verifies indexes of which not all can be compared.
func TestVerifyWhatCanBe(t *testing.T) {
	for _, sink := range []*servers.Shared{&search, &openSearch} {
		t.Run(sink.Spec.Kind, func(t *testing.T) { verifyWhatCanBe(t, worldOn(t, postgres.Get(t), sink.Get(t))) })
	}
}

func verifyWhatCanBe(t *testing.T, w *world) {
	const rows = 1000
	w.items(rows)
	w.exec("UPDATE item SET counter = 1000 WHERE id = 31")
	w.put("_ingest", "/pipeline/"+w.name, `{"processors":[]}`)
	w.config(`
  NAME-append: {table: item, mode: append, fields: "*"}
  NAME-piped: {table: item, fields: "*", pipeline: NAME}
  NAME-byte: {table: item, fields: {id: {}, counter: {type: byte}}}
`)
	w.start()
	w.settle()
	w.exec("DELETE FROM item WHERE id = 32")
	w.settle()
	for _, sample := range []string{"--sample=10%", "--sample=100"} {
		reports, ok := w.verify(sample)
		for index, f := range reports {
			refused := 0
			if index == w.name+"-byte" {
				refused = 1
			}
			if n := f.Documents.Compared; sample == "--sample=100" && (n != rows-1 || f.Refused != refused) || n < rows/20 || sample == "--sample=10%" && (n > rows/5 || len(f.Notes) == 0) {
				t.Errorf("%s of %s: %+v", sample, index, f)
			}
		}
		if !ok || len(reports) != 3 {
			t.Errorf("%s: %+v", sample, reports)
		}
	}
	for _, kind := range []string{"append", "piped", "byte"} {
		index := w.physicalOf(w.name + "-" + kind)
		w.put(index, "/_doc/99999", `{"id":99999}`)
		w.put(index, "/_doc/34", `{"id":34,"counter":7}`)
		if code, answer := w.request(http.MethodDelete, w.search.URL+"/"+index+"/_doc/33", ""); code != http.StatusOK {
			t.Fatalf("delete is answered %d %s", code, answer)
		}
	}
	began := time.Now()
	reports, _ := w.verify("--rate=500")
	if took := time.Since(began); took < 3*time.Second { // less than a chunk at a time is not waited for
		t.Errorf("it took %s", took)
	}
	for kind, want := range map[string][]string{"append": {"missing 33"}, "piped": {"extra 99999", "missing 33"}, "byte": {"different 34 counter", "extra 99999", "missing 33"}} {
		f := reports[w.name+"-"+kind]
		if got := f.differences(); !slices.Equal(got, want) {
			t.Errorf("of %s are found %q, planted are %q", kind, got, want)
		}
	}
	reports, _ = w.verify("--repair")
	for kind, want := range map[string]int{"append": 1, "piped": 2, "byte": 3} {
		if n := reports[w.name+"-"+kind].Documents.Repaired; n != want {
			t.Errorf("%d differences of %s are repaired, want %d", n, kind, want)
		}
	}
	w.exec("UPDATE item SET counter = 1 WHERE id = 31 OR id = 34") // is refused no more; is not compared
	w.settle()
}

// plant changes documents by hand: one is missing, one extra, others have other fields.
func (w *world) plant(alias string) {
	w.t.Helper()
	index := w.physicalOf(alias)
	w.put(index, "/_mapping", `{"properties":{"nothing":{"type":"keyword"}}}`)
	routing, _ := w.sourceOf(index, "11")
	if code, answer := w.request(http.MethodDelete, w.search.URL+"/"+index+"/_doc/11?routing="+routing, ""); code != http.StatusOK {
		w.t.Fatalf("delete is answered %d %s", code, answer)
	}
	routing, source := w.sourceOf(index, "12")
	source["counter"] = 77
	w.putDocument(index, "12", routing, source)
	routing, source = w.sourceOf(index, "13")
	source["nothing"] = "x"
	delete(source, "owner")
	delete(source, "owner_id")
	w.putDocument(index, "13", routing, source)
	w.putDocument(index, "99999", routing, map[string]any{"id": 99999})
}

// plantRouting gives a document another routing.
func (w *world) plantRouting() {
	w.t.Helper()
	index := w.physical()
	_, source := w.sourceOf(index, "14")
	w.putDocument(index, "14", "66", source)
}

// sourceOf is a document's routing, which is its id where there is none, and its source.
func (w *world) sourceOf(index, id string) (routing string, source map[string]any) {
	w.t.Helper()
	w.request(http.MethodPost, w.search.URL+"/"+index+"/_refresh", "")
	_, body := w.request(http.MethodPost, w.search.URL+"/"+index+"/_search", fmt.Sprintf(`{"query":{"ids":{"values":[%q]}}}`, id))
	var page struct {
		Hits struct {
			Hits []struct {
				Routing string         `json:"_routing"`
				Source  map[string]any `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(body, &page); err != nil || len(page.Hits.Hits) != 1 {
		w.t.Fatalf("document %s is not there: %s, %v", id, body, err)
	}
	return page.Hits.Hits[0].Routing, page.Hits.Hits[0].Source
}

func (w *world) putDocument(index, id, routing string, source map[string]any) {
	w.t.Helper()
	body, err := json.Marshal(source)
	if err != nil {
		w.t.Fatal(err)
	}
	path := "/_doc/" + id
	if routing != "" {
		path += "?routing=" + routing
	}
	w.put(index, path, string(body))
}

func (w *world) put(index, path, body string) {
	w.t.Helper()
	if code, answer := w.request(http.MethodPut, w.search.URL+"/"+index+path, body); code/100 != 2 {
		w.t.Fatalf("put %s is answered %d %s", path, code, answer)
	}
}
