package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/preflight"
	"haystream/sinks"
)

func info(t *testing.T, h Harness) {
	s := open(t, h, name())
	for range 2 {
		got, err := s.Info(t.Context())
		if err != nil || got.Kind == "" || got.Address == "" {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	if err := s.Health(); err != nil {
		t.Errorf("health before anything was written: %v", err)
	}
}

func check(t *testing.T, h Harness) {
	s, alias := open(t, h, name()), name()
	for range 2 {
		findings, err := s.Check(t.Context(), []sinks.IndexSpec{{Alias: alias}})
		if err != nil || len(findings) < 2 {
			t.Fatalf("got %v, %v", findings, err)
		}
		if bad := preflight.Errors(findings); len(bad) > 0 {
			t.Errorf("errors: %v", bad)
		}
	}
	if index, err := s.Index(t.Context(), alias); index != nil || err != nil {
		t.Errorf("after a check there is an index: %v, %v", index, err)
	}
}

// expect compares what a reader finds with want.
func expect(t *testing.T, h Harness, target *sinks.Target, want map[string]Document) {
	t.Helper()
	if got := h.Documents(t, target); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func writes(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	r.deliver(index(target, "1", 10, `{"n":1}`), index(target, "2", 11, `{"n":2}`), remove(target, "never", 12))
	r.deliver(index(target, "3", 13, `{"n":3}`), remove(target, "1", 14), index(target, "2", 15, `{"text":"two"}`))
	r.close()
	expect(t, h, target, map[string]Document{"2": {15, `{"text":"two"}`}, "3": {13, `{"n":3}`}})
	if w, d := target.Written.Load(), target.Deleted.Load(); w != 4 || d != 2 {
		t.Errorf("counted %d written, %d deleted, want 4 and 2", w, d)
	}
}

// order repeats few ids in many batches that are under way together: an action
// that overtook another of its document would be counted as superseded.
func order(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	const documents, batches, perBatch = 7, 40, 25
	version, last := int64(0), map[string]Document{}
	for range batches {
		var actions []sinks.Action
		for range perBatch {
			version++
			id, body := fmt.Sprint(version%documents), fmt.Sprintf(`{"n":%d}`, version)
			actions = append(actions, index(target, id, version, body))
			last[id] = Document{version, body}
		}
		r.send(actions...)
	}
	r.close()
	expect(t, h, target, last)
	if n := target.Superseded.Load(); n != 0 {
		t.Errorf("%d actions were overtaken", n)
	}
	if n := target.Written.Load(); n != version {
		t.Errorf("%d actions were counted, want %d", n, version)
	}
}

func versions(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	r.deliver(index(target, "kept", 5, `{"n":5}`), index(target, "gone", 5, `{"n":5}`), index(target, "same", 5, `{"n":5}`))
	r.deliver(remove(target, "gone", 7))
	r.deliver(index(target, "kept", 3, `{"n":3}`), remove(target, "kept", 4), index(target, "gone", 6, `{"n":6}`), index(target, "same", 5, `{"n":5}`))
	r.close()
	expect(t, h, target, map[string]Document{"kept": {5, `{"n":5}`}, "same": {5, `{"n":5}`}})
	if n := target.Superseded.Load(); h.Gates && n != 3 {
		t.Errorf("%d were counted as superseded, want 3", n)
	}
}

func doneOnce(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	var waits []<-chan struct{}
	want := map[string]Document{}
	for i := range 200 {
		id := fmt.Sprint(i)
		waits = append(waits, r.send(index(target, id, 1, `{"n":1}`), index(target, id, 2, `{"n":2}`)), r.send())
		want[id] = Document{2, `{"n":2}`}
	}
	r.close() // what is under way is delivered first
	for i, done := range waits {
		select {
		case <-done:
		default:
			t.Fatalf("Write returned and batch %d is not done", i)
		}
	}
	expect(t, h, target, want)
}

// reuse scribbles over a batch as soon as it is done, as its owner may.
func reuse(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	want := map[string]Document{}
	free := make(chan *sinks.Batch, 4)
	for range cap(free) {
		free <- &sinks.Batch{}
	}
	for version := int64(1); version <= 100; version++ {
		b := <-free
		b.Reset()
		for i := range 50 {
			id, body := fmt.Sprintf("%d-%d", version, i), fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, strings.Repeat("x", 100))
			b.Actions = append(b.Actions, sinks.Action{
				Target: target, Op: sinks.OpIndex, Version: version, ID: b.Keep([]byte(id)), Body: b.Keep([]byte(body)),
			})
			want[id] = Document{version, body}
		}
		b.Done = func() {
			for i := range b.Actions {
				a := &b.Actions[i]
				scribble(a.ID)
				scribble(a.Body)
				*a = sinks.Action{}
			}
			free <- b
		}
		r.in <- b
	}
	r.close()
	expect(t, h, target, want)
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

// large sends one batch, and one document, beyond all limits that the harness
// sets for requests and memory; the suite expects 1 MiB or less of each.
func large(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	var actions []sinks.Action
	want := map[string]Document{}
	for i := range 30 {
		id, body := fmt.Sprint(i), fmt.Sprintf(`{"text":"%s"}`, strings.Repeat("words ", 20<<10))
		actions = append(actions, index(target, id, 1, body))
		want[id] = Document{1, body}
	}
	body := fmt.Sprintf(`{"text":"%s"}`, strings.Repeat("words ", 400<<10))
	want["large"] = Document{1, body}
	b := &sinks.Batch{Actions: append(actions, index(target, "large", 1, body))}
	b.Keep(make([]byte, 8<<20))
	done := make(chan struct{})
	b.Done = func() { close(done) }
	r.in <- b
	r.close()
	<-done
	expect(t, h, target, want)
}

func cancel(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	done, stop, sender := make(chan struct{}, 10), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sender)
		for i := int64(1); ; i++ {
			b := &sinks.Batch{Actions: []sinks.Action{index(target, fmt.Sprint(i), i, `{"n":1}`)}, Done: func() {
				select {
				case done <- struct{}{}:
				default:
				}
			}}
			select {
			case r.in <- b:
			case <-stop:
				return
			}
		}
	}()
	defer func() { close(stop); <-sender }()
	for range cap(done) {
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("nothing is delivered")
		}
	}
	start := time.Now()
	r.cancel()
	if err := r.wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Write returned %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Write took %v to end", d)
	}
	if err := s.Health(); err != nil {
		t.Errorf("health after Write has ended: %v", err)
	}
}

func ids(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	want := map[string]Document{}
	for _, id := range []string{`a"b`, `back\slash`, "line\nbreak", "\x01\x1f", "é \U0001f600\u2028", "a/b?c#d%20", strings.Repeat("é", 256)} {
		a := index(target, id, 1, `{"n":1}`)
		a.Routing = []byte(`r"1`)
		r.deliver(a)
		want[id] = Document{1, `{"n":1}`}
	}
	r.close()
	expect(t, h, target, want)
}

// unleased holds back what another daemon may have overtaken.
func unleased(t *testing.T, h Harness) {
	s := open(t, h, name())
	target := create(t, s, name())
	var leased atomic.Bool
	asked := make(chan struct{}, 1)
	r := writeLeased(t, s, func() bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return leased.Load()
	})
	done := r.send(index(target, "1", 1, `{"n":1}`))
	for range 3 {
		<-asked
	}
	select {
	case <-done:
		t.Fatal("delivered without the lease")
	default:
	}
	if n := target.Written.Load(); n != 0 {
		t.Fatalf("%d documents written without the lease", n)
	}
	leased.Store(true)
	r.close()
	<-done
}
