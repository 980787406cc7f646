package mapping

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/expr-lang/expr/ast"
)

// Bounds on what a template or an expression may make of one row. They are far
// beyond any document that a search engine takes; what passes them is a mistake,
// and the document a dead letter.
const (
	maxText  = 32 << 20 // bytes of a text
	maxList  = 1 << 20  // elements of a list
	maxSteps = 10_000_000

	loopSteps = 5  // an expression's loop takes so many each time
	stepBytes = 64 // bytes of text made in a loop that count as one more step
)

// A budget is what is left of maxSteps. It is among the values of a row, where
// no template and no expression can spell it.
type budget int

const budgetName = "=budget"

func (b *budget) take(steps int, what string) error {
	if *b -= budget(min(max(steps, 0), maxSteps+1)); *b < 0 {
		return fmt.Errorf("the %s takes more than %d steps for one row", what, maxSteps)
	}
	return nil
}

// fits refuses a text that would be too long.
func fits(n int) error {
	if n > maxText || n < 0 {
		return fmt.Errorf("a text of more than %d MiB is made", maxText>>20)
	}
	return nil
}

// Functions that templates call in loops, with the row's values first. No
// template can spell them.
const (
	spanName   = "_span"
	loopPrefix = "_loop_"
)

// loopFunctions are those of the functions that templates may call which make
// text: in a loop that counts.
func loopFunctions(all template.FuncMap) template.FuncMap {
	loop := template.FuncMap{spanName: span}
	charge := func(row map[string]any, made string, err error) (string, error) {
		b, ok := row[budgetName].(*budget)
		if err == nil && ok {
			err = b.take(len(made)/stepBytes, "template")
		}
		return made, err
	}
	for name, f := range all {
		switch f := f.(type) {
		case func(any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, v any) (string, error) {
				made, err := f(v)
				return charge(row, made, err)
			}
		case func(string, any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, s string, v any) (string, error) {
				made, err := f(s, v)
				return charge(row, made, err)
			}
		case func(int, any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, n int, v any) (string, error) {
				made, err := f(n, v)
				return charge(row, made, err)
			}
		case func(string, string, any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, from, to string, v any) (string, error) {
				made, err := f(from, to, v)
				return charge(row, made, err)
			}
		case func(...any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, args ...any) (string, error) {
				made, err := f(args...)
				return charge(row, made, err)
			}
		case func(string, ...any) (string, error):
			loop[loopPrefix+name] = func(row map[string]any, format string, args ...any) (string, error) {
				made, err := f(format, args...)
				return charge(row, made, err)
			}
		}
	}
	return loop
}

// span takes as many steps as a range over v has.
func span(row map[string]any, v any) (any, error) {
	b, ok := row[budgetName].(*budget)
	if !ok {
		return v, nil
	}
	return v, b.take(lengthOf(v), "template")
}

// lengthOf is how often a range over v runs, at most.
func lengthOf(v any) int {
	switch v := plain(v).(type) {
	case []any:
		return len(v)
	case int64:
		return int(v)
	case map[string]any:
		return len(v)
	case string:
		return len(v)
	}
	return 1
}

// sprint, sprintln and sprintf are text/template's print, println and printf,
// that make no text that is too long.
func sprint(args ...any) (string, error) {
	if err := fits(sizes(args)); err != nil {
		return "", err
	}
	return fmt.Sprint(args...), nil
}

func sprintln(args ...any) (string, error) {
	if err := fits(sizes(args)); err != nil {
		return "", err
	}
	return fmt.Sprintln(args...), nil
}

func sprintf(format string, args ...any) (string, error) {
	if err := fits(formatted(format, args)); err != nil {
		return "", err
	}
	return fmt.Sprintf(format, args...), nil
}

// formatted is what a format makes, at most: fmt pads to no more than a million.
func formatted(format string, args []any) int {
	const widest = 1_000_000
	n, each := len(format), sizes(args)
	if !strings.Contains(format, "[") {
		n, each = n+each, 0 // each argument is printed once
	}
	for i := 0; i < len(format) && n <= maxText; i++ {
		if format[i] != '%' {
			continue
		}
		n += each
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0; {
			digits := 0
			for ; i < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
				digits = min(10*digits+int(format[i]-'0'), widest)
			}
			if n += digits; i < len(format) && format[i] == '*' {
				n += widest
			}
			if digits == 0 || i < len(format) && format[i] == '*' {
				i++
			}
		}
	}
	return n
}

// sizes is what values print as, about.
func sizes(values []any) (n int) {
	for _, v := range values {
		switch v := plain(v).(type) {
		case string:
			n += len(v) + 1
		case []any:
			n += sizes(v)
		case map[string]any:
			for name, v := range v {
				n += len(name) + sizes([]any{v})
			}
		default:
			n += 16
		}
	}
	return n
}

// growth is how long a text is after from is replaced by to.
func growth(s, from, to string) int {
	if len(to) <= len(from) {
		return len(s)
	}
	return len(s) + strings.Count(s, from)*(len(to)-len(from))
}

// joinedSize is how long texts are with a separator between them.
func joinedSize(texts []string, separator string) int {
	n := max(len(texts)-1, 0) * len(separator)
	for _, s := range texts {
		n += len(s)
	}
	return n
}

// bounded are expr's own functions whose result can be far larger than what they
// are given, with its size.
var bounded = map[string]func(args []any) error{
	"repeat": func(args []any) error {
		s, _ := args[0].(string)
		n, ok := plain(args[1]).(int64)
		if !ok || n <= 0 || len(s) == 0 {
			return nil
		}
		return fits(len(s) * int(min(n, maxText+1)))
	},
	"replace": func(args []any) error {
		var texts [3]string
		for i := range texts {
			texts[i], _ = args[i].(string)
		}
		return fits(growth(texts[0], texts[1], texts[2]))
	},
	"join": func(args []any) error {
		list, _ := args[0].([]any)
		separator := ""
		if len(args) > 1 {
			separator, _ = args[1].(string)
		}
		return fits(sizes(list) + len(list)*len(separator))
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
	b, ok := args[0].(*budget)
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
	return args[1], b.take(steps, "expression")
}

// A stepper counts the steps of loops that may be many: a loop over one list of
// a row is not counted. It runs when all functions are ours.
type stepper struct{ counts bool }

func (s *stepper) Visit(node *ast.Node) {
	loop, ok := (*node).(*ast.PredicateNode)
	if !ok {
		return
	}
	if f := (&loopFinder{}).in(&loop.Node); f.makes || len(f.loops) > 0 {
		for _, inner := range append(f.loops, loop) {
			s.count(inner)
		}
	}
}

// count makes a loop count its steps.
func (s *stepper) count(loop *ast.PredicateNode) {
	if call, ok := loop.Node.(*ast.CallNode); ok && calls(call, fnStep) {
		return
	}
	s.counts = true
	loop.Node = &ast.CallNode{Callee: &ast.IdentifierNode{Value: fnStep}, Arguments: []ast.Node{
		&ast.MemberNode{Node: &ast.IdentifierNode{Value: "$env"}, Property: &ast.StringNode{Value: budgetName}}, loop.Node,
	}}
}

func calls(n *ast.CallNode, name string) bool {
	id, ok := n.Callee.(*ast.IdentifierNode)
	return ok && id.Value == name
}

// A loopFinder finds loops, and calls that make text or lists, in a loop's body.
type loopFinder struct {
	loops []*ast.PredicateNode
	makes bool
}

func (f *loopFinder) in(node *ast.Node) *loopFinder {
	ast.Walk(node, f)
	return f
}

func (f *loopFinder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		f.loops = append(f.loops, n)
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		f.makes = f.makes || ok && (id.Value == operatorFunction("+") || id.Value != fnStep && id.Value[0] != internalPrefix[0])
	case *ast.BuiltinNode:
		f.makes = true
	}
}
