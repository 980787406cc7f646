package value

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"haystream/sources"
)

// A Time is a date or timestamp in templates and expressions. It prints as
// documents hold it. Timestamps without a zone are taken as UTC.
type Time struct {
	time.Time
	text     string
	naive    bool // of a column without a zone
	wall     bool // written without a zone: see beside
	infinite int8 // 1 for infinity, -1 for -infinity and for days that no calendar has, most of which the servers sort first
}

// String is the time's canonical text.
func (t Time) String() string {
	if t.text != "" {
		return t.text
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

// Infinity is 1 for infinity, -1 for -infinity and days that no calendar has, else 0.
func Infinity(t Time) int { return int(t.infinite) }

// InZone is a value with times shown in a zone, also those in lists and objects,
// which are copied. Dates, and timestamps without a zone, stay as they are.
func InZone(v any, zone *time.Location) any {
	switch v := v.(type) {
	case Time:
		if strings.HasSuffix(v.text, "Z") {
			v.Time = v.In(zone)
		}
		return v
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = InZone(v[i], zone)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for k := range v {
			object[k] = InZone(v[k], zone)
		}
		return object
	}
	return v
}

// beside is the time as it is compared with another one. Written without a zone it is what a clock shows: in the zone that was
// meant where the other one has a zone, and as it stands where that has none either.
func (t Time) beside(u Time) time.Time {
	if t.wall && u.naive {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	}
	return t.Time
}

// compare orders times; infinity is after, -infinity before all others.
func (t Time) compare(u Time) int {
	if t.infinite != 0 || u.infinite != 0 {
		return cmp.Or(int(t.infinite)-int(u.infinite), strings.Compare(t.text, u.text))
	}
	return t.beside(u).Compare(u.beside(t))
}

// ParseTime reads canonical text of a date or timestamp (see sources.Kind).
func ParseTime(text string) (Time, error) {
	switch text {
	case "infinity":
		return Time{text: text, infinite: 1}, nil
	case "-infinity":
		return Time{text: text, infinite: -1}, nil
	}
	var at time.Time
	day, clock, _ := strings.Cut(text, "T")
	year, month, date, err := parseDay(day)
	if err == nil && !sources.IsDay([]byte(day)) {
		return Time{text: text, infinite: -1}, nil
	}
	if err == nil {
		at, err = parseClock(strings.TrimSuffix(clock, "Z"))
	}
	if err != nil {
		return Time{}, fmt.Errorf("%q is not a date", text)
	}
	at = time.Date(year, time.Month(month), date, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	return Time{Time: at, text: text, naive: !strings.HasSuffix(clock, "Z")}, nil
}

// parseDay reads year-month-day; the year may have a sign and more digits.
func parseDay(text string) (year, month, day int, err error) {
	digits := strings.TrimLeft(text, "+-")
	parts := strings.Split(digits, "-")
	if len(parts) != 3 || len(parts[0]) < 4 || len(parts[1]) != 2 || len(parts[2]) != 2 {
		return 0, 0, 0, fmt.Errorf("parse date %q", text)
	}
	var numbers [3]int
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 24)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("parse date: %w", err)
		}
		numbers[i] = int(n)
	}
	if text[0] == '-' {
		numbers[0] = -numbers[0]
	}
	return numbers[0], numbers[1], numbers[2], nil
}

func parseClock(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse("15:04:05.999999999", text)
}

// ParseTimeLiteral reads a time that a person wrote in an expression. Without a zone of its own it is of the given one.
func ParseTimeLiteral(text string, zone *time.Location) (Time, error) {
	if strings.HasSuffix(text, "infinity") {
		return ParseTime(text)
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00"} {
		if at, err := time.Parse(layout, text); err == nil {
			return Time{Time: at.UTC()}, nil
		}
	}
	if t, err := ParseTime(text); err == nil && t.infinite == 0 && !strings.HasSuffix(text, "Z") {
		at := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
		return Time{Time: at, wall: true}, nil
	} else if err == nil && t.infinite == 0 {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return Time{Time: at, wall: true}, nil
		}
	}
	return Time{}, fmt.Errorf("%q is not a date; write it like 2006-01-02 or 2006-01-02T15:04:05Z", text)
}
