package joins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
)

// A Table is a table in use with how far it was read into the store.
type Table struct {
	*mapping.StoredTable
	load     reading.Progress
	loading  *loading                         // beyond that; nil: nothing
	shown    atomic.Pointer[reading.Progress] // how far it was read, for other goroutines
	begun    bool                             // rows may be there
	replaced bool                             // only indexes that are being replaced are made of it
	alone    bool                             // nothing depends on what a row was before it changed

	suspects int  // that are noted
	late     int  // of those, rows that the log has told in part
	absent   int  // of those, that may stand for rows which are not stored
	tried    int  // lookups of it that have brought nothing, one after the other
	sweep    bool // rows may refer to some that have gone unseen

	all   []int              // columns
	above []*mapping.Cascade // that act on its rows
	below []*Table           // that its rows act on without a word in the log, in any number of steps
}

// Progress is how far the table was read.
func (t *Table) Progress() reading.Progress { return t.load }

// advance notes how far the table was read.
func (t *Table) advance(to reading.Progress) {
	t.load = to
	t.shown.Store(&to)
}

// recall reads what the store has noted of a table.
func (t *Table) recall(from *rowstore.Snapshot) error {
	t.sweep, t.suspects, t.late, t.absent = false, 0, 0, 0
	var load reading.Progress
	err := readNote(from, t.Note(noteLoad), &load)
	t.advance(load)
	prefix := t.Note(noteSuspect)
	return errors.Join(
		err, readNote(from, t.Note(noteSweep), &t.sweep),
		from.Notes(prefix, func(note string) (bool, error) {
			data, err := from.Note(note)
			if err == nil && len(data) == 0 {
				err = errSuspect
			}
			if err == nil {
				t.count(strings.TrimPrefix(note, prefix), data[0], 1)
			}
			return true, err
		}),
	)
}

// below finds the tables that a table's rows act on, in any number of steps.
func (j *Joins) below(t *Table) []*Table {
	var all []*Table
	for next := []*Table{t}; len(next) > 0; next = next[1:] {
		for _, k := range next[0].Cascades {
			if child := j.tables[k.Child.Ordinal]; !slices.Contains(all, child) {
				all, next = append(all, child), append(next, child)
			}
		}
	}
	return all
}

func writeApplied(b *rowstore.Batch, applied int64) error {
	var note [8]byte
	binary.BigEndian.PutUint64(note[:], uint64(applied))
	if err := b.Set(noteApplied, note[:]); err != nil {
		return fmt.Errorf("write row store: %w", err)
	}
	return nil
}
