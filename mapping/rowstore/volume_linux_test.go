package rowstore

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// A real volume that fills up while the store is written to, and is still full
// when it is opened, goes on with all that was there once there is room.
func TestSmallVolume(t *testing.T) {
	volume := t.TempDir()
	if err := syscall.Mount("tmpfs", volume, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("NOT TESTED: a volume cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(volume, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	l, ballast, options := layout(), filepath.Join(volume, "ballast"), Options{CacheBytes: 1 << 18}
	for _, before := range []uint64{0, 150, 500} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			dir := filepath.Join(volume, "store")
			s, err := openLayout(dir, l, source, options)
			if err != nil {
				t.Fatal(err)
			}
			r, m := rand.New(rand.NewPCG(3, 3)), newModel()
			for m.sequence < before {
				if err := m.commit(s, l, r, true); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, ballast)
			for err == nil && m.sequence < 10_000 {
				err = m.commit(s, l, r, true)
			}
			if !errors.Is(err, ErrFull) {
				t.Fatalf("commit while full: %v", err)
			}
			s.Close()
			for range 2 {
				if _, err := openLayout(dir, l, source, options); !errors.Is(err, ErrFull) {
					t.Fatalf("open while full: %v", err)
				}
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if s, err = openLayout(dir, l, source, options); err != nil {
				t.Fatalf("open with room: %v", err)
			}
			if n := s.Sequence(); n < max(before, m.sequence-1) || n > m.sequence {
				t.Fatalf("found at %d of %d", n, m.sequence)
			}
			if got, want := current(t, l, s), replay(t, l, 3, s.Sequence(), options); !slices.Contains(want, got) {
				t.Fatalf("found\n%s\nwant\n%s", got, want)
			}
			if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fill writes a file until there is no room.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		if _, err := io.CopyN(f, zeros{}, int64(size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
