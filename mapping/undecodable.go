package mapping

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"haystream/sources"
)

// An UndecodableError is about a value that is not UTF-8, of a source that does
// not promise that its texts are.
type UndecodableError struct {
	Table, Column string
	Key           string // the row's
	Byte          byte   // the first that is no part of a character
	At            int    // its place in the value, from 1
}

// Error names the row and the byte.
func (e *UndecodableError) Error() string {
	return fmt.Sprintf("column %s of table %s holds bytes that are not UTF-8, in the row with key (%s): 0x%02x at byte %d", e.Column, e.Table, e.Key, e.Byte, e.At)
}

// decodable asks what to do about a column's value that is not UTF-8: an error
// refuses the document.
func (s *Scratch) decodable(t *sources.Table, column int, row sources.Row) error {
	text := row.Text(column)
	if !t.Columns[column].Raw || utf8.Valid(text) || s.Undecodable == nil {
		return nil
	}
	e := &UndecodableError{Table: t.String(), Column: t.Columns[column].Name}
	key := row.Key(t.Key)
	for i := range key {
		key[i] = strings.ToValidUTF8(key[i], string(utf8.RuneError))
	}
	e.Key = strings.Join(key, ", ")
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			e.Byte, e.At = text[at], at+1
			break
		}
		at += size
	}
	return s.Undecodable(e)
}

// rawContent is the content of a column whose values need not be UTF-8. What is
// not becomes U+FFFD.
type rawContent struct {
	content
	table  *sources.Table
	column int
}

func (c *rawContent) append(dst []byte, s *Scratch) ([]byte, bool, error) {
	if err := s.decodable(c.table, c.column, s.row); err != nil {
		return dst, true, err
	}
	start := len(dst)
	dst, null, err := c.content.append(dst, s)
	if !utf8.Valid(dst[start:]) { // JSON is appended as it is
		dst = append(dst[:start], bytes.ToValidUTF8(dst[start:], []byte(string(utf8.RuneError)))...)
	}
	return dst, null, err
}
