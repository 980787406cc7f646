package django

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// appendPrinted appends a value as {{ }} prints it: numbers, dates and times as in
// English, times in the template's zone, text escaped where that is asked for.
func (m *Machine) appendPrinted(dst []byte, v Value, escape bool) []byte {
	switch v.kind {
	case missing:
		return dst
	case str:
		if escape && !v.safe {
			return appendEscaped(dst, v.text)
		}
		return append(dst, v.text...)
	case integer, float, decimal:
		return v.appendNumber(dst)
	case day:
		return appendDate(dst, m.localTime(v), dateFormat)
	case datetime:
		return appendDate(dst, m.localTime(v), dateTimeFormat)
	case clock:
		return appendDate(dst, m.localTime(v), timeFormat)
	}
	text := v.String()
	if escape {
		return appendEscaped(dst, text)
	}
	return append(dst, text...)
}

// String is Python's str of the value.
func (v Value) String() string {
	switch v.kind {
	case missing:
		return ""
	case none:
		return "None"
	case boolean:
		if v.n != 0 {
			return "True"
		}
		return "False"
	case integer:
		if v.text != "" {
			return v.text
		}
		return strconv.FormatInt(v.n, 10)
	case float:
		return floatText(v.number)
	case decimal, str:
		return v.text
	case day, datetime, clock:
		return v.isoTime(' ')
	}
	return string(v.appendRepr(nil))
}

// asText is the value as a filter of text gets it: what is safe stays so.
func (v Value) asText() Value {
	if v.kind == str {
		return v
	}
	return Text(v.String())
}

// appendRepr appends Python's repr of the value.
func (v Value) appendRepr(dst []byte) []byte {
	switch v.kind {
	case str:
		return appendQuoted(dst, v.text)
	case missing:
		return append(dst, "''"...)
	case decimal:
		return append(append(append(dst, "Decimal('"...), v.text...), "')"...)
	case day, datetime, clock:
		return v.appendTimeRepr(dst)
	case list:
		return appendListRepr(dst, v)
	case dict:
		d, _ := v.ref.(*members)
		dst = append(dst, '{')
		for i, key := range d.keys {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendQuoted(dst, key), ": "...)
			dst = d.values[i].appendRepr(dst)
		}
		return append(dst, '}')
	case record, records:
		return append(dst, "<rows>"...) // no template comes to it
	}
	return append(dst, v.String()...)
}

func appendListRepr(dst []byte, v Value) []byte {
	opening, closing := byte('['), byte(']')
	if isTuple(v) {
		opening, closing = '(', ')'
	}
	dst = append(dst, opening)
	for i, e := range v.items() {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = e.appendRepr(dst)
	}
	if isTuple(v) && len(v.items()) == 1 {
		dst = append(dst, ',')
	}
	return append(dst, closing)
}

// appendQuoted appends a text as Python writes it in its source.
func appendQuoted(dst []byte, s string) []byte {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	dst = append(dst, quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ' || r == 0x7f || r > 0x7f && r <= 0xff && !printable(r):
			dst = appendHex(dst, `\x`, r, 2)
		case r < utf8.RuneSelf || printable(r):
			dst = utf8.AppendRune(dst, r)
		case r <= 0xffff:
			dst = appendHex(dst, `\u`, r, 4)
		default:
			dst = appendHex(dst, `\U`, r, 8)
		}
	}
	return append(dst, quote)
}

// printable is Python's str.isprintable of a character beyond ASCII.
func printable(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

func appendHex(dst []byte, prefix string, r rune, digits int) []byte {
	text := strconv.FormatInt(int64(r), 16)
	dst = append(dst, prefix...)
	for range digits - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

// appendEscaped appends a text with the characters escaped that mean something in HTML.
func appendEscaped(dst []byte, s string) []byte {
	done := 0
	for i := range len(s) {
		var escaped string
		switch s[i] {
		case '&':
			escaped = "&amp;"
		case '<':
			escaped = "&lt;"
		case '>':
			escaped = "&gt;"
		case '"':
			escaped = "&quot;"
		case '\'':
			escaped = "&#x27;"
		default:
			continue
		}
		dst = append(append(dst, s[done:i]...), escaped...)
		done = i + 1
	}
	return append(dst, s[done:]...)
}

func escapeText(s string) string {
	if !strings.ContainsAny(s, `&<>"'`) {
		return s
	}
	return string(appendEscaped(nil, s))
}

// escaped is the value as text that is not escaped any more.
func (v Value) escaped() string {
	if v.kind == str && v.safe {
		return v.text
	}
	return escapeText(v.String())
}

func runes(s string) int { return utf8.RuneCountInString(s) }
