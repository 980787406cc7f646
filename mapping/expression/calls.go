package expression

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"haystream/mapping/value"
)

// isIn reports whether v is an element of a list or a key of an object. NULL is in nothing.
func isIn(v, in any) (bool, error) {
	if value.IsNull(v) || value.IsNull(in) {
		return false, nil
	}
	switch list := reflect.ValueOf(in); list.Kind() {
	case reflect.Slice:
		for i := range list.Len() {
			if value.Equal(v, list.Index(i).Interface()) {
				return true, nil
			}
		}
		return false, nil
	case reflect.Map:
		key := reflect.ValueOf(v)
		return key.Type().AssignableTo(list.Type().Key()) && list.MapIndex(key).IsValid(), nil
	}
	return false, fmt.Errorf("`in` wants a list, not %s", value.Describe(in))
}

// memberOf is an object's member or a list's element; NULL where there is none.
// Negative indexes count from the list's end.
func memberOf(v, property any) (any, error) {
	if value.IsNull(v) {
		return value.Null(nil), nil
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Map:
		key := reflect.ValueOf(property)
		if value.IsNull(property) || !key.Type().AssignableTo(r.Type().Key()) {
			return value.Null(nil), nil
		}
		if m := r.MapIndex(key); m.IsValid() && m.CanInterface() && m.Interface() != nil {
			return m.Interface(), nil
		}
		return value.Null(nil), nil
	case reflect.Slice:
		i, ok := value.Normalize(property).(int64)
		if !ok {
			return nil, errors.New("a list has elements by number only")
		}
		if i < 0 {
			i += int64(r.Len())
		}
		if i < 0 || i >= int64(r.Len()) {
			return value.Null(nil), nil
		}
		return r.Index(int(i)).Interface(), nil
	}
	return nil, fmt.Errorf("%s has no member %v", value.Describe(v), property)
}

// callMethod calls a time's or duration's method: args are the value, the
// method's name and its arguments.
func callMethod(args ...any) (any, error) {
	if value.IsNull(args[0]) {
		return value.Null(nil), nil
	}
	switch v := value.Normalize(args[0]).(type) {
	case value.Time, time.Duration:
		name, _ := args[1].(string)
		method := reflect.ValueOf(v).MethodByName(name)
		if !method.IsValid() || method.Type().NumIn() != len(args)-2 || method.Type().NumOut() != 1 {
			return nil, fmt.Errorf("%s has no method %q with %d arguments", value.Describe(v), name, len(args)-2)
		}
		in := make([]reflect.Value, len(args)-2)
		for i, a := range args[2:] {
			in[i] = reflect.ValueOf(a)
			want := method.Type().In(i)
			if t, ok := a.(value.Time); ok && want == reflect.TypeFor[time.Time]() {
				in[i] = reflect.ValueOf(t.Time)
			}
			if !in[i].IsValid() || !in[i].Type().AssignableTo(want) {
				return nil, fmt.Errorf("%s: argument %d is %s", name, i+1, value.Describe(a))
			}
		}
		return value.Normalize(method.Call(in)[0].Interface()), nil
	}
	return nil, fmt.Errorf("%s has no methods", value.Describe(args[0]))
}
