package mapping

import (
	"strings"

	"haystream/sources"
)

// A kind is what is known of an expression's value when it is compiled.
type kind uint8

const (
	kindAny kind = iota
	kindNull
	kindBool
	kindFlag // of MySQL and MariaDB, where true is 1 and false 0
	kindInt
	kindDecimal
	kindFloat
	kindText
	kindTime
	kindDuration
	kindList
	kindObject
)

// String names the kind for people.
func (k kind) String() string {
	switch k {
	case kindNull:
		return "nil"
	case kindBool, kindFlag:
		return "true or false"
	case kindInt, kindDecimal, kindFloat:
		return "a number"
	case kindText:
		return "text"
	case kindTime:
		return "a time"
	case kindDuration:
		return "a duration"
	case kindList:
		return "a list"
	case kindObject:
		return "an object"
	}
	return "a value of any type"
}

// counts reports whether values of this kind may stand beside numbers.
func (k kind) counts() bool { return k.numeric() || k == kindFlag }

// decides reports whether values of this kind are true or false.
func (k kind) decides() bool { return k == kindBool || k == kindFlag }

func (k kind) numeric() bool { return k == kindInt || k == kindDecimal || k == kindFloat }

// open reports whether a value of this kind may turn out to be of any type.
func (k kind) open() bool { return k == kindAny || k == kindNull }

// kindOf is the kind that box gives a column's values.
func kindOf(t *sources.Type) kind {
	switch t.Kind {
	case sources.Bool:
		if strings.HasPrefix(t.SQL, "tinyint(1)") || t.SQL == "bit(1)" {
			return kindFlag
		}
		return kindBool
	case sources.Int:
		return kindInt
	case sources.Float:
		return kindFloat
	case sources.Decimal:
		return kindDecimal
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		return kindTime
	case sources.Array:
		return kindList
	case sources.JSON:
		return kindAny
	case sources.Range, sources.Point:
		return kindObject
	}
	return kindText
}

// canCompare reports whether values of the two kinds can be compared.
func canCompare(a, b kind) bool {
	return a.open() || b.open() || a == b || a.counts() && b.counts() || a.decides() && b.decides()
}

// reckoned is the kind of a op b; ok is false where the operator has no meaning.
func reckoned(op string, a, b kind) (result kind, ok bool) {
	switch {
	case a.open() || b.open():
		return kindAny, true
	case a.counts() && b.counts():
		switch {
		case a == kindFloat || b == kindFloat:
			return kindFloat, true
		case a == kindDecimal || b == kindDecimal || op == "/":
			return kindDecimal, true
		}
		return kindInt, true
	case a == kindText && b == kindText && op == "+":
		return kindText, true
	case a == kindTime && b == kindDuration && (op == "+" || op == "-"), a == kindDuration && b == kindTime && op == "+":
		return kindTime, true
	case a == kindTime && b == kindTime && op == "-", a == kindDuration && b == kindDuration && (op == "+" || op == "-"):
		return kindDuration, true
	}
	return kindAny, false
}

// either is the kind of a value that is one or the other.
func either(a, b kind) kind {
	switch {
	case a == b || b == kindNull:
		return a
	case a == kindNull:
		return b
	case a.numeric() && b.numeric():
		k, _ := reckoned("+", a, b)
		return k
	}
	return kindAny
}
