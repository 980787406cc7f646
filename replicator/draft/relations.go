package draft

import (
	"maps"
	"slices"
	"strings"

	"haystream/mapping"
	"haystream/sources"
)

// A relater knows which tables refer to which.
type relater struct {
	catalog []*sources.Table
	at      map[string]*sources.Table                    // by schema.table
	found   map[*sources.Table]map[string]*sources.Table // relations that need no declaration: their names, and where they lead
	named   map[*sources.ForeignKey]bool                 // the foreign keys that those are made of
	joins   []*link
	links   map[*sources.Table]bool // tables that do nothing but join rows of others
}

// A link is a table of which each row joins a row of one table and one of another.
type link struct {
	table *sources.Table
	keys  [2]*sources.ForeignKey
}

func newRelater(catalog []*sources.Table) *relater {
	r := &relater{
		catalog: catalog, at: map[string]*sources.Table{}, found: map[*sources.Table]map[string]*sources.Table{},
		named: map[*sources.ForeignKey]bool{}, links: map[*sources.Table]bool{},
	}
	for _, t := range catalog {
		r.at[t.String()] = t
	}
	referred := map[*sources.Table]bool{}
	for _, t := range catalog {
		for _, k := range r.keys(t) {
			referred[r.target(k)] = true
		}
	}
	for t, relations := range mapping.Discover(catalog) {
		r.found[t] = map[string]*sources.Table{}
		for name, relation := range relations {
			for _, k := range r.keys(t) {
				if slices.Equal(k.Columns, relation.Column) && slices.Equal(k.Targets, relation.TargetColumn) {
					r.found[t][name], r.named[k] = r.target(k), true
				}
			}
		}
	}
	for _, t := range catalog {
		if l, only := r.link(t); l != nil {
			r.joins = append(r.joins, l)
			r.links[t] = only && !referred[t]
		}
	}
	return r
}

// keys are the foreign keys of a table to tables that can be seen.
func (r *relater) keys(t *sources.Table) []*sources.ForeignKey {
	var keys []*sources.ForeignKey
	for i := range t.ForeignKeys {
		if k := &t.ForeignKeys[i]; r.target(k) != nil {
			keys = append(keys, k)
		}
	}
	return keys
}

func (r *relater) target(k *sources.ForeignKey) *sources.Table { return r.at[k.Schema+"."+k.Table] }

// link tells whether each row of a table joins two others: it has two foreign keys, and
// beside their columns only a key of its own, or they are its key. only: it has nothing else.
func (r *relater) link(t *sources.Table) (l *link, only bool) {
	keys := r.keys(t)
	if len(keys) != 2 || slices.ContainsFunc(keys[0].Columns, func(name string) bool { return slices.Contains(keys[1].Columns, name) }) {
		return nil, false
	}
	joining := slices.Concat(keys[0].Columns, keys[1].Columns)
	own := slices.DeleteFunc(t.Names(t.Key), func(name string) bool { return slices.Contains(joining, name) })
	only = len(t.Columns) == len(joining)+len(own) && len(own) <= 1
	if !only && !(len(own) == 0 && len(t.Key) == len(joining)) {
		return nil, false
	}
	return &link{t, [2]*sources.ForeignKey{keys[0], keys[1]}}, only
}

// refersTo names the tables that a column refers to.
func (r *relater) refersTo(t *sources.Table, column string) []string {
	var refers []string
	for _, k := range r.keys(t) {
		if slices.Contains(k.Columns, column) {
			refers = append(refers, mapping.TableName(r.target(k)))
		}
	}
	return slices.Compact(refers)
}

// relations are those of a table that have to be declared.
func (r *relater) relations(t *sources.Table) []*relation {
	taken := newNames(t.Names(every(t)))
	for name := range maps.Keys(r.found[t]) {
		taken.take(name)
	}
	relations := slices.Concat(r.toOne(t), r.fromOthers(t), r.linked(t))
	for _, one := range relations {
		if name := identifier(one.name); taken[name] && one.through != nil {
			one.name += "_through_" + one.through.Name
		}
		one.name = taken.take(identifier(one.name))
	}
	return relations
}

// toOne are those of foreign keys that make no relation by themselves, since another
// one, or a column, would have the same name.
func (r *relater) toOne(t *sources.Table) []*relation {
	var relations []*relation
	for _, k := range r.keys(t) {
		if r.named[k] {
			continue
		}
		relations = append(relations, &relation{
			name: strings.Join(k.Columns, "_") + "_row", target: r.target(k),
			config: &mapping.Relation{Table: mapping.TableName(r.target(k)), Column: k.Columns},
		})
	}
	return relations
}

// fromOthers are those of other tables' foreign keys: to many rows, or to one where the
// columns that refer are the other table's key.
func (r *relater) fromOthers(t *sources.Table) []*relation {
	var relations []*relation
	for _, other := range r.catalog {
		if r.links[other] || bookkeeping(other) != "" {
			continue
		}
		keys := slices.DeleteFunc(r.keys(other), func(k *sources.ForeignKey) bool { return r.target(k) != t })
		for _, k := range keys {
			one := &relation{name: other.Name, target: other}
			if len(keys) > 1 || other == t {
				one.name += "_by_" + stem(k.Columns)
			}
			if sameNames(k.Columns, other.Names(other.Key)) {
				one.config = &mapping.Relation{Table: mapping.TableName(other), Column: k.Targets, TargetColumn: k.Columns}
			} else {
				one.config = &mapping.Relation{Table: mapping.TableName(other), Column: k.Columns, Many: new(true)}
			}
			relations = append(relations, one)
		}
	}
	return relations
}

// linked are those through tables in between.
func (r *relater) linked(t *sources.Table) []*relation {
	var relations []*relation
	ways := map[*sources.Table]int{}
	for _, l := range r.joins {
		for i, own := range l.keys {
			other := l.keys[1-i]
			if r.target(own) != t || bookkeeping(l.table) != "" {
				continue
			}
			target := r.target(other)
			ways[target]++
			name := target.Name
			if target == t {
				name = stem(other.Columns)
			}
			relations = append(relations, &relation{
				name: name, target: target, through: l.table,
				config: &mapping.Relation{
					Table: mapping.TableName(target), Through: mapping.TableName(l.table), Column: own.Columns, TargetColumn: other.Columns,
				},
			})
		}
	}
	for _, one := range relations {
		if one.target != t && ways[one.target] > 1 {
			one.name += "_through_" + one.through.Name
		}
	}
	return relations
}

// stem is the name of columns that refer, without what says that they do.
func stem(columns []string) string {
	if rest := strings.TrimSuffix(columns[0], "_id"); len(columns) == 1 && rest != "" {
		return rest
	}
	return strings.Join(columns, "_")
}

func sameNames(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(name string) bool { return !slices.Contains(b, name) })
}

func every(t *sources.Table) []int {
	all := make([]int, len(t.Columns))
	for i := range all {
		all[i] = i
	}
	return all
}
