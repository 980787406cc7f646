package elasticsearch

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"haystream/sinks"
)

// TestCheckOfAServerThatHasGone: one that was there is waited for; what it answers only is a finding.
func TestCheckOfAServerThatHasGone(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"version":{"number":"8.19.7"}}`))
	}))
	defer server.Close()
	s := newSink(t, Config{Addresses: []string{server.URL}}, sinks.Options{})
	if _, err := s.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	for answer, waits := range map[int]bool{http.StatusServiceUnavailable: true, http.StatusTooManyRequests: true, http.StatusUnauthorized: false} {
		status = answer
		if findings, err := s.Check(t.Context(), nil); (err != nil) != waits || (len(findings) > 0) == waits {
			t.Errorf("answer %d: %v, %v", answer, findings, err)
		}
	}
	server.Close()
	if findings, err := s.Check(t.Context(), nil); err == nil || findings != nil {
		t.Errorf("away: %v, %v", findings, err)
	}
}
