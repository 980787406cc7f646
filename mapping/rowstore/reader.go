package rowstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"haystream/sources"
)

// A Reader reads the store: a Snapshot as it was in one moment, a Batch with its
// own writes in it. Not for concurrent use; a Snapshot's Fork is another one.
//
// Rows are valid until Forget. Keys and data that a callback is given are valid
// until it returns. A callback may read, and write to the Batch that it is
// called by; what it writes is not seen by the call that it is in. It ends the
// call with false or an error, which the call returns as it is.
type Reader interface {
	// Get returns the row with a key; ok is false where there is none.
	Get(t *Table, key []byte) (row sources.Row, ok bool, err error)

	// Scan gives the rows with a value of an index, in order of their keys,
	// from the first one after a key; all of them where after is nil.
	Scan(t *Table, index int, value, after []byte, each func(key []byte, row sources.Row) (more bool, err error)) error

	// Links is Scan for what needs some columns only, which lead on to rows of other tables; others
	// may be Missing.
	Links(t *Table, index int, columns []int, value, after []byte, each func(key []byte, row sources.Row) (more bool, err error)) error

	// Keys is Scan without the rows, for what needs no row.
	Keys(t *Table, index int, value, after []byte, each func(key []byte) (more bool, err error)) error

	// All gives the rows of a table in order of their keys, from the first one
	// after a key; all of them where after is nil. A caller with much to read
	// calls Forget when it is done with a row.
	All(t *Table, after []byte, each func(key []byte, row sources.Row) (more bool, err error)) error

	// Forget ends the validity of all rows, and keeps their memory for the next ones.
	Forget()

	// Dirty gives what is noted of a target's dirty documents, in order of versions, from one on.
	Dirty(target uint32, from int64, each func(version int64, data []byte) (more bool, err error)) error

	// Work gives the work that is left, in order of ids.
	Work(each func(id uint64, data []byte) (more bool, err error)) error

	// Due gives the documents that are due up to a time, in microseconds since
	// 1970, soonest first.
	Due(until int64, each func(at int64, target uint32, key []byte) (more bool, err error)) error

	// DueOf returns when a document is due; ok is false where it is not.
	DueOf(target uint32, key []byte) (at int64, ok bool, err error)

	// Note returns what was Set under a name, valid until Forget; nil where nothing was.
	Note(name string) ([]byte, error)
}

// reader is a Reader of a snapshot or an indexed batch.
type reader struct {
	store *Store
	from  pebble.Reader
	rows  *sources.Arena
	key   []byte // a key being built, needed until the call that takes it returns
	piece []byte // another

	// base is what iterators are kept of, since a seek costs much less than an
	// iterator; nil: none are. They keep memory of the engine in use.
	base  pebble.Reader
	kept  map[place]*pebble.Iterator // but for those in use
	newer map[string]struct{}        // rows that base does not have as from has them
}

// A place is a space and a table, and an index, that an iterator is kept of.
type place struct {
	space byte
	table uint16
	index byte
}

// take returns an iterator of a place, which give takes back.
func (r *reader) take(at place) (*pebble.Iterator, error) {
	if iter := r.kept[at]; iter != nil {
		delete(r.kept, at)
		return iter, nil
	}
	bounds := binary.BigEndian.AppendUint16([]byte{at.space}, at.table)
	if at.space == spaceIndex {
		bounds = append(bounds, at.index)
	}
	iter, err := r.base.NewIter(&pebble.IterOptions{LowerBound: bounds, UpperBound: appendEnd(nil, bounds)})
	if err != nil {
		return nil, r.store.failed("read the row store", err)
	}
	return iter, nil
}

// give keeps an iterator, unless there is one already.
func (r *reader) give(at place, iter *pebble.Iterator) error {
	if r.kept[at] != nil {
		return iter.Close()
	}
	if r.kept == nil {
		r.kept = map[place]*pebble.Iterator{}
	}
	r.kept[at] = iter
	return iter.Error()
}

// closeKept closes the iterators that are kept.
func (r *reader) closeKept() error {
	var err error
	for _, iter := range r.kept {
		err = errors.Join(err, iter.Close())
	}
	r.kept = nil
	return err
}

// drop ends what is kept of a reader that is done, or has nothing of its own any more.
func (r *reader) drop() error {
	r.newer = nil
	return r.closeKept()
}

func newReader(s *Store, from pebble.Reader) reader {
	return reader{store: s, from: from, rows: sources.NewArena(1 << 10)}
}

func (r *reader) Forget() { r.rows.Reset() }

func (r *reader) Get(t *Table, key []byte) (sources.Row, bool, error) {
	r.key = append(appendRowSpace(r.key[:0], t), key...)
	if _, newer := r.newer[string(r.key)]; r.base != nil && !newer {
		return r.seek(t, key)
	}
	data, closer, err := r.from.Get(r.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return sources.Row{}, false, nil
	}
	if err != nil {
		return sources.Row{}, false, r.store.failed("read row of "+t.String(), err)
	}
	row, err := r.readRow(t, key, data)
	closeErr := closer.Close()
	if err != nil {
		return sources.Row{}, false, r.unread(t, err)
	}
	return row, true, closeErr
}

// seek is Get by an iterator that is kept.
func (r *reader) seek(t *Table, key []byte) (row sources.Row, ok bool, err error) {
	at := place{space: spaceRow, table: t.number}
	iter, err := r.take(at)
	if err != nil {
		return sources.Row{}, false, err
	}
	if ok = iter.SeekPrefixGE(r.key); ok {
		data, valueErr := iter.ValueAndErr()
		if err = valueErr; err == nil {
			row, err = r.readRow(t, key, data)
		}
	}
	if giveErr := r.give(at, iter); err == nil {
		err = giveErr
	}
	if err != nil {
		return sources.Row{}, false, r.unread(t, err)
	}
	return row, ok, nil
}

// unread words an error of a row that is there.
func (r *reader) unread(t *Table, err error) error {
	if errors.Is(err, errCell) || errors.Is(err, pebble.ErrNotFound) {
		return r.store.damaged("read row of "+t.String(), err)
	}
	return r.store.failed("read row of "+t.String(), err)
}

func (r *reader) Scan(t *Table, index int, value, after []byte, each func(key []byte, row sources.Row) (bool, error)) error {
	return r.found(t, index, value, after, false, each)
}

func (r *reader) Links(t *Table, index int, columns []int, value, after []byte, each func(key []byte, row sources.Row) (bool, error)) error {
	return r.found(t, index, value, after, t.leads(index, columns), each)
}

// found gives the rows with a value of an index. links: no more of them than its links is wanted.
func (r *reader) found(t *Table, index int, value, after []byte, links bool, each func(key []byte, row sources.Row) (bool, error)) error {
	return r.entries(t, index, value, after, func(key, data []byte) (bool, error) {
		if links || len(data) > 0 && data[0] == entryRow {
			row, ok, err := r.readInEntry(t, index, key, data)
			if err != nil {
				return false, r.unread(t, err)
			}
			if ok {
				return each(key, row)
			}
		}
		row, ok, err := r.Get(t, key)
		if err != nil {
			return false, err
		}
		if !ok {
			return false, r.store.damaged("read row of "+t.String(), errors.New("an index names a row that is not there"))
		}
		return each(key, row)
	})
}

func (r *reader) Keys(t *Table, index int, value, after []byte, each func(key []byte) (bool, error)) error {
	return r.entries(t, index, value, after, func(key, _ []byte) (bool, error) { return each(key) })
}

// entries gives those of an index with a value: the row's key, and what the entry holds of the row.
func (r *reader) entries(t *Table, index int, value, after []byte, each func(key, data []byte) (bool, error)) error {
	prefix := append(append(appendIndexSpace(r.key[:0], t), byte(index)), value...)
	r.key = prefix
	if r.base != nil && r.base == r.from {
		return r.near(place{spaceIndex, t.number, byte(index)}, prefix, after, each)
	}
	return r.scan(prefix, after, nil, each)
}

// near is scan by an iterator that is kept.
func (r *reader) near(at place, prefix, after []byte, each func(key, data []byte) (bool, error)) error {
	first := append(slices.Clip(bytes.Clone(prefix)), after...)
	if after != nil {
		first = append(first, 0) // the first key after it
	}
	prefix = first[:len(prefix)]
	end := appendEnd(nil, prefix)
	iter, err := r.take(at)
	if err != nil {
		return err
	}
	more := true
	for state := iter.SeekGEWithLimit(first, end); state == pebble.IterValid && more && err == nil; {
		key := iter.Key()
		if !bytes.HasPrefix(key, prefix) { // the limit is not exact
			break
		}
		data, valueErr := iter.ValueAndErr()
		if valueErr != nil {
			break // give returns it
		}
		if more, err = each(key[len(prefix):], data); more && err == nil {
			state = iter.NextWithLimit(end)
		}
	}
	if giveErr := r.give(at, iter); err == nil && giveErr != nil {
		err = r.store.failed("read the row store", giveErr)
	}
	return err
}

func (r *reader) All(t *Table, after []byte, each func(key []byte, row sources.Row) (bool, error)) error {
	r.key = appendRowSpace(r.key[:0], t)
	return r.scan(r.key, after, nil, func(key, data []byte) (bool, error) {
		row, err := r.readRow(t, key, data)
		if err != nil {
			return false, r.unread(t, err)
		}
		return each(key, row)
	})
}

func (r *reader) Dirty(target uint32, from int64, each func(version int64, data []byte) (bool, error)) error {
	prefix := appendTarget(nil, spaceDirty, target)
	var after []byte
	if from > 0 {
		after = appendDirty(nil, target, from-1)[len(prefix):]
	}
	return r.scan(prefix, after, nil, func(key, data []byte) (bool, error) {
		if len(key) != 8 {
			return false, r.store.damaged("read dirty documents", fmt.Errorf("no version can be read from what follows %x in a key: %x", prefix, key))
		}
		return each(int64(binary.BigEndian.Uint64(key)), data)
	})
}

func (r *reader) Work(each func(id uint64, data []byte) (bool, error)) error {
	r.key = append(r.key[:0], spaceWork)
	return r.scan(r.key, nil, nil, func(key, data []byte) (bool, error) {
		if len(key) != 8 {
			return false, r.store.damaged("read work", errors.New("its id cannot be read"))
		}
		return each(binary.BigEndian.Uint64(key), data)
	})
}

func (r *reader) Due(until int64, each func(at int64, target uint32, key []byte) (bool, error)) error {
	r.key = append(r.key[:0], spaceDue)
	end := appendEnd(nil, appendDue(nil, until))
	return r.scan(r.key, nil, end, func(key, _ []byte) (bool, error) {
		if len(key) < 12 {
			return false, r.store.damaged("read due documents", errors.New("a time cannot be read"))
		}
		return each(int64(binary.BigEndian.Uint64(key)^1<<63), binary.BigEndian.Uint32(key[8:]), key[12:])
	})
}

func (r *reader) DueOf(target uint32, key []byte) (int64, bool, error) {
	r.key = append(appendTarget(r.key[:0], spaceDueOf, target), key...)
	data, ok, err := r.value("due document")
	if err != nil || !ok {
		return 0, false, err
	}
	if len(data) != 8 {
		return 0, false, r.store.damaged("read due document", errors.New("its time cannot be read"))
	}
	return int64(binary.BigEndian.Uint64(data)), true, nil
}

func (r *reader) Note(name string) ([]byte, error) {
	r.key = append(append(r.key[:0], spaceNote), name...)
	data, _, err := r.value("note")
	return data, err
}

// value returns a copy of what is stored under r.key.
func (r *reader) value(what string) ([]byte, bool, error) {
	data, closer, err := r.from.Get(r.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, r.store.failed("read "+what, err)
	}
	r.rows.StartRow(1)
	r.rows.Text(data)
	return r.rows.EndRow().Text(0), true, closer.Close()
}

// scan gives what is stored under a prefix, up to end where it is not nil, each
// key without the prefix, which is copied before each is called.
func (r *reader) scan(prefix, after, end []byte, each func(key, data []byte) (bool, error)) error {
	bounds := make([]byte, 0, 3*len(prefix)+len(after)+1)
	bounds = append(append(bounds, prefix...), after...)
	if after != nil {
		bounds = append(bounds, 0) // the first key after it
	}
	lower := slices.Clip(bounds)
	if end == nil {
		end = appendEnd(bounds[len(bounds):], prefix)
	}
	skip := len(prefix)
	iter, err := r.from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: end})
	if err != nil {
		return r.store.failed("read the row store", err)
	}
	more := true
	for ok := iter.First(); ok && more && err == nil; ok = iter.Next() {
		data, valueErr := iter.ValueAndErr()
		if valueErr != nil {
			break // Close returns it
		}
		more, err = each(iter.Key()[skip:], data)
		if !more || err != nil {
			break
		}
	}
	if closeErr := iter.Close(); err == nil && closeErr != nil {
		err = r.store.failed("read the row store", closeErr)
	}
	return err
}
