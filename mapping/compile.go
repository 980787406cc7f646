package mapping

import (
	"maps"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/sources"
)

const modeAppend = "append"

// A Plan is what Compile makes of definitions.
type Plan struct {
	// Tables are those in use, projected to the columns that any set uses,
	// sorted by name, with their Ordinals set.
	Tables []*sources.Table

	// Sets holds each set's indexes, sorted by alias.
	Sets [][]*Index

	// Warnings are what an operator should know.
	Warnings []preflight.Finding
}

// Compile makes a plan of definitions. The first set is the configuration's;
// more are the saved definitions of older indexes (see Restore), which are to
// be fed as well. types are the sink's field types beyond the basic ones; nil
// for any. The error is Problems: everything that is wrong, at once.
func Compile(catalog []*sources.Table, types map[string]bool, sets ...Set) (*Plan, error) {
	p := &planner{catalog: catalog, plan: &Plan{}}
	p.infer = &inferrer{types: types}
	for i := range sets {
		p.units(i, sets[i], p.tables(sets[i]))
	}
	used := map[*sources.Table][]bool{}
	for _, u := range p.unitsFound {
		p.firstPass(u, used)
	}
	if len(p.problems) > 0 {
		return nil, p.problems.sorted()
	}
	p.infer.missed = func(string, string) {} // told by the first pass
	projected := p.project(used)
	p.plan.Sets = make([][]*Index, len(sets))
	for i := range sets {
		p.plan.Sets[i] = p.indexes(i, projected)
	}
	if len(p.problems) > 0 {
		return nil, p.problems.sorted()
	}
	return p.plan, nil
}

// A planner holds what Compile knows so far.
type planner struct {
	catalog    []*sources.Table
	infer      *inferrer
	problems   Problems
	plan       *Plan
	unitsFound []*unit
}

// tables checks the `tables:` of a set and returns the keys that they give.
func (p *planner) tables(set Set) map[*sources.Table]keyConfig {
	keys := map[*sources.Table]keyConfig{}
	for _, name := range slices.Sorted(maps.Keys(set.Tables)) {
		config, at := set.Tables[name], "tables."+name
		found, err := findTables(p.catalog, name)
		switch {
		case err != nil:
			p.problems.add(at, "%v", err)
			continue
		case len(found) > 1 || strings.ContainsAny(name, "*?["):
			p.problems.add(at, "a glob has no meaning here; name one table")
			continue
		case config == nil:
			continue
		}
		for column := range config.Computed {
			p.problems.add(at+".computed."+column, "computed columns are not in this version yet; a field with a template or expr can do the same")
		}
		for relation := range config.Relations {
			p.problems.add(at+".relations."+relation, "relations to other tables are not in this version yet")
		}
		columns := newColumns(found[0])
		for _, column := range config.Key {
			if _, err := columns.use(column); err != nil {
				p.problems.add(at+".key", "%v", err)
			}
		}
		if len(config.Key) > 0 {
			keys[found[0]] = keyConfig{path: at + ".key", names: config.Key}
		}
	}
	return keys
}

// units finds the tables of each definition of a set.
func (p *planner) units(n int, set Set, keys map[*sources.Table]keyConfig) {
	for _, name := range slices.Sorted(maps.Keys(set.Indexes)) {
		d := set.Indexes[name]
		if d == nil {
			d = &Definition{}
		}
		u := unit{set: n, name: name, alias: name, def: d}
		if d.Index != "" {
			u.alias = d.Index
		}
		p.definition(&u)
		if d.Table == "" {
			p.problems.add(u.path("table"), "name the table")
			continue
		}
		tables, err := findTables(p.catalog, d.Table)
		if err != nil {
			p.problems.add(u.path("table"), "%v", err)
			continue
		}
		parsed, _ := parseTableName(d.Table) // findTables has parsed it
		u.glob, u.schemas = parsed.glob, spansSchemas(parsed, tables)
		if tables = only(tables, d.Only); len(tables) == 0 {
			p.problems.add(u.path("table"), "none of the tables %s is there any more", strings.Join(d.Only, ", "))
			continue
		}
		p.excluded(&u, tables)
		for _, t := range tables {
			one := u
			one.table = t
			one.fields = expandFields(d, t, func(column string) { p.notLogged(&one, column) })
			if one.key = p.key(&one, keys[t]); one.key != nil {
				p.unitsFound = append(p.unitsFound, &one)
			}
		}
	}
}

// excluded checks that each excluded column is in one of the tables.
func (p *planner) excluded(u *unit, tables []*sources.Table) {
	var names []string
	for _, t := range tables {
		names = append(names, newColumns(t).names()...)
	}
	for _, name := range u.def.Exclude {
		if !slices.Contains(names, name) {
			p.problems.add(u.path("exclude"), "no column %q in %s%s", name, tables[0], conf.DidYouMean(name, names))
		}
	}
}

// spansSchemas reports whether a glob may stand for tables of one name.
func spansSchemas(name tableName, tables []*sources.Table) bool {
	return !name.bare && strings.ContainsAny(name.schema, "*?[") || slices.ContainsFunc(tables, func(t *sources.Table) bool { return t.Schema != tables[0].Schema })
}

// only keeps the tables that a saved definition names.
func only(tables []*sources.Table, names []string) []*sources.Table {
	if len(names) == 0 {
		return tables
	}
	return slices.DeleteFunc(slices.Clone(tables), func(t *sources.Table) bool { return !slices.Contains(names, configName(t)) })
}

// definition checks what needs no table.
func (p *planner) definition(u *unit) {
	d := u.def
	if d.Mode != "" && d.Mode != modeAppend {
		p.problems.add(u.path("mode"), "must be append, or left out%s", conf.DidYouMean(d.Mode, []string{modeAppend}))
	}
	if len(d.Exclude) > 0 && !d.Fields.All {
		p.problems.add(u.path("exclude"), `goes with fields: "*" only`)
	}
	if len(d.Fields.Named) == 0 && !d.Fields.All {
		p.problems.add(u.path("fields"), `name the fields, or write "*" for every column`)
	}
	if d.Haystack != nil && d.ID != "" {
		p.problems.add(u.path("id"), "haystack gives the id; leave it out")
	}
	if reason := badAlias(u.alias); reason != "" {
		at := "indexes." + u.name
		if d.Index != "" {
			at = u.path("index")
		}
		p.problems.add(at, "%q cannot be the name of an index: %s", u.alias, reason)
	}
	if _, err := decodeObject(d.Settings); err != nil {
		p.problems.add(u.path("settings"), "%v", err)
	}
}

// longestAlias leaves room for the physical index's timestamp and its write
// alias in the sink's limit of 255 bytes.
const longestAlias = 200

// badAlias says why the sink does not take a name; empty where it does.
func badAlias(alias string) string {
	switch {
	case alias != strings.ToLower(alias):
		return "capital letters are not allowed"
	case strings.ContainsAny(alias, `\/*?"<>|, #:`):
		return `it must not hold a space or one of \ / * ? " < > | , # :`
	case strings.HasPrefix(alias, "-"), strings.HasPrefix(alias, "_"), strings.HasPrefix(alias, "+"):
		return "it must not begin with - _ +"
	case alias == "." || alias == ".." || alias == "":
		return "it is no name"
	case len(alias) > longestAlias:
		return "it is too long"
	}
	return ""
}

// firstPass compiles a unit against the catalog's table to learn which columns
// are used.
func (p *planner) firstPass(u *unit, used map[*sources.Table][]bool) {
	before := len(p.problems)
	p.infer.missed = func(wanted, instead string) {
		p.warn(preflight.Finding{
			Level: preflight.Warning, Subject: "index " + u.alias,
			Text: "the sink has no field type " + wanted + "; " + instead + " is used instead",
		})
	}
	out := u.compile(u.table, p.infer, &p.problems)
	if used[u.table] == nil {
		used[u.table] = make([]bool, len(u.table.Columns))
	}
	for i := range out.used {
		used[u.table][i] = used[u.table][i] || out.used[i]
	}
	for _, name := range u.key {
		used[u.table][u.table.Column(name)] = true
	}
	if len(p.problems) == before {
		p.incomplete(u, out.used)
	}
}

// warn notes a finding once.
func (p *planner) warn(f preflight.Finding) {
	if !slices.Contains(p.plan.Warnings, f) {
		p.plan.Warnings = append(p.plan.Warnings, f)
	}
}

func (p *planner) notLogged(u *unit, column string) {
	p.warn(preflight.Finding{
		Level: preflight.Warning, Subject: "index " + u.alias,
		Text: "column " + column + " of table " + u.table.String() + ` is computed by the server and absent from its log; fields: "*" leaves it out`,
	})
}

// incomplete warns of used columns that the log may leave out.
func (p *planner) incomplete(u *unit, used []bool) {
	if u.table.Identity == sources.IdentityFull {
		return
	}
	for i, c := range u.table.Columns {
		if used[i] && c.MayBeMissing && !carriesOld(u.table, i) {
			p.warn(preflight.Finding{
				Level: preflight.Warning, Subject: "table " + u.table.String(),
				Text:   "the log leaves out a large value of column " + c.Name + " that an update does not change; the pipeline pauses when it meets one",
				Remedy: fullIdentity(u.table),
			})
		}
	}
}

// project makes the plan's tables, each with the columns in use.
func (p *planner) project(used map[*sources.Table][]bool) map[*sources.Table]*sources.Table {
	projected := map[*sources.Table]*sources.Table{}
	for _, t := range slices.SortedFunc(maps.Keys(used), compareTables) {
		small := t.Project(func(i int) bool { return used[t][i] })
		small.Ordinal = len(p.plan.Tables)
		for _, u := range p.unitsFound {
			if u.table == t { // the first set's key gives the order of snapshots
				small.Key = (&unitCompiler{unit: u, table: small}).keyColumns()
				break
			}
		}
		p.plan.Tables = append(p.plan.Tables, small)
		projected[t] = small
	}
	return projected
}
