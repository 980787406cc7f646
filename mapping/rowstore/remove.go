package rowstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Remove deletes the store in dir and reports whether there is one; dryRun only
// looks. It deletes what a store is made of, and dir, which must then be empty.
// ErrLocked is as said there; ErrReadOnly, where it may not be deleted.
func Remove(dir string, dryRun bool) (found bool, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look for row store: %w", classify(err))
	}
	if _, err := os.Stat(filepath.Join(dir, lockFile)); errors.Is(err, fs.ErrNotExist) && dryRun {
		return true, nil // a look changes nothing
	}
	lock, err := acquire(vfs.Default, dir)
	if err != nil {
		return true, err
	}
	if !dryRun {
		err = removeFiles(dir)
	}
	return true, errors.Join(err, lock.Close())
}

// removeFiles deletes the lock last, so that it keeps others out until then.
func removeFiles(dir string) error {
	for _, name := range []string{rowsDir, oldDir, loadingDir, lockFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove row store: %w", classify(err))
		}
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("remove row store: %w", classify(err))
	}
	return nil
}
