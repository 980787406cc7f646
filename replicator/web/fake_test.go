package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/joins"
	"haystream/replicator/widgets"
	"haystream/sinks"
)

// A stage is a daemon as a test has it.
type stage struct {
	mu        sync.Mutex
	status    Status
	why       []Trouble
	unhealthy string
}

func (s *stage) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *stage) NotReady() []Trouble { return s.why }
func (s *stage) Unhealthy() string   { return s.unhealthy }

func (s *stage) set(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// A searcher answers each widget's search by what it asks for.
type searcher struct {
	mu     sync.Mutex
	err    error
	points int
}

func (s *searcher) Search(_ context.Context, _ string, body []byte) (json.RawMessage, error) {
	s.mu.Lock()
	err, points := s.err, s.points
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var asked struct {
		Aggs map[string]json.RawMessage `json:"aggs"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, err
	}
	switch {
	case asked.Aggs["graph"] != nil:
		var buckets []any
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		for i := range points {
			y := 40 + 30*math.Sin(float64(i)/4) + float64(i*7%11)
			buckets = append(buckets, map[string]any{"key": start.Add(time.Duration(i) * time.Hour).UnixMilli(), "doc_count": int(y)})
		}
		return json.Marshal(map[string]any{"hits": hits(2214), "aggregations": map[string]any{"graph": map[string]any{"buckets": buckets}}})
	case asked.Aggs["list"] != nil:
		return json.RawMessage(`{"aggregations":{"list":{"doc_count_error_upper_bound":0,"buckets":[
			{"key":"Ada Lovelace","doc_count":1042},{"key":"Grace Hopper","doc_count":877},{"key":"Annie <b>Easley</b>","doc_count":512},
			{"key":"Karen Spärck Jones","doc_count":96},{"key":"","doc_count":3}]}}}`), nil
	case asked.Aggs["before"] != nil:
		return json.RawMessage(`{"aggregations":{"now":{"doc_count":12875},"before":{"doc_count":11402}}}`), nil
	case asked.Aggs["value"] != nil:
		return json.RawMessage(`{"hits":{"total":{"value":7}},"aggregations":{"value":{"value":1.2345678905E8}}}`), nil
	}
	return json.RawMessage(`{"hits":{"total":{"value":3}}}`), nil
}

func hits(n int) any { return map[string]any{"total": map[string]any{"value": n}} }

func (s *searcher) Mappings(context.Context, string) ([]json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []json.RawMessage{json.RawMessage(`{"dynamic":"strict","properties":{
		"created":{"type":"date"},"action":{"type":"keyword"},"author":{"type":"text","fields":{"keyword":{"type":"keyword"}}},
		"total":{"type":"scaled_float","scaling_factor":100}}}`)}, s.err
}

func (s *searcher) Refused(context.Context, int) ([]sinks.Refused, error) { return nil, nil }

var shown = widgets.Set{
	"presses": {Title: "Button presses", Index: "notes", Query: widgets.Query{Lucene: "action:press AND created:>=now-1d"}, Compare: widgets.Span{Count: 1, Unit: 'd'}},
	"revenue": {Title: "Revenue today", Index: "notes", Value: widgets.Value{Sum: "total"}},
	"authors": {Title: "Top authors", Index: "notes", List: &widgets.List{By: "author", Size: 5}},
	"hourly":  {Title: "Notes an hour", Index: "notes", Graph: &widgets.Graph{Over: "created", Every: "hour", Last: widgets.Span{Count: 2, Unit: 'd'}}},
}

// running is a daemon with nothing to complain of.
func running() *stage {
	return &stage{status: Status{
		Name: "blog", Version: "1.2.3", State: "running", Since: time.Now().Add(-26 * time.Hour),
		Source: SourceStatus{Kind: "postgres", Version: "15.1", Address: "db:5432/blog", Position: "0/1A2B3C4D", LagSeconds: 0.042, LagBytes: 2048, RetainedBytes: 16 << 20, SafeBytes: -1, Changes: 1_204_331},
		Sink:   SinkStatus{Kind: "elasticsearch", Version: "8.19.7", Address: "http://es:9200", Healthy: true},
		Store:  &joins.Status{Bytes: 310 << 20, MemoryBytes: 24 << 20},
		Indexes: []IndexStatus{
			{Name: "notes", Alias: "notes", Physical: "notes-20260301-120000-000", Written: 1_204_331, Deleted: 482, Snapshot: SnapshotStatus{State: "done", RowsDone: 1_000_000}},
			{Name: "people", Alias: "people", Physical: "people-20260301-120000-001", Written: 50_112, Snapshot: SnapshotStatus{State: "done", RowsDone: 50_000}},
		},
	}}
}

// A scene is what a page shows.
type scene struct {
	name    string
	widgets widgets.Set
	daemon  *stage
	search  *searcher
	views   []string // text that the page has
	history int      // samples
}

func scenes() []scene {
	empty := &stage{status: Status{Name: "blog", Version: "1.2.3", State: "starting", Since: time.Now(), Source: SourceStatus{LagBytes: -1, RetainedBytes: -1, SafeBytes: -1}, Sink: SinkStatus{Healthy: true}, Indexes: []IndexStatus{}}, why: []Trouble{{Starting, "starting"}}}

	loading := running()
	loading.status.Indexes[0].Physical = "notes-20260301-120000-000"
	loading.status.Indexes[0].Snapshot = SnapshotStatus{State: "running", RowsDone: 430_000, RowsEstimated: 1_000_000, RowsPerSecond: 21_000, ETASeconds: 27}
	loading.status.Indexes[1].Building = "people-20260302-080000-000"
	loading.status.Indexes[1].Snapshot = SnapshotStatus{State: "running", RowsDone: 48_000, RowsEstimated: 50_000, ETASeconds: 2}
	loading.why = []Trouble{{Loading, "index notes: 430000 of about 1000000 rows are done"}}

	source := running()
	source.status.State, source.status.Reason = "waiting", `connect to source: dial tcp 10.0.0.7:5432: connect: connection refused; start the server, or correct the host and port in source.url`
	source.why = []Trouble{{Disconnected, source.status.Reason}}

	sink := running()
	sink.status.Sink.Healthy, sink.status.Sink.Reason = false, "nothing listens there; start the server, or mend addresses"
	sink.status.Source.LagSeconds = 94
	sink.why = []Trouble{{SinkDown, "sink: nothing listens there; start the server, or mend addresses"}, {Lag, "1m34s behind the source"}}

	letters := running()
	letters.status.Indexes[0].DeadLetters = 43
	for i := range 20 {
		letters.status.Refused = append(letters.status.Refused, sinks.Refused{
			Index: "notes", ID: fmt.Sprint(1000 + i), Type: "document_parsing_exception", Time: time.Date(2026, 3, 2, 9, 14, i, 0, time.UTC),
			Reason: fmt.Sprintf("[1:%d] failed to parse field [rating] of type [integer] in document with id '%d'. Preview of field's value: '<script>alert(1)</script>'", 40+i, 1000+i),
		})
	}

	events := running()
	events.status.Events = &EventsStatus{State: "waiting", Reason: "connect to sink: connection refused", QueueBytes: 300 << 20, MaxQueueBytes: 1 << 30, Waiting: 81_204, OldestSeconds: 372, Accepted: 1_081_204, Delivered: 1_000_000, Refused: map[string]int64{"full": 12, "disk": 0}}

	full := running()
	full.status.Events = &EventsStatus{
		State: "running", QueueBytes: 1020 << 20, MaxQueueBytes: 1 << 30, Waiting: 2_410_007, OldestSeconds: 4000, Accepted: 9_000_000, Delivered: 6_589_993, Refused: map[string]int64{"full": 1250}, Refuses: true,
		Room: "events are refused: 1020MiB of 1GiB in the event queue are in use; see why the sink takes them no faster, or raise limits.max_event_queue",
	}
	full.why = []Trouble{{EventsRefused, "events: " + full.status.Events.Room}}

	held := running()
	held.why = []Trouble{{HeldUp, "index people is held up: table auth_user: no column \"email\" in public.auth_user; did you mean \"e_mail\"?"}}
	held.unhealthy = held.why[0].Text

	many := running()
	many.status.Indexes = nil
	for i := range 50 {
		index := IndexStatus{Alias: fmt.Sprintf("tenant-%02d-orders", i), Physical: fmt.Sprintf("tenant-%02d-orders-20260301-120000-%03d", i, i), Written: int64(i * i * 7919), Deleted: int64(i * 31), Snapshot: SnapshotStatus{State: "done"}}
		switch i % 17 {
		case 3:
			index.Snapshot = SnapshotStatus{State: "running", RowsDone: int64(i) * 1000, RowsEstimated: 60_000, ETASeconds: float64(i)}
		case 7:
			index.Building = fmt.Sprintf("tenant-%02d-orders-20260302-080000-000", i)
		case 11:
			index.DeadLetters = int64(i)
		}
		many.status.Indexes = append(many.status.Indexes, index)
	}

	return []scene{
		{name: "empty", daemon: empty, search: &searcher{}, views: []string{"Starting", "once the source and the sink have answered"}},
		{name: "unanswered", widgets: shown, daemon: empty, search: &searcher{err: errors.New("nothing listens there; start the server, or mend addresses")}, views: []string{"Starting", "nothing listens there"}},
		{name: "loading", widgets: shown, daemon: loading, search: &searcher{points: 49}, history: 60, views: []string{"43 %, 430,000 of about 1,000,000 rows, 27 s left", "Rebuilding", "people-20260302-080000-000"}},
		{name: "live", widgets: shown, daemon: running(), search: &searcher{points: 49}, history: 150, views: []string{"Running", "12,875", "+12.9% against 1d before", "123,456,789.05", "Ada Lovelace", "Annie &lt;b&gt;Easley&lt;/b&gt;", "49 points of an hour each"}},
		{name: "source-down", widgets: shown, daemon: source, search: &searcher{points: 49}, history: 150, views: []string{"Waiting", "connection refused"}},
		{name: "sink-down", widgets: shown, daemon: sink, search: &searcher{points: 49}, history: 150, views: []string{"Running, not ready", "does not take documents", "1 min 34 s"}},
		{name: "dead-letters", widgets: shown, daemon: letters, search: &searcher{points: 49}, history: 150, views: []string{"43 open, the latest 20 of them", "document_parsing_exception", "&lt;script&gt;alert(1)"}},
		{name: "events", widgets: shown, daemon: events, search: &searcher{points: 49}, history: 150, views: []string{"81,204", "the oldest for 6 min 12 s", "29 % of 1GiB", "12 full"}},
		{name: "events-full", widgets: shown, daemon: full, search: &searcher{points: 49}, history: 150, views: []string{"Running, not ready", "100 % of 1GiB", "raise limits.max_event_queue", "1,250 full"}},
		{name: "held-up", widgets: shown, daemon: held, search: &searcher{points: 49}, history: 150, views: []string{"Running, needs attention", "held up"}},
		{name: "50-indexes", widgets: shown, daemon: many, search: &searcher{points: 49}, history: 150, views: []string{"44 live, 3 loading, 3 rebuilding", "tenant-49-orders"}},
	}
}

// open serves a scene.
func (s *scene) open(t *testing.T, cfg config.HTTPConfig) (*Server, string) {
	t.Helper()
	set := mapping.Set{TimeZone: "UTC", Indexes: map[string]*mapping.Definition{"notes": {}}}
	board, err := widgets.NewBoard(s.widgets, []string{"presses", "revenue", "authors", "hourly"}[:len(s.widgets)], set, s.search)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	server := newServer(s.daemon, nil, board)
	now := time.Now()
	for i := range s.history {
		st := s.daemon.Status()
		st.Source.Changes = int64(3000 * i)
		st.Source.LagSeconds = 0.02 + 0.3*math.Abs(math.Sin(float64(i)/9))
		if len(st.Indexes) > 0 {
			st.Indexes = append([]IndexStatus(nil), st.Indexes...)
			st.Indexes[0].Written = int64(3000*float64(i) + 9000*math.Sin(float64(i)/11))
		}
		server.front.history.add(now.Add(time.Duration(i-s.history)*sampleEvery), st)
	}
	listener := httptest.NewServer(guarded(cfg, server.handler()))
	t.Cleanup(func() {
		server.end()
		listener.CloseClientConnections()
		listener.Close()
		server.handlers.Wait()
		board.Close()
	})
	return server, listener.URL
}
