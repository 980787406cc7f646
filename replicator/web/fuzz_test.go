package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/widgets"
)

// FuzzRequest: whatever is asked for, the answer is one of HTTP's, and none says that the daemon has gone wrong.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, target, kind, body string }{
		{"GET", "/", "", ""},
		{"GET", "/status", "", ""},
		{"GET", "/widgets/x?y=%00", "", ""},
		{"GET", "/live?widgets=a", "", ""},
		{"POST", "/events/clicks", "application/json", `{"id":"a"}`},
		{"POST", "/events/%2e%2e", "application/json; charset=x", "[]"},
		{"POST", "/events/clicks?x=1", "a/b+json", "[{}]"},
		{"DELETE", "/readyz", "", ""},
		{"GET", "//metrics/../", "", ""},
		{"POST", "/events/views", "application/x-ndjson", "{}\n{"},
	} {
		f.Add(seed.method, seed.target, seed.kind, "key", seed.body)
	}
	f.Fuzz(func(t *testing.T, method, target, kind, key, body string) {
		if strings.HasPrefix(target, "/live") { // lasts for as long as somebody looks
			return
		}
		r, err := http.NewRequest(method, "http://127.0.0.1:9600"+target, strings.NewReader(body))
		if err != nil {
			return // the server's own parser refuses it
		}
		r.Header["Content-Type"], r.Header["Idempotency-Key"] = []string{kind}, []string{key}
		board, err := widgets.NewBoard(nil, nil, mapping.Set{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer board.Close()
		s := newServer(&stage{status: Status{State: "running"}}, &fakeQueue{}, board)
		defer s.end()
		w := httptest.NewRecorder()
		guarded(config.HTTPConfig{Listen: "127.0.0.1:9600"}, s.handler()).ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 499 && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %q: %d %s", method, target, w.Code, w.Body)
		}
	})
}
