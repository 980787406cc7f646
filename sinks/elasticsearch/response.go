package elasticsearch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An answer is what the server says of one action.
type answer struct {
	status       int
	dropped      bool   // an ingest pipeline dropped the document: nothing was written
	failureStore bool   // it went to a failure store, which is no success
	typ, reason  string // of the error; empty where there is none
	bodyless     bool   // the document is left out of the dead letter
}

const (
	versionConflict = "version_conflict_engine_exception"

	// noop is the result of a write that an ingest pipeline ended with a drop
	// processor (BulkRequestModifier.markItemAsDropped).
	noop = "noop"

	// maxText bounds each text kept of a response, in bytes.
	maxText = 4096
)

// A scanner reads the answers out of a bulk response as it arrives, in memory
// that does not depend on the response. It allocates only for errors. Inside
// values that it skips it is lenient; the members that count it reads strictly.
type scanner struct {
	src     io.Reader
	buf     [16 << 10]byte
	at, end int
	text    []byte // the last string
	first   bool   // no member of the innermost object or array was read yet
	err     error  // sticky
}

// answers appends the response's items to dst. The response must hold exactly
// n of them: with fewer or more, or cut short, nothing in it can be trusted.
func (s *scanner) answers(src io.Reader, dst []answer, n int) ([]answer, error) {
	s.src, s.at, s.end, s.err = src, 0, 0, nil
	start, found := len(dst), false
	for s.enter('{'); s.more('}'); {
		if string(s.key()) != "items" || found {
			s.skip()
			continue
		}
		found = true
		for s.enter('['); s.more(']'); {
			if len(dst)-start == n {
				s.fail(errors.New("it has more items than there were actions"))
				break
			}
			dst = append(dst, s.item())
		}
	}
	if s.err == nil && len(dst)-start != n {
		s.err = fmt.Errorf("it answers %d of %d actions", len(dst)-start, n)
	}
	s.src = nil
	if s.err != nil {
		return dst[:start], fmt.Errorf("read bulk response: %w", s.err)
	}
	return dst, nil
}

// item reads {"index":{"status":201,…}}.
func (s *scanner) item() (a answer) {
	for s.enter('{'); s.more('}'); {
		s.key()
		for s.enter('{'); s.more('}'); {
			switch string(s.key()) {
			case "status":
				a.status = s.integer()
			case "result":
				a.dropped = string(s.string()) == noop // as no other index or delete is answered
			case "failure_store":
				a.failureStore = string(s.string()) == "used"
			case "error":
				s.cause(&a)
			default:
				s.skip()
			}
		}
	}
	if a.status == 0 {
		s.fail(errors.New("an item has no status"))
	}
	return a
}

// cause reads the value of "error": an object, or in some answers a text.
func (s *scanner) cause(a *answer) {
	if s.peek() == '"' {
		a.typ, a.reason = "error", string(s.string())
		return
	}
	for s.enter('{'); s.more('}'); {
		switch string(s.key()) {
		case "type":
			if typ := s.string(); string(typ) == versionConflict {
				a.typ = versionConflict
			} else {
				a.typ = string(typ)
			}
		case "reason":
			if s.peek() != '"' || a.typ == versionConflict {
				s.skip()
			} else {
				a.reason = strings.ToValidUTF8(string(s.string()), "")
			}
		default:
			s.skip()
		}
	}
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// fill reports whether a byte is left, and reads on when all are used.
func (s *scanner) fill() bool { return s.at < s.end && s.err == nil || s.refill() }

func (s *scanner) refill() bool {
	for s.err == nil && s.at == s.end {
		n, err := s.src.Read(s.buf[:])
		s.at, s.end = 0, n
		switch {
		case n > 0:
			return true
		case err == io.EOF:
			s.err = io.ErrUnexpectedEOF
		case err != nil:
			s.err = err
		}
	}
	return s.err == nil
}

// peek returns the next byte that is no white space, and leaves it; 0 at an error.
func (s *scanner) peek() byte {
	for s.fill() {
		switch c := s.buf[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// next takes the next byte, whatever it is; 0 at an error.
func (s *scanner) next() byte {
	if !s.fill() {
		return 0
	}
	s.at++
	return s.buf[s.at-1]
}

// expect takes the byte c.
func (s *scanner) expect(c byte) {
	if got := s.peek(); got != c {
		s.fail(fmt.Errorf("%q where %q belongs", got, c))
		return
	}
	s.at++
}

// enter begins an object or array.
func (s *scanner) enter(open byte) {
	s.expect(open)
	s.first = true
}

// more reports whether another member follows, and ends the object or array where none does.
func (s *scanner) more(end byte) bool {
	if s.peek() == end {
		s.at++
		s.first = false
		return false
	}
	if !s.first {
		s.expect(',')
	}
	s.first = false
	return s.err == nil
}

// key reads a member's name, which stays valid until the next string.
func (s *scanner) key() []byte {
	name := s.string()
	s.expect(':')
	return name
}

// string reads a string, of which maxText bytes are kept until the next one.
func (s *scanner) string() []byte {
	s.expect('"')
	s.text = s.text[:0]
	for s.fill() {
		run := s.buf[s.at:s.end]
		n := bytes.IndexByte(run, '"')
		if n >= 0 {
			run = run[:n]
		}
		if e := bytes.IndexByte(run, '\\'); e >= 0 {
			run = run[:e]
		}
		s.text = append(s.text, run[:min(len(run), maxText-len(s.text))]...)
		s.at += len(run)
		switch {
		case s.at == s.end:
		case s.next() == '"':
			return s.text
		default:
			s.escape()
		}
	}
	return nil
}

// escape reads what follows a backslash.
func (s *scanner) escape() {
	r := rune(s.next())
	switch r {
	case '"', '\\', '/':
	case 'b':
		r = '\b'
	case 'f':
		r = '\f'
	case 'n':
		r = '\n'
	case 'r':
		r = '\r'
	case 't':
		r = '\t'
	case 'u':
		r = s.hex()
		if utf16.IsSurrogate(r) && s.fill() && s.buf[s.at] == '\\' {
			s.at++
			s.pair(r)
			return
		}
	default:
		s.fail(fmt.Errorf("unknown escape \\%c", r))
	}
	s.keep(r)
}

// pair reads what follows a backslash after the first half of a surrogate
// pair. A half alone stands for U+FFFD.
func (s *scanner) pair(high rune) {
	if s.fill() && s.buf[s.at] != 'u' {
		s.keep(high)
		s.escape()
		return
	}
	s.next()
	low := s.hex()
	if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
		s.keep(r)
		return
	}
	s.keep(high)
	s.keep(low)
}

func (s *scanner) keep(r rune) {
	if len(s.text)+utf8.UTFMax <= maxText {
		s.text = utf8.AppendRune(s.text, r)
	}
}

func (s *scanner) hex() (r rune) {
	for range 4 {
		c := s.next()
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			s.fail(fmt.Errorf("%q in a \\u escape", c))
			return utf8.RuneError
		}
		r = r<<4 | rune(c)
	}
	return r
}

// integer reads a status.
func (s *scanner) integer() (n int) {
	if c := s.peek(); c < '0' || c > '9' {
		s.fail(fmt.Errorf("%q where a number belongs", c))
	}
	for s.fill() && s.buf[s.at] >= '0' && s.buf[s.at] <= '9' && n < 1e6 {
		n = 10*n + int(s.buf[s.at]-'0')
		s.at++
	}
	return n
}

// skip takes a value of any kind.
func (s *scanner) skip() {
	for depth := 0; s.err == nil; {
		switch c := s.peek(); c {
		case '"':
			s.string()
		case '{', '[':
			s.at++
			depth++
		case '}', ']':
			s.at++
			depth--
		case ',', ':':
			s.at++
		default:
			s.literal()
		}
		if depth == 0 && s.err == nil {
			s.first = false
			return
		}
		if depth < 0 {
			s.fail(errors.New("a value is missing"))
		}
	}
}

// literal takes a number, true, false or null.
func (s *scanner) literal() {
	n := 0
	for ; s.fill(); n++ {
		switch c := s.buf[s.at]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c == '-', c == '+', c == '.', c == 'E':
			s.at++
			continue
		}
		break
	}
	if n == 0 && s.err == nil {
		s.fail(fmt.Errorf("%q where a value belongs", s.buf[s.at]))
	}
}
