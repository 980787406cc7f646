package replicator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A doubt is whether rows of a table may have gone without a trace.
type doubt int

const (
	sure   doubt = iota
	shaken       // they have where what they refer to is not there
	torn         // or was made anew
)

// below finds the tables that a table's rows act on, in any number of steps.
func (j *joins) below(t *storedTable) []*storedTable {
	var all []*storedTable
	for next := []*storedTable{t}; len(next) > 0; next = next[1:] {
		for _, k := range next[0].Cascades {
			if child := j.tables[k.Child.Ordinal]; !slices.Contains(all, child) {
				all, next = append(all, child), append(next, child)
			}
		}
	}
	return slices.Clip(all)
}

// shake notes that rows of some tables may have gone without a trace, since those
// that they referred to are not known.
func (j *joins) shake(b *rowstore.Batch, how doubt, tables ...*storedTable) error {
	for _, t := range tables {
		if t.shaken >= how || !t.begun && !j.windows.storing[t.Source.Ordinal] {
			continue
		}
		t.shaken = how
		if err := writeNote(b, t.Note(noteShaken), how); err != nil {
			return err
		}
	}
	return nil
}

// renewed looks for rows of shaken tables that refer to a row which is new: those
// that did so before have gone with the former one.
func (j *joins) renewed(b *rowstore.Batch, t *storedTable, old, row sources.Row) error {
	for _, k := range t.Cascades {
		child := j.tables[k.Child.Ordinal]
		if child.shaken != shaken && len(child.orphans) == 0 || row.IsZero() || lacks(row, k.Targets) || !old.IsZero() && sameCells(old, row, k.Targets) {
			continue
		}
		value, null := k.Value(nil, t.Table, row)
		if null {
			continue
		}
		if name := orphan(k, value); child.orphans[string(name)] {
			delete(child.orphans, string(name))
			if err := child.noteOrphans(b); err != nil {
				return err
			}
		}
		if child.shaken != shaken {
			continue
		}
		j.windows.hide(child.Source, hiddenChange{Cascade: k, value: value, renewed: true})
		err := k.Keys(b, value, nil, func([]byte) (bool, error) { return false, j.shake(b, torn, child) })
		if err != nil {
			return err
		}
	}
	return nil
}

// maxOrphans bounds what is remembered of one table.
const maxOrphans = 10_000

// orphan names a value that rows refer to.
func orphan(k *mapping.Cascade, value []byte) []byte { return append([]byte(k.Name+"\x00"), value...) }

func (t *storedTable) addOrphan(name []byte) {
	if t.orphans == nil {
		t.orphans = map[string]bool{}
	}
	if len(t.orphans) < maxOrphans {
		t.orphans[string(name)] = true
	}
}

func (t *storedTable) noteOrphans(b *rowstore.Batch) error {
	all := [][]byte{}
	for name := range t.orphans {
		all = append(all, []byte(name))
	}
	return writeNote(b, t.Note(noteOrphan), all)
}

const goneReason = "rows that it referred to went while it was read"

// steady looks for rows of shaken tables that refer to nothing, when all tables
// are read. Where there are some, the table is read again, and then those that
// refer to it are looked at once more. Rows that are found again, and referred to
// nothing all the while, are as the database has them: it need not have checked.
func (j *joins) steady() error {
	doubted := false
	for _, t := range j.tables {
		switch {
		case t.holes > 0:
			return j.reload("the log has not all of some rows, and these were not found", t)
		case t.shaken == torn:
			return j.reload(goneReason, t)
		}
		doubted = doubted || t.shaken == shaken
	}
	if !doubted {
		return nil
	}
	for _, t := range j.tables {
		if t.shaken == sure {
			continue
		}
		gone, err := j.dangling(t)
		if err != nil {
			return err
		}
		if gone {
			return j.reload(goneReason, t)
		}
	}
	return j.write(j.applied, func(b *rowstore.Batch) error {
		for _, t := range j.tables {
			if t.shaken == sure {
				continue
			}
			t.shaken = sure
			if err := writeNote(b, t.Note(noteShaken), sure); err != nil {
				return err
			}
		}
		return nil
	})
}

// dangling reports whether rows of the table refer to some that are not there, but
// for orphans, to which it adds what they refer to.
func (j *joins) dangling(t *storedTable) (found bool, err error) {
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	err = snap.All(t.Table, nil, func(_ []byte, row sources.Row) (bool, error) {
		defer snap.Forget()
		for _, parent := range j.tables {
			for _, k := range parent.Cascades {
				if k.Child != t.StoredTable {
					continue
				}
				dangles, err := k.Dangles(snap, row)
				if err != nil {
					return false, err
				}
				if !dangles {
					continue
				}
				value, _ := k.ValueOf(nil, row)
				if name := orphan(k, value); !t.orphans[string(name)] {
					found = true
					t.addOrphan(name)
				}
			}
		}
		return true, nil
	})
	return found, err
}

// A reloadError ends a session because tables have to be read into the store anew.
type reloadError struct {
	tables []*storedTable
	reason string
}

func (e *reloadError) Error() string {
	var names []string
	for _, t := range e.tables {
		names = append(names, t.Source.String())
	}
	return fmt.Sprintf("read table %s again: %s", strings.Join(names, ", "), e.reason)
}

// reload empties the store of tables that are not read whole and ends the session,
// so that they are read from the start. Where documents that serve are made of their
// rows, the whole store is begun anew, and their indexes beside.
func (j *joins) reload(reason string, tables ...*storedTable) error {
	again := &reloadError{tables, reason}
	serves := slices.ContainsFunc(j.targets, func(to *joinedTarget) bool {
		return to.began.Load() && slices.ContainsFunc(tables, func(t *storedTable) bool { return to.renderer.Reads(t.Table) })
	})
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		if serves {
			return writeNote(b, noteSpoilt, again.Error())
		}
		for _, t := range tables {
			err := errors.Join(
				j.truncate(b, t),
				writeNote(b, t.Note(noteShaken), sure),
				writeNote(b, t.Note(noteLoad), &tableProgress{}),
				t.noteOrphans(b),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return again
}
