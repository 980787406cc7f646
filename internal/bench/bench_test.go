package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCutKeepsPairsOfLinesTogether(t *testing.T) {
	var all []byte
	for i := range 20000 {
		all = fmt.Appendf(all, "{\"index\":{\"_id\":\"%d\"}}\n{\"body\":%q}\n", i, strings.Repeat("x", i%1500))
	}
	requests := 0
	for rest := all; len(rest) > 0; requests++ {
		n := cut(rest, bulkBytes)
		part := rest[:n]
		if n == 0 || n > bulkBytes || bytes.Count(part, []byte("\n"))%2 != 0 || !bytes.HasPrefix(part, []byte(`{"index":`)) {
			t.Fatalf("request %d: %d bytes, %d lines, starts with %.20s", requests, n, bytes.Count(part, []byte("\n")), part)
		}
		rest = rest[n:]
	}
	if want := len(all)/bulkBytes + 1; requests != want {
		t.Errorf("%d requests, want %d", requests, want)
	}
}

func TestCutLetsALargePairPass(t *testing.T) {
	large := []byte("{}\n\"" + strings.Repeat("x", bulkBytes) + "\"\n")
	if got := cut(append(large, "{}\n{}\n"...), bulkBytes); got != len(large) {
		t.Errorf("got %d bytes, want %d", got, len(large))
	}
}

func TestQuantile(t *testing.T) {
	samples := []time.Duration{5, 1, 3, 2, 4}
	for percent, want := range map[int]time.Duration{0: 1, 20: 1, 21: 2, 50: 3, 95: 5, 100: 5} {
		if got := quantile(samples, percent); got != want {
			t.Errorf("quantile %d is %d, want %d", percent, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	r := report{
		results: []result{{
			what: "snapshot", baseline: "COPY", ratio: 0.4, cpu: 3, documents: million,
			ours:   []measured{{took: 2 * time.Second, cpu: 4 * time.Second, peak: 50 << 20, startup: time.Second / 4}},
			theirs: []time.Duration{time.Second},
		}},
		latencies: []latency{{what: "latency", samples: []time.Duration{time.Second}, targets: []percentile{{50, time.Millisecond}, {95, 0}}}},
	}
	var out strings.Builder
	if err := r.print(&out, million); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"500000", "1000000", "0.50", ">= 0.40  met", "4.0", "<= 3    NOT MET", "50", "< 100   met", "p50 1000.0 ms (< 1ms: NOT MET) p95 1000.0 ms\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
