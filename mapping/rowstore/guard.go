package rowstore

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guard is the file system as the storage engine sees it. The engine ends the
// process when its log cannot be written, and tries for ever to flush, even
// within its Open; the guard never lets it see that.
// From the first write that fails on, nothing on the volume changes any more, as
// if the process had been killed at that moment, while reading goes on: new
// files live in memory, compactions wait, and no commit is accepted.
type guard struct {
	vfs.FS

	opened  atomic.Bool // the engine's Open has returned
	once    sync.Once
	why     error
	failed  chan struct{} // closed when a write has failed
	stopped chan struct{} // closed when the store closes
	memory  *vfs.MemFS    // files made after the failure

	mu    sync.Mutex
	moved map[string]string // where files are that could not be moved, by where they would be
}

func newGuard(fs vfs.FS) *guard {
	return &guard{FS: fs, failed: make(chan struct{}), stopped: make(chan struct{}), memory: vfs.NewMem(), moved: map[string]string{}}
}

// stop lets waiting compactions end.
func (g *guard) stop() { close(g.stopped) }

// fail freezes the store.
func (g *guard) fail(err error) {
	g.once.Do(func() {
		g.why = err
		close(g.failed)
	})
}

// failure is why the store is frozen; nil where it is not.
func (g *guard) failure() error {
	select {
	case <-g.failed:
		return g.why
	default:
		return nil
	}
}

// frozen notes err as the failure, if it is one, and reports whether the store
// is frozen.
func (g *guard) frozen(what string, err error) bool {
	if err != nil {
		g.fail(notWritten(what, err))
	}
	return g.failure() != nil
}

// inMemory makes a file in memory, unless a compaction wants it, which waits. The
// engine's Open waits for compactions itself: then one fails.
func (g *guard) inMemory(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") && category != "pebble-memtable-flush" {
		if g.opened.Load() {
			<-g.stopped
		}
		return nil, g.failure()
	}
	if err := g.memory.MkdirAll(g.memory.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return g.memory.Create(name, category)
}

// Create makes a file.
func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !g.frozen("", nil) {
		f, err := g.FS.Create(name, category)
		if err == nil {
			return &guardedFile{File: f, guard: g, name: name}, nil
		}
		if !g.frozen("create file of row store", err) {
			return nil, err
		}
	}
	return g.inMemory(name, category)
}

// ReuseForWrite renames a file to write to it anew.
func (g *guard) ReuseForWrite(from, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !g.frozen("", nil) {
		f, err := g.FS.ReuseForWrite(from, name, category)
		if err == nil {
			return &guardedFile{File: f, guard: g, name: name}, nil
		}
		if !g.frozen("create file of row store", err) {
			return nil, err
		}
	}
	return g.inMemory(name, category)
}

// Open opens a file for reading.
func (g *guard) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	if g.frozen("", nil) {
		if f, err := g.memory.Open(name, options...); err == nil {
			return f, nil
		}
		g.mu.Lock()
		if from := g.moved[name]; from != "" {
			name = from
		}
		g.mu.Unlock()
	}
	return g.FS.Open(name, options...)
}

// OpenDir opens a directory for syncing.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// Stat describes a file.
func (g *guard) Stat(name string) (vfs.FileInfo, error) {
	if g.frozen("", nil) {
		if info, err := g.memory.Stat(name); err == nil {
			return info, nil
		}
	}
	return g.FS.Stat(name)
}

// Remove removes a file.
func (g *guard) Remove(name string) error {
	if g.frozen("", nil) {
		return nil
	}
	if err := g.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // see Link
		return err // one that stays does no harm
	}
	return nil
}

// RemoveAll removes a directory.
func (g *guard) RemoveAll(name string) error {
	if g.frozen("", nil) {
		return nil
	}
	return g.FS.RemoveAll(name)
}

// Rename renames a file.
func (g *guard) Rename(from, to string) error {
	return g.change("rename file of row store", func() error { return g.FS.Rename(from, to) })
}

// Link moves a file. The engine links what it is to take over, and removes it then;
// not every volume has links.
func (g *guard) Link(from, to string) error {
	if !g.frozen("", nil) {
		if err := g.FS.Rename(from, to); err == nil || !g.frozen("move file of row store", err) {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moved[to] = from
	return nil
}

// MkdirAll makes a directory.
func (g *guard) MkdirAll(name string, mode os.FileMode) error {
	return g.change("make directory of row store", func() error { return g.FS.MkdirAll(name, mode) })
}

func (g *guard) change(what string, do func() error) error {
	if g.frozen("", nil) {
		return nil
	}
	if err := do(); err != nil && !g.frozen(what, err) {
		return err
	}
	return nil
}

// Unwrap is for the engine.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file of the volume.
type guardedFile struct {
	vfs.File
	guard *guard
	name  string
}

// table reports whether the file will be read again, so that a write that
// failed must not be taken for one that did not.
func (f *guardedFile) table() bool { return strings.HasSuffix(f.name, ".sst") }

// done hides the error of a write, or of one that was left out.
func (f *guardedFile) done(what string, do func() error) error {
	if !f.guard.frozen("", nil) {
		err := do()
		if err == nil || !f.guard.frozen(what, err) {
			return err
		}
	}
	if f.table() {
		return f.guard.failure()
	}
	return nil
}

func (f *guardedFile) Write(p []byte) (int, error) {
	n := len(p)
	if err := f.done("write to row store", func() error { _, err := f.File.Write(p); return err }); err != nil {
		return 0, err
	}
	return n, nil
}

func (f *guardedFile) WriteAt(p []byte, at int64) (int, error) {
	n := len(p)
	if err := f.done("write to row store", func() error { _, err := f.File.WriteAt(p, at); return err }); err != nil {
		return 0, err
	}
	return n, nil
}

// Close closes the file in any case.
func (f *guardedFile) Close() error {
	if err := f.File.Close(); err != nil && (!f.guard.frozen("close file of row store", err) || f.table()) {
		return err
	}
	return nil
}

func (f *guardedFile) Preallocate(offset, length int64) error {
	return f.done("write to row store", func() error { return f.File.Preallocate(offset, length) })
}

func (f *guardedFile) Sync() error {
	return f.done("sync row store", f.File.Sync)
}

func (f *guardedFile) SyncData() error {
	return f.done("sync row store", f.File.SyncData)
}

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.done("sync row store", func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}
