package django

import (
	"math/big"
	"regexp"
)

// Filters of Django's library humanize, in English.

var leadingDigits = regexp.MustCompile(`^-?[0-9]+`)

// intComma puts a comma between thousands.
func intComma(x input) (Value, error) {
	if x.v.kind == float || x.v.kind == decimal {
		return Text(grouped(string(x.v.appendNumber(nil)), true)), nil
	}
	if i, err := x.v.toInt(); err == nil {
		return Text(grouped(i.String(), true)), nil
	}
	text := x.v.String()
	digits := leadingDigits.FindString(text)
	return Text(grouped(digits, true) + text[len(digits):]), nil
}

// ordinalNumber is a number as English counts.
func ordinalNumber(x input) (Value, error) {
	i, err := x.v.toInt()
	switch {
	case err != nil:
		return x.v, nil
	case i.Sign() < 0:
		return Text(i.String()), nil
	}
	last := int(new(big.Int).Rem(i, big.NewInt(100)).Int64())
	if last > 20 {
		last %= 10
	}
	return safeText(i.String() + ordinal(last)), nil
}

// spelledNumber spells the numbers from one to nine.
func spelledNumber(x input) (Value, error) {
	i, err := x.v.toInt()
	if err != nil {
		return x.v, nil
	}
	if n := i.Int64(); i.IsInt64() && n > 0 && n < 10 {
		return Text([...]string{"one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}[n-1]), nil
	}
	return ofBig(i), nil
}

// lengthIs is of Django before 5.1.
func lengthIs(x input) (Value, error) {
	n, err := x.arg.toSmall()
	length, ok := x.v.length()
	if err != nil || !ok {
		return Text(""), nil
	}
	return ofBool(length == n), nil
}
