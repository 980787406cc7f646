package joins

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// change applies one change to the store. The documents that it touches are
// found in the store as it was before.
func (j *Joins) change(b *rowstore.Batch, t *Table, c *sources.Change) error {
	defer b.Forget()
	j.arena.Reset()
	if c.Kind == sources.Stale {
		return j.stale(b, t, c)
	}
	var acting sources.Row // the old image, where foreign keys act
	if c.Cascades && len(t.Cascades) > 0 {
		acting = t.Cut(&j.arena, c.Before)
	}
	var row sources.Row
	if t.begun = t.begun || j.windows.Storing(t.Source); !t.begun { // the chunks will have seen it
		if c.Kind != sources.Delete {
			row = t.Cut(&j.arena, c.After)
		}
		return errors.Join(j.appears(b, t, acting, row, false), j.cascade(b, t, acting, row))
	}
	var from, to []byte // keys
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
	old, err := j.old(b, t, c, from, to)
	if err != nil {
		return err
	}
	if !acting.IsZero() {
		acting = rowstore.Merge(&j.arena, old, acting)
	}
	if len(t.Cascades) > 0 && !old.IsZero() {
		old = rowstore.Merge(&j.arena, sources.Row{}, old)
	}
	if c.Kind == sources.Insert && !old.IsZero() { // that one has gone without a word, and with it what referred to it
		if err := j.appears(b, t, old, sources.Row{}, true); err != nil {
			return err
		}
	}
	if to == nil {
		return j.replace(b, t, from, old, row, acting)
	}
	if row, err = t.Row(&j.arena, old, c.After); err != nil {
		return err
	}
	if row.Whole() {
		return j.replace(b, t, from, old, row, acting)
	}
	if t.replaced {
		return nil // the table that takes its place has the row
	}
	// What was there is not known. The row is stored when it has been read again.
	why := byte(late)
	if !t.load.Done {
		why = early
	}
	if err := j.suspectRow(b, t, row, why); err != nil {
		return err
	}
	return errors.Join(j.appears(b, t, acting, row, false), j.cascade(b, t, acting, row))
}

// stale lets foreign keys act on what referred to a row whose change cannot be decoded. What
// is stored of its own table has gone with its epoch, or is of use to what serves until it is replaced: that would
// take a row that an emptied table had, and a new one, for the same document.
func (j *Joins) stale(b *rowstore.Batch, t *Table, c *sources.Change) error {
	if c.Stale.Emptied {
		if err := b.Truncate(t.Table); err != nil {
			return fmt.Errorf("empty table %s: %w", t.Source, err)
		}
		return nil
	}
	var old, row sources.Row
	if c.Cascades && !c.Before.IsZero() {
		old = t.Cut(&j.arena, c.Before)
	}
	if !c.After.IsZero() {
		row = t.Cut(&j.arena, c.After)
	}
	for _, k := range t.Cascades {
		if child := j.tables[k.Child.Ordinal]; !row.IsZero() && lacks(row, k.Targets) {
			if err := j.mustSweep(b, append(slices.Clip(child.below), child)); err != nil {
				return err
			}
		}
	}
	return errors.Join(j.appears(b, t, old, row, false), j.cascade(b, t, old, row))
}

// old is the row with a key that a change replaces; the zero Row where there is none, or
// where it does not matter. The store is read only where the log does not have the row.
func (j *Joins) old(b *rowstore.Batch, t *Table, c *sources.Change, from, to []byte) (sources.Row, error) {
	if t.known() && !t.replaced && t.suspects == 0 {
		if !c.Before.IsZero() && len(t.above) == 0 { // what foreign keys do unlogged is derived, not told
			if old := t.Cut(&j.arena, c.Before); old.Whole() {
				return old, nil
			}
		}
		if t.alone && !t.Pieces() && bytes.Equal(from, to) && !slices.ContainsFunc(t.Columns, c.After.Missing) {
			return sources.Row{}, nil
		}
	}
	old, _, err := b.Get(t.Table, from)
	return old, err
}

// replace puts a row in place of the one with a key, either of which may be
// missing, marks the documents that it touches, and lets foreign keys act. acting
// is what is known of the old row; the zero Row where none act.
func (j *Joins) replace(b *rowstore.Batch, t *Table, from []byte, old, row, acting sources.Row) error {
	known := old
	if known.IsZero() {
		known = acting
	}
	if err := j.appears(b, t, known, row, false); err != nil {
		return err
	}
	if err := j.affect(b, t, old, row); err != nil {
		return err
	}
	if err := j.cascade(b, t, acting, row); err != nil {
		return err
	}
	var to []byte
	if !row.IsZero() {
		to, _ = rowstore.AppendKey(nil, t.Table, row, t.Table.Key)
	}
	if !old.IsZero() && !bytes.Equal(from, to) {
		if to != nil {
			if err := j.moved(b, t, from, to, old, row); err != nil {
				return err
			}
		}
		var err error
		if acting.IsZero() {
			err = b.Remove(t.Table, from, old)
		} else { // it may have acted on itself
			_, err = b.Delete(t.Table, from)
		}
		if err != nil {
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

// moved sees to a row that gets another key: a suspect that it was stays one, and it
// may have come to where a sweep has been.
func (j *Joins) moved(b *rowstore.Batch, t *Table, from, to []byte, old, row sources.Row) error {
	if j.sweeping != nil && j.sweeping.table == t && bytes.Compare(to, j.sweeping.after) <= 0 {
		j.sweeping.again = true
	}
	if t.suspects == 0 {
		return nil
	}
	names := []string{suspectName(t.Table.Key, from)}
	for _, k := range t.above {
		if v, ok := t.referred(k, old); ok {
			names = append(names, v.name)
		}
	}
	for _, name := range names {
		if suspected, err := j.suspected(b, t, name); err != nil || suspected {
			return errors.Join(err, j.suspectRow(b, t, row, acted))
		}
	}
	return nil
}

// affect marks the documents that a changed row can affect.
func (j *Joins) affect(b *rowstore.Batch, t *Table, old, row sources.Row) error {
	for _, to := range j.targets {
		if to.began.Load() == 0 || to.Retired.Load() {
			continue
		}
		work, err := to.renderer.Affected(j.scratch, b, t.Table, old, row, sliceKeys, to.mark)
		if err != nil {
			return fmt.Errorf("find documents of index %s: %w", to.Alias, err)
		}
		for i := range work {
			if err := j.addWork(b, to, work[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
