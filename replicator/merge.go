package replicator

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// merge stores the rows of a chunk but for those that have changed since it was
// read, and does to them what foreign keys have done since.
func (j *joins) merge(c *loadedChunk, changed keySet) error {
	t := c.scan.stored
	progress := t.load
	progress.advance(c.chunk.Last, int64(len(c.chunk.Rows)), c.chunk.Done)
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		for _, row := range c.chunk.Rows {
			j.key = appendKey(j.key[:0], row, c.scan.table.Key)
			if err := j.mergeRow(b, c, row, changed.has(j.key)); err != nil {
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
func (j *joins) mergeRow(b *rowstore.Batch, c *loadedChunk, row sources.Row, changed bool) error {
	t := c.scan.stored
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
	hidden, ok := j.windows.acted(c.window) // also by what foreign keys have done to the rows before this one
	if !ok {
		return errUnclear
	}
	for i := range hidden {
		h := &hidden[i]
		if h.Child != t.StoredTable || !old.IsZero() && !lacks(old, h.Columns) {
			continue // it was done to what was stored
		}
		if value, null := h.ValueOf(nil, row); null || !bytes.Equal(value, h.value) {
			continue
		}
		if h.renewed || slices.ContainsFunc(hidden[i+1:], func(later hiddenChange) bool { return later.Cascade == h.Cascade && bytes.Equal(later.taken, h.value) }) {
			return errUnclear // the row may refer to what has the value since
		}
		if err = j.actOn(b, t, key, h); err != nil {
			return err
		}
		if row, _, err = b.Get(t.Table, key); err != nil || row.IsZero() {
			return err
		}
	}
	return nil
}
