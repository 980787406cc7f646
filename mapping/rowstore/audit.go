package rowstore

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"haystream/sources"
)

// What an index holds follows from the rows. Replace and Remove are told by their caller what was stored: where that was
// something else, as after a change that the source's log does not have, entries stay that no row has. These look for such.

// Unindexed returns an index whose entry of a stored row is missing, or does not hold what the row does; -1 where all
// are as the row says.
func (n *Snapshot) Unindexed(t *Table, key []byte, row sources.Row) (index int, err error) {
	var entry []byte
	for index, columns := range t.Indexes {
		if entry = appendEntry(entry, t, index, row, columns, key); len(entry) == 0 {
			continue
		}
		data, closer, err := n.from.Get(entry)
		if errors.Is(err, pebble.ErrNotFound) {
			return index, nil
		}
		if err != nil {
			return -1, n.store.failed("read index of "+t.String(), err)
		}
		says, err := n.says(t, index, key, data, row)
		if err = errors.Join(err, closer.Close()); err != nil || !says {
			return index, err
		}
	}
	return -1, nil
}

// says reports whether what an index's entry holds is what a row has.
func (r *reader) says(t *Table, index int, key, data []byte, row sources.Row) (bool, error) {
	if !t.holds(index, row) {
		return bytes.Equal(data, appendInEntry(nil, t, index, row, nil)), nil
	}
	if len(data) == 0 || data[0] != entryRow {
		return false, nil
	}
	held, _, err := r.readInEntry(t, index, key, data)
	if err != nil {
		return false, r.unread(t, err)
	}
	for i := range t.Columns {
		if !held.Same(row, i) {
			return false, nil
		}
	}
	return true, nil
}

// A Stray is an entry of an index that no row has.
type Stray struct {
	Index int
	Key   []byte      // of the row that the entry is of
	Row   sources.Row // as it is stored; the zero Row where there is none. Valid until the call that gives it returns

	entry []byte
}

// Strays looks at a table's index entries after a place, most at most, and gives those that no row has. done: none are left.
func (n *Snapshot) Strays(t *Table, after []byte, most int, each func(Stray) error) (last []byte, done bool, err error) {
	prefix := appendIndexSpace(nil, t)
	looked := 0
	last, done = after, true
	err = n.scan(prefix, after, nil, func(at, _ []byte) (bool, error) {
		if looked == most {
			done = false
			return false, nil
		}
		looked++
		last = slices.Clone(at)
		s, stray, err := n.stray(t, append(slices.Clip(prefix), last...))
		if err == nil && stray {
			err = each(s)
		}
		n.Forget() // a row may be large
		return true, err
	})
	return last, done, err
}

// stray reports whether no row has an entry.
func (r *reader) stray(t *Table, entry []byte) (s Stray, stray bool, err error) {
	const before = 3 // space and table
	s = Stray{Index: int(entry[before]), entry: entry}
	s.Key = entry[before+1:]
	if s.Index >= len(t.Indexes) {
		return s, false, r.store.damaged("read index of "+t.String(), errCell)
	}
	for range t.Indexes[s.Index] {
		size := valueSize(s.Key)
		if size == 0 {
			return s, false, r.store.damaged("read index of "+t.String(), errCell)
		}
		s.Key = s.Key[size:]
	}
	if s.Row, _, err = r.Get(t, s.Key); err != nil {
		return s, false, err
	}
	return s, !bytes.Equal(appendEntry(nil, t, s.Index, s.Row, t.Indexes[s.Index], s.Key), entry), nil
}

// Reindex writes the index entries of a stored row anew.
func (b *Batch) Reindex(t *Table, key []byte) error {
	row, ok, err := b.Get(t, key)
	if err != nil || !ok {
		return err
	}
	if b.value, err = appendRow(b.value[:0], t, row, 0, b.store.options.pieceBytes); err != nil {
		return err
	}
	return b.reindex(t, key, sources.Row{}, row)
}

// Strip deletes an entry of an index, unless a row has it by now.
func (b *Batch) Strip(t *Table, s Stray) error {
	_, stray, err := b.stray(t, s.entry)
	if err != nil || !stray {
		return err
	}
	return b.written("delete from index", b.of.Delete(s.entry, nil))
}

// valueSize is how many bytes the value takes that AppendValue has put first; 0 where none has been.
func valueSize(key []byte) int {
	if len(key) == 0 {
		return 0
	}
	at, negative := 1, key[0] < tagZero
	switch tag := key[0]; {
	case tag == tagText, tag == tagTime:
		for ; at+1 < len(key); at++ {
			if key[at] == 0 {
				if at++; key[at] == 1 {
					return at + 1
				}
			}
		}
		return 0
	case tag == tagZero, tag == tagMinusInfinity, tag == tagInfinity, tag == tagNaN:
		return 1
	case tag == tagFraction, tag == tagLarge, tag == 2*tagZero-tagFraction, tag == 2*tagZero-tagLarge:
		at = 5
	}
	for ; at < len(key); at++ {
		if digits := key[at]; digits&1 == 0 != negative { // the last ones
			return at + 1
		}
	}
	return 0
}
