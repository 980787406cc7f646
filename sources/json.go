package sources

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
)

// AppendJSON appends a cell's canonical text as the JSON value that documents
// hold. It is the one place where cells become JSON, so a snapshot row and a
// streamed row give the same bytes. nulled reports a value that JSON or a date
// field cannot hold (NaN, Infinity, an infinite date, a curve): null is appended for it.
func AppendJSON(dst []byte, t *Type, text []byte) (out []byte, nulled bool) {
	switch t.Kind {
	case Int:
		return append(dst, text...), false
	case JSON, Point:
		value := CutMark(text)
		return append(dst, value...), len(value) < len(text) && string(value) == "null"
	case Array, Range:
		return append(dst, CutMark(text)...), false
	case Keyword:
		if len(text) == 1 && text[0] == 0 && strings.HasPrefix(t.SQL, "enum(") {
			text = nil // what was none of the labels, where one of them is empty
		}
	case Bool:
		if len(text) > 0 && text[0] != 't' && text[0] != 'f' {
			text = []byte("true")
		}
		return append(dst, text...), false
	case Float, Decimal:
		if !isNumber(text) {
			return append(dst, "null"...), true
		}
		return append(dst, text...), false
	case Date, Timestamp, TimestampTZ:
		if !IsDay(text) {
			return append(dst, "null"...), true
		}
		dst = append(append(dst, '"'), text...)
		return append(dst, '"'), false
	case Bytes:
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), text)
		return append(dst, '"'), false
	}
	return AppendJSONString(dst, text), false
}

// AppendMark appends to a JSON text what it leaves out of the value, so that
// another value does not have the same text: NaN, a lower bound, a reference system.
func AppendMark(dst, what []byte) []byte {
	return append(append(append(dst, 0), what...), 0)
}

// CutMark returns a JSON text without its mark.
func CutMark(text []byte) []byte {
	if n := len(text); n > 0 && text[n-1] == 0 {
		return text[:bytes.IndexByte(text, 0)]
	}
	return text
}

// isNumber tells digits from NaN, Infinity and -Infinity.
func isNumber(text []byte) bool {
	if len(text) > 1 && text[0] == '-' {
		text = text[1:]
	}
	return len(text) > 0 && text[0] >= '0' && text[0] <= '9'
}

// IsDay tells a date or timestamp whose day is in the calendar from infinity,
// -infinity, and days such as 0000-00-00 and 2021-02-30.
func IsDay(text []byte) bool {
	const day = len("-01-02")
	year := min(len(text), 1) // where it ends
	for ; year < len(text) && text[year] != '-'; year++ {
		if text[year] > '9' {
			return false
		}
	}
	if len(text) < year+day {
		return false
	}
	m := int(text[year+1]-'0')*10 + int(text[year+2]-'0')
	d := int(text[year+4]-'0')*10 + int(text[year+5]-'0')
	return d >= 1 && m >= 1 && m <= 12 && (d <= 28 || d <= daysIn(text[:year], m))
}

func daysIn(year []byte, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		n := 0
		for _, c := range year {
			if c >= '0' {
				n = (n*10 + int(c-'0')) % 400
			}
		}
		if n%4 == 0 && (n%100 != 0 || n == 0) {
			return 29
		}
		return 28
	}
	return 31
}

const hexDigits = "0123456789abcdef"

// largeText is from where on a text's room is made at once: growing bit by bit
// would leave several times its size to the garbage collector.
const largeText = 64 << 10

// AppendJSONString appends text as a JSON string. Bytes that are not UTF-8
// become U+FFFD.
func AppendJSONString(dst, text []byte) []byte {
	if len(text) > largeText {
		dst = slices.Grow(dst, len(text)+len(text)/16+largeText)
	}
	dst = append(dst, '"')
	valid := utf8.Valid(text)
	start := 0
	for i := 0; i < len(text); {
		if valid {
			if i += plain(text[i:]); i == len(text) {
				break
			}
		}
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && (valid || c < utf8.RuneSelf) {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		dst = appendEscape(append(dst, text[start:i]...), c)
		i++
		start = i
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

// plain is how many bytes come before the first that needs an escape, eight at
// a time: those below a space, quotes and backslashes.
func plain(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(text)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		if ((w-ones*' ')&^w|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0 {
			break
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
