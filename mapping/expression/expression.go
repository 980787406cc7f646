// Package expression is the language of `where` and `expr`: expr-lang's with
// SQL's NULL and exact numbers. Its operators are replaced by those of package
// value. What names mean is asked of a Scope.
package expression

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

	"haystream/mapping/value"
)

// A Scope tells what names mean at a row.
type Scope interface {
	// Has reports whether a name has a meaning.
	Has(name string) bool

	// Column returns the type of a column; ok is false where no column has the name.
	Column(name string) (t Type, ok bool)

	// Member looks a name up, and notes that the expression reads it.
	Member(name string) (Member, error)

	// Zone is what dates are of that are written without a zone.
	Zone() *time.Location
}

// A Member is what a name stands for: a value, or rows.
type Member struct {
	Type Type
	Rows Rows
}

// Rows are what a relation leads to. Without a Scope they are none.
type Rows struct {
	Scope Scope
	Many  bool // a list of rows, not one
}

// An Expression is a compiled expression.
type Expression struct {
	program *vm.Program
	typ     Type
	timed   bool // depends on the current time
	counts  bool // its steps
}

// Type is the type of the values that the expression gives.
func (e *Expression) Type() Type { return e.typ }

// Timed reports whether the expression depends on the current time.
func (e *Expression) Timed() bool { return e.timed }

// A Machine runs expressions. One for each goroutine.
type Machine struct {
	vm    vm.VM
	clock clock
}

// Run evaluates an expression for a row, given as its values by name.
func (m *Machine) Run(e *Expression, row map[string]any) (any, error) {
	if e.counts {
		row[budgetName] = value.NewBudget()
	}
	if e.timed {
		row[nowName] = &m.clock
	}
	out, err := m.vm.Run(e.program, row)
	if err != nil {
		return nil, errors.New(message(err))
	}
	return out, nil
}

// Matches evaluates a condition for a row. NULL is false.
func (m *Machine) Matches(e *Expression, row map[string]any) (bool, error) {
	v, err := m.Run(e, row)
	if err != nil {
		return false, err
	}
	return value.Truth(v)
}

// Compile compiles text for the rows of a scope.
func Compile(text string, at Scope) (*Expression, error) { return compile(text, at, false, false) }

// CompileCondition compiles a condition for the rows of a scope. It may depend
// on the current time.
func CompileCondition(text string, at Scope) (*Expression, error) {
	return compile(text, at, true, true)
}

// CompileFilter compiles a condition for the rows of a scope. It may not depend on
// the current time.
func CompileFilter(text string, at Scope) (*Expression, error) { return compile(text, at, true, false) }

func compile(text string, at Scope, condition, timed bool) (*Expression, error) {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, errors.New(message(err))
	}
	p := &patcher{
		text: text, scope: at, nowAllowed: timed,
		types: map[ast.Node]Type{}, lets: map[string]bool{}, pending: map[*ast.IdentifierNode]bool{},
		rows: map[ast.Node]Rows{}, pointers: map[int]Rows{}, clocks: map[ast.Node]time.Duration{},
	}
	p.functions = functions()
	p.functions["date"] = p.date(p.functions["date"])
	each(&tree.Node, p.declare)
	p.findPointers(&tree.Node)
	steps := &stepper{}
	program, err := expr.Compile(text,
		expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), p.register, expr.Patch(p), expr.Patch(visitor(p.nameColumn)), expr.Patch(steps))
	p.resolve()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	if err != nil {
		return nil, errors.New(message(err))
	}
	e := &Expression{program: program, typ: p.root, timed: p.timed, counts: steps.counts}
	if condition && !e.typ.dynamic() && !e.typ.boolean() {
		return nil, fmt.Errorf("wants a condition, true or false, and this is %s", e.typ)
	}
	return e, nil
}

// message is an error of the expression language on one line.
func message(err error) string {
	if e, ok := errors.AsType[*file.Error](err); ok {
		text := strings.TrimSpace(e.Message)
		if text == "unexpected token EOF" {
			text = "something is missing at the end"
		}
		if text == `unexpected token Operator("=")` {
			text += "; == compares"
		}
		text = tokenMessage.ReplaceAllString(text, "unexpected $1")
		return fmt.Sprintf("%s (line %d, character %d)", text, e.Line, e.Column+1)
	}
	return err.Error()
}

// tokenMessage is how the parser names what it does not expect.
var tokenMessage = regexp.MustCompile(`unexpected token \w+\((".*")\)`)

// A patcher rewrites a syntax tree, bottom up, to our operators, and checks names
// and types.
type patcher struct {
	text       string
	scope      Scope
	functions  map[string]function
	types      map[ast.Node]Type
	lets       map[string]bool              // variables that the expression declares
	pending    map[*ast.IdentifierNode]bool // columns, unless a call makes them functions' names
	rows       map[ast.Node]Rows            // nodes that stand for rows of relations, until they are taken
	pointers   map[int]Rows                 // what # stands for, by its place in the text
	clocks     map[ast.Node]time.Duration   // now() plus so much, until it is compared
	nowAllowed bool
	timed      bool           // now() is there
	zone       *time.Location // of date(); nil where it is not called
	root       Type
	errs       []error
}

// A visitor is called for every node after its children.
type visitor func(*ast.Node)

// Visit calls the visitor.
func (v visitor) Visit(node *ast.Node) { v(node) }

// each calls f for every node of one kind, below root and root itself.
func each[N ast.Node](root *ast.Node, f func(N)) {
	ast.Walk(root, visitor(func(node *ast.Node) {
		if n, ok := (*node).(N); ok {
			f(n)
		}
	}))
}

// declare notes a variable that the expression declares.
func (p *patcher) declare(n *ast.VariableDeclaratorNode) {
	p.lets[n.Name] = true
	if _, column := p.scope.Column(n.Name); column {
		p.errs = append(p.errs, fmt.Errorf("%q is a column; give the variable another name", n.Name))
	}
}

// nameColumn keeps columns apart from functions of the same name. It runs when
// the patcher has seen which names are called.
func (p *patcher) nameColumn(node *ast.Node) {
	n, ok := (*node).(*ast.IdentifierNode)
	if !ok || !p.pending[n] {
		return
	}
	if p.isFunction(n.Value) {
		ast.Patch(node, &ast.MemberNode{Node: &ast.IdentifierNode{Value: "$env"}, Property: &ast.StringNode{Value: n.Value}})
	}
}

// isFunction reports whether a function has the name.
func (p *patcher) isFunction(name string) bool {
	_, ours := p.functions[name]
	return ours || slices.Contains(predicates, name)
}

func (p *patcher) fail(n ast.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format+" (at character %d)", append(args, n.Location().From+1)...))
}

func (p *patcher) lookUp(n ast.Node, name string) Type {
	t, v := p.memberOfRow(n, Rows{Scope: p.scope}, name)
	p.noteRows(n, v)
	return t
}

// resolve looks up the identifiers that turned out to be no functions' names.
func (p *patcher) resolve() {
	for n := range p.pending {
		p.takeRows(n)
		m, err := p.scope.Member(n.Value)
		if err != nil {
			p.fail(n, "%w", err)
		}
		if m.Rows.Scope != nil {
			p.fail(n, "%q is a function's name too; write $env[%q]", n.Value, n.Value)
		}
	}
	p.failUnused()
	slices.SortFunc(p.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}

// replace puts a call of one of our functions in the node's place.
func (p *patcher) replace(node *ast.Node, t Type, function string, arguments ...ast.Node) {
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: function}, Arguments: arguments}
	ast.Patch(node, call)
	p.types[call] = t
}

func (p *patcher) set(n ast.Node, t Type) { p.types[n] = t }

// Visit is called for every node after its children; the root is the last.
func (p *patcher) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.NilNode:
		p.set(n, NullType)
	case *ast.BoolNode:
		p.set(n, BoolType)
	case *ast.IntegerNode:
		p.set(n, IntType)
	case *ast.FloatNode:
		c := &ast.ConstantNode{Value: p.decimalLiteral(n)}
		ast.Patch(node, c)
		p.set(c, DecimalType)
	case *ast.StringNode:
		p.set(n, TextType)
	case *ast.ArrayNode:
		p.set(n, ListType)
	case *ast.MapNode:
		p.set(n, ObjectType)
	case *ast.IdentifierNode:
		p.identifier(n)
	case *ast.PointerNode:
		if v := p.pointers[n.Location().From]; v.Scope != nil && n.Name == "" {
			p.set(n, ObjectType)
			p.noteRows(n, v)
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
		p.set(n, commonType(p.types[n.Exp1], p.types[n.Exp2]))
	case *ast.SliceNode:
		p.slice(node, n)
	case *ast.ChainNode:
		p.set(n, p.types[n.Node])
		p.moveRows(n.Node, n)
	case *ast.PredicateNode:
		p.set(n, p.types[n.Node])
	case *ast.VariableDeclaratorNode:
		p.set(n, p.types[n.Expr])
	case *ast.SequenceNode:
		p.set(n, p.types[n.Nodes[len(n.Nodes)-1]])
	}
	p.root = p.types[*node]
}
