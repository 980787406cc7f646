package value

import (
	"errors"
	"fmt"
	"reflect"
)

// Slice is the part of a text, by characters, or of a list from one index up to another.
// NULL is the start or the end; negative ones count from the end.
func Slice(v, from, to any) (any, error) {
	if IsNull(v) {
		return Null(nil), nil
	}
	if s, ok := v.(string); ok {
		runes := []rune(s)
		start, end, err := sliceBounds(len(runes), from, to)
		return string(runes[start:end]), err
	}
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return nil, fmt.Errorf("cannot take a part of %s", Describe(v))
	}
	start, end, err := sliceBounds(list.Len(), from, to)
	return list.Slice(start, end).Interface(), err
}

func sliceBounds(length int, from, to any) (start, end int, err error) {
	bounds := [2]int{0, length}
	for i, v := range []any{from, to} {
		if IsNull(v) {
			continue
		}
		n, ok := Normalize(v).(int64)
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
