package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A database's encoding may have bytes that stand for no character, and the
// server stores them all the same (not in UTF8, where it looks). To make UTF-8 of
// one it then refuses: the query ends, and so does the stream, for good. The first
// time that this happens the source asks the server for all characters of the
// encoding, and turns to making UTF-8 itself. A code that stands for nothing stays
// byte by byte, never as UTF-8, and so a column is Raw.

const (
	// sqlASCII is the encoding of which the server knows nothing, and that of a client
	// that wants texts as they are.
	sqlASCII = "SQL_ASCII"

	utf8Encoding = "UTF8"
)

const setRaw = "SET client_encoding = '" + sqlASCII + "'"

// isRaw reports whether a database's texts may hold bytes that stand for no character.
func isRaw(conn *pgconn.PgConn) bool { return conn.ParameterStatus("server_encoding") != utf8Encoding }

// A charset is what the server makes of an encoding's characters beyond ASCII.
type charset struct {
	encoding string
	decode   map[string]string // to UTF-8: one code point, in EUC_JIS_2004 also two
	encode   map[string]string
	apart    byte // between two bytes that stay and would else read as UTF-8
}

// width is how many bytes a character has that begins with lead.
func (c *charset) width(lead byte) int {
	const ss2, ss3 = 0x8e, 0x8f // the single shifts of EUC
	switch {
	case lead < utf8.RuneSelf || !c.isEUC():
		return 1
	case lead == ss2 && c.encoding == "EUC_TW":
		return 4
	case lead == ss3:
		return 3
	}
	return 2
}

func (c *charset) isEUC() bool { return strings.HasPrefix(c.encoding, "EUC_") }

// appendDecoded makes UTF-8 of text.
func (c *charset) appendDecoded(dst, text []byte) []byte {
	start := len(dst)
	for len(text) > 0 {
		n := min(c.width(text[0]), len(text))
		character, known := c.decode[string(text[:n])]
		switch {
		case text[0] < utf8.RuneSelf:
			dst = append(dst, text[0])
		case known:
			dst = append(dst, character...)
		default:
			for _, b := range text[:n] {
				dst = append(dst, b)
				if _, size := utf8.DecodeLastRune(dst[start:]); size > 1 {
					dst = append(dst[:len(dst)-1], c.apart, b)
				}
			}
		}
		text = text[n:]
	}
	return dst
}

// encoded turns appendDecoded around.
func (c *charset) encoded(text string) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		_, next := utf8.DecodeRuneInString(text[n:])
		pair, isPair := c.encode[text[:n+next]]
		single, isSingle := c.encode[text[:n]]
		switch {
		case r == utf8.RuneError && n == 1 && text[0] == c.apart:
		case isPair:
			out, n = append(out, pair...), n+next
		case isSingle:
			out = append(out, single...)
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out
}

// decoded makes a converter take what the server has not made UTF-8 of.
func decoded(set *charset, convert converter) converter {
	if set == nil {
		return convert
	}
	return func(dst, text []byte) ([]byte, error) {
		if convert == nil {
			return set.appendDecoded(dst, text), nil
		}
		return convert(dst, set.appendDecoded(nil, text))
	}
}

// decodeNames does for a relation's names in the log what is done for its values.
func (m *relationMessage) decodeNames(set *charset) {
	for _, name := range []*string{&m.schema, &m.name} {
		*name = string(set.appendDecoded(nil, []byte(*name)))
	}
	for i := range m.columns {
		m.columns[i].name = string(set.appendDecoded(nil, []byte(m.columns[i].name)))
	}
}

// noteEncoding turns to decoding here where the server could not.
func (s *Source) noteEncoding(ctx context.Context, err error) {
	code := sqlState(err)
	if code != codeUntranslatable && code != codeNotInRepertoire || s.decode.Load() != nil {
		return
	}
	var set *charset
	failed := s.use(ctx, func(conn *pgx.Conn) (err error) {
		if encoding := conn.PgConn().ParameterStatus("server_encoding"); encoding != utf8Encoding && encoding != sqlASCII {
			set, err = readCharset(ctx, conn.PgConn())
		}
		return err
	})
	switch {
	case failed != nil:
		s.log.Warn().Err(errors.Join(err, failed)).Msg("the server cannot make UTF-8 of a value, and that cannot be done here")
	case set != nil && s.decode.CompareAndSwap(nil, set):
		s.log.Warn().Err(err).Msg("the server cannot make UTF-8 of a value; that is done here from now on")
	}
}

// messageText makes UTF-8 of a message: the server sends those as they are, in the
// database's encoding. What cannot be made so stays.
func (s *Source) messageText(ctx context.Context, content []byte) ([]byte, error) {
	set := s.messages.Load()
	if set == nil {
		err := s.use(ctx, func(conn *pgx.Conn) (err error) {
			if encoding := conn.PgConn().ParameterStatus("server_encoding"); encoding == utf8Encoding || encoding == sqlASCII {
				set = &charset{}
				return nil
			}
			set, err = readCharset(ctx, conn.PgConn())
			return err
		})
		if err != nil {
			return nil, err
		}
		s.messages.Store(set)
	}
	if set.decode == nil {
		return bytes.Clone(content), nil
	}
	return set.appendDecoded(nil, content), nil
}

// charactersQuery tries, behind each prefix, all pairs of bytes, or in a single-byte
// encoding all bytes: only so the server says which stand for a character. Of several
// codes of one character it makes the first in this order itself.
const charactersQuery = `
DO $do$
DECLARE
    code bytea;
    utf8 bytea;
    found text[];
BEGIN
    FOR code IN
        SELECT decode(prefix || to_hex(lead) || trail, 'hex')
        FROM unnest('{%s}'::text[]) prefix, (%s) leads(lead), (%s) trails(trail)
        ORDER BY length(prefix), lead, trail
    LOOP
        BEGIN
            utf8 := convert(code, getdatabaseencoding(), 'UTF8');
        EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN
            CONTINUE;
        END;
        found := found || (encode(code, 'hex') || ' ' || encode(utf8, 'hex'));
    END LOOP;
    PERFORM set_config('haystream.characters', array_to_string(found, ' '), true);
END $do$;
SELECT current_setting('haystream.characters')`

// readCharset asks the server for all characters of its encoding.
func readCharset(ctx context.Context, conn *pgconn.PgConn) (*charset, error) {
	c := &charset{encoding: conn.ParameterStatus("server_encoding"), decode: map[string]string{}, encode: map[string]string{}}
	prefixes, leads, trails := `""`, "SELECT generate_series(128, 255)", "SELECT ''"
	if c.isEUC() {
		leads = "SELECT 142 UNION SELECT generate_series(161, 254)"
		trails = "SELECT to_hex(n) FROM generate_series(161, 254) n"
	}
	switch c.encoding {
	case "EUC_JP", "EUC_JIS_2004":
		prefixes = `"",8f`
	case "EUC_TW":
		prefixes = `"",8ea1,8ea2` // no server has the characters of planes 3 to 7
	}
	results, err := conn.Exec(ctx, fmt.Sprintf(charactersQuery, prefixes, leads, trails)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the characters of %s: %w", c.encoding, err)
	}
	fields := strings.Fields(string(results[len(results)-1].Rows[0][0]))
	for pair := range slices.Chunk(fields, 2) {
		code, err := hex.DecodeString(pair[0])
		character, err2 := hex.DecodeString(pair[1])
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("read the characters of %s: %w", c.encoding, err)
		}
		c.add(string(code), string(character))
	}
	c.setApart()
	return c, nil
}

func (c *charset) add(code, character string) {
	c.decode[code] = character
	if _, has := c.encode[character]; !has {
		c.encode[character] = code
	}
}

// setApart finds a byte that is never in UTF-8 and never stays: it is a character in
// the encoding, or, as 0xff in EUC, no part of one.
func (c *charset) setApart() {
	for _, c.apart = range []byte{0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8, 0xf7, 0xf6, 0xf5, 0xc1, 0xc0} {
		if _, known := c.decode[string([]byte{c.apart})]; known || c.isEUC() {
			return
		}
	}
}
