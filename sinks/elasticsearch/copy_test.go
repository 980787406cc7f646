package elasticsearch

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"haystream/sinks"
)

// TestCopyWantsAllShards: while a shard of an index cannot be read, nothing counts as looked at; its
// documents would be taken for none, and dropped with the index.
func TestCopyWantsAllShards(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		answer := `{}`
		switch name := strings.TrimPrefix(r.URL.Path, "/"); {
		case strings.HasSuffix(name, "/_stats"):
			answer = `{"indices":{"notes-1":{"shards":{"0":[{"seq_no":{"max_seq_no":-1,"local_checkpoint":-1}}]}}}}`
		case r.Method == http.MethodGet && (name == "notes-1" || name == "notes-2"):
			answer = `{"` + name + `":{"mappings":{"_meta":{"haystream":{"owner":"blog"}}},"settings":{"index":{"number_of_shards":"2"}}}}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	s := newSink(t, testConfig(server.URL, FlavorElasticsearch), sinks.Options{Owner: "blog", MaxDeadLetters: 1})
	t.Cleanup(s.Close)
	err := s.Lacking(t.Context(), "notes-1", "notes-2", "", func([]sinks.Document, string) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "only 1 of its 2 shards can be read") {
		t.Errorf("with one shard of two: %v", err)
	}
}
