package replicator

import (
	"slices"
	"testing"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sinks"
)

// emptyStore is a row store of no tables.
func emptyStore(t *testing.T) *rowstore.Store {
	t.Helper()
	store, err := rowstore.Open(t.TempDir(), rowstore.Meta{}, rowstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// A drainBench has a drain of two targets without tables.
type drainBench struct {
	*testing.T
	j             *joins
	first, second *joinedTarget
	sent          []*piece // of the last round
}

func newDrainBench(t *testing.T) *drainBench {
	t.Helper()
	newTarget := func(physical string, id uint32) *joinedTarget {
		return &joinedTarget{target: &target{Target: &sinks.Target{Physical: physical}, build: &build{}}, renderer: &mapping.JoinedRenderer{Renderer: &mapping.Renderer{}}, id: id}
	}
	s := &drainBench{T: t, first: newTarget("first", 1), second: newTarget("second", 2)}
	store, targets := emptyStore(t), []*joinedTarget{s.first, s.second}
	s.j = &joins{store: store, targets: targets, drain: newDrain(store, targets, 1)}
	return s
}

func (s *drainBench) mark(to *joinedTarget, mark string) {
	s.Helper()
	if err := s.j.write(0, func(b *rowstore.Batch) error { return s.j.drain.mark(b, to, []byte(mark)) }); err != nil {
		s.Fatal(err)
	}
}

// round calls also whenever a piece is sent.
func (s *drainBench) round(also func()) {
	s.Helper()
	s.sent = nil
	err := s.j.drain.round(s.Context(), func(p *piece) error {
		s.sent = append(s.sent, p)
		p.rendered()
		also()
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *drainBench) expect(want ...string) {
	s.Helper()
	var got []string
	for _, p := range s.sent {
		got = append(got, p.marks...)
	}
	if !slices.Equal(got, want) {
		s.Errorf("sent %q, want %q", got, want)
	}
}

// hold says that all that was sent is held.
func (s *drainBench) hold() {
	s.Helper()
	for _, p := range s.sent {
		s.j.drain.hold(p)
	}
	s.settle()
}

func (s *drainBench) settle() {
	s.Helper()
	if err := s.j.settle(); err != nil {
		s.Fatal(err)
	}
}

func nothingElse() {}

// TestPaused: a paused target's documents are not sent, and what waits until all that
// is marked is held waits for them; for a target that has not begun nothing waits.
func TestPaused(t *testing.T) {
	s := newDrainBench(t)
	reached := 0
	wait := func(want int) {
		t.Helper()
		s.hold()
		if reached != want {
			t.Errorf("reached %d times, want %d", reached, want)
		}
	}
	s.second.paused.Store(true)
	s.mark(s.first, "a")
	s.j.drain.awaitMarked(func() { reached++ })
	s.round(nothingElse)
	s.expect("a")
	wait(1)

	s.second.began.Store(true)
	s.mark(s.first, "b")
	s.mark(s.second, "c")
	s.j.drain.awaitMarked(func() { reached++ })
	s.round(func() { s.second.paused.Store(false) }) // what the round reads is from before
	s.expect("b")
	wait(1)
	s.round(nothingElse)
	s.expect("c")
	wait(2)
}

// TestLandingDuringARound: a document that has landed and is unmarked after a round
// has begun is still marked in what the round reads. Sent once more it would delete
// what has taken its place.
func TestLandingDuringARound(t *testing.T) {
	s := newDrainBench(t)
	s.mark(s.second, "left")
	s.round(nothingElse)
	s.expect("left")
	s.j.drain.hold(s.sent[0])
	s.mark(s.first, "other")
	s.mark(s.second, "taken")
	s.round(s.settle)
	s.expect("other", "taken")
	for _, p := range s.sent {
		s.j.drain.hold(p)
	}
	s.mark(s.second, "left")
	s.round(nothingElse)
	s.expect("left")
	s.j.drain.hold(s.sent[0])
	s.settle()
	s.round(nothingElse)
	s.expect()
	if len(s.j.drain.flying) > 0 {
		t.Errorf("still on their way: %v", s.j.drain.flying)
	}
}
