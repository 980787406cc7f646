package expression

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	exprconf "github.com/expr-lang/expr/conf"

	"haystream/internal/conf"
	"haystream/mapping/value"
)

// decimalLiteral is the number that a person wrote, with all its digits.
func (p *patcher) decimalLiteral(n *ast.FloatNode) value.Decimal {
	runes := []rune(p.text)
	if at := n.Location(); at.From >= 0 && at.From < at.To && at.To <= len(runes) {
		written, err := value.ParseDecimal(strings.ReplaceAll(string(runes[at.From:at.To]), "_", ""))
		if f, _ := value.ToFloat(written); err == nil && f == n.Value {
			return written
		}
	}
	d, _ := value.ParseDecimal(strconv.FormatFloat(n.Value, 'g', -1, 64))
	return d
}

func (p *patcher) identifier(n *ast.IdentifierNode) {
	if n.Value == "$env" || p.lets[n.Value] {
		return
	}
	p.pending[n] = true // a function's name, as far as is known
	if !p.scope.Has(n.Value) {
		return
	}
	if p.isFunction(n.Value) {
		if t, column := p.scope.Column(n.Value); column {
			p.set(n, t)
		}
		return // noted where it turns out to be no function's name
	}
	p.set(n, p.lookUp(n, n.Value))
	delete(p.pending, n)
}

// condition makes NULL false where true or false is wanted.
func (p *patcher) condition(node *ast.Node) {
	switch t := p.types[*node]; {
	case t == BoolType && neverNull(*node):
	case t.boolean() || t.dynamic():
		n := *node
		p.replace(node, BoolType, fnTruth, n)
	case p.rows[*node].Scope == nil: // failUnused tells of rows
		p.fail(*node, "wants a condition, true or false, and this is %s", t)
	}
}

// neverNull reports whether a node of BoolType can never be NULL.
func neverNull(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BoolNode, *ast.UnaryNode:
		return true
	case *ast.BinaryNode:
		return n.Operator != "??"
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		return ok && strings.HasPrefix(id.Value, internalPrefix)
	}
	return false
}

func (p *patcher) unary(node *ast.Node, n *ast.UnaryNode) {
	switch n.Operator {
	case "!", "not":
		if call, ok := n.Node.(*ast.CallNode); ok {
			if id, ok := call.Callee.(*ast.IdentifierNode); ok && id.Value == fnIn {
				p.replace(node, BoolType, fnNotIn, call.Arguments...)
				return
			}
		}
		p.condition(&n.Node)
		p.set(n, BoolType)
	case "-":
		t := p.types[n.Node]
		if !t.dynamic() && !t.arithmetic() && t != DurationType {
			p.fail(n, "cannot negate %s", t)
		}
		p.replace(node, t, fnNegate, n.Node)
	default:
		p.set(n, p.types[n.Node])
	}
}

func (p *patcher) binary(node *ast.Node, n *ast.BinaryNode) {
	left, right := p.types[n.Left], p.types[n.Right]
	switch n.Operator {
	case "&&", "and", "||", "or":
		p.condition(&n.Left)
		p.condition(&n.Right)
		p.set(n, BoolType)
	case "==", "!=":
		if left == NullType || right == NullType {
			p.nullTest(node, n)
			return
		}
		p.comparison(node, n, left, right)
	case "<", "<=", ">", ">=":
		if p.compareClock(node, n) {
			p.timed = true
			return
		}
		p.comparison(node, n, left, right)
	case "in":
		if !right.dynamic() && right != ListType && right != ObjectType {
			p.fail(n, "`in` wants a list, not %s", right)
		}
		p.elements(n.Left, n.Right)
		p.replace(node, BoolType, fnIn, n.Left, n.Right)
	case "contains", "startsWith", "endsWith", "matches":
		for _, t := range []Type{left, right} {
			if !t.dynamic() && t != TextType {
				p.fail(n, "`%s` wants text, not %s", n.Operator, t)
			}
		}
		p.set(n, BoolType)
	case "??":
		p.set(n, commonType(left, right))
	case "..":
		p.set(n, ListType)
	case "+", "-", "*", "/", "%", "**", "^":
		if p.shiftClock(node, n) {
			return
		}
		t, ok := resultType(n.Operator, left, right)
		if !ok {
			p.fail(n, "cannot compute %s %s %s", left, n.Operator, right)
		}
		p.replace(node, t, operatorFunction(n.Operator), n.Left, n.Right)
	default:
		p.fail(n, "there is no operator %s", n.Operator)
	}
}

// nullTest makes == nil and != nil ask for NULL itself.
func (p *patcher) nullTest(node *ast.Node, n *ast.BinaryNode) {
	operand := n.Left
	if p.types[n.Left] == NullType {
		operand = n.Right
	}
	function := fnIsNull
	if n.Operator == "!=" {
		function = fnIsNotNull
	}
	p.takeRows(operand)
	p.replace(node, BoolType, function, operand)
}

func (p *patcher) comparison(node *ast.Node, n *ast.BinaryNode, left, right Type) {
	switch {
	case left == TimeType && right == TextType:
		p.timeLiteral(&n.Right)
	case left == TextType && right == TimeType:
		p.timeLiteral(&n.Left)
	case !canCompare(left, right):
		p.fail(n, "cannot compare %s with %s", left, right)
	}
	p.replace(node, BoolType, operatorFunction(n.Operator), n.Left, n.Right)
}

// timeLiteral reads text that is compared with a time.
func (p *patcher) timeLiteral(node *ast.Node) {
	s, ok := (*node).(*ast.StringNode)
	if !ok {
		p.fail(*node, "cannot compare text with a time; write date(…) around it")
		return
	}
	t, err := value.ParseTimeLiteral(s.Value, p.scope.Zone())
	if err != nil {
		p.fail(s, "%w", err)
		return
	}
	c := &ast.ConstantNode{Value: t}
	ast.Patch(node, c)
	p.set(c, TimeType)
}

// elements checks a list written out against what is looked for in it.
func (p *patcher) elements(wanted, list ast.Node) {
	array, ok := list.(*ast.ArrayNode)
	if !ok {
		return
	}
	t := p.types[wanted]
	for i := range array.Nodes {
		if t == TimeType && p.types[array.Nodes[i]] == TextType {
			p.timeLiteral(&array.Nodes[i])
		} else if !canCompare(t, p.types[array.Nodes[i]]) {
			p.fail(array.Nodes[i], "cannot compare %s with %s", t, p.types[array.Nodes[i]])
		}
	}
}

func (p *patcher) member(node *ast.Node, n *ast.MemberNode) {
	name, isName := n.Property.(*ast.StringNode)
	if env, ok := n.Node.(*ast.IdentifierNode); ok && env.Value == "$env" {
		if !isName {
			p.fail(n, "$env wants a column's name in quotes")
			return
		}
		id := &ast.IdentifierNode{Value: name.Value}
		t := p.lookUp(n, name.Value)
		ast.Patch(node, id)
		p.set(id, t)
		p.moveRows(n, id)
		return
	}
	if n.Method {
		return // call sees to it
	}
	if t := p.types[n.Node]; !t.dynamic() && t != ListType && t != ObjectType {
		p.fail(n, "%s has no members", t)
	}
	t, rows := AnyType, Rows{}
	switch v := p.takeRows(n.Node); {
	case v.Scope == nil:
	case isName:
		t, rows = p.memberOfRow(n, v, name.Value)
	case v.Many:
		t, rows = ObjectType, Rows{Scope: v.Scope}
	default:
		p.fail(n, "write the column's name after a dot")
	}
	p.replace(node, t, fnMember, n.Node, n.Property)
	p.noteRows(*node, rows)
}

// slice makes a missing bound nil: from the start, to the end.
func (p *patcher) slice(node *ast.Node, n *ast.SliceNode) {
	t := p.types[n.Node]
	if !t.dynamic() && t != ListType && t != TextType {
		p.fail(n, "cannot take a part of %s", t)
	}
	bounds := []ast.Node{n.From, n.To}
	for i := range bounds {
		if bounds[i] == nil {
			bounds[i] = &ast.NilNode{}
		}
	}
	of := n.Node
	p.replace(node, t, fnSlice, of, bounds[0], bounds[1])
	p.moveRows(of, *node)
}

// call checks a function's name, and rewrites a method's call.
func (p *patcher) call(node *ast.Node, n *ast.CallNode) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		delete(p.pending, callee)
		f, ok := p.functions[callee.Value]
		if !ok {
			p.fail(n, "there is no function %q%s", callee.Value, conf.DidYouMean(callee.Value, p.functionNames()))
			return
		}
		t, err := f.check(len(n.Arguments))
		if err != nil {
			p.fail(n, "%s: %w", callee.Value, err)
		}
		if callee.Value == "date" {
			p.zone = p.scope.Zone()
		}
		if f.likeArgument && len(n.Arguments) > 0 {
			t = p.types[n.Arguments[0]]
		}
		p.set(n, t)
		if slices.Contains(rowFunctions, callee.Value) && len(n.Arguments) == 1 {
			if v := p.takeRows(n.Arguments[0]); v.Many && callee.Value != "len" {
				p.set(n, ObjectType)
				p.noteRows(n, Rows{Scope: v.Scope})
			}
		}
	case *ast.MemberNode:
		name, ok := callee.Property.(*ast.StringNode)
		if !ok {
			p.fail(n, "this cannot be called")
			return
		}
		if t := p.types[callee.Node]; !t.dynamic() && t != TimeType && t != DurationType {
			p.fail(n, "%s has no method %q", t, name.Value)
		} else if _, ok := reflect.TypeFor[value.Time]().MethodByName(name.Value); t == TimeType && !ok {
			p.fail(n, "a time has no method %q", name.Value)
		}
		p.replace(node, AnyType, fnMethod, append([]ast.Node{callee.Node, name}, n.Arguments...)...)
	}
}

// predicates are the functions that take a condition on each element.
var predicates = []string{"all", "any", "none", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "groupBy", "reduce", "sum", "sortBy"}

// builtin looks at the functions that take a predicate; the others are calls.
func (p *patcher) builtin(node *ast.Node, n *ast.BuiltinNode) {
	switch n.Name {
	case "now":
		p.now(node, n)
		return
	case "all", "none", "any", "one", "filter", "find", "findIndex", "findLast", "findLastIndex", "count":
		if len(n.Arguments) > 1 {
			if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok {
				p.condition(&predicate.Node)
			}
		}
	case "sum":
		list := n.Arguments[0]
		if len(n.Arguments) > 1 {
			list = &ast.BuiltinNode{Name: "map", Arguments: n.Arguments}
			list.SetLocation(n.Location())
		}
		p.list(&list)
		p.replace(node, AnyType, fnSum, list)
		return
	}
	if !slices.Contains(predicates, n.Name) {
		p.fail(n, "there is no function %q%s", n.Name, conf.DidYouMean(n.Name, p.functionNames()))
		return
	}
	rows := p.rows[n.Arguments[0]]
	p.list(&n.Arguments[0])
	p.set(n, predicateType(n.Name))
	switch {
	case rows.Scope == nil:
	case n.Name == "filter", n.Name == "sortBy":
		p.noteRows(n, rows)
	case n.Name == "find", n.Name == "findLast":
		p.set(n, ObjectType)
		p.noteRows(n, Rows{Scope: rows.Scope})
	case n.Name == "groupBy":
		p.fail(n, "rows cannot be grouped")
	}
}

// list makes NULL an empty list where a list is gone through.
func (p *patcher) list(node *ast.Node) {
	t := p.types[*node]
	if b, ok := (*node).(*ast.BuiltinNode); ok && b.Name == "map" && t == AnyType {
		p.list(&b.Arguments[0])
		return
	}
	if !t.dynamic() && t != ListType {
		p.fail(*node, "wants a list, not %s", t)
	}
	n := *node
	if v := p.takeRows(n); v.Scope != nil && !v.Many {
		p.fail(n, "wants a list, not a row")
	}
	p.replace(node, ListType, fnList, n)
}

func predicateType(name string) Type {
	switch name {
	case "all", "none", "any", "one":
		return BoolType
	case "filter", "map", "sortBy":
		return ListType
	case "count", "findIndex", "findLastIndex":
		return IntType
	case "groupBy":
		return ObjectType
	}
	return AnyType
}

// register makes our functions, and expr's own made safe for NULL, known to
// the compiler.
func (p *patcher) register(c *exprconf.Config) {
	for name, f := range p.functions {
		c.Functions[name] = &builtin.Function{Name: name, Func: f.call}
	}
}

func (p *patcher) functionNames() []string {
	names := append(slices.Collect(maps.Keys(p.functions)), predicates...)
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, internalPrefix) })
	slices.Sort(names)
	return names
}
