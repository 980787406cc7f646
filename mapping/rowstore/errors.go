package rowstore

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// Sentinels that a caller branches on.
var (
	// ErrRebuild means that what is stored cannot be used: it belongs to
	// another source, was written by an older version of the program, or is
	// damaged. Its text says which. Reset and a new load mend it.
	ErrRebuild = errors.New("the row store must be rebuilt")

	// ErrNewer means that a newer version of the program has written the store. It is left as it is:
	// that version goes on with it, and another one would have to read all tables again.
	ErrNewer = errors.New("the row store was written by a newer version of haystream")

	// ErrLocked means that another process, or another Store of this one, has
	// the directory open.
	ErrLocked = errors.New("the row store is in use by another process")

	// ErrFull and ErrReadOnly mean that the store's volume takes no writes.
	// After a failed Commit or Sync the Store must be closed, and opened again
	// when that is mended.
	ErrFull     = errors.New("the volume of the row store is full")
	ErrReadOnly = errors.New("the row store cannot be written to")

	// ErrFrozen means that a write to the volume has failed otherwise. The Store must be closed, and opened again.
	ErrFrozen = errors.New("the row store takes nothing until it is opened again")
)

// classify marks an error of the file system with what it means.
func classify(err error) error {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err
	}
	switch number {
	case syscall.ENOSPC, syscall.EDQUOT:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case syscall.EROFS, syscall.EACCES, syscall.EPERM:
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// notWritten words an error that freezes the store.
func notWritten(what string, err error) error {
	if err = classify(err); !errors.Is(err, ErrFull) && !errors.Is(err, ErrReadOnly) {
		err = fmt.Errorf("%w: %w", ErrFrozen, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// openError words why the storage engine does not open. The operating system's
// own complaints are passed on, all but a file that is not there; anything else
// is damage.
func openError(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) && number != syscall.ENOENT {
		return fmt.Errorf("open row store: %w", classify(err))
	}
	return fmt.Errorf("open row store: %w: it is damaged: %w", ErrRebuild, err)
}

// failed words an error of the storage engine.
func (s *Store) failed(what string, err error) error {
	if pebble.IsCorruptionError(err) {
		return s.damaged(what, err)
	}
	return fmt.Errorf("%s: %w", what, classify(err))
}

// damaged words an error that only a new load mends.
func (s *Store) damaged(what string, err error) error {
	return fmt.Errorf("%s: %w: it is damaged: %w", what, ErrRebuild, err)
}
