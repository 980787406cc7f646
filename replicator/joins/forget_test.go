package joins

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"haystream/mapping/rowstore"
	"haystream/sinks"
)

// TestForgetGone: of an index that is no longer fed nothing stays in the store;
// of one that is, everything.
func TestForgetGone(t *testing.T) {
	store := emptyStore(t)
	fed := func(physical string) *target {
		return &target{Target: &Target{Target: &sinks.Target{Physical: physical}, Retired: &atomic.Bool{}}, id: targetID(physical, 0)}
	}
	kept, gone := fed("notes-2"), fed("notes-1")
	c := newClock(store, 1, time.Now())
	j := &Joins{store: store, targets: []*target{kept}, clock: c, rounds: newRounds(c, nil)}
	err := j.write(5, func(b *rowstore.Batch) error {
		for _, to := range []*target{kept, gone} {
			err := errors.Join(b.PutDue(9, to.id, []byte("k")), b.PutDirty(to.id, 1, []byte("d")),
				writeNote(b, noteBegan+to.name(), true), writeNote(b, notePass+to.name(), true))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to forget
		if err := j.forgetGone(); err != nil {
			t.Fatal(err)
		}
	}
	snap := store.Snapshot()
	defer snap.Release()
	for _, to := range []*target{kept, gone} {
		_, due, err := snap.DueOf(to.id, []byte("k"))
		var began, passed bool
		if err := errors.Join(err, readNote(snap, noteBegan+to.name(), &began), readNote(snap, notePass+to.name(), &passed)); err != nil {
			t.Fatal(err)
		}
		dirty := false
		if err := snap.Dirty(to.id, 0, func(int64, []byte) (bool, error) { dirty = true; return true, nil }); err != nil {
			t.Fatal(err)
		}
		if want := to == kept; dirty != want || due != want || began != want || passed != want {
			t.Errorf("%s: dirty %v, due %v, began %v, passed %v", to.Physical, dirty, due, began, passed)
		}
	}
}
