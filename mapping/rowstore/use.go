package rowstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// kept is a table of the store as it is written down there.
type kept struct {
	Number uint16 `json:"number"`
	Description
}

// Kept describes the tables that the store holds, whose rows Use can keep.
func (s *Store) Kept() ([]Description, error) {
	tables, err := s.kept()
	all := make([]Description, len(tables))
	for i := range tables {
		all[i] = tables[i].Description
	}
	return all, err
}

func (s *Store) kept() ([]kept, error) {
	data, err := s.stored(spaceTables)
	if err != nil || data == nil {
		return nil, err
	}
	var tables []kept
	if err := json.Unmarshal(data, &tables); err != nil {
		return nil, s.damaged("read what tables the row store holds", err)
	}
	return tables, nil
}

// Use makes the tables of a layout, which must not change after, those of the
// store. One that it holds already keeps its rows; others begin empty; and what
// is not of the layout goes, with its rows and notes, at once or not at all. It
// is called before the first Batch and Snapshot.
func (s *Store) Use(layout *Layout) error {
	held, err := s.kept()
	if err != nil {
		return err
	}
	wanted, err := assign(layout, held)
	if err != nil {
		return err
	}
	s.layout = layout
	if err := s.findPieces(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	drop := func(prefix []byte) error { return b.DeleteRange(prefix, appendEnd(nil, prefix), nil) }
	changed := false
	for _, t := range held {
		if !slices.ContainsFunc(wanted, func(w kept) bool { return w.Number == t.Number && w.Print == t.Print }) {
			changed = true
			gone := &Table{number: t.Number}
			err = errors.Join(err, drop(appendRowSpace(nil, gone)), drop(appendPieceSpace(nil, gone)), drop(appendIndexSpace(nil, gone)), drop(append([]byte{spaceNote}, t.Note("")...)), drop(appendLoads(nil, gone)))
		}
	}
	if changed = changed || len(wanted) != len(held); !changed {
		return nil
	}
	data, jsonErr := json.Marshal(wanted)
	if err = errors.Join(err, jsonErr, b.Set([]byte{spaceTables}, data, nil)); err != nil {
		return s.failed("write what tables the row store holds", err)
	}
	return s.apply(b, true)
}

// findPieces notes which tables have texts that are stored in pieces.
func (s *Store) findPieces() error {
	for _, t := range s.layout.Tables {
		prefix := appendPieceSpace(nil, t)
		iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: appendEnd(nil, prefix)})
		if err != nil {
			return s.failed("read the row store", err)
		}
		t.pieces = iter.First()
		if err := iter.Close(); err != nil {
			return s.failed("read the row store", err)
		}
	}
	return nil
}

// assign gives each table of a layout the number that its keys in the store begin
// with: the one that it has there, or one that is free.
func assign(layout *Layout, held []kept) ([]kept, error) {
	taken := map[uint16]bool{}
	for _, t := range held {
		taken[t.Number] = true
	}
	free := func() (n uint16, ok bool) {
		for n := range uint16(math.MaxUint16) {
			if !taken[n] {
				taken[n] = true
				return n, true
			}
		}
		return 0, false
	}
	var wanted []kept
	for _, t := range layout.Tables {
		w := kept{Description: t.Describe()}
		same := func(other kept) bool { return other.Print == w.Print }
		switch {
		case slices.ContainsFunc(wanted, same):
			return nil, fmt.Errorf("store table %s: it is there twice", t)
		case len(t.Key) == 0:
			return nil, fmt.Errorf("store table %s: it has no key", t)
		case len(t.Indexes) > math.MaxUint8:
			return nil, fmt.Errorf("store table %s: it has too many indexes", t)
		}
		if i := slices.IndexFunc(held, same); i >= 0 {
			w.Number = held[i].Number
		} else if n, ok := free(); ok {
			w.Number = n
		} else {
			return nil, fmt.Errorf("store %d tables: too many", len(layout.Tables))
		}
		t.number, t.notes, t.links = w.Number, w.Note(""), t.linked()
		wanted = append(wanted, w)
	}
	return wanted, nil
}
