package django

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// includeNode renders another file.
type includeNode struct {
	assignments
	isolated    bool
	first, last int // slots of an isolated file
	from, to    int // counters of its cycles
	nodes       []node
}

func compileInclude(c *compiler, t token, words []string) node {
	if len(words) < 2 {
		c.fail("include wants the file's name in quotes")
		return nil
	}
	name, ok := unquote(words[1])
	if !ok {
		c.fail("include wants the file's name in quotes: which file %s is cannot be known before there is a row", words[1])
		return nil
	}
	n := &includeNode{}
	var found []assignment
	rest := words[2:]
	for sound := true; len(rest) > 0 && sound; {
		switch rest[0] {
		case "only":
			n.isolated, rest = true, rest[1:]
		case "with":
			found, rest = c.assigned(rest[1:])
			if len(found) == 0 {
				c.fail("with wants name=value")
			}
		default:
			c.fail("%q is not expected in {%% include %%}", rest[0])
			sound = false
		}
	}
	path, text, err := c.read(name)
	if err != nil {
		c.fail("%w", err)
		return nil
	}
	if slices.Contains(c.within, path) {
		c.fail("%s includes itself", path)
		return nil
	}
	c.scoped(func() {
		floor, ground, isolated := c.floor, c.ground, c.isolated
		before := len(c.names)
		n.first, n.from = c.slots, c.counters
		n.assignments = c.declared(found)
		if n.isolated {
			c.floor, c.ground, c.isolated = before, c.depth, true
		}
		n.nodes = c.file(text, path)
		n.last, n.to = c.slots, c.counters
		c.floor, c.ground, c.isolated = floor, ground, isolated
	})
	return n
}

func (c *compiler) read(name string) (path, text string, err error) {
	if c.options.Include == nil {
		return "", "", failure("files cannot be included here")
	}
	return c.options.Include(name, c.path)
}

func (n *includeNode) render(m *Machine) error {
	if n.isolated {
		values := m.slots[m.base+n.first : m.base+n.last]
		clear(values)
	}
	clear(m.counters[m.count+n.from : m.count+n.to])
	if err := n.assign(m); err != nil {
		return err
	}
	return m.nodes(n.nodes)
}

// translateNode prints a text as it stands in the template.
type translateNode struct {
	*expression
	slot   int // of `as name`; -1 for none
	escape bool
}

func compileTranslate(c *compiler, _ token, words []string) node {
	if len(words) < 2 {
		c.fail("%s wants a text", words[0])
		return nil
	}
	n := &translateNode{expression: c.printable(c.expression(words[1])), slot: -1, escape: c.escape}
	for rest := words[2:]; len(rest) > 0; {
		switch {
		case rest[0] == "noop":
			rest = rest[1:]
		case rest[0] == "context" && len(rest) > 1:
			rest = rest[2:]
		case rest[0] == "as" && len(rest) > 1:
			n.slot = c.assign(rest[1], shape{typ: TextType})
			rest = rest[2:]
		default:
			c.fail("%q is not expected in {%% %s %%}", rest[0], words[0])
			return nil
		}
	}
	if n.expression == nil {
		return nil
	}
	return n
}

func (n *translateNode) render(m *Machine) error {
	v, err := n.value(m, false)
	if err != nil {
		return err
	}
	start := len(m.out)
	m.out = m.appendPrinted(m.out, v, n.escape)
	if text := string(m.out[start:]); strings.Contains(text, "%%") {
		m.out = append(m.out[:start], strings.ReplaceAll(text, "%%", "%")...)
	}
	if n.slot >= 0 {
		m.slots[m.base+n.slot] = Value{kind: str, text: string(m.out[start:]), safe: n.escape || v.safe}
		m.out = m.out[:start]
	}
	return nil
}

// blockNode prints a text with values in it, as it stands in the template; one of two
// by a number.
type blockNode struct {
	assignments
	count            *expression // nil for none
	countSlot        int
	singular, plural []node
	slot             int // of `asvar name`; -1 for none
}

func compileBlockTranslate(c *compiler, t token, words []string) node {
	n := &blockNode{slot: -1}
	tag, as, oneLine := words[0], "", false
	var found, counted []assignment
	for rest := words[1:]; len(rest) > 0; {
		switch {
		case rest[0] == "with":
			found, rest = c.assigned(rest[1:])
		case rest[0] == "count":
			counted, rest = c.assigned(rest[1:])
		case rest[0] == "context" && len(rest) > 1:
			rest = rest[2:]
		case rest[0] == "trimmed":
			oneLine, rest = true, rest[1:]
		case rest[0] == "asvar" && len(rest) > 1:
			as, rest = rest[1], rest[2:]
		default:
			c.fail("%q is not expected in {%% %s %%}", rest[0], tag)
			rest = nil
		}
	}
	c.scoped(func() {
		n.assignments = c.declared(found)
		if len(counted) == 1 && counted[0].value != nil {
			n.count = counted[0].value
			n.countSlot = c.declare(counted[0].name, shape{typ: NumberType})
		}
		var end string
		if n.singular, end = c.message(t, tag); end == "plural" {
			n.plural, end = c.message(t, tag)
			if end == "plural" {
				c.fail("{%% %s %%} has two {%% plural %%}", tag)
			}
			if n.count == nil {
				c.fail("{%% plural %%} wants {%% %s count name=value %%}", tag)
			}
		}
	})
	if oneLine {
		n.singular, n.plural = trimmed(n.singular), trimmed(n.plural)
	}
	if as != "" {
		n.slot = c.assign(as, shape{typ: TextType})
	}
	return n
}

// message compiles the text of blocktranslate: text and names only.
func (c *compiler) message(t token, tag string) (nodes []node, end string) {
	for c.pos < len(c.tokens) {
		inner := c.tokens[c.pos]
		c.pos++
		c.line = inner.line
		switch inner.kind {
		case textToken:
			c.literal(inner)
			nodes = append(nodes, textNode(inner.text))
		case printToken:
			if strings.ContainsAny(inner.text, ".|\"'") {
				c.fail("{{ %s }} cannot be in {%% %s %%}; give it a name: {%% %s with name=%s %%}", inner.text, tag, tag, inner.text)
			} else if e := c.printable(c.expression(inner.text)); e != nil {
				nodes = append(nodes, &printNode{e, c.escape})
			}
		case tagToken:
			if inner.text == "plural" || inner.text == "end"+tag {
				return nodes, inner.text
			}
			c.fail("{%% %s %%} cannot be in {%% %s %%}", inner.text, tag)
		}
	}
	c.line = t.line
	c.fail("{%% %s %%} has no {%% end%s %%}", tag, tag)
	return nodes, ""
}

func (n *blockNode) render(m *Machine) error {
	if err := n.assign(m); err != nil {
		return err
	}
	nodes := n.singular
	if n.count != nil {
		count, err := n.count.value(m, false)
		if err != nil {
			return err
		}
		if !count.isNumber() {
			return failure("%s is no number to count", n.count.text)
		}
		m.slots[m.base+n.countSlot] = count
		if n.plural != nil && !equal(count, ofInt(1)) {
			nodes = n.plural
		}
	}
	start := len(m.out)
	if err := m.nodes(nodes); err != nil {
		return err
	}
	if n.slot >= 0 {
		m.slots[m.base+n.slot] = safeText(string(m.out[start:]))
		m.out = m.out[:start]
	}
	return nil
}

// trimmed makes one line of a message's text: a break, and the spaces around it, is a space.
func trimmed(nodes []node) []node {
	out := slices.Clone(nodes)
	for i, n := range out {
		text, ok := n.(textNode)
		if !ok {
			continue
		}
		s := string(text)
		if i == 0 {
			s = strings.TrimLeftFunc(s, isSpace)
		}
		if i == len(out)-1 {
			s = strings.TrimRightFunc(s, isSpace)
		}
		lines := strings.Split(s, "\n")
		var kept []string
		for j, line := range lines {
			if j > 0 {
				line = strings.TrimLeftFunc(line, isSpace)
			}
			if j < len(lines)-1 {
				line = strings.TrimRightFunc(line, isSpace)
			}
			if line != "" || j == 0 || j == len(lines)-1 {
				kept = append(kept, line)
			}
		}
		out[i] = textNode(strings.Join(kept, " "))
	}
	return out
}

// ratioNode prints a value's share of another one, times a width.
type ratioNode struct {
	value, most, width *expression
	slot               int // of `as name`; -1 for none
}

func compileWidthRatio(c *compiler, _ token, words []string) node {
	if len(words) != 4 && (len(words) != 6 || words[4] != "as") {
		c.fail("widthratio is written {%% widthratio VALUE MAXIMUM WIDTH %%}")
		return nil
	}
	n := &ratioNode{c.printable(c.expression(words[1])), c.printable(c.expression(words[2])), c.printable(c.expression(words[3])), -1}
	if len(words) == 6 {
		n.slot = c.assign(words[5], shape{typ: TextType})
	}
	if n.value == nil || n.most == nil || n.width == nil {
		return nil
	}
	return n
}

func (n *ratioNode) render(m *Machine) error {
	var v [3]Value
	for i, e := range []*expression{n.value, n.most, n.width} {
		var err error
		if v[i], err = e.value(m, false); err != nil {
			return err
		}
	}
	width, err := v[2].toSmall()
	if err != nil {
		return failure("the width of widthratio is no number: %s", n.width.text)
	}
	part, errPart := v[0].toFloat()
	most, errMost := v[1].toFloat()
	text := ""
	if errPart == nil && errMost == nil {
		ratio := math.RoundToEven(part / most * float64(width))
		switch {
		case most == 0:
			text = "0"
		case !math.IsNaN(ratio) && !math.IsInf(ratio, 0):
			text = strconv.FormatFloat(ratio+0, 'f', 0, 64)
		}
	}
	if n.slot >= 0 {
		m.slots[m.base+n.slot] = Text(text)
		return nil
	}
	m.out = append(m.out, text...)
	return nil
}
