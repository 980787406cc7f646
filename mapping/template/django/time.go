package django

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"haystream/mapping/value"
	"haystream/sources"
)

// Formats of values that are printed without a filter, and those that the filters
// date and time know by name.
const (
	dateFormat     = "N j, Y"
	timeFormat     = "P"
	dateTimeFormat = "N j, Y, P"
)

func namedFormat(name string) string {
	switch name {
	case "DATE_FORMAT":
		return dateFormat
	case "TIME_FORMAT":
		return timeFormat
	case "DATETIME_FORMAT":
		return dateTimeFormat
	case "SHORT_DATE_FORMAT":
		return "m/d/Y"
	case "SHORT_DATETIME_FORMAT":
		return "m/d/Y P"
	case "YEAR_MONTH_FORMAT":
		return "F Y"
	case "MONTH_DAY_FORMAT":
		return "F j"
	}
	return name
}

// parseTime reads a date or timestamp. What no calendar has is text.
func parseTime(k sources.Kind, text string) (Value, error) {
	t, err := value.ParseTime(text)
	if err != nil {
		return Value{}, err
	}
	if value.Infinity(t) != 0 {
		return Text(text), nil
	}
	v := Value{kind: datetime, n: t.UnixMicro(), aware: k == sources.TimestampTZ}
	if k == sources.Date {
		v.kind = day
	}
	return v, nil
}

// UseTZ is a timestamp as Django has it with that USE_TZ: aware, or naive and in a zone.
// Other values stay as they are.
func (v Value) UseTZ(use bool, zone *time.Location) Value {
	if v.kind != datetime || v.aware == use {
		return v
	}
	if !use {
		_, offset := time.UnixMicro(v.n).In(zone).Zone()
		v.n += int64(offset) * 1e6
	}
	v.aware = use
	return v
}

// parseClock reads the text of a column that holds a time of day.
func parseClock(sql, text string) (Value, bool) {
	if !strings.HasPrefix(sql, "time") || strings.HasPrefix(sql, "timestamp") || strings.HasSuffix(sql, "with time zone") {
		return Value{}, false
	}
	t, err := time.Parse("15:04:05.999999", text)
	if err != nil {
		return Value{}, false
	}
	seconds := (t.Hour()*60+t.Minute())*60 + t.Second()
	return Value{kind: clock, n: int64(seconds)*1e6 + int64(t.Nanosecond()/1000)}, true
}

// A localTime is a date or time as a format shows it.
type localTime struct {
	time.Time
	kind  kind // day, datetime or clock
	aware bool
	zone  *time.Location // of the template
}

// localTime is a value in the template's zone; dates and naive times are as they are.
func (m *Machine) localTime(v Value) localTime {
	t := time.UnixMicro(v.n).UTC()
	if v.kind == datetime && v.aware {
		t = t.In(m.zone)
	}
	return localTime{t, v.kind, v.aware, m.zone}
}

// inZone is the time with what the zone has at it; false where it came twice, or
// never, when clocks were put back or forward.
func (t localTime) inZone() (time.Time, bool) {
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(t.zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := offset(wall.Add(-24*time.Hour)), offset(wall.Add(24*time.Hour))
	if before == after {
		return wall.Add(-before).In(t.zone), true
	}
	first, second := offset(wall.Add(-before)) == before, offset(wall.Add(-after)) == after
	at := wall.Add(-before)
	if !first && second {
		at = wall.Add(-after)
	}
	return at.In(t.zone), first != second
}

var (
	months   = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	apMonths = [...]string{"Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."}
)

// timeLetters are the format letters of times of day; dateLetters are the others.
const (
	timeLetters = "aAefgGhHiOPsTuZ"
	dateLetters = "bcdDEFIjlLmMnNorStUwWyYz"
)

func appendDate(dst []byte, t localTime, format string) []byte {
	for i := 0; i < len(format); i++ {
		switch c := format[i]; {
		case c == '\\' && i+1 < len(format) && format[i+1] != '\n':
			i++
			dst = append(dst, format[i])
		case i > 0 && format[i-1] == '\\': // an escaped backslash escapes what follows, too
			dst = append(dst, c)
		case strings.IndexByte(timeLetters, c) >= 0:
			dst = t.appendClock(dst, c)
		case strings.IndexByte(dateLetters, c) >= 0:
			dst = t.appendDay(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func appendPadded(dst []byte, n, width int) []byte {
	for limit := 10; width > 1; width, limit = width-1, limit*10 {
		if n < limit {
			for range width - 1 {
				dst = append(dst, '0')
			}
			break
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func (t localTime) hour12() int {
	if h := t.Hour() % 12; h != 0 {
		return h
	}
	return 12
}

// appendClock appends what a letter stands for that times of day have.
func (t localTime) appendClock(dst []byte, letter byte) []byte {
	switch letter {
	case 'a', 'A':
		return append(dst, t.half(letter)...)
	case 'f':
		dst = strconv.AppendInt(dst, int64(t.hour12()), 10)
		if t.Minute() == 0 {
			return dst
		}
		return appendPadded(append(dst, ':'), t.Minute(), 2)
	case 'g':
		return strconv.AppendInt(dst, int64(t.hour12()), 10)
	case 'G':
		return strconv.AppendInt(dst, int64(t.Hour()), 10)
	case 'h':
		return appendPadded(dst, t.hour12(), 2)
	case 'H':
		return appendPadded(dst, t.Hour(), 2)
	case 'i':
		return appendPadded(dst, t.Minute(), 2)
	case 'P':
		switch {
		case t.Minute() == 0 && t.Hour() == 0:
			return append(dst, "midnight"...)
		case t.Minute() == 0 && t.Hour() == 12:
			return append(dst, "noon"...)
		}
		return append(append(t.appendClock(dst, 'f'), ' '), t.half('a')...)
	case 's':
		return appendPadded(dst, t.Second(), 2)
	case 'u':
		return appendPadded(dst, t.Nanosecond()/1000, 6)
	}
	return t.appendZone(dst, letter)
}

func (t localTime) half(letter byte) string {
	if letter == 'a' {
		return [...]string{"a.m.", "p.m."}[t.Hour()/12]
	}
	return [...]string{"AM", "PM"}[t.Hour()/12]
}

// appendZone appends what the zone is; nothing for what has none.
func (t localTime) appendZone(dst []byte, letter byte) []byte {
	at, plain := t.inZone()
	if t.kind != datetime || !plain || letter == 'e' && !t.aware {
		return dst
	}
	name, offset := at.Zone()
	switch letter {
	case 'O':
		return append(dst, at.Format("-0700")...)
	case 'Z':
		return strconv.AppendInt(dst, int64(offset), 10)
	case 'I':
		if at.IsDST() {
			return append(dst, '1')
		}
		return append(dst, '0')
	}
	return append(dst, name...)
}

// appendDay appends what a letter stands for that dates have.
func (t localTime) appendDay(dst []byte, letter byte) []byte {
	month, weekday := months[t.Month()-1], t.Weekday().String()
	switch letter {
	case 'b':
		return append(dst, strings.ToLower(month[:3])...)
	case 'c':
		return append(dst, t.iso()...)
	case 'd':
		return appendPadded(dst, t.Day(), 2)
	case 'D':
		return append(dst, weekday[:3]...)
	case 'E', 'F':
		return append(dst, month...)
	case 'I':
		return t.appendZone(dst, letter)
	case 'j':
		return strconv.AppendInt(dst, int64(t.Day()), 10)
	case 'l':
		return append(dst, weekday...)
	case 'L':
		return append(dst, ofBool(daysIn(t.Year(), time.February) == 29).String()...)
	case 'm':
		return appendPadded(dst, int(t.Month()), 2)
	case 'M':
		return append(dst, month[:3]...)
	case 'n':
		return strconv.AppendInt(dst, int64(t.Month()), 10)
	case 'N':
		return append(dst, apMonths[t.Month()-1]...)
	case 'r':
		return append(dst, t.instant().Format("Mon, 02 Jan 2006 15:04:05 -0700")...)
	case 'S':
		return append(dst, ordinal(t.Day())...)
	case 't':
		return strconv.AppendInt(dst, int64(daysIn(t.Year(), t.Month())), 10)
	case 'U':
		return strconv.AppendInt(dst, t.instant().Unix(), 10)
	case 'w':
		return strconv.AppendInt(dst, int64(t.Weekday()), 10)
	case 'y':
		return appendPadded(dst, t.Year()%100, 2)
	case 'Y':
		return appendPadded(dst, t.Year(), 4)
	case 'z':
		return strconv.AppendInt(dst, int64(t.YearDay()), 10)
	}
	year, week := t.ISOWeek()
	if letter == 'o' {
		return strconv.AppendInt(dst, int64(year), 10)
	}
	return strconv.AppendInt(dst, int64(week), 10)
}

// instant is the time in its zone: the template's for what has none.
func (t localTime) instant() time.Time {
	if t.aware {
		return t.Time
	}
	at, _ := t.inZone()
	return at
}

// ordinal is what English puts behind the number of a day.
func ordinal(day int) string {
	if day < 11 || day > 13 {
		switch day % 10 {
		case 1:
			return "st"
		case 2:
			return "nd"
		case 3:
			return "rd"
		}
	}
	return "th"
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// iso is Python's isoformat.
func (t localTime) iso() string {
	layout := "2006-01-02T15:04:05"
	switch {
	case t.kind == day:
		return t.Format("2006-01-02")
	case t.kind == clock:
		layout = "15:04:05"
	}
	if t.Nanosecond() != 0 {
		layout += ".000000"
	}
	if t.aware {
		layout += "-07:00"
	}
	return t.Format(layout)
}

// isoTime is Python's str of a date or time; times with a zone are in UTC, as
// databases give them.
func (v Value) isoTime(between byte) string {
	text := localTime{time.UnixMicro(v.n).UTC(), v.kind, v.aware, time.UTC}.iso()
	return strings.Replace(text, "T", string(between), 1)
}

// appendTimeRepr appends Python's repr of a date or time.
func (v Value) appendTimeRepr(dst []byte) []byte {
	t := time.UnixMicro(v.n).UTC()
	clockPart := fmt.Sprintf("%d, %d", t.Hour(), t.Minute())
	micros := t.Nanosecond() / 1000
	if t.Second() != 0 || micros != 0 {
		clockPart += fmt.Sprintf(", %d", t.Second())
	}
	if micros != 0 {
		clockPart += fmt.Sprintf(", %d", micros)
	}
	dayPart := fmt.Sprintf("%d, %d, %d", t.Year(), t.Month(), t.Day())
	switch {
	case v.kind == day:
		return fmt.Appendf(dst, "datetime.date(%s)", dayPart)
	case v.kind == clock:
		return fmt.Appendf(dst, "datetime.time(%s)", clockPart)
	case v.aware:
		return fmt.Appendf(dst, "datetime.datetime(%s, %s, tzinfo=datetime.timezone.utc)", dayPart, clockPart)
	}
	return fmt.Appendf(dst, "datetime.datetime(%s, %s)", dayPart, clockPart)
}
