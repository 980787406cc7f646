package mapping

import (
	"fmt"
	"maps"
	"slices"

	"haystream/sinks"
	"haystream/sources"
)

// Check finds the mistakes that a set has whatever the tables are like: what
// can be told without a catalog. Compile finds them, too, in the same words,
// where it gets to them. rules are those of the sink that is configured.
func (s Set) Check(rules sinks.Rules) Problems {
	p := &planner{infer: &inferrer{rules: rules, missed: func(string, string) {}}}
	for _, name := range slices.Sorted(maps.Keys(s.Tables)) {
		p.checkTable("tables."+name, name, s.Tables[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Indexes)) {
		u := newUnit(0, name, s.Indexes[name], &schema{})
		p.definition(&u)
		parsed, err := parseTableName(u.def.Table)
		if u.def.Table == "" {
			p.problems.add(u.path("table"), "name the table")
		} else if err != nil {
			p.problems.add(u.path("table"), "%v", err)
		}
		u.table, u.fields = anyTable, map[string]*Field{}
		for name, f := range u.def.Fields.Named {
			u.fields[name] = f.full(name)
		}
		u.glob = parsed.glob
		u.compile(anyTree(), p.infer, &p.problems)
		p.unitsFound = append(p.unitsFound, &u)
	}
	for alias, units := range p.grouped(0) {
		p.apart(units)
		p.together(alias, units)
	}
	return p.problems.sorted()
}

// anyTable stands for a table that is not known: each name is that of its
// column, whose values may be of any type.
var anyTable = &sources.Table{Identity: sources.IdentityFull, Columns: []sources.Column{{Type: sources.Type{Kind: sources.JSON}}}}

func anyTree() *tree {
	return &tree{schema: &schema{}, at: func(t *sources.Table) *sources.Table { return t }}
}

// unknown reports whether nothing is known of the table here.
func (s *scope) unknown() bool { return s.source == anyTable }

// checkTable checks an entry of `tables:`.
func (p *planner) checkTable(at, name string, config *TableConfig) {
	p.oneTable(at, name)
	if config == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(config.Computed)) {
		p.computed(at+".computed."+name, config.Computed[name], anyTree().root(anyTable))
	}
	for _, name := range slices.Sorted(maps.Keys(config.Relations)) {
		at, r := at+".relations."+name, config.Relations[name]
		if r == nil || r.Table == "" {
			p.problems.add(at+".table", "name the table")
			continue
		}
		p.oneTable(at+".table", r.Table)
		if r.Through != "" {
			p.oneTable(at+".through", r.Through)
		}
		p.ordered(at, r)
	}
}

// oneTable checks that a name can be one table's.
func (p *planner) oneTable(at, name string) {
	switch parsed, err := parseTableName(name); {
	case err != nil:
		p.problems.add(at, "%v", err)
	case parsed.glob:
		p.problems.add(at, "%v", errGlob)
	}
}

var errGlob = fmt.Errorf("a glob has no meaning here; name one table")

// ordered checks that there are rows to be sorted.
func (p *planner) ordered(at string, r *Relation) {
	if len(r.OrderBy) > 0 && !r.Many && r.Through == "" {
		p.problems.add(at+".order_by", "sorts related rows, and this relation leads to one; it goes with many: true or through")
	}
}

// computed checks a computed column's template.
func (p *planner) computed(at, text string, rows *scope) {
	if _, err := compileTemplate(text, rows); err != nil {
		p.problems.addEach(at, err)
	}
}
