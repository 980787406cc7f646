package elasticsearch

import (
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

	"haystream/internal/conf"
	"haystream/sinks"
)

// A slow transport answers after a while, in the time of the test's bubble.
type slow struct {
	yesman
	latency  time.Duration
	requests atomic.Int64
}

func (s *slow) RoundTrip(req *http.Request) (*http.Response, error) {
	s.requests.Add(1)
	time.Sleep(s.latency) // the server's own time
	return s.yesman.RoundTrip(req)
}

// newBubbleWriter is a writer without a network.
func newBubbleWriter(t *testing.T, server http.RoundTripper, bulk BulkConfig) *writer {
	t.Helper()
	s := newSink(t, Config{Addresses: []string{"http://127.0.0.1:1"}, Bulk: bulk}, sinks.Options{})
	es, err := elastictransport.NewClient(elastictransport.WithURLs(&url.URL{Scheme: "http", Host: "es"}), elastictransport.WithTransport(server), elastictransport.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	w := s.newWriter()
	for _, l := range w.lanes {
		l.request.client = &client{es: es}
	}
	return w
}

// TestSilenceShows: a request that is under way for long, without any error.
func TestSilenceShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWriter(t, &slow{latency: time.Minute}, BulkConfig{Lanes: 2})
		in := make(chan *sinks.Batch, 1)
		in <- &sinks.Batch{Actions: []sinks.Action{indexAction(newNotes(), "1", 1, `{}`)}, Done: func() {}}
		close(in)
		result := make(chan error, 1)
		go func() { result <- w.run(t.Context(), in, func() bool { return true }) }()
		for _, c := range []struct {
			after time.Duration
			well  bool
		}{{silence, true}, {5 * time.Second, false}, {45 * time.Second, true}} {
			time.Sleep(c.after)
			synctest.Wait()
			if err := w.sink.Health(); (err == nil) != c.well {
				t.Errorf("after %v more: health %v", c.after, err)
			}
		}
		if err := <-result; err != nil {
			t.Fatal(err)
		}
	})
}

// TestFewChangesShareRequests: sparse changes are sent at once, many small ones
// share requests, and none waits longer than it may.
func TestFewChangesShareRequests(t *testing.T) {
	for _, c := range []struct {
		name                    string
		every, latency, maxWait time.Duration
		longest                 time.Duration // from the change until it is held
		requests                int64         // for 1000 changes, at most
	}{
		{"sparse", 50 * time.Millisecond, 2 * time.Millisecond, 100 * time.Millisecond, 2 * time.Millisecond, 1000},
		{"dense, fast server", time.Millisecond, 2 * time.Millisecond, 100 * time.Millisecond, 10 * time.Millisecond, 130},
		{"dense, no wait allowed", time.Millisecond, 2 * time.Millisecond, 0, 4 * time.Millisecond, 510},
		{"dense, little wait allowed", time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond, 6 * time.Millisecond, 260},
		{"dense, slow server", time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &slow{latency: c.latency}
				w := newBubbleWriter(t, server, BulkConfig{Lanes: 1, MaxWait: conf.Duration(c.maxWait)})
				in := make(chan *sinks.Batch)
				result := make(chan error, 1)
				go func() { result <- w.run(t.Context(), in, func() bool { return true }) }()
				var longest atomic.Int64
				for i := range int64(1000) {
					start := time.Now()
					in <- &sinks.Batch{Actions: []sinks.Action{indexAction(newNotes(), fmt.Sprint(i), i, `{}`)}, Done: func() {
						if d := int64(time.Since(start)); d > longest.Load() {
							longest.Store(d)
						}
					}}
					time.Sleep(c.every) // the feed's own pace
				}
				close(in)
				if err := <-result; err != nil {
					t.Fatal(err)
				}
				if d := time.Duration(longest.Load()); d > c.longest {
					t.Errorf("a change waited %v, want %v at most", d, c.longest)
				}
				if n := server.requests.Load(); n > c.requests {
					t.Errorf("%d requests, want %d at most", n, c.requests)
				}
			})
		})
	}
}
