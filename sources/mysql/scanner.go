package mysql

import (
	"strings"
	"unicode/utf8"
)

// A dialect is what the meaning of a statement's characters depends on.
type dialect struct {
	flavor      flavor
	ansiQuotes  bool // "a" is a name
	noBackslash bool // a backslash within a text is no more than that
	wideSpace   bool // U+00A0 is white space, as it is in single-byte character sets
}

// A scanner takes a statement apart into words and names, as the servers do
// (MySQL source, sql/sql_lex.cc, lex_one_token).
type scanner struct {
	dialect
	text   string
	schema string // of names without one
	quote  byte   // around the last token; 0: none
	opened int    // comments whose content the server executes
	odd    bool   // it is not understood
}

// token is the next word, name or other character; empty at the end. Comments
// are left out, but for those that the server executes.
func (s *scanner) token() string {
	s.blank()
	s.quote = 0
	if s.text == "" {
		return ""
	}
	if quote := s.text[0]; quote == '`' || quote == '"' || quote == '\'' {
		s.quote = quote
		return s.quoted()
	}
	end := 0
	for end < len(s.text) && isWord(s.text[end]) && !(s.wideSpace && strings.HasPrefix(s.text[end:], wideSpace)) {
		end++
	}
	end = max(end, 1)
	token := s.text[:end]
	s.text = s.text[end:]
	return token
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= utf8.RuneSelf || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

const wideSpace = "\u00a0"

// blank skips white space and comments.
func (s *scanner) blank() {
	for {
		s.text = strings.TrimLeft(s.text, " \t\r\n\f\v")
		switch {
		case s.wideSpace && strings.HasPrefix(s.text, wideSpace):
			s.text = s.text[len(wideSpace):]
		case strings.HasPrefix(s.text, "/*!"):
			s.open(len("/*!"))
		case s.flavor == mariadbServer && strings.HasPrefix(s.text, "/*M!"):
			s.open(len("/*M!"))
		case strings.HasPrefix(s.text, "*/"):
			s.odd = s.odd || s.opened == 0
			s.opened--
			s.text = s.text[2:]
		case strings.HasPrefix(s.text, "/*"):
			_, rest, closed := strings.Cut(s.text[2:], "*/")
			s.text, s.odd = rest, s.odd || !closed
		case strings.HasPrefix(s.text, "#") || isDashes(s.text):
			_, s.text, _ = strings.Cut(s.text, "\n")
		default:
			return
		}
	}
}

// open begins a comment that the server executes, behind the version from which
// on it does. What it has not executed it writes to the log as a common comment.
func (s *scanner) open(mark int) {
	s.opened++
	s.text = s.text[mark:]
	digits := 0
	for digits < min(len(s.text), 6) && '0' <= s.text[digits] && s.text[digits] <= '9' {
		digits++
	}
	if digits >= 5 {
		s.text = s.text[digits:]
	}
}

// isDashes reports whether a comment up to the line's end begins: two dashes
// with white space, a control character or nothing behind them.
func isDashes(text string) bool {
	return strings.HasPrefix(text, "--") && (len(text) == 2 || text[2] <= ' ' || text[2] == 0x7f)
}

// quoted reads a name or a text up to its quote, which is doubled within, or in
// a text behind a backslash.
func (s *scanner) quoted() string {
	escapes := !s.noBackslash && (s.quote == '\'' || s.quote == '"' && !s.ansiQuotes)
	var name strings.Builder
	i := 1
	for i < len(s.text) {
		switch {
		case s.text[i] == '\\' && escapes && i+1 < len(s.text):
			i++
		case s.text[i] == s.quote:
			if i+1 == len(s.text) || s.text[i+1] != s.quote {
				s.text = s.text[i+1:]
				return name.String()
			}
			i++
		}
		name.WriteByte(s.text[i])
		i++
	}
	s.text, s.odd = "", true
	return name.String()
}

// word is the next token in capitals; empty where it is quoted, or at the end.
func (s *scanner) word() string {
	token := s.token()
	if s.quote != 0 {
		return ""
	}
	return strings.ToUpper(token)
}

// peek is the word to come.
func (s *scanner) peek() string {
	ahead := *s
	return ahead.word()
}

// skip takes the given words off, as far as they come in that order, and
// reports whether any did.
func (s *scanner) skip(words ...string) bool {
	skipped := false
	for _, word := range words {
		before := *s
		if s.word() != word {
			*s = before
			continue
		}
		skipped = true
	}
	return skipped
}

// skipAll takes the given words off where all of them come.
func (s *scanner) skipAll(words ...string) bool {
	before := *s
	for _, word := range words {
		if s.word() != word {
			*s = before
			return false
		}
	}
	return true
}

// skipPast takes everything off up to and with the word; false: it does not come.
func (s *scanner) skipPast(word string) bool {
	for !s.atEnd() {
		if s.word() == word {
			return true
		}
	}
	return false
}

// skipTo takes everything off up to the next of some characters, or a further
// statement, but for what is in parentheses.
func (s *scanner) skipTo(stops string) {
	stops += ";"
	for depth := 0; !s.atEnd(); {
		before := *s
		token := s.word()
		switch {
		case depth == 0 && token != "" && strings.Contains(stops, token):
			*s = before
			return
		case token == "(":
			depth++
		case token == ")":
			depth--
			s.odd = s.odd || depth < 0
		}
	}
}

// atEnd reports whether nothing but blanks and the statement's end follows.
func (s *scanner) atEnd() bool {
	ahead := *s
	for ahead.skip(";") {
	}
	ahead.blank()
	if ahead.text != "" {
		return false
	}
	s.odd = s.odd || ahead.odd || ahead.opened != 0
	return true
}

// identifier is the next name.
func (s *scanner) identifier() string {
	token := s.token()
	if token == "" || s.quote == '\'' || s.quote == 0 && !isWord(token[0]) {
		s.odd = true
	}
	return token
}

// name is the next table's.
func (s *scanner) name() tableName {
	if s.skip(".") {
		return tableName{s.schema, s.identifier()}
	}
	n := tableName{schema: s.schema, name: s.identifier()}
	if s.skip(".") {
		n.schema, n.name = n.name, s.identifier()
	}
	return n
}

// names are those of a list.
func (s *scanner) names() []tableName {
	all := []tableName{s.name()}
	for s.skip(",") {
		all = append(all, s.name())
	}
	return all
}

// mentioned are all tables that the rest may name.
func (s *scanner) mentioned() (all []tableName) {
	for !s.atEnd() {
		token := s.token()
		if s.quote == '\'' || token == "" || s.quote == 0 && !isWord(token[0]) {
			continue
		}
		all = append(all, tableName{s.schema, token})
		if ahead := *s; ahead.skip(".") {
			if name := ahead.token(); ahead.quote != '\'' {
				all = append(all, tableName{token, name})
			}
		}
	}
	return all
}
