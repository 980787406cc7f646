package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"haystream/internal/conf"
	"haystream/sources"
)

// A relation leads from the rows of a table to those of another one.
type relation struct {
	name     string
	steps    []step // two through a table, else one
	many     bool
	unique   bool // at most one row has the values that lead to it
	order    []ordering
	where    string
	limit    int
	distinct bool
}

// A step leads to the rows of a table where the values of to are those of from.
type step struct {
	from  []string
	table *sources.Table
	to    []string
}

// An ordering is one column that related rows are sorted by.
type ordering struct {
	column  string
	reverse bool
	between bool // of the row in between
}

// A schema is what a set says of the tables, beside the catalog.
type schema struct {
	catalog   []*sources.Table
	lookup    tableNames
	views     []sources.View
	keys      map[*sources.Table]keyConfig
	computed  map[*sources.Table]map[string]Template
	includes  map[*sources.Table]map[string]string            // files of computed columns' templates
	choices   map[*sources.Table]map[string]map[string]string // labels, by column and value
	zone      *time.Location                                  // of times; nil for UTC
	relations map[*sources.Table]map[string]*relation
	broken    map[*sources.Table][]string // names of relations and computed columns whose mistakes are told where they are declared

	ambiguous map[*sources.Table]map[string][]*relation // what foreign keys would have given one name
	astray    map[string]bool                           // names that the configuration gives to tables that are not there

	endless   map[*relation]bool      // their conditions follow themselves
	unsure    map[*sources.Table]bool // what the configuration says of them was not understood
	allUnsure bool
}

// isUnsure reports whether a table may have more than is known of it.
func (s *schema) isUnsure(t *sources.Table) bool { return s.allUnsure || s.unsure[t] }

// key names the columns that identify a row; none where nothing does.
func (s *schema) key(t *sources.Table) []string {
	if k := s.keys[t]; k.names != nil {
		return k.names
	}
	return t.Names(t.Key)
}

// names lists what a definition can name at a row of the table.
func (s *schema) names(t *sources.Table) []string {
	names := t.Names(every(len(t.Columns)))
	names = slices.AppendSeq(names, maps.Keys(s.computed[t]))
	names = append(names, s.displayNames(t)...)
	names = slices.AppendSeq(names, maps.Keys(s.relations[t]))
	slices.Sort(names)
	return slices.Compact(names)
}

// knows reports whether a path begins with something that rows of the table have.
func (s *schema) knows(t *sources.Table, path string) bool {
	head, _, _ := strings.Cut(path, ".")
	return t.Column(path) >= 0 || slices.Contains(s.names(t), head) || s.relation(t, head) != nil
}

func every(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// tables returns those that a name stands for. One that is a view's is said to be.
func (s *schema) tables(name string) ([]*sources.Table, error) {
	found, err := s.lookup.find(s.catalog, name)
	if err == nil {
		return found, nil
	}
	var refusal string
	parsed, _ := parseTableName(name) // find has parsed it
	for i := range s.views {
		v := &s.views[i]
		if parsed.matches(&sources.Table{Schema: v.Schema, Name: v.Name}) && (refusal == "" || v.Home) {
			refusal = v.Refusal()
		}
	}
	if refusal != "" {
		return nil, errors.New(refusal)
	}
	return nil, err
}

// find returns the table of the catalog that a name stands for.
func (s *schema) find(name string) (*sources.Table, error) {
	if parsed, err := parseTableName(name); err == nil && parsed.glob {
		return nil, errGlob
	}
	found, err := s.tables(name)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Discover returns the relations of each table that its foreign keys make without being
// declared, by name, each as configuration would declare it in full.
func Discover(catalog []*sources.Table) map[*sources.Table]map[string]*Relation {
	s := &schema{catalog: catalog, relations: map[*sources.Table]map[string]*relation{}}
	s.discover()
	found := map[*sources.Table]map[string]*Relation{}
	for t, all := range s.relations {
		found[t] = map[string]*Relation{}
		for name, r := range all {
			found[t][name] = r.save()
		}
	}
	return found
}

// discover adds a relation for each foreign key: user for the column user_id,
// else the name of the table that it refers to. A name that two could have, or
// that is a column's or declared, stands for none.
func (s *schema) discover() {
	for _, t := range s.catalog {
		found := map[string][]*relation{}
		for i := range t.ForeignKeys {
			k := &t.ForeignKeys[i]
			name := k.Table
			if stem, ok := strings.CutSuffix(k.Columns[0], "_id"); ok && len(k.Columns) == 1 && stem != "" {
				name = stem
			}
			if target := s.tableOf(k); target != nil {
				found[name] = append(found[name], &relation{name: name, steps: []step{{from: k.Columns, table: target, to: k.Targets}}})
			}
		}
		for name, all := range found {
			if len(all) > 1 {
				if s.ambiguous == nil {
					s.ambiguous = map[*sources.Table]map[string][]*relation{}
				}
				if s.ambiguous[t] == nil {
					s.ambiguous[t] = map[string][]*relation{}
				}
				s.ambiguous[t][name] = all
				continue
			}
			if s.relations[t][name] != nil || s.computed[t][name].Text != "" || t.Column(name) >= 0 || slices.Contains(s.broken[t], name) {
				continue
			}
			if step := all[0].steps[0]; joinable(t, step.from, step.table, step.to) == nil {
				all[0].unique = sameNames(step.to, s.key(step.table))
				s.add(t, all[0])
			}
		}
	}
}

func (s *schema) add(t *sources.Table, r *relation) {
	if s.relations[t] == nil {
		s.relations[t] = map[string]*relation{}
	}
	s.relations[t][r.name] = r
}

// tableOf is the table that a foreign key refers to.
func (s *schema) tableOf(k *sources.ForeignKey) *sources.Table {
	i := slices.IndexFunc(s.catalog, func(t *sources.Table) bool { return t.Schema == k.Schema && t.Name == k.Table })
	if i < 0 {
		return nil
	}
	return s.catalog[i]
}

// declare adds the relation that the configuration declares for a table.
func (s *schema) declare(t *sources.Table, name string, config *Relation, fail func(setting string, err error)) {
	r := &relation{name: name, many: config.many(), where: config.Where, limit: config.Limit, distinct: config.Distinct}
	s.broken[t] = append(s.broken[t], name) // until it is sound
	target, err := s.find(config.Table)
	if err != nil {
		fail("table", err)
		return
	}
	switch {
	case config.Through != "":
		r.steps, err = s.through(t, target, config, fail)
	case r.many:
		var k reference
		if k, err = s.refer(target, config.Column, t, config.TargetColumn); err == nil {
			r.steps = []step{{from: k.to, table: target, to: k.from}}
		}
	default:
		var k reference
		if k, err = s.refer(t, config.Column, target, config.TargetColumn); err == nil {
			r.steps = []step{{from: k.from, table: target, to: k.to}}
		}
	}
	if err != nil {
		setting := "column"
		if _, ok := errors.AsType[targetError](err); ok && len(config.TargetColumn) > 0 && config.Through == "" {
			setting = "target_column"
		}
		fail(setting, s.meant(t, target, config, err))
		return
	}
	if len(r.steps) > 0 {
		s.order(r, config, fail)
		s.broken[t] = slices.DeleteFunc(s.broken[t], func(n string) bool { return n == name })
		s.add(t, r)
	}
}

// order resolves the columns that rows of a relation are sorted by.
func (s *schema) order(r *relation, config *Relation, fail func(string, error)) {
	last := r.steps[len(r.steps)-1]
	r.unique = len(r.steps) == 1 && sameNames(last.to, s.key(last.table))
	if r.unique && len(config.OrderBy) > 0 && len(config.TargetColumn) > 0 {
		fail("order_by", fmt.Errorf("sorts rows, and this relation leads to one: %s is the key of table %s", listed(last.to), last.table))
		return
	}
	for _, name := range config.OrderBy {
		o, at := ordering{column: name}, last.table
		if at.Column(name) < 0 {
			o.column, o.reverse = strings.CutPrefix(name, "-")
		}
		if column, ok := strings.CutPrefix(o.column, throughName+"."); ok && len(r.steps) == 2 && at.Column(o.column) < 0 {
			o.column, o.between, at = column, true, r.steps[0].table
		}
		if _, err := newScope(at).use(o.column); err != nil {
			fail("order_by", err)
			continue
		}
		r.order = append(r.order, o)
	}
}

// through finds the two references that the rows of a table in between make.
func (s *schema) through(t, target *sources.Table, config *Relation, fail func(string, error)) ([]step, error) {
	between, err := s.find(config.Through)
	if err != nil {
		fail("through", err)
		return nil, nil
	}
	if err := s.exchanged(between, t, target, config); err != nil {
		return nil, err
	}
	own, err := s.refer(between, config.Column, t, nil)
	other, otherErr := s.refer(between, config.TargetColumn, target, nil)
	if otherErr != nil {
		fail("target_column", s.meantThrough(target, otherErr))
	}
	if err != nil || otherErr != nil {
		return nil, err
	}
	return []step{{from: own.to, table: between, to: own.from}, {from: other.from, table: target, to: other.to}}, nil
}

// keysTo are the foreign keys of a table that refer to another one.
func (s *schema) keysTo(t, other *sources.Table) []*sources.ForeignKey {
	var keys []*sources.ForeignKey
	for i := range t.ForeignKeys {
		if k := &t.ForeignKeys[i]; s.tableOf(k) == other {
			keys = append(keys, k)
		}
	}
	return keys
}

// A reference is the columns of one table that refer to those of another.
type reference struct{ from, to []string }

// refer finds how rows of a table refer to those of another: by the given
// columns, or by the one foreign key that does.
func (s *schema) refer(t *sources.Table, columns []string, other *sources.Table, targets []string) (reference, error) {
	keys := slices.DeleteFunc(s.keysTo(t, other), func(k *sources.ForeignKey) bool {
		return len(columns) > 0 && !slices.Equal(columns, k.Columns) || len(targets) > 0 && !slices.Equal(targets, k.Targets)
	})
	r := reference{from: columns, to: targets}
	switch {
	case len(columns) == 0 && len(keys) == 0:
		return r, &noKeyError{t, other}
	case len(columns) == 0 && len(keys) > 1:
		return r, fmt.Errorf("several foreign keys of table %s refer to %s; name the column: %s", t, other, foreignColumns(keys))
	case len(columns) == 0:
		r.from, r.to = keys[0].Columns, keys[0].Targets
	case len(targets) == 0 && len(keys) > 0:
		r.to = keys[0].Targets
	case len(targets) == 0 && s.keys[other].broken:
		return r, toldError{fmt.Errorf("the key of table %s is not known", other)}
	case len(targets) == 0:
		r.to = s.key(other)
	}
	return r, joinable(t, r.from, other, r.to)
}

func foreignColumns(keys []*sources.ForeignKey) string {
	var names []string
	for _, k := range keys {
		names = append(names, strings.Join(k.Columns, " and "))
	}
	return strings.Join(names, ", ")
}

// A targetError is about a column that is referred to, not one that refers to it.
type targetError struct{ error }

func (e targetError) Unwrap() error { return e.error }

// joinable reports why values of columns of two tables cannot be looked up by
// each other; nil where they can.
func joinable(t *sources.Table, columns []string, other *sources.Table, targets []string) error {
	if len(columns) != len(targets) {
		return fmt.Errorf("%s of table %s refers to %s of table %s: their numbers differ", listed(columns), t, listed(targets), other)
	}
	for i := range columns {
		a, err := newScope(t).use(columns[i])
		if err != nil {
			return err
		}
		b, err := newScope(other).use(targets[i])
		if err != nil {
			return targetError{err}
		}
		x, y := &t.Columns[a].Type, &other.Columns[b].Type
		if k := joinKind(x); k == sources.JSON || k != joinKind(y) {
			return fmt.Errorf("column %q of table %s is %s, and %q of table %s is %s; values of the two are never equal", columns[i], t, x.SQL, targets[i], other, y.SQL)
		}
		if x, y := &t.Columns[a], &other.Columns[b]; comparisonOf(x).caseless != comparisonOf(y).caseless {
			return fmt.Errorf("letter case counts in only one of column %q of table %s and %q of table %s; give the two one collation", columns[i], t, targets[i], other)
		}
	}
	return nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, " and ")
}

// joinKind is one kind for all types whose values can be equal; JSON for those
// that nothing is looked up by.
func joinKind(t *sources.Type) sources.Kind {
	switch t.Kind {
	case sources.Bool, sources.Int, sources.Decimal:
		return sources.Int
	case sources.Date, sources.Timestamp:
		return sources.Timestamp
	case sources.Text, sources.Keyword, sources.Inet:
		return sources.Text
	case sources.TimestampTZ, sources.Bytes:
		return t.Kind
	}
	return sources.JSON
}

// save is the relation as configuration declares it, in full.
func (r *relation) save() *Relation {
	last := r.steps[len(r.steps)-1]
	saved := &Relation{Table: configName(last.table), Where: r.where, Limit: r.limit, Distinct: r.distinct}
	if r.many || len(r.steps) == 2 {
		saved.Many = &r.many
	}
	switch {
	case len(r.steps) == 2:
		saved.Through = configName(r.steps[0].table)
		saved.Column, saved.TargetColumn = r.steps[0].to, last.from
	case r.many:
		saved.Column, saved.TargetColumn = last.to, last.from
	default:
		saved.Column, saved.TargetColumn = last.from, last.to
	}
	for _, o := range r.order {
		name := o.column
		if o.between {
			name = throughName + "." + name
		}
		if o.reverse {
			name = "-" + name
		}
		saved.OrderBy = append(saved.OrderBy, name)
	}
	return saved
}

// unknownName is the error for a name that stands for nothing at a table's rows.
func (s *scope) unknownName(name string) error {
	if s.tree != nil && slices.Contains(s.tree.schema.broken[s.source], name) {
		return toldError{fmt.Errorf("%q of %s is not sound", name, s.table)}
	}
	switch {
	case s.tree == nil:
	case s.tree.schema.astray[name]:
		return toldError{fmt.Errorf("%q is declared for a table that is not there", name)}
	case s.tree.schema.computed[s.source][name].Text != "":
		return fmt.Errorf("%q is a computed column of %s: a text, into which no path leads", name, s.table)
	case s.tree.schema.relations[s.source][name] != nil:
		return fmt.Errorf("%q is a relation of %s; write it and a dot before a column of the rows that it leads to", name, s.table)
	}
	if s.tree != nil && s.tree.schema.isUnsure(s.source) && conf.Nearest(name, s.names()) == "" {
		return toldError{fmt.Errorf("not all is known that %s has", s.table)}
	}
	return fmt.Errorf("no column %q in %s%s", name, s.table, s.remedy(name))
}

// remedy says what a name may have been meant for.
func (s *scope) remedy(name string) string {
	if column, ok := strings.CutSuffix(name, "_display"); ok && strings.HasPrefix(column, "get_") && s.table.Column(column[4:]) >= 0 {
		return fmt.Sprintf("; the labels of %s are declared by choices: {%s: {VALUE: LABEL}} under tables.%s", column[4:], column[4:], TableName(s.source))
	}
	if s.tree != nil {
		if unnamed := s.tree.schema.unnamed(s.source, name); unnamed != "" {
			return unnamed
		}
	}
	if near := conf.DidYouMean(name, s.names()); near != "" {
		return near
	}
	if strings.HasPrefix(name, "get_") || strings.HasPrefix(name, "__") {
		return fmt.Sprintf("; what a method gives is declared by computed: {%s: TEMPLATE} under tables.%s", name, TableName(s.source))
	}
	return ""
}
