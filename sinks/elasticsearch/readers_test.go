package elasticsearch

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/rs/zerolog"

	"haystream/sinks"
)

// TestAliasIsForReaders tries what a program does that takes the alias for an index of
// its own: to write, to delete documents, and to delete the index.
func TestAliasIsForReaders(t *testing.T) {
	server := mainServer.Get(t)
	s, err := New(testConfig(server.URL, ""), sinks.Options{Owner: "readers", MaxBytes: 1 << 20}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	target := createIndex(t, s, "readers", "")
	tries := func(when string) {
		t.Helper()
		ask(t, http.MethodPut, server.URL+"/"+target.WriteAlias+"/_doc/1?refresh=true", `{"text":"kept"}`, nil)
		for _, try := range []struct{ method, path, body string }{
			{http.MethodPut, "/readers/_doc/2", `{"text":"no"}`}, {http.MethodDelete, "/readers/_doc/1", ""}, {http.MethodDelete, "/readers", ""},
		} {
			req, err := http.NewRequestWithContext(t.Context(), try.method, server.URL+try.path, bytes.NewReader([]byte(try.body)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s %s is answered with %d", when, try.method, try.path, res.StatusCode)
			}
		}
		if got := documents(t, server.URL, "readers"); len(got) != 1 {
			t.Errorf("%s: %d documents are left", when, len(got))
		}
	}
	tries("made")
	if err := s.Swap(t.Context(), "readers", target.Physical); err != nil {
		t.Fatal(err)
	}
	tries("swapped")
	if err := s.Drop(t.Context(), target.Physical); err != nil {
		t.Fatal(err)
	}
}
