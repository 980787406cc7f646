package rowstore

import (
	"errors"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A volume that is full already, or from any step of Open on, is told, and
// changes nothing: with room, the store is what it was.
func TestFullAtOpen(t *testing.T) {
	l, r, m := layout(), rand.New(rand.NewPCG(9, 9)), newModel()
	killed := vfs.NewCrashableMem()
	s, err := openLayout("/data/store", l, source, Options{FS: killed, CacheBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for range 400 { // more than the memory of the next Open holds, in the log only
		if err := m.commit(s, l, r, true); err != nil {
			t.Fatal(err)
		}
	}
	left := killed.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for step := int32(0); ; step++ {
		disk := vfs.NewMem()
		if _, err := vfs.Clone(left, disk, "/data", "/data"); err != nil {
			t.Fatal(err)
		}
		volume := newFailing(disk, &os.PathError{Op: "write", Path: "store", Err: syscall.ENOSPC})
		volume.on.Store(step)
		s, err := openLayout("/data/store", l, source, Options{FS: volume, CacheBytes: 1 << 18})
		if err == nil {
			if err := s.Close(); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
		steps++
		if !errors.Is(err, ErrFull) {
			t.Fatalf("step %d: %v", step, err)
		}
		s = open(t, disk, l)
		if got, want := current(t, l, s), m.dump(l); got != want {
			t.Fatalf("step %d: found\n%s\nwant\n%s", step, got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d steps", steps)
	if steps < 15 {
		t.Errorf("Open has %d steps only", steps)
	}
}
