package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/sinks"
	"haystream/sinks/bulk"
)

// A yesman answers every bulk request at once: all documents are written.
type yesman struct{ pool sync.Pool }

func (y *yesman) RoundTrip(req *http.Request) (*http.Response, error) {
	b, _ := y.pool.Get().(*bytes.Buffer)
	if b == nil {
		b = new(bytes.Buffer)
	}
	defer y.pool.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(req.Body); err != nil {
		return nil, err
	}
	n := bytes.Count(b.Bytes(), []byte(`{"index":{"_index"`))
	b.Reset()
	b.WriteString(`{"items":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"index":{"status":201}}`)
	}
	b.WriteString(`]}`)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(bytes.Clone(b.Bytes()))), Header: http.Header{}, Request: req}, req.Body.Close()
}

// benchBatches are batches of distinct documents of some 260 bytes.
func benchBatches(target *sinks.Target, batches, perBatch int) []*sinks.Batch {
	all := make([]*sinks.Batch, batches)
	for i := range all {
		b := &sinks.Batch{}
		for n := range perBatch {
			id := i*perBatch + n
			b.Actions = append(b.Actions, indexAction(target, fmt.Sprint(id), 1,
				fmt.Sprintf(`{"id":%d,"title":"note %d","body":"%s","author":"user %d","published":true,"pub_date":"2026-01-02T03:04:05.678901Z"}`, id, id, strings.Repeat("some words ", 12), id%1000)))
		}
		b.Keep(make([]byte, 260*perBatch))
		all[i] = b
	}
	return all
}

// pump gives write batches again and again until n actions are held.
func pump(b *testing.B, batches []*sinks.Batch, n int, write func(context.Context, <-chan *sinks.Batch, func() bool) error) {
	b.Helper()
	in := make(chan *sinks.Batch)
	result := make(chan error, 1)
	go func() { result <- write(b.Context(), in, func() bool { return true }) }()
	free := make(chan *sinks.Batch, len(batches))
	for _, batch := range batches {
		batch.Done = func() { free <- batch }
		free <- batch
	}
	for sent := 0; sent < n; {
		batch := <-free
		in <- batch
		sent += len(batch.Actions)
	}
	close(in)
	if err := <-result; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWrite measures all that the sink does itself, without compression:
// an operation is one action.
func BenchmarkWrite(b *testing.B) {
	s, err := New(Config{Addresses: []string{"http://127.0.0.1:1"}}, sinks.Options{}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	u, err := url.Parse("http://127.0.0.1:1")
	if err != nil {
		b.Fatal(err)
	}
	es, err := elastictransport.NewClient(elastictransport.WithURLs(u), elastictransport.WithTransport(&yesman{}), elastictransport.WithDisableRetry())
	if err != nil {
		b.Fatal(err)
	}
	w := s.newWriter()
	for _, l := range w.lanes {
		l.request.client = &client{es: es}
	}
	batches := benchBatches(newNotes(), 16, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	pump(b, batches, b.N, w.run)
}

// BenchmarkPack measures what a request costs before it is sent: an operation
// is one action.
func BenchmarkPack(b *testing.B) {
	batch := benchBatches(newNotes(), 1, 10_000)[0]
	work := make([]entry, len(batch.Actions))
	for i := range work {
		work[i].action = &batch.Actions[i]
	}
	for _, compression := range []bool{false, true} {
		b.Run(fmt.Sprintf("compression %v", compression), func(b *testing.B) {
			r := newRequest(nil, compression)
			sent, packed := 0, int64(0)
			b.ReportAllocs()
			for b.Loop() {
				n, _ := r.build(work, 5<<20, len(work))
				_, size := r.body()
				sent, packed = sent+n, packed+size
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/action")
			b.ReportMetric(float64(packed)/float64(sent), "bytes/action")
		})
	}
}

// BenchmarkServer compares documents per second through the sink with those of
// a loop that only sends the same bytes, ready made, to the same server.
func BenchmarkServer(b *testing.B) {
	server := mainServer.Get(b)
	const batches, perBatch = 100, 1000
	for _, c := range []struct {
		name        string
		raw         bool
		compression bool
	}{{"raw bulk", true, false}, {"sink", false, false}, {"sink compressed", false, true}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := New(Config{Addresses: []string{server.URL}, Compression: c.compression}, sinks.Options{Owner: "bench"}, zerolog.Nop())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for b.Loop() {
				b.StopTimer()
				if err := s.Drop(b.Context(), "bench-1"); err != nil {
					b.Fatal(err)
				}
				spec := sinks.IndexSpec{Alias: "bench", Physical: "bench-1", Mappings: []byte(`{"dynamic":"strict","properties":{"id":{"type":"long"},"title":{"type":"keyword"},"body":{"type":"text"},"author":{"type":"keyword"},"published":{"type":"boolean"},"pub_date":{"type":"date"}}}`)}
				if _, err := s.Create(b.Context(), spec); err != nil {
					b.Fatal(err)
				}
				target := &sinks.Target{Index: "bench", Physical: "bench-1", WriteAlias: "bench-1-write"}
				all := benchBatches(target, batches, perBatch)
				bodies := rawBodies(all)
				b.StartTimer()
				if c.raw {
					rawBulk(b, server.URL, bodies)
				} else {
					pump(b, all, batches*perBatch, s.Write)
				}
				if n := target.Written.Load(); !c.raw && n != batches*perBatch {
					b.Fatalf("%d written", n)
				}
			}
			b.ReportMetric(float64(b.N)*batches*perBatch/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

// rawBodies are request bodies of some 5 MiB.
func rawBodies(batches []*sinks.Batch) (bodies [][]byte) {
	var body []byte
	for _, batch := range batches {
		for i := range batch.Actions {
			body = bulk.AppendAction(body, &batch.Actions[i])
		}
		if len(body) > 4<<20 {
			bodies, body = append(bodies, body), nil
		}
	}
	return append(bodies, body)
}

// rawBulk sends the bodies over four connections.
func rawBulk(b *testing.B, url string, bodies [][]byte) {
	work := make(chan []byte, len(bodies))
	for _, body := range bodies {
		work <- body
	}
	close(work)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for body := range work {
				if len(body) == 0 {
					continue
				}
				res, err := http.Post(url+"/_bulk", "application/x-ndjson", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
					b.Errorf("%d, %v", res.StatusCode, err)
				}
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()
}

// BenchmarkLatency tells how long a change takes until it is held, with 1000
// changes a second.
func BenchmarkLatency(b *testing.B) {
	server := mainServer.Get(b)
	s, err := New(Config{Addresses: []string{server.URL}, Compression: true, Bulk: BulkConfig{MaxWait: conf.Duration(100 * time.Millisecond)}}, sinks.Options{Owner: "bench"}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Create(b.Context(), sinks.IndexSpec{Alias: "latency", Physical: "latency-1", Serve: true}); err != nil {
		b.Fatal(err)
	}
	target := &sinks.Target{Index: "latency", Physical: "latency-1", WriteAlias: "latency-1-write"}
	var mu sync.Mutex
	var took []time.Duration
	for b.Loop() {
		in := make(chan *sinks.Batch)
		result := make(chan error, 1)
		go func() { result <- s.Write(b.Context(), in, func() bool { return true }) }()
		tick := time.NewTicker(time.Millisecond)
		for i := range int64(5000) {
			start := <-tick.C
			in <- &sinks.Batch{Actions: []sinks.Action{indexAction(target, fmt.Sprint(i%1000), time.Now().UnixMicro(), `{"a":1}`)}, Done: func() {
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(start))
			}}
		}
		tick.Stop()
		close(in)
		if err := <-result; err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	if err := s.Drop(b.Context(), target.Physical); err != nil {
		b.Fatal(err)
	}
}
