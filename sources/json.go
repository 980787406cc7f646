package sources

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// AppendJSON appends a cell's canonical text as the JSON value that documents
// hold. It is the one place where cells become JSON, so a snapshot row and a
// streamed row give the same bytes. nulled reports a value that JSON or a date
// field cannot hold (NaN, Infinity, an infinite date): null is appended for it.
func AppendJSON(dst []byte, t *Type, text []byte) (out []byte, nulled bool) {
	switch t.Kind {
	case Bool, Int, JSON, Array, Range, Point:
		return append(dst, text...), false
	case Float, Decimal:
		if !isNumber(text) {
			return append(dst, "null"...), true
		}
		return append(dst, text...), false
	case Date, Timestamp, TimestampTZ:
		if isInfinite(text) {
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

// isNumber tells digits from NaN, Infinity and -Infinity.
func isNumber(text []byte) bool {
	if len(text) > 1 && text[0] == '-' {
		text = text[1:]
	}
	return len(text) > 0 && text[0] >= '0' && text[0] <= '9'
}

// isInfinite tells infinity and -infinity from a date.
func isInfinite(text []byte) bool {
	if len(text) > 1 && text[0] == '-' {
		text = text[1:]
	}
	return len(text) > 0 && text[0] == 'i'
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
