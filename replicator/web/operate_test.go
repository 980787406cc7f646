package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/verify"
	"haystream/sinks"
)

// An operator notes what it is asked for.
type operator struct {
	asked []string
	err   error
}

func (o *operator) did(what ...string) error {
	o.asked = append(o.asked, strings.Join(what, " "))
	return o.err
}

func (o *operator) Pause(context.Context) error  { return o.did("pause") }
func (o *operator) Resume(context.Context) error { return o.did("resume") }

func (o *operator) Reindex(_ context.Context, name string, merge bool) (builds.Reindexing, error) {
	if merge {
		name += " merged"
	}
	return builds.Reindexing{Index: name, Replaces: name + "-1"}, o.did("reindex", name)
}

func (o *operator) Verify(_ context.Context, name string, options verify.Options) (verify.Report, error) {
	return verify.Report{Index: name, Options: options, State: verify.Waiting}, o.did("verify", name)
}

func (o *operator) Verified(_ context.Context, name string) (verify.Report, error) {
	return verify.Report{Index: name, State: verify.Done}, o.did("verified", name)
}

func (o *operator) DeadLetters(_ context.Context, index string, most int, after string) (sinks.LettersPage, error) {
	return sinks.LettersPage{Total: int64(most), Letters: []sinks.Refused{}, Next: after}, o.did("list", index)
}

func (o *operator) DeadLetter(_ context.Context, key string) (*sinks.Refused, error) {
	return &sinks.Refused{Key: key}, o.did("show", key)
}

func (o *operator) Replay(_ context.Context, key string) (Replayed, error) {
	return Replayed{Key: key, Result: ReplayHeld}, o.did("replay", key)
}

func (o *operator) DropDeadLetter(_ context.Context, key string) error { return o.did("drop", key) }

// TestOperate: what changes something is done with the token only, by POST, and what is refused says why.
func TestOperate(t *testing.T) {
	busy := errors.New("events: the daemon waits")
	for _, c := range []struct {
		method, path string
		token        bool
		fails        error
		status       int
		asked, body  string
	}{
		{"POST", "/pause", false, nil, 401, "", `{"error":"send http.token`},
		{"GET", "/pause", true, nil, 405, "", ""},
		{"POST", "/pause", true, nil, 200, "pause", `{"paused":true}`},
		{"POST", "/resume", true, nil, 200, "resume", `{"paused":false}`},
		{"POST", "/resume", true, busy, 503, "resume", `{"error":"events: the daemon waits"}`},
		{"POST", "/indexes/notes/reindex", false, nil, 401, "", ""},
		{"POST", "/indexes/notes/reindex", true, nil, 202, "reindex notes", `{"index":"notes","physical_index":"notes-1","building":""}`},
		{"POST", "/indexes/notes/reindex?force_merge=true", true, nil, 202, "reindex notes merged", ""},
		{"POST", "/indexes/notes/reindex?force_merge", true, nil, 202, "reindex notes merged", ""},
		{"POST", "/indexes/notes/reindex?force_merge=perhaps", true, nil, 400, "", `force_merge is \"perhaps\"`},
		{"POST", "/indexes/nots/reindex", true, &RefusedError{404, `there is no index "nots"`}, 404, "reindex nots", "there is no index"},
		{"POST", "/indexes/notes/verify", false, nil, 401, "", ""},
		{"POST", "/indexes/notes/verify?repair&rate=7", true, nil, 202, "verify notes", `{"repair":true,"rate":7,"index":"notes","state":"waiting"`},
		{"POST", "/indexes/notes/verify?sample=0.5%25", true, nil, 202, "verify notes", `{"repair":false,"sample":0.5,"index":"notes"`},
		{"POST", "/indexes/notes/verify?sample=101", true, nil, 400, "", `sample is \"101\"`},
		{"POST", "/indexes/notes/verify?rate=0", true, nil, 400, "", `rate is \"0\"`},
		{"POST", "/indexes/notes/verify?repiar=true", true, nil, 400, "", `there is no parameter \"repiar\"; did you mean \"repair\"?`},
		{"POST", "/pause?until=noon", true, nil, 400, "", `there is no parameter \"until\"`},
		{"GET", "/indexes/notes/verify", true, nil, 200, "verified notes", `"state":"done"`},
		{"GET", "/dead-letters", true, nil, 200, "list ", `{"total":100,"dead_letters":[]}`},
		{"GET", "/dead-letters?index=notes&limit=5&after=x", true, nil, 200, "list notes", `{"total":5,"dead_letters":[],"next":"x"}`},
		{"GET", "/dead-letters?limit=0", true, nil, 400, "", "from 1 to 1000"},
		{"GET", "/dead-letters/notes-1:a%2Fb%25", true, nil, 200, "show notes-1:a/b%", `"key":"notes-1:a/b%"`},
		{"POST", "/dead-letters/notes-1:7/replay", false, nil, 401, "", ""},
		{"POST", "/dead-letters/notes-1:..%2F7/replay", true, nil, 200, "replay notes-1:../7", `"result":"held"`},
		{"POST", "/dead-letters/notes-1:7/drop", true, nil, 200, "drop notes-1:7", `"result":"dropped"`},
	} {
		o := &operator{err: c.fails}
		server := newServer(noDaemon{}, nil, nil)
		server.operator = o
		r := httptest.NewRequest(c.method, c.path, http.NoBody)
		r.Host = "localhost"
		if c.token {
			r.Header.Set("Authorization", "Bearer secret")
		}
		w := httptest.NewRecorder()
		guarded(config.HTTPConfig{Listen: "127.0.0.1:0", Token: "secret"}, server.handler()).ServeHTTP(w, r)
		if w.Code != c.status || strings.Join(o.asked, ", ") != c.asked || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %s, asked for %q; want %d, %q, %q", c.method, c.path, w.Code, w.Body, o.asked, c.status, c.asked, c.body)
		}
	}
	if text, level := headline(Status{State: "paused"}, []string{"paused"}, ""); text != "Paused" || level != watch {
		t.Errorf("a paused pipeline is shown as %s, %s", text, level)
	}
}
