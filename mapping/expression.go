package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// An expression is a compiled `where` or `expr`. It runs on the boxed row of a
// view. The language is expr-lang's with SQL's NULL and exact numbers: its
// operators are replaced by the functions of operate.go.
type expression struct {
	program *vm.Program
	columns []int // of the root
	kind    kind
	timely  bool // depends on the current time
	counts  bool // its steps
}

// run evaluates the expression for the row that v holds.
func (e *expression) run(v *view) (any, error) {
	if e.counts {
		left := budget(maxSteps)
		v.values[budgetName] = &left
	}
	out, err := v.machine.Run(e.program, v.values)
	if err != nil {
		return nil, errors.New(exprMessage(err))
	}
	return out, nil
}

// compileExpression compiles text for the rows of a scope. boolean wants a
// condition, which may depend on the current time.
func compileExpression(text string, c *scope, boolean bool) (*expression, error) {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, errors.New(exprMessage(err))
	}
	p := &patcher{
		text: text, scope: c, functions: functions(), timely: boolean,
		kinds: map[ast.Node]kind{}, lets: map[string]bool{}, pending: map[*ast.IdentifierNode]bool{},
		rows: map[ast.Node]shape{}, pointers: map[int]shape{}, clocks: map[ast.Node]time.Duration{},
	}
	ast.Walk(&tree.Node, (*letFinder)(p))
	p.findPointers(&tree.Node)
	steps := &stepper{}
	program, err := expr.Compile(text,
		expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), p.register, expr.Patch(p), expr.Patch((*columnNamer)(p)), expr.Patch(steps))
	p.resolve()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	if err != nil {
		return nil, errors.New(exprMessage(err))
	}
	e := &expression{program: program, kind: p.root, columns: p.sortedColumns(), timely: p.timed, counts: steps.counts}
	if boolean && !e.kind.open() && !e.kind.decides() {
		return nil, fmt.Errorf("wants a condition, true or false, and this is %s", e.kind)
	}
	return e, nil
}

// exprMessage is an error of the expression language on one line.
func exprMessage(err error) string {
	if e, ok := errors.AsType[*file.Error](err); ok {
		message := strings.TrimSpace(e.Message)
		if message == "unexpected token EOF" {
			message = "something is missing at the end"
		}
		if message == `unexpected token Operator("=")` {
			message += "; == compares"
		}
		message = tokenMessage.ReplaceAllString(message, "unexpected $1")
		return fmt.Sprintf("%s (line %d, character %d)", message, e.Line, e.Column+1)
	}
	return err.Error()
}

// tokenMessage is how the parser names what it does not expect.
var tokenMessage = regexp.MustCompile(`unexpected token \w+\((".*")\)`)

// A patcher rewrites a syntax tree, bottom up, to our operators, checks names
// and kinds, and notes the columns used.
type patcher struct {
	text      string
	scope     *scope
	functions map[string]function
	kinds     map[ast.Node]kind
	lets      map[string]bool              // variables that the expression declares
	pending   map[*ast.IdentifierNode]bool // columns, unless a call makes them functions' names
	rows      map[ast.Node]shape           // nodes that stand for rows of relations, until they are taken
	pointers  map[int]shape                // what # stands for, by its place in the text
	clocks    map[ast.Node]time.Duration   // now() plus so much, until it is compared
	timely    bool                         // now() is allowed
	timed     bool                         // and there
	found     []int                        // columns of the root
	root      kind
	errs      []error
}

// letFinder notes the variables that an expression declares.
type letFinder patcher

func (f *letFinder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.VariableDeclaratorNode); ok {
		f.lets[n.Name] = true
		if f.scope.table.Column(n.Name) >= 0 {
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
	k, v := p.memberOfRow(n, shape{scope: p.scope}, name)
	p.keep(n, v)
	return k
}

// resolve looks up the identifiers that turned out to be no functions' names.
func (p *patcher) resolve() {
	for n := range p.pending {
		p.take(n)
		m, err := p.scope.member(n.Value)
		if err != nil {
			p.fail(n, "%w", err)
		}
		if m.rows.scope != nil {
			p.fail(n, "%q is a function's name too; write $env[%q]", n.Value, n.Value)
		}
		if m.column >= 0 && !slices.Contains(p.found, m.column) {
			p.found = append(p.found, m.column)
		}
	}
	p.untaken()
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
	case *ast.PointerNode:
		if v := p.pointers[n.Location().From]; v.scope != nil && n.Name == "" {
			p.set(n, kindObject)
			p.keep(n, v)
		}
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
		p.pass(n.Node, n)
	case *ast.PredicateNode:
		p.set(n, p.kinds[n.Node])
	case *ast.VariableDeclaratorNode:
		p.set(n, p.kinds[n.Expr])
	case *ast.SequenceNode:
		p.set(n, p.kinds[n.Nodes[len(n.Nodes)-1]])
	}
	p.root = p.kinds[*node]
}
