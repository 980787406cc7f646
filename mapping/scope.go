package mapping

import (
	"fmt"
	"slices"
	"strings"

	"haystream/mapping/expression"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A purpose is what a definition reads a value for.
type purpose uint8

const (
	forFields purpose = 1 << iota
	forWhere
	forName // id and routing
)

// Purposes as numbers, and how many there are.
const (
	fieldsNumber = iota
	whereNumber
	nameNumber
	purposes
)

// A scope is what names mean at one place of a definition's tree of rows: its
// root, or where a relation leads to. It notes what is used there.
type scope struct {
	table  *sources.Table // as compiled against: the catalog's, or projected
	source *sources.Table // the catalog's
	tree   *tree          // nil: only the table's columns have names here

	used  []purpose // by column
	boxed []purpose // by column: what templates and expressions read

	parent   *scope
	relation *relation
	down, up lookup // from the parent's row to those here, and back
	between  bool   // rows of the table that a relation goes through
	many     bool   // of a table in between there are many, of what it leads to one each
	order    []sortColumn
	shown    purpose // templates and expressions see the rows
	children []*scope
	computed []*computedColumn

	plan [purposes]boxing // made by settle
}

// A tree is what all scopes of one definition share.
type tree struct {
	schema  *schema
	at      func(*sources.Table) *sources.Table // the table to compile against
	purpose purpose                             // of what is being compiled
	stored  map[*sources.Table]*rowstore.Table  // nil in the first pass
}

// A lookup finds the rows of a table by values of another one's row.
type lookup struct {
	table *rowstore.Table
	index int   // of the table; -1 for its key
	args  []int // columns of the other row, in the order of the index
}

// A sortColumn is one column that rows are sorted by.
type sortColumn struct {
	column  int
	reverse bool
}

// A computedColumn is a virtual column of a scope that is used.
type computedColumn struct {
	name     string
	template *textTemplate // nil while it is compiled
	purpose  purpose
	compiled purpose // what its template was compiled for
	err      error
}

// boxing is what templates and expressions of one purpose see of a row.
type boxing struct {
	columns  []int
	children []int
	computed []*computedColumn // each after those that it reads
}

// newScope returns a scope that knows the columns of a table only.
func newScope(t *sources.Table) *scope {
	return &scope{table: t, source: t, used: make([]purpose, len(t.Columns)), boxed: make([]purpose, len(t.Columns))}
}

// root returns the scope of a definition's own rows.
func (t *tree) root(table *sources.Table) *scope {
	s := newScope(t.at(table))
	s.source, s.tree = table, t
	return s
}

func (s *scope) column(i int) *sources.Column { return &s.table.Columns[i] }

// columns tells which of the table's are used.
func (s *scope) columns() []bool {
	used := make([]bool, len(s.used))
	for i, purposes := range s.used {
		used[i] = purposes != 0
	}
	return used
}

func (s *scope) names() []string {
	if s.tree != nil {
		return s.tree.schema.names(s.source)
	}
	return s.table.Names(every(len(s.table.Columns)))
}

func (s *scope) purpose() purpose {
	if s.tree == nil {
		return forFields
	}
	return s.tree.purpose
}

// use returns the named column's index and notes its use.
func (s *scope) use(name string) (int, error) {
	if s.unknown() {
		return 0, nil
	}
	i := s.table.Column(name)
	if i < 0 {
		return -1, s.unknownName(name)
	}
	if s.table.Columns[i].NotLogged {
		return -1, fmt.Errorf("column %q of table %s is computed by the server and absent from its log, so it cannot be replicated", name, s.table)
	}
	s.used[i] |= s.purpose()
	return i, nil
}

// A named is what a name stands for at a scope: a column, a computed one, or
// the rows that a relation leads to.
type named struct {
	column   int // -1 for none
	computed *computedColumn
	rows     shape
}

// A shape is what is known of a value in a template or expression: that it is
// a row of a scope, or a list of them. The zero shape is any other value.
type shape struct {
	scope *scope
	many  bool
}

// member looks a name up, and notes that templates or expressions read it.
func (s *scope) member(name string) (named, error) {
	if s.table.Column(name) < 0 && s.tree != nil {
		if s.tree.schema.computed[s.source][name] != "" {
			c, err := s.compute(name)
			return named{column: -1, computed: c}, err
		}
		if r := s.tree.schema.relations[s.source][name]; r != nil {
			child, err := s.follow(r)
			if err != nil {
				return named{column: -1}, err
			}
			child.shown |= s.purpose()
			return named{column: -1, rows: shape{child, r.many}}, nil
		}
	}
	i, err := s.use(name)
	if err == nil {
		s.boxed[i] |= s.purpose()
	}
	return named{column: i}, err
}

// Has reports whether a name has a meaning here.
func (s *scope) Has(name string) bool { return slices.Contains(s.names(), name) }

// Column returns the type of a column.
func (s *scope) Column(name string) (expression.Type, bool) {
	if i := s.table.Column(name); i >= 0 {
		return expression.TypeOf(&s.column(i).Type), true
	}
	return expression.AnyType, false
}

// Member is member, for expressions.
func (s *scope) Member(name string) (expression.Member, error) {
	m, err := s.member(name)
	switch rows := m.rows; {
	case err != nil:
		return expression.Member{}, err
	case m.computed != nil:
		return expression.Member{Type: expression.TextType}, nil
	case rows.many:
		return expression.Member{Type: expression.ListType, Rows: expression.Rows{Scope: rows.scope, Many: true}}, nil
	case rows.scope != nil:
		return expression.Member{Type: expression.ObjectType, Rows: expression.Rows{Scope: rows.scope}}, nil
	}
	return expression.Member{Type: expression.TypeOf(&s.column(m.column).Type)}, nil
}

// follow returns the scope that a relation leads to and notes its use.
func (s *scope) follow(r *relation) (*scope, error) {
	child := s.child(r)
	if child == nil {
		last := r.steps[len(r.steps)-1]
		child = s.lead(last.table)
		child.relation, child.many = r, r.many
		if len(r.steps) == 2 {
			between := s.lead(r.steps[0].table)
			between.relation, between.between, between.many = r, true, true
			child.parent, child.many = between, false
			between.children = []*scope{child}
		}
		s.children = append(s.children, child)
	}
	return child, child.useEdges()
}

func (s *scope) child(r *relation) *scope {
	for _, c := range s.children {
		if c.relation.name == r.name {
			return c
		}
	}
	return nil
}

// lead makes a scope below this one.
func (s *scope) lead(table *sources.Table) *scope {
	c := s.tree.root(table)
	c.parent = s
	return c
}

// owner is the scope that has this one among its children.
func (s *scope) owner() *scope {
	if s.parent.between {
		return s.parent.parent
	}
	return s.parent
}

// step is the part of the relation that leads here.
func (s *scope) step() step {
	if s.between {
		return s.relation.steps[0]
	}
	return s.relation.steps[len(s.relation.steps)-1]
}

// useEdges notes the use of the columns by which the rows are found and sorted.
func (s *scope) useEdges() error {
	step := s.step()
	for i := range step.from {
		if _, err := s.parent.use(step.from[i]); err != nil {
			return err
		}
		if _, err := s.use(step.to[i]); err != nil {
			return err
		}
	}
	s.order = s.order[:0]
	for _, o := range s.relation.order {
		if s.between {
			break
		}
		i, err := s.use(o.column)
		if err != nil {
			return err
		}
		s.order = append(s.order, sortColumn{i, o.reverse})
	}
	if !s.between && s.relation.many { // ties are sorted by the key
		for _, name := range s.tree.schema.key(s.source) {
			i, err := s.use(name)
			if err != nil {
				return err
			}
			s.order = append(s.order, sortColumn{column: i})
		}
	}
	if s.parent.between {
		return s.parent.useEdges()
	}
	return nil
}

// compute returns a computed column, its template compiled for this scope.
func (s *scope) compute(name string) (*computedColumn, error) {
	i := slices.IndexFunc(s.computed, func(c *computedColumn) bool { return c.name == name })
	if i < 0 {
		i = len(s.computed)
		s.computed = append(s.computed, &computedColumn{name: name})
	}
	c := s.computed[i]
	if c.compiled&s.purpose() != 0 {
		if c.template == nil && c.err == nil {
			return nil, &selfError{name, s.source}
		}
		c.purpose |= s.purpose()
		return c, c.err
	}
	c.compiled |= s.purpose()
	c.template = nil
	t, err := compileTemplate(s.tree.schema.computed[s.source][name], s)
	if err != nil {
		c.err = toldError{err}
		return nil, c.err
	}
	c.template = t
	c.purpose |= s.purpose()
	// behind the ones that it reads
	at := slices.Index(s.computed, c)
	s.computed = append(slices.Delete(s.computed, at, at+1), c)
	return c, nil
}

// A selfError is about a computed column that is made of itself.
type selfError struct {
	name  string
	table *sources.Table
}

func (e *selfError) Error() string {
	return fmt.Sprintf("computed column %q of table %s needs itself", e.name, e.table)
}

// A fieldPath is where a field's `from` leads.
type fieldPath struct {
	rows     []shape // the relations followed, in order
	scope    *scope  // at the end of them
	column   int     // -1 where the rows themselves are meant
	into     []string
	computed *computedColumn
}

// usePath resolves a field's path: relations, and at their end a column, a
// column of JSON and the way into it, or nothing.
func (s *scope) usePath(text string) (fieldPath, error) {
	p := fieldPath{scope: s, column: -1}
	for rest := text; ; {
		head, tail, dotted := strings.Cut(rest, ".")
		at := p.scope
		relation, computed := (*relation)(nil), false
		if at.tree != nil && at.table.Column(rest) < 0 && at.table.Column(head) < 0 {
			relation = at.tree.schema.relations[at.source][head]
			computed = !dotted && at.tree.schema.computed[at.source][head] != ""
		}
		switch {
		case computed:
			c, err := at.compute(head)
			p.computed = c
			return p, err
		case relation == nil:
			var err error
			p.column, p.into, err = at.columnPath(rest)
			return p, err
		}
		next, err := at.follow(relation)
		if err != nil {
			return p, err
		}
		p.rows = append(p.rows, shape{next, relation.many})
		p.scope = next
		if !dotted {
			return p, nil
		}
		rest = tail
	}
}

// columnPath resolves a column, or a column of JSON and the way into it.
func (s *scope) columnPath(path string) (column int, into []string, err error) {
	head, rest, dotted := strings.Cut(path, ".")
	if s.table.Column(path) >= 0 || !dotted {
		column, err = s.use(path)
		return column, nil, err
	}
	if s.unknown() {
		return 0, nil, nil
	}
	i := s.table.Column(head)
	if i < 0 {
		return -1, nil, s.unknownName(head)
	}
	if kind := s.column(i).Type.Kind; kind != sources.JSON && kind != sources.Array {
		return -1, nil, fmt.Errorf("column %q of table %s is %s; a path leads on into json columns only", head, s.table, s.column(i).Type.SQL)
	}
	column, err = s.use(head)
	return column, strings.Split(rest, "."), err
}

// relations names those that are followed from here.
func (s *scope) relations() []string {
	var names []string
	for _, c := range s.children {
		names = append(names, c.relation.name)
	}
	slices.Sort(names)
	return names
}

// way says for people how the rows here are come to.
func (s *scope) way() string {
	leads := " leads to its rows"
	if s.between {
		leads = " leads through its rows"
	}
	var names []string
	for at := s; at.parent != nil; at = at.parent {
		if at == s || !at.between {
			names = append([]string{at.relation.name}, names...)
		}
	}
	return strings.Join(names, ".") + leads
}

// all calls each for this scope and every one below, those of tables in
// between too.
func (s *scope) all(each func(*scope)) {
	each(s)
	for _, c := range s.children {
		if c.parent.between {
			each(c.parent)
		}
		c.all(each)
	}
}

// settle makes what rendering needs of what was noted.
func (s *scope) settle() {
	for p := range purposes {
		plan := &s.plan[p]
		*plan = boxing{}
		for i, b := range s.boxed {
			if b&(1<<p) != 0 {
				plan.columns = append(plan.columns, i)
			}
		}
		for i, c := range s.children {
			if c.shown&(1<<p) != 0 {
				plan.children = append(plan.children, i)
			}
		}
		for _, c := range s.computed {
			if c.purpose&(1<<p) != 0 {
				plan.computed = append(plan.computed, c)
			}
		}
	}
	for _, c := range s.children {
		c.settle()
	}
}

// read are the columns that templates and expressions of a purpose read, those
// of computed columns too, other than the given ones.
func (s *scope) read(p purpose, without []int) []int {
	var columns []int
	for i, b := range s.boxed {
		if b&p != 0 && !slices.Contains(without, i) {
			columns = append(columns, i)
		}
	}
	return columns
}

// columnsFor are the columns used for a purpose.
func (s *scope) columnsFor(p purpose) []int {
	var columns []int
	for i, u := range s.used {
		if u&p != 0 {
			columns = append(columns, i)
		}
	}
	return columns
}
