package mapping

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

func absolute(v any, _ int) (any, error) {
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	if c, err := compareNumbers(v, int64(0)); err != nil || c >= 0 {
		return v, err
	}
	return negate(v)
}

// rounded rounds to the nearest (way 0), down (-1) or up (1).
func rounded(way int) func(any, int) (any, error) {
	return func(v any, digits int) (any, error) {
		switch v := v.(type) {
		case int64:
			return v, nil
		case float64:
			unit := math.Pow10(digits)
			return []func(float64) float64{math.Floor, math.Round, math.Ceil}[way+1](v*unit) / unit, nil
		case Decimal:
			x, err := v.exact()
			if err != nil {
				return nil, err
			}
			if way == 0 {
				return Decimal{x.round(digits).text()}, nil
			}
			shifted := exact{mantissa: x.rescale(x.scale + digits).mantissa, scale: x.scale}
			return Decimal{exact{mantissa: shifted.whole(way), scale: digits}.text()}, nil
		}
		return nil, errors.New("wants a number")
	}
}

// toInt reads a number or text as an integer, cutting off a fraction.
func toInt(v any) (any, error) {
	switch v := plain(v).(type) {
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
	x, err := d.exact()
	if err != nil {
		return nil, fmt.Errorf("%q is not a number", d.text)
	}
	return boxInt(x.whole(0).String()), nil
}

func toFloatValue(v any) (any, error) {
	switch v := plain(v).(type) {
	case int64, float64, Decimal:
		return toFloat(v), nil
	case string:
		d := Decimal{v}
		if _, err := d.exact(); err != nil {
			return nil, fmt.Errorf("%q is not a number", v)
		}
		return d.float(), nil
	}
	return nil, fmt.Errorf("%s is not a number", describe(plain(v)))
}

// extreme is min or max over its arguments, or over a list; NULLs are passed over.
func extreme(way int) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if len(args) == 1 {
			if list := reflect.ValueOf(args[0]); list.Kind() == reflect.Slice {
				args, _ = listOf(args[0])
			}
		}
		var best any = null(nil)
		for _, v := range args {
			if isNull(v) {
				continue
			}
			if !isNull(best) {
				c, err := compareValues(v, best)
				if err != nil {
					return nil, err
				}
				if c*way <= 0 {
					continue
				}
			}
			best = plain(v)
		}
		return best, nil
	}
}

// isIn reports whether v is an element of a list or a key of an object. NULL is in nothing.
func isIn(v, in any) (bool, error) {
	if isNull(v) || isNull(in) {
		return false, nil
	}
	switch list := reflect.ValueOf(in); list.Kind() {
	case reflect.Slice:
		for i := range list.Len() {
			if equalValues(v, list.Index(i).Interface()) {
				return true, nil
			}
		}
		return false, nil
	case reflect.Map:
		key := reflect.ValueOf(v)
		return key.Type().AssignableTo(list.Type().Key()) && list.MapIndex(key).IsValid(), nil
	}
	return false, fmt.Errorf("`in` wants a list, not %s", describe(plain(in)))
}

// memberOf is an object's member or a list's element; NULL where there is none.
// Negative indexes count from the list's end.
func memberOf(v, property any) (any, error) {
	if isNull(v) {
		return null(nil), nil
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Map:
		key := reflect.ValueOf(property)
		if isNull(property) || !key.Type().AssignableTo(r.Type().Key()) {
			return null(nil), nil
		}
		if m := r.MapIndex(key); m.IsValid() && m.CanInterface() && m.Interface() != nil {
			return m.Interface(), nil
		}
		return null(nil), nil
	case reflect.Slice:
		i, ok := plain(property).(int64)
		if !ok {
			return nil, errors.New("a list has elements by number only")
		}
		if i < 0 {
			i += int64(r.Len())
		}
		if i < 0 || i >= int64(r.Len()) {
			return null(nil), nil
		}
		return r.Index(int(i)).Interface(), nil
	}
	return nil, fmt.Errorf("%s has no member %v", describe(plain(v)), property)
}

// sliceOf is the part of a text or list from one index up to another.
func sliceOf(v, from, to any) (any, error) {
	if isNull(v) {
		return null(nil), nil
	}
	if s, ok := v.(string); ok {
		runes := []rune(s)
		start, end, err := sliceBounds(len(runes), from, to)
		return string(runes[start:end]), err
	}
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return nil, fmt.Errorf("cannot take a part of %s", describe(plain(v)))
	}
	start, end, err := sliceBounds(list.Len(), from, to)
	return list.Slice(start, end).Interface(), err
}

func sliceBounds(length int, from, to any) (start, end int, err error) {
	bounds := [2]int{0, length}
	for i, v := range []any{from, to} {
		if isNull(v) {
			continue
		}
		n, ok := plain(v).(int64)
		if !ok {
			return 0, 0, errors.New("wants whole numbers as bounds")
		}
		if n < 0 {
			n += int64(length)
		}
		bounds[i] = int(min(max(n, 0), int64(length)))
	}
	return bounds[0], max(bounds[0], bounds[1]), nil
}

// listOf is a list to go through; NULL is an empty one.
func listOf(v any) ([]any, error) {
	if isNull(v) {
		return []any{}, nil
	}
	if list, ok := v.([]any); ok {
		return list, nil
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return nil, fmt.Errorf("wants a list, not %s", describe(plain(v)))
	}
	list := make([]any, r.Len())
	for i := range list {
		list[i] = plain(r.Index(i).Interface())
	}
	return list, nil
}

// total adds up a list of numbers; NULLs are passed over.
func total(v any) (any, error) {
	list, err := listOf(v)
	if err != nil {
		return nil, err
	}
	var sum any = int64(0)
	for _, n := range list {
		if isNull(n) {
			continue
		}
		if sum, err = arithmetic("+", sum, n); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// callMethod calls a time's or duration's method: args are the value, the
// method's name and its arguments.
func callMethod(args ...any) (any, error) {
	if isNull(args[0]) {
		return null(nil), nil
	}
	switch v := plain(args[0]).(type) {
	case Time, time.Duration:
		name, _ := args[1].(string)
		method := reflect.ValueOf(v).MethodByName(name)
		if !method.IsValid() || method.Type().NumIn() != len(args)-2 || method.Type().NumOut() != 1 {
			return nil, fmt.Errorf("%s has no method %q with %d arguments", describe(v), name, len(args)-2)
		}
		in := make([]reflect.Value, len(args)-2)
		for i, a := range args[2:] {
			in[i] = reflect.ValueOf(a)
			want := method.Type().In(i)
			if t, ok := a.(Time); ok && want == reflect.TypeFor[time.Time]() {
				in[i] = reflect.ValueOf(t.Time)
			}
			if !in[i].IsValid() || !in[i].Type().AssignableTo(want) {
				return nil, fmt.Errorf("%s: argument %d is %s", name, i+1, describe(plain(a)))
			}
		}
		return plain(method.Call(in)[0].Interface()), nil
	}
	return nil, fmt.Errorf("%s has no methods", describe(plain(args[0])))
}
