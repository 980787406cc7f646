package django

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// What Python raises where a value does not fit. Filters tell them apart.
var (
	errValue = failure("a value does not fit")
	errType  = failure("a value is not of the type that is wanted")
)

// A raised error is one that Python raises, too: in a condition it counts as false.
type raised struct{ message string }

func (e *raised) Error() string { return e.message }

func failure(format string, args ...any) error { return &raised{fmt.Sprintf(format, args...)} }

func isRaised(err error) bool {
	_, ok := errors.AsType[*raised](err)
	return ok
}

func parseFloatColumn(text string) (Value, error) {
	switch text {
	case "NaN":
		return ofFloat(math.NaN()), nil
	case "Infinity":
		return ofFloat(math.Inf(1)), nil
	case "-Infinity":
		return ofFloat(math.Inf(-1)), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) {
		err = nil
	}
	return ofFloat(f), err
}

// floatText is Python's repr of a float.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	_, exponent, _ := strings.Cut(scientific, "e")
	if e, _ := strconv.Atoi(exponent); e < -4 || e >= 16 {
		return scientific
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// FloatText is a float as Python's str writes it.
func FloatText(f float64) string { return floatText(f) }

// appendNumber appends a number as Django prints it in English.
func (v Value) appendNumber(dst []byte) []byte {
	switch {
	case v.kind == integer && v.text == "":
		return strconv.AppendInt(dst, v.n, 10)
	case v.kind == integer:
		return append(dst, v.text...)
	case v.kind == float:
		text := floatText(v.number)
		if !strings.Contains(text, "e") {
			return append(dst, text...)
		}
		return append(dst, localDecimal(text)...)
	}
	return append(dst, localDecimal(v.text)...)
}

// mostDigits is how many digits Django prints before it takes to the scientific notation.
const mostDigits = 200

// localDecimal is a Decimal's digits without an exponent, unless there would be many.
func localDecimal(text string) string {
	d, ok := parseNumber(text)
	if !ok {
		return pythonDecimal(text)
	}
	if abs(d.exponent)+len(d.digits) > mostDigits {
		return d.scientific()
	}
	return d.plain()
}

// pythonDecimal is how Python writes what is no number.
func pythonDecimal(text string) string { return text }

// A number is a decimal in Python's parts: digits without zeros before them, times
// 10 to the exponent.
type number struct {
	negative bool
	digits   string
	exponent int
}

// parseNumber reads digits with a point and an exponent.
func parseNumber(text string) (number, bool) {
	d := number{}
	text = strings.ReplaceAll(trimSpace(text), "_", "")
	if text != "" && (text[0] == '-' || text[0] == '+') {
		d.negative = text[0] == '-'
		text = text[1:]
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		e, err := strconv.Atoi(text[i+1:])
		if err != nil || e > 1e6 || e < -1e6 {
			return d, false
		}
		d.exponent, text = e, text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	d.digits = whole + fraction
	d.exponent -= len(fraction)
	if d.digits == "" || strings.Trim(d.digits, "0123456789") != "" {
		return d, false
	}
	if d.digits = strings.TrimLeft(d.digits, "0"); d.digits == "" {
		d.digits = "0"
	}
	return d, true
}

func (d number) sign() string {
	if d.negative {
		return "-"
	}
	return ""
}

// plain is the number without an exponent.
func (d number) plain() string {
	if d.exponent >= 0 {
		if d.digits == "0" {
			return d.sign() + "0"
		}
		return d.sign() + d.digits + strings.Repeat("0", d.exponent)
	}
	digits := d.digits
	if short := 1 - d.exponent - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	point := len(digits) + d.exponent
	return d.sign() + digits[:point] + "." + digits[point:]
}

// scientific is the number with one digit before the point.
func (d number) scientific() string {
	e := d.exponent + len(d.digits) - 1
	text := d.sign() + d.digits[:1]
	if len(d.digits) > 1 {
		text += "." + d.digits[1:]
	}
	if e < 0 {
		return text + "e-" + strconv.Itoa(-e)
	}
	return text + "e+" + strconv.Itoa(e)
}

// whole is the number without what is behind the point.
func (d number) whole() *big.Int {
	digits := d.digits
	switch {
	case d.exponent > 0:
		digits += strings.Repeat("0", d.exponent)
	case -d.exponent >= len(digits):
		digits = "0"
	default:
		digits = digits[:len(digits)+d.exponent]
	}
	i, _ := new(big.Int).SetString(digits, 10)
	if d.negative {
		i.Neg(i)
	}
	return i
}

// round gives the number places digits behind the point, halves away from zero.
func (d number) round(places int) number {
	cut := -places - d.exponent // digits that go
	if cut <= 0 {
		if d.digits != "0" {
			d.digits += strings.Repeat("0", -cut)
		}
		d.exponent = -places
		return d
	}
	digits := d.digits
	if short := cut + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	kept, up := digits[:len(digits)-cut], digits[len(digits)-cut] >= '5'
	i, _ := new(big.Int).SetString(kept, 10)
	if up {
		i.Add(i, big.NewInt(1))
	}
	return number{negative: d.negative, digits: i.String(), exponent: -places}
}

func abs(n int) int { return max(n, -n) }

// toInt is Python's int(v).
func (v Value) toInt() (*big.Int, error) {
	switch v.kind {
	case boolean:
		return big.NewInt(v.n), nil
	case integer:
		return v.bigInt(), nil
	case float:
		if math.IsNaN(v.number) || math.IsInf(v.number, 0) {
			return nil, errValue
		}
		i, _ := big.NewFloat(v.number).Int(nil)
		return i, nil
	case decimal:
		d, ok := parseNumber(v.text)
		if !ok {
			return nil, errValue
		}
		return d.whole(), nil
	case str:
		text := strings.TrimPrefix(trimSpace(v.text), "+")
		if digits := strings.TrimPrefix(text, "-"); digits == "" || strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") || strings.Trim(digits, "0123456789_") != "" {
			return nil, errValue
		}
		i, ok := new(big.Int).SetString(strings.ReplaceAll(text, "_", ""), 10)
		if !ok {
			return nil, errValue
		}
		return i, nil
	}
	return nil, errType
}

// toSmall is toInt of what fits an int; other numbers are brought to its bounds.
func (v Value) toSmall() (int, error) {
	if v.kind == integer && v.text == "" {
		return int(v.n), nil
	}
	i, err := v.toInt()
	switch {
	case err != nil:
		return 0, err
	case i.IsInt64():
		return int(i.Int64()), nil
	case i.Sign() < 0:
		return math.MinInt, nil
	}
	return math.MaxInt, nil
}

func (v Value) bigInt() *big.Int {
	if v.text == "" {
		return big.NewInt(v.n)
	}
	i, ok := new(big.Int).SetString(v.text, 10)
	if !ok {
		return new(big.Int)
	}
	return i
}

// toFloat is Python's float(v).
func (v Value) toFloat() (float64, error) {
	switch v.kind {
	case boolean:
		return float64(v.n), nil
	case integer:
		f, _ := new(big.Float).SetInt(v.bigInt()).Float64()
		return f, nil
	case float:
		return v.number, nil
	case decimal, str:
		return parsePythonFloat(v.text)
	}
	return 0, errType
}

func parsePythonFloat(text string) (float64, error) {
	text = strings.ToLower(trimSpace(text))
	switch strings.TrimLeft(text, "+-") {
	case "nan":
		return math.NaN(), nil
	case "inf", "infinity":
		if strings.HasPrefix(text, "-") {
			return math.Inf(-1), nil
		}
		return math.Inf(1), nil
	}
	if strings.ContainsAny(text, "xp") || strings.HasPrefix(text, "_") || strings.HasSuffix(text, "_") || strings.Contains(text, "__") {
		return 0, errValue
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, errValue
	}
	return f, nil
}

func (v Value) isNumber() bool {
	switch v.kind {
	case boolean, integer, float, decimal:
		return true
	}
	return false
}

// exact is a number as it is; ok is false where it is NaN or infinite.
func (v Value) exact() (r *big.Rat, ok bool) {
	switch v.kind {
	case boolean:
		return big.NewRat(v.n, 1), true
	case integer:
		return new(big.Rat).SetInt(v.bigInt()), true
	case float:
		r := new(big.Rat).SetFloat64(v.number)
		return r, r != nil
	}
	return new(big.Rat).SetString(v.text)
}

// compareNumbers orders two numbers by their exact values; ordered is false with NaN.
func compareNumbers(a, b Value) (c int, ordered bool) {
	if a.kind <= integer && b.kind <= integer && a.text == "" && b.text == "" {
		return compareInts(a.n, b.n), true
	}
	x, okX := a.exact()
	y, okY := b.exact()
	if okX && okY {
		return x.Cmp(y), true
	}
	f, _ := a.toFloat()
	g, _ := b.toFloat()
	switch {
	case math.IsNaN(f) || math.IsNaN(g):
		return 0, false
	case f < g:
		return -1, true
	case f > g:
		return 1, true
	}
	return 0, true
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// isSpace is Python's str.isspace of one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func trimSpace(s string) string { return strings.TrimFunc(s, isSpace) }
