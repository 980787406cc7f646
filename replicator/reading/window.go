// Package reading is what reading a table in chunks, while the stream goes on, has
// to know: what happens to its rows meanwhile, and how far it has come. It owns no
// goroutine; Windows may be used from any.
package reading

import (
	"encoding/binary"
	"slices"
	"sync"

	"haystream/sources"
)

// Windows keeps, for each table that is being read, what happens to its rows
// meanwhile: the keys that the stream changes, and the values that foreign keys
// act on without a word in the log. The apply loop records, scans open and close.
type Windows struct {
	mu      sync.Mutex
	tables  []*record // by table ordinal; nil while no window is open
	storing []bool    // by table ordinal: rows were being read into the store at the last Record; owned by who calls it
}

// record is one table's record since its oldest open window. All lists are of
// length-prefixed names.
type record struct {
	keys     []byte // of whole changes
	partial  []byte // of changes whose image lacked a column
	parts    []part // one for each key of the latter
	acted    []byte // values that foreign keys have acted on
	count    int    // names recorded
	open     int    // windows
	stored   int    // of those, for the row store
	overflow bool   // the record outgrew its bound: no open window can be trusted
}

// A part tells of a change whose image lacked a column.
type part struct {
	tx   uint64
	keys int // how long the list of whole changes was before it
}

// size is about how many bytes the record takes.
func (t *record) size() int { return len(t.keys) + len(t.partial) + len(t.acted) + 16*len(t.parts) }

// maxRecord bounds one table's record in bytes. A chunk whose window outgrows
// it is read again later.
const maxRecord = 8 << 20

// A Window is open from before a chunk is read until it is merged.
type Window struct {
	table  *sources.Table
	of     *record
	stored bool // the chunk is for the row store

	// How long each part of the record was when it was opened.
	keys, partial, parts, acted int
}

// NewWindows has room for the given number of tables.
func NewWindows(tables int) *Windows {
	return &Windows{tables: make([]*record, tables), storing: make([]bool, tables)}
}

// Open begins to record what happens to the table's rows. stored: the chunk is
// for the row store.
func (w *Windows) Open(table *sources.Table, stored bool) *Window {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tables[table.Ordinal]
	if t == nil || t.overflow {
		t = &record{}
		w.tables[table.Ordinal] = t
	}
	t.open++
	if stored {
		t.stored++
	}
	return &Window{table: table, of: t, stored: stored, keys: len(t.keys), partial: len(t.partial), parts: len(t.parts), acted: len(t.acted)}
}

// Close ends the window; the last one frees the record.
func (w *Windows) Close(win *Window) {
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

// Record notes what a batch changes in tables with an open window.
func (w *Windows) Record(b *sources.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, t := range w.tables {
		w.storing[n] = t != nil && t.stored > 0
	}
	for i := range b.Changes {
		c := &b.Changes[i]
		t := w.tables[c.Table.Ordinal]
		if t == nil || t.overflow || c.Kind == sources.Stale { // of a stale row a chunk knows more
			continue
		}
		t.add(c)
		t.bound()
	}
}

// Storing reports whether rows of a table were being read into the row store at the last Record.
func (w *Windows) Storing(table *sources.Table) bool { return w.storing[table.Ordinal] }

// Act notes that foreign keys have acted on the rows of a table with a value, or may have.
func (w *Windows) Act(table *sources.Table, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tables[table.Ordinal]; t != nil && t.stored > 0 && !t.overflow {
		t.acted = append(binary.BigEndian.AppendUint32(t.acted, uint32(len(value))), value...)
		t.count++
		t.bound()
	}
}

func (t *record) bound() {
	if t.size() > maxRecord {
		*t = record{open: t.open, stored: t.stored, overflow: true}
	}
}

// add notes one change. An image that lacks a column is not a whole row, so the
// chunk's row is still wanted.
func (t *record) add(c *sources.Change) {
	for _, image := range []sources.Row{c.Before, c.After} {
		if image.IsZero() {
			continue
		}
		t.count++
		if !c.After.IsZero() && !c.After.Whole() {
			t.partial, t.parts = AppendName(t.partial, image, c.Table.Key), append(t.parts, part{c.Tx, len(t.keys)})
		} else {
			t.keys = AppendName(t.keys, image, c.Table.Key)
		}
	}
}

// AppendName appends a row's key as a name, in a form that is equal for equal keys only:
// the length of the rest, then each text after its length.
func AppendName(dst []byte, r sources.Row, key []int) []byte {
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

// Unchanged returns the rows of a chunk that no change since the window opened has
// told whole, or none that came after the last one whose image was not, and false
// where the chunk has to be read again: it must have seen the changes whose images
// were not whole.
func (w *Windows) Unchanged(win *Window, chunk *sources.Chunk) ([]sources.Row, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := win.of
	if t.overflow || slices.ContainsFunc(t.parts[win.parts:], func(p part) bool { return !chunk.Sees(p.tx) }) {
		return nil, false
	}
	changed := t.changed(win)
	if len(changed) == 0 {
		return chunk.Rows, true
	}
	rows := chunk.Rows[:0]
	var key []byte
	for _, r := range chunk.Rows {
		key = AppendName(key[:0], r, win.table.Key)
		if !changed.Has(key[4:]) {
			rows = append(rows, r)
		}
	}
	return rows, true
}

// changed are the keys of rows whose last change since a window opened had a whole image.
func (t *record) changed(win *Window) Names {
	if len(t.keys) == win.keys {
		return nil
	}
	changed, whole := make(Names, t.count), win.keys
	partial := t.partial[win.partial:]
	for _, p := range t.parts[win.parts:] {
		changed.add(t.keys[whole:p.keys])
		whole = p.keys
		n := nameSize(partial)
		delete(changed, string(partial[4:n]))
		partial = partial[n:]
	}
	changed.add(t.keys[whole:])
	return changed
}

// Happened is what a window has recorded, as far as a chunk has not seen it.
type Happened struct {
	Changed Names // rows that the store knows better, if it has them at all
	Partial Names // rows that changed and that the log did not tell whole
	Acted   Names // values that foreign keys may have acted on; the chunk may have seen that
}

// Happened returns what has happened since the window opened, and false where that is not known.
func (w *Windows) Happened(win *Window, chunk *sources.Chunk) (h Happened, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := win.of
	if t.overflow {
		return h, false
	}
	var partial []byte
	keys := t.partial[win.partial:]
	for _, p := range t.parts[win.parts:] {
		n := nameSize(keys)
		if !chunk.Sees(p.tx) {
			partial = append(partial, keys[:n]...)
		}
		keys = keys[n:]
	}
	return Happened{newNames(t.count, t.keys[win.keys:]), newNames(t.count, partial), newNames(t.count, t.acted[win.acted:])}, true
}

// A Names is names that were length-prefixed.
type Names map[string]struct{}

func newNames(count int, names []byte) Names {
	if len(names) == 0 {
		return nil
	}
	s := make(Names, count)
	s.add(names)
	return s
}

func (s Names) add(names []byte) {
	for len(names) > 0 {
		n := nameSize(names)
		s[string(names[4:n])] = struct{}{}
		names = names[n:]
	}
}

// nameSize is how much of some names the first one takes, with its length.
func nameSize(names []byte) int { return 4 + int(binary.BigEndian.Uint32(names)) }

// Has reports whether a name is among them.
func (s Names) Has(name []byte) bool {
	_, ok := s[string(name)]
	return ok
}
