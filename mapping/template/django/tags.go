package django

import (
	"maps"
	"slices"
	"strings"
)

// A tagCompiler compiles a tag, given its words. nil where there is a mistake, or
// nothing to render.
type tagCompiler func(c *compiler, t token, words []string) node

func allTags() map[string]tagCompiler {
	return map[string]tagCompiler{
		"autoescape":     compileAutoescape,
		"blocktrans":     compileBlockTranslate,
		"blocktranslate": compileBlockTranslate,
		"comment":        compileComment,
		"cycle":          compileCycle,
		"filter":         compileFilter,
		"firstof":        compileFirstOf,
		"for":            compileFor,
		"if":             compileIf,
		"ifchanged":      compileIfChanged,
		"include":        compileInclude,
		"load":           compileLoad,
		"regroup":        compileRegroup,
		"resetcycle":     compileResetCycle,
		"spaceless":      compileSpaceless,
		"templatetag":    compileTemplateTag,
		"trans":          compileTranslate,
		"translate":      compileTranslate,
		"verbatim":       compileVerbatim,
		"widthratio":     compileWidthRatio,
		"with":           compileWith,
	}
}

// tagNames lists the tags, and those that end or part them, sorted.
func tagNames() []string {
	names := slices.Clone(middleTags)
	for name := range maps.Keys(allTags()) {
		names = append(names, name)
		if slices.Contains(blockTags, name) {
			names = append(names, "end"+name)
		}
	}
	slices.Sort(names)
	return names
}

// blockTags have an end tag.
var blockTags = []string{
	"autoescape", "blocktrans", "blocktranslate", "comment", "filter", "for", "if", "ifchanged", "spaceless", "verbatim", "with",
}

// refusedTags are Django's own that there are not, with the reason.
var refusedTags = map[string]string{
	"block":       inheritance,
	"csrf_token":  "there is no request",
	"debug":       "it shows Python's own structures",
	"extends":     inheritance,
	"lorem":       "it shows made-up text",
	"now":         asks,
	"partial":     "an included file does what it does",
	"partialdef":  "an included file does what it does",
	"querystring": "there is no request",
	"url":         "the URLs of the Django project are not known; write the path as text with the row's values in it",

	"cache": "documents are rendered once for each change", "endcache": "documents are rendered once for each change",
	"get_available_languages": english, "get_current_language": english, "get_current_language_bidi": english,
	"get_language_info": english, "get_language_info_list": english, "language": english,
	"get_current_timezone": zoned, "localtime": zoned,
	"timezone":         zoned,
	"get_media_prefix": "the settings of the Django project are not known", "get_static_prefix": "the settings of the Django project are not known",
	"static": "the settings of the Django project are not known", "localize": "numbers and dates are printed as in English",
}

const (
	inheritance = "a template includes others, and inherits from none"
	english     = "all is printed as in English, and texts are not translated"
)

// textNode prints text of the template.
type textNode string

func (n textNode) render(m *Machine) error {
	m.out = append(m.out, n...)
	return nil
}

// printNode prints a value.
type printNode struct {
	*expression
	escape bool
}

func (n *printNode) render(m *Machine) error {
	v, err := n.value(m, false)
	if err != nil {
		return err
	}
	before := len(m.out)
	m.out = m.appendPrinted(m.out, v, n.escape)
	return m.steps(0, len(m.out)-before)
}

// listNode renders others.
type listNode []node

func (n listNode) render(m *Machine) error { return m.nodes(n) }

func compileAutoescape(c *compiler, t token, words []string) node {
	saved := c.escape
	if len(words) != 2 || words[1] != "on" && words[1] != "off" {
		c.fail("autoescape is on or off: {%% autoescape off %%}")
	} else {
		c.escape = words[1] == "on"
	}
	nodes := c.body(t, "endautoescape")
	c.escape = saved
	return listNode(nodes)
}

func compileComment(c *compiler, _ token, _ []string) node {
	for ; c.pos < len(c.tokens); c.pos++ {
		if inner := c.tokens[c.pos]; inner.kind == tagToken && inner.text == "endcomment" {
			c.pos++
			return nil
		}
	}
	c.fail("{%% comment %%} has no {%% endcomment %%}")
	return nil
}

func compileVerbatim(c *compiler, t token, _ []string) node {
	return listNode(c.body(t, "endverbatim"))
}

var templateTags = map[string]string{
	"openblock": "{%", "closeblock": "%}", "openvariable": "{{", "closevariable": "}}",
	"openbrace": "{", "closebrace": "}", "opencomment": "{#", "closecomment": "#}",
}

func compileTemplateTag(c *compiler, _ token, words []string) node {
	if len(words) != 2 || templateTags[words[1]] == "" {
		c.fail("templatetag is one of %s", strings.Join(slices.Sorted(maps.Keys(templateTags)), ", "))
		return nil
	}
	return textNode(templateTags[words[1]])
}

// libraries are those of Django itself, and of haystack, that load may name.
var libraries = []string{"admin_list", "admin_modify", "admin_urls", "cache", "flatpages", "highlight", "humanize", "i18n", "l10n", "log", "more_like_this", "static", "tz"}

func compileLoad(c *compiler, _ token, words []string) node {
	names := words[1:]
	if n := len(names); n >= 3 && names[n-2] == "from" {
		names = names[n-1:]
	}
	for _, name := range names {
		if !slices.Contains(libraries, name) {
			c.fail("the library %q is not Django's own: what its tags and filters do can be a computed column, or an expression", name)
		}
	}
	return nil
}

// spacelessNode takes out spaces between HTML's tags.
type spacelessNode struct{ nodes []node }

func compileSpaceless(c *compiler, t token, _ []string) node {
	return &spacelessNode{c.body(t, "endspaceless")}
}

func (n *spacelessNode) render(m *Machine) error {
	text, err := m.capture(n.nodes)
	if err != nil {
		return err
	}
	text = trimSpace(text)
	for text != "" {
		i := strings.IndexByte(text, '>') + 1
		if i == 0 {
			break
		}
		m.out = append(m.out, text[:i]...)
		text = text[i:]
		if rest := strings.TrimLeftFunc(text, isSpace); strings.HasPrefix(rest, "<") {
			text = rest
		}
	}
	m.out = append(m.out, text...)
	return nil
}

// filterNode puts what is printed through filters.
type filterNode struct {
	*expression
	nodes []node
}

func compileFilter(c *compiler, t token, words []string) node {
	_, rest, _ := strings.Cut(t.text, " ")
	n := &filterNode{}
	c.scoped(func() {
		c.declare("var", shape{})
		n.expression = c.expression("var|" + trimSpace(rest))
	})
	for _, name := range []string{"escape", "safe"} {
		if n.expression != nil && slices.ContainsFunc(n.filters, func(f call) bool { return f.filter == filters[name] }) {
			c.fail("the filter %s is not for the tag filter; there is the tag autoescape", name)
			n.expression = nil
		}
	}
	n.nodes = c.body(t, "endfilter")
	if n.expression == nil {
		return nil
	}
	return n
}

func (n *filterNode) render(m *Machine) error {
	text, err := m.capture(n.nodes)
	if err != nil {
		return err
	}
	m.slots[m.base+n.slot] = safeText(text)
	v, err := n.value(m, false)
	if err == nil && v.kind != str {
		err = failure("the tag filter wants filters that give text, not %s", v.typeName())
	}
	m.out = append(m.out, v.text...)
	return err
}

// ifNode renders the nodes of the first condition that holds. The last may have none.
type ifNode struct {
	conditions []condition
	bodies     [][]node
}

func compileIf(c *compiler, t token, words []string) node {
	n := &ifNode{}
	sound := true
	for words[0] != "endif" {
		var when condition
		switch {
		case words[0] == "else" && len(words) > 1 && words[1] == "if":
			c.fail("{%% else if %%} is {%% elif %%}")
			sound = false
		case words[0] != "else":
			if when = c.condition(words[1:]); when == nil {
				sound = false
			}
		}
		ends := []string{"elif", "else", "endif"}
		if words[0] == "else" {
			ends = ends[2:]
		}
		if words[0] == "else" && len(words) > 1 && words[1] != "if" {
			c.fail("%q is not expected in {%% else %%}", words[1])
			sound = false
		}
		body, end := c.block(t, ends...)
		n.conditions, n.bodies = append(n.conditions, when), append(n.bodies, body)
		if end == nil {
			return nil
		}
		words = end
	}
	if !sound {
		return nil
	}
	return n
}

func (n *ifNode) render(m *Machine) error {
	for i, when := range n.conditions {
		if when != nil {
			v, err := when.value(m)
			if err != nil {
				return err
			}
			if !v.truth() {
				continue
			}
		}
		return m.nodes(n.bodies[i])
	}
	return nil
}

// withNode gives values names.
type withNode struct {
	assignments
	nodes []node
}

// assignments are values with the slots that they go to.
type assignments struct {
	slots  []int
	values []*expression
}

func (a *assignments) assign(m *Machine) error {
	values := make([]Value, len(a.values))
	for i, e := range a.values {
		var err error
		if values[i], err = e.value(m, false); err != nil {
			return err
		}
		if values[i].kind == missing {
			values[i] = Text("")
		}
	}
	for i, slot := range a.slots {
		m.slots[m.base+slot] = values[i]
	}
	return nil
}

// assignment is one name=value of a tag.
type assignment struct {
	name  string
	value *expression
}

// assigned reads name=value, or value as name, from the front of words.
func (c *compiler) assigned(words []string) (found []assignment, rest []string) {
	for len(words) > 0 {
		name, text, named := strings.Cut(words[0], "=")
		switch {
		case named && name != "" && text != "" && strings.IndexFunc(name, func(r rune) bool { return r < 0x80 && !isWord(byte(r)) }) < 0:
			words = words[1:]
		case len(words) > 2 && words[1] == "as":
			name, text = words[2], words[0]
			words = words[3:]
			if len(words) > 1 && words[0] == "and" {
				words = words[1:]
			}
		default:
			return found, words
		}
		found = append(found, assignment{name, c.expression(text)})
	}
	return found, nil
}

// declared makes variables of assignments.
func (c *compiler) declared(found []assignment) assignments {
	var a assignments
	for _, f := range found {
		if f.value == nil {
			c.declare(f.name, shape{}) // what is wrong with it was told
			continue
		}
		a.slots = append(a.slots, c.declare(f.name, f.value.shape))
		a.values = append(a.values, f.value)
	}
	return a
}

func compileWith(c *compiler, t token, words []string) node {
	n := &withNode{}
	c.scoped(func() {
		found, rest := c.assigned(words[1:])
		switch {
		case len(found) == 0:
			c.fail("with wants name=value")
		case len(rest) > 0:
			c.fail("%q is not expected in {%% with %%}", rest[0])
		}
		n.assignments = c.declared(found)
		n.nodes = c.body(t, "endwith")
	})
	return n
}

func (n *withNode) render(m *Machine) error {
	if err := n.assign(m); err != nil {
		return err
	}
	return m.nodes(n.nodes)
}
