package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"haystream/sources"
)

// A logRelation is how the rows of one relation in the log become rows of a
// projected table.
type logRelation struct {
	table *sources.Table // nil: no table in use
	name  string
	key   []bool // per column of the log: part of the replica identity
	cells []logCell

	undecoded sources.Undecoded // of the change that is being read

	// older is what was another in the log than in the catalog: columns, or the
	// replica identity; nil once told. keyless: one of them is of the table's key, so that rows cannot be told apart.
	older   *sources.Staleness
	keyless bool
}

// A logCell is where a projected column comes from.
type logCell struct {
	at      int // column of the log; -1: the log has none
	convert converter
}

// An oldTuple is the old row of an update or delete, if it has one.
type oldTuple struct {
	fields  []tupleField
	keyOnly bool // only columns of the replica identity have values
}

// check ends the reading of one tuple.
func (r *logRelation) check(m *message, kind string, fields []tupleField) error {
	if err := m.err(kind); err != nil {
		return err
	}
	if len(fields) != len(r.key) {
		return fmt.Errorf("decode %s: %d columns, the relation %s has %d", kind, len(fields), r.name, len(r.key))
	}
	return nil
}

// newRow adds a new row. A TOASTed value that did not change is taken from the
// old row where that has it: all of it, or its key columns.
func (r *logRelation) newRow(a *sources.Arena, fields []tupleField, old oldTuple) (sources.Row, error) {
	r.reserve(a, fields)
	a.StartRow(len(r.cells))
	for i := range r.cells {
		c := &r.cells[i]
		if c.at < 0 {
			a.Missing()
			continue
		}
		f := &fields[c.at]
		if f.kind == fieldUnchanged && old.fields != nil && (!old.keyOnly || r.key[c.at]) {
			f = &old.fields[c.at]
		}
		if err := r.cell(a, i, f); err != nil {
			return sources.Row{}, err
		}
	}
	return a.EndRow(), nil
}

// oldRow adds an old row.
func (r *logRelation) oldRow(a *sources.Arena, old oldTuple) (sources.Row, error) {
	r.reserve(a, old.fields)
	a.StartRow(len(r.cells))
	for i := range r.cells {
		c := &r.cells[i]
		if c.at < 0 || old.keyOnly && !r.key[c.at] {
			a.Missing()
			continue
		}
		if err := r.cell(a, i, &old.fields[c.at]); err != nil {
			return sources.Row{}, err
		}
	}
	return a.EndRow(), nil
}

// reserve makes room for a large row.
func (r *logRelation) reserve(a *sources.Arena, fields []tupleField) {
	size := 0
	for i := range r.cells {
		if at := r.cells[i].at; at >= 0 {
			size += len(fields[at].text)
		}
	}
	a.Reserve(size)
}

func (r *logRelation) cell(a *sources.Arena, i int, f *tupleField) error {
	switch f.kind {
	case fieldNull:
		a.Null()
	case fieldUnchanged:
		a.Missing()
	default:
		if err := addText(a, r.cells[i].convert, f.text); err != nil {
			a.Missing()
			return r.undecoded.Fail(r.table.Columns[i].Name, err)
		}
	}
	return nil
}

// addText adds a cell with a value's canonical text.
func addText(a *sources.Arena, convert converter, text []byte) error {
	if convert == nil {
		a.Text(text)
		return nil
	}
	converted, err := convert(a.Buffer(), text)
	if err != nil {
		return err
	}
	a.Value(converted)
	return nil
}

// newLogRelation maps a relation's columns to those of the projected table, by
// name: a partition may have another order, and so has an older shape of the
// table. A column that the relation lacks, or had with a type of another kind,
// gives Missing cells.
func newLogRelation(message relationMessage, table *sources.Table, registry *typeRegistry) *logRelation {
	r := &logRelation{table: table, name: message.schema + "." + message.name, key: make([]bool, len(message.columns))}
	at := make(map[string]int, len(message.columns))
	for i, c := range message.columns {
		r.key[i], at[c.name] = c.key, i
	}
	r.cells = make([]logCell, len(table.Columns))
	for i := range table.Columns {
		r.cells[i] = logCell{at: -1}
		from, has := at[table.Columns[i].Name]
		if !has {
			continue
		}
		t, convert, err := registry.lookup(message.columns[from].oid, message.columns[from].typmod)
		if err == nil && t.Kind == table.Columns[i].Type.Kind {
			r.cells[i] = logCell{at: from, convert: convert}
		}
	}
	return r
}

// outdate notes the columns in use that were others when the log was written, or
// had another name or type. whole is the table as the catalog has it now, and as
// it had it before: a column that was renamed and got its name back leaves no trace there.
func (r *logRelation) outdate(m *relationMessage, whole *sources.Table, isRoot bool) {
	var moved map[string]bool
	if isRoot { // a partition may have another order than its table
		moved = m.moved(whole)
	}
	var others []string
	for i := range r.cells {
		c := &r.table.Columns[i]
		switch {
		case r.cells[i].at < 0 && !c.NotLogged:
			r.keyless = r.keyless || slices.Contains(r.table.Key, i)
		case !moved[c.Name]:
			continue
		}
		others = append(others, c.Name)
	}
	switch {
	case m.lacks(whole):
		r.older = &sources.Staleness{Reason: "was written to while its replica identity was another one: the log lacks old values"}
	case len(others) > 0:
		r.older = &sources.Staleness{
			Columns: others, Older: true,
			Reason: "was written to while " + strings.Join(others, ", ") + " had another name or type, or was the name of another column",
		}
	}
}

// lacks reports whether the log lacks old values that it has by the catalog.
func (m *relationMessage) lacks(whole *sources.Table) bool {
	return slices.ContainsFunc(m.columns, func(c relationColumn) bool {
		return !c.key && whole.CarriesOld(whole.Column(c.name))
	})
}

// A place is that of a column in the log, and its number in the catalog.
type place struct {
	name   string
	number int
	fits   bool // it can have been there: behind all before it that still are, and some that were dropped since
}

// moved are the columns that the log has by their names and that were others then.
// The log has columns in their order, without those that were dropped before.
func (m *relationMessage) moved(whole *sources.Table) map[string]bool {
	var numbers []int
	for i := range whole.Columns {
		if !whole.Columns[i].NotLogged {
			numbers = append(numbers, numberOf(whole, whole.Columns[i].Name))
		}
	}
	slices.Sort(numbers)
	var places []place
	for at, c := range m.columns {
		if p := (place{name: c.name, number: numberOf(whole, c.name)}); p.number > 0 {
			before, _ := slices.BinarySearch(numbers, p.number)
			p.fits = before <= at && at < p.number
			places = append(places, p)
		}
	}
	moved := map[string]bool{}
	for i, p := range places {
		moved[p.name] = !p.fits || slices.ContainsFunc(places[:i], func(other place) bool { return other.number > p.number }) ||
			slices.ContainsFunc(places[i+1:], func(other place) bool { return other.number < p.number })
	}
	return moved
}

// numberOf is a column's number in the catalog; 0 where that lacks it.
func numberOf(t *sources.Table, column string) int {
	signs := t.Fingerprint.Columns[column][factColumn]
	if len(signs) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(signs[0]) // as readColumns has written it
	return n
}

// differs says how the relation's columns differ from the table as the catalog
// had it; nil where they do not. Generated columns may be in the log or not.
func (m *relationMessage) differs(t *sources.Table, registry *typeRegistry) error {
	seen := 0
	for _, c := range m.columns {
		i := t.Column(c.name)
		if i < 0 {
			return fmt.Errorf("new column %s", c.name)
		}
		typ, _, err := registry.lookup(c.oid, c.typmod)
		if err != nil || !sources.SameType(&typ, &t.Columns[i].Type) {
			return fmt.Errorf("column %s is no longer %s", c.name, t.Columns[i].Type.SQL)
		}
		if !t.Columns[i].Generated {
			seen++
		}
	}
	for i := range t.Columns {
		if !t.Columns[i].Generated {
			seen--
		}
	}
	if seen != 0 {
		return errors.New("a column is gone")
	}
	return nil
}
