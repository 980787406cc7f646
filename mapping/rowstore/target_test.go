package rowstore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDropTarget: of several targets with more documents than one commit drops, or with dirty ones only,
// one goes and the others stay whole.
func TestDropTarget(t *testing.T) {
	s := open(t, vfs.NewMem(), layout())
	defer s.Close()
	const many = 2*dropKeys + 7
	b := s.Batch()
	b.SetPosition("here", 7)
	for _, target := range []uint32{0, 5, 6, math.MaxUint32} {
		for n := range map[uint32]int{0: 3, 5: many, 6: 3, math.MaxUint32: 3}[target] {
			key := []byte(fmt.Sprint(n))
			if err := b.PutDue(int64(n%100), target, key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(b.PutDirty(5, 1, []byte("five")), b.PutDirty(7, 1, []byte("seven"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"other", "pass/a", "pass/b", "past"} {
		if err := b.Set(name, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Targets(); err != nil || !slices.Equal(got, []uint32{0, 5, 6, 7, math.MaxUint32}) {
		t.Errorf("targets: %v, %v", got, err)
	}
	for range 2 { // again does nothing
		if err := s.DropTarget(5); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Targets(); err != nil || !slices.Equal(got, []uint32{0, 6, 7, math.MaxUint32}) {
		t.Errorf("targets that are left: %v, %v", got, err)
	}
	if pos, version := s.Position(); pos != "here" || version != 7 {
		t.Errorf("the position has become %s, %d", pos, version)
	}
	snap := s.Snapshot()
	defer snap.Release()
	count := map[string]int{}
	if err := snap.Due(math.MaxInt64, func(_ int64, target uint32, _ []byte) (bool, error) {
		count[fmt.Sprintf("dues of %d", target)]++
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(count), "map[dues of 0:3 dues of 4294967295:3 dues of 6:3]"; got != want {
		t.Errorf("left are %s, want %s", got, want)
	}
	var names []string
	if err := snap.Notes("pass/", func(name string) (bool, error) { names = append(names, name); return true, nil }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names, " "); got != "pass/a pass/b" {
		t.Errorf("notes: %s", got)
	}
}
