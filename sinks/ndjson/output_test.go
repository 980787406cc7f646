package ndjson

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/sinks"
)

var always = func() bool { return true }

func newTarget() *sinks.Target {
	return &sinks.Target{Index: "notes", Physical: "notes-1", WriteAlias: "notes-1-write"}
}

func newTestSink(t *testing.T, path string, stdout io.Writer) *Sink {
	t.Helper()
	s, err := New(Config{Path: path}, sinks.Options{Owner: "blog", StateDir: filepath.Join(t.TempDir(), "state"), MaxDeadLetters: 10, Stdout: stdout}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func index(to *sinks.Target, id, body string) sinks.Action {
	return sinks.Action{Target: to, Op: sinks.OpIndex, ID: []byte(id), Version: 1, Body: []byte(body)}
}

// deliver writes one batch and returns when Write has.
func deliver(ctx context.Context, s *Sink, actions ...sinks.Action) (done bool, err error) {
	in := make(chan *sinks.Batch, 1)
	in <- &sinks.Batch{Actions: actions, Done: func() { done = true }}
	close(in)
	err = s.Write(ctx, in, always)
	return done, err
}

// TestOnlyWholeActions: whatever a crash leaves at the end of the file, after
// the next start the file holds whole actions only.
func TestOnlyWholeActions(t *testing.T) {
	const (
		meta   = `{"index":{"_index":"notes-1-write","_id":"1"}}` + "\n"
		remove = `{"delete":{"_index":"notes-1-write","_id":"1"}}` + "\n"
	)
	whole := meta + `{"a":1}` + "\n"
	strange := meta + meta // a document that looks like metadata
	for name, c := range map[string]struct{ left, kept string }{
		"nothing":                            {"", ""},
		"whole":                              {whole, whole},
		"whole delete":                       {whole + remove, whole + remove},
		"half a metadata line":               {whole + meta[:10], whole},
		"no document":                        {whole + meta, whole},
		"no document, after a delete":        {remove + meta, remove},
		"no document at all":                 {meta, ""},
		"half a document":                    {whole + meta + `{"a"`, whole},
		"half a delete":                      {whole + remove[:20], whole},
		"a strange document":                 {whole + strange, whole + strange},
		"after a strange document":           {whole + strange + meta, whole + strange},
		"strange documents only":             {strange + strange, strange + strange},
		"half of a strange document":         {whole + meta + meta[:30], whole},
		"a long document, and half a line":   {meta + strings.Repeat("x", 200_000) + "\n" + meta[:9], meta + strings.Repeat("x", 200_000) + "\n"},
		"a long document without line break": {whole + meta + strings.Repeat("x", 200_000), whole},
	} {
		path := filepath.Join(t.TempDir(), "out.ndjson")
		if err := os.WriteFile(path, []byte(c.left), 0o644); err != nil {
			t.Fatal(err)
		}
		s := newTestSink(t, path, nil)
		if done, err := deliver(t.Context(), s, sinks.Action{Target: newTarget(), Op: sinks.OpDelete, ID: []byte("2")}); !done || err != nil {
			t.Fatalf("%s: done %v, %v", name, done, err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept, ok := bytes.CutSuffix(got, []byte(`{"delete":{"_index":"notes-1-write","_id":"2","version":0,"version_type":"external_gte","require_alias":true}}`+"\n"))
		if !ok || string(kept) != c.kept {
			t.Errorf("%s: kept %.80q, want %.80q", name, got, c.kept)
		}
	}
}

// A fullDisk takes some bytes and fails, until it is freed.
type fullDisk struct {
	file *os.File
	mu   sync.Mutex
	room int
}

func (d *fullDisk) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file.Write(b[:min(len(b), d.room)])
	if err == nil && n < len(b) {
		err = &os.PathError{Op: "write", Path: d.file.Name(), Err: syscall.ENOSPC}
	}
	d.room -= n
	return n, err
}

// TestFullDisk: lines wait, health says why, nothing is lost or torn.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.ndjson")
	s := newTestSink(t, path, nil)
	out, err := openOutput(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.close() }()
	disk := &fullDisk{file: out.file, room: 1000}
	out.w = disk
	w := s.newWriter(out, always)
	target := newTarget()
	var group []*sinks.Batch
	done := 0
	for i := range 10 {
		group = append(group, &sinks.Batch{Actions: []sinks.Action{index(target, fmt.Sprint(i), `{"a":1}`)}, Done: func() { done++ }})
		if err := w.memory.Acquire(t.Context(), w.size(group[i])); err != nil {
			t.Fatal(err)
		}
	}
	result := make(chan error, 1)
	go func() { result <- w.deliver(t.Context(), group) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Health() == nil {
		<-tick.C
	}
	if err := s.Health(); !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), path) {
		t.Errorf("health: %v", err)
	}
	if left, err := os.ReadFile(path); err != nil || len(left) > 1000 {
		t.Errorf("%d bytes, %v", len(left), err)
	}
	disk.mu.Lock()
	disk.room = 1 << 20
	disk.mu.Unlock()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if done != 10 || s.Health() != nil {
		t.Errorf("%d of 10 done, health %v", done, s.Health())
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if got := apply(t, f, target.WriteAlias); len(got) != 10 {
		t.Errorf("%d documents, want 10", len(got))
	}
	if lines, err := os.ReadFile(path); err != nil || bytes.Count(lines, []byte("\n")) != 20 {
		t.Errorf("%d lines, %v, want 20", bytes.Count(lines, []byte("\n")), err)
	}
}

func TestStandardOutput(t *testing.T) {
	var out bytes.Buffer
	s := newTestSink(t, "-", &out)
	target := newTarget()
	if done, err := deliver(t.Context(), s, index(target, "1", `{"a":1}`), index(target, "2", `{"a":2}`)); !done || err != nil {
		t.Fatal(done, err)
	}
	if got := apply(t, &out, target.WriteAlias); len(got) != 2 || got["2"].Body != `{"a":2}` {
		t.Errorf("got %v", got)
	}
}

// TestBrokenPipe: what cannot be undone is not tried again.
func TestBrokenPipe(t *testing.T) {
	r, w := io.Pipe()
	broken := errors.New("nobody reads")
	if err := r.CloseWithError(broken); err != nil {
		t.Fatal(err)
	}
	s := newTestSink(t, "-", w)
	if done, err := deliver(t.Context(), s, index(newTarget(), "1", `{}`)); done || !errors.Is(err, broken) {
		t.Errorf("done %v, %v", done, err)
	}
}

// TestDevices need no sync and keep nothing.
func TestDevices(t *testing.T) {
	s := newTestSink(t, os.DevNull, nil)
	target := newTarget()
	if done, err := deliver(t.Context(), s, index(target, "1", `{}`)); !done || err != nil || target.Written.Load() != 1 {
		t.Errorf("done %v, %v, %d written", done, err, target.Written.Load())
	}
}

func TestCheckFindsAPathThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	for path, ok := range map[string]bool{"-": true, dir + "/new": true, dir: false, dir + "/none/new": false} {
		findings, err := newTestSink(t, path, nil).Check(t.Context(), []sinks.IndexSpec{{Alias: "notes"}})
		if err != nil || (findings[0].Level == "ok") != ok || len(findings) != 2 {
			t.Errorf("%s: %v, %v", path, findings, err)
		}
	}
	if _, err := os.Stat(dir + "/new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a check has made the file: %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	s, err := New(Config{Path: os.DevNull}, sinks.Options{Owner: "blog", StateDir: b.TempDir()}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	batch := &sinks.Batch{Actions: make([]sinks.Action, 1000)}
	target := newTarget()
	for i := range batch.Actions {
		batch.Actions[i] = index(target, fmt.Sprint(i), fmt.Sprintf(`{"id":%d,"body":"%s"}`, i, strings.Repeat("words ", 40)))
	}
	in, free, result := make(chan *sinks.Batch), make(chan struct{}, 1), make(chan error, 1)
	batch.Done = func() { free <- struct{}{} }
	go func() { result <- s.Write(b.Context(), in, always) }()
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += len(batch.Actions) {
		in <- batch
		<-free
	}
	close(in)
	if err := <-result; err != nil {
		b.Fatal(err)
	}
}
