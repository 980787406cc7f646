package replicator

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

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
// refer to it are read after it, so that they are as the server left them (see
// scans). Only where tables refer to each other in a ring is there no such
// order: there rows may have stayed that nothing shows to be gone but what they
// refer to, which is looked at when all is read, or comes anew meanwhile (doubt.go).

// A hiddenChange is what a foreign key does to the rows that refer to a value.
type hiddenChange struct {
	*mapping.Cascade
	action sources.ReferenceAction
	value  []byte
	taken  []byte      // the value that the rows refer to afterwards; nil where to nothing
	after  sources.Row // what is referred to, of the stored columns; the zero Row: it is gone
	batch  int64       // the last one that was recorded when it was done

	// Nothing was done, but there is a row that the value stands for anew: those that
	// referred to the former one may have gone with it.
	renewed bool
}

// size is about how many bytes it takes.
func (h *hiddenChange) size() int { return 256 + len(h.value) + len(h.taken) }

// moves reports whether the rows get other keys.
func (h *hiddenChange) moves() bool {
	return h.taken != nil && slices.ContainsFunc(h.Columns, func(i int) bool { return slices.Contains(h.Child.Table.Key, i) })
}

// passesOn reports whether the rows get values that others refer to.
func (h *hiddenChange) passesOn() bool {
	return h.taken != nil && slices.ContainsFunc(h.Child.Cascades, func(k *mapping.Cascade) bool {
		return slices.ContainsFunc(k.Targets, func(i int) bool { return slices.Contains(h.Columns, i) })
	})
}

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

// acts returns what a foreign key to a row does when the row changes; nothing, or
// something that cannot be known, where the log and the store lack its old key.
func acts(k *mapping.Cascade, t *storedTable, old, row sources.Row) (h hiddenChange, does, known bool) {
	h = hiddenChange{Cascade: k, action: k.OnDelete, after: row}
	if !row.IsZero() {
		if h.action = k.OnUpdate; lacks(row, k.Targets) || sameCells(old, row, k.Targets) {
			return h, false, true
		}
	}
	if h.action != sources.Cascade && h.action != sources.SetNull {
		return h, false, true
	}
	if lacks(old, k.Targets) {
		return h, true, false
	}
	var null bool
	h.value, null = k.Value(nil, t.Table, old)
	if h.action == sources.Cascade && !row.IsZero() {
		h.taken, _ = k.Value(nil, t.Table, row)
	}
	return h, !null, true
}

// lacks reports whether a cell is Missing.
func lacks(r sources.Row, columns []int) bool { return slices.ContainsFunc(columns, r.Missing) }

// cascade does what the foreign keys to a row do when it changes; nothing where
// old is the zero Row. It ends the validity of the batch's rows; the given ones
// must be no such.
func (j *joins) cascade(b *rowstore.Batch, t *storedTable, old, row sources.Row) error {
	if old.IsZero() {
		return nil
	}
	for _, k := range t.Cascades {
		h, does, known := acts(k, t, old, row)
		if !does {
			continue
		}
		child := j.tables[k.Child.Ordinal]
		if !known {
			if err := j.shake(b, shaken, append(child.below, child)...); err != nil {
				return err
			}
			continue
		}
		if !child.load.Done {
			if h.moves() {
				if child.load.Rows > 0 {
					return &reloadError{[]*storedTable{child}, "foreign key " + k.Name + " may have moved rows that were not read to where all had been read"}
				}
				j.windows.spoil(child.Source)
			}
			if h.passesOn() {
				if err := j.follow(child, k.Name); err != nil {
					return err
				}
			}
			keep := h
			keep.after = rowstore.Merge(sources.NewArena(0), sources.Row{}, row)
			j.windows.hide(child.Source, keep)
			if err := j.shake(b, shaken, child.below...); err != nil {
				return err
			}
		}
		if err := j.act(b, child, &h); err != nil {
			return fmt.Errorf("follow foreign key %s of table %s: %w", k.Name, child.Source, err)
		}
	}
	return nil
}

// follow sees to the tables that rows act on which are not known and have moved: what
// was read of them refers to where those were.
func (j *joins) follow(t *storedTable, key string) error {
	var read []*storedTable
	for _, below := range t.below {
		if below.begun {
			read = append(read, below)
		} else {
			j.windows.spoil(below.Source)
		}
	}
	if len(read) == 0 {
		return nil
	}
	return &reloadError{read, "foreign key " + key + " has moved rows that were not read, and with them others"}
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
		if err := j.spill(b); err != nil {
			return err
		}
	}
}

// actOn changes one row that refers to a value.
func (j *joins) actOn(b *rowstore.Batch, child *storedTable, key []byte, h *hiddenChange) error {
	name := strconv.Itoa(child.Ordinal) + "\x00" + string(key)
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
	return j.replace(b, child, key, old, row, old)
}

// spill makes visible what a large batch holds, up to the change before the one
// that is being applied: that one is applied once more if the batch is cut short.
func (j *joins) spill(b *rowstore.Batch) error {
	if b.Size() < spillBytes {
		return nil
	}
	j.applied = max(j.applied, j.changing-1)
	if err := writeApplied(b, j.applied); err != nil {
		return err
	}
	return j.drain.spill(b)
}
