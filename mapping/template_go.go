package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"haystream/internal/conf"
	"haystream/mapping/expression"
	"haystream/mapping/template/django"
	"haystream/mapping/value"
)

// A goTemplate is a template of Go's, compiled: over a row's boxed values.
type goTemplate struct {
	template *template.Template
	loops    bool
}

// rowName is the row's other name in templates, beside the dot.
const rowName = "object"

// Functions that every value printed, and every condition, goes through, and those
// that eq and ne are beside nil. No template can spell them.
const (
	showName    = "_show"
	truthName   = "_true"
	nullName    = "_null"
	notNullName = "_notnull"
)

// compileGo compiles text for the rows of a scope, and returns the row's own columns
// that it reads.
func compileGo(text string, c *scope) (*goTemplate, []int, error) {
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck // the walker tells all unknown ones, not the first
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return nil, nil, templateError(err)
	}
	root := shape{scope: c}
	functions := templateFunctions()
	counted := loopFunctions(functions)
	w := &templateWalker{root: root, tree: tree, rows: map[string]shape{"$": root}, functions: templateFunctionNames(), counted: counted}
	if len(trees) > 1 {
		w.fail(tree.Root, "define and block are not available")
	}
	w.list(tree.Root, root)
	if len(w.errs) > 0 {
		return nil, nil, errors.Join(w.errs...)
	}
	t, err := template.New("template").Funcs(functions).Funcs(counted).AddParseTree("template", tree)
	if err != nil {
		return nil, nil, fmt.Errorf("make template: %w", err)
	}
	slices.Sort(w.found)
	return &goTemplate{template: t, loops: w.looped}, w.found, nil
}

// templateError is an error of text/template without the template's name.
func templateError(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: template:")
	text = strings.TrimPrefix(text, "template: ")
	line, message, ok := strings.Cut(text, ": ")
	switch message {
	case "unclosed action":
		message = "a {{ is not closed by }}"
	case "unexpected EOF":
		message = "an {{ if }}, {{ range }} or {{ with }} has no {{ end }}"
	case "unexpected {{end}}":
		message = "an {{ end }} is without its {{ if }}, {{ range }} or {{ with }}"
	}
	if ok {
		return fmt.Errorf("%s (template line %s)", message, line)
	}
	return errors.New(text)
}

// run renders a boxed row onto out.
func (t *goTemplate) run(row map[string]any, out *textBuffer) error {
	if t.loops {
		row[budgetName] = value.NewBudget()
	}
	if err := t.template.Execute(out, row); err != nil {
		if exec, ok := errors.AsType[template.ExecError](err); ok {
			text := exec.Err.Error()
			if _, after, ok := strings.Cut(text, ">: "); ok {
				text = after
			}
			return errors.New(text)
		}
		return fmt.Errorf("render template: %w", err)
	}
	return nil
}

// A textBuffer is a reused io.Writer.
type textBuffer []byte

// Write fails where the text becomes too long.
func (b *textBuffer) Write(p []byte) (int, error) {
	if err := value.Fits(len(*b) + len(p)); err != nil {
		return 0, err
	}
	*b = append(*b, p...)
	return len(p), nil
}

// A templateWalker checks the names that a template uses, notes its columns,
// and rewrites it: `object` becomes $, and what is printed goes through show.
type templateWalker struct {
	root      shape
	tree      *parse.Tree
	rows      map[string]shape // variables that hold rows
	functions []string         // sorted
	found     []int            // columns of the root
	errs      []error

	counted template.FuncMap // functions that count what they make

	braces django.Braces // that text has opened
	looped bool          // there is a range
	loops  int           // that the walker is in
}

func (w *templateWalker) fail(n parse.Node, format string, args ...any) {
	location, _ := w.tree.ErrorContext(n)
	_, place, _ := strings.Cut(location, ":")
	line, _, _ := strings.Cut(place, ":")
	w.errs = append(w.errs, fmt.Errorf(format+" (template line %s)", append(args, line)...))
}

// list walks nodes; dot says what the dot is there.
func (w *templateWalker) list(l *parse.ListNode, dot shape) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			for _, end := range w.braces.LoneEnds(string(n.Text)) {
				w.fail(&parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos + parse.Pos(end.At)}, `%s ends no action; {{ "%[1]s" }} prints it`, end.Text)
			}
		case *parse.ActionNode:
			v := w.pipe(n.Pipe, dot)
			if len(n.Pipe.Decl) == 0 {
				w.noRow(n, v)
				w.appendFunction(n.Pipe, showName)
			}
		case *parse.IfNode:
			if v := w.pipe(n.Pipe, dot); v == w.root {
				w.noRow(n, v)
			}
			if len(n.Pipe.Decl) == 0 {
				w.appendFunction(n.Pipe, truthName)
			}
			w.branches(&n.BranchNode, dot, dot)
		case *parse.RangeNode:
			inside := w.element(n, dot)
			w.appendFunction(n.Pipe, spanName, w.rootNode(n.Pipe.Pos))
			w.looped = true
			w.loops++
			w.list(n.List, inside)
			w.loops--
			w.list(n.ElseList, dot)
		case *parse.WithNode:
			w.branches(&n.BranchNode, w.pipe(n.Pipe, dot), dot)
		case *parse.TemplateNode:
			w.fail(n, "template is not available")
		}
	}
}

// noRow refuses the row itself where a value is wanted: it would stand for
// every column.
func (w *templateWalker) noRow(n parse.Node, v shape) {
	switch {
	case v.many:
		w.fail(n, "rows are no value of their own; range over them, and use their columns by name")
	case v.scope != nil:
		w.fail(n, "the row is no value of its own; use its columns by name")
	}
}

func (w *templateWalker) branches(n *parse.BranchNode, inside, outside shape) {
	w.list(n.List, inside)
	w.list(n.ElseList, outside)
}

// appendFunction pipes a pipeline's value through a function of ours.
func (w *templateWalker) appendFunction(p *parse.PipeNode, name string, args ...parse.Node) {
	id := parse.NewIdentifier(name).SetTree(w.tree).SetPos(p.Pos)
	p.Cmds = append(p.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: p.Pos, Args: append([]parse.Node{id}, args...)})
}

// pipe walks a pipeline and returns what its value is.
func (w *templateWalker) pipe(p *parse.PipeNode, dot shape) shape {
	if p == nil {
		return shape{}
	}
	var v shape
	if len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 1 {
		p.Cmds[0].Args[0], v = w.operand(p.Cmds[0].Args[0], dot, 0)
	} else {
		for _, c := range p.Cmds {
			w.command(c, dot)
		}
	}
	for _, d := range p.Decl {
		w.rows[d.Ident[0]] = v
	}
	return v
}

func (w *templateWalker) rootNode(pos parse.Pos, fields ...string) parse.Node {
	return &parse.VariableNode{NodeType: parse.NodeVariable, Pos: pos, Ident: append([]string{"$"}, fields...)}
}

func (w *templateWalker) command(c *parse.CommandNode, dot shape) {
	first := 0
	if id, ok := c.Args[0].(*parse.IdentifierNode); ok {
		switch {
		case id.Ident == "index" && len(c.Args) > 2:
			row, v := w.operand(c.Args[1], dot, 0)
			c.Args[1] = row
			if name, ok := c.Args[2].(*parse.StringNode); ok && v.scope != nil && !v.many {
				w.noRow(c, w.names(c, v, []string{name.Text}, 0))
				return
			}
			w.noRow(c, v)
			first = 2
		case (id.Ident == "len" || id.Ident == "not") && len(c.Args) == 2:
			row, v := w.operand(c.Args[1], dot, 0)
			c.Args[1] = row
			if !v.many && (v == w.root || id.Ident == "len") {
				w.noRow(c, v)
			}
			return
		case id.Ident == rowName && len(c.Args) > 1:
			w.fail(c, "%s takes no arguments", rowName)
			return
		}
	}
	defer w.countText(c)
	defer w.nullTest(c)
	for i := first; i < len(c.Args); i++ {
		arguments := 0
		if i == 0 {
			arguments = len(c.Args) - 1
		}
		var v shape
		c.Args[i], v = w.operand(c.Args[i], dot, arguments)
		w.noRow(c, v)
	}
}

// nullTest makes `eq X nil` and `ne X nil` ask for NULL itself, as expressions do.
func (w *templateWalker) nullTest(c *parse.CommandNode) {
	i := slices.IndexFunc(c.Args, func(n parse.Node) bool { return n.Type() == parse.NodeNil })
	id, ok := c.Args[0].(*parse.IdentifierNode)
	if i < 0 || !ok {
		return
	}
	function := map[string]string{"eq": nullName, "ne": notNullName}[id.Ident]
	switch {
	case function == "":
		return
	case len(c.Args) > 3:
		w.fail(c, "%s compares nil with one value only", id.Ident)
		return
	}
	c.Args = slices.Delete(c.Args, i, i+1)
	c.Args[0] = parse.NewIdentifier(function).SetTree(w.tree).SetPos(id.Pos)
}

// countText makes a function that makes text count it, in a loop.
func (w *templateWalker) countText(c *parse.CommandNode) {
	id, ok := c.Args[0].(*parse.IdentifierNode)
	if !ok || w.loops == 0 {
		return
	}
	if _, makes := w.counted[loopPrefix+id.Ident]; makes {
		name := parse.NewIdentifier(loopPrefix + id.Ident).SetTree(w.tree).SetPos(id.Pos)
		c.Args = append([]parse.Node{name, w.rootNode(id.Pos)}, c.Args[1:]...)
	}
}

// operand checks one operand, called with so many arguments, and returns what
// stands in its place and what its value is.
func (w *templateWalker) operand(n parse.Node, dot shape, arguments int) (parse.Node, shape) {
	switch n := n.(type) {
	case *parse.DotNode:
		return n, dot
	case *parse.IdentifierNode:
		if n.Ident == rowName {
			return w.rootNode(n.Pos), w.root
		}
		if _, known := slices.BinarySearch(w.functions, n.Ident); !known {
			w.fail(n, "there is no function %q%s", n.Ident, conf.DidYouMean(n.Ident, w.functions))
		}
	case *parse.FieldNode:
		if dot.scope != nil {
			return n, w.names(n, dot, n.Ident, arguments)
		}
	case *parse.VariableNode:
		if v := w.rows[n.Ident[0]]; v.scope != nil {
			return n, w.names(n, v, n.Ident[1:], arguments)
		}
	case *parse.PipeNode:
		return n, w.pipe(n, dot)
	case *parse.ChainNode:
		inner, v := w.operand(n.Node, dot, 0)
		if v.scope == nil {
			n.Node = inner
			return n, shape{}
		}
		if id, ok := n.Node.(*parse.IdentifierNode); ok && id.Ident == rowName {
			return w.rootNode(n.Pos, n.Field...), w.names(n, v, n.Field, arguments)
		}
		n.Node = inner
		return n, w.names(n, v, n.Field, arguments)
	}
	return n, shape{}
}

// names follows names from a row, one after the other, and returns what the
// last one is.
func (w *templateWalker) names(n parse.Node, v shape, names []string, arguments int) shape {
	for len(names) > 0 {
		if v.many {
			w.fail(n, "there may be many rows before %q; range over them", names[0])
			return shape{}
		}
		m, err := v.scope.member(names[0])
		if err != nil {
			w.fail(n, "%w", err)
			return shape{}
		}
		if m.rows.scope == nil {
			w.value(n, v.scope, m, names, arguments)
			return shape{}
		}
		v, names = m.rows, names[1:]
	}
	if arguments > 0 && v.scope != nil {
		w.fail(n, "a relation takes no arguments")
	}
	return v
}

// value notes a column, and checks the names after it.
func (w *templateWalker) value(n parse.Node, s *scope, m named, names []string, arguments int) {
	if m.column >= 0 && s.parent == nil && !slices.Contains(w.found, m.column) {
		w.found = append(w.found, m.column)
	}
	if len(names) == 1 {
		if arguments > 0 {
			w.fail(n, "column %q takes no arguments", names[0])
		}
		return
	}
	if m.computed != nil {
		w.fail(n, "column %q is computed and has no member %q", names[0], names[1])
		return
	}
	switch t := &s.column(m.column).Type; expression.TypeOf(t) {
	case expression.AnyType, expression.ObjectType:
	case expression.TimeType:
		if _, ok := reflect.TypeFor[value.Time]().MethodByName(names[1]); !ok {
			w.fail(n, "a time has no method %q", names[1])
		}
	default:
		w.fail(n, "column %q is %s and has no member %q", names[0], t.SQL, names[1])
	}
}

// element walks the pipeline of a range and returns what the dot is in it.
func (w *templateWalker) element(n *parse.RangeNode, dot shape) shape {
	list := w.pipe(n.Pipe, dot)
	if list.scope != nil && !list.many {
		w.noRow(n, list)
	}
	row := shape{scope: list.scope}
	for i, d := range n.Pipe.Decl {
		w.rows[d.Ident[0]] = shape{}
		if i == len(n.Pipe.Decl)-1 {
			w.rows[d.Ident[0]] = row
		}
	}
	return row
}
