package rowstore

import (
	"bytes"
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

// A Load stores many rows that the store does not have. They are written as one
// sorted table, which the storage engine takes over as it is: they go through no
// log, and need no compaction. It is for one goroutine, and ends with Commit or Discard.
//
// Between Add and Commit, which may be in different Batches, no row of the table is written otherwise.
type Load struct {
	store   *Store
	t       *Table
	to      *sstable.Writer  // nil before the first row
	entries *pebble.Batch    // of indexes
	stored  *pebble.Iterator // rows of the table; nil where it rests
	at      bool             // stored is at a row
	lowest  []byte           // the first row's key in the storage engine
	highest []byte           // and the last one's
	size    int
	value   []byte
	entry   []byte // its key
	held    []byte // what it holds
}

// A Load is full at so many bytes of rows, or of index entries, which a Batch takes.
const (
	fullRows    = 8 << 20
	fullEntries = 1 << 20
)

// Load begins a Load: one at a time for each table.
func (s *Store) Load(t *Table) *Load { return &Load{store: s, t: t, entries: s.db.NewBatch()} }

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
		l.lowest = bytes.Clone(l.entry)
	}
	l.highest = append(l.highest[:0], l.entry...)
	if l.value, err = appendRow(l.value[:0], l.t, row, 0, s.options.pieceBytes); err != nil {
		return false, err
	}
	if err := l.to.Set(l.entry, l.value); err != nil {
		return false, s.unwritten(err)
	}
	l.size += len(l.value)
	for n, columns := range l.t.Indexes {
		if l.entry = appendEntry(l.entry, l.t, n, row, columns, key); len(l.entry) == 0 {
			continue
		}
		l.held = appendInEntry(l.held[:0], l.t, n, row, l.value)
		if err := l.entries.Set(l.entry, l.held, nil); err != nil {
			return false, s.failed("store index", err)
		}
	}
	return true, nil
}

// Full reports whether the Load is so large that it is to be committed.
func (l *Load) Full() bool { return l.size >= fullRows || l.entries.Len() >= fullEntries }

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

// Commit makes the rows visible, and puts their index entries into a Batch. They are
// there even if that is not committed; the store must be opened again then, and Use
// adds the entries, so that the rows are as if an earlier Batch had stored them. All
// that was committed before is there whenever the rows are.
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
		b.of.Apply(l.entries, nil),
		b.of.DeleteRange(appendLoad(nil, l.t.number, 0), mark, nil),
		b.of.Set(receipt, binary.BigEndian.AppendUint64(nil, before), nil))
	if err := l.Discard(); err != nil {
		return s.unwritten(err)
	}
	if err != nil {
		return s.failed("load rows", err)
	}
	if err := s.writeMark(mark, l.span()); err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	if err := s.db.Ingest(context.Background(), []string{s.loading(l.file()), s.loading(markFile)}); err != nil {
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
	if l.entries != nil {
		err = errors.Join(err, l.entries.Close())
	}
	l.to, l.entries = nil, nil
	return err
}

func (s *Store) writeMark(key, span []byte) error {
	to, err := s.newTable(markFile)
	if err != nil {
		return err
	}
	if err := errors.Join(to.Set(key, span), to.Close()); err != nil {
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

// span is where the rows are, as parseSpan reads it.
func (l *Load) span() []byte {
	const prefix = 3
	span := binary.AppendUvarint(nil, uint64(len(l.lowest)-prefix))
	return append(append(span, l.lowest[prefix:]...), l.highest[prefix:]...)
}

func parseSpan(data []byte) (first, last []byte, ok bool) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n == 0 || n >= uint64(len(data)-size) {
		return nil, nil, false
	}
	return data[size : size+int(n)], data[size+int(n):], true
}

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

// marks gives the marks of rows whose Batch was not committed. It fails where rows are lost whose Batch was.
func (s *Store) marks(each func(mark []byte, table uint16, sequence uint64, span []byte) error) error {
	var receipt []byte // a mark that must follow
	r := newReader(s, s.db)
	err := r.scan([]byte{spaceLoad}, nil, nil, func(key, value []byte) (bool, error) {
		switch {
		case len(key) == 2 && len(value) == 8 && receipt == nil:
			receipt = append(bytes.Clone(key), value...)
		case len(key) != 10:
			return false, s.damaged("read what was loaded", errMark)
		case bytes.Equal(key, receipt):
			receipt = nil
		default:
			table, sequence := binary.BigEndian.Uint16(key), binary.BigEndian.Uint64(key[2:])
			return true, each(appendLoad(nil, table, sequence), table, sequence, value)
		}
		return true, nil
	})
	if err == nil && receipt != nil {
		err = s.damaged("read what was loaded", errors.New("rows that were loaded are lost"))
	}
	return err
}

var errMark = errors.New("a mark cannot be read")

// checkLoaded looks whether rows are there that were loaded after commits which are lost.
func (s *Store) checkLoaded(sequence uint64) error {
	return s.marks(func(_ []byte, _ uint16, loaded uint64, _ []byte) error {
		if loaded > sequence {
			return s.damaged("open row store", errors.New("it has lost its last commits"))
		}
		return nil
	})
}

// reindexLoaded adds the index entries of rows whose Batch was not committed.
func (s *Store) reindexLoaded(layout *Layout) error {
	return s.marks(func(mark []byte, table uint16, _ uint64, span []byte) error {
		n := slices.IndexFunc(layout.Tables, func(t *Table) bool { return t.number == table })
		first, last, ok := parseSpan(span)
		if n < 0 || !ok {
			return s.damaged("read what was loaded", errMark)
		}
		if err := s.reindexSpan(layout.Tables[n], mark, first, last); err != nil {
			return fmt.Errorf("index rows of %s: %w", layout.Tables[n], err)
		}
		return nil
	})
}

// reindexSpan adds the index entries of all rows of a span; to add some again does no
// harm. The mark goes with the last ones.
func (s *Store) reindexSpan(t *Table, mark, first, last []byte) error {
	of := s.db.NewBatch()
	defer func() { _ = of.Close() }()
	r := newReader(s, s.db)
	prefix := appendRowSpace(nil, t)
	end := append(append(bytes.Clone(prefix), last...), 0)
	var entry, held []byte
	err := r.scan(prefix, first[:len(first)-1], end, func(key, data []byte) (bool, error) {
		defer r.Forget()
		row, err := r.readRow(t, key, data)
		if err != nil {
			return false, r.unread(t, err)
		}
		for n, columns := range t.Indexes {
			if entry = appendEntry(entry, t, n, row, columns, key); len(entry) > 0 {
				held = appendInEntry(held[:0], t, n, row, data)
				if err := of.Set(entry, held, nil); err != nil {
					return false, s.failed("store index", err)
				}
			}
		}
		if of.Len() < paceEvery {
			return true, nil
		}
		err = s.apply(of, false)
		of.Reset()
		return true, err
	})
	if err != nil {
		return err
	}
	if err := of.Delete(mark, nil); err != nil {
		return s.failed("store index", err)
	}
	return s.apply(of, false)
}
