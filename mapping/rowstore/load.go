package rowstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"haystream/sources"
)

// A Load stores many rows that the store does not have. They are written as one sorted table, and the
// entries of each index as another, which the storage engine takes over as they are: they go through no
// log, and need no compaction where nothing lies between. It is for one goroutine, and ends with Commit or Discard.
//
// Between Add and Commit, which may be in different Batches, no row of the table is written otherwise.
type Load struct {
	store   *Store
	t       *Table
	to      *sstable.Writer  // nil before the first row
	indexes []entries        // by index
	stored  *pebble.Iterator // rows of the table; nil where it rests
	at      bool             // stored is at a row
	highest []byte           // the last row's key in the storage engine
	rows    int              // bytes
	value   []byte
	entry   []byte // its key
	held    []byte // what it holds
}

// A Load is full at so many bytes of rows, or of index entries, which are kept in memory.
const (
	fullRows    = 8 << 20
	fullEntries = 2 << 20
)

// Load begins a Load: one at a time for each table.
func (s *Store) Load(t *Table) *Load {
	return &Load{store: s, t: t, indexes: make([]entries, len(t.Indexes))}
}

// Add reports whether it has taken a row. It does not take one whose key is not after
// that of the row before, one with a key that the store has, or one with a large
// text. These are for Replace, after Commit.
func (l *Load) Add(key []byte, row sources.Row) (taken bool, err error) {
	s := l.store
	l.entry = append(appendRowSpace(l.entry[:0], l.t), key...)
	if l.to != nil && bytes.Compare(l.entry, l.highest) <= 0 || s.large(row) {
		return false, nil
	}
	if stored, err := l.has(l.entry); err != nil || stored {
		return false, err
	}
	if l.to == nil {
		if l.to, err = s.newTable(l.file()); err != nil {
			return false, err
		}
	}
	l.highest = append(l.highest[:0], l.entry...)
	if l.value, err = appendRow(l.value[:0], l.t, row, 0, s.options.pieceBytes); err != nil {
		return false, err
	}
	if err := l.to.Set(l.entry, l.value); err != nil {
		return false, s.unwritten(err)
	}
	l.rows += len(l.value)
	for n, columns := range l.t.Indexes {
		if l.entry = appendEntry(l.entry, l.t, n, row, columns, key); len(l.entry) == 0 {
			continue
		}
		l.held = appendInEntry(l.held[:0], l.t, n, row, l.value)
		l.indexes[n].add(l.entry, l.held)
	}
	return true, nil
}

// Full reports whether the Load is so large that it is to be committed.
func (l *Load) Full() bool {
	size := 0
	for n := range l.indexes {
		size += l.indexes[n].size()
	}
	return l.rows >= fullRows || size >= fullEntries
}

// has reports whether the store has a row. Keys come in ascending order.
func (l *Load) has(key []byte) (bool, error) {
	if l.stored == nil {
		var err error
		bounds := &pebble.IterOptions{LowerBound: bytes.Clone(key), UpperBound: appendEnd(nil, appendRowSpace(nil, l.t))}
		if l.stored, err = l.store.db.NewIter(bounds); err != nil {
			return false, l.store.failed("read the row store", err)
		}
		l.at = l.stored.First()
	}
	if l.at && bytes.Compare(l.stored.Key(), key) < 0 {
		l.at = l.stored.SeekGE(key)
	}
	if err := l.stored.Error(); err != nil {
		return false, l.store.failed("read the row store", err)
	}
	return l.at && bytes.Equal(l.stored.Key(), key), nil
}

// Rest is called where there is a pause between rows: nothing of the store is held then.
func (l *Load) Rest() error {
	if l.stored == nil {
		return nil
	}
	err := l.stored.Close()
	if l.stored = nil; err != nil {
		return l.store.failed("read the row store", err)
	}
	return nil
}

// Commit makes the rows and their index entries visible, all at once, and notes that in a Batch. They are
// there even if that is not committed, as if an earlier Batch had stored them. All that was committed before
// is there whenever the rows are.
func (l *Load) Commit(b *Batch) error {
	s := l.store
	if l.to == nil {
		return l.Discard()
	}
	// The mark comes with the rows. It tells what was committed before: that is not lost where the rows are
	// there. The receipt comes with the Batch: the mark, and so the rows, are not lost where it is there.
	before := b.next.sequence - 1
	mark, receipt := appendLoad(nil, l.t.number, before), appendLoads(nil, l.t)
	err := errors.Join(
		b.of.DeleteRange(appendLoad(nil, l.t.number, 0), mark, nil),
		b.of.Set(receipt, binary.BigEndian.AppendUint64(nil, before), nil))
	if err != nil {
		return errors.Join(s.failed("load rows", err), l.Discard())
	}
	size := l.rows
	files := []string{s.loading(l.file()), s.loading(markFile)}
	for n := range l.indexes {
		if len(l.indexes[n].all) == 0 {
			continue
		}
		name := fmt.Sprintf("%s-%d", l.file(), n)
		if err := s.writeTable(name, &l.indexes[n]); err != nil {
			return errors.Join(err, l.Discard())
		}
		files = append(files, s.loading(name))
		size += l.indexes[n].size()
	}
	if err := l.Discard(); err != nil {
		return s.unwritten(err)
	}
	var noted entries
	noted.add(mark, nil)
	if err := s.writeTable(markFile, &noted); err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	if err := s.pace.wait(s.db, s.guard, size); err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	if err := s.db.Ingest(context.Background(), files); err != nil {
		return s.failed("load rows", err)
	}
	if err := s.guard.failure(); err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	return b.closeKept() // they do not have the rows
}

// Discard ends the Load without effect; after Commit it does nothing.
func (l *Load) Discard() error {
	err := l.Rest()
	if l.to != nil {
		err = errors.Join(err, l.to.Close())
	}
	l.to, l.indexes = nil, nil
	return err
}

// writeTable writes entries as a sorted table.
func (s *Store) writeTable(name string, of *entries) error {
	to, err := s.newTable(name)
	if err != nil {
		return err
	}
	of.sort()
	for _, e := range of.all {
		if err == nil {
			err = to.Set(of.key(e), of.held(e))
		}
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return s.unwritten(err)
	}
	return nil
}

// file names the sorted table.
func (l *Load) file() string { return strconv.Itoa(int(l.t.number)) }

// markFile is the sorted table of a mark.
const markFile = "mark"

// loading is where a sorted table is written.
func (s *Store) loading(name string) string { return s.fs.PathJoin(s.dir, loadingDir, name) }

// newTable begins a sorted table.
func (s *Store) newTable(name string) (*sstable.Writer, error) {
	if err := s.guard.failure(); err != nil {
		return nil, err
	}
	err := s.fs.MkdirAll(s.fs.PathJoin(s.dir, loadingDir), 0o700)
	var f vfs.File
	if err == nil {
		f, err = s.fs.Create(s.loading(name), vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return nil, s.unwritten(err)
	}
	return sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.sorted), nil
}

// unwritten freezes the store, as a sorted table could not be written.
func (s *Store) unwritten(err error) error {
	s.guard.fail(notWritten("write to row store", err))
	return s.guard.failure()
}

var errMark = errors.New("a mark cannot be read")

// checkLoaded looks whether rows are there that were loaded after commits which are lost, or rows are lost whose Batch is there.
func (s *Store) checkLoaded(sequence uint64) error {
	var receipt []byte // a mark that must follow
	r := newReader(s, s.db)
	err := r.scan([]byte{spaceLoad}, nil, nil, func(key, value []byte) (bool, error) {
		switch {
		case len(key) == 2 && len(value) == 8 && receipt == nil:
			receipt = append(bytes.Clone(key), value...)
			return true, nil
		case len(key) != 10:
			return false, s.damaged("read what was loaded", errMark)
		case bytes.Equal(key, receipt):
			receipt = nil
		}
		if binary.BigEndian.Uint64(key[2:]) > sequence {
			return false, s.damaged("open row store", errors.New("it has lost its last commits"))
		}
		return true, nil
	})
	if err == nil && receipt != nil {
		err = s.damaged("read what was loaded", errors.New("rows that were loaded are lost"))
	}
	return err
}

// entries are those of one index, in memory.
type entries struct {
	data []byte // keys and what they hold, one after the other
	all  []entry
}

// An entry is a place in data.
type entry struct {
	first         uint64 // bytes of the key, after those that all keys of an index begin with
	at, key, held uint32 // where it begins, and the size of its two parts
}

const entrySize = 24 // bytes of an entry

func (e *entries) add(key, held []byte) {
	const prefix = 4
	var first [8]byte
	copy(first[:], key[prefix:])
	e.all = append(e.all, entry{binary.BigEndian.Uint64(first[:]), uint32(len(e.data)), uint32(len(key)), uint32(len(held))})
	e.data = append(append(e.data, key...), held...)
}

func (e *entries) key(of entry) []byte  { return e.data[of.at : of.at+of.key] }
func (e *entries) held(of entry) []byte { return e.data[of.at+of.key : of.at+of.key+of.held] }

// size is about how much memory they take.
func (e *entries) size() int { return len(e.data) + len(e.all)*entrySize }

// sort puts them in order of their keys.
func (e *entries) sort() {
	slices.SortFunc(e.all, func(a, b entry) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return bytes.Compare(e.key(a), e.key(b))
	})
}
