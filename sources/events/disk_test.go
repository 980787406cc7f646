package events

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

// A fakeDisk fails as a seed has it, and can be cut off at any operation.
type fakeDisk struct {
	mu    sync.Mutex
	r     *rand.Rand
	files map[string]*fakeFile
	ghost map[string]*fakeFile // removed, and the folder not synced since

	room     int  // bytes that may still be written; below 0: any number
	failing  int  // of a hundred writes and syncs
	readOnly bool // refuses all that changes something

	countdown int // operations until the disk is cut off; below 0: never
	power     bool
	cut       *fakeDisk // as it was found afterwards
}

func newFakeDisk(r *rand.Rand) *fakeDisk {
	return &fakeDisk{r: r, files: map[string]*fakeFile{}, ghost: map[string]*fakeFile{}, room: -1, countdown: -1}
}

var errFake = errors.New("the disk has failed")

// A fakeFile has what was written, and what a power cut leaves for certain.
type fakeFile struct {
	disk     *fakeDisk
	data     []byte
	durable  []byte
	named    bool // the folder was synced since it was made
	bad      int  // bytes behind durable that no later sync saves: an earlier one has failed
	appended bool // data begins with durable
}

// op is called before each operation that changes something.
func (d *fakeDisk) op() error {
	if d.countdown--; d.countdown == -1 {
		d.cut = d.after(d.power)
	}
	if d.readOnly {
		return syscall.EROFS
	}
	if d.failing > 0 && d.r.IntN(100) < d.failing {
		return errFake
	}
	return nil
}

// after is the disk as it is found after the process was killed, or the power was cut.
func (d *fakeDisk) after(power bool) *fakeDisk {
	n := newFakeDisk(d.r)
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[name]
		if !power { // the system's memory is still there
			n.files[name] = &fakeFile{disk: n, data: bytes.Clone(f.data), durable: bytes.Clone(f.durable), named: f.named, bad: f.bad, appended: f.appended}
			continue
		}
		data := f.durable
		if !f.named && d.r.IntN(2) == 0 {
			continue
		}
		if rest := len(f.data) - len(f.durable); f.appended && rest > 0 && f.bad == 0 {
			data = f.data[:len(f.durable)+d.r.IntN(rest+1)]
		} else if !f.appended && d.r.IntN(2) == 0 {
			data = f.data
		}
		n.files[name] = &fakeFile{disk: n, data: bytes.Clone(data), durable: bytes.Clone(data), named: true, appended: true}
	}
	for _, name := range slices.Sorted(maps.Keys(d.ghost)) {
		if !power {
			n.ghost[name] = d.ghost[name]
		} else if n.files[name] == nil && d.r.IntN(2) == 0 {
			data := bytes.Clone(d.ghost[name].durable)
			n.files[name] = &fakeFile{disk: n, data: data, durable: bytes.Clone(data), named: true, appended: true}
		}
	}
	return n
}

func (d *fakeDisk) list() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.files)), nil
}

func (d *fakeDisk) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] != nil {
		return nil, fs.ErrExist
	}
	if err := d.op(); err != nil {
		return nil, err
	}
	f := &fakeFile{disk: d, appended: true}
	d.files[name] = f
	return f, nil
}

func (d *fakeDisk) open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return nil, fs.ErrNotExist
	}
	return d.files[name], nil
}

func (d *fakeDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	if d.files[name].named {
		d.ghost[name] = d.files[name]
	}
	delete(d.files, name)
	return nil
}

func (d *fakeDisk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	for _, f := range d.files {
		f.named = true
	}
	clear(d.ghost)
	return nil
}

func (d *fakeDisk) free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room < 0 {
		return 1 << 40, nil
	}
	return int64(d.room), nil
}

func (f *fakeFile) Write(data []byte) (int, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.op()
	n := len(data)
	switch {
	case err == syscall.EROFS:
		return 0, err
	case err != nil:
		n = d.r.IntN(n + 1)
	case d.room >= 0 && n > d.room:
		n, err = d.room, syscall.ENOSPC
	}
	if d.room >= 0 {
		d.room -= min(n, d.room)
	}
	f.data = append(f.data, data[:n]...)
	return n, err
}

func (f *fakeFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.op(); err != nil {
		return err
	}
	if f.disk.room >= 0 {
		f.disk.room += len(f.data) - int(size)
	}
	f.data = f.data[:size:size]
	f.appended = f.appended && int(size) >= len(f.durable)
	if int(size) <= len(f.durable) {
		f.bad = 0
	}
	return nil
}

func (f *fakeFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.op(); err != nil {
		if err != syscall.EROFS && f.appended {
			f.bad = len(f.data) - len(f.durable)
		}
		return err
	}
	data := bytes.Clone(f.data)
	if f.appended {
		clear(data[min(len(f.durable), len(data)):min(len(f.durable)+f.bad, len(data))])
	}
	f.durable, f.bad, f.appended = data, 0, true
	return nil
}

func (f *fakeFile) ReadAt(to []byte, from int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if from > int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(to, f.data[from:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

func (f *fakeFile) Close() error { return nil }
