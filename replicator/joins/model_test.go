package joins

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"haystream/sources"
)

// A model is a server's tables, whose foreign keys act without a word in its log.
// Column 0 is the key; the others refer to rows of tables, and it may; but for the
// last one, which is unique.
type model struct {
	names []string
	refs  [][]reference   // by table and column
	rows  []map[int][]int // by table and key
	log   []logged

	minimal   bool // the log has the key of what was, and what has changed
	careless  bool // some statements do not check foreign keys
	unchecked bool // and so does the one that is made: they do not act
}

// A reference is what a column of a table refers to.
type reference struct {
	table              int
	onDelete, onUpdate sources.ReferenceAction
}

var nothing = reference{table: -1} // a key that refers to nothing

type logged struct {
	table         int
	kind          sources.ChangeKind
	before, after []int // nil: no image
	unchecked     bool  // foreign keys did not act
}

// What a cell may be instead of a number.
const (
	absent  = -1 - iota // NULL
	leftout             // of the log
)

func (m *model) get(table, key int) []int { return slices.Clone(m.rows[table][key]) }

// insert, update and remove report whether the server takes them.
func (m *model) insert(table int, row []int) bool {
	if m.rows[table][row[0]] != nil || !m.takes(table, absent, row) {
		return false
	}
	m.rows[table][row[0]] = row
	m.log = append(m.log, logged{table, sources.Insert, nil, slices.Clone(row), m.unchecked})
	return true
}

// takes reports whether a row may stand in the place of the one with a key.
func (m *model) takes(table, key int, row []int) bool {
	for i, ref := range m.refs[table] {
		if to := row[i]; !m.unchecked && to != absent && ref != nothing && m.rows[ref.table][to] == nil && (ref.table != table || to != row[0]) {
			return false
		}
	}
	for k, other := range m.rows[table] {
		if k != key && unique(other) == unique(row) {
			return false
		}
	}
	return true
}

func unique(row []int) int { return row[len(row)-1] }

func (m *model) update(table, key int, row []int) bool {
	old := m.get(table, key)
	if old == nil || slices.Equal(old, row) || !m.takes(table, key, row) {
		return false
	}
	if row[0] != key {
		if m.rows[table][row[0]] != nil || slices.Contains(row[1:], key) {
			return false
		}
		delete(m.rows[table], key)
	}
	before := m.copy()
	m.rows[table][row[0]] = slices.Clone(row)
	if row[0] != key && !m.follow(table, key, row[0]) {
		m.rows = before
		m.rows[table][key] = old
		return false
	}
	l := logged{table, sources.Update, old, slices.Clone(row), m.unchecked}
	if m.minimal {
		l.before = keyOnly(old)
		for i, v := range row {
			if i > 0 && v == old[i] {
				l.after[i] = leftout
			}
		}
	}
	m.log = append(m.log, l)
	return true
}

func (m *model) remove(table, key int) bool {
	old := m.get(table, key)
	if old == nil {
		return false
	}
	delete(m.rows[table], key)
	m.follow(table, key, absent)
	if m.minimal {
		old = keyOnly(old)
	}
	m.log = append(m.log, logged{table, sources.Delete, old, nil, m.unchecked})
	return true
}

func keyOnly(row []int) []int {
	out := []int{row[0]}
	for range row[1:] {
		out = append(out, leftout)
	}
	return out
}

func (m *model) copy() (all []map[int][]int) {
	for _, rows := range m.rows {
		all = append(all, map[int][]int{})
		for key, row := range rows {
			all[len(all)-1][key] = slices.Clone(row)
		}
	}
	return all
}

// follow lets foreign keys act on what referred to a row, and reports whether they
// could: not where a row would get the key of another.
func (m *model) follow(table, key, now int) bool {
	if m.unchecked {
		return true
	}
	for child, refs := range m.refs {
		for i, ref := range refs {
			if ref.table != table {
				continue
			}
			action := ref.onUpdate
			if now == absent {
				action = ref.onDelete
			}
			for _, k := range slices.Sorted(maps.Keys(m.rows[child])) {
				row := m.rows[child][k]
				if row == nil || row[i] != key {
					continue
				}
				switch {
				case action == sources.SetNull:
					row[i] = absent
				case now == absent:
					delete(m.rows[child], k)
					m.follow(child, k, absent)
				case i == 0 && m.rows[child][now] != nil:
					return false
				default:
					row[i] = now
					if i > 0 {
						continue
					}
					delete(m.rows[child], k)
					m.rows[child][now] = row
					if !m.follow(child, k, now) {
						return false
					}
				}
			}
		}
	}
	return true
}

// chunk is some rows after a key, of those that have some values where they are asked for.
func (m *model) chunk(table int, after sources.Key, most int, having *sources.Values) (rows [][]int, done bool) {
	from := absent
	if after != nil {
		from, _ = strconv.Atoi(after[0])
	}
	for _, k := range slices.Sorted(maps.Keys(m.rows[table])) {
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

func (m *model) has(table, key int, values *sources.Values) bool {
	return slices.ContainsFunc(values.Of, func(texts sources.Key) bool {
		for n, i := range values.Columns {
			if words(m.rows[table][key][i:i+1]) != texts[n] {
				return false
			}
		}
		return true
	})
}

func words(row []int) string {
	var cells []string
	for _, v := range row {
		switch v {
		case absent:
			cells = append(cells, "-")
		case leftout:
			cells = append(cells, "?")
		default:
			cells = append(cells, strconv.Itoa(v))
		}
	}
	return strings.Join(cells, ",")
}

func image(r []int) sources.Row {
	if r == nil {
		return sources.Row{}
	}
	return row(strings.Split(words(r), ",")...)
}

// orphan lets some rows refer to what need not be there, as where foreign keys were not checked.
func (m *model) orphan(random *rand.Rand) {
	for n, refs := range m.refs {
		for i, ref := range refs {
			if i == 0 || ref == nothing {
				continue
			}
			for _, k := range slices.Sorted(maps.Keys(m.rows[n])) {
				if random.IntN(4) == 0 {
					m.rows[n][k][i] = random.IntN(modelKeys)
				}
			}
		}
	}
}

// modelKeys is how many keys a model's tables have.
const modelKeys = 12

// step is one statement at random.
func (m *model) step(random *rand.Rand) {
	const keys = modelKeys
	m.unchecked = m.careless && random.IntN(6) == 0
	table := random.IntN(len(m.names))
	fill := func(key int) []int {
		row := []int{}
		for i, ref := range m.refs[table] {
			to := absent
			if i == 0 {
				to = key
			}
			if ref == nothing {
				row = append(row, to)
				continue
			}
			if there := slices.Sorted(maps.Keys(m.rows[ref.table])); len(there) > 0 && random.IntN(4) > 0 {
				to = there[random.IntN(len(there))]
			}
			row = append(row, to)
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
		moves := !slices.ContainsFunc(m.refs, func(refs []reference) bool {
			return slices.ContainsFunc(refs, func(ref reference) bool { return ref.table == table && ref.onUpdate == sources.Restrict })
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
