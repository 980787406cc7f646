package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/preflight"
	"haystream/sinks"
)

const textMapping = `{"dynamic":"strict","properties":{"text":{"type":"text"}}}`

// createIndex makes an index for one test.
func createIndex(t *testing.T, s *Sink, alias string, settings string) *sinks.Target {
	t.Helper()
	physical := alias + "-1"
	if _, err := s.Create(t.Context(), sinks.IndexSpec{Alias: alias, Physical: physical, Serve: true, Mappings: json.RawMessage(textMapping), Settings: json.RawMessage(settings)}); err != nil {
		t.Fatal(err)
	}
	return &sinks.Target{Index: alias, Physical: physical, WriteAlias: sinks.WriteAlias(physical)}
}

// A feed writes one batch after the other until it is told to stop.
type feed struct {
	sent int64
	stop chan struct{}
	done chan error
}

func startFeed(t *testing.T, s *Sink, target *sinks.Target) *feed {
	f := &feed{stop: make(chan struct{}), done: make(chan error, 1)}
	in := make(chan *sinks.Batch)
	go func() { f.done <- s.Write(t.Context(), in, func() bool { return true }) }()
	go func() {
		defer close(in)
		for {
			version := f.sent + 1
			b := &sinks.Batch{Done: func() {}}
			for i := range int64(10) {
				b.Actions = append(b.Actions, indexAction(target, fmt.Sprint((version+i)%500), version+i, fmt.Sprintf(`{"text":"%d"}`, version+i)))
			}
			select {
			case in <- b:
				f.sent += 10
			case <-f.stop:
				return
			}
		}
	}()
	return f
}

// end stops the feed and waits until all of it is held.
func (f *feed) end(t *testing.T) {
	t.Helper()
	close(f.stop)
	if err := <-f.done; err != nil {
		t.Fatal(err)
	}
}

// TestOutlivesTheServer: killed in the middle of writing and started again,
// nothing is lost.
func TestOutlivesTheServer(t *testing.T) {
	server := roughServer.Get(t)
	s, err := New(testConfig(server.URL, ""), sinks.Options{Owner: "blog", MaxBytes: 1 << 20}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	target := createIndex(t, s, "outlives", "")
	f := startFeed(t, s, target)
	for range 2 {
		before := target.Written.Load()
		waitFor(t, "documents to be written", func() bool { return target.Written.Load() > before+500 })
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "health to say why", func() bool {
			err := s.Health()
			return err != nil && strings.Contains(err.Error(), "connection refused")
		})
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "health to be well", func() bool { return s.Health() == nil })
	}
	f.end(t)
	got := documents(t, server.URL, target.Physical)
	if len(got) != 500 {
		t.Errorf("%d documents, want 500", len(got))
	}
	for version := f.sent - 499; version <= f.sent; version++ {
		id := fmt.Sprint(version % 500)
		if got[id].Version != version || got[id].Body != fmt.Sprintf(`{"text":"%d"}`, version) {
			t.Errorf("document %s is %v, want version %d", id, got[id], version)
		}
	}
}

// TestWaitsForPeople: each trouble is named with what mends it, the remedy
// mends it, and no document is lost or refused meanwhile.
func TestWaitsForPeople(t *testing.T) {
	server := mainServer.Get(t)
	put := func(path, body string) func() {
		return func() { ask(t, http.MethodPut, server.URL+path, body, nil) }
	}
	post := func(path, body string) func() {
		return func() { ask(t, http.MethodPost, server.URL+path, body, nil) }
	}
	unblock := put("/people-1/_settings", `{"index.blocks.write":null,"index.blocks.read_only":null,"index.blocks.read_only_allow_delete":null}`)
	alias := func(op string) func() {
		return post("/_aliases", `{"actions":[{"`+op+`":{"index":"people-1","alias":"people-1-write"}}]}`)
	}
	for _, c := range []struct {
		name        string
		spoil, mend func()
		says        string
	}{
		{"flood stage", put("/people-1/_settings", `{"index.blocks.read_only_allow_delete":true}`), unblock, "free space or add nodes"},
		{"writes blocked", put("/people-1/_settings", `{"index.blocks.write":true}`), unblock, `PUT /people-1/_settings {"index.blocks.write":null`},
		{"read-only", put("/people-1/_settings", `{"index.blocks.read_only":true}`), unblock, `"index.blocks.read_only":null`},
		{"closed", post("/people-1/_close", ""), post("/people-1/_open", ""), "POST /people-1/_open"},
		{"write alias gone", alias("remove"), alias("add"), `POST /_aliases {"actions":[{"add":{"index":"people-1","alias":"people-1-write"}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := New(testConfig(server.URL, ""), sinks.Options{Owner: "people", MaxBytes: 1 << 20}, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			target := createIndex(t, s, "people", "")
			f := startFeed(t, s, target)
			waitFor(t, "documents to be written", func() bool { return target.Written.Load() > 100 })
			c.spoil()
			waitFor(t, "health to say why", func() bool {
				err := s.Health()
				return err != nil && strings.Contains(err.Error(), c.says)
			})
			if strings.Contains(c.says, "blocks") {
				findings, err := s.Check(t.Context(), []sinks.IndexSpec{{Alias: "people"}})
				if bad := preflight.Errors(findings); err != nil || len(bad) == 0 || !strings.Contains(bad[0].String(), "_settings") {
					t.Errorf("a check finds %v, %v", findings, err)
				}
			}
			c.mend()
			waitFor(t, "health to be well", func() bool { return s.Health() == nil })
			f.end(t)
			if n := target.DeadLetters.Load(); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			if got := documents(t, server.URL, target.Physical); len(got) != int(min(f.sent, 500)) {
				t.Errorf("%d documents of %d", len(got), f.sent)
			}
			if err := s.Drop(t.Context(), target.Physical); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestServerWithSmallRequests against the real server's own limit. The largest
// document is one that the server is asked about before it is sent.
func TestServerWithSmallRequests(t *testing.T) {
	server := roughServer.Get(t)
	for _, compression := range []bool{false, true} {
		t.Run(fmt.Sprintf("compression %v", compression), func(t *testing.T) {
			s := newSink(t, Config{Addresses: []string{server.URL}, Compression: compression, Bulk: BulkConfig{Lanes: 1}}, sinks.Options{Owner: t.Name(), MaxDeadLetters: 5})
			defer s.Close()
			target := createIndex(t, s, fmt.Sprintf("notes-%v", compression), "")
			var actions []sinks.Action
			for i := range int64(300) {
				actions = append(actions, indexAction(target, fmt.Sprint(i), 1, fmt.Sprintf(`{"text":"%s"}`, strings.Repeat("word ", 2000))))
			}
			actions[100].Body = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("word ", 400<<10))
			actions[200].Body = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("word ", 2<<20))
			if err := deliverAll(t, s, actions...); err != nil {
				t.Fatal(err)
			}
			if got := documents(t, server.URL, target.Physical); len(got) != 298 {
				t.Errorf("%d documents, want 298", len(got))
			}
			if letters, err := s.DeadLetters(t.Context()); err != nil || letters[target.Physical] != 2 {
				t.Errorf("dead letters %v, %v, want 2", letters, err)
			}
		})
	}
}

// TestTuning: settings while an index is loaded, and after.
func TestTuning(t *testing.T) {
	server := mainServer.Get(t)
	settings := func(physical string) (refresh, replicas, tombstones string) {
		var answer map[string]struct {
			Settings struct {
				Index struct {
					Refresh    string `json:"refresh_interval"`
					Replicas   string `json:"number_of_replicas"`
					Tombstones string `json:"gc_deletes"`
				}
			}
		}
		ask(t, http.MethodGet, server.URL+"/"+physical+"/_settings", "", &answer)
		i := answer[physical].Settings.Index
		return i.Refresh, i.Replicas, i.Tombstones
	}
	for _, c := range []struct {
		name, settings               string
		refresh, replicas, finalRepl string
	}{
		{"default", ``, "", "0", "1"},
		{"configured", `{"refresh_interval":"3s","index":{"number_of_replicas":2}}`, "3s", "0", "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink(t, testConfig(server.URL, ""), sinks.Options{Owner: "tuning"})
			defer s.Close()
			physical := "tuning-1"
			spec := sinks.IndexSpec{Alias: "tuning", Physical: physical, Mappings: json.RawMessage(textMapping), Settings: json.RawMessage(c.settings)}
			if _, err := s.Create(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			if refresh, replicas, tombstones := settings(physical); refresh != "-1" || replicas != "0" || tombstones != "1h" {
				t.Errorf("loading: refresh %q, replicas %q, tombstones %q", refresh, replicas, tombstones)
			}
			if err := s.Finish(t.Context(), physical); err != nil {
				t.Fatal(err)
			}
			if refresh, replicas, tombstones := settings(physical); refresh != c.refresh || replicas != c.finalRepl || tombstones != "1h" {
				t.Errorf("finished: refresh %q, replicas %q, tombstones %q", refresh, replicas, tombstones)
			}
			if err := s.Drop(t.Context(), physical); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestClearRefusals(t *testing.T) {
	server := mainServer.Get(t)
	s := newSink(t, testConfig(server.URL, ""), sinks.Options{Owner: "refusals"})
	defer s.Close()
	for name, spec := range map[string]sinks.IndexSpec{
		"No handler for type [flotsam]|The mapper type [flotsam]": {Mappings: json.RawMessage(`{"properties":{"a":{"type":"flotsam"}}}`)},
		"unknown setting [index.flotsam]":                         {Settings: json.RawMessage(`{"flotsam":1}`)},
	} {
		spec.Alias, spec.Physical = "refusals", "refusals-1"
		_, err := s.Create(t.Context(), spec)
		first, second, _ := strings.Cut(name, "|")
		if err == nil || !strings.Contains(err.Error(), "refuses its mapping or settings") || !strings.Contains(err.Error(), first) && !strings.Contains(err.Error(), second) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	ask(t, http.MethodPut, server.URL+"/refusals", "", nil)
	defer ask(t, http.MethodDelete, server.URL+"/refusals", "", nil)
	_, err := s.Index(t.Context(), "refusals")
	if !errors.Is(err, sinks.ErrForeign) || strings.Contains(err.Error(), "DELETE") || !strings.Contains(err.Error(), "set `index:` in the definition to another name") {
		t.Errorf("got %v", err)
	}
	ask(t, http.MethodPut, server.URL+"/refusals-haystack", `{"mappings":{"properties":{"django_ct":{"type":"keyword"}}}}`, nil)
	defer ask(t, http.MethodDelete, server.URL+"/refusals-haystack", "", nil)
	_, err = s.Index(t.Context(), "refusals-haystack")
	const haystack = "refusals-haystack is an index made by django-haystack, and the alias of that name cannot be made; set `index:` in the definition to another name, such as " +
		"refusals-haystack-live, and set INDEX_NAME in HAYSTACK_CONNECTIONS to that once `haystream status` says that it is loaded; or take its place with `haystream adopt`, which says first what it does; haystream leaves this one as it is"
	if !errors.Is(err, sinks.ErrForeign) || !strings.HasSuffix(err.Error(), haystack) {
		t.Errorf("got %v", err)
	}
	ask(t, http.MethodPost, server.URL+"/_aliases", `{"actions":[{"add":{"index":"refusals","alias":"refusals-alias"}}]}`, nil)
	_, err = s.Index(t.Context(), "refusals-alias")
	if !errors.Is(err, sinks.ErrForeign) || !strings.Contains(err.Error(), `"remove":{"index":"refusals","alias":"refusals-alias"}`) {
		t.Errorf("got %v", err)
	}
	ask(t, http.MethodPost, server.URL+"/_aliases", `{"actions":[{"add":{"index":"refusals-haystack","alias":"refusals-alias"}}]}`, nil)
	_, err = s.Index(t.Context(), "refusals-alias")
	for _, want := range []string{
		"points to the indexes refusals, refusals-haystack not made by haystream",
		`{"actions":[{"remove":{"index":"refusals","alias":"refusals-alias"}},{"remove":{"index":"refusals-haystack","alias":"refusals-alias"}}]}`,
	} {
		if !errors.Is(err, sinks.ErrForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestTake: an alias comes in the place of an index whose documents are kept, also where an earlier try was cut
// short; and an index is left alone that other aliases lead to.
func TestTake(t *testing.T) {
	server := mainServer.Get(t)
	s := newSink(t, testConfig(server.URL, ""), sinks.Options{Owner: "takes"})
	defer s.Close()
	ctx := t.Context()
	if _, err := s.Info(ctx); err != nil {
		t.Fatal(err)
	}
	made, err := s.Create(ctx, sinks.IndexSpec{Alias: "takes", Physical: "takes-20260101-000000-000", Mappings: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Drop(context.WithoutCancel(ctx), made.Physical); err != nil {
			t.Error(err)
		}
	}()
	if f, err := s.Foreign(ctx, "takes"); f != nil || err != nil {
		t.Errorf("before there is anything, %+v, %v is foreign", f, err)
	}
	ask(t, http.MethodPut, server.URL+"/takes", `{"settings":{"number_of_replicas":0}}`, nil)
	for _, id := range []string{"1", "2"} {
		ask(t, http.MethodPut, server.URL+"/takes/_doc/"+id+"?refresh=true", `{"word":"a"}`, nil)
	}
	ask(t, http.MethodPost, server.URL+"/_aliases", `{"actions":[{"add":{"index":"takes","alias":"takes-too"}}]}`, nil)
	if f, err := s.Foreign(ctx, "takes"); err != nil || f == nil || !strings.Contains(f.Cannot, "takes-too") || !f.Index || f.Documents != 2 {
		t.Errorf("foreign is %+v, %v", f, err)
	}
	if _, err := s.Take(ctx, "takes", made.Physical); !errors.Is(err, sinks.ErrForeign) {
		t.Errorf("an index that another alias leads to is taken: %v", err)
	}
	ask(t, http.MethodPost, server.URL+"/_aliases", `{"actions":[{"remove":{"index":"takes","alias":"takes-too"}}]}`, nil)
	f, err := s.Foreign(ctx, "takes")
	if err != nil || f.Cannot != "" {
		t.Fatalf("foreign is %+v, %v", f, err)
	}
	defer ask(t, http.MethodDelete, server.URL+"/"+f.Kept, "", nil)
	_ = s.keep(ctx, "takes", f.Kept) // and no further
	var kept []string
	for deadline := time.Now().Add(time.Minute); ; {
		if kept, err = s.Take(ctx, "takes", made.Physical); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil || !slices.Equal(kept, []string{f.Kept}) {
		t.Fatalf("kept are %v, %v", kept, err)
	}
	if index, err := s.Index(ctx, "takes"); err != nil || index == nil || index.Physical != made.Physical {
		t.Errorf("the alias leads to %+v, %v", index, err)
	}
	var counted struct{ Count int }
	if ask(t, http.MethodGet, server.URL+"/"+f.Kept+"/_count", "", &counted); counted.Count != 2 {
		t.Errorf("%s has %d documents", f.Kept, counted.Count)
	}
	if kept, err := s.Take(ctx, "takes", made.Physical); err != nil || kept != nil {
		t.Errorf("again: %v, %v", kept, err)
	}
}

func TestNothingListens(t *testing.T) {
	s := newSink(t, testConfig("http://127.0.0.1:1", ""), sinks.Options{})
	defer s.Close()
	findings, err := s.Check(t.Context(), []sinks.IndexSpec{{Alias: "notes"}})
	if err != nil || len(findings) != 1 || !strings.Contains(findings[0].String(), "nothing listens there") {
		t.Errorf("got %v, %v", findings, err)
	}
	since := time.Now()
	s.client.lost.Store(&lost{since: since, last: since, err: errors.New("cut off")})
	if err := s.Health(); err != nil {
		t.Errorf("of one answer that is lost it is told that %v", err)
	}
	_, _ = s.Info(t.Context())
	if got := s.client.lost.Load().since; got != since {
		t.Errorf("it cannot be reached since %v, and not %v", since, got)
	}
	s.client.lost.Load().since = since.Add(-lostFor)
	if err := s.Health(); err == nil || !strings.Contains(err.Error(), "nothing listens there; start the server, or mend addresses") {
		t.Errorf("without a document to deliver its health is %v", err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	again := newSink(t, testConfig(server.URL, ""), sinks.Options{})
	defer again.Close()
	again.client.lost.Store(&lost{since: since.Add(-lostFor), last: since, err: errors.New("cut off")})
	_, _ = again.Info(t.Context())
	if err := again.Health(); err != nil {
		t.Errorf("after an answer: %v", err)
	}
}
