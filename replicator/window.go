package replicator

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"haystream/sources"
)

// windows keeps, for each table that is being read in chunks, the keys that
// the stream changes meanwhile. The apply loop records, scans open and close.
type windows struct {
	mu      sync.Mutex
	tables  []*touched // by table ordinal; nil while no window is open
	batches int64      // recorded
	storing []bool     // by table ordinal: rows were being read into the store at the last record; owned by the apply loop
}

// touched is one table's record since its oldest open window.
type touched struct {
	keys       []byte   // of whole changes, length-prefixed
	partial    []byte   // of changes whose image lacked a column, length-prefixed
	count      int      // keys recorded
	incomplete []uint64 // transactions of the latter
	moved      []uint64 // and of those that need a row which the store may not have
	patched    []byte   // keys of rows that need what they were before, length-prefixed
	patches    []uint64 // transactions of the latter, one for each key
	hidden     []hiddenChange
	open       int  // windows
	stored     int  // of those, for the row store
	overflow   bool // the record outgrew its bound, or cannot be whole: no open window can be trusted
}

// size is about how many bytes the record takes.
func (t *touched) size() int {
	n := len(t.keys) + len(t.partial) + len(t.patched) + 8*(len(t.incomplete)+len(t.moved)+len(t.patches))
	for i := range t.hidden {
		n += t.hidden[i].size()
	}
	return n
}

// maxTouched bounds one table's record in bytes. A chunk whose window outgrows
// it is read again later.
const maxTouched = 8 << 20

// A window is open from before a chunk is read until it is merged.
type window struct {
	table  *sources.Table
	of     *touched
	stored bool  // the chunk is for the row store
	batch  int64 // the last one that was recorded when it was opened: the chunk has seen all of it

	// How long each part of the record was when it was opened.
	keys, partial, incomplete, moved, patched, patches, hidden int
}

// newWindows has room for the given number of tables.
func newWindows(tables int) *windows {
	return &windows{tables: make([]*touched, tables), storing: make([]bool, tables)}
}

// open begins to record the keys that the stream changes in the table. stored:
// the chunk is for the row store.
func (w *windows) open(table *sources.Table, stored bool) *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tables[table.Ordinal]
	if t == nil || t.overflow {
		t = &touched{}
		w.tables[table.Ordinal] = t
	}
	t.open++
	if stored {
		t.stored++
	}
	return &window{
		table: table, of: t, stored: stored, batch: w.batches, keys: len(t.keys), partial: len(t.partial),
		incomplete: len(t.incomplete), moved: len(t.moved), patched: len(t.patched), patches: len(t.patches), hidden: len(t.hidden),
	}
}

// close ends the window; the last one frees the record.
func (w *windows) close(win *window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	win.of.open--
	if win.stored {
		win.of.stored--
	}
	if win.of.open == 0 && w.tables[win.table.Ordinal] == win.of {
		w.tables[win.table.Ordinal] = nil
	}
}

// record notes what a batch changes in tables with an open window.
func (w *windows) record(b *sources.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches++
	for n, t := range w.tables {
		w.storing[n] = t != nil && t.stored > 0
	}
	for i := range b.Changes {
		c := &b.Changes[i]
		t := w.tables[c.Table.Ordinal]
		if t == nil || t.overflow {
			continue
		}
		t.add(c)
		t.bound()
	}
}

// hide notes what a foreign key does to a table's rows.
func (w *windows) hide(table *sources.Table, h hiddenChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tables[table.Ordinal]; t != nil && !t.overflow {
		h.batch = w.batches
		t.hidden = append(t.hidden, h)
		t.bound()
	}
}

// spoil makes open windows of a table worthless: rows have moved that are not known.
func (w *windows) spoil(table *sources.Table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tables[table.Ordinal]; t != nil {
		t.spoil()
	}
}

func (t *touched) bound() {
	if t.size() > maxTouched {
		t.spoil()
	}
}

func (t *touched) spoil() { *t = touched{open: t.open, stored: t.stored, overflow: true} }

// add notes one change. An image that lacks a column is not a whole row, so the
// chunk's row is still wanted.
func (t *touched) add(c *sources.Change) {
	key, into := c.Table.Key, &t.keys
	if !c.After.IsZero() {
		if hasMissing(c.After) {
			into = &t.partial
			t.incomplete = append(t.incomplete, c.Tx)
			switch {
			case !c.Before.IsZero() && !sameCells(c.Before, c.After, key):
				t.moved = append(t.moved, c.Tx)
			case hasPatch(c.After):
				t.patched, t.patches = appendKey(t.patched, c.After, key), append(t.patches, c.Tx)
			}
		}
		*into = appendKey(*into, c.After, key)
		t.count++
	}
	if !c.Before.IsZero() {
		*into = appendKey(*into, c.Before, key)
		t.count++
	}
}

// sameCells reports whether two images of a row have the same values in some columns.
func sameCells(a, b sources.Row, columns []int) bool {
	return !slices.ContainsFunc(columns, func(i int) bool {
		return a.Null(i) != b.Null(i) || a.Missing(i) != b.Missing(i) || !bytes.Equal(a.Text(i), b.Text(i))
	})
}

func hasPatch(r sources.Row) bool {
	for i := range r.Len() {
		if r.Patch(i) != nil {
			return true
		}
	}
	return false
}

// appendKey appends a row's key in a form that is equal for equal keys only:
// the length of the rest, then each text after its length.
func appendKey(dst []byte, r sources.Row, key []int) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, i := range key {
		text := r.Text(i)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
		dst = append(dst, text...)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

func hasMissing(r sources.Row) bool {
	for i := range r.Len() {
		if r.Missing(i) {
			return true
		}
	}
	return false
}

// merge returns the rows of a chunk that no change since the window opened has
// touched, and false where the chunk has to be read again: it must have seen
// the changes whose images were not whole.
func (w *windows) merge(win *window, chunk *sources.Chunk) ([]sources.Row, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := win.of
	if t.overflow || unseen(t.incomplete[win.incomplete:], chunk) {
		return nil, false
	}
	changed := newKeySet(t.count, t.keys[win.keys:])
	if len(changed) == 0 {
		return chunk.Rows, true
	}
	rows := chunk.Rows[:0]
	var key []byte
	for _, r := range chunk.Rows {
		key = appendKey(key[:0], r, win.table.Key)
		if !changed.has(key) {
			rows = append(rows, r)
		}
	}
	return rows, true
}

// stored returns which rows of a table have changed since the window opened, for
// chunk rows that are to be stored, and false where the chunk has to be read again.
func (w *windows) stored(win *window, chunk *sources.Chunk) (changed keySet, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := win.of
	if t.overflow || unseen(t.moved[win.moved:], chunk) || t.lacksPatches(win, chunk) {
		return nil, false
	}
	return newKeySet(t.count, t.keys[win.keys:], t.partial[win.partial:]), true
}

// acted returns what foreign keys have done to a table's rows since the window
// opened, and false where that is not known.
func (w *windows) acted(win *window) (hidden []hiddenChange, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if win.of.overflow {
		return nil, false
	}
	hidden = win.of.hidden[win.hidden:]
	for len(hidden) > 0 && hidden[0].batch <= win.batch { // it was opened while the batch was applied
		hidden = hidden[1:]
	}
	return hidden, true
}

// lacksPatches reports whether a row of the chunk may be from before a change of a
// part of a value.
func (t *touched) lacksPatches(win *window, chunk *sources.Chunk) bool {
	var lacking []byte
	keys := t.patched[win.patched:]
	for _, tx := range t.patches[win.patches:] {
		n := 4 + binary.BigEndian.Uint32(keys)
		if !chunk.Sees(tx) {
			lacking = append(lacking, keys[:n]...)
		}
		keys = keys[n:]
	}
	patched := newKeySet(len(t.patches)-win.patches, lacking)
	var key []byte
	return len(patched) > 0 && slices.ContainsFunc(chunk.Rows, func(r sources.Row) bool {
		key = appendKey(key[:0], r, win.table.Key)
		return patched.has(key)
	})
}

func unseen(txs []uint64, chunk *sources.Chunk) bool {
	return slices.ContainsFunc(txs, func(tx uint64) bool { return !chunk.Sees(tx) })
}

// A keySet is keys as appendKey writes them.
type keySet map[string]struct{}

func newKeySet(count int, lists ...[]byte) keySet {
	var s keySet
	for _, keys := range lists {
		if s == nil && len(keys) > 0 {
			s = make(keySet, count)
		}
		for len(keys) > 0 {
			n := 4 + binary.BigEndian.Uint32(keys)
			s[string(keys[4:n])] = struct{}{}
			keys = keys[n:]
		}
	}
	return s
}

func (s keySet) has(key []byte) bool {
	_, ok := s[string(key[4:])]
	return ok
}
