package mapping

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// A Decimal is a number in templates and expressions that keeps its digits.
// It is one of: a JSON number, NaN, Infinity, -Infinity.
type Decimal struct{ text string }

// String is the number's digits.
func (d Decimal) String() string { return d.text }

// MarshalJSON writes the digits; null for what JSON has no number for.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if !d.finite() {
		return []byte("null"), nil
	}
	return []byte(d.text), nil
}

func (d Decimal) finite() bool {
	return d.text != "NaN" && d.text != "Infinity" && d.text != "-Infinity"
}

// float is the nearest float64.
func (d Decimal) float() float64 {
	f, err := strconv.ParseFloat(d.text, 64) // infinite where out of range
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// isZero reports whether all digits are 0.
func (d Decimal) isZero() bool {
	mantissa, _, _ := strings.Cut(strings.ToLower(d.text), "e")
	return d.finite() && strings.Trim(mantissa, "-0.") == ""
}

// exact is mantissa / 10^scale.
type exact struct {
	mantissa *big.Int
	scale    int
}

// maxScale bounds the digits of an exact number. PostgreSQL's numeric has up
// to 131072 digits before the point and 16383 after it.
const maxScale = 200_000

// exact reads the digits of a finite number.
func (d Decimal) exact() (exact, error) {
	digits, exponent, hasExponent := strings.Cut(strings.ToLower(d.text), "e")
	shift := 0
	if hasExponent {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift > maxScale || shift < -maxScale {
			return exact{}, fmt.Errorf("%s is out of range", d.text)
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	m, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return exact{}, fmt.Errorf("%s is not a number to compute with", d.text)
	}
	x := exact{mantissa: m, scale: len(fraction) - shift}
	if x.scale < 0 {
		x = x.rescale(0)
	}
	return x, nil
}

func integer(i int64) exact { return exact{mantissa: big.NewInt(i)} }

func powerOfTen(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// rescale gives the same number more digits after the point.
func (x exact) rescale(scale int) exact {
	return exact{mantissa: new(big.Int).Mul(x.mantissa, powerOfTen(scale-x.scale)), scale: scale}
}

// align gives both numbers the same scale.
func align(a, b exact) (exact, exact) {
	if a.scale < b.scale {
		return a.rescale(b.scale), b
	}
	if b.scale < a.scale {
		return a, b.rescale(a.scale)
	}
	return a, b
}

func (x exact) cmp(y exact) int {
	x, y = align(x, y)
	return x.mantissa.Cmp(y.mantissa)
}

// round gives the number scale digits after the point, halves away from zero.
func (x exact) round(scale int) exact {
	if scale >= x.scale {
		return x.rescale(scale)
	}
	unit := powerOfTen(x.scale - scale)
	half := new(big.Int).Rsh(unit, 1)
	if x.mantissa.Sign() < 0 {
		half.Neg(half)
	}
	sum := new(big.Int).Add(x.mantissa, half)
	return exact{mantissa: sum.Quo(sum, unit), scale: scale}
}

// whole cuts the digits after the point, toward zero, down or up as way is 0, -1, 1.
func (x exact) whole(way int) *big.Int {
	q, r := new(big.Int).QuoRem(x.mantissa, powerOfTen(x.scale), new(big.Int))
	if r.Sign() == way && way != 0 {
		q.Add(q, big.NewInt(int64(way)))
	}
	return q
}

// text is the number's digits, scale of them after the point.
func (x exact) text() string { return placePoint(x.mantissa.String(), x.scale) }

// placePoint puts a point before the last scale digits of an integer.
func placePoint(digits string, scale int) string {
	if scale == 0 {
		return digits
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if n := scale + 1 - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	point := len(digits) - scale
	return sign + digits[:point] + "." + digits[point:]
}

// divisionScale is how many digits a quotient has after the point at least,
// before trailing zeros go.
const divisionScale = 16

// quotient divides, rounded to divisionScale digits, or to the operands'
// where these are more, without trailing zeros beyond the operands'.
func quotient(a, b exact) exact {
	keep := max(a.scale, b.scale)
	scale := max(keep, divisionScale)
	n := new(big.Int).Mul(a.mantissa, powerOfTen(scale+1+b.scale))
	n.Quo(n, new(big.Int).Mul(b.mantissa, powerOfTen(a.scale)))
	q := exact{mantissa: n, scale: scale + 1}.round(scale)
	ten, r := big.NewInt(10), new(big.Int)
	for q.scale > keep {
		shorter := new(big.Int)
		if shorter.QuoRem(q.mantissa, ten, r); r.Sign() != 0 {
			break
		}
		q = exact{mantissa: shorter, scale: q.scale - 1}
	}
	return q
}
