package django

import "strings"

// A condition is what stands in an if tag. Its value is that of the operand that
// decided, as in Python.
type condition interface {
	value(m *Machine) (Value, error)
}

type operandCondition struct{ *expression }

func (c operandCondition) value(m *Machine) (Value, error) { return c.expression.value(m, true) }

type operator struct {
	name        string
	first, then condition // then is nil for not
}

// value is false where the operands do not fit the operator, or cannot be evaluated.
func (o *operator) value(m *Machine) (Value, error) {
	a, err := o.first.value(m)
	if err != nil {
		return ofBool(false), unlessRaised(err)
	}
	switch {
	case o.name == "not":
		return ofBool(!a.truth()), nil
	case o.name == "and" && !a.truth(), o.name == "or" && a.truth():
		return a, nil
	}
	b, err := o.then.value(m)
	if err != nil {
		return ofBool(false), unlessRaised(err)
	}
	if o.name == "and" || o.name == "or" {
		return b, nil
	}
	return ofBool(compared(o.name, a, b)), nil
}

// unlessRaised is an error that a condition does not take for false: of reading
// rows, or of a bound.
func unlessRaised(err error) error {
	if isRaised(err) {
		return nil
	}
	return err
}

// compared reports what a comparison gives.
func compared(op string, a, b Value) bool {
	switch op {
	case "==":
		return equal(a, b)
	case "!=":
		return !equal(a, b)
	case "is":
		return same(a, b)
	case "is not":
		return !same(a, b)
	case "in":
		in, err := contains(b, a)
		return in && err == nil
	case "not in":
		in, err := contains(b, a)
		return !in && err == nil
	}
	c, ordered, err := compare(a, b)
	if err != nil || !ordered {
		return false
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// same is Python's `is`, of what there is one of only.
func same(a, b Value) bool {
	switch a.kind {
	case none, boolean:
		return a.kind == b.kind && a.n == b.n
	case integer: // Python keeps one of each small number
		return b.kind == integer && a.n == b.n && a.text == b.text && a.n >= -5 && a.n <= 256
	}
	return false
}

// binding is how tightly an operator binds.
func binding(op string) int {
	switch op {
	case "or":
		return 6
	case "and":
		return 7
	case "in", "not in":
		return 9
	case "is", "is not", "==", "!=", "<", ">", "<=", ">=":
		return 10
	}
	return 0
}

// A conditionParser reads the words of an if tag.
type conditionParser struct {
	*compiler
	words  []string
	failed bool
}

// condition compiles the words of an if tag; nil where there is a mistake.
func (c *compiler) condition(words []string) condition {
	p := &conditionParser{compiler: c}
	for i := 0; i < len(words); i++ {
		word := words[i]
		if two := strings.Join(words[i:min(i+2, len(words))], " "); two == "is not" || two == "not in" {
			word = two
			i++
		}
		p.words = append(p.words, word)
	}
	if len(p.words) == 0 {
		c.fail("the condition is missing")
		return nil
	}
	found := p.expression(0)
	if !p.failed && len(p.words) > 0 {
		p.wrong("%q is not expected in the condition", p.words[0])
	}
	if p.failed {
		return nil
	}
	return found
}

func (p *conditionParser) wrong(format string, args ...any) condition {
	if !p.failed {
		p.fail(format, args...)
	}
	p.failed = true
	return nil
}

func (p *conditionParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

// expression reads operands and the operators that bind tighter than a bound.
func (p *conditionParser) expression(bound int) condition {
	left := p.operand()
	for len(p.words) > 0 && !p.failed && binding(p.words[0]) > bound {
		op := p.next()
		right := p.expression(binding(op))
		if p.failed {
			return nil
		}
		left = p.combine(op, left, right)
	}
	return left
}

func (p *conditionParser) operand() condition {
	switch word := p.next(); {
	case word == "":
		return p.wrong("the condition ends where something is missing")
	case word == "not":
		if inner := p.expression(8); !p.failed {
			return &operator{name: "not", first: inner}
		}
		return nil
	case binding(word) > 0:
		return p.wrong("%q is not expected at this place of the condition", word)
	case word == "=" || word == "&&" || word == "||" || word == "!":
		return p.wrong("%q is no operator; there are ==, and, or, not", word)
	default:
		e := p.compiler.expression(word)
		if e == nil {
			p.failed = true
			return nil
		}
		return operandCondition{e}
	}
}

// combine makes a comparison. Rows are compared with None only.
func (p *conditionParser) combine(op string, left, right condition) condition {
	if op != "and" && op != "or" {
		for _, sides := range [][2]condition{{left, right}, {right, left}} {
			of, ok := sides[0].(operandCondition)
			if !ok || of.shape.scope == nil && of.shape.groups == nil {
				continue
			}
			other, ok := sides[1].(operandCondition)
			if isNone := ok && other.source == literalSource && other.literal.kind == none && len(other.filters) == 0; !isNone || of.shape.many {
				return p.wrong("%s cannot be compared as a row; compare a column of it", of.text)
			}
		}
	}
	return &operator{name: op, first: left, then: right}
}
