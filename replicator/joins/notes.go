package joins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sources"
)

// Notes are what the session before has left in the store.
type Notes struct {
	From    sources.Checkpoint     // where it went on to while the sink was away
	Applied int64                  // Version of the last change that is in the store
	Tables  []string               // in use: changes of these were numbered
	Kept    []rowstore.Description // the tables that it holds, those that were read whole first
	Whole   int                    // how many of them were
	targets []string               // whose documents were begun
}

// Begun reports whether documents of a physical index were begun.
func (n *Notes) Begun(physical string) bool {
	return slices.ContainsFunc(n.targets, func(name string) bool { return strings.HasPrefix(name, noteBegan+physical+"/") })
}

// Loaded reports whether tables are in the store and were read whole.
func (n *Notes) Loaded(tables []*mapping.StoredTable) bool {
	return !slices.ContainsFunc(tables, func(t *mapping.StoredTable) bool {
		return !slices.ContainsFunc(n.Kept[:n.Whole], func(d rowstore.Description) bool { return d.Print == t.Print() })
	})
}

// ReadNotes reads what the session before has left; nothing where the store is new.
func ReadNotes(store *rowstore.Store) (n Notes, err error) {
	kept, err := store.Kept()
	if err != nil {
		return n, fmt.Errorf("read row store: %w", err)
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	err = errors.Join(readNote(snap, noteFrom, &n.From), readNote(snap, noteTables, &n.Tables))
	if err == nil {
		n.Applied, err = readApplied(snap)
	}
	err = errors.Join(err, snap.Notes(noteBegan, func(name string) (bool, error) {
		n.targets = append(n.targets, name)
		return true, nil
	}))
	var partly []rowstore.Description
	for i := range kept {
		var load reading.Progress
		err = errors.Join(err, readNote(snap, kept[i].Note(noteLoad), &load))
		if load.Done {
			n.Kept = append(n.Kept, kept[i])
		} else {
			partly = append(partly, kept[i])
		}
	}
	n.Kept, n.Whole = append(n.Kept, partly...), len(n.Kept)
	return n, err
}

// readApplied reads the Version of the last change that is in the store.
func readApplied(from rowstore.Reader) (int64, error) {
	note, err := from.Note(noteApplied)
	if err != nil {
		return 0, fmt.Errorf("read row store: %w", err)
	}
	if len(note) != 8 {
		return 0, nil
	}
	return int64(binary.BigEndian.Uint64(note)), nil
}

// Names are those of tables.
func Names(tables []*sources.Table) []string {
	out := make([]string, len(tables))
	for i, t := range tables {
		out[i] = t.String()
	}
	return out
}
