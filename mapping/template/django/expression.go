package django

import (
	"slices"
	"strconv"
	"strings"

	"haystream/internal/conf"
)

type source uint8

const (
	literalSource source = iota
	slotSource           // a variable
	rowSource            // the template's row
	loopSource           // forloop
)

// An expression is a value, the way on from it, and filters.
type expression struct {
	text    string
	source  source
	literal Value
	slot    int
	steps   []step
	filters []call
	shape   shape
}

// A step leads from a value to another one.
type step func(m *Machine, v Value) (Value, error)

// A call is a filter with its argument.
type call struct {
	*filter
	argument *expression // nil for none
	escape   bool
	before   []step // makes texts of rows
}

// add puts a step at the end.
func (e *expression) add(s step) {
	if len(e.filters) == 0 {
		e.steps = append(e.steps, s)
		return
	}
	last := &filter{run: func(x input) (Value, error) { return s(x.m, x.v) }}
	e.filters = append(e.filters, call{filter: last})
}

// value evaluates the expression. Where its name leads nowhere that gives the zero
// Value to its filters as text, or as None.
func (e *expression) value(m *Machine, noneIfMissing bool) (Value, error) {
	v, err := e.start(m)
	if err != nil {
		return v, err
	}
	if v.kind == missing {
		if noneIfMissing {
			v = None()
		} else if len(e.filters) > 0 {
			v = Text("")
		}
	}
	for i := range e.filters {
		if v, err = e.filters[i].apply(m, v); err != nil {
			return v, err
		}
	}
	return v, nil
}

// start is the value before filters.
func (e *expression) start(m *Machine) (Value, error) {
	v := e.literal
	switch e.source {
	case slotSource:
		v = m.slots[m.base+e.slot]
	case rowSource:
		v = ofRow(m.row)
	case loopSource:
		v = m.loopValue(e.slot, e.literal.text)
	}
	var err error
	for _, s := range e.steps {
		if v.kind == missing || err != nil {
			return v, err
		}
		v, err = s(m, v)
	}
	return v, err
}

func (c *call) apply(m *Machine, v Value) (Value, error) {
	var err error
	for _, s := range c.before {
		if v, err = s(m, v); err != nil {
			return v, err
		}
	}
	x := input{m: m, v: v, escape: c.escape}
	if c.argument != nil {
		x.given = true
		if x.arg, err = c.argument.value(m, false); err != nil {
			return v, err
		}
		if x.arg.kind == missing {
			return v, failure("%s leads nowhere, and a filter takes it", c.argument.text)
		}
	}
	if c.text {
		x.v = v.asText()
	}
	out, err := c.run(x)
	if err != nil {
		return out, err
	}
	if c.safe && x.v.kind == str && x.v.safe {
		out = markSafe(out)
	}
	return out, m.steps(0, len(out.text))
}

// markSafe is the value as text that is not escaped any more.
func markSafe(v Value) Value { return safeText(v.String()) }

// expression compiles a value with its filters; nil where there is a mistake.
func (c *compiler) expression(text string) *expression {
	start, rest, ok := operand(text)
	if !ok {
		c.unreadable(text, text)
		return nil
	}
	e := c.operand(start)
	if e == nil {
		e, ok = &expression{}, false // its filters have mistakes of their own
	}
	e.text = start
	for rest != "" {
		next := trimSpace(rest)
		filter, argument, after, found := filterOf(next)
		if !found {
			c.unreadable(text, next)
			return nil
		}
		if !c.filter(e, filter, argument, ok) {
			ok = false
		}
		rest = after
	}
	if !ok {
		return nil
	}
	return e
}

// unreadable tells of what is no expression.
func (c *compiler) unreadable(text, rest string) {
	first, _, _ := strings.Cut(text, " ")
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "$") || strings.HasPrefix(text, "-") || slices.Contains(goActions, first) {
		c.fail("{{ %s }} is of Go's templates, and this is one of Django's", text)
		return
	}
	c.fail("%q cannot be read in %q", rest, text)
}

// goActions begin actions of Go's templates.
var goActions = []string{"range", "if", "else", "end", "with", "define", "template", "block"}

func isWord(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b|' ' >= 'a' && b|' ' <= 'z' || b >= 0x80
}

// operand cuts a value off the front of a text.
func operand(text string) (start, rest string, ok bool) {
	if n := quoted(text); n > 0 {
		return text[:n], text[n:], true
	}
	n := 0
	for n < len(text) && (isWord(text[n]) || text[n] == '.') {
		n++
	}
	if n == 0 && len(text) > 1 && (text[0] == '-' || text[0] == '+') && text[1] >= '0' && text[1] <= '9' {
		for n = 1; n < len(text) && (text[n] >= '0' && text[n] <= '9' || text[n] == '.' || text[n] == 'e'); {
			n++
		}
	}
	return text[:n], text[n:], n > 0
}

// quoted is how long the quoted text is at the front; 0 where there is none.
func quoted(text string) int {
	open := 0
	if strings.HasPrefix(text, "_(") {
		open = 2
	}
	if len(text) <= open || text[open] != '"' && text[open] != '\'' {
		return 0
	}
	for i := open + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] != text[open]:
		case open == 0:
			return i + 1
		case i+1 < len(text) && text[i+1] == ')':
			return i + 2
		default:
			return 0
		}
	}
	return 0
}

// filterOf cuts |filter or |filter:argument off the front.
func filterOf(text string) (name, argument, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "|")
	if !ok {
		return "", "", "", false
	}
	text = trimSpace(text)
	n := 0
	for n < len(text) && isWord(text[n]) {
		n++
	}
	name, rest = text[:n], text[n:]
	if argument, found := strings.CutPrefix(rest, ":"); found {
		start, after, ok := operand(argument)
		return name, start, after, ok && n > 0
	}
	return name, "", rest, n > 0
}

// filter adds a filter to an expression. sound: the expression has no mistakes so far.
func (c *compiler) filter(e *expression, name, argument string, sound bool) bool {
	f := filters[name]
	if f == nil {
		if reason := refusedFilters[name]; reason != "" {
			c.fail("the filter %s is not available: %s", name, reason)
		} else {
			c.fail("there is no filter %q%s", name, conf.DidYouMean(name, FilterNames()))
		}
		return false
	}
	one := call{filter: f, escape: c.escape}
	if argument != "" {
		if one.argument = c.operand(argument); one.argument == nil {
			return false
		}
		one.argument.text = argument
		if one.argument = c.printable(one.argument); one.argument == nil {
			return false
		}
	}
	switch {
	case argument == "" && f.argument == required:
		c.fail("the filter %s wants an argument: %s:\"…\"", name, name)
		return false
	case argument != "" && f.argument == never:
		c.fail("the filter %s takes no argument", name)
		return false
	case !sound:
		return false
	}
	if argument == "" && f.refusedAlone != "" {
		c.fail("the filter %s is not available without an argument: %s", name, f.refusedAlone)
		return false
	}
	return c.rowsFilter(e, name, one)
}

// rowsFilter adds a filter where its input may be rows.
func (c *compiler) rowsFilter(e *expression, name string, one call) bool {
	of := e.shape
	e.shape = shape{}
	switch {
	case of.scope == nil && of.groups == nil:
	case one.rows == keepsRows && of.many:
		e.shape = of
		if strings.HasPrefix(name, "dictsort") && of.scope != nil {
			return c.sortRows(e, name, one)
		}
	case one.rows == takesRow && of.many:
		e.shape = of.element()
	case one.rows == countsRows:
	case of.isRow():
		m, err := of.scope.Member(textName)
		if err != nil {
			e.shape = of
			c.rowText(e)
			return false
		}
		one.before = append(one.before, rowTextStep(m))
	case of.isRows() && one.rows == wantsTexts:
		m, err := of.scope.Member(textName)
		if err != nil {
			e.shape = of.element()
			c.rowText(e)
			return false
		}
		one.before = append(one.before, textsStep(rowTextStep(m)))
	default:
		c.fail("the filter %s takes no rows; loop over %s", name, e.text)
		return false
	}
	e.filters = append(e.filters, one)
	return true
}

// sortRows sorts rows by what their members are.
func (c *compiler) sortRows(e *expression, name string, one call) bool {
	if one.argument.source != literalSource || one.argument.literal.kind != str {
		c.fail("the filter %s wants the name of a column of %s", name, e.text)
		return false
	}
	by := &expression{text: e.text, source: slotSource, shape: e.shape.element(), slot: c.hidden()}
	if !c.follow(by, strings.Split(one.argument.literal.text, ".")) {
		return false
	}
	if by = c.printable(by); by == nil {
		return false
	}
	reversed := name == "dictsortreversed"
	one.filter = &filter{run: func(x input) (Value, error) { return sortRows(x, by, reversed) }}
	one.argument = nil
	e.filters = append(e.filters, one)
	return true
}

// operand compiles a value without filters.
func (c *compiler) operand(text string) *expression {
	e := &expression{text: text}
	if v, ok := literalNumber(text); ok {
		e.literal = v
		return e
	}
	marked := text
	if strings.HasPrefix(text, "_(") {
		marked = text[2 : len(text)-1]
	}
	if s, ok := unquote(marked); ok {
		e.literal = safeText(s)
		return e
	}
	parts := strings.Split(text, ".")
	for i, part := range parts {
		switch {
		case part == "" && i == 0:
			c.unreadable(text, text)
			return nil
		case part == "":
			c.fail("%q ends in a dot, or has two", text)
			return nil
		case part[0] == '_':
			c.fail("a name cannot begin with an underscore, as in %q", text)
			return nil
		}
	}
	switch constant, isConstant := constants[parts[0]]; {
	case c.find(parts[0]) != nil:
		n := c.find(parts[0])
		e.source, e.slot, e.shape = slotSource, n.slot, n.shape
		parts = parts[1:]
	case isConstant:
		e.literal = constant
		parts = parts[1:]
	case parts[0] == "forloop" && c.depth > c.ground:
		return c.forloop(e, parts[1:])
	case c.isolated:
		c.fail("there is no %q here: %q gives the included file nothing else", parts[0], "only")
		return nil
	case parts[0] == rowName:
		e.source, e.shape = rowSource, c.root
		parts = parts[1:]
	default:
		e.source, e.shape = rowSource, c.root
	}
	e.text = strings.TrimSuffix(text, "."+strings.Join(parts, "."))
	if !c.follow(e, parts) {
		return nil
	}
	e.text = text
	return e
}

var constants = map[string]Value{"True": ofBool(true), "False": ofBool(false), "None": None()}

func literalNumber(text string) (Value, bool) {
	if first := strings.TrimLeft(text, "+-."); first == "" || first[0] < '0' || first[0] > '9' {
		return Value{}, false
	}
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		return ofFloat(f), err == nil && !strings.HasSuffix(text, ".")
	}
	i, err := Text(text).toInt()
	if err != nil {
		return Value{}, false
	}
	return ofBig(i), true
}

// follow adds the steps of a path.
func (c *compiler) follow(e *expression, parts []string) bool {
	for _, part := range parts {
		var ok bool
		switch s := e.shape; {
		case s.groups != nil:
			ok = c.followGroups(e, part)
		case s.isRows():
			ok = c.followRows(e, part)
		case s.isRow():
			ok = c.followMember(e, part)
		default:
			ok = c.followValue(e, part)
		}
		if !ok {
			return false
		}
		if e.text += "." + part; strings.HasPrefix(e.text, ".") {
			e.text = part
		}
	}
	return true
}

func (c *compiler) followMember(e *expression, part string) bool {
	m, err := e.shape.scope.Member(part)
	if err != nil {
		c.fail("%w", err)
		return false
	}
	e.steps = append(e.steps, memberStep(m))
	e.shape = shape{scope: m.Scope, many: m.Many, typ: m.Type}
	return true
}

// followRows follows what a relation's rows have.
func (c *compiler) followRows(e *expression, part string) bool {
	one := e.shape.element()
	switch part {
	case "all", "distinct", "iterator":
		return true
	case "count":
		e.steps, e.shape = append(e.steps, rowsStep(func(r []Row) Value { return ofInt(len(r)) })), shape{typ: NumberType}
		return true
	case "exists":
		e.steps, e.shape = append(e.steps, rowsStep(func(r []Row) Value { return ofBool(len(r) > 0) })), shape{typ: NumberType}
		return true
	case "first":
		e.steps, e.shape = append(e.steps, rowsStep(func(r []Row) Value { return rowOrNone(r, 0) })), one
		return true
	case "last":
		e.steps, e.shape = append(e.steps, rowsStep(func(r []Row) Value { return rowOrNone(r, len(r)-1) })), one
		return true
	}
	if n, err := strconv.Atoi(part); err == nil && n >= 0 {
		e.steps = append(e.steps, rowsStep(func(r []Row) Value {
			if n < len(r) {
				return ofRow(r[n])
			}
			return Value{}
		}))
		e.shape = one
		return true
	}
	c.fail("there may be many rows before %q; loop over %s, or use all, count, exists, first, last or a number", part, e.text)
	return false
}

func rowOrNone(r []Row, i int) Value {
	if i < 0 || i >= len(r) {
		return None()
	}
	return ofRow(r[i])
}

func rowsStep(f func([]Row) Value) step {
	return func(_ *Machine, v Value) (Value, error) { return f(v.rows()), nil }
}

// followGroups follows what regroup made: an index of the list, or a group's parts.
func (c *compiler) followGroups(e *expression, part string) bool {
	g := e.shape.groups
	n, err := strconv.Atoi(part)
	switch {
	case e.shape.many && err == nil:
		e.shape = e.shape.element()
	case !e.shape.many && (part == "grouper" || n == 0 && err == nil):
		n, e.shape = 0, g.key
	case !e.shape.many && (part == "list" || n == 1 && err == nil):
		n, e.shape = 1, g.rows
	default:
		c.fail("%s is what regroup made, and has no %q; a group has grouper and list", e.text, part)
		return false
	}
	e.steps = append(e.steps, func(_ *Machine, v Value) (Value, error) { return indexed(v, n), nil })
	return true
}

func indexed(v Value, n int) Value {
	if l := v.items(); n >= 0 && n < len(l) {
		return l[n]
	}
	return Value{}
}

func (c *compiler) followValue(e *expression, part string) bool {
	if names, known := attributes(e.shape.typ); known && !slices.Contains(names, part) {
		if _, err := strconv.Atoi(part); err != nil || e.shape.typ != TextType {
			c.fail("%s is %s, and has no %q%s", e.text, e.shape.typ, part, conf.DidYouMean(part, names))
			return false
		}
	}
	e.steps = append(e.steps, func(_ *Machine, v Value) (Value, error) { return v.attribute(part), nil })
	e.shape = shape{}
	return true
}

// memberStep reads a member of a row.
func memberStep(member Member) step {
	if member.Value != nil {
		return func(m *Machine, v Value) (Value, error) {
			if v.kind != record {
				return Value{}, nil
			}
			return member.Value(m.env, v.ref)
		}
	}
	return func(m *Machine, v Value) (Value, error) {
		if v.kind != record {
			return Value{}, nil
		}
		start := len(m.stack)
		stack, err := member.Rows(m.env, v.ref, m.stack)
		m.stack = stack
		if err != nil {
			return v, err
		}
		found := m.stack[start:len(m.stack):len(m.stack)]
		if member.Many {
			return Value{kind: records, ref: &rows{found}}, nil
		}
		return rowOrNone(found, 0), nil
	}
}

// rowTextStep reads what a row prints as. None stays None.
func rowTextStep(member Member) step {
	read := memberStep(member)
	return func(m *Machine, v Value) (Value, error) {
		if v.kind != record {
			return v, nil
		}
		return read(m, v)
	}
}

// textsStep makes texts of rows.
func textsStep(text step) step {
	return func(m *Machine, v Value) (Value, error) {
		list := v.rows()
		out := make([]Value, len(list))
		for i := range list {
			var err error
			if out[i], err = text(m, ofRow(list[i])); err != nil {
				return v, err
			}
		}
		return ofList(out), nil
	}
}
