package value

import (
	"cmp"
	"math"
	"math/bits"
	"strconv"
)

// A smallDecimal is a number of at most 18 digits: mantissa / 10^scale. Unlike
// a bigDecimal it needs no allocation.
type smallDecimal struct {
	mantissa int64
	scale    int
}

// smallDigits always fit an int64.
const smallDigits = 18

// toSmall reads an int64, or a Decimal of few digits.
func toSmall(v any) (smallDecimal, bool) {
	switch v := v.(type) {
	case int64:
		return smallDecimal{mantissa: v}, true
	case Decimal:
		return v.small()
	}
	return smallDecimal{}, false
}

func (d Decimal) small() (smallDecimal, bool) {
	x, point, digits := smallDecimal{}, -1, 0
	for i := range len(d.text) {
		switch c := d.text[i]; {
		case c >= '0' && c <= '9':
			x.mantissa = x.mantissa*10 + int64(c-'0')
			if digits++; digits > smallDigits {
				return smallDecimal{}, false
			}
		case c == '.' && point < 0:
			point = digits
		case c != '-' || i > 0:
			return smallDecimal{}, false
		}
	}
	if digits == 0 {
		return smallDecimal{}, false
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
func (x smallDecimal) rescale(scale int) (smallDecimal, bool) {
	for x.scale < scale {
		if x.mantissa > math.MaxInt64/10 || x.mantissa < math.MinInt64/10 {
			return x, false
		}
		x.mantissa *= 10
		x.scale++
	}
	return x, true
}

func alignSmall(x, y smallDecimal) (smallDecimal, smallDecimal, bool) {
	x, ok := x.rescale(y.scale)
	if !ok {
		return x, y, false
	}
	y, ok = y.rescale(x.scale)
	return x, y, ok
}

// compareSmall orders two numbers; ok is false where one is not small.
func compareSmall(a, b any) (c int, ok bool) {
	x, xok := toSmall(a)
	y, yok := toSmall(b)
	if !xok || !yok {
		return 0, false
	}
	x, y, ok = alignSmall(x, y)
	return cmp.Compare(x.mantissa, y.mantissa), ok
}

// computeSmall adds, subtracts or multiplies; ok is false where that does not fit.
func computeSmall(op string, a, b any) (result smallDecimal, ok bool) {
	x, xok := toSmall(a)
	y, yok := toSmall(b)
	if !xok || !yok {
		return smallDecimal{}, false
	}
	switch op {
	case "*":
		high, low := bits.Mul64(magnitude(x.mantissa), magnitude(y.mantissa))
		return smallDecimal{x.mantissa * y.mantissa, x.scale + y.scale}, high == 0 && low <= math.MaxInt64
	case "-":
		if y.mantissa == math.MinInt64 {
			return smallDecimal{}, false
		}
		y.mantissa = -y.mantissa
	case "+":
	default:
		return smallDecimal{}, false
	}
	if x, y, ok = alignSmall(x, y); !ok {
		return smallDecimal{}, false
	}
	sum := x.mantissa + y.mantissa
	return smallDecimal{sum, x.scale}, (sum > x.mantissa) == (y.mantissa > 0)
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// text is the number's digits, scale of them after the point.
func (x smallDecimal) text() string { return placePoint(strconv.FormatInt(x.mantissa, 10), x.scale) }
