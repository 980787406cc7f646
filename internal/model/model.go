// Package model has a server's tables as tests of joins and of the whole engine need them: small, with
// foreign keys that act without a word in the log, definitions over them, and what their documents must be.
package model

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"haystream/sources"
)

// A Model is a server's tables, whose foreign keys act without a word in its log.
// Column 0 is the key; the others refer to rows of tables, and it may; but for the
// last one, which is unique, and the Cells before it.
type Model struct {
	Names []string
	Refs  [][]Reference   // by table and column
	Cells [][]Cell        // by table; each list is replaced where something changes; may be nil
	Rows  []map[int][]int // by table and key
	Log   []Logged

	Minimal   bool // the log has the key of what was, and what has changed
	Careless  bool // some statements do not check foreign keys
	unchecked bool // and so does the one that is made: they do not act

	Less bool // definitions show less: others than where it is false

	Untold  bool // the log has no word of Alter
	numbers int  // of cells

	Logs func() // is called after each change that is logged; may be nil
}

func (m *Model) log(l Logged) {
	l.Cells = m.cells(l.Table)
	if m.Log = append(m.Log, l); m.Logs != nil {
		m.Logs()
	}
}

// A Reference is what a column of a table refers to.
type Reference struct {
	Table              int
	OnDelete, OnUpdate sources.ReferenceAction
}

// Nothing is what a column refers to that is no foreign key.
var Nothing = Reference{Table: -1}

// A Logged is a change in the log.
type Logged struct {
	Table         int
	Kind          sources.ChangeKind
	Before, After []int // nil: no image
	Unchecked     bool  // foreign keys did not act
	Cells         []Cell
	Stale         *sources.Staleness
}

// What a cell may be instead of a number.
const (
	absent  = -1 - iota // NULL
	leftOut             // of the log
)

func (m *Model) get(table, key int) []int { return slices.Clone(m.Rows[table][key]) }

// insert adds a row if the server takes it.
func (m *Model) insert(table int, row []int) {
	if m.Rows[table][row[0]] != nil || !m.takes(table, absent, row) {
		return
	}
	m.Rows[table][row[0]] = row
	m.log(Logged{Table: table, Kind: sources.Insert, After: slices.Clone(row), Unchecked: m.unchecked})
}

// takes reports whether a row may stand in the place of the one with a key.
func (m *Model) takes(table, key int, row []int) bool {
	for i, ref := range m.Refs[table] {
		if to := row[i]; !m.unchecked && to != absent && ref != Nothing && m.Rows[ref.Table][to] == nil && (ref.Table != table || to != row[0]) {
			return false
		}
	}
	for k, other := range m.Rows[table] {
		if k != key && unique(other) == unique(row) {
			return false
		}
	}
	return true
}

// unique is the value of the column that no two rows of a table share.
func unique(row []int) int { return row[len(row)-1] }

// update replaces a row if the server takes that.
func (m *Model) update(table, key int, row []int) {
	old := m.get(table, key)
	if old == nil || slices.Equal(old, row) || !m.takes(table, key, row) {
		return
	}
	if row[0] != key {
		if m.Rows[table][row[0]] != nil || slices.Contains(row[1:], key) {
			return
		}
		delete(m.Rows[table], key)
	}
	before := m.Copy()
	m.Rows[table][row[0]] = slices.Clone(row)
	if row[0] != key && !m.follow(table, key, row[0]) {
		m.Rows = before
		m.Rows[table][key] = old
		return
	}
	l := Logged{Table: table, Kind: sources.Update, Before: old, After: slices.Clone(row), Unchecked: m.unchecked}
	if m.Minimal {
		l.Before = keyOnly(old)
		for i, v := range row {
			if i > 0 && v == old[i] {
				l.After[i] = leftOut
			}
		}
	}
	m.log(l)
}

// remove reports whether there was such a row.
func (m *Model) remove(table, key int) bool {
	old := m.get(table, key)
	if old == nil {
		return false
	}
	delete(m.Rows[table], key)
	m.follow(table, key, absent)
	if m.Minimal {
		old = keyOnly(old)
	}
	m.log(Logged{Table: table, Kind: sources.Delete, Before: old, Unchecked: m.unchecked})
	return true
}

func keyOnly(row []int) []int {
	out := []int{row[0]}
	for range row[1:] {
		out = append(out, leftOut)
	}
	return out
}

// Copy is of the tables' rows.
func (m *Model) Copy() (all []map[int][]int) {
	for _, rows := range m.Rows {
		all = append(all, map[int][]int{})
		for key, row := range rows {
			all[len(all)-1][key] = slices.Clone(row)
		}
	}
	return all
}

// follow lets foreign keys act on what referred to a row, and reports whether they
// could: not where a row would get the key of another.
func (m *Model) follow(table, key, now int) bool {
	if m.unchecked {
		return true
	}
	for child, refs := range m.Refs {
		for i, ref := range refs {
			if ref.Table != table {
				continue
			}
			action := ref.OnUpdate
			if now == absent {
				action = ref.OnDelete
			}
			for _, k := range slices.Sorted(maps.Keys(m.Rows[child])) {
				row := m.Rows[child][k]
				if row == nil || row[i] != key {
					continue
				}
				switch {
				case action == sources.SetNull:
					row[i] = absent
				case now == absent:
					delete(m.Rows[child], k)
					m.follow(child, k, absent)
				case i == 0 && m.Rows[child][now] != nil:
					return false
				default:
					row[i] = now
					if i > 0 {
						continue
					}
					delete(m.Rows[child], k)
					m.Rows[child][now] = row
					if !m.follow(child, k, now) {
						return false
					}
				}
			}
		}
	}
	return true
}

// Chunk is some rows after a key, of those that have some values where they are asked for.
func (m *Model) Chunk(table int, after sources.Key, most int, having *sources.Values) (rows [][]int, done bool) {
	from := absent
	if after != nil {
		from, _ = strconv.Atoi(after[0])
	}
	for _, k := range slices.Sorted(maps.Keys(m.Rows[table])) {
		if k <= from || having != nil && !m.has(table, k, having) {
			continue
		}
		if len(rows) == most {
			return rows, false
		}
		rows = append(rows, m.get(table, k))
	}
	return rows, true
}

func (m *Model) has(table, key int, values *sources.Values) bool {
	return slices.ContainsFunc(values.Of, func(texts sources.Key) bool {
		for n, i := range values.Columns {
			if Words(m.Rows[table][key][i:i+1]) != texts[n] {
				return false
			}
		}
		return true
	})
}

// Words are the cells of a row or a key, as text.
func Words(row []int) string {
	var cells []string
	for _, v := range row {
		switch v {
		case absent:
			cells = append(cells, "-")
		case leftOut:
			cells = append(cells, "?")
		default:
			cells = append(cells, strconv.Itoa(v))
		}
	}
	return strings.Join(cells, ",")
}

// Image is a row as the log or a chunk has it; columns are those that it has of the table; one
// below 0 it lacks.
func Image(a *sources.Arena, row, columns []int) sources.Row {
	if row == nil {
		return sources.Row{}
	}
	a.StartRow(len(columns))
	for _, i := range columns {
		if i < 0 {
			a.Missing()
			continue
		}
		switch row[i] {
		case absent:
			a.Null()
		case leftOut:
			a.Missing()
		default:
			a.Value(strconv.AppendInt(a.Buffer(), int64(row[i]), 10))
		}
	}
	return a.EndRow()
}

// Orphan lets some rows refer to what need not be there, as where foreign keys were not checked.
func (m *Model) Orphan(random *rand.Rand) {
	for n, refs := range m.Refs {
		for i, ref := range refs {
			if i == 0 || ref == Nothing {
				continue
			}
			for _, k := range slices.Sorted(maps.Keys(m.Rows[n])) {
				if random.IntN(4) == 0 {
					m.Rows[n][k][i] = random.IntN(keys)
				}
			}
		}
	}
}

// keys is how many keys a model's tables have.
const keys = 12

// Step is one statement at random.
func (m *Model) Step(random *rand.Rand) {
	m.unchecked = m.Careless && random.IntN(6) == 0
	table := random.IntN(len(m.Names))
	fill := func(key int) []int {
		row := []int{}
		for i, ref := range m.Refs[table] {
			to := absent
			if i == 0 {
				to = key
			}
			if ref == Nothing {
				row = append(row, to)
				continue
			}
			if there := slices.Sorted(maps.Keys(m.Rows[ref.Table])); len(there) > 0 && random.IntN(4) > 0 {
				to = there[random.IntN(len(there))]
			}
			row = append(row, to)
		}
		for range m.cells(table) {
			row = append(row, random.IntN(5))
		}
		return append(row, random.IntN(2*keys))
	}
	switch key := random.IntN(keys); random.IntN(8) {
	case 0, 1, 2, 3:
		m.insert(table, fill(key))
	case 4:
		row := fill(key)
		if old := m.get(table, key); old != nil && random.IntN(2) == 0 {
			row[len(row)-1] = unique(old)
		}
		m.update(table, key, row)
	case 5:
		moves := !slices.ContainsFunc(m.Refs, func(refs []Reference) bool {
			return slices.ContainsFunc(refs, func(ref Reference) bool { return ref.Table == table && ref.OnUpdate == sources.Restrict })
		})
		if row := m.get(table, key); row != nil && moves {
			row[0] = random.IntN(keys)
			m.update(table, key, row)
		}
	default:
		old := m.get(table, key)
		if m.remove(table, key) && random.IntN(3) == 0 { // another one takes its place at once
			row := fill(key)
			row[len(row)-1] = unique(old)
			m.insert(table, row)
		}
	}
}

// Truncate empties a table that no other one refers to, and reports whether the server takes that.
func (m *Model) Truncate(table int) bool {
	for other, refs := range m.Refs {
		if other != table && slices.ContainsFunc(refs, func(ref Reference) bool { return ref.Table == table }) {
			return false
		}
	}
	clear(m.Rows[table])
	m.log(Logged{Table: table, Kind: sources.Stale, Stale: &sources.Staleness{Reason: "was truncated", Emptied: true}})
	return true
}

// Describe says what was logged.
func (m *Model) Describe(l Logged) string {
	text := l.Kind.String() + " " + m.Names[l.Table] + " " + Words(l.Before) + " > " + Words(l.After)
	if l.Unchecked {
		text += " unchecked"
	}
	if l.Stale != nil {
		text += l.Stale.Reason
	}
	return text
}
