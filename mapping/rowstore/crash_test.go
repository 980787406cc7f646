package rowstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"haystream/internal/seeds"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A power cut keeps what was synced, and of the rest any part that the disk has.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			disk, l, m := vfs.NewCrashableMem(), layout(), newModel()
			s := open(t, disk, l)
			dumps := []string{m.dump(l)}
			loaded := map[int]string{} // what may be there instead, by commits
			synced := 0
			for range 5 {
				for range 1 + r.IntN(40) {
					sync := r.IntN(15) == 0
					if err := m.commit(s, l, r, sync); err != nil {
						t.Fatal(err)
					}
					if m.loaded != "" {
						loaded[len(dumps)-1] = m.loaded
						synced = max(synced, len(dumps)-1)
					}
					dumps = append(dumps, m.dump(l))
					if sync {
						synced = len(dumps) - 1
					}
				}
				if r.IntN(2) == 0 {
					if err := s.Sync(); err != nil {
						t.Fatal(err)
					}
					synced = len(dumps) - 1
				}
				cut := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * r.IntN(5), RNG: r})
				after := open(t, cut, l)
				n := int(after.Sequence())
				if n < synced || n >= len(dumps) {
					t.Fatalf("found at %d, was synced at %d of %d", n, synced, len(dumps)-1)
				}
				if got := current(t, l, after); got != dumps[n] && got != loaded[n] {
					t.Fatalf("found\n%s\nwant\n%s\nor\n%s", got, dumps[n], loaded[n])
				}
				if err := after.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What was noted of checkpoints survives a power cut, also where nothing is committed or synced after it: a store that
// knows of fewer would go on from a sink that was put back to a backup from before the last one.
func TestPowerCutAfterANote(t *testing.T) {
	disk, l := vfs.NewCrashableMem(), layout()
	s := open(t, disk, l)
	if err := errors.Join(s.Sync(), s.NoteSaves(7)); err != nil {
		t.Fatal(err)
	}
	after := open(t, disk.CrashClone(vfs.CrashCloneCfg{}), l)
	if n := after.Saves(); n != 7 {
		t.Errorf("%d checkpoints were saved, want 7", n)
	}
	if err := errors.Join(after.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// The store survives a power cut also where a start has made its directory and could not sync that.
func TestPowerCutAfterAFailedStart(t *testing.T) {
	for _, fails := range []errorfs.OpKind{errorfs.OpStat, errorfs.OpOpenDir, errorfs.OpFileSync} {
		disk, l := vfs.NewCrashableMem(), layout()
		broken := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == fails {
				return syscall.EIO
			}
			return nil
		}))
		if s, err := openLayout("/data/store", l, source, Options{FS: broken, pieceBytes: 100}); err == nil {
			t.Fatalf("opened %s though %v fails", s.ID(), fails)
		}
		s := open(t, disk, l)
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		after := open(t, disk.CrashClone(vfs.CrashCloneCfg{}), l)
		if after.ID() != s.ID() {
			t.Errorf("another store after a power cut, where %v failed at the first start", fails)
		}
		if err := errors.Join(after.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// A power cut at any step of Reset leaves the old store, an empty one, or none.
func TestPowerCutInReset(t *testing.T) {
	l := layout()
	for step := int32(0); ; step++ {
		disk := vfs.NewCrashableMem()
		s := open(t, disk, l)
		id := s.ID()
		if err := newModel().commit(s, l, rand.New(rand.NewPCG(1, 1)), true); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var cut *vfs.MemFS
		index := errorfs.OnIndex(1 << 30)
		s = open(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && index.MaybeError(op) != nil {
				cut = disk.CrashClone(vfs.CrashCloneCfg{})
			}
			return nil
		})), l)
		index.Store(step)
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if cut == nil {
			if step < 5 {
				t.Fatalf("Reset has %d steps only", step)
			}
			return
		}
		s, err := openLayout("/data/store", l, source, Options{FS: cut, pieceBytes: 100})
		switch {
		case err != nil && !errors.Is(err, ErrRebuild):
			t.Fatalf("step %d: %v", step, err)
		case err == nil && s.ID() == id && s.Sequence() != 1, err == nil && s.ID() != id && s.Sequence() != 0:
			t.Fatalf("step %d: found at %d", step, s.Sequence())
		}
		if err := errors.Join(s.Reset(), s.Close()); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
}

// failing is a volume that takes no writes from some operation on.
type failing struct {
	vfs.FS
	on  *errorfs.InjectIndex
	why error
}

func newFailing(fs vfs.FS, why error) *failing {
	f := &failing{on: errorfs.OnIndex(1 << 30), why: why}
	var failed atomic.Bool
	f.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if f.on.MaybeError(op) != nil {
			failed.Store(true)
		}
		if failed.Load() {
			return f.why
		}
		return nil
	}))
	return f
}

// A volume that takes no writes from any moment on stops the store as a kill
// would; what is there stays readable, and the store goes on when it is mended.
func TestFull(t *testing.T) {
	l := layout()
	steps := 0
	for step := int32(0); ; step += 1 + step/4 {
		disk := vfs.NewMem()
		volume := newFailing(disk, &os.PathError{Op: "write", Path: "store", Err: syscall.ENOSPC})
		s := open(t, volume, l)
		r, chance, m := rand.New(rand.NewPCG(9, 9)), rand.New(rand.NewPCG(uint64(step), 0)), newModel()
		var synced uint64
		var failed error
		volume.on.Store(step)
		for failed == nil && m.sequence < 400 {
			sync := chance.IntN(10) == 0
			if failed = m.commit(s, l, r, sync); failed == nil && sync {
				synced = m.sequence
			}
		}
		if failed == nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
		steps++
		if !errors.Is(failed, ErrFull) {
			t.Fatalf("step %d: %v", step, failed)
		}
		if err := s.Sync(); !errors.Is(err, ErrFull) {
			t.Fatalf("step %d: sync after the failure: %v", step, err)
		}
		if err := s.Batch().Commit(false); !errors.Is(err, ErrFull) {
			t.Fatalf("step %d: commit after the failure: %v", step, err)
		}
		now, next := replay(t, l, 9, s.Sequence(), small), replay(t, l, 9, m.sequence, small)
		if got := current(t, l, s); !sameRows(got, now[0]) && !sameRows(got, next[0]) && !sameRows(unindexed(got), unindexed(now[1])) {
			t.Fatalf("step %d: the store shows\n%s", step, got)
		}
		s.Close()
		if _, err := openLayout("/data/store", l, source, Options{FS: volume, pieceBytes: 100}); !errors.Is(err, ErrFull) {
			t.Fatalf("step %d: open while full: %v", step, err)
		}
		s = open(t, disk, l)
		if n := s.Sequence(); n < synced || n > m.sequence {
			t.Fatalf("step %d: found at %d, was synced at %d of %d", step, n, synced, m.sequence)
		}
		if got, want := current(t, l, s), replay(t, l, 9, s.Sequence(), small); !slices.Contains(want, got) {
			t.Fatalf("step %d: found\n%s\nwant\n%s", step, got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d moments", steps)
	if steps < 15 {
		t.Errorf("the volume was full at %d moments only", steps)
	}
}

// sameRows compares dumps without the position, which a failed commit does not move.
func sameRows(a, b string) bool {
	_, a, _ = strings.Cut(a, "\n")
	_, b, _ = strings.Cut(b, "\n")
	return a == b
}

// unindexed leaves the indexes out of a dump: rows that were loaded may not be in them
// until the store is opened again.
func unindexed(dump string) string {
	lines := strings.Split(dump, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, " by ") }), "\n")
}

func TestReadOnly(t *testing.T) {
	l := layout()
	for _, number := range []syscall.Errno{syscall.EROFS, syscall.EACCES} {
		disk := vfs.NewMem()
		volume := newFailing(disk, &os.PathError{Op: "open", Path: "store", Err: number})
		s := open(t, volume, l)
		volume.on.Store(0)
		err := newModel().commit(s, l, rand.New(rand.NewPCG(1, 1)), true)
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("commit: %v", err)
		}
		s.Close()
		if _, err := openLayout("/data/store", l, source, Options{FS: volume, pieceBytes: 100}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("open: %v", err)
		}
	}
}

// A store whose volume has failed says that it has to be opened again, and goes on then.
func TestFrozen(t *testing.T) {
	l := layout()
	disk := vfs.NewMem()
	volume := newFailing(disk, &os.PathError{Op: "sync", Path: "store", Err: syscall.EIO})
	s := open(t, volume, l)
	id := s.ID()
	volume.on.Store(0)
	if err := newModel().commit(s, l, rand.New(rand.NewPCG(1, 1)), true); !errors.Is(err, ErrFrozen) {
		t.Errorf("commit: %v", err)
	}
	if err := s.Sync(); !errors.Is(err, ErrFrozen) {
		t.Errorf("sync: %v", err)
	}
	s.Close()
	s = open(t, disk, l)
	if err := s.Sync(); err != nil || s.ID() != id {
		t.Errorf("opened again: %v, store %s, was %s", err, s.ID(), id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A store with a file that is gone, cut short or changed says so, or is an
// older one by its Sequence; it never shows anything that it did not hold.
func TestDamage(t *testing.T) {
	seed := seeds.One(t)
	r := rand.New(rand.NewPCG(seed, 0))
	disk, l, m := vfs.NewMem(), layout(), newModel()
	s := open(t, disk, l)
	dumps := []string{m.dump(l)}
	loaded := map[uint64]string{} // what may be there instead, by commits
	for range 300 {
		if err := m.commit(s, l, r, false); err != nil {
			t.Fatal(err)
		}
		loaded[m.sequence-1] = m.loaded
		dumps = append(dumps, m.dump(l))
	}
	if s.Metrics().Flushes == 0 {
		t.Fatal("nothing was flushed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.List("/data/store/rows")
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := 0
	for _, name := range names {
		changes := 3
		if strings.HasPrefix(name, "MANIFEST") {
			changes = 30 // a change of its last part is taken for a power cut
		}
		for _, how := range append(slices.Repeat([]string{"changed"}, changes), "gone", "cut short") {
			copied := vfs.NewMem()
			if _, err := vfs.Clone(disk, copied, "/data", "/data"); err != nil {
				t.Fatal(err)
			}
			damage(t, copied, "/data/store/rows/"+name, how, r)
			s, err := openLayout("/data/store", l, source, Options{FS: copied, pieceBytes: 100})
			switch {
			case err == nil:
				snapshot := s.Snapshot()
				got, err := dump(l, s, snapshot)
				snapshot.Release()
				if err == nil && got != dumps[s.Sequence()] && got != loaded[s.Sequence()] {
					t.Errorf("%s %s: found at %d\n%s", name, how, s.Sequence(), got)
				}
				if err != nil && !errors.Is(err, ErrRebuild) {
					t.Errorf("%s %s: read: %v", name, how, err)
				}
				if err != nil {
					rebuilt++
				}
			case errors.Is(err, ErrRebuild):
				rebuilt++
			default:
				t.Errorf("%s %s: open: %v", name, how, err)
				continue
			}
			if err := s.Reset(); err != nil {
				t.Errorf("%s %s: reset: %v", name, how, err)
			}
			if err := errors.Join(newModel().commit(s, l, r, true), s.Close()); err != nil {
				t.Errorf("%s %s: after reset: %v", name, how, err)
			}
		}
	}
	if rebuilt < len(names) {
		t.Errorf("of %d files only %d damages were noticed", len(names), rebuilt)
	}
}

func damage(t *testing.T, fs *vfs.MemFS, name, how string, r *rand.Rand) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, info.Size())
	if len(data) > 0 {
		if _, err := f.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	switch {
	case how == "gone":
		return
	case how == "cut short":
		data = data[:len(data)/2]
	case len(data) > 0:
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
	}
	if f, err = fs.Create(name, vfs.WriteCategoryUnspecified); err != nil {
		t.Fatal(err)
	}
	f.Write(data)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
