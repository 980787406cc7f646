package elasticsearch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
	"haystream/sinks"
)

// impatient makes single documents dead letters soon.
var impatient = stubbornness{sure: 3, unsure: 4, lasts: 200 * time.Millisecond}

// deliverBy is deliverAll by a writer with another stubbornness that waits for little.
func deliverBy(t *testing.T, s *Sink, limit stubbornness, actions ...sinks.Action) <-chan error {
	t.Helper()
	w := s.newWriter()
	w.stubborn = limit
	for _, l := range w.lanes {
		l.retry.Max = 20 * time.Millisecond
	}
	in := make(chan *sinks.Batch, 1)
	in <- &sinks.Batch{Actions: actions, Done: func() {}}
	close(in)
	result := make(chan error, 1)
	go func() { result <- w.run(t.Context(), in, func() bool { return true }) }()
	return result
}

func tooLargeForPressure(size, most int) string {
	return fmt.Sprintf(`"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of coordinating operation [coordinating_and_primary_bytes=0, replica_bytes=0, all_bytes=0, coordinating_operation_bytes=%d, max_coordinating_bytes=%d]"}`, size, most)
}

// TestRefusedByItself: a document that never fits is a dead letter, whatever else
// comes; one that waits for others' load never is, however long that lasts.
func TestRefusedByItself(t *testing.T) {
	const queue = `"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of TimedRunnable on EsThreadPoolExecutor[name = n/write, queue capacity = 10000]"}`
	breaker := func(wanted int) string {
		return fmt.Sprintf(`"error":{"type":"circuit_breaking_exception","reason":"[parent] Data too large, data for [<http_request>] would be [%d/1b], which is larger than the limit of [510027366/486.3mb], real usage: [1/1b], new bytes reserved: [%d/1b]"}`, wanted, wanted)
	}
	for _, c := range []struct {
		name   string
		rest   string // of the refusal of document 2
		whole  bool   // it answers the whole request
		all    bool   // and to every request
		op     sinks.Op
		letter bool
	}{
		{name: "never fits", rest: tooLargeForPressure(60<<20, 50<<20), letter: true},
		{name: "never fits: the request", rest: tooLargeForPressure(60<<20, 50<<20), whole: true, letter: true},
		{name: "would fit", rest: tooLargeForPressure(5<<20, 50<<20)},
		{name: "would fit: the request", rest: tooLargeForPressure(5<<20, 50<<20), whole: true},
		{name: "the queue is full", rest: queue},
		{name: "a breaker that it trips", rest: breaker(500 << 20), letter: true},
		{name: "a breaker that it may trip", rest: breaker(60 << 20), letter: true},
		{name: "a breaker that others trip", rest: breaker(5 << 20)},
		{name: "nothing is said", rest: problem("es_rejected_execution_exception"), letter: true},
		{name: "nothing is said: the request", rest: problem("rejected_execution_exception"), whole: true, letter: true},
		{name: "nothing is said, to all", rest: problem("es_rejected_execution_exception"), all: true},
		{name: "never fits, to all", rest: tooLargeForPressure(60<<20, 50<<20), whole: true, all: true},
		{name: "a delete", rest: problem("es_rejected_execution_exception"), op: sinks.OpDelete},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			refused := 0
			const patience = 12
			hit := func(a fakeAction) bool {
				return a.Index == notes.WriteAlias && (c.all || a.ID == "2") && (c.letter || refused < patience)
			}
			if c.whole {
				f.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, actions []fakeAction) bool {
					if !slices.ContainsFunc(actions, hit) {
						return false
					}
					refused++
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = w.Write([]byte("{" + c.rest + `,"status":429}`))
					return true
				}
			} else {
				f.judge = func(_ int, a fakeAction) (int, string) {
					if !hit(a) {
						return 0, ""
					}
					if a.ID == "2" {
						refused++
					}
					return 429, c.rest
				}
			}
			s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
			defer s.Close()
			target := newNotes()
			two := indexAction(target, "2", 2, `{"a":1}`)
			if c.op == sinks.OpDelete {
				two = sinks.Action{Target: target, Op: c.op, ID: []byte("2"), Version: 2}
			}
			if err := <-deliverBy(t, s, impatient, indexAction(target, "1", 1, `{}`), two, indexAction(target, "3", 3, `{}`)); err != nil {
				t.Fatal(err)
			}
			want := map[string]int64{"1": 1, "2": 2, "3": 3}
			if c.letter || c.op == sinks.OpDelete {
				delete(want, "2")
			}
			f.want(t, want)
			letters := f.lettersOf(t)
			if l, ok := letters["2"]; ok != c.letter || l.Body != "" {
				t.Errorf("after %d refusals: dead letters %v", refused, letters)
			}
		})
	}
}

// TestTooLargeOnADelete: a delete has no document that could be too large.
func TestTooLargeOnADelete(t *testing.T) {
	f := newFake(t)
	refused := 0
	f.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, actions []fakeAction) bool {
		if len(actions) == 1 && refused > 8 {
			return false
		}
		refused++
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = w.Write([]byte("<html>413 Request Entity Too Large</html>"))
		return true
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
	defer s.Close()
	target := newNotes()
	f.versions[notes.WriteAlias+"/1"], f.bodies[notes.WriteAlias+"/1"] = 1, "{}"
	err := <-deliverBy(t, s, impatient, sinks.Action{Target: target, Op: sinks.OpDelete, ID: []byte("1"), Version: 2},
		sinks.Action{Target: target, Op: sinks.OpDelete, ID: []byte("never"), Version: 3}, indexAction(target, "2", 4, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"2": 4})
	if letters := f.lettersOf(t); len(letters) > 0 {
		t.Errorf("dead letters %v", letters)
	}
}

// TestRefusalsOfEveryRequest say nothing of the documents in them.
func TestRefusalsOfEveryRequest(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{
		{400, `{"error":{"type":"illegal_argument_exception","reason":"request [/_bulk] contains unrecognized parameter: [filter_path]"},"status":400}`},
		{400, "<html>bad request</html>"},
		{413, "<html>too large</html>"},
		{413, ""},
		{414, "<html>URI too long</html>"},
		{431, "<html>header too large</html>"},
		{405, ""},
		{411, ""},
		{415, `{"error":"Content-Type header [application/x-ndjson] is not supported","status":415}`},
		{502, "<html>bad gateway</html>"},
	} {
		t.Run(fmt.Sprint(c.status, c.body), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.spoil = func(before int, w http.ResponseWriter, _ *http.Request, _ []fakeAction) bool {
				if before > 8 {
					return false
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
				return true
			}
			s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
			defer s.Close()
			target := newNotes()
			if err := <-deliverBy(t, s, impatient, indexAction(target, "1", 1, `{}`), indexAction(target, "2", 2, `{}`)); err != nil {
				t.Fatal(err)
			}
			f.want(t, map[string]int64{"1": 1, "2": 2})
			if letters := f.lettersOf(t); len(letters) > 0 {
				t.Errorf("dead letters %v", letters)
			}
		})
	}
}

// beyondPressure sends a document that a heap of 512 MB never takes in one piece, and
// expects a dead letter without it, and all that is behind it to be delivered.
func beyondPressure(t *testing.T, server *servers.Server, flavor string) {
	cfg := Config{Addresses: []string{server.URL}, Flavor: flavor, Bulk: BulkConfig{Lanes: 2}}
	s := newSink(t, cfg, sinks.Options{Owner: "pressure", MaxDeadLetters: 5, MaxBytes: 1 << 20})
	defer s.Close()
	target := createIndex(t, s, "pressure", `{"number_of_replicas":0}`)
	actions := []sinks.Action{
		indexAction(target, "before", 1, `{"text":"a"}`), indexAction(target, "huge", 2, `{"text":"`+strings.Repeat("word ", 11<<20)+`"}`),
	}
	for i := range int64(20) {
		actions = append(actions, indexAction(target, fmt.Sprint(i), 3+i, `{"text":"b"}`))
	}
	if err := <-deliverBy(t, s, stubbornness{sure: 2, unsure: 1000}, actions...); err != nil { // it must be sure
		t.Fatal(err)
	}
	if got := documents(t, server.URL, target.Physical); len(got) != 21 {
		t.Errorf("%d documents, want 21", len(got))
	}
	if letters, err := s.DeadLetters(t.Context()); err != nil || letters[target.Physical] != 1 {
		t.Errorf("dead letters %v, %v, want 1", letters, err)
	}
	if err := s.Drop(t.Context(), target.Physical); err != nil {
		t.Error(err)
	}
}
