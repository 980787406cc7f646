package joins

import (
	"fmt"

	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sources"
)

// Merge stores the rows of a chunk but for those that have changed since it was read.
func (j *Joins) Merge(t *Table, chunk *sources.Chunk, h reading.Happened) error {
	progress := t.load
	progress.Advance(chunk.Last, int64(len(chunk.Rows)), chunk.Done)
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		for _, row := range chunk.Rows {
			if _, err := j.mergeRow(b, t, row, h, false); err != nil {
				return fmt.Errorf("store row of table %s: %w", t.Source, err)
			}
			b.Forget()
		}
		t.load, t.begun = progress, true
		return writeNote(b, t.Note(noteLoad), &progress)
	})
	if err != nil {
		return err
	}
	return j.Begin()
}

// mergeRow stores a row that was read and returns its key. reread: it was a suspect,
// so that what differs from what is stored has come about without a word in the log.
func (j *Joins) mergeRow(b *rowstore.Batch, t *Table, read sources.Row, h reading.Happened, reread bool) ([]byte, error) {
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
			return j.key, j.suspectRow(b, t, row, acted)
		}
		return j.key, nil // it is stored whole, or a suspect
	}
	var old sources.Row
	if !t.read || reread { // it may be there
		var err error
		if old, _, err = b.Get(t.Table, j.key); err != nil {
			return nil, err
		}
	}
	if old.IsZero() || !old.Same(row, t.all...) {
		if reread || !old.IsZero() {
			if err := j.appears(b, t, old, row, true); err != nil {
				return nil, err
			}
			if err := j.touch(b, t, old, row); err != nil {
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
