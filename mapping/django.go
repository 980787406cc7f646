package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/mapping/template/django"
	"haystream/sources"
)

// djangoScope shows a scope to templates of Django's, which read columns from
// rows without boxing them.
type djangoScope struct {
	*scope
	found *[]int // the columns of the row itself that are read; nil below it
}

// Member looks a name up.
func (d *djangoScope) Member(name string) (django.Member, error) {
	s := d.scope
	if name == "pk" && !s.Has(name) && !s.unknown() {
		key := s.tree.schema.key(s.source)
		if len(key) != 1 {
			return django.Member{}, fmt.Errorf("pk stands for a key of one column, and that of %s has %d", s.table, len(key))
		}
		name = key[0]
	}
	m, err := s.look(name)
	if err != nil {
		return django.Member{}, err
	}
	switch {
	case m.computed != nil:
		return d.computed(m.computed), nil
	case m.rows.scope != nil:
		return d.related(m.rows), nil
	}
	s.seen[m.column] |= s.purpose()
	if d.found != nil && !slices.Contains(*d.found, m.column) {
		*d.found = append(*d.found, m.column)
	}
	if s.unknown() {
		return django.Member{Value: func(django.Env, django.Row) (django.Value, error) { return django.None(), nil }}, nil
	}
	i := m.column
	return django.Member{Type: django.TypeOf(&s.column(i).Type), Value: func(env django.Env, row django.Row) (django.Value, error) {
		scratch, at := unpack(env, row)
		if err := scratch.decodable(s.table, i, at.row); err != nil {
			return django.Value{}, err
		}
		return s.read(i, at.row)
	}}, nil
}

// read is a column's value as Django's fields have it.
func (s *scope) read(i int, row sources.Row) (django.Value, error) {
	c, text := s.column(i), row.Text(i)
	if s.tree != nil && s.tree.uuids && text != nil && isHexUUID(&c.Type) {
		text = appendUUID(nil, text)
	}
	v, err := django.Column(&c.Type, text)
	if err != nil {
		return v, fmt.Errorf("read column %s: %w", c.Name, err)
	}
	if s.tree != nil && s.tree.useTZ != nil {
		v = v.UseTZ(*s.tree.useTZ, s.zone())
	}
	return v, nil
}

// unpack is what functions of members are called with.
func unpack(env django.Env, row django.Row) (*Scratch, *loaded) {
	s, _ := env.(*Scratch)
	at, _ := row.(*loaded)
	return s, at
}

// computed is a computed column, computed where it is read.
func (d *djangoScope) computed(c *computedColumn) django.Member {
	at, p := d.scope, d.purposeNumber()
	member := django.Member{Type: django.TextType}
	if c.choices != nil {
		member.Type = django.AnyType // what has no label is the value itself
	}
	member.Value = func(env django.Env, row django.Row) (django.Value, error) {
		s, of := unpack(env, row)
		if c.choices != nil {
			text := of.row.Text(c.column)
			if label, ok := c.choices[string(text)]; ok && text != nil {
				return django.Text(label), nil
			}
			return at.read(c.column, of.row)
		}
		text, err := s.compute(c, at, of, p)
		return django.Text(text), err
	}
	return member
}

// related are the rows that a relation leads to.
func (d *djangoScope) related(rows shape) django.Member {
	at, child := d.scope, slices.Index(d.children, rows.scope)
	return django.Member{Scope: &djangoScope{scope: rows.scope}, Many: rows.many, Rows: func(env django.Env, row django.Row, dst []django.Row) ([]django.Row, error) {
		s, from := unpack(env, row)
		found, err := s.related(at, from, child)
		for _, r := range found {
			dst = append(dst, r)
		}
		return dst, err
	}}
}

// compute is a computed column of a row.
func (s *Scratch) compute(c *computedColumn, at *scope, row *loaded, p int) (string, error) {
	var values map[string]any
	if c.template.golang != nil {
		values = map[string]any{}
		if err := s.fillBefore(c.place, values, at, row.row, row, p); err != nil { // none that reads this one
			return "", err
		}
	}
	return s.computeFrom(c, row, values)
}

// computeFrom is a computed column of a row whose values are boxed already.
func (s *Scratch) computeFrom(c *computedColumn, row *loaded, values map[string]any) (string, error) {
	out := s.computed[:0]
	s.computed = nil // the template may compute others
	err := c.template.run(s, row, values, &out)
	text := string(out)
	s.computed = out
	if err != nil {
		err = fmt.Errorf("computed column %s: %w", c.name, err)
	}
	return text, err
}

// relation is what a name leads to from rows of a table: a relation that is declared
// or found in the catalog, else one that Django would give the name to. nil for none.
func (s *schema) relation(t *sources.Table, name string) *relation {
	if r := s.relations[t][name]; r != nil || name == "" {
		return r
	}
	r := s.reverse(t, name)
	if r == nil {
		r = s.manyToMany(t, name)
	}
	if r != nil {
		r.name, r.many = name, true
		s.add(t, r)
	}
	return r
}

// reverse finds the table whose rows refer to those of t, by the name that Django
// gives them: model_set, where the table is model or app_model.
func (s *schema) reverse(t *sources.Table, name string) *relation {
	model, ok := strings.CutSuffix(name, "_set")
	if !ok || model == "" {
		return nil
	}
	var found []*relation
	for _, other := range s.catalog {
		if other.Name != model && !strings.HasSuffix(other.Name, "_"+model) {
			continue
		}
		for _, k := range s.back(other, t) {
			found = append(found, &relation{steps: []step{{from: k.Targets, table: other, to: k.Columns}}})
		}
	}
	if len(found) != 1 {
		return nil // which one is not told
	}
	return found[0]
}

// manyToMany finds the table in between that Django makes for a field of many rows:
// table_field, which refers to both.
func (s *schema) manyToMany(t *sources.Table, name string) *relation {
	for _, between := range s.catalog {
		if between.Schema != t.Schema || between.Name != t.Name+"_"+name || len(between.ForeignKeys) != 2 {
			continue
		}
		own := s.back(between, t)
		if len(own) == 0 {
			return nil
		}
		i := slices.IndexFunc(own, func(k *sources.ForeignKey) bool { return strings.HasPrefix(k.Columns[0], "from_") })
		first := own[max(i, 0)]
		for n := range between.ForeignKeys {
			k := &between.ForeignKeys[n]
			target := s.tableOf(k)
			if k == first || target == nil || joinable(between, k.Columns, target, k.Targets) != nil {
				continue
			}
			return &relation{steps: []step{{from: first.Targets, table: between, to: first.Columns}, {from: k.Columns, table: target, to: k.Targets}}}
		}
	}
	return nil
}

// back are the foreign keys of a table that refer to another one and can be
// followed back.
func (s *schema) back(other, t *sources.Table) []*sources.ForeignKey {
	var keys []*sources.ForeignKey
	for _, k := range s.keysTo(other, t) {
		if joinable(t, k.Targets, other, k.Columns) == nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// isComputed reports whether a name is a computed column's.
func (s *schema) isComputed(t *sources.Table, name string) bool {
	_, labels := s.choicesOf(t, name)
	return s.computed[t][name].Text != "" || labels != nil
}

// choicesOf is the column, with its labels, that get_COLUMN_display is of; nil for none.
func (s *schema) choicesOf(t *sources.Table, name string) (column string, labels map[string]string) {
	column = strings.TrimSuffix(strings.TrimPrefix(name, "get_"), "_display")
	if name != displayName(column) || s.computed[t][name].Text != "" {
		return "", nil
	}
	return column, s.choices[t][column]
}

// displayName is the computed column that labels of a column make.
func displayName(column string) string { return "get_" + column + "_display" }

// displayNames are the computed columns that choices make.
func (s *schema) displayNames(t *sources.Table) []string {
	var names []string
	for column := range s.choices[t] {
		names = append(names, displayName(column))
	}
	return names
}

// computedText is the template of a computed column. It gives a value, not HTML.
func (s *schema) computedText(t *sources.Table, name string) templateText {
	c := s.computed[t][name]
	return templateText{text: c.Text, engine: c.Engine, plain: true, includes: s.includes[t]}
}

// choices checks the labels of a table's columns.
func (p *planner) choices(s *schema, t *sources.Table, at string, config *TableConfig) {
	for _, column := range slices.Sorted(maps.Keys(config.Choices)) {
		if t.Column(column) < 0 {
			p.problems.add(at+".choices."+column, "no column %q in %s%s", column, t, conf.DidYouMean(column, t.Names(every(len(t.Columns)))))
		}
	}
	s.choices[t] = config.Choices
}
