package expression

import (
	"strings"

	"haystream/sources"
)

// A Type is what is known of a value before there is a row.
type Type uint8

// What a value may be; of AnyType nothing is known.
const (
	AnyType Type = iota
	NullType
	BoolType
	TinyintType // of MySQL and MariaDB, where true is 1 and false 0
	IntType
	DecimalType
	FloatType
	TextType
	TimeType
	DurationType
	ListType
	ObjectType
)

// String names the type for people.
func (t Type) String() string {
	switch t {
	case NullType:
		return "nil"
	case BoolType, TinyintType:
		return "true or false"
	case IntType, DecimalType, FloatType:
		return "a number"
	case TextType:
		return "text"
	case TimeType:
		return "a time"
	case DurationType:
		return "a duration"
	case ListType:
		return "a list"
	case ObjectType:
		return "an object"
	}
	return "a value of any type"
}

// arithmetic reports whether one can compute with values of this type.
func (t Type) arithmetic() bool { return t.numeric() || t == TinyintType }

// boolean reports whether values of this type are true or false.
func (t Type) boolean() bool { return t == BoolType || t == TinyintType }

func (t Type) numeric() bool { return t == IntType || t == DecimalType || t == FloatType }

// dynamic reports whether only a row tells the type.
func (t Type) dynamic() bool { return t == AnyType || t == NullType }

// TypeOf is the type of a column's values in templates and expressions.
func TypeOf(t *sources.Type) Type {
	switch t.Kind {
	case sources.Bool:
		if strings.HasPrefix(t.SQL, "tinyint(1)") || t.SQL == "bit(1)" {
			return TinyintType
		}
		return BoolType
	case sources.Int:
		return IntType
	case sources.Float:
		return FloatType
	case sources.Decimal:
		return DecimalType
	case sources.Date, sources.Timestamp, sources.TimestampTZ:
		return TimeType
	case sources.Array:
		return ListType
	case sources.JSON:
		return AnyType
	case sources.Range, sources.Point:
		return ObjectType
	}
	return TextType
}

// canCompare reports whether values of the two types can be compared.
func canCompare(a, b Type) bool {
	return a.dynamic() || b.dynamic() || a == b || a.arithmetic() && b.arithmetic() || a.boolean() && b.boolean()
}

// resultType is the type of a op b; ok is false where the operator has no meaning.
func resultType(op string, a, b Type) (result Type, ok bool) {
	switch {
	case a.dynamic() || b.dynamic():
		return AnyType, true
	case a.arithmetic() && b.arithmetic():
		switch {
		case a == FloatType || b == FloatType:
			return FloatType, true
		case a == DecimalType || b == DecimalType || op == "/":
			return DecimalType, true
		}
		return IntType, true
	case a == TextType && b == TextType && op == "+":
		return TextType, true
	case a == TimeType && b == DurationType && (op == "+" || op == "-"), a == DurationType && b == TimeType && op == "+":
		return TimeType, true
	case a == TimeType && b == TimeType && op == "-", a == DurationType && b == DurationType && (op == "+" || op == "-"):
		return DurationType, true
	}
	return AnyType, false
}

// commonType is the type of a value that is of one type or the other.
func commonType(a, b Type) Type {
	switch {
	case a == b || b == NullType:
		return a
	case a == NullType:
		return b
	case a.numeric() && b.numeric():
		k, _ := resultType("+", a, b)
		return k
	}
	return AnyType
}
