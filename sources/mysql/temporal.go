package mysql

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A dateTime is a date and a time of day as the servers keep them. The calendar
// need not have the day: 0000-00-00, 2020-00-10 or 2021-02-30. Documents hold
// null for such a one, and it is counted.
type dateTime struct {
	year, month, day             int
	hour, minute, second, micros int
}

// appendDate appends the canonical text of a sources.Date.
func (m dateTime) appendDate(dst []byte) []byte {
	return appendDay(dst, m.year, m.month, m.day)
}

// appendTimestamp appends the canonical text of a sources.Timestamp.
func (m dateTime) appendTimestamp(dst []byte) []byte {
	dst = append(appendDay(dst, m.year, m.month, m.day), 'T')
	dst = appendClock(dst, m.hour, m.minute, m.second)
	if m.micros == 0 {
		return dst
	}
	dst = append2(append2(append2(append(dst, '.'), m.micros/10000), m.micros/100), m.micros)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendTimestampTZ appends the canonical text of a sources.TimestampTZ; it is in UTC.
func (m dateTime) appendTimestampTZ(dst []byte) []byte {
	return append(m.appendTimestamp(dst), 'Z')
}

func appendDay(dst []byte, year, month, day int) []byte {
	dst = append(append2(append2(dst, year/100), year), '-')
	return append2(append(append2(dst, month), '-'), day)
}

func appendClock(dst []byte, hour, minute, second int) []byte {
	dst = append(append2(dst, hour), ':')
	return append2(append(append2(dst, minute), ':'), second)
}

// pairs are the numbers of two digits.
const pairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

// append2 appends the last two digits.
func append2(dst []byte, n int) []byte {
	at := uint(n) % 100 * 2
	return append(dst, pairs[at], pairs[at+1])
}

// parseDateTime reads 2006-01-02 and 2006-01-02 15:04:05[.999999].
func parseDateTime(text []byte) (m dateTime, err error) {
	p := clockParser{text: text}
	m.year, m.month, m.day = p.number(4, '-'), p.number(2, '-'), p.number(2, 0)
	if len(p.text) > 0 {
		p.skip(' ')
		m.hour, m.minute, m.second = p.number(2, ':'), p.number(2, ':'), p.number(2, 0)
	}
	if len(p.text) > 0 {
		p.skip('.')
		m.micros = p.fraction()
	}
	if p.failed || len(p.text) > 0 {
		return m, fmt.Errorf("convert date: unexpected text of %d bytes", len(text))
	}
	return m, nil
}

// clockParser reads numbers off the front of text.
type clockParser struct {
	text   []byte
	failed bool
}

// number reads so many digits and the byte behind them, where it is not 0.
func (p *clockParser) number(digits int, behind byte) (n int) {
	if p.failed || len(p.text) < digits {
		p.failed = true
		return 0
	}
	for _, c := range p.text[:digits] {
		p.failed = p.failed || c < '0' || c > '9'
		n = n*10 + int(c-'0')
	}
	p.text = p.text[digits:]
	if behind != 0 {
		p.skip(behind)
	}
	return n
}

func (p *clockParser) skip(c byte) {
	if p.failed || len(p.text) == 0 || p.text[0] != c {
		p.failed = true
		return
	}
	p.text = p.text[1:]
}

// fraction reads up to six digits as microseconds.
func (p *clockParser) fraction() int {
	digits := min(len(p.text), 6)
	n := p.number(digits, 0)
	for ; digits < 6; digits++ {
		n *= 10
	}
	return n
}

func convertDate(dst, text []byte) ([]byte, error) {
	m, err := parseDateTime(text)
	if err != nil {
		return dst, err
	}
	return m.appendDate(dst), nil
}

// convertDatetime puts a T between day and time, and cuts zeros off the fraction.
func convertDatetime(dst, text []byte) ([]byte, error) {
	const shape, day, second = "0000-00-00 00:00:00.000000", len("2006-01-02"), len("2006-01-02 15:04:05")
	good := len(text) >= second && len(text) <= len(shape) && len(text) != second+1
	for i := 0; good && i < len(text); i++ {
		digit := text[i] >= '0' && text[i] <= '9'
		good = digit && shape[i] == '0' || text[i] == shape[i]
	}
	if !good {
		return dst, errValue("datetime", text)
	}
	dst = append(append(append(dst, text[:day]...), 'T'), text[day+1:second]...)
	end := len(text)
	for end > second && (text[end-1] == '0' || text[end-1] == '.') {
		end--
	}
	return append(dst, text[second:end]...), nil
}

func convertTimestamp(dst, text []byte) ([]byte, error) {
	dst, err := convertDatetime(dst, text)
	if err != nil {
		return dst, err
	}
	return append(dst, 'Z'), nil
}

// The forms that temporal values have in row images are described in the
// MySQL source, mysys/my_time.cc: my_datetime_packed_from_binary and its
// neighbours. Those without a fraction, from before MySQL 5.6, are in
// sql/field.cc: Field_newdate, Field_datetime, Field_timestamp, Field_time.

func logDate(dst, data []byte) ([]byte, error) {
	n := int(littleEndian(data))
	return dateTime{year: n >> 9, month: n >> 5 & 15, day: n & 31}.appendDate(dst), nil
}

// logFraction reads the bytes of a fraction as microseconds.
func logFraction(data []byte) int {
	n := int(bigEndian(data))
	for i := len(data); i < 3; i++ {
		n *= 100
	}
	return n
}

func logDatetime2(dst, data []byte) ([]byte, error) {
	const sign = 1 << 39
	n := int(bigEndian(data[:5])) - sign
	if n < 0 {
		return dst, errors.New("convert datetime: negative")
	}
	months := n >> 22
	m := dateTime{
		year: months / 13, month: months % 13, day: n >> 17 & 31,
		hour: n >> 12 & 31, minute: n >> 6 & 63, second: n & 63,
		micros: logFraction(data[5:]),
	}
	return m.appendTimestamp(dst), nil
}

// logDatetime reads the number 20060102150405.
func logDatetime(dst, data []byte) ([]byte, error) {
	n := littleEndian(data)
	day, clock := int(n/1e6), int(n%1e6)
	m := dateTime{
		year: day / 1e4, month: day / 100 % 100, day: day % 100,
		hour: clock / 1e4, minute: clock / 100 % 100, second: clock % 100,
	}
	return m.appendTimestamp(dst), nil
}

func logTimestamp2(dst, data []byte) ([]byte, error) {
	return appendUnix(dst, int64(bigEndian(data[:4])), logFraction(data[4:])), nil
}

func logTimestamp(dst, data []byte) ([]byte, error) {
	return appendUnix(dst, int64(littleEndian(data)), 0), nil
}

// appendUnix appends a sources.TimestampTZ of so many seconds since 1970, where
// 0 is the zero date.
func appendUnix(dst []byte, seconds int64, micros int) []byte {
	if seconds == 0 && micros == 0 {
		return dateTime{}.appendTimestampTZ(dst)
	}
	at := time.Unix(seconds, 0).UTC()
	m := dateTime{micros: micros}
	var month time.Month
	m.year, month, m.day = at.Date()
	m.month = int(month)
	m.hour, m.minute, m.second = at.Clock()
	return m.appendTimestampTZ(dst)
}

// time2Converter reads a TIME with so many digits of a second. Integer part and
// fraction are one number in the order of their bytes, offset so that negative
// times sort first.
func time2Converter(digits int) converter {
	return func(dst, data []byte) ([]byte, error) {
		bits := 8 * len(data)
		n := int64(bigEndian(data)) - 1<<(bits-1)
		negative := n < 0
		if negative {
			n = -n
		}
		fractionBits := bits - 24
		clock := int(n >> fractionBits)
		fraction := n & (1<<fractionBits - 1)
		return appendTime(dst, negative, clock>>12&0x3ff, clock>>6&63, clock&63, fraction, 2*len(data)-6, digits), nil
	}
}

// logTime reads the number 150405, which may be negative.
func logTime(dst, data []byte) ([]byte, error) {
	n := int32(littleEndian(data)<<8) >> 8
	negative := n < 0
	if negative {
		n = -n
	}
	return appendTime(dst, negative, int(n/1e4), int(n/100%100), int(n%100), 0, 0, 0), nil
}

// appendTime appends a TIME as the servers print it. The fraction is a number
// of stored digits, of which the first so many are printed.
func appendTime(dst []byte, negative bool, hour, minute, second int, fraction int64, stored, digits int) []byte {
	if negative {
		dst = append(dst, '-')
	}
	if hour > 99 {
		dst = strconv.AppendInt(dst, int64(hour/100), 10)
		hour %= 100
	}
	dst = appendClock(dst, hour, minute, second)
	if digits == 0 {
		return dst
	}
	dst = append(dst, '.')
	start := len(dst)
	return appendPadded(dst, uint64(fraction), stored)[:start+digits]
}

// logYear reads the years since 1900, where 0 is the year 0000.
func logYear(dst, data []byte) ([]byte, error) {
	if data[0] == 0 {
		return append(dst, '0'), nil
	}
	return strconv.AppendInt(dst, 1900+int64(data[0]), 10), nil
}
