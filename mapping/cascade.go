package mapping

import (
	"slices"

	"haystream/internal/preflight"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A Cascade is a foreign key whose actions the log does not show: what happens
// to the rows of Child when one that they refer to goes or changes its key.
type Cascade struct {
	Name               string
	Child              *StoredTable
	Columns            []int // of Child.Table
	Targets            []int // of the table that is referred to, one for each of Columns
	OnDelete, OnUpdate sources.ReferenceAction

	rows   lookup // of Child, by what they refer to
	target lookup // the row that one of Child refers to
}

// Lookup returns the columns of Child that its rows are found by, in the order of
// their index, and those of the table that is referred to, one for each.
func (c *Cascade) Lookup() (columns, targets []int) {
	columns = c.Child.Table.Key
	if c.rows.index >= 0 {
		columns = c.Child.Indexes[c.rows.index]
	}
	return columns, c.rows.args
}

// Dangles reports whether a row of Child refers to one that is not stored.
func (c *Cascade) Dangles(from rowstore.Reader, child sources.Row) (bool, error) {
	value, null := rowstore.AppendKey(nil, c.Child.Table, child, c.target.args)
	if null {
		return false, nil
	}
	found := false
	err := c.target.keys(from, value, nil, func([]byte) (bool, error) {
		found = true
		return false, nil
	})
	return !found, err
}

// A hidden is a foreign key that changes a table's rows without a word in the log.
type hidden struct {
	table, target *sources.Table // of the catalog
	key           *sources.ForeignKey
}

// findHidden finds the hidden foreign keys that matter to the tables that a set
// uses, and to those that lead there, and notes what the row store has to hold for them.
func (p *planner) findHidden(set int, used map[*sources.Table][]bool) {
	if !p.completes(set) {
		return
	}
	g := p.storages[set]
	schemas := map[*sources.Table]*schema{}
	var tables []*sources.Table // to be looked at
	var units []*unit
	for _, u := range p.unitsFound {
		if u.set != set {
			continue
		}
		units = append(units, u)
		u.root.all(func(s *scope) {
			if schemas[s.source] == nil {
				schemas[s.source] = u.schema
				tables = append(tables, s.source)
			}
		})
	}
	found := map[*sources.ForeignKey]bool{}
	for again := true; again; {
		again = false
		for i := 0; i < len(tables); i++ { // it grows
			t := tables[i]
			for n := range t.ForeignKeys {
				k := &t.ForeignKeys[n]
				target := schemas[t].tableOf(k)
				if found[k] || target == nil || !matters(k, t, used[t], g.used[t]) || !p.followable(schemas[t], t, target, k) {
					continue
				}
				if schemas[target] == nil {
					schemas[target] = schemas[t]
					tables = append(tables, target)
				}
				p.compared(target, k.Targets)
				g.hide(schemas[t], hidden{t, target, k})
				found[k], again = true, true
			}
		}
	}
	for _, u := range units {
		for _, h := range g.hidden {
			if h.table == u.table {
				u.joined = append(u.joined, "foreign key "+h.key.Name+" changes its rows and the log does not tell")
			}
		}
	}
}

// matters reports whether what a foreign key does unlogged can be seen in the columns in use.
func matters(k *sources.ForeignKey, t *sources.Table, used ...[]bool) bool {
	switch {
	case !k.Unlogged:
		return false
	case k.OnDelete == sources.Cascade:
		return true
	case k.OnDelete != sources.SetNull && k.OnUpdate != sources.Cascade && k.OnUpdate != sources.SetNull:
		return false
	}
	return slices.ContainsFunc(k.Columns, func(name string) bool {
		return slices.ContainsFunc(used, func(columns []bool) bool { return columns != nil && columns[t.Column(name)] })
	})
}

// followable reports whether the tables of a foreign key can be stored.
func (p *planner) followable(s *schema, t, target *sources.Table, k *sources.ForeignKey) bool {
	for _, side := range []*sources.Table{t, target} {
		var why string
		switch key := s.key(side); {
		case len(key) == 0:
			why = "has no key"
		case slices.ContainsFunc(key, func(name string) bool { return !side.CarriesOld(side.Column(name)) }):
			why = "has a key whose old values are not in the log"
		default:
			continue
		}
		p.warn(preflight.Finding{
			Level: preflight.Warning, Subject: "table " + t.String(),
			Text: "foreign key " + k.Name + " changes its rows and the log does not tell; that cannot be followed, since table " + side.String() + " " + why,
		})
		return false
	}
	return true
}

func (g *storage) hide(s *schema, h hidden) {
	g.hidden = append(g.hidden, h)
	g.table(h.table, s, "foreign key "+h.key.Name+" changes its rows and the log does not tell")
	g.table(h.target, s, "foreign key "+h.key.Name+" of table "+h.table.String()+" follows its rows and the log does not tell")
	g.columns(h.table, h.key.Columns)
	g.columns(h.target, h.key.Targets)
	g.index(h.table, h.key.Columns, false)
	g.index(h.target, h.key.Targets, false)
}

// cascades gives the stored tables what was found. A table that sets share follows
// what a saved one of them refers to, which is there already.
func (p *planner) cascades() {
	type followed struct {
		key   *sources.ForeignKey
		child *rowstore.Table
	}
	done := map[followed]bool{}
	for _, g := range slices.Backward(p.storages) { // the first set's last
		for _, h := range g.hidden {
			child, target := g.stored[h.table], g.stored[h.target]
			if done[followed{h.key, child}] {
				continue
			}
			done[followed{h.key, child}] = true
			of := p.plan.Stored[target.Ordinal]
			of.Cascades = append(of.Cascades, &Cascade{
				Name: h.key.Name, Child: p.plan.Stored[child.Ordinal], Columns: places(child.Table, h.key.Columns), Targets: places(target.Table, h.key.Targets),
				OnDelete: h.key.OnDelete, OnUpdate: h.key.OnUpdate,
				rows:   findLookup(child, h.key.Columns, target.Table, h.key.Targets),
				target: findLookup(target, h.key.Targets, child.Table, h.key.Columns),
			})
		}
	}
}
