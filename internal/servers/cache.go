package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// sealName is the file that tells what a whole entry of the cache holds.
const sealName = ".whole"

// cache is a directory of unpacked downloads that checkouts share. An entry appears whole, by a rename, or not at all.
type cache struct{ root string }

// openCache finds the cache: $HAYSTREAM_CACHE, or the user's cache directory, or for root one that its servers' user can reach.
func openCache() (cache, error) {
	root := os.Getenv("HAYSTREAM_CACHE")
	switch {
	case root != "":
	case os.Geteuid() == 0:
		root = "/var/cache/haystream"
	default:
		dir, err := os.UserCacheDir()
		if err != nil {
			return cache{}, fmt.Errorf("find cache: %w", err)
		}
		root = filepath.Join(dir, "haystream")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return cache{}, fmt.Errorf("find cache: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return cache{}, fmt.Errorf("make cache: %w", err)
	}
	if os.Geteuid() == 0 && !reachable(root) {
		return cache{}, fmt.Errorf("%s cannot be entered by the unprivileged user that servers run as: set HAYSTREAM_CACHE to a directory that can", root)
	}
	return cache{root}, nil
}

// reachable reports whether every user may enter the directory.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// has reports whether there is an entry of that name.
func (c cache) has(name string) bool {
	_, err := os.Stat(filepath.Join(c.root, name))
	return err == nil
}

// entry returns the directory of that name, made by build when it is missing, incomplete or changed since.
// One process builds it, the others wait for that one.
func (c cache) entry(ctx context.Context, name string, build func(ctx context.Context, dir string) error) (string, error) {
	final := filepath.Join(c.root, name)
	if whole(final) {
		return final, nil
	}
	unlock, err := c.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if whole(final) {
		return final, nil
	}
	fresh, err := c.freshDir(name)
	if err != nil {
		return "", err
	}
	if err := build(ctx, fresh); err != nil {
		return "", errors.Join(err, os.RemoveAll(fresh))
	}
	if err := os.RemoveAll(final); err != nil {
		return "", fmt.Errorf("clear %s: %w", final, err)
	}
	sum, err := contents(fresh)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(fresh, sealName), []byte(sum), 0o644); err != nil {
		return "", fmt.Errorf("seal %s: %w", fresh, err)
	}
	if err := os.Rename(fresh, final); err != nil {
		return "", fmt.Errorf("publish %s: %w", final, err)
	}
	return final, nil
}

// freshDir makes a directory to build an entry in, and removes those of builders that died. Its name is new each time, because
// what a dead one had started may still be writing.
func (c cache) freshDir(name string) (string, error) {
	prefix := ".new-" + name + "-"
	stale, _ := filepath.Glob(filepath.Join(c.root, prefix+"*"))
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("clear %s: %w", dir, err)
		}
	}
	dir, err := os.MkdirTemp(c.root, prefix)
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("make %s: %w", prefix, err)
	}
	return dir, nil
}

// lock takes the entry's lock, which the kernel frees when its holder dies.
func (c cache) lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(c.root, "."+name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = poll(ctx, func() bool { return tryLock(file) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the lock %s: %w", file.Name(), err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func tryLock(file *os.File) bool {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// whole reports whether the entry holds what was sealed.
func whole(dir string) bool {
	sealed, err := os.ReadFile(filepath.Join(dir, sealName))
	if err != nil {
		return false
	}
	sum, err := contents(dir)
	return err == nil && sum == string(sealed)
}

// contents sums up the names, modes and sizes of all files in the directory: enough to find one that is cut short or missing, and
// quick enough for each start. The bytes were checked when they came.
func contents(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == filepath.Join(dir, sealName) {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%s %o %d\n", name, info.Mode(), info.Size())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read %s: %w", dir, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
