package django

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"haystream/internal/conf"
)

// Compile compiles a template. The error is all mistakes at once, joined.
func Compile(text string, o Options) (*Template, error) {
	c := &compiler{options: o, tags: allTags(), root: shape{scope: o.Scope}, escape: !o.Plain}
	nodes := c.file(text, o.File)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	zone := o.Zone
	if zone == nil {
		zone = time.UTC
	}
	return &Template{nodes: nodes, slots: c.slots, loops: c.deepest, counters: c.counters, zone: zone}, nil
}

// A shape is what is known of a value when a template is compiled: that it is a row,
// rows, or what regroup makes, and else its type.
type shape struct {
	scope  Scope // of a row
	many   bool
	groups *groups
	typ    Type
}

// groups are what regroup makes: a list of them, or one.
type groups struct{ key, rows shape }

func (s shape) isRows() bool { return s.scope != nil && s.many }
func (s shape) isRow() bool  { return s.scope != nil && !s.many }

// element is the shape of what a loop over the value goes through.
func (s shape) element() shape {
	s.many = false
	if s.scope == nil && s.groups == nil {
		return shape{}
	}
	return s
}

// A compiler makes nodes of a template.
type compiler struct {
	options Options
	tags    map[string]tagCompiler
	root    shape
	errs    []error

	// of the file that is compiled
	tokens []token
	pos    int
	line   int
	path   string
	within []string // the files that include it, itself the last
	braces Braces   // that text has opened
	strays []string // end tags that follow from an unknown tag

	names    []name
	floor    int  // names before it are not seen
	isolated bool // the row is not seen
	slots    int
	depth    int // of loops around
	ground   int // loops before it are not seen
	deepest  int
	escape   bool

	cycles    map[string]*cycleNode
	lastCycle *cycleNode
	counters  int
}

// A name is a variable that a tag has made.
type name struct {
	name  string
	slot  int
	shape shape
}

// fail notes a mistake in the line that is compiled.
func (c *compiler) fail(format string, args ...any) {
	place := fmt.Sprintf(" (template line %d)", c.line)
	if len(c.within) > 1 {
		place = fmt.Sprintf(" (template line %d of %s)", c.line, c.path)
	}
	err := fmt.Errorf(format+"%s", append(args, place)...)
	if !slices.ContainsFunc(c.errs, func(e error) bool { return e.Error() == err.Error() }) {
		c.errs = append(c.errs, err)
	}
}

// file compiles the text of a file.
func (c *compiler) file(text, path string) []node {
	saved := *c
	c.tokens, c.pos, c.line, c.path, c.strays, c.braces = split(text), 0, 1, path, nil, Braces{}
	c.within = append(slices.Clone(c.within), path)
	c.cycles, c.lastCycle = map[string]*cycleNode{}, nil
	nodes, _ := c.block(token{line: 1})
	c.tokens, c.pos, c.line, c.path, c.strays, c.braces = saved.tokens, saved.pos, saved.line, saved.path, saved.strays, saved.braces
	c.within, c.cycles, c.lastCycle = saved.within, saved.cycles, saved.lastCycle
	return nodes
}

// block compiles up to one of the end tags, and returns the words of that. Without
// ends it goes to the end of the file.
func (c *compiler) block(opening token, ends ...string) (nodes []node, end []string) {
	for c.pos < len(c.tokens) {
		t := c.tokens[c.pos]
		c.pos++
		c.line = t.line
		switch t.kind {
		case textToken:
			c.literal(t)
			nodes = append(nodes, textNode(t.text))
		case printToken:
			if n := c.print(t.text); n != nil {
				nodes = append(nodes, n)
			}
		case tagToken:
			words := words(t.text)
			if len(words) > 0 && slices.Contains(ends, words[0]) {
				return nodes, words
			}
			if n := c.tag(t, words); n != nil {
				nodes = append(nodes, n)
			}
		}
	}
	if len(ends) > 0 {
		tag, _, _ := strings.Cut(opening.text, " ")
		c.line = opening.line
		c.fail("{%% %s %%} has no {%% %s %%}", tag, ends[len(ends)-1])
	}
	return nodes, nil
}

// body compiles up to the end tag of a tag that has no other parts.
func (c *compiler) body(opening token, end string) []node {
	nodes, _ := c.block(opening, end)
	return nodes
}

// literal refuses text that was meant for a tag.
func (c *compiler) literal(t token) {
	if c.inVerbatim() {
		return
	}
	for _, end := range c.braces.LoneEnds(t.text) {
		c.line = t.line + strings.Count(t.text[:end.At], "\n")
		c.fail("%s ends no tag; {%% templatetag %%} prints it", end.Text)
	}
	for i := 0; i+1 < len(t.text); i++ {
		opening := t.text[i : i+2]
		closing, ok := map[string]string{"{{": "}}", "{%": "%}", "{#": "#}"}[opening]
		if !ok {
			continue
		}
		c.line = t.line + strings.Count(t.text[:i], "\n")
		if opening == "{#" {
			c.fail("%s is not closed by %s in its line; {%% comment %%} spans lines", opening, closing)
		} else {
			c.fail("%s is not closed by %s in its line", opening, closing)
		}
		i++
	}
}

func (c *compiler) inVerbatim() bool {
	for i := c.pos - 2; i >= 0; i-- {
		if t := c.tokens[i]; t.kind == tagToken {
			return t.text == "verbatim" || strings.HasPrefix(t.text, "verbatim ")
		}
	}
	return false
}

// print compiles {{ }}.
func (c *compiler) print(text string) node {
	if text == "" {
		c.fail("{{ }} is empty")
		return nil
	}
	e := c.expression(text)
	if e = c.printable(e); e == nil {
		return nil
	}
	if e.source == literalSource && len(e.filters) == 0 && e.literal.kind == str {
		return textNode(e.literal.text) // quoted text is safe
	}
	return &printNode{e, c.escape}
}

// printable makes text of a row; many rows are none.
func (c *compiler) printable(e *expression) *expression {
	switch {
	case e == nil:
	case e.shape.isRow():
		c.rowText(e)
	case e.shape.many:
		c.fail("%s are rows, and no value of their own; loop over them, or join their texts", e.text)
		return nil
	}
	return e
}

// rowText makes the row that an expression gives its text.
func (c *compiler) rowText(e *expression) {
	if e.shape.groups != nil {
		return
	}
	m, err := e.shape.scope.Member(textName)
	if err != nil {
		c.fail("%s is a row, and no value of its own; use its columns by name, or say what it prints as by computed: {%s: …} under tables", e.text, textName)
		return
	}
	e.add(rowTextStep(m))
	e.shape = shape{typ: TextType}
}

// declare makes a variable.
func (c *compiler) declare(text string, s shape) int {
	c.slots++
	c.names = append(c.names, name{text, c.slots - 1, s})
	return c.slots - 1
}

// assign returns the slot that `as name` writes to: that of the variable, where there is one.
func (c *compiler) assign(text string, s shape) int {
	if n := c.find(text); n != nil {
		n.shape = s
		return n.slot
	}
	return c.declare(text, s)
}

func (c *compiler) find(text string) *name {
	for i := len(c.names) - 1; i >= c.floor; i-- {
		if c.names[i].name == text {
			return &c.names[i]
		}
	}
	return nil
}

// hidden is a slot that no template can name.
func (c *compiler) hidden() int {
	c.slots++
	return c.slots - 1
}

// scoped runs f; the variables that it makes are gone after it.
func (c *compiler) scoped(f func()) {
	before := len(c.names)
	f()
	c.names = c.names[:before]
}

// tag compiles a tag.
func (c *compiler) tag(t token, words []string) node {
	if len(words) == 0 {
		c.fail("{%% %%} is empty")
		return nil
	}
	tag := words[0]
	if compile := c.tags[tag]; compile != nil {
		return compile(c, t, words)
	}
	if reason := refusedTags[tag]; reason != "" {
		c.fail("{%% %s %%} is not available: %s", tag, reason)
		c.strays = append(c.strays, "end"+tag)
		return nil
	}
	if slices.Contains(c.strays, tag) {
		return nil // what it ends was told
	}
	if slices.Contains(middleTags, tag) || strings.HasPrefix(tag, "end") && c.tags[tag[3:]] != nil {
		c.fail("{%% %s %%} is without the tag that it belongs to", tag)
		return nil
	}
	if slices.Contains(goWords, tag) {
		c.fail("there is no tag %q; in Go's templates it stands in {{ }}", tag)
		return nil
	}
	c.fail("there is no tag %q%s", tag, conf.DidYouMean(tag, tagNames()))
	c.strays = append(c.strays, "end"+tag)
	return nil
}

// middleTags stand between a tag and its end.
var middleTags = []string{"else", "elif", "empty", "plural"}

// goWords begin what is an action in Go's templates.
var goWords = []string{"range", "end", "define", "template", "block", "break", "continue"}
