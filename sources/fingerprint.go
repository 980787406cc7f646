package sources

import (
	"maps"
	"slices"
)

// A Fingerprint holds what the meaning of a table's stored values depends on,
// as the catalog tells it. It is saved, and compared with a later one: what has
// changed was changed without a row in the log.
type Fingerprint struct {
	// Table is what all rows depend on, such as which table the name stands
	// for, its partitions, and whether the log has all that is written to it.
	Table Facts `json:"table,omitempty"`

	// Columns is what the values of each column depend on, by name: which
	// column it is, its type with the definition of that type.
	Columns map[string]Facts `json:"columns,omitempty"`

	// Parts are the names of the table's partitions, by what tells each, and how
	// it became one, from others. One that goes takes its rows along.
	Parts map[string]string `json:"parts,omitempty"`

	// Brought are those of the Parts that may hold rows from before they were
	// partitions of the table. It matters where an earlier fingerprint lacks
	// them, and says nothing of those that it has: it is not saved.
	Brought []string `json:"-"`
}

// Facts are signs, by what they are signs of. A fact holds for as long as one of
// its signs is there: a table's file is another one after VACUUM FULL, a
// column's entry in the catalog after SET DEFAULT; after a rewrite of its
// values both are. A fact that is new changes nothing about older values. The
// names of facts are for people: they end the sentence "table t has changed: …".
type Facts map[string][]string

// lost names the first fact that no longer holds; empty where all do.
func (was Facts) lost(now Facts) string {
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if !slices.ContainsFunc(was[name], func(sign string) bool { return slices.Contains(now[name], sign) }) {
			return name
		}
	}
	return ""
}

// Staleness says that what was read of a table before means something else now,
// or is not there any more, and no row of the log tells.
type Staleness struct {
	// Columns are the names of those whose values are others. None: all rows
	// are others.
	Columns []string

	// Reason says what has happened, to follow the table's name: "was truncated".
	Reason string

	// Emptied: no row is left of those that were there.
	Emptied bool

	// Older: the log has rows from when the columns were others, or had other
	// names. That matters to values that were read before these rows came, not to
	// those that are read after them.
	Older bool
}

// Since compares a table's fingerprint with an earlier one. nil: what was read
// then still holds. A column that the earlier one does not know was not read.
func (f Fingerprint) Since(earlier Fingerprint) []Staleness {
	if fact := earlier.Table.lost(f.Table); fact != "" {
		return []Staleness{{Reason: "has changed: " + fact}}
	}
	for _, id := range slices.Sorted(maps.Keys(earlier.Parts)) {
		if _, there := f.Parts[id]; !there {
			return []Staleness{{Reason: "no longer has the partition " + earlier.Parts[id] + " with the rows that it had"}}
		}
	}
	for _, id := range f.Brought {
		if _, known := earlier.Parts[id]; !known && len(earlier.Table) > 0 {
			return []Staleness{{Reason: "has got the partition " + f.Parts[id] + " with the rows that it had"}}
		}
	}
	var stale []Staleness
	for _, name := range slices.Sorted(maps.Keys(earlier.Columns)) {
		now, there := f.Columns[name]
		if !there {
			stale = append(stale, Staleness{Columns: []string{name}, Reason: "has no column " + name + " any more"})
		} else if fact := earlier.Columns[name].lost(now); fact != "" {
			stale = append(stale, Staleness{Columns: []string{name}, Reason: "has changed its column " + name + ": " + fact})
		}
	}
	return stale
}

// Equal reports whether nothing at all has changed.
func (f Fingerprint) Equal(other Fingerprint) bool {
	same := func(a, b Facts) bool { return maps.EqualFunc(a, b, slices.Equal[[]string]) }
	return same(f.Table, other.Table) && maps.EqualFunc(f.Columns, other.Columns, same) && maps.Equal(f.Parts, other.Parts)
}

// Of is the fingerprint of some of the columns.
func (f Fingerprint) Of(columns []string) Fingerprint {
	some := Fingerprint{Table: f.Table, Parts: f.Parts, Brought: f.Brought}
	for _, name := range columns {
		if facts, there := f.Columns[name]; there {
			if some.Columns == nil {
				some.Columns = map[string]Facts{}
			}
			some.Columns[name] = facts
		}
	}
	return some
}

// Epochs number what a table's values have meant: they rise where those become
// stale. What was read in one epoch is of no use in a later one.
type Epochs struct {
	Rows    int64            `json:"rows,omitempty"`    // of all columns
	Columns map[string]int64 `json:"columns,omitempty"` // of some, where that is a later one
}

// Begin makes an epoch the one of what became stale.
func (e *Epochs) Begin(epoch int64, stale *Staleness) {
	if len(stale.Columns) == 0 {
		*e = Epochs{Rows: epoch}
		return
	}
	columns := maps.Clone(e.Columns)
	if columns == nil {
		columns = map[string]int64{}
	}
	for _, name := range stale.Columns {
		columns[name] = epoch
	}
	e.Columns = columns
}

// Of is the epoch of a column.
func (e *Epochs) Of(column string) int64 { return max(e.Rows, e.Columns[column]) }
