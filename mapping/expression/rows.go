package expression

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Rows of relations in expressions. A node that stands for rows is noted when
// it is visited, and taken by the node above that makes a value of it; one that
// nothing takes is a mistake.

// rowFunctions take rows as they take any list.
var rowFunctions = []string{"len", "first", "last"}

// noteRows notes that a node stands for rows.
func (p *patcher) noteRows(n ast.Node, v Rows) {
	if v.Scope != nil {
		p.rows[n] = v
	}
}

// takeRows returns what rows a node stands for, which the caller makes a value of.
func (p *patcher) takeRows(n ast.Node) Rows {
	v := p.rows[n]
	delete(p.rows, n)
	return v
}

// moveRows hands rows from one node to the one that takes its place.
func (p *patcher) moveRows(from, to ast.Node) { p.noteRows(to, p.takeRows(from)) }

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

// failUnused reports the rows that nothing makes a value of, and the now() that
// is compared with nothing.
func (p *patcher) failUnused() {
	for n := range p.rows {
		p.fail(n, "rows are no value of their own; use their columns by name")
	}
	for n := range p.clocks {
		p.fail(n, "%s", nowRule)
	}
}

// findPointers finds what # stands for in predicates over rows, by its place in
// the text. A predicate is visited before its list is known.
func (p *patcher) findPointers(root *ast.Node) {
	var calls []*ast.BuiltinNode
	each(root, func(n *ast.BuiltinNode) { calls = append(calls, n) })
	for _, b := range slices.Backward(calls) { // outer ones first
		for i := 1; i < len(b.Arguments); i++ {
			v := p.rowsOf(b.Arguments[0])
			each(&b.Arguments[i], func(n *ast.PointerNode) {
				if n.Name == "" {
					p.pointers[n.Location().From] = Rows{Scope: v.Scope}
				}
			})
		}
	}
}

// rowsOf is what rows a node that was not visited yet stands for.
func (p *patcher) rowsOf(node ast.Node) Rows {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if p.lets[n.Value] {
			return Rows{}
		}
		return p.rowsOfMember(Rows{Scope: p.scope}, n.Value)
	case *ast.PointerNode:
		return p.pointers[n.Location().From]
	case *ast.ChainNode:
		return p.rowsOf(n.Node)
	case *ast.SliceNode:
		return p.rowsOf(n.Node)
	case *ast.BuiltinNode:
		return p.rowsOfCall(n.Name, n.Arguments)
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return p.rowsOfCall(id.Value, n.Arguments)
		}
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		if env, isEnv := n.Node.(*ast.IdentifierNode); isEnv && env.Value == "$env" && ok {
			return p.rowsOfMember(Rows{Scope: p.scope}, name.Value)
		}
		of := p.rowsOf(n.Node)
		if of.Many {
			return Rows{Scope: of.Scope}
		}
		if ok {
			return p.rowsOfMember(of, name.Value)
		}
	}
	return Rows{}
}

func (p *patcher) rowsOfMember(v Rows, name string) Rows {
	if v.Scope == nil || v.Many {
		return Rows{}
	}
	m, _ := v.Scope.Member(name) // Visit reports the error
	return m.Rows
}

func (p *patcher) rowsOfCall(name string, arguments []ast.Node) Rows {
	if len(arguments) == 0 {
		return Rows{}
	}
	v := p.rowsOf(arguments[0])
	switch name {
	case "filter", "sortBy":
		return v
	case "find", "findLast", "first", "last":
		return Rows{Scope: v.Scope}
	}
	return Rows{}
}
