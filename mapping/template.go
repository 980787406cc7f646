package mapping

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"haystream/internal/conf"
)

// A textTemplate is a compiled template over a view.
type textTemplate struct {
	template *template.Template
	columns  []int
}

// rowName is the row's other name in templates, beside the dot.
const rowName = "object"

// Functions that every value printed, and every condition, goes through. No
// template can spell them.
const (
	showName  = "_show"
	truthName = "_true"
)

// compileTemplate compiles text for a table.
func compileTemplate(text string, c *columns) (*textTemplate, error) {
	t, err := template.New("template").Funcs(templateFunctions()).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	if t.Tree == nil || t.Root == nil {
		return nil, errors.New("the template is empty")
	}
	w := &templateWalker{columns: c, tree: t.Tree, rows: map[string]bool{"$": true}}
	if len(t.Templates()) > 1 {
		w.fail(t.Root, "define and block are not available")
	}
	w.list(t.Root, true)
	if len(w.errs) > 0 {
		return nil, errors.Join(w.errs...)
	}
	slices.Sort(w.found)
	return &textTemplate{template: t, columns: w.found}, nil
}

// templateError is an error of text/template without the template's name, and
// with the nearest name for an unknown function.
func templateError(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: template:")
	text = strings.TrimPrefix(text, "template: ")
	line, message, ok := strings.Cut(text, ": ")
	if _, unknown, found := strings.Cut(message, `function "`); found {
		name, _, _ := strings.Cut(unknown, `"`)
		message += conf.DidYouMean(name, slices.Sorted(maps.Keys(templateFunctions())))
	}
	if ok {
		return fmt.Errorf("%s (template line %s)", message, line)
	}
	return errors.New(text)
}

// run renders the row that v holds onto out.
func (t *textTemplate) run(v *view, out *textBuffer) error {
	if err := t.template.Execute(out, v.values); err != nil {
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

// Write never fails.
func (b *textBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// A templateWalker checks the names that a template uses, notes its columns,
// and rewrites it: `object` becomes $, and what is printed goes through show.
type templateWalker struct {
	columns *columns
	tree    *parse.Tree
	rows    map[string]bool // variables that hold the row
	found   []int
	errs    []error
}

func (w *templateWalker) fail(n parse.Node, format string, args ...any) {
	location, _ := w.tree.ErrorContext(n)
	_, place, _ := strings.Cut(location, ":")
	line, _, _ := strings.Cut(place, ":")
	w.errs = append(w.errs, fmt.Errorf(format+" (template line %s)", append(args, line)...))
}

// list walks nodes; row says whether the dot is the row there.
func (w *templateWalker) list(l *parse.ListNode, row bool) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			whole := w.pipe(n.Pipe, row)
			if len(n.Pipe.Decl) == 0 {
				w.noRow(n, whole)
				w.appendFunction(n.Pipe, showName)
			}
		case *parse.IfNode:
			w.noRow(n, w.pipe(n.Pipe, row))
			if len(n.Pipe.Decl) == 0 {
				w.appendFunction(n.Pipe, truthName)
			}
			w.branches(&n.BranchNode, row, row)
		case *parse.RangeNode:
			w.noRow(n, w.pipe(n.Pipe, row))
			w.branches(&n.BranchNode, false, row)
		case *parse.WithNode:
			w.branches(&n.BranchNode, w.pipe(n.Pipe, row), row)
		case *parse.TemplateNode:
			w.fail(n, "template is not available")
		}
	}
}

// noRow refuses the row itself where a value is wanted: it would stand for
// every column.
func (w *templateWalker) noRow(n parse.Node, whole bool) {
	if whole {
		w.fail(n, "the row is no value of its own; use its columns by name")
	}
}

func (w *templateWalker) branches(n *parse.BranchNode, inside, outside bool) {
	w.list(n.List, inside)
	w.list(n.ElseList, outside)
}

// appendFunction pipes a pipeline's value through a function of ours.
func (w *templateWalker) appendFunction(p *parse.PipeNode, name string) {
	id := parse.NewIdentifier(name).SetTree(w.tree).SetPos(p.Pos)
	p.Cmds = append(p.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: p.Pos, Args: []parse.Node{id}})
}

// pipe walks a pipeline and reports whether its value is the row itself.
func (w *templateWalker) pipe(p *parse.PipeNode, row bool) bool {
	if p == nil {
		return false
	}
	whole := len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 1 && w.isRow(p.Cmds[0].Args[0], row)
	if whole {
		w.rename(p.Cmds[0].Args)
	} else {
		for _, c := range p.Cmds {
			w.command(c, row)
		}
	}
	for _, d := range p.Decl {
		w.rows[d.Ident[0]] = whole
	}
	return whole
}

// isRow reports whether n stands for the row itself.
func (w *templateWalker) isRow(n parse.Node, row bool) bool {
	switch n := n.(type) {
	case *parse.DotNode:
		return row
	case *parse.IdentifierNode:
		return n.Ident == rowName
	case *parse.VariableNode:
		return len(n.Ident) == 1 && w.rows[n.Ident[0]]
	}
	return false
}

// rename makes `object` the variable $.
func (w *templateWalker) rename(args []parse.Node) {
	if id, ok := args[0].(*parse.IdentifierNode); ok && id.Ident == rowName {
		args[0] = w.root(id.Pos)
	}
}

func (w *templateWalker) root(pos parse.Pos, fields ...string) parse.Node {
	return &parse.VariableNode{NodeType: parse.NodeVariable, Pos: pos, Ident: append([]string{"$"}, fields...)}
}

func (w *templateWalker) command(c *parse.CommandNode, row bool) {
	if id, ok := c.Args[0].(*parse.IdentifierNode); ok {
		switch {
		case id.Ident == "index" && len(c.Args) > 2 && w.isRow(c.Args[1], row):
			if name, ok := c.Args[2].(*parse.StringNode); ok {
				w.use(c, []string{name.Text}, 0)
				w.rename(c.Args[1:2])
				return
			}
		case id.Ident == rowName && len(c.Args) > 1:
			w.fail(c, "%s takes no arguments", rowName)
			return
		case slices.Contains([]string{"call", "html", "js", "urlquery"}, id.Ident):
			w.fail(c, "there is no function %q", id.Ident)
		}
	}
	for i, arg := range c.Args {
		arguments := 0
		if i == 0 {
			arguments = len(c.Args) - 1
		}
		c.Args[i] = w.argument(arg, row, arguments)
	}
}

// argument checks one operand, called with so many arguments, and returns what
// stands in its place.
func (w *templateWalker) argument(n parse.Node, row bool, arguments int) parse.Node {
	if w.isRow(n, row) {
		w.noRow(n, true)
		return n
	}
	switch n := n.(type) {
	case *parse.FieldNode:
		if row {
			w.use(n, n.Ident, arguments)
		}
	case *parse.VariableNode:
		if w.rows[n.Ident[0]] {
			w.use(n, n.Ident[1:], arguments)
		}
	case *parse.PipeNode:
		w.pipe(n, row)
	case *parse.ChainNode:
		if w.isRow(n.Node, row) {
			w.use(n, n.Field, arguments)
			return w.root(n.Pos, n.Field...)
		}
		if p, ok := n.Node.(*parse.PipeNode); ok {
			if w.pipe(p, row) {
				w.use(n, n.Field, arguments)
			}
			return n
		}
		n.Node = w.argument(n.Node, row, 0)
	}
	return n
}

// use notes a column, and checks the names after it.
func (w *templateWalker) use(n parse.Node, names []string, arguments int) {
	i, err := w.columns.use(names[0])
	if err != nil {
		w.unknown(n, names, err)
		return
	}
	if !slices.Contains(w.found, i) {
		w.found = append(w.found, i)
	}
	if len(names) == 1 {
		if arguments > 0 {
			w.fail(n, "column %q takes no arguments", names[0])
		}
		return
	}
	switch t := &w.columns.column(i).Type; kindOf(t) {
	case kindAny, kindObject:
	case kindTime:
		if _, ok := reflect.TypeFor[Time]().MethodByName(names[1]); !ok {
			w.fail(n, "a time has no method %q", names[1])
		}
	default:
		w.fail(n, "column %q is %s and has no member %q", names[0], t.SQL, names[1])
	}
}

func (w *templateWalker) unknown(n parse.Node, names []string, err error) {
	if len(names) > 1 && w.columns.table.Column(names[0]+"_id") >= 0 {
		w.fail(n, "%q is not a column, and following the relation %q into another table is not in this version yet", names[0], names[0])
		return
	}
	w.fail(n, "%w", err)
}
