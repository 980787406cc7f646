package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"haystream/internal/servers"
)

// A faultCase is a point of package fault where the daemon is killed.
type faultCase struct {
	point   string
	times   int                 // that it passes the point before; 0: none
	prepare func(*faultedWorld) // while the daemon is down
	during  func(*faultedWorld) // once, while it runs
	compare bool                // afterwards
}

// faultCases are made one after the other, in the order of each kind of database. The daemon is
// not looked at in between, so that a build or load that was killed goes on under the next one.
var faultCases = map[string][]faultCase{
	servers.Postgres: {
		{point: "checkpoint to be saved", times: 1},
		{point: "build planned", times: 1, compare: true},
		{point: "index created", prepare: (*faultedWorld).redefine},
		{point: "chunk read", times: 1},
		{point: "chunk merged", times: 1},
		{point: "chunk delivered"},
		{point: "retired"},
		{point: "alias to be swapped", compare: true},
		{point: "page copied", prepare: (*faultedWorld).redefine},
		{point: "documents copied"},
		{point: "alias swapped", compare: true},
		{point: "events written", times: 5},
		{point: "events synced", times: 5},
		{point: "events to be removed", during: (*faultedWorld).pushMuch},
		{point: "index to be dropped", during: (*faultedWorld).truncate, compare: true},
	},
	servers.MySQL: {
		{point: "read", times: 20},
		{point: "rows loaded", times: 1},
		{point: "chunk stored"}, // of the one table at least that is still being loaded
		{point: "stretch to be rendered"},
		{point: "stretch held", compare: true},
		{point: "applied", times: 5},
		{point: "rendered", times: 5},
		{point: "bulk under way", times: 5},
		{point: "bulk answered", times: 5},
		{point: "checkpoint saved", times: 6},
		{point: "to be acknowledged", times: 3, compare: true},
		{point: "suspected", prepare: (*faultedWorld).loadSlowly},
		{point: "suspects read"},
		{point: "suspects cleared", compare: true},
	},
}

// A faultedWorld has flat, joined and appended documents, and events.
type faultedWorld struct {
	*world
	variant  int // of the definitions
	ticks    int
	followed bool            // it has been ready once
	pressed  int             // rows that were in the table that is appended, each for a moment at least
	pushed   map[string]bool // events with an id of their own, which are repeated until they are answered
	nameless
}

// nameless are events that get an id: those not answered may be there or not.
type nameless struct{ answered, asked int }

var faultTables = []string{
	"CREATE TABLE press (id int PRIMARY KEY, name varchar(50))",
	"CREATE TABLE label (id int PRIMARY KEY, post_id int, name varchar(50))",
	"INSERT INTO label VALUES (1, 1, 'one'), (2, 1, 'two'), (3, 2, 'three')",
}

// TestFaults kills the daemon at every point, under writes, and starts it again: rows and
// documents are equal, what is appended stays, and each event is there once.
func TestFaults(t *testing.T) {
	everyPointHasACase(t)
	for _, server := range []*servers.Shared{&postgres, mysqls[0]} {
		t.Run(server.Spec.Kind, func(t *testing.T) {
			t.Parallel()
			w := &faultedWorld{world: worldOn(t, server.Get(t), search.Get(t)), pushed: map[string]bool{}}
			w.exec(w.dialect.hotTable, w.dialect.rows(1, 300), w.dialect.analyze)
			w.exec(faultTables...)
			w.authors()
			if server.Spec.Kind == servers.MySQL { // a sweep finds it, and the source has it so
				w.exec("SET foreign_key_checks = 0", "INSERT INTO post VALUES (99999, 99999, 'dangling')", "SET foreign_key_checks = 1")
			}
			w.chunk = 50
			for _, c := range faultCases[server.Spec.Kind] {
				w.suffer(c)
			}
		})
	}
}

// everyPointHasACase looks for the points in the source.
func everyPointHasACase(t *testing.T) {
	t.Helper()
	point := regexp.MustCompile(`fault\.Point\("([^"]+)"\)`)
	found := map[string]bool{}
	source := os.DirFS("../..")
	err := fs.WalkDir(source, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(source, path)
		for _, match := range point.FindAllSubmatch(text, -1) {
			found[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, cases := range faultCases {
		for _, c := range cases {
			if made[c.point] = true; !found[c.point] {
				t.Errorf("there is no point %q", c.point)
			}
		}
	}
	for point := range found {
		if !made[point] {
			t.Errorf("the point %q has no case", point)
		}
	}
}

// suffer makes one case.
func (w *faultedWorld) suffer(c faultCase) {
	w.t.Helper()
	began := time.Now()
	if c.prepare != nil {
		c.prepare(w)
	}
	w.define()
	fault := fmt.Sprintf("%s:%d", c.point, c.times+1)
	from := w.log.len()
	w.startWith("HAYSTREAM_FAULT=" + fault)
	ended := make(chan error, 1)
	daemon := w.daemon
	go func() { ended <- daemon.Wait() }()
	w.daemon = nil // it is waited for here
	during := c.during
	pace := time.NewTicker(40 * time.Millisecond) // a daemon that is far behind reads no table
	defer pace.Stop()
	for alive, deadline := true, time.After(3*time.Minute); alive; {
		select {
		case <-ended:
			alive = false
		case <-deadline:
			_ = daemon.Process.Kill()
			<-ended
			w.t.Fatalf("the point %q was not reached", c.point)
		case <-pace.C:
			w.tick()
			if during != nil && w.ready() {
				during(w)
				during = nil
			}
		}
	}
	if status, _ := daemon.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL || !strings.Contains(w.log.from(from), "fault: "+c.point+"\n") {
		w.t.Fatalf("the daemon did not die at %q: %v", c.point, daemon.ProcessState)
	}
	w.tick()
	w.t.Logf("%s: dead after %s", fault, time.Since(began).Round(time.Millisecond))
	if c.compare {
		w.compareAll()
		w.t.Logf("%s: compared after %s", fault, time.Since(began).Round(time.Millisecond))
	}
}

// compareAll starts the daemon, and compares what it has come to.
func (w *faultedWorld) compareAll() {
	w.t.Helper()
	w.rate = 0
	w.define()
	w.start()
	w.tick()
	w.eventually("the daemon is ready", w.ready)
	w.followed = true
	w.audit() // and stops it
	w.compareAppended()
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func (w *faultedWorld) define() {
	w.t.Helper()
	more, kind := "", "keyword"
	if w.variant%2 == 1 {
		more, kind = ", again: %s", "text"
	}
	again := func(of string) string { return strings.Replace(more, "%s", of, 1) }
	w.config(`
  NAME:
    table: hot
    fields: {id: {}, counter: {}, name: {type: text}` + again("counter") + `}
  posts:
    index: NAME-posts
    table: post
    fields: {title: {}, author: author.name, city: author.city.name, labels: labels.name` + again("author.email") + `}
  presses:
    index: NAME-presses
    table: press
    mode: append
    fields: {id: {}, name: {type: ` + kind + `}}
  pushes:
    index: NAME-pushes
    events: {}
    fields: {n: {type: long}, own: {type: boolean}}
tables:
  post:
    relations:
      labels: {table: label, column: post_id, many: true, order_by: [id]}
limits: {max_event_queue: 64MiB}
`)
}

// redefine has all indexes built anew.
func (w *faultedWorld) redefine() { w.variant++ }

// loseStore has all stored rows loaded again.
func (w *faultedWorld) loseStore() {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, "state", w.name, "rows")); err != nil {
		w.t.Fatal(err)
	}
}

// loadSlowly does the same, so that foreign keys act meanwhile.
func (w *faultedWorld) loadSlowly() {
	w.loseStore()
	w.rate = 300
}

func (w *faultedWorld) truncate() { w.exec("TRUNCATE TABLE label") }

// tick is some writes. Each that fails, but for an event, fails the test.
func (w *faultedWorld) tick() {
	w.t.Helper()
	w.ticks++
	n := w.ticks
	author, city := 1+n*7%authorCount, 1+n%5
	statements := []string{
		fmt.Sprintf("UPDATE hot SET counter = counter + 1 WHERE id = %d", 1+n%300),
		fmt.Sprintf("UPDATE author SET name = 'author %d', city_id = %d WHERE id = %d", n, city, author),
		fmt.Sprintf("DELETE FROM label WHERE id = %d", 10+n%50), fmt.Sprintf("INSERT INTO label VALUES (%d, %d, 'label %d')", 10+n%50, 1+n%100, n),
	}
	if w.followed {
		w.pressed++
		statements = append(statements, fmt.Sprintf("INSERT INTO press VALUES (%d, 'press %[1]d')", w.pressed), fmt.Sprintf("DELETE FROM press WHERE id = %d", w.pressed-2))
	}
	if n%3 == 0 {
		statements = append(statements, fmt.Sprintf("DELETE FROM author WHERE id = %d", author),
			fmt.Sprintf("INSERT INTO author VALUES (%d, 'again', %d, 'at %d')", author, city, n), fmt.Sprintf("INSERT INTO post VALUES (%d, %d, 'post %[1]d')", 100_000+n, author))
	}
	if n%5 == 0 {
		statements = append(statements, fmt.Sprintf("DELETE FROM city WHERE id = %d", city), fmt.Sprintf("INSERT INTO city VALUES (%d, 'city %d')", city, n))
	}
	w.exec(statements...)
	w.push("")
}

// push pushes what was not answered yet, and two events more: one with an id of its own.
func (w *faultedWorld) push(ballast string) {
	w.pushed[fmt.Sprint("own-", len(w.pushed))] = false
	for id, answered := range w.pushed {
		if !answered && w.postEvent(fmt.Sprintf(`{"id":%q,"own":true,"ballast":%q}`, id, ballast)) {
			w.pushed[id] = true
		}
	}
	w.asked++
	if w.postEvent(fmt.Sprintf(`{"n":%d,"own":false,"ballast":%q}`, w.asked, ballast)) {
		w.answered++
	}
}

// pushMuch pushes more than a file of the queue takes.
func (w *faultedWorld) pushMuch() {
	for range 25 {
		w.push(strings.Repeat("x", 100<<10))
	}
}

// postEvent reports whether the event was taken.
func (w *faultedWorld) postEvent(body string) bool {
	resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/events/pushes", w.port), "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusAccepted
}

// compareAppended compares what is in no table.
func (w *faultedWorld) compareAppended() {
	w.t.Helper()
	if have := len(w.documentsOf(w.name + "-presses")); have != w.pressed {
		w.t.Errorf("%d rows have come, %d have a document", w.pressed, have)
	}
	times := map[int]int{}
	own := 0
	for _, document := range w.documentsOf(w.name + "-pushes") {
		var event struct {
			N   int
			Own bool
		}
		if err := json.Unmarshal(document, &event); err != nil {
			w.t.Fatal(err)
		}
		if event.Own {
			own++
		} else if times[event.N]++; times[event.N] > 1 {
			w.t.Errorf("event %d is there %d times", event.N, times[event.N])
		}
	}
	if answered := w.countAnswered(); own < answered || own > len(w.pushed) {
		w.t.Errorf("%d of %d events with an id were answered, %d are there", answered, len(w.pushed), own)
	}
	if len(times) < w.answered || len(times) > w.asked {
		w.t.Errorf("%d of %d events without an id were answered, %d are there", w.answered, w.asked, len(times))
	}
}

func (w *faultedWorld) countAnswered() (n int) {
	for _, answered := range w.pushed {
		if answered {
			n++
		}
	}
	return n
}
