package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"haystream/internal/servers"
)

// hosts are two worlds with one config and one database, and each a disk of its own.
type hosts struct {
	*testing.T
	events int
	taken  map[int]bool
}

// another is a host beside w.
func (w *world) another(t *testing.T) *world {
	other := *w
	other.dir, other.port, other.log, other.daemon = t.TempDir(), freePort(t), &logBuffer{}, nil
	t.Cleanup(func() {
		other.stop()
		if t.Failed() {
			t.Logf("the other daemon's log:\n%s", other.log.tail(8000))
		}
	})
	return &other
}

// push pushes some events, each to the host that takes it.
func (h *hosts) push(n int, to ...*world) {
	h.Helper()
	for range n {
		h.events++
		body := fmt.Sprintf(`{"n":%d}`, h.events)
		to[0].eventually("an event is taken", func() bool {
			return slices.ContainsFunc(to, func(w *world) bool {
				code, _ := w.request(http.MethodPost, w.eventsURL(), body)
				return code == http.StatusAccepted
			})
		})
		h.taken[h.events] = true
	}
}

func (w *world) eventsURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d/events/%s", w.port, w.name)
}

// delivered waits until each event is in the index, once.
func (h *hosts) delivered(w *world) {
	h.Helper()
	found := map[int]int{}
	w.eventually("all events are in the index", func() bool {
		clear(found)
		for _, source := range w.eachDocument(w.name) {
			var event struct{ N int }
			if err := json.Unmarshal(source, &event); err != nil {
				h.Fatal(err)
			}
			found[event.N]++
		}
		return len(found) >= len(h.taken)
	})
	for n := range h.taken {
		if found[n] != 1 {
			h.Errorf("event %d is in the index %d times", n, found[n])
		}
	}
	if len(found) != len(h.taken) {
		h.Errorf("%d events are in the index, %d were taken", len(found), len(h.taken))
	}
}

// takeover is how long one may take, where servers that share two cores are slow.
const takeover = 5 * time.Minute

// TestEventsOnTwoHosts ends the daemon of one host while events wait in its queue, and starts it again when the
// other one delivers: each gets its turn, and every event that was taken by either is in the index once.
func TestEventsOnTwoHosts(t *testing.T) {
	t.Parallel() // a lease's life is waited for
	es := servers.Test(t, search.Spec)
	first := worldOn(t, servers.Test(t, postgres.Spec), es)
	first.exec(hotTable, hotRows(1, 10))
	first.config(eventsIndexes)
	second := first.another(t)
	second.config(eventsIndexes)
	h := &hosts{T: t, taken: map[int]bool{}}

	first.start()
	first.eventually("the first daemon is ready", first.ready)
	h.push(20, first)
	h.delivered(first)
	second.start()
	second.eventually("the second daemon stands by", func() bool { return second.log.contains("delivers the events of a queue of its own") })
	code, body := second.request(http.MethodPost, second.eventsURL(), `{"n":0}`)
	if code != http.StatusServiceUnavailable || !strings.Contains(string(body), "delivers the events of a queue of its own") {
		t.Errorf("a daemon that stands by answers %d %s", code, body)
	}
	if code, body := second.post("/dead-letters/any:1/drop"); code != http.StatusServiceUnavailable || !strings.Contains(body, "this daemon stands by, ask the one that runs") {
		t.Errorf("a daemon that stands by drops dead letters: %d %s", code, body)
	}
	if err := es.Kill(); err != nil {
		t.Fatal(err)
	}
	h.push(30, first)
	first.kill()
	if err := es.Restart(first.ctx); err != nil {
		t.Fatal(err)
	}
	second.within(takeover, "the second daemon takes over", second.ready)
	h.push(20, second)
	second.exec(hotRows(11, 20))
	first.start() // 30 events wait with it
	h.push(20, first, second)
	h.delivered(first)
	second.within(takeover, "events and rows are delivered by one host again", second.ready)
	h.push(20, first, second)
	h.delivered(second)
	second.eventually("the rows are there, too", func() bool { return len(second.documentsOf(second.name+"_rows")) == 20 })

	if os.Getenv("HAYSTREAM_TEST_VERSIONS") != "all" {
		return // else a lease's life is waited for once more
	}
	signal := func(s os.Signal) {
		if err := second.daemon.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT) // else it cannot be asked to end
	first.within(takeover, "the first daemon takes over from one that has hung", first.ready)
	h.push(20, first)
	signal(syscall.SIGCONT)
	second.eventually("the second daemon stands by", func() bool {
		h.events++
		code, _ := second.request(http.MethodPost, second.eventsURL(), fmt.Sprintf(`{"n":%d}`, h.events))
		if code == http.StatusAccepted { // before it has noticed
			h.taken[h.events] = true
		}
		return code == http.StatusServiceUnavailable
	})
	h.delivered(first)
}
