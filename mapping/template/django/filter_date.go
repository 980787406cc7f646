package django

import (
	"strconv"
	"strings"
	"time"
)

// formatDate shows a date or time. What is none gives empty text, unless the format
// has no letter.
func formatDate(x input) (Value, error) {
	if x.v.kind == none || x.v.kind == str && x.v.text == "" {
		return Text(""), nil
	}
	format := dateFormat
	if x.given && x.arg.truth() {
		format = namedFormat(x.arg.String())
	}
	t := localTime{kind: x.v.kind}
	switch letters := lettersOf(format); x.v.kind {
	case day, datetime:
		if found := strings.IndexAny(letters, timeLetters); x.v.kind == day && found >= 0 {
			return x.v, failure("a date has no time of day, which %q in the format %q asks for", letters[found:found+1], format)
		}
		t = x.m.localTime(x.v)
	case clock:
		if strings.ContainsAny(letters, dateLetters) {
			return Text(""), nil
		}
		t = x.m.localTime(x.v)
	default:
		if letters != "" {
			return Text(""), nil
		}
	}
	return Text(string(appendDate(nil, t, format))), nil
}

// lettersOf are the letters of a format that stand for something.
func lettersOf(format string) string {
	var letters []byte
	for i := range len(format) {
		if escaped := i > 0 && format[i-1] == '\\'; !escaped && strings.IndexByte(timeLetters+dateLetters, format[i]) >= 0 {
			letters = append(letters, format[i])
		}
	}
	return string(letters)
}

// formatTime shows a time of day. What has none gives empty text.
func formatTime(x input) (Value, error) {
	if x.v.kind == none || x.v.kind == str && x.v.text == "" {
		return Text(""), nil
	}
	format := timeFormat
	if x.given && x.arg.truth() {
		format = namedFormat(x.arg.String())
	}
	letters := lettersOf(format)
	hasClock := x.v.kind == datetime || x.v.kind == clock
	if strings.ContainsAny(letters, dateLetters) || letters != "" && !hasClock {
		return Text(""), nil
	}
	return Text(string(appendDate(nil, x.m.localTime(x.v), format))), nil
}

// timeBetween is how long it is from a time to another one, or the other way round,
// in its two largest units next to each other.
func timeBetween(x input, until bool) (Value, error) {
	if !x.v.truth() {
		return Text(""), nil
	}
	if !x.arg.truth() {
		return x.v, failure("without a second time it asks for the current one, which is not available")
	}
	from, to := x.v, x.arg
	if (from.kind != day && from.kind != datetime) || (to.kind != day && to.kind != datetime) || from.kind == datetime && to.kind == datetime && from.aware != to.aware ||
		from.kind != to.kind && (from.aware || to.aware) {
		return Text(""), nil
	}
	if until {
		from, to = to, from
	}
	a, b := time.UnixMicro(from.n).UTC(), time.UnixMicro(to.n).UTC()
	if to.n-from.n < 1e6 {
		return unbroken("0 minutes"), nil
	}
	months := (b.Year()-a.Year())*12 + int(b.Month()) - int(a.Month())
	clockOf := func(t time.Time) time.Duration { return t.Sub(t.Truncate(24 * time.Hour)) }
	if a.Day() > b.Day() || a.Day() == b.Day() && clockOf(a) > clockOf(b) {
		months--
	}
	pivot := a
	if months > 0 {
		first := time.Date(a.Year(), a.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
		last := daysIn(2023, first.Month()) // of a year that is no leap year
		pivot = time.Date(first.Year(), first.Month(), min(last, a.Day()), a.Hour(), a.Minute(), a.Second(), 0, time.UTC)
	}
	rest := int(b.Sub(pivot) / time.Second)
	counts := []int{months / 12, months % 12}
	for _, unit := range []int{7 * 24 * 3600, 24 * 3600, 3600, 60} {
		counts = append(counts, rest/unit)
		rest %= unit
	}
	var parts []string
	for i, unit := range []string{"year", "month", "week", "day", "hour", "minute"} {
		if counts[i] == 0 && len(parts) > 0 {
			break
		}
		if counts[i] == 0 {
			continue
		}
		text := strconv.Itoa(counts[i]) + "\u00a0" + unit
		if counts[i] != 1 {
			text += "s"
		}
		if parts = append(parts, text); len(parts) == 2 {
			break
		}
	}
	if len(parts) == 0 {
		return unbroken("0 minutes"), nil
	}
	return Text(strings.Join(parts, ", ")), nil
}
