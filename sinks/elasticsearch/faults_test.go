package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"haystream/sinks"
)

var notes = sinks.Target{Index: "notes", Physical: "notes-1", WriteAlias: "notes-1-write"}

func newNotes() *sinks.Target {
	return &sinks.Target{Index: notes.Index, Physical: notes.Physical, WriteAlias: notes.WriteAlias}
}

func indexAction(to *sinks.Target, id string, version int64, body string) sinks.Action {
	return sinks.Action{Target: to, Op: sinks.OpIndex, ID: []byte(id), Version: version, Body: []byte(body)}
}

// oneLane is a config whose requests come one after the other.
func oneLane(url string) Config {
	return Config{Addresses: []string{url}, Bulk: BulkConfig{Lanes: 1}}
}

// deliverAll writes the actions as one batch and returns when all is held, or
// the error that Write ended with.
func deliverAll(t *testing.T, s *Sink, actions ...sinks.Action) error {
	t.Helper()
	in := make(chan *sinks.Batch, 1)
	done := false
	in <- &sinks.Batch{Actions: actions, Done: func() { done = true }}
	close(in)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := s.Write(ctx, in, func() bool { return true })
	if err == nil && !done {
		t.Error("Write ended without error, and the batch is not done")
	}
	return err
}

// want expects that the fake holds these versions of the notes.
func (f *fake) want(t *testing.T, versions map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	for key := range f.bodies {
		if id, ok := strings.CutPrefix(key, notes.WriteAlias+"/"); ok {
			got[id] = f.versions[key]
		}
	}
	if !maps.Equal(got, versions) {
		t.Errorf("the server holds %v, want %v", got, versions)
	}
}

// TestAnswers goes through the table of answers, for items and for whole
// requests: each refuses what it should on the first request only.
func TestAnswers(t *testing.T) {
	item := func(status int, rest string) func(*fake) {
		return func(f *fake) {
			f.judge = func(before int, a fakeAction) (int, string) {
				if before == 0 && a.ID == "2" {
					return status, rest
				}
				return 0, ""
			}
		}
	}
	request := func(status int, body string) func(*fake) {
		return func(f *fake) {
			f.spoil = func(before int, w http.ResponseWriter, _ *http.Request, _ []fakeAction) bool {
				if before > 0 {
					return false
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return true
			}
		}
	}
	asError := func(status int, typ string) func(*fake) {
		return request(status, fmt.Sprintf(`{"error":{"type":%q,"reason":"because"},"status":%d}`, typ, status))
	}
	for _, c := range []struct {
		name   string
		fault  func(*fake)
		letter string // the type of document 2's dead letter; empty: it is delivered
	}{
		{"item: too many requests", item(429, problem("es_rejected_execution_exception")), ""},
		{"item: circuit breaker", item(429, problem("circuit_breaking_exception")), ""},
		{"item: circuit breaker of old", item(503, problem("circuit_breaking_exception")), ""},
		{"item: shard not there", item(503, problem("unavailable_shards_exception")), ""},
		{"item: internal", item(500, problem("null_pointer_exception")), ""},
		{"item: flood stage", item(429, problem("cluster_block_exception")), ""},
		{"item: read-only", item(403, problem("cluster_block_exception")), ""},
		{"item: no privilege", item(403, problem("security_exception")), ""},
		{"item: index missing", item(404, problem("index_not_found_exception")), ""},
		{"item: index closed", item(400, problem("index_closed_exception")), ""},
		{"item: no ingest pipeline", item(400, `"error":{"type":"illegal_argument_exception","reason":"pipeline with id [geo] does not exist"}`), ""},
		{"item: parsing", item(400, problem("document_parsing_exception")), "document_parsing_exception"},
		{"item: mapper", item(400, problem("mapper_parsing_exception")), "mapper_parsing_exception"},
		{"item: strict", item(400, problem("strict_dynamic_mapping_exception")), "strict_dynamic_mapping_exception"},
		{"item: another argument", item(400, problem("illegal_argument_exception")), "illegal_argument_exception"},
		{"item: too large", item(413, problem("content_too_large")), "document_too_large"},
		{"item: failure store", item(201, `"failure_store":"used"`), "failure_store"},
		{"request: too many", asError(429, "es_rejected_execution_exception"), ""},
		{"request: circuit breaker", asError(503, "circuit_breaking_exception"), ""},
		{"request: no master", asError(503, "cluster_block_exception"), ""},
		{"request: proxy's 502", request(502, "<html>bad gateway</html>"), ""},
		{"request: proxy's 503", request(503, ""), ""},
		{"request: proxy's 504", request(504, ""), ""},
		{"request: proxy's 400", request(400, "<html>bad request</html>"), ""},
		{"request: proxy's 404", request(404, "<html>not found</html>"), ""},
		{"request: credentials", asError(401, "security_exception"), ""},
		{"request: privileges", asError(403, "security_exception"), ""},
		{"request: a redirect", request(302, ""), ""},
		{"answer: a page", request(200, "<html>hello</html>"), ""},
		{"answer: not JSON to its end", request(200, `{"items":[{"index":{"status":201}},{"index":{"stat`), ""},
		{"answer: an item too few", request(200, `{"items":[{"index":{"status":201}}]}`), ""},
		{"answer: empty", request(200, ""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			f := newFake(t)
			defer f.Close()
			c.fault(f)
			s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
			defer s.Close()
			target := newNotes()
			err := deliverAll(t, s, indexAction(target, "1", 1, `{}`), indexAction(target, "2", 2, `{"a":1}`), indexAction(target, "3", 3, `{}`))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]int64{"1": 1, "2": 2, "3": 3}
			letters := f.lettersOf(t)
			if c.letter != "" {
				delete(want, "2")
				body := `{"a":1}`
				if c.letter == "document_too_large" {
					body = ""
				}
				if got := letters["2"]; got.Type != c.letter || got.Body != body {
					t.Errorf("dead letter %+v, want type %s and body %q", got, c.letter, body)
				}
				delete(letters, "2")
			}
			f.want(t, want)
			if len(letters) > 0 {
				t.Errorf("dead letters of what was not refused for good: %v", letters)
			}
			if err := s.Health(); err != nil {
				t.Errorf("health afterwards: %v", err)
			}
		})
	}
}

// TestDropped: a document that an ingest pipeline drops is done, and counted apart. A
// dead letter is not done, and is sent again until it is held. The servers that tests
// start have no processors.
func TestDropped(t *testing.T) {
	f, drops := newFake(t), 0
	f.judge = func(_ int, a fakeAction) (int, string) {
		letter := a.Index == sinks.WriteAlias(lettersIndex) && f.letters
		if letter {
			drops++
		}
		switch {
		case a.ID == "refused":
			return 400, problem("document_parsing_exception")
		case a.ID == "dropped" || letter && drops < 3:
			return 200, `"_version":1,"result":"noop"`
		}
		return 0, ""
	}
	var log bytes.Buffer
	s, err := New(oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 5}, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	target := newNotes()
	if err := deliverAll(t, s, indexAction(target, "refused", 1, `{}`), indexAction(target, "dropped", 2, `{}`), indexAction(target, "kept", 3, `{}`)); err != nil {
		t.Fatal(err)
	}
	if w, d := target.Written.Load(), target.Dropped.Load(); w != 1 || d != 1 {
		t.Errorf("%d written, %d dropped; want 1 of each", w, d)
	}
	f.want(t, map[string]int64{"kept": 3})
	if letters := f.lettersOf(t); len(letters) != 1 || letters["refused"].Type == "" || drops != 3 || !strings.Contains(log.String(), "an ingest pipeline drops dead letters; take it out") {
		t.Errorf("dead letters %v after %d tries, log %s", letters, drops, log.String())
	}
}

// TestResendsOnlyWhatWasRefused: in its order, before anything newer.
func TestResendsOnlyWhatWasRefused(t *testing.T) {
	f := newFake(t)
	f.judge = func(before int, a fakeAction) (int, string) {
		if a.ID == "hot" && before < 3 || a.ID == "warm" && before < 2 {
			return 429, problem("es_rejected_execution_exception")
		}
		return 0, ""
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog"})
	defer s.Close()
	target := newNotes()
	err := deliverAll(t, s,
		indexAction(target, "hot", 1, `{}`), indexAction(target, "cold", 2, `{}`), indexAction(target, "hot", 3, `{}`),
		indexAction(target, "warm", 4, `{}`), indexAction(target, "hot", 5, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"cold@2", "warm@4", "hot@1", "hot@3", "hot@5"}
	if !slices.Equal(f.applied, want) || f.requests != 4 {
		t.Errorf("applied %v in %d requests, want %v in 4", f.applied, f.requests, want)
	}
	if n := target.Superseded.Load(); n != 0 {
		t.Errorf("%d were overtaken", n)
	}
}

func TestHonoursRetryAfter(t *testing.T) {
	f := newFake(t)
	var times []time.Time
	f.spoil = func(before int, w http.ResponseWriter, _ *http.Request, _ []fakeAction) bool {
		times = append(times, time.Now())
		if before > 0 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog"})
	defer s.Close()
	if err := deliverAll(t, s, indexAction(newNotes(), "1", 1, `{}`)); err != nil {
		t.Fatal(err)
	}
	if d := times[1].Sub(times[0]); d < time.Second {
		t.Errorf("tried again after %v", d)
	}
}

// TestAnswerLostAfterApply: what was applied is applied once more, to no effect.
func TestAnswerLostAfterApply(t *testing.T) {
	f := newFake(t)
	f.spoil = func(before int, w http.ResponseWriter, _ *http.Request, actions []fakeAction) bool {
		if before > 2 {
			return false
		}
		for _, a := range actions {
			f.apply(before, a)
		}
		hang(t, w)
		return true
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog"})
	defer s.Close()
	target := newNotes()
	err := deliverAll(t, s, indexAction(target, "1", 1, `{}`), sinks.Action{Target: target, Op: sinks.OpDelete, ID: []byte("1"), Version: 2}, indexAction(target, "2", 3, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"2": 3})
	if n := target.Superseded.Load(); n != 1 { // the first write of document 1, the second time
		t.Errorf("%d superseded, want 1", n)
	}
}

// hang ends the connection without an answer.
func hang(t *testing.T, w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = c.Close()
}

// TestSplitsWhatIsTooLarge: a server that takes only small requests gets small
// ones, and the document that is too large alone is kept as a dead letter.
func TestSplitsWhatIsTooLarge(t *testing.T) {
	for _, compression := range []bool{false, true} {
		t.Run(fmt.Sprintf("compression %v", compression), func(t *testing.T) {
			const limit = 100 << 10
			f := newFake(t)
			refused := 0
			f.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, actions []fakeAction) bool {
				size := 0
				for _, a := range actions {
					size += len(a.Body)
				}
				if size < limit {
					return false
				}
				refused++
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return true
			}
			cfg := oneLane(f.URL)
			cfg.Compression = compression
			s := newSink(t, cfg, sinks.Options{Owner: "blog", MaxDeadLetters: 10})
			defer s.Close()
			target := newNotes()
			var actions []sinks.Action
			want := map[string]int64{}
			for i := range int64(600) {
				id, size := fmt.Sprint(i), 1000
				if i == 300 {
					id, size = "huge", limit
				} else {
					want[id] = i
				}
				actions = append(actions, indexAction(target, id, i, fmt.Sprintf(`{"a":"%s"}`, strings.Repeat("x", size))))
			}
			if err := deliverAll(t, s, actions...); err != nil {
				t.Fatal(err)
			}
			f.want(t, want)
			letters := f.lettersOf(t)
			if l := letters["huge"]; len(letters) != 1 || l.Type != "document_too_large" || l.Body != "" {
				t.Errorf("dead letters %v", letters)
			}
			if refused > 20 {
				t.Errorf("%d requests were too large; the size is not learned", refused)
			}
		})
	}
}

// TestFindsTheDocumentThatSpoilsARequest, which the server refuses as a whole.
func TestFindsTheDocumentThatSpoilsARequest(t *testing.T) {
	f := newFake(t)
	f.spoil = func(_ int, w http.ResponseWriter, _ *http.Request, actions []fakeAction) bool {
		if !slices.ContainsFunc(actions, func(a fakeAction) bool { return strings.HasPrefix(a.ID, "bad") && a.Index == notes.WriteAlias }) {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":{"type":"action_request_validation_exception","reason":"id is too long"},"status":400}`))
		return true
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
	defer s.Close()
	target := newNotes()
	var actions []sinks.Action
	want := map[string]int64{}
	for i := range int64(1000) {
		id := fmt.Sprint(i)
		if i == 3 || i == 777 {
			id = "bad" + id
		} else {
			want[id] = i
		}
		actions = append(actions, indexAction(target, id, i, `{}`))
	}
	if err := deliverAll(t, s, actions...); err != nil {
		t.Fatal(err)
	}
	f.want(t, want)
	letters := f.lettersOf(t)
	if len(letters) != 2 || letters["bad3"].Type != "action_request_validation_exception" || letters["bad777"].Body != "{}" {
		t.Errorf("dead letters %v", letters)
	}
	if f.requests > 60 {
		t.Errorf("it took %d requests", f.requests)
	}
}

// TestIngestFailureIsADeadLetter: a processor's exception comes as a 500.
func TestIngestFailureIsADeadLetter(t *testing.T) {
	f := newFake(t)
	f.judge = func(_ int, a fakeAction) (int, string) {
		if a.ID == "2" {
			return 500, problem("fail_processor_exception")
		}
		return 0, ""
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
	defer s.Close()
	target := newNotes()
	target.Pipeline = "geo"
	if err := deliverAll(t, s, indexAction(target, "1", 1, `{}`), indexAction(target, "2", 2, `{}`)); err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"1": 1})
	if letters := f.lettersOf(t); letters["2"].Type != "fail_processor_exception" {
		t.Errorf("dead letters %v", letters)
	}
}

// TestMovedDocumentIsADeadLetter: the delete at the place that it has left comes late, and does not clear it.
func TestMovedDocumentIsADeadLetter(t *testing.T) {
	f := newFake(t)
	deletes := 0
	f.judge = func(_ int, a fakeAction) (int, string) {
		switch {
		case a.ID != "7" || a.Index == sinks.WriteAlias(lettersIndex):
			return 0, ""
		case a.Op == "index":
			return 400, problem("document_parsing_exception")
		}
		if deletes++; deletes == 1 {
			return 429, problem("es_rejected_execution_exception")
		}
		return 0, ""
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
	defer s.Close()
	target := newNotes()
	left, moved := indexAction(target, "7", 5, ""), indexAction(target, "7", 5, `{}`)
	left.Op = sinks.OpDelete
	left.Routing, moved.Routing = []byte("a"), []byte("b")
	if err := deliverAll(t, s, left, moved); err != nil {
		t.Fatal(err)
	}
	if letters := f.lettersOf(t); deletes != 2 || letters["7"].Type == "" {
		t.Errorf("after %d deletes the dead letters are %v", deletes, letters)
	}
}

// TestDeadLettersAreDurable: while they cannot be written nothing is done, and
// one that is too large goes without its document.
func TestDeadLettersAreDurable(t *testing.T) {
	f := newFake(t)
	tries := 0
	f.judge = func(_ int, a fakeAction) (int, string) {
		switch {
		case a.Index == notes.WriteAlias && a.ID != "good":
			return 400, problem("document_parsing_exception")
		case a.Index == notes.WriteAlias:
			return 0, ""
		case len(a.Body) > 1000:
			return 413, problem("content_too_large")
		}
		if tries++; tries <= 3 {
			return []int{503, 429, 403}[tries-1], problem("whatever")
		}
		return 0, ""
	}
	s := newSink(t, oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 10})
	defer s.Close()
	target := newNotes()
	err := deliverAll(t, s, indexAction(target, "good", 1, `{}`), indexAction(target, "small", 2, `{"a":1}`), indexAction(target, "large", 3, fmt.Sprintf(`{"a":"%s"}`, strings.Repeat("x", 1000))))
	if err != nil {
		t.Fatal(err)
	}
	letters := f.lettersOf(t)
	if tries < 4 || len(letters) != 2 || letters["small"].Body != `{"a":1}` || letters["large"].Body != "" {
		t.Errorf("after %d tries: dead letters %v", tries, letters)
	}
}

// TestTimeoutIsRetried against a server that takes a request and says nothing.
func TestTimeoutIsRetried(t *testing.T) {
	var requests atomic.Int32
	release := make(chan struct{})
	f := newFake(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_bulk" && requests.Add(1) == 1 {
			<-release
			return
		}
		f.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	defer close(release)
	s := newSink(t, oneLane(proxy.URL), sinks.Options{Owner: "blog"})
	defer s.Close()
	w := s.newWriter()
	w.lanes[0].request.timeout = 50 * time.Millisecond
	in := make(chan *sinks.Batch, 1)
	done := make(chan struct{})
	in <- &sinks.Batch{Actions: []sinks.Action{indexAction(newNotes(), "1", 1, `{}`)}, Done: func() { close(done) }}
	close(in)
	if err := w.run(t.Context(), in, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	<-done
	f.want(t, map[string]int64{"1": 1})
}

// TestHealthSaysWhyAndLogsOnce: trouble that lasts is shown as long as it
// lasts, and logged once, not at each try.
func TestHealthSaysWhyAndLogsOnce(t *testing.T) {
	f := newFake(t)
	var open atomic.Bool
	f.judge = func(int, fakeAction) (int, string) {
		if open.Load() {
			return 0, ""
		}
		return 403, `"error":{"type":"security_exception","reason":"action [indices:data/write/bulk[s]] is unauthorized for user [blog]"}`
	}
	var log bytes.Buffer
	cfg := oneLane(f.URL)
	cfg.Bulk.Lanes = 3
	s, err := New(cfg, sinks.Options{Owner: "blog"}, zerolog.New(zerolog.SyncWriter(&log)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	result := make(chan error, 1)
	go func() {
		var actions []sinks.Action
		target := newNotes()
		for i := range int64(20) {
			actions = append(actions, indexAction(target, fmt.Sprint(i), i, `{}`))
		}
		result <- deliverAll(t, s, actions...)
	}()
	waitFor(t, "health to say why", func() bool {
		err := s.Health()
		return err != nil && strings.Contains(err.Error(), "privileges") && strings.Contains(err.Error(), "user [blog]")
	})
	waitFor(t, "some more tries", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.requests > 8
	})
	open.Store(true)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if err := s.Health(); err != nil {
		t.Errorf("health afterwards: %v", err)
	}
	text := log.String()
	if n := strings.Count(text, "does not take documents"); n != 1 {
		t.Errorf("trouble was logged %d times:\n%s", n, text)
	}
	if n := strings.Count(text, "takes documents again"); n != 1 {
		t.Errorf("the end of trouble was logged %d times:\n%s", n, text)
	}
}

// TestWithoutLeaseIsNotWell: while nothing may be sent, as no checkpoint can be saved, the sink does not take documents.
func TestWithoutLeaseIsNotWell(t *testing.T) {
	f := newFake(t)
	s, err := New(oneLane(f.URL), sinks.Options{Owner: "blog"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var leased atomic.Bool
	in := make(chan *sinks.Batch, 1)
	in <- &sinks.Batch{Actions: []sinks.Action{indexAction(newNotes(), "1", 1, `{}`)}, Done: func() {}}
	result := make(chan error, 1)
	go func() { result <- s.Write(t.Context(), in, leased.Load) }()
	waitFor(t, "health to say why", func() bool {
		err := s.Health()
		return err != nil && strings.Contains(err.Error(), "checkpoint")
	})
	leased.Store(true)
	waitFor(t, "health to be well", func() bool { return s.Health() == nil })
	close(in)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	f.want(t, map[string]int64{"1": 1})
}

// TestEphemeralPortsAreNoNews: each connection that breaks names another port.
func TestEphemeralPortsAreNoNews(t *testing.T) {
	f := newFake(t)
	f.spoil = func(before int, w http.ResponseWriter, _ *http.Request, _ []fakeAction) bool {
		if before > 15 {
			return false
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, whose error names both ports
		}
		_ = c.Close()
		return true
	}
	var log bytes.Buffer
	s, err := New(oneLane(f.URL), sinks.Options{Owner: "blog"}, zerolog.New(zerolog.SyncWriter(&log)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := <-deliverBy(t, s, impatient, indexAction(newNotes(), "1", 1, `{}`)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "does not take documents"); n < 1 || n > 2 || !strings.Contains(log.String(), "->127.0.0.1") {
		t.Errorf("one trouble was logged %d times:\n%s", n, log.String())
	}
	if !strings.Contains(log.String(), `"after":`) {
		t.Errorf("the end does not say how long it lasted:\n%s", log.String())
	}
}

// waitFor polls a condition that no channel tells of.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); !condition(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// TestValuesAreNotLogged: reasons of refused documents quote them.
func TestValuesAreNotLogged(t *testing.T) {
	f := newFake(t)
	f.judge = func(before int, a fakeAction) (int, string) {
		switch {
		case a.Index != notes.WriteAlias:
			return 0, ""
		case a.ID == "1":
			return 400, `"error":{"type":"document_parsing_exception","reason":"Preview of field's value: 'hush'"}`
		case before == 0:
			return 500, `"error":{"type":"whatever","reason":"hush"}`
		}
		return 0, ""
	}
	var log bytes.Buffer
	s, err := New(oneLane(f.URL), sinks.Options{Owner: "blog", MaxDeadLetters: 5}, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	target := newNotes()
	if err := deliverAll(t, s, indexAction(target, "1", 1, `{"a":"hush"}`), indexAction(target, "2", 1, `{"a":"hush"}`)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "hush") || !strings.Contains(log.String(), "document_parsing_exception") {
		t.Errorf("logged: %s", log.String())
	}
}
