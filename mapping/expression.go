package mapping

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	exprconf "github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"haystream/internal/conf"
)

// An expression is a compiled `where` or `expr`. It runs on the boxed row of a
// view. The language is expr-lang's with SQL's NULL and exact numbers: its
// operators are replaced by the functions of operate.go.
type expression struct {
	program *vm.Program
	columns []int
	kind    kind
}

// run evaluates the expression for the row that v holds.
func (e *expression) run(v *view) (any, error) {
	out, err := v.machine.Run(e.program, v.values)
	if err != nil {
		return nil, errors.New(exprMessage(err))
	}
	return out, nil
}

// compileExpression compiles text for a table. boolean wants a condition.
func compileExpression(text string, c *columns, boolean bool) (*expression, error) {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, errors.New(exprMessage(err))
	}
	p := &patcher{
		text: text, columns: c, functions: functions(),
		kinds: map[ast.Node]kind{}, lets: map[string]bool{}, pending: map[*ast.IdentifierNode]bool{},
	}
	ast.Walk(&tree.Node, (*letFinder)(p))
	program, err := expr.Compile(text,
		expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), p.register, expr.Patch(p), expr.Patch((*columnNamer)(p)))
	p.resolve()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	if err != nil {
		return nil, errors.New(exprMessage(err))
	}
	e := &expression{program: program, kind: p.root, columns: p.sortedColumns()}
	if boolean && !e.kind.open() && e.kind != kindBool {
		return nil, fmt.Errorf("wants a condition, true or false, and this is %s", e.kind)
	}
	return e, nil
}

// exprMessage is an error of the expression language on one line.
func exprMessage(err error) string {
	var e *file.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%s (line %d, character %d)", strings.TrimSpace(e.Message), e.Line, e.Column+1)
	}
	return err.Error()
}

// A patcher rewrites a syntax tree, bottom up, to our operators, checks names
// and kinds, and notes the columns used.
type patcher struct {
	text      string
	columns   *columns
	functions map[string]function
	kinds     map[ast.Node]kind
	lets      map[string]bool              // variables that the expression declares
	pending   map[*ast.IdentifierNode]bool // columns, unless a call makes them functions' names
	found     []int
	root      kind
	errs      []error
}

// letFinder notes the variables that an expression declares.
type letFinder patcher

func (f *letFinder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.VariableDeclaratorNode); ok {
		f.lets[n.Name] = true
		if f.columns.table.Column(n.Name) >= 0 {
			f.errs = append(f.errs, fmt.Errorf("%q is a column; give the variable another name", n.Name))
		}
	}
}

// columnNamer keeps columns apart from functions of the same name. It runs
// when the patcher has seen which names are called.
type columnNamer patcher

func (c *columnNamer) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.IdentifierNode)
	if !ok || !c.pending[n] {
		return
	}
	if _, taken := c.functions[n.Value]; taken || slices.Contains(predicates, n.Value) {
		ast.Patch(node, &ast.MemberNode{Node: &ast.IdentifierNode{Value: "$env"}, Property: &ast.StringNode{Value: n.Value}})
	}
}

func (p *patcher) fail(n ast.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format+" (at character %d)", append(args, n.Location().From+1)...))
}

func (p *patcher) use(n ast.Node, name string) kind {
	i, err := p.columns.use(name)
	if err != nil {
		p.fail(n, "%w", err)
		return kindAny
	}
	if !slices.Contains(p.found, i) {
		p.found = append(p.found, i)
	}
	return kindOf(&p.columns.column(i).Type)
}

// resolve looks up the identifiers that turned out to be no functions' names.
func (p *patcher) resolve() {
	for n := range p.pending {
		p.use(n, n.Value)
	}
	slices.SortFunc(p.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}

func (p *patcher) sortedColumns() []int {
	slices.Sort(p.found)
	return p.found
}

// replace puts a call of one of our functions in the node's place.
func (p *patcher) replace(node *ast.Node, k kind, function string, arguments ...ast.Node) {
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: function}, Arguments: arguments}
	ast.Patch(node, call)
	p.kinds[call] = k
}

func (p *patcher) set(n ast.Node, k kind) { p.kinds[n] = k }

// Visit is called for every node after its children; the root is the last.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.NilNode:
		p.set(n, kindNull)
	case *ast.BoolNode:
		p.set(n, kindBool)
	case *ast.IntegerNode:
		p.set(n, kindInt)
	case *ast.FloatNode:
		c := &ast.ConstantNode{Value: p.decimalLiteral(n)}
		ast.Patch(node, c)
		p.set(c, kindDecimal)
	case *ast.StringNode:
		p.set(n, kindText)
	case *ast.ArrayNode:
		p.set(n, kindList)
	case *ast.MapNode:
		p.set(n, kindObject)
	case *ast.IdentifierNode:
		p.identifier(n)
	case *ast.UnaryNode:
		p.unary(node, n)
	case *ast.BinaryNode:
		p.binary(node, n)
	case *ast.MemberNode:
		p.member(node, n)
	case *ast.CallNode:
		p.call(node, n)
	case *ast.BuiltinNode:
		p.builtin(node, n)
	case *ast.ConditionalNode:
		p.condition(&n.Cond)
		p.set(n, either(p.kinds[n.Exp1], p.kinds[n.Exp2]))
	case *ast.SliceNode:
		p.slice(node, n)
	case *ast.ChainNode:
		p.set(n, p.kinds[n.Node])
	case *ast.PredicateNode:
		p.set(n, p.kinds[n.Node])
	case *ast.VariableDeclaratorNode:
		p.set(n, p.kinds[n.Expr])
	case *ast.SequenceNode:
		p.set(n, p.kinds[n.Nodes[len(n.Nodes)-1]])
	}
	p.root = p.kinds[*node]
}

// decimalLiteral is the number that a person wrote, with all its digits.
func (p *patcher) decimalLiteral(n *ast.FloatNode) Decimal {
	runes := []rune(p.text)
	if at := n.Location(); at.From >= 0 && at.From < at.To && at.To <= len(runes) {
		written := Decimal{strings.ReplaceAll(string(runes[at.From:at.To]), "_", "")}
		if _, err := written.exact(); err == nil && written.float() == n.Value {
			return written
		}
	}
	return Decimal{strconv.FormatFloat(n.Value, 'g', -1, 64)}
}

func (p *patcher) identifier(n *ast.IdentifierNode) {
	if n.Value == "$env" || p.lets[n.Value] {
		return
	}
	if i := p.columns.table.Column(n.Value); i >= 0 {
		p.set(n, kindOf(&p.columns.column(i).Type))
	}
	p.pending[n] = true // a function's name, as far as is known
}

// condition makes NULL false where true or false is wanted.
func (p *patcher) condition(node *ast.Node) {
	switch k := p.kinds[*node]; {
	case k == kindBool && isOurBool(*node):
	case k == kindBool || k.open():
		n := *node
		p.replace(node, kindBool, fnTruth, n)
	default:
		p.fail(*node, "wants a condition, true or false, and this is %s", k)
	}
}

// isOurBool reports whether a node of kindBool can never be NULL.
func isOurBool(n ast.Node) bool {
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
				p.replace(node, kindBool, fnNotIn, call.Arguments...)
				return
			}
		}
		p.condition(&n.Node)
		p.set(n, kindBool)
	case "-":
		k := p.kinds[n.Node]
		if !k.open() && !k.numeric() && k != kindDuration {
			p.fail(n, "cannot negate %s", k)
		}
		p.replace(node, k, fnNegate, n.Node)
	default:
		p.set(n, p.kinds[n.Node])
	}
}

func (p *patcher) binary(node *ast.Node, n *ast.BinaryNode) {
	left, right := p.kinds[n.Left], p.kinds[n.Right]
	switch n.Operator {
	case "&&", "and", "||", "or":
		p.condition(&n.Left)
		p.condition(&n.Right)
		p.set(n, kindBool)
	case "==", "!=":
		if left == kindNull || right == kindNull {
			p.nullTest(node, n)
			return
		}
		p.comparison(node, n, left, right)
	case "<", "<=", ">", ">=":
		p.comparison(node, n, left, right)
	case "in":
		if !right.open() && right != kindList && right != kindObject {
			p.fail(n, "`in` wants a list, not %s", right)
		}
		p.elements(n.Left, n.Right)
		p.replace(node, kindBool, fnIn, n.Left, n.Right)
	case "contains", "startsWith", "endsWith", "matches":
		for _, k := range []kind{left, right} {
			if !k.open() && k != kindText {
				p.fail(n, "`%s` wants text, not %s", n.Operator, k)
			}
		}
		p.set(n, kindBool)
	case "??":
		p.set(n, either(left, right))
	case "..":
		p.set(n, kindList)
	case "+", "-", "*", "/", "%", "**", "^":
		k, ok := reckoned(n.Operator, left, right)
		if !ok {
			p.fail(n, "cannot reckon %s %s %s", left, n.Operator, right)
		}
		p.replace(node, k, operatorFunction(n.Operator), n.Left, n.Right)
	default:
		p.fail(n, "there is no operator %s", n.Operator)
	}
}

// nullTest makes == nil and != nil ask for NULL itself.
func (p *patcher) nullTest(node *ast.Node, n *ast.BinaryNode) {
	value := n.Left
	if p.kinds[n.Left] == kindNull {
		value = n.Right
	}
	function := fnIsNull
	if n.Operator == "!=" {
		function = fnIsNotNull
	}
	p.replace(node, kindBool, function, value)
}

func (p *patcher) comparison(node *ast.Node, n *ast.BinaryNode, left, right kind) {
	switch {
	case left == kindTime && right == kindText:
		p.timeLiteral(&n.Right)
	case left == kindText && right == kindTime:
		p.timeLiteral(&n.Left)
	case !comparable(left, right):
		p.fail(n, "cannot compare %s with %s", left, right)
	}
	p.replace(node, kindBool, operatorFunction(n.Operator), n.Left, n.Right)
}

// timeLiteral reads text that is compared with a time.
func (p *patcher) timeLiteral(node *ast.Node) {
	s, ok := (*node).(*ast.StringNode)
	if !ok {
		p.fail(*node, "cannot compare text with a time; write date(…) around it")
		return
	}
	t, err := parseTimeLiteral(s.Value)
	if err != nil {
		p.fail(s, "%w", err)
		return
	}
	c := &ast.ConstantNode{Value: t}
	ast.Patch(node, c)
	p.set(c, kindTime)
}

// elements checks a list written out against what is looked for in it.
func (p *patcher) elements(value, list ast.Node) {
	array, ok := list.(*ast.ArrayNode)
	if !ok {
		return
	}
	k := p.kinds[value]
	for i := range array.Nodes {
		if k == kindTime && p.kinds[array.Nodes[i]] == kindText {
			p.timeLiteral(&array.Nodes[i])
		} else if !comparable(k, p.kinds[array.Nodes[i]]) {
			p.fail(array.Nodes[i], "cannot compare %s with %s", k, p.kinds[array.Nodes[i]])
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
		k := p.use(n, name.Value)
		id := &ast.IdentifierNode{Value: name.Value}
		ast.Patch(node, id)
		p.set(id, k)
		return
	}
	if n.Method {
		return // call sees to it
	}
	if k := p.kinds[n.Node]; !k.open() && k != kindList && k != kindObject {
		p.fail(n, "%s has no members", k)
	}
	p.replace(node, kindAny, fnMember, n.Node, n.Property)
}

// slice makes a missing bound nil: from the start, to the end.
func (p *patcher) slice(node *ast.Node, n *ast.SliceNode) {
	k := p.kinds[n.Node]
	if !k.open() && k != kindList && k != kindText {
		p.fail(n, "cannot take a part of %s", k)
	}
	bounds := []ast.Node{n.From, n.To}
	for i := range bounds {
		if bounds[i] == nil {
			bounds[i] = &ast.NilNode{}
		}
	}
	p.replace(node, k, fnSlice, n.Node, bounds[0], bounds[1])
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
		k, err := f.check(len(n.Arguments))
		if err != nil {
			p.fail(n, "%s: %w", callee.Value, err)
		}
		if f.likeArgument && len(n.Arguments) > 0 {
			k = p.kinds[n.Arguments[0]]
		}
		p.set(n, k)
	case *ast.MemberNode:
		name, ok := callee.Property.(*ast.StringNode)
		if !ok {
			p.fail(n, "this cannot be called")
			return
		}
		if k := p.kinds[callee.Node]; !k.open() && k != kindTime && k != kindDuration {
			p.fail(n, "%s has no method %q", k, name.Value)
		} else if _, ok := reflect.TypeFor[Time]().MethodByName(name.Value); k == kindTime && !ok {
			p.fail(n, "a time has no method %q", name.Value)
		}
		p.replace(node, kindAny, fnMethod, append([]ast.Node{callee.Node, name}, n.Arguments...)...)
	}
}

// predicates are the functions that take a condition on each element.
var predicates = []string{"all", "any", "none", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "groupBy", "reduce", "sum", "sortBy"}

// builtin looks at the functions that take a predicate; the others are calls.
func (p *patcher) builtin(node *ast.Node, n *ast.BuiltinNode) {
	switch n.Name {
	case "now":
		p.fail(n, "now() is not in this version yet: conditions on the current time come later")
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
		p.replace(node, kindAny, fnTotal, list)
		return
	}
	if !slices.Contains(predicates, n.Name) {
		p.fail(n, "there is no function %q%s", n.Name, conf.DidYouMean(n.Name, p.functionNames()))
		return
	}
	p.list(&n.Arguments[0])
	p.set(n, predicateKind(n.Name))
}

// list makes NULL an empty list where a list is gone through.
func (p *patcher) list(node *ast.Node) {
	k := p.kinds[*node]
	if b, ok := (*node).(*ast.BuiltinNode); ok && b.Name == "map" && k == kindAny {
		p.list(&b.Arguments[0])
		return
	}
	if !k.open() && k != kindList {
		p.fail(*node, "wants a list, not %s", k)
	}
	n := *node
	p.replace(node, kindList, fnList, n)
}

func predicateKind(name string) kind {
	switch name {
	case "all", "none", "any", "one":
		return kindBool
	case "filter", "map", "sortBy":
		return kindList
	case "count", "findIndex", "findLastIndex":
		return kindInt
	case "groupBy":
		return kindObject
	}
	return kindAny
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
