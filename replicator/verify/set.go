package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Set is a set of names on disk. It is worth nothing once it is closed. For use from any goroutine.
type Set struct {
	dir string
	db  *pebble.DB

	mu  sync.Mutex
	err error // the first one of Add
}

// setMemory is what a set holds in memory before it is written, in bytes.
const setMemory = 2 << 20

// NewSet begins an empty set in a folder of its own; what is there is deleted.
func NewSet(dir string) (*Set, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("empty folder of ids: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of ids: %w", err)
	}
	return open(dir, false)
}

// OpenSet opens a set that was kept, with what was in it when it was flushed last, at least. It is an
// error that there is none.
func OpenSet(dir string) (*Set, error) { return open(dir, true) }

func open(dir string, kept bool) (*Set, error) {
	cache := pebble.NewCache(setMemory)
	defer cache.Unref()
	// With the engine's own file system, a goroutine of it would stay where the set cannot be opened.
	db, err := pebble.Open(dir, &pebble.Options{FS: vfs.Default, ErrorIfNotExists: kept, DisableWAL: true, MemTableSize: setMemory, Cache: cache, Logger: quiet{}})
	if err != nil {
		return nil, fmt.Errorf("open set of ids: %w", err)
	}
	return &Set{dir: dir, db: db}, nil
}

// quiet logs nothing: what fails is returned, too.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // the engine must not go on after it
}

// nameOf is the name that parts make: a hash, since names may be long.
func nameOf(parts [][]byte) []byte {
	h := sha256.New()
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)[:16]
}

// Add adds the name that parts make. An error is told by Has.
func (s *Set) Add(parts ...[]byte) {
	if err := s.db.Set(nameOf(parts), nil, pebble.NoSync); err != nil {
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
	}
}

// Has reports whether the name that parts make was added. An error is one of Add, too: then
// nothing can be said.
func (s *Set) Has(parts ...[]byte) (bool, error) {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return false, fmt.Errorf("write set of ids: %w", err)
	}
	_, done, err := s.db.Get(nameOf(parts))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read set of ids: %w", err)
	}
	return true, done.Close()
}

// Flush puts on disk what was added.
func (s *Set) Flush() error {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err = errors.Join(err, s.db.Flush()); err != nil {
		return fmt.Errorf("write set of ids: %w", err)
	}
	return nil
}

// Keep closes the set, and leaves it for OpenSet. It must not be in use.
func (s *Set) Keep() error {
	if err := errors.Join(s.Flush(), s.db.Close()); err != nil {
		return fmt.Errorf("close set of ids: %w", err)
	}
	return nil
}

// Close deletes the set. It must not be in use.
func (s *Set) Close() error {
	if err := errors.Join(s.db.Close(), os.RemoveAll(s.dir)); err != nil {
		return fmt.Errorf("delete set of ids: %w", err)
	}
	return nil
}
