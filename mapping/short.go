package mapping

import (
	"cmp"
	"math"
	"math/bits"
	"strconv"
)

// A short is a number of at most 18 digits: mantissa / 10^scale. It does for
// almost all what exact does for any, without allocating.
type short struct {
	mantissa int64
	scale    int
}

// shortDigits always fit an int64.
const shortDigits = 18

// toShort reads an int64, or a Decimal of few digits.
func toShort(v any) (short, bool) {
	switch v := v.(type) {
	case int64:
		return short{mantissa: v}, true
	case Decimal:
		return v.short()
	}
	return short{}, false
}

func (d Decimal) short() (short, bool) {
	x, point, digits := short{}, -1, 0
	for i := range len(d.text) {
		switch c := d.text[i]; {
		case c >= '0' && c <= '9':
			x.mantissa = x.mantissa*10 + int64(c-'0')
			if digits++; digits > shortDigits {
				return short{}, false
			}
		case c == '.' && point < 0:
			point = digits
		case c != '-' || i > 0:
			return short{}, false
		}
	}
	if digits == 0 {
		return short{}, false
	}
	if point >= 0 {
		x.scale = digits - point
	}
	if d.text[0] == '-' {
		x.mantissa = -x.mantissa
	}
	return x, true
}

// rescale gives the same number more digits after the point, where it fits.
func (x short) rescale(scale int) (short, bool) {
	for x.scale < scale {
		if x.mantissa > math.MaxInt64/10 || x.mantissa < math.MinInt64/10 {
			return x, false
		}
		x.mantissa *= 10
		x.scale++
	}
	return x, true
}

func alignShort(x, y short) (short, short, bool) {
	x, ok := x.rescale(y.scale)
	if !ok {
		return x, y, false
	}
	y, ok = y.rescale(x.scale)
	return x, y, ok
}

// compareShort orders two numbers; ok is false where they are not short.
func compareShort(a, b any) (c int, ok bool) {
	x, xok := toShort(a)
	y, yok := toShort(b)
	if !xok || !yok {
		return 0, false
	}
	x, y, ok = alignShort(x, y)
	return cmp.Compare(x.mantissa, y.mantissa), ok
}

// reckonShort adds, subtracts or multiplies; ok is false where that does not fit.
func reckonShort(op string, a, b any) (result short, ok bool) {
	x, xok := toShort(a)
	y, yok := toShort(b)
	if !xok || !yok {
		return short{}, false
	}
	switch op {
	case "*":
		high, low := bits.Mul64(magnitude(x.mantissa), magnitude(y.mantissa))
		return short{x.mantissa * y.mantissa, x.scale + y.scale}, high == 0 && low <= math.MaxInt64
	case "-":
		if y.mantissa == math.MinInt64 {
			return short{}, false
		}
		y.mantissa = -y.mantissa
	case "+":
	default:
		return short{}, false
	}
	if x, y, ok = alignShort(x, y); !ok {
		return short{}, false
	}
	sum := x.mantissa + y.mantissa
	return short{sum, x.scale}, (sum > x.mantissa) == (y.mantissa > 0)
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// text is the number's digits, scale of them after the point.
func (x short) text() string { return placePoint(strconv.FormatInt(x.mantissa, 10), x.scale) }
