package verify

import (
	"bytes"
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

// longestName is how many bytes of a name are kept as they are.
const longestName = 128

// appendName appends the name that parts make. Names that are near one another, as those of neighbouring rows are, stay so:
// what is asked for in their order is found in blocks that were just read. Of a long one a hash is taken.
func appendName(to []byte, parts [][]byte) []byte {
	const plain, hashed = 0, 1
	from := len(to)
	to = append(to, plain)
	for _, p := range parts {
		to = append(binary.AppendUvarint(to, uint64(len(p))), p...)
	}
	if len(to)-from <= longestName {
		return to
	}
	sum := sha256.Sum256(to[from:])
	return append(append(to[:from], hashed), sum[:]...)
}

// Add adds the name that parts make. An error is told by Read.
func (s *Set) Add(parts ...[]byte) {
	if err := s.db.Set(appendName(make([]byte, 0, 2*longestName), parts), nil, pebble.NoSync); err != nil {
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
	}
}

// A Reader looks names up in a set as it was when the reader was made. It is quickest in the names' own order.
type Reader struct {
	of   *pebble.Iterator
	name []byte
}

// Read makes a reader. An error is one of Add, too: then nothing can be said.
func (s *Set) Read() (*Reader, error) {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("write set of ids: %w", err)
	}
	of, err := s.db.NewIter(nil)
	if err != nil {
		return nil, fmt.Errorf("read set of ids: %w", err)
	}
	return &Reader{of: of}, nil
}

// Has reports whether the name that parts make was added. It is false after an error, which Close returns.
func (r *Reader) Has(parts ...[]byte) bool {
	r.name = appendName(r.name[:0], parts)
	return r.of.SeekGE(r.name) && bytes.Equal(r.of.Key(), r.name)
}

// Close ends the reader.
func (r *Reader) Close() error {
	if err := r.of.Close(); err != nil {
		return fmt.Errorf("read set of ids: %w", err)
	}
	return nil
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
