package expression

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr/ast"

	"haystream/mapping/value"
)

// A clock is now() in a `where`. Each comparison with it notes when its answer
// will change, so that all together tell when the whole answer may.
type clock struct{ now, due int64 }

// SetNow sets what now() is, in microseconds since 1970.
func (m *Machine) SetNow(now int64) { m.clock = clock{now: now} }

// Due is the first moment after now at which a condition that was evaluated since
// SetNow may give another answer; 0 for never.
func (m *Machine) Due() int64 { return m.clock.due }

// clockPrefix begins the names of the comparisons with the clock.
const clockPrefix = "=now"

// clockFunctions are the comparisons of a time with the clock plus a duration.
func clockFunctions(all map[string]function) {
	for op, after := range map[string]struct{ exclusive, becomes bool }{
		"<": {true, true}, "<=": {false, true}, ">": {false, false}, ">=": {true, false},
	} {
		all[clockPrefix+op] = function{call: func(args ...any) (any, error) {
			c, _ := args[1].(*clock)
			shift, _ := args[2].(time.Duration)
			if value.IsNull(args[0]) || c == nil {
				return false, nil
			}
			passed, err := c.passed(args[0], shift, after.exclusive)
			return passed == after.becomes, err
		}}
	}
}

// passed reports whether a time is behind the clock plus a duration; exclusive
// leaves out the moment itself.
func (c *clock) passed(v any, shift time.Duration, exclusive bool) (bool, error) {
	var t value.Time
	switch v := value.Normalize(v).(type) {
	case value.Time:
		t = v
	case string:
		var err error
		if t, err = value.ParseTimeLiteral(v, time.UTC); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("cannot compare %s with now()", value.Describe(v))
	}
	if sign := value.Infinity(t); sign != 0 {
		return sign < 0, nil
	}
	moment := t.Add(-shift)
	at := moment.UnixMicro()
	if exact := moment.Nanosecond()%1000 == 0; exclusive || !exact {
		at++
	}
	if c.now >= at {
		return true, nil
	}
	if c.due == 0 || at < c.due {
		c.due = at
	}
	return false, nil
}

// nowName is the variable that holds the clock. No expression can spell it.
const nowName = "=now"

const nowRule = "now() is for the `where` of an index only, compared by <, <=, > or >= with a column, plus or minus a constant duration"

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
	other, clock, op := n.Left, n.Right, n.Operator
	shift, ok := p.clocks[clock]
	if !ok {
		other, clock = n.Right, n.Left
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
		shift, ok = p.clocks[clock]
	}
	if _, both := p.clocks[other]; !ok || both {
		return false
	}
	if t := p.types[other]; !t.dynamic() && t != TimeType {
		p.fail(n, "cannot compare %s with now()", t)
	}
	delete(p.clocks, clock)
	p.replace(node, BoolType, clockPrefix+op, other, clock, &ast.ConstantNode{Value: shift})
	return true
}
