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

// TestLandingDuringARound: a document that has landed and is unmarked after a round
// has begun is still marked in what the round reads. Sent once more it would delete
// what has taken its place.
func TestLandingDuringARound(t *testing.T) {
	store := emptyStore(t)
	newTarget := func(physical string, id uint32) *joinedTarget {
		return &joinedTarget{target: &target{Target: &sinks.Target{Physical: physical}, build: &build{}}, renderer: &mapping.JoinedRenderer{Renderer: &mapping.Renderer{}}, id: id}
	}
	first, second := newTarget("first", 1), newTarget("second", 2)
	targets := []*joinedTarget{first, second}
	j := &joins{store: store, targets: targets, drain: newDrain(store, targets, 1)}
	mark := func(to *joinedTarget, mark string) {
		t.Helper()
		if err := j.write(0, func(b *rowstore.Batch) error { return j.drain.mark(b, to, []byte(mark)) }); err != nil {
			t.Fatal(err)
		}
	}
	var sent []*piece
	round := func(also func()) {
		t.Helper()
		sent = nil
		err := j.drain.round(t.Context(), func(p *piece) error {
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
		if err := j.settle(); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {}

	mark(second, "left")
	round(nothing)
	expect("left")
	j.drain.hold(sent[0])
	mark(first, "other")
	mark(second, "taken")
	round(settle)
	expect("other", "taken")
	for _, p := range sent {
		j.drain.hold(p)
	}
	mark(second, "left")
	round(nothing)
	expect("left")
	j.drain.hold(sent[0])
	settle()
	round(nothing)
	expect()
	if len(j.drain.flying) > 0 {
		t.Errorf("still on their way: %v", j.drain.flying)
	}
}
