package postgres

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"

	"haystream/sources"
)

func errText(kind string, text []byte) error {
	return fmt.Errorf("convert %s: unexpected text of %d bytes", kind, len(text))
}

func convertBool(dst, text []byte) ([]byte, error) {
	switch string(text) {
	case "t":
		return append(dst, "true"...), nil
	case "f":
		return append(dst, "false"...), nil
	}
	return nil, errText("bool", text)
}

// convertChar writes a high byte of a "char" as \ooo, as PostgreSQL does since
// 16: alone it would not be UTF-8.
func convertChar(dst, text []byte) ([]byte, error) {
	if len(text) == 1 && text[0] >= 0x80 {
		b := text[0]
		return append(dst, '\\', '0'+b>>6, '0'+b>>3&7, '0'+b&7), nil
	}
	return append(dst, text...), nil
}

func convertBytea(dst, text []byte) ([]byte, error) {
	digits, ok := bytes.CutPrefix(text, []byte(`\x`))
	if !ok {
		return nil, errText("bytea", text)
	}
	dst, err := hex.AppendDecode(dst, digits)
	if err != nil {
		return nil, errText("bytea", text)
	}
	return dst, nil
}

// convertJSON keeps a json text but for line breaks, and members that later ones
// of their name replace. Inside of strings there are no line breaks: JSON wants
// them escaped there.
func convertJSON(dst, text []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, text...)
	for _, brk := range []byte{'\n', '\r'} {
		for rest := dst[start:]; ; {
			i := bytes.IndexByte(rest, brk)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
	return sources.KeepLast(dst, start), nil
}

func convertDate(dst, text []byte) ([]byte, error) {
	if isInfinite(text) {
		return append(dst, text...), nil
	}
	dst, rest, err := appendDate(dst, text)
	if err != nil || len(rest) > 0 {
		return nil, errText("date", text)
	}
	return dst, nil
}

func convertTimestamp(dst, text []byte) ([]byte, error) {
	if isInfinite(text) {
		return append(dst, text...), nil
	}
	dst, rest, err := appendDate(dst, text)
	if err != nil || len(rest) < len(" 15:04:05") || rest[0] != ' ' {
		return nil, errText("timestamp", text)
	}
	return append(append(dst, 'T'), rest[1:]...), nil
}

func convertTimestampTZ(dst, text []byte) ([]byte, error) {
	if isInfinite(text) {
		return append(dst, text...), nil
	}
	dst, rest, err := appendDate(dst, text)
	rest, utc := bytes.CutSuffix(rest, []byte("+00"))
	if err != nil || !utc || len(rest) < len(" 15:04:05") || rest[0] != ' ' {
		return nil, errText("timestamptz", text)
	}
	return append(append(append(dst, 'T'), rest[1:]...), 'Z'), nil
}

func isInfinite(text []byte) bool {
	return len(text) > 0 && text[len(text)-1] == 'y' && (string(text) == "infinity" || string(text) == "-infinity")
}

// appendDate appends the date at the start of text, with its year as ISO 8601
// has it, and returns what follows without the era.
func appendDate(dst, text []byte) (appended, rest []byte, err error) {
	text, bc := bytes.CutSuffix(text, []byte(" BC"))
	i := bytes.IndexByte(text, '-')
	if i < 4 || len(text) < i+len("-01-02") {
		return nil, nil, errText("date", text)
	}
	switch year := text[:i]; {
	case bc: // there is a year 0 in ISO 8601: 1 BC
		n, err := strconv.Atoi(string(year))
		if err != nil {
			return nil, nil, err
		}
		dst = appendYearBC(dst, n-1)
	case len(year) > 4:
		dst = append(append(dst, '+'), year...)
	default:
		dst = append(dst, year...)
	}
	end := i + len("-01-02")
	return append(dst, text[i:end]...), text[end:], nil
}

// appendYearBC appends the year -n, with four digits at least.
func appendYearBC(dst []byte, n int) []byte {
	if n > 0 {
		dst = append(dst, '-')
	}
	for limit := 1000; limit > 1 && n < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// convertPoint turns (x,y) into {"lat":y,"lon":x}, the order of a map point's
// longitude and latitude in PostgreSQL and PostGIS. A point with a coordinate
// that JSON has no number for is null.
func convertPoint(dst, text []byte) ([]byte, error) {
	comma := bytes.IndexByte(text, ',')
	if comma < 2 || text[0] != '(' || text[len(text)-1] != ')' {
		return nil, errText("point", text)
	}
	x, y := text[1:comma], text[comma+1:len(text)-1]
	if !isFinite(x) || !isFinite(y) {
		return sources.AppendMark(append(dst, "null"...), text), nil
	}
	dst = append(append(dst, `{"lat":`...), y...)
	dst = append(append(dst, `,"lon":`...), x...)
	return append(dst, '}'), nil
}

// isFinite tells a printed number from NaN, Infinity and -Infinity.
func isFinite(number []byte) bool {
	return len(number) > 0 && number[len(number)-1] <= '9'
}
