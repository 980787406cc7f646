package mapping

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"unicode/utf8"

	"haystream/sources"
)

// hashPrefix begins the ids that stand for keys which the sink cannot hold, or
// that begin with it themselves.
const hashPrefix = "sha256:"

// A documentName gives a row's document its id or routing: key columns, one
// column, or a template.
type documentName struct {
	what     string // id or routing, for messages
	longest  int    // of an id that the sink takes, in bytes; 0 for any
	prefix   []byte // before the key, such as a table's name and a colon
	key      []int  // nil where a template is set
	escaped  bool   // the key's values are percent-escaped
	template *textTemplate
	scope    *scope // of the template
	uuids    bool   // those of 32 characters are UUIDs without their hyphens
	required bool   // empty is an error rather than "none"
	columns  []int  // of the row itself
}

// append appends the name for a row. Nothing is appended where there is none.
func (n *documentName) append(dst []byte, s *Scratch, t *sources.Table, row sources.Row) ([]byte, error) {
	start := len(dst)
	if n.template != nil {
		if err := s.fill(s.view.values, n.scope, row, s.at, nameNumber); err != nil {
			return dst, err
		}
		s.text = s.text[:0]
		if err := n.template.run(s, s.here(row, s.at), s.view.values, &s.text); err != nil {
			return dst, err
		}
		dst = append(dst, s.text...)
	} else {
		dst = n.appendKey(append(dst, n.prefix...), t, row)
	}
	switch name := dst[start:]; {
	case len(name) == 0 && n.required:
		return dst, errors.New(n.what + " is empty")
	case len(name) == 0 && n.what == "routing":
		return dst, nil
	case n.what == "id" && (n.longest > 0 && len(name) > n.longest || !utf8.Valid(name) || bytes.HasPrefix(name, []byte(hashPrefix))), len(name) == 0:
		sum := sha256.Sum256(name)
		dst = hex.AppendEncode(append(dst[:start], hashPrefix...), sum[:])
	}
	return dst, nil
}

// appendKey appends the key columns, joined by colons.
func (n *documentName) appendKey(dst []byte, t *sources.Table, row sources.Row) []byte {
	for i, column := range n.key {
		if i > 0 {
			dst = append(dst, ':')
		}
		text := row.Text(column)
		if n.uuids && isHexUUID(&t.Columns[column].Type) {
			dst = appendUUID(dst, text)
			continue
		}
		if t.Columns[column].Type.Kind == sources.Bytes {
			dst = base64.RawURLEncoding.AppendEncode(dst, text)
			continue
		}
		if n.escaped {
			dst = appendEscaped(dst, text)
		} else {
			dst = append(dst, text...)
		}
	}
	return dst
}

// appendEscaped percent-escapes what could be taken for a separator or escape.
func appendEscaped(dst, text []byte) []byte {
	for _, c := range text {
		switch c {
		case '%':
			dst = append(dst, "%25"...)
		case ':':
			dst = append(dst, "%3A"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
