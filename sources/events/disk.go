package events

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// A disk is the queue's folder. Tests have one that fails.
type disk interface {
	list() ([]string, error)
	create(name string) (file, error) // for writing and reading; an error if it is there
	open(name string) (file, error)
	remove(name string) error
	sync() error // of the folder: what was created is there after a power cut
	free() (bytes int64, err error)
}

// A file is written at its end only.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Truncate(size int64) error // and goes on writing there
	Sync() error
}

// folder is a disk.
type folder struct{ path string }

// lockName is the file whose lock keeps a second process out of the folder.
const lockName = "lock"

// openFolder makes the folder where it is not there, and locks it.
func openFolder(path string) (folder, io.Closer, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return folder{}, nil, fmt.Errorf("make folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return folder{}, nil, fmt.Errorf("lock folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return folder{}, nil, errors.Join(fmt.Errorf("lock folder %s: %w", path, err), lock.Close())
	}
	return folder{path}, lock, nil
}

func (d folder) list() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d folder) create(name string) (file, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (d folder) open(name string) (file, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d folder) free() (int64, error) {
	var volume syscall.Statfs_t
	if err := syscall.Statfs(d.path, &volume); err != nil {
		return 0, err
	}
	return int64(volume.Bavail) * int64(volume.Bsize), nil
}

func (d folder) remove(name string) error { return os.Remove(filepath.Join(d.path, name)) }

func (d folder) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
