package expression

import (
	"fmt"

	"github.com/expr-lang/expr/ast"

	"haystream/mapping/value"
)

const (
	maxList   = 1 << 20 // elements of a list
	loopSteps = 5       // that each turn of a loop takes
)

// budgetName is where a row has its budget. No expression can spell it.
const budgetName = "=budget"

// bounded are expr's own functions whose result can be far larger than what they
// are given, with its size.
var bounded = map[string]func(args []any) error{
	"repeat": func(args []any) error {
		s, _ := args[0].(string)
		n, ok := value.Normalize(args[1]).(int64)
		if !ok || n <= 0 || len(s) == 0 {
			return nil
		}
		return value.Fits(len(s) * int(min(n, value.MaxText+1)))
	},
	"replace": func(args []any) error {
		var texts [3]string
		for i := range texts {
			texts[i], _ = args[i].(string)
		}
		return value.Fits(value.ReplacedSize(texts[0], texts[1], texts[2]))
	},
	"join": func(args []any) error {
		list, _ := args[0].([]any)
		separator := ""
		if len(args) > 1 {
			separator, _ = args[1].(string)
		}
		return value.Fits(value.Size(list) + len(list)*len(separator))
	},
	"concat": func(args []any) error {
		n := 0
		for _, a := range args {
			list, _ := a.([]any)
			n += len(list)
		}
		if n > maxList {
			return fmt.Errorf("a list of more than %d elements is made", maxList)
		}
		return nil
	},
}

// fnStep is what loops within loops, and such as make text, go through.
const fnStep = "=step"

// takeStep takes a step, and more of them for what it is given.
func takeStep(args ...any) (any, error) {
	b, ok := args[0].(*value.Budget)
	if !ok {
		return args[1], nil
	}
	steps := loopSteps
	switch v := args[1].(type) {
	case string:
		steps += len(v) / 4 // it may be kept
	case []any:
		steps += len(v)
	}
	return args[1], b.Take(steps, "expression")
}

// A stepper counts the steps of loops that may be many: a loop over one list of
// a row is not counted. It runs when all functions are ours.
type stepper struct{ counts bool }

func (s *stepper) Visit(node *ast.Node) {
	loop, ok := (*node).(*ast.PredicateNode)
	if !ok {
		return
	}
	var loops []*ast.PredicateNode
	makes := false // text or lists
	ast.Walk(&loop.Node, visitor(func(node *ast.Node) {
		switch n := (*node).(type) {
		case *ast.PredicateNode:
			loops = append(loops, n)
		case *ast.CallNode:
			id, ok := n.Callee.(*ast.IdentifierNode)
			makes = makes || ok && (id.Value == operatorFunction("+") || id.Value != fnStep && id.Value[0] != internalPrefix[0])
		case *ast.BuiltinNode:
			makes = true
		}
	}))
	if makes || len(loops) > 0 {
		for _, inner := range append(loops, loop) {
			s.count(inner)
		}
	}
}

// count makes a loop count its steps.
func (s *stepper) count(loop *ast.PredicateNode) {
	if call, ok := loop.Node.(*ast.CallNode); ok {
		if id, ok := call.Callee.(*ast.IdentifierNode); ok && id.Value == fnStep {
			return
		}
	}
	s.counts = true
	loop.Node = &ast.CallNode{Callee: &ast.IdentifierNode{Value: fnStep}, Arguments: []ast.Node{
		&ast.MemberNode{Node: &ast.IdentifierNode{Value: "$env"}, Property: &ast.StringNode{Value: budgetName}}, loop.Node,
	}}
}
