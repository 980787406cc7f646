package mapping

import (
	"fmt"
	"maps"
	"slices"

	"haystream/mapping/expression"
	"haystream/sinks"
	"haystream/sources"
)

// Check finds the mistakes that a set has whatever the tables are like: what
// can be told without a catalog. Compile finds them, too, in the same words,
// where it gets to them. rules are those of the sink that is configured.
func (s Set) Check(rules sinks.Rules) Problems {
	p := &planner{infer: &inferrer{rules: rules, warn: func(string) {}}}
	p.zone("time_zone", s.TimeZone)
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
		p.facets(&u)
		u.glob = parsed.glob
		u.compile(anyTree(), p.infer, &p.problems)
		p.unitsFound = append(p.unitsFound, &u)
	}
	for alias, units := range p.grouped(0) {
		p.eventsApart(alias, units)
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
		at, c := at+".computed."+name, config.Computed[name]
		if err := checkEngine(c.Engine, true); err != nil {
			p.problems.add(at+".engine", "%v", err)
		}
		t := templateText{text: c.Text, engine: c.Engine, plain: true, includes: config.Includes}
		if _, err := t.compile(anyTree().root(anyTable)); err != nil {
			p.problems.addEach(at, err)
		}
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
		p.relation(at, r)
		if r.Where != "" {
			if _, err := expression.CompileFilter(r.Where, anyTree().root(anyTable)); err != nil {
				p.problems.addEach(at+".where", err)
			}
		}
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

// relation checks which settings of a relation go together.
func (p *planner) relation(at string, r *Relation) {
	switch {
	case r.Limit < 0:
		p.problems.add(at+".limit", "must be above 0, or left out for all rows")
	case r.Limit > 0 && !r.many():
		p.problems.add(at+".limit", "goes with many rows, and this relation leads to one; add many: true, or leave it out")
	}
	if len(r.OrderBy) > 0 && !r.many() && r.Through == "" && len(r.TargetColumn) == 0 {
		p.problems.add(at+".order_by", "sorts related rows, and this relation leads to one; it goes with many: true or through")
	}
	switch {
	case r.Distinct && r.Through == "":
		p.problems.add(at+".distinct", "goes with through only; without a table in between no row is led to twice")
	case r.Distinct && !r.many():
		p.problems.add(at+".distinct", "goes with many rows, and this relation leads to one")
	}
}
