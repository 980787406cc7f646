package replicator

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// change applies one change to the store. The documents that it touches are
// found in the store as it was before.
func (j *joins) change(b *rowstore.Batch, t *storedTable, c *sources.Change) error {
	if c.Kind == sources.Stale {
		return nil // what is stored of the former rows has gone with its epoch, or is of no use
	}
	defer b.Forget()
	j.arena.Reset()
	var acting sources.Row // the old image, where foreign keys act
	if c.Cascades && len(t.Cascades) > 0 {
		acting = t.Cut(&j.arena, c.Before)
	}
	if t.begun = t.begun || j.windows.storing[t.Source.Ordinal]; !t.begun { // the chunks will have seen it
		var row sources.Row
		if c.Kind != sources.Delete {
			row = t.Cut(&j.arena, c.After)
		}
		if err := j.renewed(b, t, acting, row); err != nil {
			return err
		}
		return j.cascade(b, t, acting, row)
	}
	t.read = false
	var from, to []byte // keys
	var old, row sources.Row
	if !c.Before.IsZero() {
		key, null := t.Key(nil, &j.arena, c.Before)
		if !null {
			from = key
		}
	}
	if c.Kind != sources.Delete {
		key, null := t.Key(nil, &j.arena, c.After)
		if null {
			return errors.New("the log left out the row's key")
		}
		to = key
	}
	if from == nil {
		from = to
	}
	old, _, err := b.Get(t.Table, from)
	if err != nil {
		return err
	}
	if !acting.IsZero() && !old.IsZero() {
		old = rowstore.Merge(&j.arena, sources.Row{}, old)
		acting = old
	}
	if c.Kind == sources.Insert && !old.IsZero() && t.shaken != sure { // that one has gone without a trace
		old = rowstore.Merge(&j.arena, sources.Row{}, old)
		if err := j.replace(b, t, from, old, sources.Row{}, old); err != nil {
			return err
		}
		old = sources.Row{}
	}
	if to != nil {
		if row, err = t.Row(&j.arena, old, c.After); err != nil {
			return err
		}
		switch {
		case !hasMissing(row):
		case t.former:
			return nil // the heirs will have the row
		case t.load.Done:
			return leftOut(t, row)
		case !bytes.Equal(from, to) && t.load.Rows > 0:
			return &reloadError{[]*storedTable{t}, "a row moved, and the log has not all of it"}
		} // else the chunk that brings the row fills it
	}
	return j.replace(b, t, from, old, row, acting)
}

// leftOut names the values that are nowhere to be had, and what keeps the log from leaving them out.
func leftOut(t *storedTable, row sources.Row) error {
	var columns []string
	for i := range row.Len() {
		if row.Missing(i) {
			columns = append(columns, t.Table.Columns[i].Name)
		}
	}
	text := "the log left out the value of " + strings.Join(columns, ", ") + " in a row that the row store does not have"
	if t.Source.WholeRows != "" {
		text += "; to mend it for later rows: " + t.Source.WholeRows
	}
	return errors.New(text)
}

// replace puts a row in place of the one with a key, either of which may be
// missing, marks the documents that it touches, and lets foreign keys act. acting
// is what is known of the old row; the zero Row where none act.
func (j *joins) replace(b *rowstore.Batch, t *storedTable, from []byte, old, row, acting sources.Row) error {
	known := old
	if known.IsZero() {
		known = acting
	}
	if err := j.renewed(b, t, known, row); err != nil {
		return err
	}
	if err := j.touch(b, t, old, row); err != nil {
		return err
	}
	if err := j.cascade(b, t, acting, row); err != nil {
		return err
	}
	if err := j.hole(b, t, old, row); err != nil {
		return err
	}
	var to []byte
	if !row.IsZero() {
		to, _ = rowstore.AppendKey(nil, t.Table, row, t.Table.Key)
	}
	if !old.IsZero() && !bytes.Equal(from, to) {
		if _, err := b.Delete(t.Table, from); err != nil {
			return err
		}
	}
	switch {
	case to == nil:
		return nil
	case bytes.Equal(from, to) && acting.IsZero():
		return b.Replace(t.Table, to, old, row)
	}
	_, err := b.Put(t.Table, row)
	return err
}

// hole counts the rows that lack a value. Those that no chunk has brought when all
// is read have gone without a word in the log, or came behind what had been read.
func (j *joins) hole(b *rowstore.Batch, t *storedTable, old, row sources.Row) error {
	was, is := !old.IsZero() && hasMissing(old), !row.IsZero() && hasMissing(row)
	switch {
	case was == is:
		return nil
	case is:
		t.holes++
	default:
		t.holes--
	}
	return writeNote(b, t.Note(noteHoles), t.holes)
}

// touch marks the documents that a changed row can affect.
func (j *joins) touch(b *rowstore.Batch, t *storedTable, old, row sources.Row) error {
	for _, to := range j.targets {
		if !to.began.Load() || to.retired.Load() {
			continue
		}
		mark := func(mark []byte) error { return j.drain.mark(b, to, mark) }
		work, err := to.renderer.Touched(j.scratch, b, t.Table, old, row, sliceKeys, mark)
		if err != nil {
			return fmt.Errorf("find documents of index %s: %w", to.alias, err)
		}
		for i := range work {
			if err := j.addWork(b, workFanOut, to, work[i].Append(nil)); err != nil {
				return err
			}
		}
	}
	return nil
}
