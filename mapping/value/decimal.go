package value

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

func (d Decimal) finite() bool {
	return d.text != "NaN" && d.text != "Infinity" && d.text != "-Infinity"
}

// ParseDecimal reads a number that can be computed with.
func ParseDecimal(text string) (Decimal, error) {
	d := Decimal{text}
	if _, err := d.big(); err != nil {
		return d, fmt.Errorf("%q is not a number", text)
	}
	return d, nil
}

// float is the nearest float64.
func (d Decimal) float() float64 {
	f, err := strconv.ParseFloat(d.text, 64) // infinite where out of range
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// A bigDecimal is mantissa / 10^scale.
type bigDecimal struct {
	mantissa *big.Int
	scale    int
}

// maxScale bounds the digits of a bigDecimal. PostgreSQL's numeric has up
// to 131072 digits before the point and 16383 after it.
const maxScale = 200_000

// big reads the digits of a finite number.
func (d Decimal) big() (bigDecimal, error) {
	digits, exponent, hasExponent := strings.Cut(strings.ToLower(d.text), "e")
	shift := 0
	if hasExponent {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift > maxScale || shift < -maxScale {
			return bigDecimal{}, fmt.Errorf("%s is out of range", d.text)
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	m, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return bigDecimal{}, fmt.Errorf("%s is not a number to compute with", d.text)
	}
	x := bigDecimal{mantissa: m, scale: len(fraction) - shift}
	if x.scale < 0 {
		x = x.rescale(0)
	}
	return x, nil
}

func bigInt(i int64) bigDecimal { return bigDecimal{mantissa: big.NewInt(i)} }

func powerOfTen(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// rescale gives the same number more digits after the point.
func (x bigDecimal) rescale(scale int) bigDecimal {
	return bigDecimal{mantissa: new(big.Int).Mul(x.mantissa, powerOfTen(scale-x.scale)), scale: scale}
}

// align gives both numbers the same scale.
func align(a, b bigDecimal) (bigDecimal, bigDecimal) {
	if a.scale < b.scale {
		return a.rescale(b.scale), b
	}
	if b.scale < a.scale {
		return a, b.rescale(a.scale)
	}
	return a, b
}

func (x bigDecimal) cmp(y bigDecimal) int {
	x, y = align(x, y)
	return x.mantissa.Cmp(y.mantissa)
}

// round gives the number scale digits after the point, halves away from zero.
func (x bigDecimal) round(scale int) bigDecimal {
	if scale >= x.scale {
		return x.rescale(scale)
	}
	unit := powerOfTen(x.scale - scale)
	half := new(big.Int).Rsh(unit, 1)
	if x.mantissa.Sign() < 0 {
		half.Neg(half)
	}
	sum := new(big.Int).Add(x.mantissa, half)
	return bigDecimal{mantissa: sum.Quo(sum, unit), scale: scale}
}

// whole cuts the digits after the point, toward zero, down or up as direction is 0, -1, 1.
func (x bigDecimal) whole(direction int) *big.Int {
	q, r := new(big.Int).QuoRem(x.mantissa, powerOfTen(x.scale), new(big.Int))
	if r.Sign() == direction && direction != 0 {
		q.Add(q, big.NewInt(int64(direction)))
	}
	return q
}

// text is the number's digits, scale of them after the point.
func (x bigDecimal) text() string { return placePoint(x.mantissa.String(), x.scale) }

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
func quotient(a, b bigDecimal) bigDecimal {
	keep := max(a.scale, b.scale)
	scale := max(keep, divisionScale)
	n := new(big.Int).Mul(a.mantissa, powerOfTen(scale+1+b.scale))
	n.Quo(n, new(big.Int).Mul(b.mantissa, powerOfTen(a.scale)))
	q := bigDecimal{mantissa: n, scale: scale + 1}.round(scale)
	ten, r := big.NewInt(10), new(big.Int)
	for q.scale > keep {
		shorter := new(big.Int)
		if shorter.QuoRem(q.mantissa, ten, r); r.Sign() != 0 {
			break
		}
		q = bigDecimal{mantissa: shorter, scale: q.scale - 1}
	}
	return q
}
