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

// Cut is a row of Source with the stored columns only, valid as long as that is.
func (t *StoredTable) Cut(a *sources.Arena, row sources.Row) sources.Row {
	return a.Cut(row, t.Columns)
}

// Row is Cut with Missing cells filled from the row as it is stored; old may be the zero Row.
func (t *StoredTable) Row(a *sources.Arena, old, row sources.Row) (sources.Row, error) {
	if !slices.ContainsFunc(t.Columns, row.Missing) {
		return t.Cut(a, row), nil
	}
	size := 0
	for n, i := range t.Columns {
		if size += len(row.Text(i)); row.Missing(i) && !old.IsZero() {
			size += len(old.Text(n))
		}
	}
	a.Reserve(size)
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

// A storage collects what the row store has to hold for a set.
type storage struct {
	used    map[*sources.Table][]bool
	keys    map[*sources.Table][]string
	why     map[*sources.Table][]string
	indexes map[*sources.Table][][]string
	whole   map[*sources.Table][]bool // by index: documents are made of rows that are found by it
	hidden  []hidden

	stored map[*sources.Table]*rowstore.Table // what holds it
}

func newStorage() *storage {
	return &storage{
		used: map[*sources.Table][]bool{}, keys: map[*sources.Table][]string{},
		why: map[*sources.Table][]string{}, indexes: map[*sources.Table][][]string{}, whole: map[*sources.Table][]bool{}, stored: map[*sources.Table]*rowstore.Table{},
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
	g.index(t, step.to, true)
	g.index(at.parent.source, step.from, false)
}

// table notes that the rows of a table are stored.
func (g *storage) table(t *sources.Table, s *schema, why string) {
	if g.used[t] == nil {
		g.used[t] = make([]bool, len(t.Columns))
		g.keys[t] = s.key(t)
		g.columns(t, g.keys[t])
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

// index notes that rows are looked up by columns; whole: documents are made of them.
func (g *storage) index(t *sources.Table, columns []string, whole bool) {
	if sameNames(columns, g.keys[t]) {
		return
	}
	n := slices.IndexFunc(g.indexes[t], func(have []string) bool { return slices.Equal(have, columns) })
	if n < 0 {
		n = len(g.indexes[t])
		g.indexes[t], g.whole[t] = append(g.indexes[t], columns), append(g.whole[t], false)
	}
	g.whole[t][n] = g.whole[t][n] || whole
}

func sameNames(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(name string) bool { return !slices.Contains(b, name) })
}

// take notes what another storage needs of a table.
func (g *storage) take(t *sources.Table, from *storage) {
	if g.used[t] == nil {
		g.keys[t] = from.keys[t]
	}
	use(g.used, t, from.used[t])
	for n, columns := range from.indexes[t] {
		g.index(t, columns, from.whole[t][n])
	}
	for _, why := range from.why[t] {
		if !slices.Contains(g.why[t], why) {
			g.why[t] = append(g.why[t], why)
		}
	}
}

// layouts decides how tables are stored: as the row store has them where that is
// enough, else anew. What saved sets need and the store does not have is stored
// together with what is wanted.
func (p *planner) layouts() {
	kept := map[string]*rowstore.Table{}
	wanted, saved := p.storages[0], p.storages[1:]
	followed := map[string][]*sources.ForeignKey{} // in kept tables, by print
	for range 2 {                                  // the second time, what another set follows is no hindrance
		for i, old := range saved {
			for t := range old.used {
				if old.stored[t] == nil {
					old.stored[t] = p.kept(old, t, p.sets[i+1].Replaced, kept, followed)
				}
			}
		}
		for _, old := range saved {
			for _, h := range old.hidden {
				if at := old.stored[h.table]; at != nil {
					followed[at.Print()] = append(followed[at.Print()], h.key)
				}
			}
		}
	}
	for _, old := range saved {
		for t := range old.used {
			if old.stored[t] == nil {
				wanted.take(t, old)
			}
		}
	}
	for t, used := range wanted.used {
		if wanted.stored[t] = p.kept(wanted, t, false, kept, nil); wanted.stored[t] == nil {
			wanted.stored[t] = stored(t, used, wanted.keys[t], wanted.indexes[t], wanted.whole[t])
		}
	}
	for _, old := range saved {
		for t := range old.used {
			if old.stored[t] == nil {
				old.stored[t] = wanted.stored[t]
			}
		}
	}
}

// kept is a table that the row store holds and that has all that is needed of t;
// nil where there is none. earlier: rows of an earlier epoch will do. followed are
// foreign keys that other sets follow, by print.
func (p *planner) kept(g *storage, t *sources.Table, earlier bool, made map[string]*rowstore.Table, followed map[string][]*sources.ForeignKey) *rowstore.Table {
	for i := range p.options.Kept {
		d := &p.options.Kept[i]
		if d.Schema != t.Schema || d.Name != t.Name || !g.fits(t, d, followed[d.Print]) || !earlier && g.outdated(t, d) {
			continue
		}
		if made[d.Print] == nil {
			made[d.Print] = stored(t, columnsNamed(t, d.Columns), d.Key, d.Indexes, d.Whole)
			made[d.Print].Epochs = epochsOf(d)
		}
		if made[d.Print].Print() == d.Print {
			return made[d.Print]
		}
	}
	return nil
}

// fits reports whether a table as it is described has all that is needed of t, which has all of it. That rows are
// wanted whole by another index is no reason to store them anew.
func (g *storage) fits(t *sources.Table, d *rowstore.Description, followed []*sources.ForeignKey) bool {
	unfit := func(name string) bool {
		i := t.Column(name)
		if i < 0 || g.used[t][i] {
			return i < 0
		}
		for n := range t.ForeignKeys { // nothing follows what they do to a column that is not needed
			if k := &t.ForeignKeys[n]; k.Unlogged && slices.Contains(k.Columns, name) && !slices.Contains(followed, k) {
				return true
			}
		}
		return false
	}
	if !slices.Equal(d.Key, g.keys[t]) || slices.ContainsFunc(d.Columns, unfit) {
		return false
	}
	for i, used := range g.used[t] {
		if used && !slices.Contains(d.Columns, t.Columns[i].Name) {
			return false
		}
	}
	return !slices.ContainsFunc(g.indexes[t], func(columns []string) bool {
		return !slices.ContainsFunc(d.Indexes, func(have []string) bool { return slices.Equal(have, columns) })
	})
}

// outdated reports whether a value that is needed of t is stored as it was in an earlier epoch.
func (g *storage) outdated(t *sources.Table, d *rowstore.Description) bool {
	epochs := epochsOf(d)
	for i, used := range g.used[t] {
		if name := t.Columns[i].Name; used && epochs.Of(name) != t.Epochs.Of(name) {
			return true
		}
	}
	return false
}

// epochsOf are the epochs that a table was stored in.
func epochsOf(d *rowstore.Description) sources.Epochs {
	var e sources.Epochs
	for i, epoch := range d.Epochs {
		e.Begin(epoch, &sources.Staleness{Columns: d.Columns[i : i+1]})
	}
	return e
}

// stored is a table of the row store with some columns of t.
func stored(t *sources.Table, used []bool, key []string, indexes [][]string, whole []bool) *rowstore.Table {
	small := t.Project(func(i int) bool { return used[i] })
	small.Key = places(small, key)
	st := &rowstore.Table{Table: small, Folds: folds(small), Whole: whole}
	for _, columns := range indexes {
		st.Indexes = append(st.Indexes, places(small, columns))
	}
	return st
}

// columnsNamed tells which columns of a table are named.
func columnsNamed(t *sources.Table, names []string) []bool {
	used := make([]bool, len(t.Columns))
	for i := range t.Columns {
		used[i] = slices.Contains(names, t.Columns[i].Name)
	}
	return used
}

func places(t *sources.Table, names []string) []int {
	found := make([]int, len(names))
	for n, name := range names {
		found[n] = t.Column(name)
	}
	return found
}

// store completes the plan with the tables of the row store, those that are wanted first.
func (p *planner) store(projected map[*sources.Table]*sources.Table) {
	for _, g := range p.storages {
		for _, t := range slices.SortedFunc(maps.Keys(g.stored), compareTables) {
			if p.plan.Layout == nil {
				p.plan.Layout = &rowstore.Layout{}
			}
			if slices.Contains(p.plan.Layout.Tables, g.stored[t]) {
				continue
			}
			st := &StoredTable{Table: g.stored[t], Source: projected[t], Why: g.why[t]}
			for _, name := range st.Names(every(len(st.Table.Columns))) {
				st.Columns = append(st.Columns, st.Source.Column(name))
			}
			st.Ordinal = len(p.plan.Stored)
			p.plan.Layout.Tables = append(p.plan.Layout.Tables, st.Table)
			p.plan.Stored = append(p.plan.Stored, st)
		}
	}
	p.cascades()
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
