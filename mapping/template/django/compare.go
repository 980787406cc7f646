package django

import "strings"

// equal is Python's ==.
func equal(a, b Value) bool {
	if a.isNumber() && b.isNumber() {
		c, ordered := compareNumbers(a, b)
		return ordered && c == 0
	}
	if a.kind == missing {
		a.kind = none
	}
	if b.kind == missing {
		b.kind = none
	}
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case none:
		return true
	case str:
		return a.text == b.text
	case day, clock:
		return a.n == b.n
	case datetime:
		return a.n == b.n && a.aware == b.aware
	case list:
		x, y := a.items(), b.items()
		if len(x) != len(y) || isTuple(a) != isTuple(b) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case dict:
		return equalDicts(a, b)
	}
	return a.ref == b.ref
}

func isTuple(v Value) bool {
	l, ok := v.ref.(*items)
	return ok && l.tuple
}

func equalDicts(a, b Value) bool {
	x, _ := a.ref.(*members)
	y, _ := b.ref.(*members)
	if len(x.keys) != len(y.keys) {
		return false
	}
	for i, key := range x.keys {
		v, ok := b.member(key)
		if !ok || !equal(x.values[i], v) {
			return false
		}
	}
	return true
}

// compare orders two values as Python does: errType where it does not. ordered is
// false where neither is before the other and they are not equal, which NaN makes.
func compare(a, b Value) (c int, ordered bool, err error) {
	switch {
	case a.isNumber() && b.isNumber():
		c, ordered = compareNumbers(a, b)
		return c, ordered, nil
	case a.kind != b.kind || a.aware != b.aware:
		return 0, false, errType
	}
	switch a.kind {
	case str:
		return strings.Compare(a.text, b.text), true, nil
	case day, datetime, clock:
		return compareInts(a.n, b.n), true, nil
	case list:
		if isTuple(a) != isTuple(b) {
			return 0, false, errType
		}
		x, y := a.items(), b.items()
		for i := range min(len(x), len(y)) {
			if !equal(x[i], y[i]) {
				return compare(x[i], y[i])
			}
		}
		return compareInts(int64(len(x)), int64(len(y))), true, nil
	}
	return 0, false, errType
}

// contains is Python's `v in where`.
func contains(where, v Value) (bool, error) {
	switch where.kind {
	case str:
		if v.kind != str {
			return false, errType
		}
		return strings.Contains(where.text, v.text), nil
	case dict:
		if v.kind != str {
			return false, nil
		}
		_, ok := where.member(v.text)
		return ok, nil
	case list:
		for _, e := range where.items() {
			if equal(e, v) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, errType
}
