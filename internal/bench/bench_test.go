package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
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

func TestOptions(t *testing.T) {
	t.Setenv("HAYSTREAM_BENCH_ROWS", "1000")
	for args, want := range map[string]string{
		"":                             "postgres:snapshot,stream,endtoend mysql:snapshot,stream mariadb:snapshot,stream",
		"-db mysql":                    "mysql:snapshot,stream",
		"-db mysql,mariadb stream":     "mysql:stream mariadb:stream",
		"endtoend":                     "postgres:endtoend",
		"-db mariadb endtoend":         "mariadb:endtoend",
		"-db mysql store":              "mysql:store",
		"-db postgres,mysql joined":    "postgres:joined mysql:joined",
		"-db mariadb templates":        "mariadb:templates",
		"-db postgres snapshot stream": "postgres:snapshot,stream",
	} {
		o, err := parse(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, kind := range kinds() {
			var taken []string
			for _, m := range measurements {
				if o.wants(kind, m) {
					taken = append(taken, m)
				}
			}
			if len(taken) > 0 {
				got = append(got, kind+":"+strings.Join(taken, ","))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}

func TestOptionsRefuse(t *testing.T) {
	for _, args := range []string{"-db oracle", "-db mysql,", "everything", "-rows 5"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// answer is packets of these sizes, each with this first byte.
func answer(packets ...[2]int) *bufio.Reader {
	var all []byte
	for _, p := range packets {
		all = append(all, byte(p[0]), byte(p[0]>>8), byte(p[0]>>16), 0, byte(p[1]))
		all = append(all, make([]byte, p[0]-1)...)
	}
	return bufio.NewReader(bytes.NewReader(all))
}

func TestCountPackets(t *testing.T) {
	end := [2]int{5, 0xfe}
	result := answer([2]int{1, 1}, [2]int{40, 3}, end, [2]int{70000, 0xfe}, [2]int{1, 0xfb}, [2]int{300, 0}, end)
	for _, want := range []int{2, 3} {
		if n, err := countPackets(result); err != nil || n != want {
			t.Errorf("got %d packets and %v, want %d", n, err, want)
		}
	}
	for name, cut := range map[string]*bufio.Reader{
		"refused":          answer([2]int{20, 0xff}),
		"refused midway":   answer([2]int{300, 0}, [2]int{20, 0xff}),
		"without its end":  answer([2]int{300, 0}),
		"without anything": answer(),
	} {
		if _, err := countPackets(cut); err == nil {
			t.Errorf("an answer %s is taken", name)
		}
	}
}

func TestReadLog(t *testing.T) {
	var log []byte
	message := func(place byte, size int) {
		body := append([]byte{'w', 0, 0, 0, 0, 0, 0, 0, place}, make([]byte, size)...)
		log = append(binary.BigEndian.AppendUint32(append(log, 'd'), uint32(4+len(body))), body...)
	}
	for place := range byte(5) {
		message(place, 10000*int(place))
	}
	r := bufio.NewReader(bytes.NewReader(log))
	if err := readLog(r, 3); err != nil {
		t.Fatal(err)
	}
	if left, _ := io.ReadAll(r); len(left) != 5+9+40000 {
		t.Errorf("%d bytes are left", len(left))
	}
	if err := readLog(bufio.NewReader(bytes.NewReader(log)), 9); err == nil {
		t.Error("a log that ends early is taken")
	}
	if err := readLog(bufio.NewReader(strings.NewReader("E\x00\x00\x00\x10 an error of it")), 1); err == nil {
		t.Error("an error is taken for log")
	}
}
