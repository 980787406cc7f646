package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"haystream/replicator/config"
	"haystream/sources/events"
)

// A fakeQueue keeps what it is given, or fails.
type fakeQueue struct {
	got     []events.Event
	err     error
	standby string
}

func (q *fakeQueue) Names() []string  { return []string{"clicks", "views"} }
func (q *fakeQueue) StandsBy() string { return q.standby }
func (q *fakeQueue) Append(_ context.Context, batch []events.Event) error {
	if q.err == nil {
		q.got = append(q.got, batch...)
	}
	return q.err
}

func (q *fakeQueue) ids() (ids []string) {
	for _, e := range q.got {
		ids = append(ids, e.ID)
	}
	return ids
}

type noDaemon struct{}

func (noDaemon) Status() Status      { return Status{} }
func (noDaemon) NotReady() []Trouble { return nil }
func (noDaemon) Unhealthy() string   { return "" }

func TestEventDoor(t *testing.T) {
	const lines = "application/x-ndjson"
	for name, test := range map[string]struct {
		path, kind, body string
		header           [2]string
		queue            fakeQueue
		status           int
		answer           string // is in it
		ids              string // that were kept
	}{
		"one":                      {body: `{"id":"a","n":1}`, status: 202, answer: `{"ids":["a"]}`, ids: "[a]"},
		"an array":                 {body: `[{"id":"a"},{"id":2}]`, status: 202, answer: `{"ids":["a","2"]}`, ids: "[a 2]"},
		"none":                     {body: `[]`, status: 202, answer: `{"ids":[]}`, ids: "[]"},
		"lines":                    {kind: lines, body: "{\"id\":\"a\"}\n\n{\"id\":\"b\"}", status: 202, ids: "[a b]"},
		"lines, found out":         {body: "{\"id\":\"a\"}\n{\"id\":\"b\"}\n", status: 202, ids: "[a b]"},
		"over several lines":       {body: "{\n\"id\":\n\"a\"}", status: 202, ids: "[a]"},
		"a key":                    {body: `{}`, header: [2]string{"Idempotency-Key", "k"}, status: 202, ids: "[k]"},
		"a key for several":        {body: `[{},{"id":"x"},{"id":null}]`, header: [2]string{"Idempotency-Key", "k"}, status: 202, ids: "[k:0 x k:2]"},
		"no JSON":                  {body: `{"a":}`, status: 400, answer: "byte 6"},
		"nothing":                  {body: ` `, status: 400, answer: "it is empty"},
		"one of an array is none":  {body: `[{"id":"a"},7]`, status: 400, answer: `"event":1`},
		"one of the lines is none": {kind: lines, body: "{}\n\n{\n", status: 400, answer: `"event":1,"line":3`},
		"an id of another type":    {body: `{"id":{}}`, status: 400, answer: "its id is neither a text nor a whole number"},
		"an empty id":              {body: `{"id":""}`, status: 400, answer: "its id is empty"},
		"a long id":                {body: `{"id":"` + strings.Repeat("x", 513) + `"}`, status: 400, answer: "513 bytes"},
		"no time":                  {body: `{"created":"yesterday"}`, status: 400, answer: `its created is \"yesterday\"`},
		"no time, a number":        {body: `{"created":1e99}`, status: 400, answer: "its created is 1e99"},
		"not UTF-8":                {body: "{\"a\":\"\xff\"}", status: 400, answer: "it is not UTF-8"},
		"no token":                 {body: `{}`, header: [2]string{"Authorization", "Bearer other"}, status: 401, answer: "http.token"},
		"no such events":           {path: "/events/cliks", body: `{}`, status: 404, answer: `did you mean \"clicks\"`},
		"too large":                {body: `[` + strings.Repeat(" ", events.MaxPush) + `]`, status: 413, answer: "8 MiB"},
		"a form":                   {kind: "application/x-www-form-urlencoded", body: `{}`, status: 415, answer: "application/json"},
		"compressed":               {body: `{}`, header: [2]string{"Content-Encoding", "gzip"}, status: 415},
		"full":                     {body: `{}`, queue: fakeQueue{err: fmt.Errorf("%w: 1MiB", events.ErrFull)}, status: 429, answer: "limits.max_event_queue"},
		"the disk":                 {body: `{}`, queue: fakeQueue{err: errors.New("no space left on device")}, status: 503, answer: "no space left on device; it is not known to be stored"},
		"another daemon":           {body: `{}`, queue: fakeQueue{standby: "b/12 has it"}, status: 503, answer: "b/12 has it"},
	} {
		t.Run(name, func(t *testing.T) {
			queue := test.queue
			h := guarded(config.HTTPConfig{Listen: "127.0.0.1:0", Token: "secret"}, newServer(noDaemon{}, &queue, nil).handler())
			if test.path == "" {
				test.path = "/events/clicks"
			}
			if test.kind == "" {
				test.kind = "application/json"
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, test.path, strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.kind)
			r.Header.Set("Authorization", "Bearer secret")
			if test.header[0] != "" {
				r.Header.Set(test.header[0], test.header[1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.answer) {
				t.Errorf("answered with %d %s", w.Code, w.Body)
			}
			if again := w.Header().Get("Retry-After") != ""; again != (w.Code == 429 || w.Code == 503) {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
			if want := test.ids; fmt.Sprint(queue.ids()) != want && (want != "" || len(queue.got) > 0) {
				t.Errorf("kept %v", queue.ids())
			}
		})
	}
}

// Events are pushed by POST, and whoever asks otherwise is told so.
func TestEventsByAnotherMethod(t *testing.T) {
	h := newServer(noDaemon{}, &fakeQueue{}, nil).handler()
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/events/clicks", http.NoBody))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
			t.Errorf("%s is answered with %d, Allow: %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// An event is kept as it is, in one line, and the last of members of one name.
func TestEventAsKept(t *testing.T) {
	for body, want := range map[string]string{
		`{"n": 1.50, "text": "a\nb"}`: `{"n": 1.50, "text": "a\nb"}`,
		"{\n \"n\":\n1 }":             `{"n":1}`,
		`{"n":1,"n":2}`:               `{"n":2}`,
	} {
		queue := &fakeQueue{}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events/clicks", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		newServer(noDaemon{}, queue, nil).handler().ServeHTTP(httptest.NewRecorder(), r)
		if len(queue.got) != 1 || string(queue.got[0].Body) != want || queue.got[0].ID == "" {
			t.Errorf("%q is kept as %+v", body, queue.got)
		}
	}
}
