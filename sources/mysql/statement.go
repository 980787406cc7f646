package mysql

import (
	"slices"
	"strings"
)

// A statement is what the log says of one that was not written as rows, as far
// as it matters to tables in use.
type statement struct {
	kind     statementKind
	name     string      // of a prepared transaction, as the log writes it
	replaced []tableName // tables whose rows are others now
	changed  []tableName // tables whose columns or names may be others now
	database string      // that was dropped
	reshapes bool        // columns may have other names, places or defaults now
}

type tableName struct{ schema, name string }

type statementKind uint8

const (
	otherStatement statementKind = iota
	beginStatement               // BEGIN
	commitStatement
	rollbackStatement
	savepointStatement // within a transaction: says nothing
	xaStartStatement
	xaEndStatement
	xaCommitStatement
	xaRollbackStatement
	schemaStatement  // replaced, changed and database are set
	rowsInStatement  // rows follow, then a commit: CREATE TABLE … SELECT
	writingStatement // changes rows, and the log has only its text
	callingStatement // changes rows of tables that its text does not name
)

// parseStatement reads a statement's text as the log has it. It knows the few
// forms that matter, and takes the text as the server has accepted it.
func parseStatement(text, schema string) statement {
	s := scanner{text: text, schema: schema}
	switch first := s.word(); first {
	case "BEGIN":
		return statement{kind: beginStatement}
	case "COMMIT":
		return statement{kind: commitStatement}
	case "ROLLBACK":
		if s.word() == "TO" {
			return statement{kind: savepointStatement}
		}
		return statement{kind: rollbackStatement}
	case "SAVEPOINT", "RELEASE":
		return statement{kind: savepointStatement}
	case "XA":
		return s.xa()
	case "TRUNCATE":
		s.skip("TABLE")
		return statement{kind: schemaStatement, replaced: s.names()}
	case "DROP":
		return s.drop()
	case "CREATE":
		return s.create()
	case "RENAME":
		return s.rename()
	case "ALTER":
		return s.alter()
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH":
		return statement{kind: writingStatement}
	case "SET": // MariaDB: SET STATEMENT variable=value, … FOR another statement
		if s.skip("STATEMENT") && s.skipPast("FOR") {
			return parseStatement(s.text, schema)
		}
	case "SELECT", "DO", "CALL": // in the log only for what the functions in it have written
		return statement{kind: callingStatement}
	}
	return statement{}
}

// A scanner takes a statement apart into words and names.
type scanner struct {
	text   string
	schema string // of names without one
	quoted bool   // the last token was a quoted name
}

// token is the next word, name or other character; empty at the end. Comments
// are left out, but for those that the server executes.
func (s *scanner) token() string {
	s.blank()
	s.quoted = false
	if s.text == "" {
		return ""
	}
	if quote := s.text[0]; quote == '`' || quote == '"' || quote == '\'' {
		s.quoted = true
		return s.quotedName(quote)
	}
	end := 0
	for end < len(s.text) && isWord(s.text[end]) {
		end++
	}
	end = max(end, 1)
	token := s.text[:end]
	s.text = s.text[end:]
	return token
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// blank skips white space and comments.
func (s *scanner) blank() {
	for {
		s.text = strings.TrimLeft(s.text, " \t\r\n\f\v")
		switch {
		case strings.HasPrefix(s.text, "/*!") || strings.HasPrefix(s.text, "/*M!"): // executed, behind a version
			s.text = strings.TrimLeft(s.text[strings.IndexByte(s.text, '!')+1:], "0123456789")
		case strings.HasPrefix(s.text, "*/"):
			s.text = s.text[2:]
		case strings.HasPrefix(s.text, "/*"):
			_, s.text, _ = strings.Cut(s.text, "*/")
		case strings.HasPrefix(s.text, "#") || strings.HasPrefix(s.text, "-- "):
			_, s.text, _ = strings.Cut(s.text, "\n")
		default:
			return
		}
	}
}

// quotedName reads a name or a text up to its quote, which is doubled within,
// or in a text behind a backslash.
func (s *scanner) quotedName(quote byte) string {
	var name strings.Builder
	i := 1
	for i < len(s.text) {
		switch {
		case s.text[i] == '\\' && quote != '`' && i+1 < len(s.text):
			i++
		case s.text[i] == quote:
			if i+1 == len(s.text) || s.text[i+1] != quote {
				s.text = s.text[i+1:]
				return name.String()
			}
			i++
		}
		name.WriteByte(s.text[i])
		i++
	}
	s.text = ""
	return name.String()
}

// word is the next token in capitals; empty where it is a quoted name.
func (s *scanner) word() string {
	token := s.token()
	if s.quoted {
		return ""
	}
	return strings.ToUpper(token)
}

// skip takes the given words off, as far as they come in that order.
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

// skipPast takes everything off up to and with the word; false: it does not come.
func (s *scanner) skipPast(word string) bool {
	for s.text != "" {
		if s.word() == word {
			return true
		}
	}
	return false
}

// name is the next table's.
func (s *scanner) name() tableName {
	n := tableName{schema: s.schema, name: s.token()}
	if s.skip(".") {
		n.schema, n.name = n.name, s.token()
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

func (s *scanner) xa() statement {
	verb := s.word()
	if verb == "BEGIN" {
		verb = "START"
	}
	kinds := map[string]statementKind{"START": xaStartStatement, "END": xaEndStatement, "COMMIT": xaCommitStatement, "ROLLBACK": xaRollbackStatement}
	name := strings.TrimSpace(s.text)
	return statement{kind: kinds[verb], name: strings.TrimSpace(strings.TrimSuffix(name, "ONE PHASE"))}
}

func (s *scanner) drop() statement {
	if s.skip("TEMPORARY") {
		return statement{}
	}
	switch s.word() {
	case "TABLE", "TABLES":
		s.skip("IF", "EXISTS")
		return statement{kind: schemaStatement, replaced: s.names()}
	case "DATABASE", "SCHEMA":
		s.skip("IF", "EXISTS")
		return statement{kind: schemaStatement, database: s.token()}
	}
	return statement{}
}

func (s *scanner) create() statement {
	replace := s.skip("OR", "REPLACE")
	if s.word() != "TABLE" { // or a temporary one
		return statement{}
	}
	s.skip("IF", "NOT", "EXISTS")
	created := []tableName{s.name()}
	st := statement{kind: schemaStatement, changed: created}
	if replace {
		st.replaced = created
	}
	if strings.HasSuffix(strings.ToUpper(strings.TrimSpace(s.text)), "START TRANSACTION") {
		st.kind = rowsInStatement
	}
	return st
}

// rename: who takes a name brings other rows.
func (s *scanner) rename() statement {
	if word := s.word(); word != "TABLE" && word != "TABLES" {
		return statement{}
	}
	s.skip("IF", "EXISTS")
	st := statement{kind: schemaStatement}
	for {
		st.changed = append(st.changed, s.name())
		for word := s.word(); word != "TO"; word = s.word() { // WAIT n, NOWAIT
			if word == "" {
				return st
			}
		}
		st.replaced = append(st.replaced, s.name())
		if !s.skip(",") {
			return st
		}
	}
}

func (s *scanner) alter() statement {
	s.skip("ONLINE")
	s.skip("IGNORE")
	if s.word() != "TABLE" {
		return statement{}
	}
	s.skip("IF", "EXISTS")
	table := s.name()
	st := statement{kind: schemaStatement, changed: []tableName{table}}
	before, last := "", ""
	for s.text != "" {
		word := s.word()
		st.reshapes = st.reshapes || reshapes(word, last)
		switch {
		case word == "RENAME":
			after := *s
			if next := after.word(); next == "COLUMN" || next == "INDEX" || next == "KEY" {
				break
			}
			if !s.skip("TO") && !s.skip("AS") {
				s.skip("=")
			}
			st.replaced = append(st.replaced, s.name())
		case word == "PARTITION" && slices.Contains([]string{"DROP", "TRUNCATE", "EXCHANGE", "CONVERT"}, last),
			word == "PARTITION" && before == "TABLE" && last == "TO", // CONVERT TABLE t TO PARTITION p
			word == "TABLESPACE" && (last == "IMPORT" || last == "DISCARD"):
			st.replaced = append(st.replaced, table)
		case word == "TABLE" && (last == "WITH" || last == "CONVERT" || last == "TO"):
			st.replaced = append(st.replaced, s.name())
			word = "TABLE"
		}
		before, last = last, word
	}
	return st
}

// reshapes reports whether a word after another may give columns other names, places or defaults.
func reshapes(word, last string) bool {
	switch word {
	case "COLUMN", "MODIFY", "CHANGE", "FIRST", "AFTER", "CONVERT", "DEFAULT":
		return true
	case "INDEX", "KEY", "UNIQUE", "PRIMARY", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK", "PARTITION", "SYSTEM", "PERIOD":
		return false
	}
	return last == "ADD" || last == "DROP"
}
