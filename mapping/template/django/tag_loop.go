package django

import (
	"slices"
	"strings"

	"haystream/internal/conf"
)

// forNode renders its nodes for each element.
type forNode struct {
	sequence    *expression
	slots       []int // of the loop's variables
	reversed    bool
	depth       int
	first, last int // slots that are empty when the loop begins
	nodes       []node
	empty       []node
}

func compileFor(c *compiler, t token, words []string) node {
	n := &forNode{depth: c.depth}
	bits := words[1:]
	if l := len(bits); l > 1 && bits[l-1] == "reversed" {
		n.reversed, bits = true, bits[:l-1]
	}
	var names []string
	if l := len(bits); l < 3 || bits[l-2] != "in" {
		c.fail("a loop is written {%% for NAME in LIST %%}")
	} else {
		for name := range strings.SplitSeq(strings.Join(bits[:l-2], " "), ",") {
			if name = trimSpace(name); name == "" || strings.ContainsAny(name, " \"'|") {
				c.fail("%q is no name for a loop's variable", name)
			}
			names = append(names, name)
		}
		n.sequence = c.expression(bits[l-1])
	}
	c.scoped(func() {
		n.first = c.slots
		c.loopVariables(n, names)
		c.depth++
		c.deepest = max(c.deepest, c.depth)
		var end []string
		n.nodes, end = c.block(t, "empty", "endfor")
		c.depth--
		n.last = c.slots
		if len(end) > 0 && end[0] == "empty" {
			n.empty = c.body(t, "endfor")
		}
	})
	if n.sequence == nil {
		return nil
	}
	return n
}

// loopVariables declares the variables of a loop.
func (c *compiler) loopVariables(n *forNode, names []string) {
	var of shape
	switch {
	case n.sequence == nil:
	case n.sequence.shape.isRow():
		c.fail("%s is one row, and no list", n.sequence.text)
		n.sequence = nil
	case len(names) > 1 && n.sequence.shape.isRows():
		c.fail("a row of %s cannot be taken apart; use its columns by name", n.sequence.text)
	case n.sequence.shape.typ == NumberType:
		c.fail("%s is a number, and no list", n.sequence.text)
	default:
		of = n.sequence.shape.element()
	}
	for i, name := range names {
		one := of
		if g := of.groups; len(names) > 1 {
			one = shape{}
			if g != nil && len(names) == 2 {
				one = []shape{g.key, g.rows}[i]
			}
		}
		n.slots = append(n.slots, c.declare(name, one))
	}
}

func (n *forNode) render(m *Machine) error {
	v, err := n.sequence.value(m, true)
	if err != nil {
		return err
	}
	count, at, ok := v.elements()
	if !ok && v.kind != none && v.kind != missing {
		return failure("%s is %s, and no list", n.sequence.text, v.typeName())
	}
	if count == 0 {
		return m.nodes(n.empty)
	}
	clear(m.slots[m.base+n.first : m.base+n.last])
	for i := range count {
		if err := m.steps(1, 0); err != nil {
			return err
		}
		m.loops[m.first+n.depth] = loop{i, count}
		index := i
		if n.reversed {
			index = count - 1 - i
		}
		if err := n.take(m, at(index)); err != nil {
			return err
		}
		if err := m.nodes(n.nodes); err != nil {
			return err
		}
	}
	return nil
}

// take gives an element to the loop's variables.
func (n *forNode) take(m *Machine, v Value) error {
	if len(n.slots) == 1 {
		m.slots[m.base+n.slots[0]] = v
		return nil
	}
	count, at, ok := v.elements()
	if !ok {
		count = 1
	}
	if count != len(n.slots) {
		return failure("an element of %s has %d parts, and the loop %d variables", n.sequence.text, count, len(n.slots))
	}
	for i, slot := range n.slots {
		m.slots[m.base+slot] = at(i)
	}
	return nil
}

var loopNames = []string{"counter", "counter0", "first", "last", "parentloop", "revcounter", "revcounter0"}

// forloop compiles forloop.NAME.
func (c *compiler) forloop(e *expression, parts []string) *expression {
	e.source = loopSource
	e.slot = c.depth - 1
	for len(parts) > 0 && parts[0] == "parentloop" {
		e.slot--
		parts = parts[1:]
	}
	switch {
	case len(parts) == 0:
		c.fail("%s is no value of its own; it has %s", e.text, strings.Join(loopNames, ", "))
		return nil
	case !slices.Contains(loopNames, parts[0]):
		c.fail("forloop has no %q%s", parts[0], conf.DidYouMean(parts[0], loopNames))
		return nil
	case len(parts) > 1:
		c.fail("forloop.%s has no %q", parts[0], parts[1])
		return nil
	case e.slot < c.ground: // a parent loop that is not there has nothing
		e.source = literalSource
		return e
	}
	e.literal.text = parts[0]
	e.shape = shape{typ: NumberType}
	return e
}

// loopValue is what forloop has in a loop.
func (m *Machine) loopValue(depth int, name string) Value {
	l := m.loops[m.first+depth]
	switch name {
	case "counter":
		return ofInt(l.index + 1)
	case "counter0":
		return ofInt(l.index)
	case "revcounter":
		return ofInt(l.length - l.index)
	case "revcounter0":
		return ofInt(l.length - l.index - 1)
	case "first":
		return ofBool(l.index == 0)
	}
	return ofBool(l.index == l.length-1)
}

// cycleNode prints one of its values after the other.
type cycleNode struct {
	values  []*expression
	counter int
	slot    int // of `as name`; -1 for none
	silent  bool
	escape  bool
}

// values compiles those that a tag prints, all or some of them.
func (c *compiler) values(words []string) (all []*expression) {
	for _, word := range words {
		if e := c.printable(c.expression(word)); e != nil {
			all = append(all, e)
		}
	}
	return all
}

func compileCycle(c *compiler, _ token, words []string) node {
	bits := words[1:]
	if len(bits) == 1 {
		if n := c.cycles[bits[0]]; n != nil {
			return n
		}
	}
	n := &cycleNode{slot: -1, counter: c.counters, escape: c.escape}
	c.counters++
	as := ""
	if l := len(bits); l > 2 && bits[l-3] == "as" && bits[l-1] == "silent" {
		n.silent, as, bits = true, bits[l-2], bits[:l-3]
	} else if l > 1 && bits[l-2] == "as" {
		as, bits = bits[l-1], bits[:l-2]
	}
	if n.values = c.values(bits); len(bits) == 0 {
		c.fail("cycle wants values")
	}
	if as != "" {
		n.slot = c.assign(as, shape{})
		c.cycles[as] = n
	}
	c.lastCycle = n
	return n
}

func (n *cycleNode) render(m *Machine) error {
	i := &m.counters[m.count+n.counter]
	v, err := n.values[*i%len(n.values)].value(m, false)
	*i++
	if err != nil {
		return err
	}
	if v.kind == missing {
		v = Text("")
	}
	if n.slot >= 0 {
		m.slots[m.base+n.slot] = v
	}
	if !n.silent {
		m.out = m.appendPrinted(m.out, v, n.escape)
	}
	return nil
}

// resetNode begins a cycle anew.
type resetNode struct{ counter int }

func compileResetCycle(c *compiler, _ token, words []string) node {
	n := c.lastCycle
	if len(words) > 1 {
		n = c.cycles[words[1]]
	}
	if n == nil || len(words) > 2 {
		c.fail("resetcycle is for a cycle that is before it")
		return nil
	}
	return resetNode{n.counter}
}

func (n resetNode) render(m *Machine) error {
	m.counters[m.count+n.counter] = 0
	return nil
}

// changedNode renders its nodes where values, or what they print, are others than
// the last time.
type changedNode struct {
	values      []*expression
	slot        int
	nodes, same []node
}

func compileIfChanged(c *compiler, t token, words []string) node {
	n := &changedNode{slot: c.hidden(), values: c.values(words[1:])}
	var end []string
	n.nodes, end = c.block(t, "else", "endifchanged")
	if len(end) > 0 && end[0] == "else" {
		n.same = c.body(t, "endifchanged")
	}
	return n
}

func (n *changedNode) render(m *Machine) error {
	var now Value
	if len(n.values) > 0 {
		values := make([]Value, len(n.values))
		for i, e := range n.values {
			var err error
			if values[i], err = e.value(m, true); err != nil {
				return err
			}
		}
		now = ofList(values)
	} else {
		text, err := m.capture(n.nodes)
		if err != nil {
			return err
		}
		now = Text(text)
	}
	last := &m.slots[m.base+n.slot]
	if last.kind != missing && equal(*last, now) {
		return m.nodes(n.same)
	}
	*last = now
	if now.text != "" {
		m.out = append(m.out, now.text...)
		return nil
	}
	return m.nodes(n.nodes)
}

// regroupNode makes groups of elements that follow each other.
type regroupNode struct {
	target, by *expression
	slot       int
}

func compileRegroup(c *compiler, _ token, words []string) node {
	if len(words) != 6 || words[2] != "by" || words[4] != "as" {
		c.fail("regroup is written {%% regroup LIST by NAME as NAME %%}")
		return nil
	}
	n := &regroupNode{target: c.expression(words[1])}
	if n.target == nil {
		c.assign(words[5], shape{})
		return nil
	}
	if n.target.shape.isRow() {
		c.fail("%s is one row, and no list", n.target.text)
		return nil
	}
	of := n.target.shape
	n.slot = c.assign(words[5], of.element())
	n.by = c.expression(words[5] + "." + words[3])
	if n.by == nil {
		return nil
	}
	c.assign(words[5], shape{many: true, groups: &groups{key: n.by.shape, rows: of}})
	return n
}

func (n *regroupNode) render(m *Machine) error {
	v, err := n.target.value(m, true)
	if err != nil {
		return err
	}
	count, at, ok := v.elements()
	if !ok && v.kind != none {
		return failure("%s is %s, and no list", n.target.text, v.typeName())
	}
	var made []Value
	var last Value
	start := 0
	finish := func(end int) {
		if end == start {
			return
		}
		elements := make([]Value, 0, end-start)
		var list []Row
		for i := start; i < end; i++ {
			if v.kind == records {
				list = append(list, v.rows()[i])
			} else {
				elements = append(elements, at(i))
			}
		}
		group := ofList(elements)
		if v.kind == records {
			group = Value{kind: records, ref: &rows{list}}
		}
		made = append(made, ofTuple(last, group))
		start = end
	}
	for i := range count {
		m.slots[m.base+n.slot] = at(i)
		key, err := n.by.value(m, true)
		if err != nil {
			return err
		}
		if i > 0 && !equal(key, last) {
			finish(i)
		}
		if i == start {
			last = key
		}
	}
	finish(count)
	m.slots[m.base+n.slot] = ofList(made)
	return nil
}

// firstNode prints the first value that is true.
type firstNode struct {
	values []*expression
	slot   int // of `as name`; -1 for none
	escape bool
}

func compileFirstOf(c *compiler, _ token, words []string) node {
	bits := words[1:]
	n := &firstNode{slot: -1, escape: c.escape}
	as := ""
	if l := len(bits); l > 1 && bits[l-2] == "as" {
		as, bits = bits[l-1], bits[:l-2]
	}
	if n.values = c.values(bits); len(bits) == 0 {
		c.fail("firstof wants values")
	}
	if as != "" {
		n.slot = c.assign(as, shape{})
	}
	return n
}

func (n *firstNode) render(m *Machine) error {
	start := len(m.out)
	for _, e := range n.values {
		v, err := e.value(m, true)
		if err != nil {
			return err
		}
		if v.truth() {
			m.out = m.appendPrinted(m.out, v, n.escape)
			break
		}
	}
	if n.slot >= 0 {
		text := string(m.out[start:])
		m.out = m.out[:start]
		m.slots[m.base+n.slot] = Value{kind: str, text: text, safe: n.escape}
	}
	return nil
}
