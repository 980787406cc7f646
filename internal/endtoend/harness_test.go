// Package endtoend runs the binary against real servers and breaks things.
package endtoend

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"haystream/internal/servers"
)

var (
	postgres = servers.Shared{Spec: servers.Spec{Kind: servers.Postgres, Version: "15", Args: []string{
		"-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track=all",
		"-c", "max_replication_slots=100", "-c", "max_wal_senders=100", // each test has its own, for as long as the server runs
	}}}
	mysqls     = newShared(servers.MySQL, servers.MySQLVersions())
	marias     = newShared(servers.MariaDB, servers.MariaDBVersions())
	search     = servers.Shared{Spec: servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"}}
	openSearch = servers.Shared{Spec: servers.Spec{Kind: servers.OpenSearch, Version: "2.19"}}
	binary     string
)

func newShared(kind string, versions []string) []*servers.Shared {
	var all []*servers.Shared
	for _, version := range versions {
		all = append(all, &servers.Shared{Spec: servers.Spec{Kind: kind, Version: version, Args: []string{"--default-time-zone=+00:00", "--sql-mode="}}})
	}
	return all
}

// eachDatabase runs a scenario on a world of each kind of database, on several at once: most of the time they wait.
func eachDatabase(t *testing.T, scenario func(*testing.T, *world)) {
	forDatabases(t, func(t *testing.T, server *servers.Shared) {
		t.Parallel()
		scenario(t, worldOn(t, server.Get(t), search.Get(t)))
	})
}

func databases() []*servers.Shared {
	return append(append([]*servers.Shared{&postgres}, mysqls...), marias...)
}

func forDatabases(t *testing.T, run func(*testing.T, *servers.Shared)) {
	for _, server := range databases() {
		t.Run(server.Spec.Kind+server.Spec.Version, func(t *testing.T) { run(t, server) })
	}
}

func TestMain(m *testing.M) {
	code := 1
	if dir, err := os.MkdirTemp("", "haystream-endtoend-"); err == nil {
		binary = filepath.Join(dir, "haystream")
		build := exec.Command("go", "build", "-o", binary, "haystream")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
		build.Stderr = os.Stderr
		if err := build.Run(); err == nil {
			code = m.Run()
		}
		_ = os.RemoveAll(dir)
	}
	for _, server := range append(append(mysqls, marias...), &postgres, &search, &openSearch) {
		server.Stop()
	}
	os.Exit(code)
}

// A world is one test's database, its indexes and a daemon.
type world struct {
	t       testing.TB
	ctx     context.Context // lasts until the test's cleanup is over
	name    string          // of database, pipeline and slot
	server  *servers.Server
	search  *servers.Server
	dialect dialect
	db      *sql.DB
	url     string // of the database
	dir     string
	sink    string // address that the daemon reaches the sink at, where that is another one
	binary  string // of another release, where it runs
	refuses bool   // documents that are dead letters at the end are meant to be
	chunk   int    // rows, where not 0
	rate    int    // rows a second, where not 0
	port    int
	daemon  *exec.Cmd
	log     *logBuffer
}

// newWorld makes a database of its own on the shared servers.
func newWorld(t *testing.T) *world {
	return worldOn(t, postgres.Get(t), search.Get(t))
}

func worldOn(t *testing.T, server, es *servers.Server) *world {
	t.Helper()
	return worldNamed(t, strings.ToLower(strings.NewReplacer("/", "_", "-", "_", ".", "_").Replace(t.Name())), server, es)
}

// worldNamed is for tests of several worlds.
func worldNamed(t *testing.T, name string, server, es *servers.Server) *world {
	t.Helper()
	w := &world{t: t, ctx: context.WithoutCancel(t.Context()), name: name, server: server, search: es, dialect: dialectOf(server.Kind), dir: t.TempDir(), port: freePort(t), log: &logBuffer{}}
	first, _ := w.dialect.open(t, server.URL, "")
	if _, err := first.ExecContext(t.Context(), "CREATE DATABASE "+name+w.dialect.charset); err != nil {
		t.Fatal(err)
	}
	w.db, w.url = w.dialect.open(t, server.URL, name)
	t.Cleanup(func() {
		w.audit()
		w.stop()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", w.log.tail(8000))
		}
		w.dropIndexes()
	})
	return w
}

// dropIndexes deletes the indexes that daemons of this world have made: a server has room for some hundred.
func (w *world) dropIndexes() {
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	var all map[string]struct {
		Mappings struct {
			Meta struct {
				Haystream struct{ Owner string }
			} `json:"_meta"`
		}
	}
	_, body := w.get(w.search.URL + "/" + w.name + "*?expand_wildcards=all&filter_path=*.mappings._meta.haystream.owner")
	_ = json.Unmarshal(body, &all) // the server may be gone
	for name, index := range all {
		if index.Mappings.Meta.Haystream.Owner == w.name {
			w.request(http.MethodDelete, w.search.URL+"/"+name, "")
		}
	}
}

// exec runs statements one after the other on one connection.
func (w *world) exec(statements ...string) {
	w.t.Helper()
	conn, err := w.db.Conn(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range statements {
		if _, err := conn.ExecContext(w.ctx, statement); err != nil {
			w.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// loseLog takes away what a daemon that is down would need, once the server has seen that it is.
func (w *world) loseLog() {
	w.t.Helper()
	if w.server.Kind == servers.Postgres {
		w.eventually("the slot is free", func() bool {
			var active bool
			err := w.db.QueryRowContext(w.ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE active AND database = current_database())").Scan(&active)
			return err == nil && !active
		})
	}
	w.exec(w.dialect.loseLog...)
}

// config writes the daemon's config: indexes is the YAML below `indexes:`.
// Index names may say NAME for the test's own prefix.
func (w *world) config(indexes string) {
	w.t.Helper()
	snapshot := ""
	if w.chunk > 0 {
		snapshot = fmt.Sprintf(", snapshot: {chunk_rows: %d, max_rows_per_second: %d}", w.chunk, w.rate)
	}
	text := fmt.Sprintf("name: %s\nsource: {url: %q%s}\nsink:\n  elasticsearch:\n    addresses: [%s]\n    flavor: %s\nhttp: {listen: 127.0.0.1:%d}\nlog: {format: json, level: debug}\nstate: {path: %q}\nindexes:\n%s",
		w.name, w.url, snapshot, cmp.Or(w.sink, w.search.URL), w.search.Kind, w.port, filepath.Join(w.dir, "state"), indexes)
	whole := w.path() + ".new" // a daemon that is starting reads the one or the other
	if err := os.WriteFile(whole, []byte(strings.ReplaceAll(text, "NAME", w.name)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(whole, w.path()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path() string { return filepath.Join(w.dir, "config.yaml") }

// start runs the daemon. What it logs is kept over all starts.
func (w *world) start() {
	w.t.Helper()
	w.startWith()
}

// startWith runs the daemon with more in its environment.
func (w *world) startWith(environment ...string) {
	w.t.Helper()
	w.daemon = w.command("run")
	w.daemon.Env = append(os.Environ(), environment...)
	if err := w.daemon.Start(); err != nil {
		w.t.Fatal(err)
	}
}

// dieAt starts a daemon, and waits until it is killed at a fault point.
func (w *world) dieAt(point string) {
	w.t.Helper()
	from := w.log.len()
	w.startWith("HAYSTREAM_FAULT=" + point)
	process := w.daemon.Process
	late := time.AfterFunc(2*time.Minute, func() { _ = process.Kill() }) // it never comes there
	_ = w.daemon.Wait()
	late.Stop()
	w.daemon = nil
	if !strings.Contains(w.log.from(from), "fault: "+point+"\n") {
		w.t.Fatalf("the daemon did not die at %q", point)
	}
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(cmp.Or(w.binary, binary), append(args, "-c", w.path())...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, w.log, w.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// kill ends the daemon as a power cut would.
func (w *world) kill() {
	_ = w.daemon.Process.Kill()
	_ = w.daemon.Wait()
	w.daemon = nil
}

// stop asks the daemon to end and returns its exit code.
func (w *world) stop() int {
	if w.daemon == nil {
		return -1
	}
	_ = w.daemon.Process.Signal(syscall.SIGTERM)
	_ = w.daemon.Wait()
	code := w.daemon.ProcessState.ExitCode()
	w.daemon = nil
	return code
}

// eventually waits until the condition holds.
func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	w.within(2*time.Minute, what, condition)
}

func (w *world) within(limit time.Duration, what string, condition func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			w.t.Fatalf("still not so after %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// status is the daemon's /status; nil while it does not answer.
func (w *world) status() map[string]any {
	code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/status", w.port))
	var out map[string]any
	if code != http.StatusOK || json.Unmarshal(body, &out) != nil {
		return nil
	}
	return out
}

// events is the status of events.
func (w *world) events() map[string]any {
	out, _ := w.status()["events"].(map[string]any)
	return out
}

func (w *world) readyURL() string { return fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port) }

// ready reports whether /readyz answers 200.
func (w *world) ready() bool {
	code, _ := w.get(w.readyURL())
	return code == http.StatusOK
}

// settle waits until everything committed so far is in the sink.
func (w *world) settle() {
	w.t.Helper()
	end := w.logEnd()
	w.eventually("the daemon has passed "+end, func() bool { return w.passed(end) })
	w.eventually("the daemon is ready, of the log that there is now; what is marked was delivered, and no index is built beside", func() bool {
		if !w.passed(end) || !w.ready() { // before its status: that of a session which has ended does not show what the next one builds
			return false
		}
		status := w.status()
		indexes, _ := status["indexes"].([]any)
		for _, index := range indexes {
			if fields, ok := index.(map[string]any); !ok || fields["building"] != nil {
				return false
			}
		}
		store, joined := status["row_store"].(map[string]any)
		return len(indexes) > 0 && (!joined || store["documents_pending"] == 0.0 && store["stored_twice"] == false)
	})
}

// get answers 0 where nobody listens.
func (w *world) get(url string) (int, []byte) { return w.request(http.MethodGet, url, "") }

func (w *world) request(method, url, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(w.ctx, method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, data
}

// document returns a document's source by id; nil where there is none.
func (w *world) document(id string) map[string]any {
	code, body := w.get(w.search.URL + "/" + w.name + "/_doc/" + id)
	var out struct {
		Source map[string]any `json:"_source"`
	}
	if code != http.StatusOK || json.Unmarshal(body, &out) != nil {
		return nil
	}
	return out.Source
}

func (w *world) documents() map[string]json.RawMessage { return w.documentsOf(w.name) }

// documentsOf returns every document of an index by id, numbers as they were written.
func (w *world) documentsOf(index string) map[string]json.RawMessage {
	w.t.Helper()
	return maps.Collect(w.eachDocument(index))
}

// eachDocument goes over them without holding them all.
func (w *world) eachDocument(index string) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		w.t.Helper()
		for hit := range w.eachHit(index) {
			if !yield(hit.ID, hit.Source) {
				return
			}
		}
	}
}

// A hit is a document as a search finds it.
type hit struct {
	Index   string          `json:"_index"`
	ID      string          `json:"_id"`
	Routing string          `json:"_routing"`
	Source  json.RawMessage `json:"_source"`
}

// eachHit does the same, with where the documents are.
func (w *world) eachHit(index string) iter.Seq[hit] {
	return func(yield func(hit) bool) {
		w.t.Helper()
		url := w.search.URL + "/" + index
		w.eventually(index+" is refreshed", func() bool { // a server short of memory refuses it
			code, _ := w.request(http.MethodPost, url+"/_refresh", "")
			return code == http.StatusOK
		})
		url, body := url+"/_search?scroll=1m", `{"size":5000,"sort":["_doc"]}`
		for {
			code, data := w.request(http.MethodPost, url, body)
			var page struct {
				Scroll string `json:"_scroll_id"`
				Hits   struct {
					Hits []hit `json:"hits"`
				} `json:"hits"`
			}
			if code != http.StatusOK {
				w.t.Fatalf("search: %d %s", code, data)
			}
			if err := json.Unmarshal(data, &page); err != nil {
				w.t.Fatal(err)
			}
			url, body = w.search.URL+"/_search/scroll", `{"scroll":"1m","scroll_id":"`+page.Scroll+`"}`
			for _, hit := range page.Hits.Hits {
				if !yield(hit) {
					page.Hits.Hits = nil
					break
				}
			}
			if len(page.Hits.Hits) == 0 {
				w.request(http.MethodDelete, w.search.URL+"/_search/scroll", `{"scroll_id":"`+page.Scroll+`"}`)
				return
			}
		}
	}
}

// physical is the index that the alias points to.
func (w *world) physical() string { return w.physicalOf(w.name) }

func (w *world) physicalOf(alias string) string {
	_, body := w.get(w.search.URL + "/" + alias + "/_alias")
	var out map[string]any
	_ = json.Unmarshal(body, &out)
	for name := range out {
		return name
	}
	return ""
}

// logBuffer keeps what the daemons print.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) contains(s string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Contains(b.text.Bytes(), []byte(s))
}

// count is how often it says something.
func (b *logBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.text.Bytes(), []byte(s))
}

func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.text.String()
	return s[max(0, len(s)-n):]
}

func (b *logBuffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Len()
}

// from is what was logged after the first n bytes.
func (b *logBuffer) from(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text.Bytes()[n:])
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
