package postgres

import (
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/text/encoding/charmap"
)

// A database's encoding may have bytes that stand for no character, and the
// server stores them all the same (not in UTF8, where it looks). To make UTF-8 of
// one it then refuses: the query ends, and so does the stream, for good. The first
// time that this happens the source turns to making UTF-8 itself. A byte that
// stands for nothing stays as it is, and so a column is Raw.

// charmapOf is an encoding with such bytes; nil for any other.
func charmapOf(encoding string) *charmap.Charmap {
	switch encoding {
	case "WIN1250":
		return charmap.Windows1250
	case "WIN1251":
		return charmap.Windows1251
	case "WIN1252":
		return charmap.Windows1252
	case "WIN1253":
		return charmap.Windows1253
	case "WIN1254":
		return charmap.Windows1254
	case "WIN1255":
		return charmap.Windows1255
	case "WIN1256":
		return charmap.Windows1256
	case "WIN1257":
		return charmap.Windows1257
	case "WIN1258":
		return charmap.Windows1258
	case "WIN874":
		return charmap.Windows874
	case "LATIN3":
		return charmap.ISO8859_3
	case "ISO_8859_6":
		return charmap.ISO8859_6
	case "ISO_8859_7":
		return charmap.ISO8859_7
	case "ISO_8859_8":
		return charmap.ISO8859_8
	}
	return nil
}

// isRaw reports whether a database's texts may hold bytes that stand for no character.
func isRaw(conn *pgconn.PgConn) bool {
	encoding := conn.ParameterStatus("server_encoding")
	return encoding == sqlASCII || charmapOf(encoding) != nil
}

// sqlASCII is the encoding of which the server knows nothing, and that of a client
// that wants texts as they are.
const sqlASCII = "SQL_ASCII"

const setRaw = "SET client_encoding = '" + sqlASCII + "'"

// noteEncoding turns to decoding here where the server could not.
func (s *Source) noteEncoding(err error) {
	code := sqlState(err)
	if code != codeUntranslatable && code != codeNotInRepertoire {
		return
	}
	name, _ := s.encoding.Load().(string)
	if set := charmapOf(name); set != nil && s.decode.CompareAndSwap(nil, set) {
		s.log.Warn().Err(err).Msg("the server cannot make UTF-8 of a value; that is done here from now on")
	}
}

// decoded makes a converter take what the server has not made UTF-8 of.
func decoded(set *charmap.Charmap, convert converter) converter {
	if set == nil {
		return convert
	}
	return func(dst, text []byte) ([]byte, error) {
		if convert == nil {
			return appendDecoded(dst, text, set), nil
		}
		return convert(dst, appendDecoded(nil, text, set))
	}
}

// appendDecoded makes UTF-8 of text. A byte that stands for no character stays.
func appendDecoded(dst, text []byte, set *charmap.Charmap) []byte {
	for _, b := range text {
		r := set.DecodeByte(b)
		control := r >= 0x80 && r < 0xa0 // which only stand in for what is not set
		if b < utf8.RuneSelf || r == utf8.RuneError || control {
			dst = append(dst, b)
			continue
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// encoded turns appendDecoded around.
func encoded(text string, set *charmap.Charmap) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		b, ok := set.EncodeRune(r)
		if r == utf8.RuneError && size == 1 || !ok {
			b = text[i]
		}
		out = append(out, b)
		i += size
	}
	return out
}

// decodeNames does for a relation's names in the log what is done for its values.
func (m *relationMessage) decodeNames(set *charmap.Charmap) {
	for _, name := range []*string{&m.schema, &m.name} {
		*name = string(appendDecoded(nil, []byte(*name), set))
	}
	for i := range m.columns {
		m.columns[i].name = string(appendDecoded(nil, []byte(m.columns[i].name), set))
	}
}
