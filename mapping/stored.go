package mapping

import (
	"fmt"
	"maps"
	"slices"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A StoredTable is a table of the plan whose rows are kept in the row store.
type StoredTable struct {
	*rowstore.Table

	// Source is the table of Plan.Tables that its rows come from, Columns the
	// place there of each stored column.
	Source  *sources.Table
	Columns []int

	// Why says for people which definitions need it, and what for.
	Why []string

	// Cascades are the foreign keys to this table that act without a word in the log.
	Cascades []*Cascade
}

// Cut is a row of Source with the stored columns only.
func (t *StoredTable) Cut(a *sources.Arena, row sources.Row) sources.Row {
	a.StartRow(len(t.Columns))
	for _, i := range t.Columns {
		a.Copy(row, i)
	}
	return a.EndRow()
}

// Row is Cut with Missing cells filled from the row as it is stored; old may be the zero Row.
func (t *StoredTable) Row(a *sources.Arena, old, row sources.Row) (sources.Row, error) {
	a.StartRow(len(t.Columns))
	for n, i := range t.Columns {
		switch {
		case !row.Missing(i):
			a.Copy(row, i)
		case old.IsZero() || old.Missing(n):
			a.Missing()
		case row.Patch(i) != nil:
			text, err := sources.ApplyPatch(a.Buffer(), old.Text(n), row.Patch(i))
			if err != nil {
				return sources.Row{}, fmt.Errorf("change value of column %s: %w", t.Table.Columns[n].Name, err)
			}
			a.Value(text)
		default:
			a.Copy(old, n)
		}
	}
	return a.EndRow(), nil
}

// Key appends the key of a row of Source in the row store, such as an old image
// that holds no more than its key. null: it lacks a value.
func (t *StoredTable) Key(dst []byte, a *sources.Arena, row sources.Row) (key []byte, null bool) {
	return rowstore.AppendKey(dst, t.Table, t.Cut(a, row), t.Table.Key)
}

// A storage collects what the row store has to hold.
type storage struct {
	used    map[*sources.Table][]bool
	keys    map[*sources.Table][]string
	why     map[*sources.Table][]string
	indexes map[*sources.Table][][]string
}

func newStorage() *storage {
	return &storage{
		used: map[*sources.Table][]bool{}, keys: map[*sources.Table][]string{},
		why: map[*sources.Table][]string{}, indexes: map[*sources.Table][][]string{},
	}
}

// add notes what the rows of a definition's scope need.
func (g *storage) add(at *scope, why string) {
	t := at.source
	g.table(t, at.tree.schema, why)
	for i, u := range at.used {
		g.used[t][i] = g.used[t][i] || u != 0
	}
	if at.parent == nil {
		return
	}
	step := at.step()
	g.index(t, step.to)
	g.index(at.parent.source, step.from)
}

// table notes that the rows of a table are stored.
func (g *storage) table(t *sources.Table, s *schema, why string) {
	if g.used[t] == nil {
		g.used[t] = make([]bool, len(t.Columns))
		g.keys[t] = s.key(t)
	}
	if !slices.Contains(g.why[t], why) {
		g.why[t] = append(g.why[t], why)
	}
}

// columns notes that named columns of a stored table are.
func (g *storage) columns(t *sources.Table, names []string) {
	for _, name := range names {
		g.used[t][t.Column(name)] = true
	}
}

// index notes that rows are looked up by columns.
func (g *storage) index(t *sources.Table, columns []string) {
	if sameNames(columns, g.keys[t]) || slices.ContainsFunc(g.indexes[t], func(have []string) bool { return slices.Equal(have, columns) }) {
		return
	}
	g.indexes[t] = append(g.indexes[t], columns)
}

func sameNames(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(name string) bool { return !slices.Contains(b, name) })
}

// layout makes the tables of the row store, sorted by name.
func (g *storage) layout() map[*sources.Table]*rowstore.Table {
	stored := map[*sources.Table]*rowstore.Table{}
	for t, used := range g.used {
		small := t.Project(func(i int) bool { return used[i] })
		small.Key = places(small, g.keys[t])
		st := &rowstore.Table{Table: small, Folds: folds(small)}
		for _, columns := range g.indexes[t] {
			st.Indexes = append(st.Indexes, places(small, columns))
		}
		stored[t] = st
	}
	return stored
}

func places(t *sources.Table, names []string) []int {
	found := make([]int, len(names))
	for n, name := range names {
		found[n] = t.Column(name)
	}
	return found
}

// store completes the plan with the tables of the row store.
func (p *planner) store(stored map[*sources.Table]*rowstore.Table, projected map[*sources.Table]*sources.Table) {
	if len(stored) == 0 {
		return
	}
	p.plan.Layout = &rowstore.Layout{}
	p.plan.Stored = make([]*StoredTable, len(p.plan.Tables))
	for _, t := range slices.SortedFunc(maps.Keys(stored), compareTables) {
		st := &StoredTable{Table: stored[t], Source: projected[t], Why: p.storage.why[t]}
		for i := range st.Table.Columns {
			st.Columns = append(st.Columns, st.Source.Column(st.Table.Columns[i].Name))
		}
		st.Table.Ordinal = st.Source.Ordinal
		p.plan.Layout.Tables = append(p.plan.Layout.Tables, st.Table)
		p.plan.Stored[st.Source.Ordinal] = st
	}
	p.cascades(projected)
}

// joined makes a unit's renderer one that renders from the row store.
func (p *planner) joined(r *Renderer, stored map[*sources.Table]*rowstore.Table) *JoinedRenderer {
	j := &JoinedRenderer{Renderer: r, Stored: stored[r.root.source]}
	r.root.all(func(s *scope) {
		j.scopes = append(j.scopes, s)
		if s.parent == nil {
			return
		}
		step := s.step()
		s.down = findLookup(stored[s.source], step.to, s.parent.table, step.from)
		s.up = findLookup(stored[s.parent.source], step.from, s.table, step.to)
	})
	return j
}

// findLookup finds the key or index of a table by which rows are looked up with
// the values of another table's columns.
func findLookup(t *rowstore.Table, columns []string, other *sources.Table, args []string) lookup {
	if key := t.Names(t.Key); sameNames(columns, key) {
		u := lookup{table: t, index: -1}
		for _, name := range key {
			u.args = append(u.args, other.Column(args[slices.Index(columns, name)]))
		}
		return u
	}
	u := lookup{table: t, args: places(other, args)}
	u.index = slices.IndexFunc(t.Indexes, func(index []int) bool { return slices.Equal(t.Names(index), columns) })
	return u
}
