package sinktest

import (
	"errors"
	"maps"
	"testing"
	"time"

	"haystream/sinks"
)

// letters expects this many dead letters in an index, and none elsewhere.
func letters(t *testing.T, s sinks.Sink, target *sinks.Target, want int64) {
	t.Helper()
	all := map[string]int64{target.Physical: want}
	if want == 0 {
		clear(all)
	}
	if got, err := s.DeadLetters(t.Context()); err != nil || !maps.Equal(got, all) {
		t.Errorf("dead letters %v, %v, want %v", got, err, all)
	}
}

func deadLetters(t *testing.T, h Harness) {
	pipeline := name()
	s := open(t, h, pipeline)
	target := create(t, s, name())
	letters(t, s, target, 0)
	r := write(t, s)
	r.deliver(index(target, "good", 1, `{"n":1}`), reject(target, "bad", 5, "no such template"), reject(target, "worse", 5, "no such template"))
	letters(t, s, target, 2)
	r.deliver(reject(target, "bad", 6, "no such template"))
	letters(t, s, target, 2)
	r.deliver(index(target, "bad", 5, `{"n":5}`)) // not as late as the dead letter
	letters(t, s, target, 2)
	r.close()
	expect(t, h, target, map[string]Document{"good": {1, `{"n":1}`}, "bad": {5, `{"n":5}`}})
	if n := target.DeadLetters.Load(); n != 3 {
		t.Errorf("counted %d dead letters, want 3", n)
	}

	s = open(t, h, pipeline)
	r = write(t, s)
	letters(t, s, target, 2)
	r.deliver(index(target, "bad", 6, `{"n":6}`))
	letters(t, s, target, 1)
	r.deliver(reject(target, "mended", 7, "no such template"), index(target, "mended", 8, `{"n":8}`), remove(target, "worse", 9))
	letters(t, s, target, 0)
	r.close()
	expect(t, h, target, map[string]Document{"good": {1, `{"n":1}`}, "bad": {6, `{"n":6}`}, "mended": {8, `{"n":8}`}})
	letters(t, open(t, h, name()), target, 0)
}

func tooManyDeadLetters(t *testing.T, h Harness) {
	pipeline := name()
	s := openLimited(t, h, pipeline, 2)
	target := create(t, s, name())
	r := write(t, s)
	r.deliver(reject(target, "1", 1, "no"))
	r.deliver(reject(target, "2", 1, "no"))
	r.deliver(reject(target, "2", 2, "no"))
	done := r.send(reject(target, "3", 3, "no"))
	if err := r.wait(); !errors.Is(err, sinks.ErrTooManyDeadLetters) {
		t.Fatalf("Write returned %v", err)
	}
	select {
	case <-done:
		t.Error("a batch is done whose dead letter is one too many")
	default:
	}
	letters(t, s, target, 2)

	s = openLimited(t, h, pipeline, 1)
	r = write(t, s)
	if err := r.wait(); !errors.Is(err, sinks.ErrTooManyDeadLetters) {
		t.Fatalf("with a lower limit Write returned %v", err)
	}
	s = openLimited(t, h, pipeline, 3)
	r = write(t, s)
	r.deliver(reject(target, "3", 3, "no"))
	r.close()
	letters(t, s, target, 3)
}

func dropDeadLetters(t *testing.T, h Harness) {
	pipeline := name()
	s := openLimited(t, h, pipeline, 2)
	gone, kept := create(t, s, name()), create(t, s, name())
	r := write(t, s)
	r.deliver(reject(gone, "1", 1, "no"), reject(kept, "1", 1, "no"))
	if err := s.Drop(t.Context(), gone.Physical); err != nil {
		t.Fatal(err)
	}
	letters(t, s, kept, 1)
	r.deliver(reject(kept, "2", 1, "no")) // there is room again
	letters(t, s, kept, 2)
	if err := s.Shelve(t.Context(), kept.Physical); err != nil {
		t.Fatal(err)
	}
	letters(t, s, kept, 0)
	if index, err := s.Index(t.Context(), kept.Index); err != nil || index == nil {
		t.Errorf("an index that is shelved is gone: %v", err)
	}
	r.close()
}

// refused sends what the sink refuses among what it takes.
func refused(t *testing.T, h Harness) {
	if h.Refused == nil {
		return
	}
	s := open(t, h, name())
	target := create(t, s, name())
	r := write(t, s)
	bad := string(h.Refused)
	r.deliver(index(target, "1", 1, `{"n":1}`), index(target, "2", 1, bad), index(target, "3", 1, `{"n":1}`), index(target, "4", 1, bad))
	letters(t, s, target, 2)
	r.deliver(index(target, "2", 2, `{"n":2}`), index(target, "1", 3, bad), index(target, "1", 4, `{"n":4}`))
	letters(t, s, target, 1)
	start := time.Now()
	r.deliver(remove(target, "4", 5))
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("clearing a dead letter took %v", d)
	}
	letters(t, s, target, 0)
	r.close()
	expect(t, h, target, map[string]Document{"1": {4, `{"n":4}`}, "2": {2, `{"n":2}`}, "3": {1, `{"n":1}`}})
	if n := target.DeadLetters.Load(); n != 3 {
		t.Errorf("counted %d dead letters, want 3", n)
	}
}
