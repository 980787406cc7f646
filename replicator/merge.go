package replicator

import (
	"errors"
	"fmt"
	"slices"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// merge stores the rows of a chunk but for those that have changed since it was
// read, and does to them what foreign keys have done since.
func (j *joins) merge(c *loadedChunk, changed keySet) error {
	t := c.scan.stored
	progress := t.load
	progress.advance(c.chunk.Last, int64(len(c.chunk.Rows)), c.chunk.Done)
	done := &hiddenLookup{windows: j.windows, window: c.window, child: t.StoredTable}
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		for _, row := range c.chunk.Rows {
			j.key = appendKey(j.key[:0], row, c.scan.table.Key)
			if err := j.mergeRow(b, t, row, changed.has(j.key), done); err != nil {
				return fmt.Errorf("store row of table %s: %w", t.Source, err)
			}
			b.Forget()
		}
		return writeNote(b, t.Note(noteLoad), &progress)
	})
	if errors.Is(err, errUnclear) { // none of it is in the store
		snap := j.store.Snapshot()
		defer func() { _ = snap.Release() }() // nothing is written
		for _, other := range j.tables {
			if err := other.recall(snap); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return j.answer(err)
	}
	t.load, t.begun = progress, true
	return j.begin()
}

// errUnclear: it cannot be told whether a chunk has seen what foreign keys have done.
var errUnclear = errors.New("a chunk may have seen what foreign keys have done, or not")

// mergeRow stores a row that was read. What is stored of it is newer, and all of
// it but for values that the log has left out.
func (j *joins) mergeRow(b *rowstore.Batch, t *storedTable, row sources.Row, changed bool, done *hiddenLookup) error {
	j.arena.Reset()
	row = t.Cut(&j.arena, row)
	j.key, _ = rowstore.AppendKey(j.key[:0], t.Table, row, t.Table.Key)
	key := j.key
	var old sources.Row
	var err error
	if !t.read { // it may be there
		if old, _, err = b.Get(t.Table, key); err != nil {
			return err
		}
		switch {
		case !old.IsZero() && hasMissing(old):
			old = rowstore.Merge(&j.arena, sources.Row{}, old)
			row = rowstore.Merge(&j.arena, row, old)
		case !old.IsZero() || changed:
			return nil
		}
	}
	if err = errors.Join(j.hole(b, t, old, row), b.Replace(t.Table, key, old, row)); err != nil {
		return err
	}
	done.row = row
	for i := 0; ; i++ {
		h, unclear, err := done.next(&i)
		switch {
		case err != nil || h == nil:
			return err
		case !old.IsZero() && !lacks(old, h.Columns):
			continue // it was done to what was stored
		case unclear:
			return errUnclear // the row may refer to what has the value since
		}
		if err := j.actOn(b, t, key, h); err != nil {
			return err
		}
		if done.row, _, err = b.Get(t.Table, key); err != nil || done.row.IsZero() {
			return err
		}
	}
}

// A hiddenLookup finds what foreign keys have done to rows of a chunk since its
// window opened, also while the rows before them were merged.
type hiddenLookup struct {
	windows *windows
	window  *window
	child   *mapping.StoredTable
	row     sources.Row // that is looked for, as it is by now

	known    int                // changes that are in the maps
	cascades []*mapping.Cascade // which they are of
	by       map[string][]int   // by place in cascades and value
	taken    map[string]int     // the last one that gave rows a value
	key      []byte
}

// next finds the first change from the one with a number on that the row is
// subject to, and sets the number; nil where there is none. unclear: the row may have
// come to what it refers to by a later one.
func (l *hiddenLookup) next(from *int) (h *hiddenChange, unclear bool, err error) {
	hidden, ok := l.windows.acted(l.window)
	if !ok {
		return nil, false, errUnclear
	}
	l.learn(hidden)
	first := len(hidden)
	for n, k := range l.cascades {
		var null bool
		if l.key, null = k.ValueOf(append(l.key[:0], byte(n)), l.row); null {
			continue
		}
		changes := l.by[string(l.key)]
		at, _ := slices.BinarySearch(changes, *from)
		if at < len(changes) && changes[at] < first {
			first = changes[at]
			unclear = hidden[first].renewed || l.taken[string(l.key)] > first
		}
	}
	if *from = first; first == len(hidden) {
		return nil, false, nil
	}
	return &hidden[first], unclear, nil
}

// learn puts the changes that are new into the maps.
func (l *hiddenLookup) learn(hidden []hiddenChange) {
	for ; l.known < len(hidden); l.known++ {
		h := &hidden[l.known]
		if h.Child != l.child {
			continue
		}
		n := slices.Index(l.cascades, h.Cascade)
		if n < 0 {
			n = len(l.cascades)
			l.cascades = append(l.cascades, h.Cascade)
		}
		if l.by == nil {
			l.by, l.taken = map[string][]int{}, map[string]int{}
		}
		l.key = append(append(l.key[:0], byte(n)), h.value...)
		l.by[string(l.key)] = append(l.by[string(l.key)], l.known)
		if h.taken != nil {
			l.key = append(append(l.key[:0], byte(n)), h.taken...)
			l.taken[string(l.key)] = l.known
		}
	}
}
