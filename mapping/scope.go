package mapping

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"haystream/mapping/expression"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A purpose is what a definition reads a value for.
type purpose uint8

const (
	forFields purpose = 1 << iota
	forWhere
	forName   // id and routing
	forFilter // the conditions of relations
)

// Purposes as numbers, and how many there are.
const (
	fieldsNumber = iota
	whereNumber
	nameNumber
	filterNumber
	purposes
)

// A scope is what names mean at one place of a definition's tree of rows: its
// root, or where a relation leads to. It notes what is used there.
type scope struct {
	table  *sources.Table // as compiled against: the catalog's, or projected
	source *sources.Table // the catalog's
	tree   *tree          // nil: only the table's columns have names here

	used  []purpose // by column
	boxed []purpose // by column: what templates of Go's and expressions read
	seen  []purpose // by column: what those of Django's read, too

	parent   *scope
	relation *relation
	down, up lookup // from the parent's row to those here, and back
	between  bool   // rows of the table that a relation goes through
	order    []sortColumn
	filter   *filter // of the relation; nil where it has no condition
	shown    purpose // templates and expressions see the rows
	children []*scope
	computed []*computedColumn

	plan [purposes]boxing // made by settle
}

// A tree is what all scopes of one definition share.
type tree struct {
	schema    *schema
	at        func(*sources.Table) *sources.Table // the table to compile against
	purpose   purpose                             // of what is being compiled
	uuids     bool                                // as of form
	useTZ     *bool                               // as of form
	zoned     bool                                // an expression has a date without a zone
	reached   purpose                             // of what follows the relation whose condition is being compiled
	filtering []*relation                         // whose conditions are being compiled
	stored    map[*sources.Table]*rowstore.Table  // nil in the first pass
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
	between bool // of the row in between
}

// A computedColumn is a virtual column of a scope that is used.
type computedColumn struct {
	name     string
	template *textTemplate     // nil while it is compiled, and with choices
	choices  map[string]string // labels by the value of column
	column   int
	purpose  purpose
	compiled purpose // what its template was compiled for
	err      error
	place    int // among those of the scope: behind the ones that it reads
}

// boxing is what templates and expressions of one purpose see of a row.
type boxing struct {
	columns  []int
	children []int
	computed []*computedColumn // each after those that it reads
}

// empty reports whether nothing is boxed.
func (b *boxing) empty() bool { return len(b.columns)+len(b.children)+len(b.computed) == 0 }

// newScope returns a scope that knows the columns of a table only.
func newScope(t *sources.Table) *scope {
	return &scope{table: t, source: t, used: make([]purpose, len(t.Columns)), boxed: make([]purpose, len(t.Columns)), seen: make([]purpose, len(t.Columns))}
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

// purposeNumber is the number of what is being compiled for.
func (s *scope) purposeNumber() int { return bits.TrailingZeros8(uint8(s.purpose())) }

func (s *scope) purpose() purpose {
	if s.tree == nil {
		return forFields
	}
	return s.tree.purpose
}

// purposes are all that what is being compiled is needed for.
func (s *scope) purposes() purpose {
	if s.tree == nil {
		return forFields
	}
	return s.tree.purpose | s.tree.reached
}

// find returns the named column's index, or -1. An open table gets the column where it has
// none of that name.
func (s *scope) find(name string) int {
	i := s.table.Column(name)
	if i < 0 && s.table.Open {
		i = len(s.table.Columns)
		s.table.Columns = append(s.table.Columns, sources.Member(name))
	}
	for len(s.used) <= i { // another scope may have had the table make it
		s.used, s.boxed, s.seen = append(s.used, 0), append(s.boxed, 0), append(s.seen, 0)
	}
	return i
}

// use returns the named column's index and notes its use.
func (s *scope) use(name string) (int, error) {
	if s.unknown() {
		return 0, nil
	}
	i := s.find(name)
	if i < 0 {
		return -1, s.unknownName(name)
	}
	if s.table.Columns[i].NotLogged {
		return -1, fmt.Errorf("column %q of table %s is computed by the server and absent from its log, so it cannot be replicated", name, s.table)
	}
	s.used[i] |= s.purposes()
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

// look looks a name up, and notes its use.
func (s *scope) look(name string) (named, error) {
	if s.table.Column(name) < 0 && s.tree != nil {
		if s.tree.schema.isComputed(s.source, name) {
			c, err := s.compute(name)
			return named{column: -1, computed: c}, err
		}
		if r := s.tree.schema.relation(s.source, name); r != nil {
			child, err := s.follow(r)
			if err != nil {
				return named{column: -1}, err
			}
			return named{column: -1, rows: shape{child, r.many}}, nil
		}
	}
	i, err := s.use(name)
	return named{column: i}, err
}

// member is look, for what reads boxed values: templates of Go's, and expressions.
func (s *scope) member(name string) (named, error) {
	m, err := s.look(name)
	switch {
	case err != nil:
	case m.computed != nil:
		m.computed.purpose |= s.purpose()
	case m.rows.scope != nil:
		m.rows.scope.shown |= s.purpose()
	default:
		s.boxed[m.column] |= s.purpose()
		s.seen[m.column] |= s.purpose()
	}
	return m, err
}

// zone is what times are shown in.
func (s *scope) zone() *time.Location {
	if s.tree == nil || s.tree.schema.zone == nil {
		return time.UTC
	}
	return s.tree.schema.zone
}

// Zone is zone, for dates in expressions that are written without one.
func (s *scope) Zone() *time.Location {
	if s.tree != nil {
		s.tree.zoned = true
	}
	return s.zone()
}

// trial is a scope like this one, to see whether something can be compiled for it.
func (s *scope) trial() *scope {
	if s.tree == nil {
		return newScope(s.table)
	}
	t := s.tree.root(s.source)
	for _, c := range s.computed {
		same := *c
		t.computed = append(t.computed, &same)
	}
	return t
}

// Has reports whether a name has a meaning here.
func (s *scope) Has(name string) bool { return s.table.Open || slices.Contains(s.names(), name) }

// Column returns the type of a column.
func (s *scope) Column(name string) (expression.Type, bool) {
	if i := s.table.Column(name); i >= 0 {
		return expression.TypeOf(&s.column(i).Type), true
	}
	return expression.AnyType, s.table.Open
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
		child.relation = r
		if len(r.steps) == 2 {
			between := s.lead(r.steps[0].table)
			between.relation, between.between = r, true
			child.parent = between
			between.children = []*scope{child}
		}
		s.children = append(s.children, child)
	}
	if err := child.useEdges(); err != nil {
		return child, err
	}
	child.useFilter()
	return child, nil
}

// child is where a relation of the table leads to, as far as it is followed already.
func (s *scope) child(r *relation) *scope {
	for _, c := range s.children {
		if c.relation == r {
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
	if via := s.via(); via != nil {
		return via.parent
	}
	return s.parent
}

// via is the scope of the table in between that leads here; nil for none.
func (s *scope) via() *scope {
	if s.parent != nil && s.parent.between && s.parent.relation == s.relation {
		return s.parent
	}
	return nil
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
	if err := s.useOrder(); err != nil {
		return err
	}
	if via := s.via(); via != nil {
		return via.useEdges()
	}
	return nil
}

// useOrder notes the use of the columns that the rows are sorted by: ties by the key.
func (s *scope) useOrder() error {
	s.order = s.order[:0]
	if s.between || s.relation.unique {
		return nil
	}
	for _, o := range s.relation.order {
		at := s
		if o.between {
			at = s.via()
		}
		i, err := at.use(o.column)
		if err != nil {
			return err
		}
		s.order = append(s.order, sortColumn{i, o.reverse, o.between})
	}
	for _, name := range s.tree.schema.key(s.source) {
		i, err := s.use(name)
		if err != nil {
			return err
		}
		s.order = append(s.order, sortColumn{column: i})
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
	if wanted := s.purposes(); c.compiled&wanted == wanted {
		if c.template == nil && c.err == nil {
			return nil, &selfError{name, s.source}
		}
		return c, c.err
	}
	if column, labels := s.tree.schema.choicesOf(s.source, name); labels != nil {
		i, err := s.use(column)
		if err != nil {
			return nil, err
		}
		s.seen[i] |= s.purpose()
		c.choices, c.column = labels, i
		return c, nil
	}
	first := c.compiled == 0
	c.compiled |= s.purposes()
	c.template = nil
	t, err := s.tree.schema.computedText(s.source, name).compile(s)
	if err != nil {
		c.err = toldError{err}
		return nil, c.err
	}
	c.template = t
	if first { // behind the ones that it reads
		at := slices.Index(s.computed, c)
		s.computed = append(slices.Delete(s.computed, at, at+1), c)
	}
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
	for at, below := s, (*scope)(nil); at.parent != nil; at, below = at.parent, at {
		switch {
		case at == s || !at.between:
			names = append([]string{at.relation.name}, names...)
		case below.via() == nil:
			names = append([]string{at.relation.name, throughName}, names...)
		}
	}
	return strings.Join(names, ".") + leads
}

// all calls each for this scope and every one below, those of tables in
// between too.
func (s *scope) all(each func(*scope)) {
	each(s)
	for _, c := range s.children {
		switch via := c.via(); via {
		case nil:
			c.all(each)
		case s: // its owner comes to it
		default:
			via.all(each)
			c.all(each)
		}
	}
}

// settle makes what rendering needs of what was noted.
func (s *scope) settle() {
	for i, c := range s.computed {
		c.place = i
	}
	for p := range purposes {
		plan := &s.plan[p]
		*plan = boxing{}
		for i, b := range s.boxed {
			if b&(1<<p) != 0 {
				plan.columns = append(plan.columns, i)
			}
		}
		for i, c := range s.children {
			if c.shown&(1<<p) != 0 && c.via() != s {
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
		switch via := c.via(); via {
		case nil:
			c.settle()
		case s:
		default:
			via.settle()
			c.settle()
		}
	}
}

// readFor are the columns that templates and expressions of a purpose read, those
// of computed columns too, other than the given ones.
func (s *scope) readFor(p purpose, without []int) []int {
	var columns []int
	for i, b := range s.seen {
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
