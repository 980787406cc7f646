package joins

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// What foreign keys do to rows is derived from the store where the log does not
// tell: a row that goes, or changes its key, acts on those that refer to it, and
// they on others, as in the server. What is not known yet cannot be acted on: that
// makes suspects (suspect.go).

// An act is what a foreign key does to the rows that refer to a row.
type act struct {
	*mapping.Cascade
	action sources.ReferenceAction
	from   value       // that the rows have
	after  sources.Row // what they refer to afterwards, of its stored columns; the zero Row: it is gone
}

// row is what becomes of a row that refers to the value; the zero Row where it goes.
func (h *act) row(a *sources.Arena, child sources.Row) sources.Row {
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

// acts returns what a foreign key does when a row that it refers to changes.
func acts(k *mapping.Cascade, old, row sources.Row) (action sources.ReferenceAction, does bool) {
	action = k.OnDelete
	if !row.IsZero() {
		action = k.OnUpdate
		if lacks(row, k.Targets) || old.Same(row, k.Targets...) {
			return action, false
		}
	}
	return action, action == sources.Cascade || action == sources.SetNull
}

// lacks reports whether a cell is Missing.
func lacks(r sources.Row, columns []int) bool { return slices.ContainsFunc(columns, r.Missing) }

// cascade does what the foreign keys to a row do when it changes; nothing where
// old is the zero Row. It ends the validity of the batch's rows, of which the given
// ones must not be.
func (j *Joins) cascade(b *rowstore.Batch, t *Table, old, row sources.Row) error {
	if old.IsZero() || fault.Planted("forgotten cascade") {
		return nil
	}
	for _, k := range t.Cascades {
		action, does := acts(k, old, row)
		if !does {
			continue
		}
		child := j.tables[k.Child.Ordinal]
		if lacks(old, k.Targets) { // neither the log nor the store has what the rows refer to
			if err := j.mustSweep(b, append(slices.Clip(child.below), child)); err != nil {
				return err
			}
			continue
		}
		v, ok := j.referring(k, old)
		if !ok {
			continue
		}
		h := act{Cascade: k, action: action, from: v, after: row}
		suspected, err := j.suspected(b, child, v.name)
		if err != nil {
			return err
		}
		if child.beingRead() {
			j.windows.Act(child.Source, v.name)
		}
		if !child.load.Done || child.absent > 0 || suspected {
			if err := j.unknown(b, child, &h); err != nil {
				return err
			}
		}
		if suspected { // what is stored may not be what was acted on
			err = j.suspect(b, child, v, acted)
		} else {
			err = j.act(b, child, &h)
		}
		if err != nil {
			return fmt.Errorf("follow foreign key %s of table %s: %w", k.Name, child.Source, err)
		}
	}
	return nil
}

// unknown sees to the rows that a foreign key acts on and that the store does not
// have: they may come to where all was read, and act on others in turn.
func (j *Joins) unknown(b *rowstore.Batch, child *Table, h *act) error {
	if err := j.mustSweep(b, child.below); err != nil {
		return err
	}
	if h.action != sources.Cascade || h.after.IsZero() {
		return nil
	}
	columns, targets := h.Lookup()
	to, ok := child.valueOf(columns, h.after, targets)
	if !ok {
		return nil
	}
	if slices.ContainsFunc(columns, func(i int) bool { return slices.Contains(child.Table.Key, i) }) {
		j.windows.Act(child.Source, to.name)
		if err := j.suspect(b, child, to, acted); err != nil {
			return err
		}
	}
	return j.passOn(b, child, columns, h.from.texts, to.texts, map[*mapping.Cascade]bool{})
}

// passOn makes suspects of what rows refer to by values that rows of a table have
// passed on to them, seen or not.
func (j *Joins) passOn(b *rowstore.Batch, t *Table, columns []int, from, to sources.Key, done map[*mapping.Cascade]bool) error {
	for _, k := range t.Cascades {
		if done[k] || k.OnUpdate != sources.Cascade && k.OnUpdate != sources.SetNull {
			continue
		}
		child := j.tables[k.Child.Ordinal]
		var passed []int
		var was, is sources.Key
		own, targets := k.Lookup()
		for n, target := range targets {
			if i := slices.Index(columns, target); i >= 0 {
				passed, was, is = append(passed, own[n]), append(was, from[i]), append(is, to[i])
			}
		}
		if len(passed) == 0 {
			continue
		}
		done[k] = true
		for _, texts := range []sources.Key{was, is} {
			if err := j.suspect(b, child, child.value(passed, texts), acted); err != nil {
				return err
			}
		}
		if err := j.passOn(b, child, passed, was, is, done); err != nil {
			return err
		}
	}
	return nil
}

// act changes the rows that refer to a value, however many they are.
func (j *Joins) act(b *rowstore.Batch, child *Table, h *act) error {
	var last []byte
	for {
		var keys [][]byte
		err := child.keys(b, h.from.columns, h.from.encoded, last, func(key []byte) (bool, error) {
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
		if last = keys[len(keys)-1]; b.Size() < spillBytes {
			continue
		}
		j.hold() // the row that acted is still as it was
		if err := j.spill(b); err != nil {
			return err
		}
	}
}

// actOn changes one row that refers to a value.
func (j *Joins) actOn(b *rowstore.Batch, child *Table, key []byte, h *act) error {
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
	suspected, err := j.suspected(b, child, suspectName(child.Table.Key, key))
	if err != nil {
		return err
	}
	if suspected { // what is stored may not be what was acted on
		return j.suspectRow(b, child, old, acted)
	}
	row := h.row(a, old)
	if !row.IsZero() && old.Same(row, h.Columns...) {
		return nil
	}
	if child.beingRead() { // what is being read may be from before
		for _, image := range []sources.Row{old, row} {
			if v, ok := child.valueOf(child.Table.Key, image, child.Table.Key); ok {
				j.windows.Act(child.Source, v.name)
			}
		}
	}
	return j.replace(b, child, key, old, row, old)
}

// spill makes visible what a batch holds, up to the change before the one
// that is being applied: that one is applied once more if the batch is cut short.
func (j *Joins) spill(b *rowstore.Batch) error {
	j.applied = max(j.applied, j.changing-1)
	if err := writeApplied(b, j.applied); err != nil {
		return err
	}
	return j.commit(b, true)
}
