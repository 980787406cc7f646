package expression

import (
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
)

// Rows of relations in expressions. A node that stands for rows is noted when
// it is visited, and taken by the node above that makes a value of it; one that
// nothing takes is a mistake.

// rowFunctions take rows as they take any list.
var rowFunctions = []string{"len", "first", "last"}

// keep notes that a node stands for rows.
func (p *patcher) keep(n ast.Node, v Rows) {
	if v.Scope != nil {
		p.rows[n] = v
	}
}

// take returns what rows a node stands for, which the caller makes a value of.
func (p *patcher) take(n ast.Node) Rows {
	v := p.rows[n]
	delete(p.rows, n)
	return v
}

// pass hands rows on from one node to the one that stands in its place.
func (p *patcher) pass(from, to ast.Node) { p.keep(to, p.take(from)) }

// memberOfRow looks a name up at a row and returns its type and what rows it stands for.
func (p *patcher) memberOfRow(n ast.Node, v Rows, name string) (Type, Rows) {
	if v.Many {
		p.fail(n, "there may be many rows before %q; use any, all, count, sum, map or the like", name)
		return AnyType, Rows{}
	}
	m, err := v.Scope.Member(name)
	if err != nil {
		p.fail(n, "%w", err)
		return AnyType, Rows{}
	}
	return m.Type, m.Rows
}

// untaken reports the rows that nothing makes a value of, and the now() that
// is compared with nothing.
func (p *patcher) untaken() {
	for n := range p.rows {
		p.fail(n, "rows are no value of their own; use their columns by name")
	}
	for n := range p.clocks {
		p.fail(n, "%s", nowRule)
	}
}

// pointers finds what # stands for in predicates over rows, by its place in
// the text: the list is known only when the predicate has been visited.
func (p *patcher) findPointers(root *ast.Node) {
	f := &builtinFinder{}
	ast.Walk(root, f)
	for _, b := range slices.Backward(f.found) { // outer ones first
		v := p.staticShape(b.Arguments[0])
		for i := range b.Arguments[1:] {
			ast.Walk(&b.Arguments[1+i], pointerSetter{p, Rows{Scope: v.Scope}})
		}
	}
}

type builtinFinder struct{ found []*ast.BuiltinNode }

func (f *builtinFinder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.BuiltinNode); ok && len(n.Arguments) > 1 {
		f.found = append(f.found, n)
	}
}

type pointerSetter struct {
	p *patcher
	v Rows
}

func (s pointerSetter) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.PointerNode); ok && n.Name == "" {
		s.p.pointers[n.Location().From] = s.v
	}
}

// staticShape is what rows a node that was not visited yet stands for.
func (p *patcher) staticShape(node ast.Node) Rows {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if p.lets[n.Value] {
			return Rows{}
		}
		return p.staticMember(Rows{Scope: p.scope}, n.Value)
	case *ast.PointerNode:
		return p.pointers[n.Location().From]
	case *ast.ChainNode:
		return p.staticShape(n.Node)
	case *ast.SliceNode:
		return p.staticShape(n.Node)
	case *ast.BuiltinNode:
		return p.staticCall(n.Name, n.Arguments)
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return p.staticCall(id.Value, n.Arguments)
		}
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		if env, isEnv := n.Node.(*ast.IdentifierNode); isEnv && env.Value == "$env" && ok {
			return p.staticMember(Rows{Scope: p.scope}, name.Value)
		}
		of := p.staticShape(n.Node)
		if of.Many {
			return Rows{Scope: of.Scope}
		}
		if ok {
			return p.staticMember(of, name.Value)
		}
	}
	return Rows{}
}

func (p *patcher) staticMember(v Rows, name string) Rows {
	if v.Scope == nil || v.Many {
		return Rows{}
	}
	m, _ := v.Scope.Member(name) // Visit reports the error
	return m.Rows
}

func (p *patcher) staticCall(name string, arguments []ast.Node) Rows {
	if len(arguments) == 0 {
		return Rows{}
	}
	v := p.staticShape(arguments[0])
	switch name {
	case "filter", "sortBy":
		return v
	case "find", "findLast", "first", "last":
		return Rows{Scope: v.Scope}
	}
	return Rows{}
}

// nowName is the variable that holds the clock. No expression can spell it.
const nowName = "=now"

const nowRule = "now() is for `where` only, compared by <, <=, > or >= with a column, plus or minus a constant duration"

// now stands for the current time.
func (p *patcher) now(node *ast.Node, n *ast.BuiltinNode) {
	if !p.nowAllowed || len(n.Arguments) > 0 {
		p.fail(n, "%s", nowRule)
		return
	}
	p.clock(node, 0)
}

// clock puts the clock, so far shifted, in the node's place.
func (p *patcher) clock(node *ast.Node, shift time.Duration) {
	id := &ast.IdentifierNode{Value: nowName}
	ast.Patch(node, id)
	p.set(id, TimeType)
	p.clocks[id] = shift
}

// shiftClock is now() plus or minus a constant; ok is false where the node is
// something else.
func (p *patcher) shiftClock(node *ast.Node, n *ast.BinaryNode) bool {
	clock, other := n.Left, n.Right
	shift, ok := p.clocks[clock]
	if !ok && n.Operator == "+" {
		clock, other = n.Right, n.Left
		shift, ok = p.clocks[clock]
	}
	if !ok {
		return false
	}
	by, constant := constantDuration(other)
	if n.Operator == "-" {
		by = -by
	}
	if !constant || n.Operator != "+" && n.Operator != "-" {
		return false
	}
	delete(p.clocks, clock)
	p.clock(node, shift+by)
	return true
}

// constantDuration reads duration("…"), as it is or negated.
func constantDuration(node ast.Node) (time.Duration, bool) {
	call, ok := node.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return 0, false
	}
	switch id, _ := call.Callee.(*ast.IdentifierNode); {
	case id == nil:
	case id.Value == fnNegate:
		d, ok := constantDuration(call.Arguments[0])
		return -d, ok
	case id.Value == "duration":
		text, ok := call.Arguments[0].(*ast.StringNode)
		if !ok {
			return 0, false
		}
		d, err := time.ParseDuration(text.Value)
		return d, err == nil
	}
	return 0, false
}

// compareClock makes a comparison with now() one that notes when its answer
// changes; ok is false where the comparison is another one.
func (p *patcher) compareClock(node *ast.Node, n *ast.BinaryNode) bool {
	value, clock, op := n.Left, n.Right, n.Operator
	shift, ok := p.clocks[clock]
	if !ok {
		value, clock = n.Right, n.Left
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
		shift, ok = p.clocks[clock]
	}
	if _, both := p.clocks[value]; !ok || both {
		return false
	}
	if k := p.types[value]; !k.dynamic() && k != TimeType {
		p.fail(n, "cannot compare %s with now()", k)
	}
	delete(p.clocks, clock)
	p.replace(node, BoolType, clockPrefix+op, value, clock, &ast.ConstantNode{Value: shift})
	return true
}
