package value

import (
	"fmt"
	"math"
	"reflect"
)

// MaxDigits bounds the digits after the point that a number is rounded to.
const MaxDigits = maxPower

// Abs is a number without its sign.
func Abs(v any) (any, error) {
	v, err := number(v)
	if err != nil || !finite(v) {
		return v, err
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	if c, err := compareNumbers(v, int64(0)); err != nil || c >= 0 {
		return v, err
	}
	return Negate(v)
}

// Round gives a number so many digits after the point, halves away from zero.
func Round(v any, digits int) (any, error) { return round(v, digits, 0) }

// Floor rounds a number down.
func Floor(v any, digits int) (any, error) { return round(v, digits, -1) }

// Ceil rounds a number up.
func Ceil(v any, digits int) (any, error) { return round(v, digits, 1) }

func round(v any, digits, direction int) (any, error) {
	v, err := number(v)
	if err != nil || !finite(v) {
		return v, err
	}
	switch v := v.(type) {
	case float64:
		unit := math.Pow10(digits)
		return []func(float64) float64{math.Floor, math.Round, math.Ceil}[direction+1](v*unit) / unit, nil
	case Decimal:
		x, err := v.big()
		if err != nil {
			return nil, err
		}
		if direction == 0 {
			return Decimal{x.round(digits).text()}, nil
		}
		shifted := bigDecimal{mantissa: x.rescale(x.scale + digits).mantissa, scale: x.scale}
		return Decimal{bigDecimal{mantissa: shifted.whole(direction), scale: digits}.text()}, nil
	}
	return v, nil
}

// number is v where that is a number.
func number(v any) (any, error) {
	if v = Normalize(v); !isNumeric(v) {
		return nil, fmt.Errorf("wants a number, not %s", Describe(v))
	}
	return v, nil
}

// ToInt reads a number or text as an integer, cutting off a fraction.
func ToInt(v any) (any, error) {
	switch v := Normalize(v).(type) {
	case int64:
		return v, nil
	case bool:
		return int64(asInt(v)), nil
	case float64:
		if v >= math.MinInt64 && v < math.MaxInt64 {
			return int64(v), nil
		}
	case Decimal:
		return cutDecimal(v)
	case string:
		return cutDecimal(Decimal{v})
	}
	return nil, fmt.Errorf("%v is not an integer", v)
}

func cutDecimal(d Decimal) (any, error) {
	if !d.finite() {
		return nil, fmt.Errorf("%s is not an integer", d)
	}
	x, err := d.big()
	if err != nil {
		return nil, fmt.Errorf("%q is not a number", d.text)
	}
	return boxInt(x.whole(0).String()), nil
}

// ToFloat reads a number or text as a float64.
func ToFloat(v any) (any, error) {
	switch v := Normalize(v).(type) {
	case int64, float64, Decimal:
		return toFloat(v), nil
	case string:
		d, err := ParseDecimal(v)
		return d.float(), err
	}
	return nil, fmt.Errorf("%s is not a number", Describe(v))
}

// Digits writes a number, or text that is one, with so many digits after the
// point, halves rounded away from zero; -1 for as many as it has. It is empty
// for no text, NaN and infinity.
func Digits(v any, digits int) (string, error) {
	switch n := Normalize(v).(type) {
	case int64, Decimal, float64, string:
		s, err := Text(n)
		if err != nil || s == "null" || s == "" || !(Decimal{s}).finite() {
			return "", err
		}
		x, err := Decimal{s}.big()
		if err == nil && digits >= 0 {
			x = x.round(digits)
		}
		return x.text(), err
	}
	return "", fmt.Errorf("wants a number, not %s", Describe(v))
}

// Min is the least of its arguments, or of the list that it has as its only
// one. NULLs are passed over.
func Min(args ...any) (any, error) { return extreme(-1, args) }

// Max is the greatest of its arguments, as Min is the least.
func Max(args ...any) (any, error) { return extreme(1, args) }

func extreme(sign int, args []any) (any, error) {
	if len(args) == 1 {
		if list := reflect.ValueOf(args[0]); list.Kind() == reflect.Slice {
			args, _ = List(args[0])
		}
	}
	var best any = Null(nil)
	for _, v := range args {
		if IsNull(v) {
			continue
		}
		if !IsNull(best) {
			c, err := Compare(v, best)
			if err != nil {
				return nil, err
			}
			if c*sign <= 0 {
				continue
			}
		}
		best = Normalize(v)
	}
	return best, nil
}

// List is a list to go through; NULL is an empty one.
func List(v any) ([]any, error) {
	if IsNull(v) {
		return []any{}, nil
	}
	if list, ok := v.([]any); ok {
		return list, nil
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return nil, fmt.Errorf("wants a list, not %s", Describe(v))
	}
	list := make([]any, r.Len())
	for i := range list {
		list[i] = Normalize(r.Index(i).Interface())
	}
	return list, nil
}

// Sum adds up a list of numbers. NULLs are passed over.
func Sum(v any) (any, error) {
	list, err := List(v)
	if err != nil {
		return nil, err
	}
	var sum any = int64(0)
	for _, n := range list {
		if IsNull(n) {
			continue
		}
		if sum, err = Compute("+", sum, n); err != nil {
			return nil, err
		}
	}
	return sum, nil
}
