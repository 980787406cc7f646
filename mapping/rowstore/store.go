// Package rowstore keeps projected rows of the source's tables on disk, so that
// documents made of several tables are rendered without asking the source.
//
// The guarantee: a Commit is whole or absent, in the rows, the indexes kept by
// them, the marks, the work, the notes and the Position alike, after a kill at
// any moment; Commits survive in their order; and what was synced is there
// after a power cut too. Only rows of a Load may be there without their Commit; all
// Commits before it are there then. A store that is not what its Meta says is not read but
// reported, with ErrRebuild. An older copy of a store cannot be
// told from a good one by itself: a checkpoint holds ID and Sequence for that.
//
// The storage engine's goroutines end with Close.
package rowstore

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
	"github.com/rs/zerolog"

	"haystream/sources"
)

// format is the version of the stored bytes.
const format = 8

// Meta says whose rows a store holds.
type Meta struct {
	Identity string // the source's, with its timeline or server history
}

// meta is Meta as it is stored.
type meta struct {
	Format   int    `json:"format"`
	ID       string `json:"id"`
	Identity string `json:"identity"`
}

// Options of a Store. The zero Options are good ones.
type Options struct {
	// CacheBytes bounds the memory for blocks of the disk and for writes not
	// flushed to it yet, altogether; 16 MiB where 0.
	CacheBytes int64

	// Log gets what goes wrong in the background; nothing else.
	Log zerolog.Logger

	// FS is where the store lives; the machine's where nil.
	FS vfs.FS

	pieceBytes int // see the constant
}

const defaultCache = 16 << 20

// A Store holds projected rows in a directory of its own. Its methods may be
// called from any goroutine, but for Reset and Close, which are called when no
// Snapshot and no Batch are left.
type Store struct {
	fs      vfs.FS
	dir     string
	options Options
	wanted  meta    // but for the ID
	layout  *Layout // nil before Use
	lock    io.Closer

	db     *pebble.DB
	sorted sstable.WriterOptions // of tables that are loaded
	guard  *guard
	pace   *pace
	mu     sync.Mutex
	id     string
	state  state
	saves  uint64 // see NoteSaves
	synced uint64 // the sequence that Sync made durable
}

// Open opens the store in dir, or makes an empty one where there is none; its
// fresh ID tells. Its tables are those that Use names.
//
// With ErrRebuild the Store is returned as well: it takes Reset or Close, and
// nothing else. ErrNewer, ErrLocked, ErrFull and ErrReadOnly are as said there.
func Open(dir string, of Meta, options Options) (*Store, error) {
	s := &Store{fs: options.FS, dir: dir, options: options, wanted: meta{Format: format, Identity: of.Identity}}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.options.pieceBytes == 0 {
		s.options.pieceBytes = pieceBytes
	}
	if err := s.makeDir(); err != nil {
		return nil, fmt.Errorf("make directory of row store: %w", classify(err))
	}
	lock, err := acquire(s.fs, dir)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	err = s.open()
	if err != nil && !errors.Is(err, ErrRebuild) {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, err
}

// What the directory of a store holds.
const (
	rowsDir    = "rows"
	oldDir     = "old"
	loadingDir = "loading" // see Load
	lockFile   = "lock"
)

// acquire keeps other processes out of a store's directory.
func acquire(on vfs.FS, dir string) (io.Closer, error) {
	lock, err := on.Lock(on.PathJoin(dir, lockFile))
	if err == nil {
		return lock, nil
	}
	var path *fs.PathError
	var number syscall.Errno
	if errors.As(err, &path) || errors.As(err, &number) && number != syscall.EAGAIN && number != syscall.EACCES {
		return nil, fmt.Errorf("lock row store: %w", classify(err))
	}
	return nil, fmt.Errorf("lock %s: %w: %w", dir, ErrLocked, err)
}

// makeDir makes the directory and those that it is in, so that they survive a power cut. Those that are there may
// be of a start that failed before it had synced them, as long as they hold no rows.
func (s *Store) makeDir() error {
	if _, err := s.fs.Stat(s.rows()); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.fs.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for at := s.dir; s.fs.PathDir(at) != at; {
		at = s.fs.PathDir(at)
		err := s.syncDir(at)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS) {
			return nil // it is another's, or takes no sync: no start has made what is in it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) syncDir(name string) error {
	dir, err := s.fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *Store) rows() string { return s.fs.PathJoin(s.dir, rowsDir) }
func (s *Store) old() string  { return s.fs.PathJoin(s.dir, oldDir) }

// open opens the storage engine and reads what it holds.
func (s *Store) open() error {
	for _, name := range []string{s.old(), s.fs.PathJoin(s.dir, loadingDir)} {
		if err := s.fs.RemoveAll(name); err != nil {
			return fmt.Errorf("remove former row store: %w", classify(err))
		}
	}
	g := newGuard(s.fs)
	p := newPace()
	options := s.engine(g, p)
	db, err := pebble.Open(s.rows(), options)
	if err != nil {
		g.stop()
		if why := g.failure(); why != nil {
			err = why
		}
		if version, newer := s.newerEngine(); newer {
			return fmt.Errorf("%w (version %d of its storage engine's format, this one reads up to %d); run that version, or delete %s: every table is then read again", ErrNewer, version, uint64(pebble.FormatNewest), s.dir)
		}
		return openError(err)
	}
	g.opened.Store(true)
	s.db, s.guard, s.pace = db, g, p
	options.EnsureDefaults()
	s.sorted = options.MakeWriterOptions(len(options.Levels)-1, options.FormatMajorVersion.MaxTableFormat())
	err = g.failure() // the engine has not seen it
	if err != nil {
		err = openError(err)
	} else {
		err = s.recognise()
	}
	if err != nil {
		err = errors.Join(err, s.shut())
		return err
	}
	return nil
}

// newerEngine reports whether the files are in a form that the storage engine does not know yet.
func (s *Store) newerEngine() (version uint64, newer bool) {
	text, err := atomicfs.ReadMarker(s.fs, s.rows(), "format-version")
	if err == nil {
		version, err = strconv.ParseUint(text, 10, 64)
	}
	return version, err == nil && version > uint64(pebble.FormatNewest)
}

// shut closes the storage engine.
func (s *Store) shut() error {
	if s.db == nil {
		return nil
	}
	s.guard.stop()
	err := s.db.Close()
	s.db = nil
	return err
}

// recognise reads what the store says of itself, or writes it in an empty one.
func (s *Store) recognise() error {
	data, err := s.stored(spaceMeta)
	if err != nil {
		return err
	}
	if data == nil {
		return s.begin()
	}
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return s.damaged("read what the row store is", err)
	}
	switch {
	case m.Format > s.wanted.Format:
		return fmt.Errorf("%w (format %d, this one reads up to %d); run that version, or delete %s: every table is then read again", ErrNewer, m.Format, s.wanted.Format, s.dir)
	case m.Format != s.wanted.Format:
		return fmt.Errorf("%w: it was written in format %d, this program has %d", ErrRebuild, m.Format, s.wanted.Format)
	case m.Identity != s.wanted.Identity:
		return fmt.Errorf("%w: it holds rows of another source, %s, not of %s", ErrRebuild, m.Identity, s.wanted.Identity)
	}
	if data, err = s.stored(spaceState); err != nil {
		return err
	}
	at, err := parseState(data)
	if err != nil {
		return s.damaged("read the row store's position", err)
	}
	if err := s.checkLoaded(at.sequence); err != nil {
		return err
	}
	if data, err = s.stored(spaceSaves); err != nil {
		return err
	}
	saves, size := binary.Uvarint(data)
	if data != nil && size != len(data) {
		return s.damaged("read how often the row store was saved", errors.New("it is no number"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.state, s.saves, s.synced = m.ID, at, saves, 0
	return nil
}

// stored returns the one value of a space; nil where there is none.
func (s *Store) stored(space byte) ([]byte, error) {
	data, closer, err := s.db.Get([]byte{space})
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.failed("read the row store", err)
	}
	return append([]byte{}, data...), closer.Close()
}

// begin makes an empty store one with an ID.
func (s *Store) begin() error {
	iter, err := s.db.NewIter(nil)
	if err != nil {
		return s.failed("read the row store", err)
	}
	empty := !iter.First()
	if err := iter.Close(); err != nil {
		return s.failed("read the row store", err)
	}
	if !empty {
		return fmt.Errorf("%w: it does not say what it is", ErrRebuild)
	}
	m := s.wanted
	if m.ID, err = newID(); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("describe row store: %w", err)
	}
	first := s.db.NewBatch()
	defer first.Close()
	if err := errors.Join(first.Set([]byte{spaceMeta}, data, nil), first.Set([]byte{spaceState}, state{}.append(nil), nil)); err != nil {
		return s.failed("begin row store", err)
	}
	if err := s.apply(first, true); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.state, s.saves, s.synced = m.ID, state{}, 0, 0
	return nil
}

func newID() (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", fmt.Errorf("name row store: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}

// Reset empties the store for a new load, and gives it a new ID. A kill in the
// middle of it leaves the old store, or an empty one.
func (s *Store) Reset() error {
	if err := s.shut(); err != nil && !errors.Is(err, ErrRebuild) {
		s.options.Log.Warn().Err(err).Msg("the former row store did not close well")
	}
	if err := s.fs.RemoveAll(s.old()); err != nil {
		return fmt.Errorf("remove former row store: %w", classify(err))
	}
	if err := s.fs.Rename(s.rows(), s.old()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put former row store aside: %w", classify(err))
	}
	if err := s.syncDir(s.dir); err != nil {
		return fmt.Errorf("sync directory of row store: %w", classify(err))
	}
	if err := s.open(); err != nil || s.layout == nil {
		return err
	}
	return s.Use(s.layout)
}

// Position returns up to where the changes of the source are in the store, and
// as of which version: what the last Batch that was committed set.
func (s *Store) Position() (sources.Position, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sources.Position(s.state.position), s.state.version
}

// ID names the store: another one after Reset, or where the directory was
// deleted. A checkpoint that names another ID is not this store's.
func (s *Store) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// Sequence counts the commits since the store was begun. A store whose Sequence
// is below the one that a checkpoint was saved with, after a Sync, was restored
// from an older copy or has lost its end: it must be rebuilt.
func (s *Store) Sequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.sequence
}

// NoteSaves notes how many checkpoints were saved with the store. It is called from any goroutine. Once it has
// returned, the note survives a power cut.
func (s *Store) NoteSaves(n uint64) error {
	err := s.db.Set([]byte{spaceSaves}, binary.AppendUvarint(nil, n), pebble.Sync)
	if err == nil {
		err = s.guard.failure()
	}
	if err != nil {
		return s.failed("note a checkpoint in the row store", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = n
	return nil
}

// Saves is what was noted by NoteSaves: a checkpoint from before is older than what the store has.
func (s *Store) Saves() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

// Sync makes every Commit that has returned survive a power cut.
func (s *Store) Sync() error {
	s.mu.Lock()
	sequence, done := s.state.sequence, s.synced
	s.mu.Unlock()
	if done == sequence && sequence > 0 {
		return s.guard.failure()
	}
	if err := s.guard.failure(); err != nil {
		return err
	}
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return s.failed("sync row store", err)
	}
	if err := s.guard.failure(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = max(s.synced, sequence)
	return nil
}

// Close ends the store. What was committed is kept.
func (s *Store) Close() error {
	err := s.shut()
	return errors.Join(err, s.lock.Close())
}
