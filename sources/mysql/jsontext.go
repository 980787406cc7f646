package mysql

import (
	"encoding/json"

	"haystream/sources"
)

// jsonTextType is MariaDB's JSON: text that a constraint keeps valid. Where the
// constraint was off, a text that is not JSON is held as a JSON string.
func jsonTextType(c catalogColumn) (columnType, error) {
	t, err := stringType(c)
	if err != nil {
		return t, err
	}
	decode := t.text
	convert := func(dst, text []byte) ([]byte, error) {
		start := len(dst)
		if decode == nil {
			return finishJSON(append(dst, text...), start), nil
		}
		dst, err := decode(dst, text)
		if err != nil {
			return dst, err
		}
		return finishJSON(dst, start), nil
	}
	t.Kind, t.Size, t.Lossy, t.text, t.forms = sources.JSON, 0, true, convert, stringForms(convert)
	return t, nil
}

// finishJSON makes the text from start on a line of JSON, in which no name comes
// twice in an object. Line breaks are between tokens only: JSON wants them
// escaped inside of strings.
func finishJSON(dst []byte, start int) []byte {
	text := dst[start:]
	if !json.Valid(text) {
		end := len(dst)
		dst = sources.AppendJSONString(dst, text)
		return dst[:start+copy(dst[start:], dst[end:])]
	}
	for i, c := range text {
		if c == '\n' || c == '\r' {
			text[i] = ' '
		}
	}
	return sources.KeepLast(dst, start)
}
