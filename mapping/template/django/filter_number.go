package django

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"haystream/mapping/value"
)

// add adds whole numbers, else what Python's + joins.
func add(x input) (Value, error) {
	a, errA := x.v.toInt()
	b, errB := x.arg.toInt()
	if errA == nil && errB == nil {
		return ofBig(a.Add(a, b)), nil
	}
	switch {
	case x.v.kind == str && x.arg.kind == str:
		return Value{kind: str, text: x.v.text + x.arg.text, safe: x.v.safe && x.arg.safe}, x.m.steps(0, len(x.v.text)+len(x.arg.text))
	case x.v.kind == list && x.arg.kind == list && isTuple(x.v) == isTuple(x.arg):
		return ofList(append(append([]Value{}, x.v.items()...), x.arg.items()...)), nil
	}
	return Text(""), nil
}

func divisibleBy(x input) (Value, error) {
	a, errA := x.v.toInt()
	b, errB := x.arg.toInt()
	switch {
	case errors.Join(errA, errB) != nil:
		return x.v, failure("divisibleby wants whole numbers, not %s and %s", x.v, x.arg)
	case b.Sign() == 0:
		return x.v, failure("divisibleby divides by zero")
	}
	return ofBool(a.Rem(a, b).Sign() == 0), nil
}

func getDigit(x input) (Value, error) {
	n, errN := x.arg.toSmall()
	i, err := x.v.toInt()
	switch {
	case errN == errType || errN == nil && err == errType:
		return x.v, failure("get_digit wants whole numbers, not %s and %s", x.v.typeName(), x.arg.typeName())
	case errN != nil || err != nil:
		return x.v, nil
	case n < 1:
		return ofBig(i), nil
	}
	digits := i.String()
	if n > len(digits) {
		return ofInt(0), nil
	}
	digit := digits[len(digits)-n]
	if digit == '-' {
		return x.v, failure("%s has no digit %d", i, n)
	}
	return ofInt(int(digit - '0')), nil
}

// unbroken is text whose spaces do not break lines.
func unbroken(s string) Value { return Text(strings.ReplaceAll(s, " ", "\u00a0")) }

func fileSize(x input) (Value, error) {
	bytes, err := x.v.toInt()
	if err != nil {
		return unbroken("0 bytes"), nil
	}
	sign := ""
	if bytes.Sign() < 0 {
		sign = "-"
		bytes.Neg(bytes)
	}
	if bytes.Cmp(big.NewInt(1024)) < 0 {
		unit := " bytes"
		if bytes.Cmp(big.NewInt(1)) == 0 {
			unit = " byte"
		}
		return unbroken(sign + bytes.String() + unit), nil
	}
	size, _ := new(big.Float).SetInt(bytes).Float64()
	units := []string{"KB", "MB", "GB", "TB", "PB"}
	for size /= 1024; size >= 1024 && len(units) > 1; size /= 1024 {
		units = units[1:]
	}
	return unbroken(sign + strconv.FormatFloat(size, 'f', 1, 64) + " " + units[0]), nil
}

// floatFormat rounds halves away from zero. A negative number of places shows them
// only where there is something behind the point.
func floatFormat(x input) (Value, error) {
	text := x.v.String()
	places, group, err := floatPlaces(x)
	d, ok := parseNumber(text)
	if !ok {
		f, failed := x.v.toFloat()
		if failed != nil {
			return Text(""), nil
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return Text(text), nil
		}
		d, _ = parseNumber(floatText(f))
	}
	if err != nil || len(d.digits)+abs(d.exponent) > mostDigits {
		return Text(text), nil
	}
	if abs(places) > value.MaxDigits {
		return x.v, failure("floatformat shows at most %d places", value.MaxDigits)
	}
	whole := d.exponent >= 0 || strings.Trim(d.plain()[strings.IndexByte(d.plain(), '.')+1:], "0") == ""
	if whole && places <= 0 {
		return safeText(grouped(d.whole().String(), group)), nil
	}
	rounded := d.round(abs(places))
	rounded.negative = rounded.negative && strings.Trim(rounded.digits, "0") != ""
	return safeText(grouped(rounded.plain(), group)), nil
}

// floatPlaces reads floatformat's argument: places, and g for groups of thousands.
func floatPlaces(x input) (places int, group bool, err error) {
	if !x.given {
		return -1, false, nil
	}
	if x.arg.kind != str {
		places, err = x.arg.toSmall()
		return places, false, err
	}
	text := x.arg.text
	if strings.HasSuffix(text, "gu") || strings.HasSuffix(text, "ug") {
		text = text[:len(text)-2]
	} else if strings.HasSuffix(text, "g") {
		text, group = text[:len(text)-1], true
	} else {
		text = strings.TrimSuffix(text, "u")
	}
	if text == "" && x.arg.text != "" {
		return -1, group, nil
	}
	places, err = Text(text).toSmall()
	return places, group, err
}

// grouped puts a comma between thousands.
func grouped(text string, group bool) string {
	if !group {
		return text
	}
	whole, fraction, point := strings.Cut(text, ".")
	start := len(whole) - len(strings.TrimPrefix(whole, "-"))
	for i := len(whole) - 3; i > start; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		return whole + "." + fraction
	}
	return whole
}

// stringFormat is Python's % with one value; what does not fit gives empty text.
func stringFormat(x input) (Value, error) {
	out, used, err := formatted("%"+x.arg.String(), x.v)
	switch {
	case errors.Is(err, errValue), errors.Is(err, errType):
		return Text(""), nil
	case err != nil:
		return x.v, err
	case used > 1, used == 0 && x.v.kind != dict && x.v.kind != list:
		return Text(""), nil
	}
	return Text(out), nil
}

// formatted is a format with a value in it, and how often it took one.
func formatted(format string, v Value) (out string, used int, err error) {
	var text strings.Builder
	for format != "" {
		before, rest, found := strings.Cut(format, "%")
		text.WriteString(before)
		if !found {
			break
		}
		spec, rest, ok := parseSpec(rest)
		if !ok {
			return "", used, errValue
		}
		format = rest
		if spec.letter == '%' {
			text.WriteByte('%')
			continue
		}
		used++
		one, err := spec.format(v)
		if err == nil {
			err = value.Fits(max(spec.width, spec.precision))
		}
		if err != nil {
			return "", used, err
		}
		text.WriteString(spec.pad(one))
	}
	return text.String(), used, nil
}

// A spec is one % of a format.
type spec struct {
	flags            string
	width, precision int // precision -1: none
	letter           byte
}

func parseSpec(text string) (s spec, rest string, ok bool) {
	s.precision = -1
	n := 0
	for n < len(text) && strings.IndexByte("-+ 0#", text[n]) >= 0 {
		n++
	}
	s.flags, text = text[:n], text[n:]
	s.width, text = leadingNumber(text)
	if after, found := strings.CutPrefix(text, "."); found {
		s.precision, text = leadingNumber(after)
	}
	text = strings.TrimLeft(text, "hlL")
	if text == "" {
		return s, "", false
	}
	s.letter = text[0]
	return s, text[1:], true
}

func leadingNumber(text string) (n int, rest string) {
	for text != "" && text[0] >= '0' && text[0] <= '9' {
		n, text = min(10*n+int(text[0]-'0'), value.MaxText+1), text[1:]
	}
	return n, text
}

func (s spec) has(flag string) bool { return strings.Contains(s.flags, flag) }

func (s spec) format(v Value) (string, error) {
	switch s.letter {
	case 's':
		return s.cut(v.String()), nil
	case 'r':
		return s.cut(string(v.appendRepr(nil))), nil
	case 'a':
		return s.cut(asciiOnly(v.appendRepr(nil))), nil
	case 'd', 'i', 'u':
		if !v.isNumber() {
			return "", errType
		}
		i, err := v.toInt()
		if err != nil {
			return "", err
		}
		return s.whole(i, 10, ""), nil
	case 'o', 'x', 'X':
		if v.kind != integer && v.kind != boolean {
			return "", errType
		}
		base, prefix := 16, "0"+string(s.letter)
		if s.letter == 'o' {
			base = 8
		}
		i, _ := v.toInt()
		text := s.whole(i, base, prefix)
		if s.letter == 'X' {
			text = strings.ToUpper(text)
		}
		return text, nil
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if !v.isNumber() {
			return "", errType
		}
		f, err := v.toFloat()
		if err != nil {
			return "", err
		}
		return s.float(f), nil
	case 'c':
		if v.kind == str && runes(v.text) == 1 {
			return v.text, nil
		}
		n, err := v.toSmall()
		switch {
		case err != nil || v.kind != integer && v.kind != boolean:
			return "", errType
		case n < 0 || n > unicode.MaxRune:
			return "", failure("there is no character with the number %s", v)
		}
		return string(rune(n)), nil
	}
	return "", errValue
}

func (s spec) cut(text string) string {
	if r := []rune(text); s.precision >= 0 && len(r) > s.precision {
		return string(r[:s.precision])
	}
	return text
}

func (s spec) whole(i *big.Int, base int, prefix string) string {
	digits := new(big.Int).Abs(i).Text(base)
	if short := min(s.precision, value.MaxText) - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	if s.has("#") {
		digits = prefix + digits
	}
	return s.signed(i.Sign() < 0, digits)
}

func (s spec) signed(negative bool, digits string) string {
	switch {
	case negative:
		return "-" + digits
	case s.has("+"):
		return "+" + digits
	case s.has(" "):
		return " " + digits
	}
	return digits
}

func (s spec) float(f float64) string {
	precision := s.precision
	if precision < 0 {
		precision = 6
	}
	lower := s.letter | ' '
	if lower == 'g' && precision == 0 {
		precision = 1
	}
	var digits string
	switch {
	case math.IsNaN(f):
		digits = "nan"
	case math.IsInf(f, 0):
		digits = "inf"
	default:
		digits = strconv.FormatFloat(math.Abs(f), lower, min(precision, value.MaxDigits), 64)
	}
	if s.letter < 'a' {
		digits = strings.ToUpper(digits)
	}
	return s.signed(math.Signbit(f) && !math.IsNaN(f), digits)
}

// pad brings a text to the width.
func (s spec) pad(text string) string {
	short := s.width - runes(text)
	switch numeric := strings.IndexByte("sracC", s.letter) < 0; {
	case short <= 0:
		return text
	case s.has("-"):
		return text + strings.Repeat(" ", short)
	case s.has("0") && numeric:
		sign := len(text) - len(strings.TrimLeft(text, "+- "))
		if s.has("#") && len(text) > sign+1 && strings.IndexByte("xXo", text[sign+1]) >= 0 {
			sign += 2
		}
		return text[:sign] + strings.Repeat("0", short) + text[sign:]
	}
	return strings.Repeat(" ", short) + text
}

// asciiOnly is a repr with the characters beyond ASCII escaped.
func asciiOnly(repr []byte) string {
	var out []byte
	for _, r := range string(repr) {
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r <= 0xff:
			out = appendHex(out, `\x`, r, 2)
		case r <= 0xffff:
			out = appendHex(out, `\u`, r, 4)
		default:
			out = appendHex(out, `\U`, r, 8)
		}
	}
	return string(out)
}
