package mapping

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// ModeAppend is the mode of definitions whose documents stay when their rows go.
const ModeAppend = "append"

// A Plan is what Compile makes of definitions.
type Plan struct {
	// Tables are those in use, projected to the columns that any set uses,
	// sorted by name, with their Ordinals set.
	Tables []*sources.Table

	// Sets holds each set's indexes, sorted by alias.
	Sets [][]*Index

	// Layout is what the row store holds; nil where no definition needs one.
	Layout *rowstore.Layout

	// Stored are the tables of Layout, in its order, with their Ordinals the
	// place in it. A table is there more than once where the first set needs other
	// columns of it than the row store has kept for the saved ones.
	Stored []*StoredTable

	// Warnings are what an operator should know.
	Warnings []preflight.Finding

	// Homes are the schemas that tables named without one were found in, by the name.
	Homes map[string]string
}

// Doubled reports whether a table is stored more than once.
func (p *Plan) Doubled() bool {
	seen := map[*sources.Table]bool{}
	for _, t := range p.Stored {
		if seen[t.Source] {
			return true
		}
		seen[t.Source] = true
	}
	return false
}

// Options say what a plan may count on.
type Options struct {
	// Rules are the sink's, for names and fields.
	Rules sinks.Rules

	// Complete: the first set's definitions of which the log may leave out a value,
	// or all of a change, are rendered from stored rows, and those of saved sets that were.
	Complete bool

	// Homes are the schemas that names without one have meant before, by the
	// name. Such a name means nothing else for good: what has come to be elsewhere
	// may be somebody else's.
	Homes map[string]string

	// Views are what else has names in the source, for messages about them.
	Views []sources.View

	// Kept are the tables that the row store holds. The first one that has all that
	// is needed is used as it is.
	Kept []rowstore.Description
}

// Compile makes a plan of definitions. The first set is the configuration's;
// more are the saved definitions of older indexes (see Restore), which are to
// be fed as well. The error is Problems: everything that is wrong, at once; beside it the
// plan has only Tables and the Alias of indexes, as far as they are known.
func (o Options) Compile(catalog []*sources.Table, sets ...Set) (*Plan, error) {
	p := &planner{catalog: catalog, plan: &Plan{Homes: map[string]string{}}, options: o, sets: sets, keyless: map[*sources.Table]bool{}}
	p.infer = &inferrer{rules: o.Rules}
	for i := range sets {
		p.units(i, sets[i], p.tables(sets[i]))
	}
	used := make([]map[*sources.Table][]bool, len(sets))
	for i := range sets {
		used[i], p.storages = map[*sources.Table][]bool{}, append(p.storages, newStorage())
	}
	for _, u := range p.unitsFound {
		p.firstPass(u, used[u.set])
	}
	for i := range sets {
		for alias, units := range p.grouped(i) {
			p.apart(units)
			p.together(alias, units)
		}
	}
	if len(p.problems) == 0 {
		for i := range sets {
			p.findHidden(i, used[i])
			p.stayStored(i)
		}
		for _, u := range p.unitsFound {
			p.keep(u)
		}
	}
	if len(p.problems) > 0 {
		return p.partial(used[0]), p.folded().sorted()
	}
	p.infer.warn = func(string) {} // told by the first pass
	p.layouts()
	all := map[*sources.Table][]bool{}
	for i, g := range p.storages {
		for t, columns := range used[i] {
			use(all, t, columns)
		}
		for t, stored := range g.stored {
			use(all, t, columnsNamed(t, stored.Names(every(len(stored.Columns)))))
		}
	}
	projected := p.project(all)
	p.store(projected)
	p.plan.Sets = make([][]*Index, len(sets))
	for i := range sets {
		p.plan.Sets[i] = p.indexes(i, projected)
	}
	if len(p.problems) > 0 {
		return nil, p.problems.sorted()
	}
	return p.plan, nil
}

// partial is as much of a plan as can be said beside problems: the tables in
// use that can be followed, and the names of the first set's indexes.
func (p *planner) partial(used map[*sources.Table][]bool) *Plan {
	for _, u := range p.unitsFound {
		if u.key == nil {
			delete(used, u.table)
		}
	}
	for t := range p.keyless {
		delete(used, t)
	}
	p.project(used)
	p.plan.Sets = make([][]*Index, len(p.sets))
	for _, alias := range slices.Sorted(maps.Keys(p.grouped(0))) {
		if p.badAlias(alias) == "" {
			p.plan.Sets[0] = append(p.plan.Sets[0], &Index{Alias: alias})
		}
	}
	return p.plan
}

// completes reports whether definitions of a set are rendered from stored rows for
// what the log leaves out.
func (p *planner) completes(set int) bool {
	return p.options.Complete && (set == 0 || p.sets[set].Stored)
}

func use(used map[*sources.Table][]bool, t *sources.Table, columns []bool) {
	for len(used[t]) < len(t.Columns) { // an open table has got some
		used[t] = append(used[t], false)
	}
	for i := range columns {
		used[t][i] = used[t][i] || columns[i]
	}
}

// A planner holds what Compile knows so far.
type planner struct {
	catalog    []*sources.Table
	options    Options
	infer      *inferrer
	problems   Problems
	plan       *Plan
	sets       []Set
	storages   []*storage // of each set
	unitsFound []*unit
	keyless    map[*sources.Table]bool // tables that relations lead to and that cannot be followed
}

// tables checks the `tables:` of a set and returns what they say.
func (p *planner) tables(set Set) *schema {
	s := &schema{
		catalog: p.catalog, lookup: tableNames{before: p.options.Homes, now: p.plan.Homes}, views: p.options.Views, keys: map[*sources.Table]keyConfig{},
		computed: map[*sources.Table]map[string]Template{}, relations: map[*sources.Table]map[string]*relation{},
		broken: map[*sources.Table][]string{}, astray: map[string]bool{}, unsure: map[*sources.Table]bool{}, allUnsure: set.Unsure,
		includes: map[*sources.Table]map[string]string{}, choices: map[*sources.Table]map[string]map[string]string{},
		endless: map[*relation]bool{},
	}
	s.zone = p.zone("time_zone", set.TimeZone)
	found, first := map[string]*sources.Table{}, map[*sources.Table]string{}
	for _, name := range slices.Sorted(maps.Keys(set.Tables)) {
		config, at := set.Tables[name], "tables."+name
		t, err := s.find(name)
		if err != nil {
			p.problems.add(at, "%v", err)
			s.stray(config)
			continue
		}
		if other := first[t]; other != "" {
			p.problems.add(at, "is table %s, and so is tables.%s; write what is said of it in one place", t, other)
		}
		first[t] = name
		if config == nil {
			continue
		}
		found[name], s.unsure[t] = t, config.Unsure
		broken := false
		for _, column := range config.Key {
			if _, err := newScope(t).use(column); err != nil {
				p.problems.add(at+".key", "%v", err)
				broken = true
			}
		}
		if len(config.Key) > 0 {
			s.keys[t] = keyConfig{path: at + ".key", names: config.Key, broken: broken}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p.virtual(s, found[name], "tables."+name, set.Tables[name])
	}
	s.discover()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p.computedColumns(s, found[name], "tables."+name, set.Tables[name])
		p.filters(s, found[name], "tables."+name, set.Tables[name])
	}
	return s
}

// stray notes names that are declared for a table that is not there: that they are unknown
// elsewhere may only follow from that.
func (s *schema) stray(config *TableConfig) {
	if config == nil {
		return
	}
	for name := range config.Computed {
		s.astray[name] = true
	}
	for column := range config.Choices {
		s.astray[displayName(column)] = true
	}
	for name := range config.Relations {
		s.astray[name] = true
	}
}

// computedColumns checks the templates of a table's computed columns, used or not.
func (p *planner) computedColumns(s *schema, t *sources.Table, at string, config *TableConfig) {
	for _, name := range slices.Sorted(maps.Keys(config.Computed)) {
		tree := &tree{schema: s, at: func(t *sources.Table) *sources.Table { return t }, purpose: forFields}
		_, err := tree.root(t).compute(name)
		told, failed := errors.AsType[toldError](err)
		self, endless := errors.AsType[*selfError](err)
		switch {
		case !failed:
		case !endless:
			p.problems.addEach(at+".computed."+name, told.error)
		case self.table == t && self.name == name:
			p.problems.add(at+".computed."+name, "%v", self)
		}
	}
}

// filters checks the conditions of a table's relations, used or not.
func (p *planner) filters(s *schema, t *sources.Table, at string, config *TableConfig) {
	for _, name := range slices.Sorted(maps.Keys(config.Relations)) {
		r := s.relations[t][name]
		if r == nil || r.where == "" || config.Relations[name] == nil {
			continue
		}
		tree := &tree{schema: s, at: func(t *sources.Table) *sources.Table { return t }, purpose: forFields}
		child, err := tree.root(t).follow(r)
		if err != nil {
			continue // told with the relation
		}
		at := at + ".relations." + name + ".where"
		if child.filter.err != nil {
			p.problems.addEach(at, child.filter.err)
		}
		if s.endless[r] {
			p.problems.add(at, "the condition of relation %q needs the relation itself", name)
		}
	}
}

// virtual checks what a table is given beyond its columns.
func (p *planner) virtual(s *schema, t *sources.Table, at string, config *TableConfig) {
	for _, name := range slices.Sorted(maps.Keys(config.Computed)) {
		path := at + ".computed." + name
		if err := checkEngine(config.Computed[name].Engine, true); err != nil {
			p.problems.add(path+".engine", "%v", err)
		}
		switch {
		case t.Column(name) >= 0:
			p.problems.add(path, "table %s has a column of that name", t)
		case config.Computed[name].Text == "":
			s.broken[t] = append(s.broken[t], name)
			p.problems.add(path, "the template is empty")
		}
	}
	s.computed[t], s.includes[t] = config.Computed, config.Includes
	p.choices(s, t, at, config)
	for _, name := range slices.Sorted(maps.Keys(config.Relations)) {
		path, r := at+".relations."+name, config.Relations[name]
		switch {
		case t.Column(name) >= 0:
			p.problems.add(path, "table %s has a column of that name", t)
		case config.Computed[name].Text != "":
			p.problems.add(path, "table %s has a computed column of that name", t)
		case r == nil || r.Table == "":
			s.broken[t] = append(s.broken[t], name)
			p.problems.add(path+".table", "name the table")
		default:
			p.relation(path, r)
			s.declare(t, name, r, func(setting string, err error) { p.problems.add(path+"."+setting, "%v", err) })
		}
	}
}

// units finds the tables of each definition of a set.
func (p *planner) units(n int, set Set, s *schema) {
	for _, name := range slices.Sorted(maps.Keys(set.Indexes)) {
		u := newUnit(n, name, set.Indexes[name], s)
		d := u.def
		p.definition(&u)
		if d.Table == "" {
			p.problems.add(u.path("table"), "name the table")
			continue
		}
		tables, err := s.tables(d.Table)
		if err != nil {
			if d.Events == nil { // else it was told that it is over no table
				p.problems.add(u.path("table"), "%v", err)
			}
			continue
		}
		parsed, _ := parseTableName(d.Table) // find has parsed it
		u.glob, u.schemas = parsed.glob, spansSchemas(parsed, tables)
		if tables = only(tables, d.Only); len(tables) == 0 {
			p.problems.add(u.path("table"), "none of the tables %s is there any more", strings.Join(d.Only, ", "))
			continue
		}
		p.excluded(&u, tables)
		for _, t := range tables {
			one := u
			one.table = t
			one.warn = func(t *sources.Table, column string) { p.notLogged(&one, t, column) }
			one.fields = expandFields(d, t, s, one.warn)
			p.facets(&one)
			one.key = p.key(&one, s.keys[t])
			p.unitsFound = append(p.unitsFound, &one)
		}
	}
}

// facets adds the fields that follow from settings of others.
func (p *planner) facets(u *unit) {
	u.def.form().expand(u.def.Fields.Named, u.fields, func(name, setting, message string) {
		p.problems.add(u.path("fields", name, setting), "%s", message)
	})
}

// excluded checks that each excluded column is in one of the tables.
func (p *planner) excluded(u *unit, tables []*sources.Table) {
	var names []string
	for _, t := range tables {
		names = append(names, t.Names(every(len(t.Columns)))...)
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
	if d.Mode != "" && d.Mode != ModeAppend {
		p.problems.add(u.path("mode"), "must be append, or left out%s", conf.DidYouMean(d.Mode, []string{ModeAppend}))
	}
	if d.Partition != nil {
		d.Partition.check(u, &p.problems)
	}
	if d.KeepOld < 0 {
		p.problems.add(u.path("keep_old"), "must not be below 0")
	}
	if len(d.Exclude) > 0 && !d.Fields.All {
		p.problems.add(u.path("exclude"), `goes with fields: "*" only`)
	}
	if len(d.Fields.Named) == 0 && !d.Fields.All {
		p.problems.add(u.path("fields"), `name the fields, or write "*" for every column`)
	}
	if d.Events != nil {
		p.events(u)
	}
	d.form().check(u, &p.problems)
	if reason := p.badAlias(u.alias); reason != "" {
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

// badAlias says why the sink does not take a name; empty where it does.
func (p *planner) badAlias(alias string) string {
	if of := p.infer.rules.IndexName; of != nil {
		return of(alias)
	}
	return ""
}

// firstPass compiles a unit against the catalog's table to learn which columns
// are used.
func (p *planner) firstPass(u *unit, used map[*sources.Table][]bool) {
	before := len(p.problems)
	p.infer.warn = func(text string) {
		p.warn(preflight.Finding{Level: preflight.Warning, Subject: "index " + u.alias, Text: text})
	}
	tree := &tree{schema: u.schema, at: func(t *sources.Table) *sources.Table { return t }}
	out := u.compile(tree, p.infer, &p.problems)
	root := out.renderer.root
	if u.table.LogOnly && u.def.Mode != ModeAppend {
		p.problems.add(u.path("mode"), "must be append: the table %s keeps no rows, so that an index of what is in it would be empty", configName(u.table))
	}
	use(used, u.table, root.columns())
	for _, name := range u.key {
		used[u.table][u.table.Column(name)] = true
	}
	if len(p.problems) > before {
		return
	}
	u.root, u.joined, u.first = root, p.reasons(u, out), out
	root.all(func(s *scope) {
		if s.parent != nil {
			p.related(u, s)
			use(used, s.source, s.columns())
		}
	})
}

// keep notes what the row store has to hold for a unit.
func (p *planner) keep(u *unit) {
	if len(u.joined) == 0 {
		return
	}
	u.root.all(func(s *scope) {
		why := s.way()
		if s.parent == nil {
			why = strings.Join(u.joined, "; ")
		}
		p.storages[u.set].add(s, "index "+u.alias+": "+why)
	})
}

// stayStored has the documents of a saved set rendered from stored rows as they were, also where that was only for
// what another definition needs of their table: the row store's versions are ahead of the log's, so that what
// is rendered from the log would be refused as older.
func (p *planner) stayStored(set int) {
	if set == 0 || !p.sets[set].Stored || slices.ContainsFunc(p.unitsFound, func(u *unit) bool { return u.set == set && len(u.joined) > 0 }) {
		return
	}
	for _, u := range p.unitsFound {
		if u.set == set {
			u.joined = append(u.joined, "its documents were rendered from stored rows")
		}
	}
}

// reasons says why a unit's documents are rendered from stored rows; nothing
// where they need not be.
func (p *planner) reasons(u *unit, out compiled) []string {
	var why []string
	if names := out.renderer.root.relations(); len(names) > 0 {
		why = append(why, "it follows "+strings.Join(names, ", "))
	}
	if w := out.renderer.where; w != nil && w.expression.Timed() {
		why = append(why, "its where depends on the time")
	}
	why = append(why, out.outside...)
	if !p.completes(u.set) || u.table.Identity == sources.IdentityFull {
		return why
	}
	for i, c := range u.table.Columns {
		if out.renderer.root.used[i] != 0 && c.MayBeMissing && !u.table.CarriesOld(i) {
			why = append(why, "the log may leave out the value of column "+c.Name)
		}
	}
	return why
}

// related checks that the rows of a table that relations lead to can be followed.
func (p *planner) related(u *unit, s *scope) {
	one := *u
	one.table = s.source
	if p.key(&one, u.schema.keys[s.source]) == nil {
		p.keyless[s.source] = true
	}
	p.compared(s.source, s.step().to)
}

// compared warns of columns that rows are found by and that the server compares in
// a way of its own.
func (p *planner) compared(t *sources.Table, columns []string) {
	for _, name := range columns {
		if c := t.Columns[t.Column(name)]; comparisonOf(&c).caseless {
			p.warn(preflight.Finding{
				Level: preflight.Warning, Subject: "table " + t.String(),
				Text: "rows are found by column " + name + " without regard to case; accents count there, even where its collation leaves them out",
			})
		}
	}
}

// warn notes a finding once.
func (p *planner) warn(f preflight.Finding) {
	if !slices.Contains(p.plan.Warnings, f) {
		p.plan.Warnings = append(p.plan.Warnings, f)
	}
}

func (p *planner) notLogged(u *unit, t *sources.Table, column string) {
	p.warn(preflight.Finding{
		Level: preflight.Warning, Subject: "index " + u.alias,
		Text: "column " + column + " of table " + t.String() + ` is computed by the server and absent from its log; fields: "*" leaves it out`,
	})
}

// project makes the plan's tables, each with the columns in use.
func (p *planner) project(used map[*sources.Table][]bool) map[*sources.Table]*sources.Table {
	projected := map[*sources.Table]*sources.Table{}
	for _, t := range slices.SortedFunc(maps.Keys(used), compareTables) {
		small := t.Project(func(i int) bool { return i < len(used[t]) && used[t][i] })
		small.Ordinal = len(p.plan.Tables)
		for _, g := range p.storages {
			if keys := g.keys[t]; keys != nil {
				small.Key = places(small, keys)
				break
			}
		}
		for _, u := range p.unitsFound {
			if u.table == t { // the first set's key gives the order of snapshots
				small.Key = places(small, u.key)
				break
			}
		}
		p.plan.Tables = append(p.plan.Tables, small)
		projected[t] = small
	}
	return projected
}
