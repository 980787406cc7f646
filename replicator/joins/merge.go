package joins

import (
	"bytes"
	"fmt"
	"slices"

	"haystream/internal/fault"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sources"
)

// loadRows is how many rows a table of one chunk has at least for them to be loaded: a
// sorted table costs a few syncs of the disk.
const loadRows = 200

// A loading is rows of a table, of one chunk or several, that are not in the store yet.
// They come into it before anything is done that could read or change them.
type loading struct {
	*rowstore.Load
	progress reading.Progress // once they are
}

// Merge stores the rows of a chunk but for those that have changed since it was read.
func (j *Joins) Merge(t *Table, chunk *sources.Chunk, h reading.Happened) error {
	progress := t.load
	if t.loading != nil {
		progress = t.loading.progress
	}
	progress.Advance(chunk.Last, int64(len(chunk.Rows)), chunk.Done)
	left := chunk.Rows
	if t.loading != nil || !chunk.Done || len(left) >= j.loadRows {
		var err error
		if left, err = j.loadChunk(t, chunk.Rows, h); err != nil {
			return fmt.Errorf("load rows of table %s: %w", t.Source, err)
		}
	}
	t.begun = true
	if l := t.loading; l != nil {
		l.progress = progress
		if len(left) == 0 && !chunk.Done && !l.Full() {
			t.shown.Store(&progress)
			return nil
		}
	}
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		if err := j.commitLoading(b); err != nil {
			return err
		}
		for _, row := range left {
			if _, err := j.mergeRow(b, t, row, h, nil); err != nil {
				return fmt.Errorf("store row of table %s: %w", t.Source, err)
			}
			b.Forget()
		}
		t.advance(progress)
		return writeNote(b, t.Note(noteLoad), &progress)
	})
	if err != nil {
		return err
	}
	fault.Point("chunk stored")
	return j.Begin()
}

// commitLoading brings into the store what is being loaded. A kill may leave rows
// without the progress: they are then as if the stream had brought them, and will be
// read again.
func (j *Joins) commitLoading(b *rowstore.Batch) error {
	for _, t := range j.tables {
		l := t.loading
		if l == nil {
			continue
		}
		t.loading = nil
		if err := l.Commit(b); err != nil {
			return fmt.Errorf("load rows of table %s: %w", t.Source, err)
		}
		fault.Point("rows loaded")
		t.advance(l.progress)
		if err := writeNote(b, t.Note(noteLoad), &t.load); err != nil {
			return err
		}
	}
	return nil
}

// loadChunk loads the rows of a chunk that the store does not have and that nothing has
// happened to, and returns the others.
func (j *Joins) loadChunk(t *Table, rows []sources.Row, h reading.Happened) (left []sources.Row, err error) {
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	type loaded struct {
		row        sources.Row
		start, end int // of its key
	}
	var keys []byte
	all := make([]loaded, 0, len(rows))
	for _, row := range rows {
		j.arena.Reset()
		cut, start := t.Cut(&j.arena, row), len(keys)
		var null bool
		keys, null = rowstore.AppendKey(keys, t.Table, cut, t.Table.Key)
		happened, err := j.happened(snap, t, row, cut, keys[start:], h)
		if err != nil {
			return nil, err
		}
		if null || happened {
			left = append(left, row)
		} else {
			all = append(all, loaded{row, start, len(keys)})
		}
	}
	ascending := func(x, y loaded) int { return bytes.Compare(keys[x.start:x.end], keys[y.start:y.end]) }
	if !slices.IsSortedFunc(all, ascending) { // the source may order them otherwise
		slices.SortStableFunc(all, ascending)
	}
	if t.loading == nil {
		t.loading = &loading{Load: j.store.Load(t.Table), progress: t.load}
	}
	for _, l := range all {
		j.arena.Reset()
		taken, err := t.loading.Add(keys[l.start:l.end], t.Cut(&j.arena, l.row))
		if err != nil {
			return nil, err
		}
		if !taken {
			left = append(left, l.row)
		}
	}
	return left, t.loading.Rest()
}

// happened reports whether something has happened to a row since its chunk was read, or may have.
func (j *Joins) happened(from rowstore.Reader, t *Table, read, row sources.Row, key []byte, h reading.Happened) (bool, error) {
	if len(h.Changed)+len(h.Partial) > 0 {
		j.name = reading.AppendName(j.name[:0], read, t.Source.Key)
		if name := j.name[4:]; h.Changed.Has(name) || h.Partial.Has(name) {
			return true, nil
		}
	}
	if len(h.Acted) == 0 && t.suspects == 0 {
		return false, nil
	}
	name := suspectName(t.Table.Key, key)
	if h.Acted.Has([]byte(name)) {
		return true, nil
	}
	for _, k := range t.above {
		if v, ok := t.referred(k, row); ok && h.Acted.Has([]byte(v.name)) {
			return true, nil
		}
	}
	return j.suspected(from, t, name)
}

// mergeRow stores a row that was read and returns its key. of is the lookup that it was
// read for, nil for a chunk: what differs there from what is stored has come about
// without a word in the log.
func (j *Joins) mergeRow(b *rowstore.Batch, t *Table, read sources.Row, h reading.Happened, of *Lookup) ([]byte, error) {
	reread := of != nil
	j.arena.Reset()
	row := t.Cut(&j.arena, read)
	j.key, _ = rowstore.AppendKey(j.key[:0], t.Table, row, t.Table.Key)
	j.name = reading.AppendName(j.name[:0], read, t.Source.Key)
	switch name := j.name[4:]; {
	case h.Changed.Has(name):
		return j.key, nil
	case len(h.Acted) > 0 && h.Acted.Has([]byte(suspectName(t.Table.Key, j.key))):
		return j.key, j.suspectRow(b, t, row, acted)
	case h.Partial.Has(name):
		if reread {
			return j.key, j.readLater(b, of, value{t.Table.Key, row.Key(t.Table.Key), j.key, suspectName(t.Table.Key, j.key)})
		}
		return j.key, nil // it is stored whole, or a suspect
	}
	old, _, err := b.Get(t.Table, j.key)
	if err != nil {
		return nil, err
	}
	if old.IsZero() || !old.Same(row, t.all...) {
		if reread || !old.IsZero() {
			if err := j.appears(b, t, old, row, true); err != nil {
				return nil, err
			}
			if err := j.affect(b, t, old, row); err != nil {
				return nil, err
			}
		}
		if err := b.Replace(t.Table, j.key, old, row); err != nil {
			return nil, err
		}
	}
	if t.suspects > 0 && !reread {
		if err := j.clear(b, t, suspectName(t.Table.Key, j.key)); err != nil {
			return nil, err
		}
	}
	if len(h.Acted) == 0 {
		return j.key, nil
	}
	for _, k := range t.above {
		if v, ok := t.referred(k, row); ok && h.Acted.Has([]byte(v.name)) {
			if err := j.suspect(b, t, v, acted); err != nil {
				return nil, err
			}
		}
	}
	return j.key, nil
}
