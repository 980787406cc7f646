package commands

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/web"
)

func TestStatus(t *testing.T) {
	s := web.Status{
		Name: "blog", Version: "1.2.3", State: "waiting", Reason: "connect: refused", Since: time.Unix(0, 0),
		Source: web.SourceStatus{Kind: "postgres", Version: "15.1", Address: "db:5432/blog", Position: "0/1", LagSeconds: 1.25, LagBytes: 2048, RetainedBytes: 4096},
		Sink:   web.SinkStatus{Kind: "elasticsearch", Version: "8.19.7", Address: "http://es:9200", Reason: "429"},
		Indexes: []web.IndexStatus{
			{Name: "notes", Alias: "notes", Physical: "notes-1", Building: "notes-2", Written: 5, Snapshot: web.SnapshotStatus{State: "running", RowsDone: 5, RowsEstimated: 10, ETASeconds: 61}},
			{Name: "tags", Alias: "tags", Physical: "tags-1", Snapshot: web.SnapshotStatus{State: "running", RowsDone: 5, RowsEstimated: 5, ETASeconds: -1}},
			{Name: "people", Alias: "people", Physical: "people-1", DeadLetters: 1, Snapshot: web.SnapshotStatus{State: "done", RowsDone: 7}},
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" {
			_ = json.NewEncoder(w).Encode(s)
		}
	}))
	defer server.Close()
	cfg := config.New()
	cfg.HTTP.Listen = strings.TrimPrefix(server.URL, "http://")
	var out strings.Builder
	if err := Status(t.Context(), cfg, false, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"pipeline  blog, waiting: connect: refused\n",
		"source    postgres 15.1 at db:5432/blog\n",
		"lag       1.2 s, 2KiB of log; the server keeps 4KiB for it\n",
		"sink      elasticsearch 8.19.7 at http://es:9200, 429\n",
		"notes   notes-1 (building notes-2)  5        0        0             running, 5 of about 10 rows, 1m1s left\n",
		"tags    tags-1                      0        0        0             running, 5 rows\n",
		"people  people-1                    0        0        1             done, 7 rows\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	s.Source.LagBytes, s.Source.RetainedBytes = -1, -1
	out.Reset()
	if err := Status(t.Context(), cfg, false, &out); err != nil || !strings.Contains(out.String(), "lag       1.2 s, an unknown size of log\n") {
		t.Errorf("got %v\n%s", err, out.String())
	}
	out.Reset()
	if err := Status(t.Context(), cfg, true, &out); err != nil || !json.Valid([]byte(out.String())) {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestStatusWithoutDaemon(t *testing.T) {
	cfg := config.New()
	for listen, want := range map[string]string{
		"":            "http.listen is empty",
		"127.0.0.1:1": "no daemon answers",
		"0.0.0.0:1":   "127.0.0.1:1",
	} {
		cfg.HTTP.Listen = listen
		if err := Status(t.Context(), cfg, false, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("listen %q: got %v, want %q in it", listen, err, want)
		}
	}
}

// TestInterrupted: who ends a command that waits is told that the daemon goes on.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			cancel()
		}
		_, _ = io.WriteString(w, `{"index":"notes","physical_index":"notes-1","state":"running"}`)
	}))
	defer server.Close()
	cfg := config.New()
	cfg.HTTP.Listen = strings.TrimPrefix(server.URL, "http://")
	cfg.Indexes = map[string]*mapping.Definition{"notes": {Table: "note"}}
	err := Verify(ctx, cfg, VerifyOptions{}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "interrupted: the daemon goes on to verify index notes") {
		t.Errorf("verify: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	err = Reindex(ctx, cfg, ReindexOptions{Indexes: []string{"notes"}, Wait: true}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "interrupted: the daemon goes on to build") {
		t.Errorf("reindex: %v", err)
	}
}

// TestUnknownIndex: a name that the config does not have is wrong usage, and nothing is asked of the daemon.
func TestUnknownIndex(t *testing.T) {
	cfg := config.New()
	cfg.HTTP.Listen = "127.0.0.1:1"
	cfg.Indexes = map[string]*mapping.Definition{"notes": {Table: "note", Index: "blog-notes"}}
	for what, err := range map[string]error{
		"verify":  Verify(t.Context(), cfg, VerifyOptions{Indexes: []string{"notes", "nots"}}, io.Discard, io.Discard),
		"reindex": Reindex(t.Context(), cfg, ReindexOptions{Indexes: []string{"blog-notes", "nots"}}, io.Discard),
		"preview": Preview(t.Context(), cfg, nil, PreviewOptions{Index: "nots"}, io.Discard),
		"adopt":   Adopt(t.Context(), cfg, AdoptOptions{Index: "nots"}, io.Discard),
		"list":    DeadLetters(t.Context(), cfg, DeadLettersOptions{Index: "nots"}, io.Discard),
		"replay":  ReplayDeadLetters(t.Context(), cfg, WhichDeadLetters{Index: "nots"}, io.Discard),
	} {
		if _, ok := errors.AsType[*UsageError](err); !ok || !strings.Contains(err.Error(), `did you mean "notes"?`) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
