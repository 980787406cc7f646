package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// writeContent builds an entry of one file.
func writeContent(_ context.Context, dir string) error {
	return os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644)
}

func TestEntryIsBuiltOnceForAll(t *testing.T) {
	root := t.TempDir()
	var built atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			dir, err := cache{root}.entry(t.Context(), "thing", func(ctx context.Context, dir string) error {
				built.Add(1)
				return writeContent(ctx, dir)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if text, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(text) != "content" {
				t.Errorf("content = %q, %v", text, err)
			}
		})
	}
	all.Wait()
	if built.Load() != 1 {
		t.Errorf("built %d times, want once", built.Load())
	}
}

func TestDamagedEntryIsBuiltAnew(t *testing.T) {
	damages := map[string]func(dir string) error{
		"cut short":    func(dir string) error { return os.Truncate(filepath.Join(dir, "file"), 3) },
		"missing":      func(dir string) error { return os.Remove(filepath.Join(dir, "file")) },
		"not sealed":   func(dir string) error { return os.Remove(filepath.Join(dir, sealName)) },
		"not runnable": func(dir string) error { return os.Chmod(filepath.Join(dir, "file"), 0o000) },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			store := cache{t.TempDir()}
			dir, err := store.entry(t.Context(), "thing", writeContent)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if dir, err = store.entry(t.Context(), "thing", writeContent); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(text) != "content" {
				t.Errorf("content = %q, %v", text, err)
			}
		})
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	store := cache{t.TempDir()}
	broken := errors.New("broken")
	_, err := store.entry(t.Context(), "thing", func(ctx context.Context, dir string) error {
		return errors.Join(writeContent(ctx, dir), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error = %v, want the builder's", err)
	}
	if found, _ := filepath.Glob(filepath.Join(store.root, "*thing*")); len(found) != 1 {
		t.Errorf("found %q, want the lock only", found)
	}
}

func TestUnfinishedBuildOfTheDeadIsCleared(t *testing.T) {
	store := cache{t.TempDir()}
	stale := filepath.Join(store.root, ".new-thing-1")
	if err := os.Mkdir(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := store.entry(t.Context(), "thing", writeContent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("%s is still there", stale)
	}
}
