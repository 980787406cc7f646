package replicator

import (
	"encoding/binary"
	"sync"

	"haystream/sources"
)

// windows keeps, for each table that is being read in chunks, the keys that
// the stream changes meanwhile. The apply loop records, scans open and close.
type windows struct {
	mu     sync.Mutex
	tables []*touched // by table ordinal; nil while no window is open
}

// touched is one table's record since its oldest open window.
type touched struct {
	keys       []byte   // length-prefixed
	count      int      // keys recorded
	incomplete []uint64 // transactions whose image lacked a column
	open       int      // windows
	overflow   bool     // the record outgrew its bound: no open window can be trusted
}

// maxTouched bounds one table's record in bytes. A chunk whose window outgrows
// it is read again later.
const maxTouched = 8 << 20

// A window is open from before a chunk is read until it is merged.
type window struct {
	table      *sources.Table
	of         *touched
	start      int // offset in keys
	incomplete int // offset in incomplete
}

// newWindows has room for the given number of tables.
func newWindows(tables int) *windows { return &windows{tables: make([]*touched, tables)} }

// open begins to record the keys that the stream changes in the table.
func (w *windows) open(table *sources.Table) *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tables[table.Ordinal]
	if t == nil || t.overflow {
		t = &touched{}
		w.tables[table.Ordinal] = t
	}
	t.open++
	return &window{table: table, of: t, start: len(t.keys), incomplete: len(t.incomplete)}
}

// close ends the window; the last one frees the record.
func (w *windows) close(win *window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	win.of.open--
	if win.of.open == 0 && w.tables[win.table.Ordinal] == win.of {
		w.tables[win.table.Ordinal] = nil
	}
}

// record notes what a batch changes in tables with an open window.
func (w *windows) record(b *sources.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range b.Changes {
		c := &b.Changes[i]
		t := w.tables[c.Table.Ordinal]
		if t == nil || t.overflow {
			continue
		}
		t.add(c)
		if len(t.keys)+8*len(t.incomplete) > maxTouched {
			t.keys, t.incomplete, t.overflow = nil, nil, true
		}
	}
}

// add notes one change. An image that lacks a column is not a whole row, so the
// chunk's row is still wanted; but the chunk must have seen the change.
func (t *touched) add(c *sources.Change) {
	if !c.After.IsZero() {
		if hasMissing(c.After) {
			t.incomplete = append(t.incomplete, c.Tx)
			return
		}
		t.addKey(c.After, c.Table.Key)
	}
	if !c.Before.IsZero() {
		t.addKey(c.Before, c.Table.Key)
	}
}

func (t *touched) addKey(r sources.Row, key []int) {
	t.keys = appendKey(t.keys, r, key)
	t.count++
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
// touched, and false where the chunk has to be read again.
func (w *windows) merge(win *window, chunk *sources.Chunk) ([]sources.Row, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := win.of
	if t.overflow {
		return nil, false
	}
	for _, tx := range t.incomplete[win.incomplete:] {
		if !chunk.Sees(tx) {
			return nil, false
		}
	}
	keys := t.keys[win.start:]
	if len(keys) == 0 {
		return chunk.Rows, true
	}
	changed := make(map[string]struct{}, t.count)
	for len(keys) > 0 {
		n := 4 + binary.BigEndian.Uint32(keys)
		changed[string(keys[4:n])] = struct{}{}
		keys = keys[n:]
	}
	rows := chunk.Rows[:0]
	var key []byte
	for _, r := range chunk.Rows {
		key = appendKey(key[:0], r, win.table.Key)
		if _, ok := changed[string(key[4:])]; !ok {
			rows = append(rows, r)
		}
	}
	return rows, true
}
