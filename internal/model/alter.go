package model

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"haystream/sources"
)

// A Cell is a column that refers to nothing. Statements change its name, and what its values are.
type Cell struct {
	Name   string
	Number int // tells it from all others that the table has had
	Text   bool
}

func (m *Model) cells(table int) []Cell {
	if m.Cells == nil {
		return nil
	}
	return m.Cells[table]
}

// Fill gives each table two Cells.
func (m *Model) Fill() {
	for range m.Names {
		m.Cells = append(m.Cells, []Cell{{Name: "v", Number: 1}, {Name: "w", Number: 2}})
	}
	m.numbers = 2
}

// Alter changes what columns of a table are.
func (m *Model) Alter(random *rand.Rand) (table int) {
	table = random.IntN(len(m.Names))
	cells := slices.Clone(m.Cells[table])
	n := random.IntN(len(cells))
	what := &sources.Staleness{Columns: []string{cells[n].Name}}
	switch random.IntN(3) {
	case 0:
		what.Columns, what.Reason = []string{cells[0].Name, cells[1].Name}, "has two names swapped"
		cells[0].Name, cells[1].Name = cells[1].Name, cells[0].Name
	case 1:
		what.Reason = "has its column " + cells[n].Name + " dropped, and another one added"
		m.numbers++
		cells[n].Number, cells[n].Text = m.numbers, random.IntN(2) == 0
		value := random.IntN(5)
		for _, row := range m.Rows[table] {
			row[len(m.Refs[table])+n] = value
		}
	case 2:
		what.Reason = "has another type of its column " + cells[n].Name
		cells[n].Text = !cells[n].Text
	}
	m.Cells[table] = cells
	if !m.Untold {
		m.log(Logged{Table: table, Kind: sources.Stale, Stale: what})
	}
	return table
}

// Shows are the indexes that show cells of a table.
func (m *Model) Shows(table int) []string {
	name := m.Names[table]
	all := []string{name, flatName(name, false), flatName(name, true)}
	for n, refs := range m.Refs {
		if slices.ContainsFunc(refs, func(ref Reference) bool { return ref.Table == table }) {
			all = append(all, m.Names[n])
		}
	}
	return all
}

// Places are those in rows of a table's columns; below 0 where they are not among the cells.
func (m *Model) Places(table int, cells []Cell, columns []sources.Column) (places []int) {
	refs := len(m.Refs[table])
	for i := range columns {
		name := columns[i].Name
		at := slices.IndexFunc(cells, func(c Cell) bool { return c.Name == name })
		switch {
		case name == "u":
			at = refs + len(cells)
		case at >= 0:
			at += refs
		default:
			for r := range refs {
				if name == columnName(r) {
					at = r
				}
			}
		}
		places = append(places, at)
	}
	return places
}

// columns are the table's Cells as a source gives them.
func (m *Model) columns(n int) (columns []sources.Column) {
	for _, c := range m.cells(n) {
		columns = append(columns, sources.Column{Name: c.Name, Type: c.kind()})
	}
	return columns
}

func (c Cell) kind() sources.Type {
	if c.Text {
		return sources.Type{Kind: sources.Text, SQL: "text"}
	}
	return integer
}

// fingerprint tells of each column which one it is, and its type.
func (m *Model) fingerprint(n int) sources.Fingerprint {
	f := sources.Fingerprint{Columns: map[string]sources.Facts{"u": {"column": {"u"}}}}
	for i := range m.Refs[n] {
		f.Columns[columnName(i)] = sources.Facts{"column": {columnName(i)}}
	}
	for _, c := range m.cells(n) {
		f.Columns[c.Name] = sources.Facts{"column": {strconv.Itoa(c.Number)}, "type": {c.kind().SQL}}
	}
	return f
}

// showCells adds the cells of a row to a document, each with something before its name.
func (m *Model) showCells(fields map[string][]byte, before string, n int, row []int) {
	for i, c := range m.cells(n) {
		text := []byte("null")
		if row != nil {
			text = number(nil, row[len(m.Refs[n])+i])
		}
		if row != nil && c.Text {
			text = strconv.AppendQuote(nil, string(text))
		}
		fields[before+c.Name] = text
	}
}
