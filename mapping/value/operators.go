package value

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"time"
)

var errDivisionByZero = errors.New("division by zero")

// Normalize brings a value to one of the types that operators know.
func Normalize(v any) any {
	switch v := v.(type) {
	case nil, Null, bool, int64, float64, string, Decimal, Time, time.Duration:
		return v
	case time.Time:
		return Time{Time: v}
	case int:
		return int64(v)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int()
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(r.Uint())
	case reflect.Float32:
		return r.Float()
	case reflect.String:
		return r.String()
	}
	return v
}

// Compare orders two values, neither NULL. Numbers compare by value
// whatever their types; against a float64 as float64. NaN equals itself and is
// above all, as in PostgreSQL. Beside a number true is 1 and false is 0.
func Compare(a, b any) (int, error) {
	a, b = countBool(a, b), countBool(b, a)
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y), nil
		}
	case string:
		switch y := b.(type) {
		case string:
			return cmp.Compare(x, y), nil
		case Time:
			t, err := ParseTimeLiteral(x, time.UTC)
			return t.compare(y), err
		}
	case bool:
		if y, ok := b.(bool); ok {
			return cmp.Compare(asInt(x), asInt(y)), nil
		}
	case Time:
		switch y := b.(type) {
		case Time:
			return x.compare(y), nil
		case string:
			t, err := ParseTimeLiteral(y, time.UTC)
			return x.compare(t), err
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y), nil
		}
	}
	if isNumeric(a) && isNumeric(b) {
		return compareNumbers(a, b)
	}
	return 0, fmt.Errorf("cannot compare %s with %s", Describe(a), Describe(b))
}

// countBool is v as Normalize does it, with true and false as numbers beside one.
func countBool(v, beside any) any {
	switch v := v.(type) {
	case bool:
		if isNumeric(Normalize(beside)) {
			if _, ok := beside.(tinyint); !ok {
				return int64(asInt(v))
			}
		}
	case tinyint:
		if _, ok := beside.(bool); ok {
			return true
		}
	}
	return Normalize(v)
}

// countable is v as Normalize does it, with true as 1 and false as 0.
func countable(v any) any {
	if b, ok := v.(bool); ok {
		return int64(asInt(b))
	}
	return Normalize(v)
}

func asInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isNumeric(v any) bool {
	switch v.(type) {
	case int64, float64, Decimal:
		return true
	}
	return false
}

// Describe names a value's type for people.
func Describe(v any) string {
	switch v = Normalize(v); v.(type) {
	case bool:
		return "true or false"
	case int64, float64, Decimal:
		return "a number"
	case string:
		return "text"
	case Time:
		return "a time"
	case time.Duration:
		return "a duration"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case nil, Null:
		return "NULL"
	}
	return fmt.Sprintf("%T", v)
}

func compareNumbers(a, b any) (int, error) {
	_, aFloat := a.(float64)
	_, bFloat := b.(float64)
	if aFloat || bFloat || !finite(a) || !finite(b) {
		return compareFloats(toFloat(a), toFloat(b)), nil
	}
	if c, ok := compareSmall(a, b); ok {
		return c, nil
	}
	x, err := toBig(a)
	if err != nil {
		return 0, err
	}
	y, err := toBig(b)
	if err != nil {
		return 0, err
	}
	return x.cmp(y), nil
}

func compareFloats(x, y float64) int {
	switch {
	case math.IsNaN(x) && math.IsNaN(y):
		return 0
	case math.IsNaN(x):
		return 1
	case math.IsNaN(y):
		return -1
	}
	return cmp.Compare(x, y)
}

func finite(v any) bool {
	d, ok := v.(Decimal)
	return !ok || d.finite()
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case Decimal:
		return v.float()
	}
	return math.NaN()
}

func toBig(v any) (bigDecimal, error) {
	switch v := v.(type) {
	case int64:
		return bigInt(v), nil
	case Decimal:
		return v.big()
	}
	return bigDecimal{}, fmt.Errorf("%s is not a number", Describe(v))
}

// Equal reports whether two values are the same. Lists and objects are where all
// that they hold is. NULL is the same as NULL only.
func Equal(a, b any) bool {
	a, b = countBool(a, b), countBool(b, a)
	if IsNull(a) || IsNull(b) {
		return IsNull(a) && IsNull(b)
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	switch {
	case x.Kind() == reflect.Slice && y.Kind() == reflect.Slice:
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !Equal(x.Index(i).Interface(), y.Index(i).Interface()) {
				return false
			}
		}
		return true
	case x.Kind() == reflect.Map && y.Kind() == reflect.Map:
		x, _ := a.(map[string]any)
		y, _ := b.(map[string]any)
		return maps.EqualFunc(x, y, Equal)
	}
	c, err := Compare(a, b)
	return err == nil && c == 0
}

// Compute is a op b; NULL where either is. Integers and decimals are exact;
// beside a float64 they are floats.
func Compute(op string, a, b any) (any, error) {
	if IsNull(a) || IsNull(b) {
		return Null(nil), nil
	}
	a, b = countable(a), countable(b)
	if isNumeric(a) && isNumeric(b) {
		return computeNumbers(op, a, b)
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok && op == "+" {
			if err := Fits(len(x) + len(y)); err != nil {
				return nil, err
			}
			return x + y, nil
		}
	case Time:
		return shiftTime(op, x, b)
	case time.Duration:
		switch y := b.(type) {
		case Time:
			if op == "+" {
				return shiftTime(op, y, x)
			}
		case time.Duration:
			switch op {
			case "+":
				return x + y, nil
			case "-":
				return x - y, nil
			}
		}
	}
	return nil, fmt.Errorf("cannot compute %s %s %s", Describe(a), op, Describe(b))
}

// shiftTime is a time plus or minus a duration, or the span between two times.
func shiftTime(op string, t Time, b any) (any, error) {
	switch y := b.(type) {
	case time.Duration:
		if t.infinite != 0 {
			return t, nil
		}
		switch op {
		case "+":
			return Time{Time: t.Add(y), naive: t.naive, wall: t.wall}, nil
		case "-":
			return Time{Time: t.Add(-y), naive: t.naive, wall: t.wall}, nil
		}
	case Time:
		if op == "-" {
			if t.infinite != 0 || y.infinite != 0 {
				return Null(nil), nil
			}
			return t.beside(y).Sub(y.beside(t)), nil
		}
	}
	return nil, fmt.Errorf("cannot compute a time %s %s", op, Describe(b))
}

func computeNumbers(op string, a, b any) (any, error) {
	_, aFloat := a.(float64)
	_, bFloat := b.(float64)
	if aFloat || bFloat || !finite(a) || !finite(b) {
		return computeFloat(op, toFloat(a), toFloat(b))
	}
	if result, ok := computeSmall(op, a, b); ok {
		if result.scale == 0 && isInt(a) && isInt(b) {
			return result.mantissa, nil
		}
		return Decimal{result.text()}, nil
	}
	x, err := toBig(a)
	if err != nil {
		return nil, err
	}
	y, err := toBig(b)
	if err != nil {
		return nil, err
	}
	if op == "**" || op == "^" {
		return power(x, y), nil
	}
	result, err := computeBig(op, x, y)
	if err != nil {
		return nil, err
	}
	if isInt(a) && isInt(b) && result.scale == 0 && result.mantissa.IsInt64() {
		return result.mantissa.Int64(), nil
	}
	return Decimal{result.text()}, nil
}

func isInt(v any) bool {
	_, ok := v.(int64)
	return ok
}

func computeBig(op string, x, y bigDecimal) (bigDecimal, error) {
	switch op {
	case "+":
		x, y = align(x, y)
		return bigDecimal{mantissa: new(big.Int).Add(x.mantissa, y.mantissa), scale: x.scale}, nil
	case "-":
		x, y = align(x, y)
		return bigDecimal{mantissa: new(big.Int).Sub(x.mantissa, y.mantissa), scale: x.scale}, nil
	case "*":
		return bigDecimal{mantissa: new(big.Int).Mul(x.mantissa, y.mantissa), scale: x.scale + y.scale}, nil
	}
	if y.mantissa.Sign() == 0 {
		return bigDecimal{}, errDivisionByZero
	}
	switch op {
	case "/":
		return quotient(x, y), nil
	case "%":
		x, y = align(x, y)
		return bigDecimal{mantissa: new(big.Int).Rem(x.mantissa, y.mantissa), scale: x.scale}, nil
	}
	return bigDecimal{}, fmt.Errorf("there is no operator %s for numbers", op)
}

// maxPower bounds an exact power's exponent.
const maxPower = 1000

// power is exact for whole exponents that are not too large, else a float64.
func power(x, y bigDecimal) any {
	if y.scale == 0 && y.mantissa.IsInt64() {
		if n := y.mantissa.Int64(); n >= 0 && n <= maxPower && len(x.mantissa.Bits()) <= 16 {
			p := bigDecimal{mantissa: new(big.Int).Exp(x.mantissa, y.mantissa, nil), scale: x.scale * int(n)}
			if p.scale == 0 && p.mantissa.IsInt64() {
				return p.mantissa.Int64()
			}
			return Decimal{p.text()}
		}
	}
	return math.Pow(Decimal{x.text()}.float(), Decimal{y.text()}.float())
}

func computeFloat(op string, x, y float64) (any, error) {
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "/":
		if y == 0 {
			return nil, errDivisionByZero
		}
		return x / y, nil
	case "%":
		return math.Mod(x, y), nil
	case "**", "^":
		return math.Pow(x, y), nil
	}
	return nil, fmt.Errorf("there is no operator %s for numbers", op)
}

// Negate is -v.
func Negate(v any) (any, error) {
	if IsNull(v) {
		return v, nil
	}
	switch v := Normalize(v).(type) {
	case time.Duration:
		return -v, nil
	case float64:
		return -v, nil
	}
	return Compute("-", int64(0), v)
}

// Truth is a value as a condition: NULL counts as false.
func Truth(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case tinyint:
		return true, nil
	case nil, Null:
		return false, nil
	}
	return false, fmt.Errorf("a condition wants true or false, not %s", Describe(v))
}
