package joins

import (
	"slices"
	"sync/atomic"
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

// TestLandingDuringARound: a document that has landed while a round is under way is
// not sent once more. It would delete what has taken its place.
func TestLandingDuringARound(t *testing.T) {
	store := emptyStore(t)
	newTarget := func(physical string, id uint32) *target {
		to := &target{Target: &Target{Target: &sinks.Target{Physical: physical}, Retired: &atomic.Bool{}}, renderer: &mapping.JoinedRenderer{Renderer: &mapping.Renderer{}}, id: id}
		to.began.Store(1)
		to.sent = true
		return to
	}
	first, second := newTarget("first", 1), newTarget("second", 2)
	targets := []*target{first, second}
	c := newClock(store, 1)
	j := &Joins{store: store, targets: targets, clock: c, rounds: newRounds(c, targets), marking: map[document]bool{}}
	mark := func(to *target, mark string) {
		t.Helper()
		if err := j.write(0, func(*rowstore.Batch) error { return j.mark(to, []byte(mark)) }); err != nil {
			t.Fatal(err)
		}
	}
	var sent []*Piece
	round := func(also func()) {
		t.Helper()
		sent = nil
		err := j.rounds.round(t.Context(), func(p *Piece) error {
			sent = append(sent, p)
			p.rendered()
			also()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		var got []string
		for _, p := range sent {
			got = append(got, p.marks...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	settle := func() {
		t.Helper()
		if err := j.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {}

	mark(second, "left")
	round(nothing)
	expect("left")
	sent[0].Hold()
	mark(first, "other")
	mark(second, "taken")
	round(settle)
	expect("other", "taken")
	for _, p := range sent {
		p.Hold()
	}
	mark(second, "left")
	round(nothing)
	expect("left")
	sent[0].Hold()
	settle()
	round(nothing)
	expect()
	snap := store.Snapshot()
	defer snap.Release()
	err := snap.Dirty(0, func(version int64, data []byte) (bool, error) {
		t.Errorf("still dirty since %d: %q", version, data)
		return true, nil
	})
	if d := &j.rounds.dirty; err != nil || len(d.documents)+len(d.left)+len(d.queue) > 0 {
		t.Errorf("still dirty: %v, %v", d.documents, err)
	}
}
