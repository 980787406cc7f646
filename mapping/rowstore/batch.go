package rowstore

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"haystream/sources"
)

// A Batch is writes that take effect together or not at all. It reads the store
// with its own writes in it. One Batch at a time, for one goroutine; it ends
// with Commit or Discard.
type Batch struct {
	reader
	of        *pebble.Batch
	next      state
	stamps    uint64 // given out
	truncated bool   // a table, in this Batch

	// keys and a value being built
	row, from, to []byte
	value, entry  []byte
}

var _ Reader = (*Batch)(nil)

// Batch begins a Batch.
func (s *Store) Batch() *Batch {
	of := s.db.NewIndexedBatch()
	b := &Batch{reader: newReader(s, of), of: of}
	b.base = s.db
	s.mu.Lock()
	b.next = s.state
	s.mu.Unlock()
	b.next.sequence++
	return b
}

// Put stores a row in place of the one with its key, if there is one, which it
// returns. A NULL or Missing cell in its key is an error.
func (b *Batch) Put(t *Table, row sources.Row) (old sources.Row, err error) {
	key, err := b.rowKey(t, row)
	if err != nil {
		return old, err
	}
	if old, _, err = b.Get(t, key); err != nil {
		return old, err
	}
	return old, b.Replace(t, key, old, row)
}

// Replace is Put for a caller that has read what is stored with the row's key;
// old is the zero Row where that is nothing.
func (b *Batch) Replace(t *Table, key []byte, old, row sources.Row) (err error) {
	if b.value, err = appendRow(b.value[:0], t, row, b.stamp(), b.store.options.pieceBytes); err != nil {
		return err
	}
	if err = b.reindex(t, key, old, row); err != nil {
		return err
	}
	if b.store.large(old) {
		if err = b.deletePieces(t, key); err != nil {
			return err
		}
	}
	if err = b.putPieces(t, key, row); err != nil {
		return err
	}
	b.to = append(appendRowSpace(b.to[:0], t), key...)
	b.changed(b.to)
	return b.written("store row", b.of.Set(b.to, b.value, nil))
}

// Delete removes the row with a key and returns it; the zero Row where there is none.
func (b *Batch) Delete(t *Table, key []byte) (old sources.Row, err error) {
	old, ok, err := b.Get(t, key)
	if err != nil || !ok {
		return old, err
	}
	return old, b.Remove(t, key, old)
}

// Remove is Delete for a caller that has read what is stored with the key.
func (b *Batch) Remove(t *Table, key []byte, old sources.Row) error {
	if err := b.reindex(t, key, old, sources.Row{}); err != nil {
		return err
	}
	if b.store.large(old) {
		if err := b.deletePieces(t, key); err != nil {
			return err
		}
	}
	b.to = append(appendRowSpace(b.to[:0], t), key...)
	b.changed(b.to)
	return b.written("delete row", b.of.Delete(b.to, nil))
}

// Truncate removes all rows of a table.
func (b *Batch) Truncate(t *Table) error {
	for _, prefix := range [][]byte{appendRowSpace(nil, t), appendPieceSpace(nil, t), appendIndexSpace(nil, t)} {
		some := false
		err := b.scan(prefix, nil, nil, func(_, _ []byte) (bool, error) {
			some = true
			return false, nil
		})
		if err != nil {
			return err
		}
		if !some {
			continue // what is loaded would be kept above what deletes nothing
		}
		b.truncated, b.base = true, nil
		if err := b.of.DeleteRange(prefix, appendEnd(nil, prefix), nil); err != nil {
			return b.written("truncate "+t.String(), err)
		}
	}
	return nil
}

// PutDirty notes which documents of a target the Batch makes dirty, under its version.
func (b *Batch) PutDirty(target uint32, version int64, data []byte) error {
	b.to = appendDirty(b.to[:0], target, version)
	return b.written("store dirty documents", b.of.Set(b.to, data, nil))
}

// DeleteDirty removes what was noted of a target under a version.
func (b *Batch) DeleteDirty(target uint32, version int64) error {
	b.to = appendDirty(b.to[:0], target, version)
	return b.written("delete dirty documents", b.of.Delete(b.to, nil))
}

// PutWork stores work that is to be gone on with.
func (b *Batch) PutWork(id uint64, data []byte) error {
	b.to = appendWork(b.to[:0], id)
	return b.written("store work", b.of.Set(b.to, data, nil))
}

// DeleteWork removes work that is done.
func (b *Batch) DeleteWork(id uint64) error {
	b.to = appendWork(b.to[:0], id)
	return b.written("delete work", b.of.Delete(b.to, nil))
}

// PutDue notes when a document's time condition changes, in microseconds since
// 1970, in place of what was noted for it before.
func (b *Batch) PutDue(at int64, target uint32, key []byte) error {
	was, ok, err := b.DueOf(target, key)
	switch {
	case err != nil:
		return err
	case ok && was == at:
		return nil
	case ok:
		if err := b.deleteDue(was, target, key); err != nil {
			return err
		}
	}
	b.to = binary.BigEndian.AppendUint32(appendDue(b.to[:0], at), target)
	b.to = append(b.to, key...)
	if err := b.of.Set(b.to, nil, nil); err != nil {
		return b.written("store due document", err)
	}
	b.value = binary.BigEndian.AppendUint64(b.value[:0], uint64(at))
	b.to = append(appendTarget(b.to[:0], spaceDueOf, target), key...)
	return b.written("store due document", b.of.Set(b.to, b.value, nil))
}

// DeleteDue forgets when a document is due.
func (b *Batch) DeleteDue(target uint32, key []byte) error {
	at, ok, err := b.DueOf(target, key)
	if err != nil || !ok {
		return err
	}
	if err := b.deleteDue(at, target, key); err != nil {
		return err
	}
	b.to = append(appendTarget(b.to[:0], spaceDueOf, target), key...)
	return b.written("delete due document", b.of.Delete(b.to, nil))
}

func (b *Batch) deleteDue(at int64, target uint32, key []byte) error {
	b.to = binary.BigEndian.AppendUint32(appendDue(b.to[:0], at), target)
	b.to = append(b.to, key...)
	return b.written("delete due document", b.of.Delete(b.to, nil))
}

// Set stores a note under a name; nil removes it.
func (b *Batch) Set(name string, data []byte) error {
	b.to = append(append(b.to[:0], spaceNote), name...)
	if data == nil {
		return b.written("delete note "+name, b.of.Delete(b.to, nil))
	}
	return b.written("store note "+name, b.of.Set(b.to, data, nil))
}

// SetPosition notes what the store holds once the Batch is committed: every
// change up to a Position, as of a version.
func (b *Batch) SetPosition(pos sources.Position, version int64) {
	b.next.position, b.next.version = string(pos), version
}

// changed notes that a row is not as it was when the Batch began.
func (b *Batch) changed(key []byte) {
	if b.newer == nil {
		b.newer = map[string]struct{}{}
	}
	b.newer[string(key)] = struct{}{}
}

// Size is how many bytes the Batch holds. It stays in memory until Commit:
// commit before it is much larger than a megabyte.
func (b *Batch) Size() int { return b.of.Len() }

// rowKey builds a row's key in b.row.
func (b *Batch) rowKey(t *Table, row sources.Row) ([]byte, error) {
	key, null := AppendKey(b.row[:0], t, row, t.Key)
	b.row = key
	if null {
		return nil, b.written("store row of "+t.String(), errors.New("a value of its key is not known"))
	}
	return key, nil
}

// reindex replaces the index entries of a row by those of another with the same
// key, whose stored form is in b.value. Either may be the zero Row.
func (b *Batch) reindex(t *Table, key []byte, old, row sources.Row) error {
	for n, columns := range t.Indexes {
		b.from, b.to = appendEntry(b.from, t, n, old, columns, key), appendEntry(b.to, t, n, row, columns, key)
		same := bytes.Equal(b.from, b.to)
		if same && (len(b.to) == 0 || !t.holds(n, old) && !t.holds(n, row) && old.Same(row, t.links[n]...)) {
			continue
		}
		if len(b.from) > 0 && !same {
			if err := b.of.Delete(b.from, nil); err != nil {
				return b.written("store index", err)
			}
		}
		if len(b.to) > 0 {
			b.entry = appendInEntry(b.entry[:0], t, n, row, b.value)
			if err := b.of.Set(b.to, b.entry, nil); err != nil {
				return b.written("store index", err)
			}
		}
	}
	return nil
}

func (b *Batch) written(what string, err error) error {
	if err == nil {
		return nil
	}
	return b.store.failed(what, err)
}
