package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"haystream/internal/conf"
	"haystream/sources"
)

// A noKeyError says that no foreign key leads from one table to another.
type noKeyError struct{ from, to *sources.Table }

func (e *noKeyError) Error() string {
	return fmt.Sprintf("no foreign key of table %s refers to %s; name the column that does", e.from, e.to)
}

// meant says what a declaration most likely meant that names no reference between its
// tables: the other table refers to this one, or a third one to both.
func (s *schema) meant(t, target *sources.Table, config *Relation, err error) error {
	if config.Through != "" {
		return s.meantThrough(t, err)
	}
	from, to := t, target
	if config.many() {
		from, to = target, t
	}
	if _, ok := errors.AsType[*noKeyError](err); ok {
		if found := s.declarations(t, target, !config.many()); len(found) > 0 {
			return fmt.Errorf("no foreign key of table %s refers to %s, but %s does to %s; write %s", from, to, to, from, strings.Join(found, " or "))
		}
		if found := s.linked(t, target); len(found) > 0 {
			return fmt.Errorf("no foreign key of table %s refers to %s, but a table in between does to both; write %s", from, to, strings.Join(found, " or "))
		}
		return err
	}
	if missing(from, config.Column) && has(to, config.Column) {
		meant := &Relation{Table: TableName(target), Column: config.Column, Many: manyOf(!config.many())}
		return fmt.Errorf("no column %s in %s, but in %s; write %s", quoted(config.Column), from, to, meant.String())
	}
	return err
}

// meantThrough does so for a side of a relation through a table in between.
func (s *schema) meantThrough(side *sources.Table, err error) error {
	none, ok := errors.AsType[*noKeyError](err)
	if !ok || len(s.keysTo(side, none.from)) == 0 {
		return err
	}
	return fmt.Errorf("no foreign key of table %s refers to %s, but the other way round; through names a table whose rows refer to both sides: "+
		"where they are referred to, make a relation to each table, and write a path along them", none.from, side)
}

// exchanged reports columns of a table in between that each refer to the other side.
func (s *schema) exchanged(between, t, target *sources.Table, config *Relation) error {
	refers := func(columns []string, to *sources.Table) bool {
		return slices.ContainsFunc(s.keysTo(between, to), func(k *sources.ForeignKey) bool { return slices.Equal(k.Columns, columns) })
	}
	if t == target || !refers(config.Column, target) || !refers(config.TargetColumn, t) {
		return nil
	}
	return fmt.Errorf("column refers to the own row, and %s of table %s refers to %s; exchange column and target_column", listed(config.Column), between, target)
}

// declarations are the relations from a table to another one that foreign keys between
// the two make: those of the other one where many is set, else those of its own.
func (s *schema) declarations(t, target *sources.Table, many bool) []string {
	var found []string
	from, to := t, target
	if many {
		from, to = target, t
	}
	for _, k := range s.keysTo(from, to) {
		r := &Relation{Table: TableName(target), Column: k.Columns, Many: manyOf(many)}
		if many && sameNames(k.Columns, s.key(from)) { // one row, then
			r.Many, r.Column, r.TargetColumn = nil, k.Targets, k.Columns
		}
		found = append(found, r.String())
	}
	return found
}

// linked are the relations from a table to another one through tables that refer to both.
func (s *schema) linked(t, target *sources.Table) []string {
	var found []string
	for _, between := range s.catalog {
		for _, own := range s.keysTo(between, t) {
			for _, other := range s.keysTo(between, target) {
				if own != other && between != t && between != target {
					r := &Relation{Table: TableName(target), Through: TableName(between), Column: own.Columns, TargetColumn: other.Columns}
					found = append(found, r.String())
				}
			}
		}
	}
	return found
}

// String is the relation as configuration writes it, on one line.
func (r *Relation) String() string {
	parts := []string{"table: " + conf.Quote(r.Table)}
	if r.Through != "" {
		parts = append(parts, "through: "+conf.Quote(r.Through))
	}
	if len(r.Column) > 0 {
		parts = append(parts, "column: "+conf.QuoteList(r.Column))
	}
	if len(r.TargetColumn) > 0 {
		parts = append(parts, "target_column: "+conf.QuoteList(r.TargetColumn))
	}
	if r.Many != nil {
		parts = append(parts, "many: "+strconv.FormatBool(*r.Many))
	}
	if len(r.OrderBy) > 0 {
		parts = append(parts, "order_by: "+conf.QuoteList(r.OrderBy))
	}
	if r.Where != "" {
		parts = append(parts, "where: "+conf.Quote(r.Where))
	}
	if r.Limit > 0 {
		parts = append(parts, "limit: "+strconv.Itoa(r.Limit))
	}
	if r.Distinct {
		parts = append(parts, "distinct: true")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// manyOf is what a relation without a table in between says under many.
func manyOf(many bool) *bool {
	if many {
		return &many
	}
	return nil
}

// referring says what to write instead of a path that goes on from a column which refers to
// rows of a table; empty where it does not.
func (s *schema) referring(t *sources.Table, column string) string {
	for i := range t.ForeignKeys {
		k := &t.ForeignKeys[i]
		target := s.tableOf(k)
		if target == nil || len(k.Columns) != 1 || k.Columns[0] != column {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(s.relations[t])) {
			if r := s.relations[t][name]; len(r.steps) == 1 && r.steps[0].table == target && slices.Equal(r.steps[0].from, k.Columns) {
				return fmt.Sprintf("; the row of table %s that it refers to is at %s", target, name)
			}
		}
		r := &Relation{Table: TableName(target), Column: k.Columns}
		return fmt.Sprintf("; for the row of table %s that it refers to declare a relation under tables.%s.relations, such as %s: %s", target, TableName(t), conf.QuoteKey(column+"_row"), r)
	}
	return ""
}

// unnamed says what to declare for a name that several foreign keys could have given; empty where none could.
func (s *schema) unnamed(t *sources.Table, name string) string {
	all := s.ambiguous[t][name]
	if len(all) == 0 {
		return ""
	}
	declared := make([]string, len(all))
	for i, r := range all {
		step := r.steps[0]
		relation := &Relation{Table: TableName(step.table), Column: step.from}
		declared[i] = conf.QuoteKey(strings.Join(step.from, "_")+"_row") + ": " + relation.String()
	}
	return fmt.Sprintf("; several foreign keys lead to rows of that name, so declare a relation for each under tables.%s.relations, such as %s", TableName(t), strings.Join(declared, " and "))
}

func quoted(names []string) string {
	words := slices.Clone(names)
	for i := range words {
		words[i] = strconv.Quote(words[i])
	}
	return strings.Join(words, " and ")
}

// TableName is a table's name as configuration writes it, with the schema where a name
// without one is looked up elsewhere.
func TableName(t *sources.Table) string {
	if t.Home {
		return quoteName(t.Name)
	}
	return configName(t)
}

func missing(t *sources.Table, columns []string) bool {
	return !slices.ContainsFunc(columns, func(name string) bool { return t.Column(name) >= 0 })
}

func has(t *sources.Table, columns []string) bool {
	return len(columns) > 0 && !slices.ContainsFunc(columns, func(name string) bool { return t.Column(name) < 0 })
}
