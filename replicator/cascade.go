package replicator

import (
	"bytes"
	"fmt"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// What foreign keys do to rows is derived from the store where the log does not
// tell: a row that goes, or changes its key, acts on those that refer to it, and
// they on others, as in the server.
//
// A row that the store does not have yet cannot be acted on; the chunk that
// brings it is merged with what has happened since it was read. The rows that
// refer to it are read after it, so that they are as the server left them (see scans). Only where tables refer to each other in a ring is there no such
// order: there rows may have stayed that nothing shows to be gone but what they
// refer to, which is looked at when all is read.

// A hiddenChange is what a foreign key does to the rows that refer to a value.
type hiddenChange struct {
	*mapping.Cascade
	action sources.ReferenceAction
	value  []byte
	after  sources.Row // what is referred to, of the stored columns; the zero Row: it is gone
}

// size is about how many bytes it takes.
func (h *hiddenChange) size() int { return 256 + len(h.value) }

// row is what becomes of a row that refers to the value; the zero Row where it goes.
func (h *hiddenChange) row(a *sources.Arena, child sources.Row) sources.Row {
	if h.action == sources.Cascade && h.after.IsZero() {
		return sources.Row{}
	}
	from := make([]int, child.Len())
	for i := range from {
		from[i] = -1
	}
	for n, i := range h.Columns {
		from[i] = h.Targets[n]
	}
	a.StartRow(len(from))
	for i, target := range from {
		switch {
		case target < 0:
			a.Copy(child, i)
		case h.action == sources.Cascade:
			a.Copy(h.after, target)
		default:
			a.Null()
		}
	}
	return a.EndRow()
}

// hiddenChanges are what the foreign keys to a row do when it changes.
func (t *storedTable) hiddenChanges(old, row sources.Row) (all []hiddenChange) {
	for _, k := range t.Cascades {
		action := k.OnDelete
		if !row.IsZero() {
			if action = k.OnUpdate; sameCells(old, row, k.Targets) {
				continue
			}
		}
		value, null := k.Value(nil, t.Table, old)
		if null || action != sources.Cascade && action != sources.SetNull {
			continue
		}
		all = append(all, hiddenChange{Cascade: k, action: action, value: value, after: row})
	}
	return all
}

// cascade does what the foreign keys to a row do when it changes. It ends the
// validity of the batch's rows; the given ones must be no such.
func (j *joins) cascade(b *rowstore.Batch, t *storedTable, old, row sources.Row) error {
	if old.IsZero() {
		if !t.load.Done {
			return j.shake(b, t)
		}
		return nil
	}
	for _, h := range t.hiddenChanges(old, row) {
		child := j.tables[h.Child.Source.Ordinal]
		if !child.load.Done {
			keep := h
			keep.after = rowstore.Merge(sources.NewArena(0), sources.Row{}, row)
			j.windows.hide(child.Source, keep)
			if err := j.shake(b, child); err != nil {
				return err
			}
		}
		if err := j.act(b, child, &h); err != nil {
			return fmt.Errorf("follow foreign key %s of table %s: %w", h.Name, child.Source, err)
		}
	}
	return nil
}

// act changes the rows that refer to a value, however many they are.
func (j *joins) act(b *rowstore.Batch, child *storedTable, h *hiddenChange) error {
	var last []byte
	for {
		var keys [][]byte
		err := h.Keys(b, h.value, last, func(key []byte) (bool, error) {
			keys = append(keys, bytes.Clone(key))
			return len(keys) < sliceKeys, nil
		})
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := j.actOn(b, child, key, h); err != nil {
				return err
			}
		}
		if len(keys) < sliceKeys {
			return nil
		}
		last = keys[len(keys)-1]
		if err := j.drain.spill(b); err != nil {
			return err
		}
	}
}

// actOn changes one row that refers to a value.
func (j *joins) actOn(b *rowstore.Batch, child *storedTable, key []byte, h *hiddenChange) error {
	name := child.Source.String() + "\x00" + string(key)
	if j.acting[name] { // rows refer to each other in a ring
		return nil
	}
	j.acting[name] = true
	defer delete(j.acting, name)
	defer b.Forget()
	old, ok, err := b.Get(child.Table, key)
	if err != nil || !ok {
		return err
	}
	a := sources.NewArena(0)
	old = rowstore.Merge(a, sources.Row{}, old)
	row := h.row(a, old)
	if !row.IsZero() && sameCells(old, row, h.Columns) {
		return nil
	}
	return j.replace(b, child, key, old, row, true)
}

// shake notes that rows which refer to those of a table that is not read whole
// may have gone without a trace.
func (j *joins) shake(b *rowstore.Batch, t *storedTable) error {
	for _, k := range t.Cascades {
		child := j.tables[k.Child.Source.Ordinal]
		if child.shaken || !child.begun {
			continue
		}
		child.shaken = true
		if err := writeNote(b, noteShaken+child.Source.String(), true); err != nil {
			return err
		}
	}
	return nil
}

// steady looks for rows of shaken tables that refer to nothing, when all tables
// are read. Where there are some, the table is read again.
func (j *joins) steady() error {
	for _, t := range j.tables {
		if t == nil || !t.shaken {
			continue
		}
		dangling, err := j.dangling(t)
		switch {
		case err != nil:
			return err
		case dangling:
			return j.reload(t, "rows that it referred to went while it was read")
		}
		t.shaken = false
		err = j.write(j.applied, func(b *rowstore.Batch) error { return writeNote(b, noteShaken+t.Source.String(), false) })
		if err != nil {
			return err
		}
	}
	return nil
}

// dangling reports whether a row of the table refers to one that is not there.
func (j *joins) dangling(t *storedTable) (found bool, err error) {
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	err = snap.All(t.Table, nil, func(_ []byte, row sources.Row) (bool, error) {
		defer snap.Forget()
		for _, parent := range j.tables {
			if parent == nil {
				continue
			}
			for _, k := range parent.Cascades {
				if k.Child != t.StoredTable || found {
					continue
				}
				var err error
				if found, err = k.Dangles(snap, row); err != nil {
					return false, err
				}
			}
		}
		return !found, nil
	})
	return found, err
}

// A reloadError ends a session because a table has to be read into the store anew.
type reloadError struct {
	table  *storedTable
	reason string
}

func (e *reloadError) Error() string {
	return fmt.Sprintf("read table %s again: %s", e.table.Source, e.reason)
}

// reload empties the store of a table that is not read whole and ends the session,
// so that it is read from the start.
func (j *joins) reload(t *storedTable, reason string) error {
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		if err := b.Truncate(t.Table); err != nil {
			return err
		}
		if err := writeNote(b, noteShaken+t.Source.String(), false); err != nil {
			return err
		}
		return writeNote(b, noteLoad+t.Source.String(), &tableProgress{})
	})
	if err != nil {
		return err
	}
	return &reloadError{t, reason}
}
