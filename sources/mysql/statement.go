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
	effects  []effect    // on the tables that it names
	database string      // all of its tables are gone
	unknown  string      // its first words, where it may do more than is known
	mentions []tableName // all that it may name then; of one that is in the log as text: all that it may have changed
	called   []tableName // functions that one in the log as text may have called
	verb     string      // its first word
}

type tableName struct{ schema, name string }

// An effect is what a statement does to a table, or may do.
type effect struct {
	table      tableName
	reason     string       // what has happened to rows that were read before, to follow the table's name; empty: nothing
	emptied    bool         // no row is left
	columns    []string     // whose values are others now
	defined    []definition // of columns whose values are others unless those only grow
	texts      bool         // those of all columns of text are, too
	recomputes bool         // and those of all that are computed
	reshapes   bool         // columns may have other names, places or defaults
	moves      bool         // they may have other places
	recodes    bool         // the character set of columns to come may be another
	refers     bool         // foreign keys that act on its rows may be others
	frees      bool         // that is by one that is dropped
}

func (e *effect) harmless() bool { return e.reason == "" }

// whole: all rows are others.
func (e *effect) whole() bool { return !e.harmless() && !e.texts && len(e.columns)+len(e.defined) == 0 }

// merge adds what the same statement does to the same table besides.
func (e *effect) merge(other effect) {
	reshapes, moves, recodes := e.reshapes || other.reshapes, e.moves || other.moves, e.recodes || other.recodes
	refers, frees := e.refers || other.refers, e.frees || other.frees
	switch {
	case other.whole() || e.harmless():
		*e = other
	case !e.whole() && !other.harmless():
		e.columns, e.defined = append(slices.Clip(e.columns), other.columns...), append(slices.Clip(e.defined), other.defined...)
		e.texts, e.recomputes = e.texts || other.texts, e.recomputes || other.recomputes
	}
	e.reshapes, e.moves, e.recodes, e.refers, e.frees = reshapes, moves, recodes, refers, frees
}

type statementKind uint8

const (
	harmlessStatement statementKind = iota
	beginStatement                  // BEGIN
	commitStatement
	rollbackStatement
	rollbackToStatement // a savepoint
	savepointStatement  // within a transaction: says nothing
	xaStartStatement
	xaEndStatement
	xaCommitStatement
	xaRollbackStatement
	schemaStatement  // effects, database and unknown are set
	rowsInStatement  // rows follow, then a commit: CREATE TABLE … SELECT
	writingStatement // changes rows, and the log has only its text
	callingStatement // changes rows of tables that its text does not name
)

// parseStatement reads a statement's text as the log has it, and takes it as
// the server has accepted it. It is harmless only where its form is known to
// be: what is not known makes all stale that it may concern.
func parseStatement(text, schema string, d dialect) statement {
	s := scanner{dialect: d, text: text, schema: schema}
	st, known := s.statement()
	st.verb = firstWord(text, d)
	if known && !s.odd {
		return st
	}
	all := scanner{dialect: d, text: text, schema: schema}
	st.unknown = strings.TrimSpace(all.word() + " " + all.word())
	all.text = text
	st.mentions = all.mentioned()
	return st
}

func firstWord(text string, d dialect) string {
	s := scanner{dialect: d, text: text}
	return s.word()
}

// harmlessWords begin statements that change no table's rows, nor their meaning.
// What they have called by the way is in the log by itself.
var harmlessWords = []string{
	"", "GRANT", "REVOKE", "FLUSH", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "CACHE", "INSTALL", "UNINSTALL", "KILL", "RESET", "USE", "SHOW",
	"LOCK", "UNLOCK", "BACKUP", "PURGE", "HELP", "EXPLAIN", "DESCRIBE", "DESC", "SHUTDOWN", "RESTART", "CHANGE", "STOP",
}

// statement reads one; not known: it may have done anything.
func (s *scanner) statement() (st statement, known bool) {
	switch first := s.word(); first {
	case "BEGIN":
		return statement{kind: beginStatement}, true
	case "START":
		return statement{kind: beginStatement}, s.skip("TRANSACTION")
	case "COMMIT":
		return statement{kind: commitStatement}, true
	case "ROLLBACK":
		if s.skip("WORK"); s.skip("TO") {
			return statement{kind: rollbackToStatement}, true
		}
		return statement{kind: rollbackStatement}, true
	case "SAVEPOINT", "RELEASE":
		return statement{kind: savepointStatement}, true
	case "XA":
		return s.xa(), true
	case "TRUNCATE":
		s.skip("TABLE")
		st = statement{kind: schemaStatement, effects: []effect{{table: s.name(), reason: "was truncated", emptied: true}}}
		s.wait()
		return st, s.atEnd()
	case "DROP":
		return s.drop()
	case "CREATE":
		return s.create()
	case "RENAME":
		return s.rename()
	case "ALTER":
		return s.alter()
	case "ANALYZE":
		s.skip("LOCAL", "NO_WRITE_TO_BINLOG")
		if next := s.peek(); next == "TABLE" || next == "TABLES" || next == "PERSISTENT" {
			return statement{}, true
		}
		return statement{kind: callingStatement}, true // MariaDB: the statement that follows was executed
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH":
		return s.writing(first), true
	case "SET":
		switch next := s.word(); next {
		case "PASSWORD", "DEFAULT", "ROLE":
			return statement{}, true
		case "STATEMENT": // MariaDB: SET STATEMENT variable=value, … FOR another statement
			before := s.text
			if !s.skipPast("FOR") {
				return statement{}, false
			}
			// The mode of the log is not the one that the text was read in.
			settings := strings.ToUpper(before[:len(before)-len(s.text)])
			s.odd = s.odd || strings.Contains(settings, "SQL_MODE") && strings.ContainsAny(s.text, `"\`)
			return s.statement()
		}
	case "SELECT", "DO", "CALL", "(", "EXECUTE": // in the log only for what the functions in it have written
		return statement{kind: callingStatement}, true
	default:
		return statement{}, slices.Contains(harmlessWords, first) && s.quote == 0
	}
	return statement{}, false
}

// wait takes off how long a statement was to wait for its table's lock.
func (s *scanner) wait() {
	if !s.skip("NOWAIT") && s.skip("WAIT") {
		s.number()
	}
}

// number takes a number off, which may have a fraction.
func (s *scanner) number() {
	if s.token(); s.skip(".") {
		s.token()
	}
}

func (s *scanner) ifExists() { s.skipAll("IF", "EXISTS") }

func (s *scanner) ifNotExists() bool { return s.skipAll("IF", "NOT", "EXISTS") }

func (s *scanner) xa() statement {
	verb := s.word()
	if verb == "BEGIN" {
		verb = "START"
	}
	kinds := map[string]statementKind{"START": xaStartStatement, "END": xaEndStatement, "COMMIT": xaCommitStatement, "ROLLBACK": xaRollbackStatement}
	name := strings.TrimSpace(s.text)
	return statement{kind: kinds[verb], name: strings.TrimSpace(strings.TrimSuffix(name, "ONE PHASE"))}
}

// otherObjects are the words that follow CREATE, ALTER and DROP where it is not about tables.
var otherObjects = []string{
	"VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "USER", "ROLE", "SERVER", "TABLESPACE", "UNDO", "LOGFILE", "SPATIAL REFERENCE", "RESOURCE",
	"PACKAGE", "DEFINER", "ALGORITHM", "SQL", "AGGREGATE", "LIBRARY", "INSTANCE", "PREPARE", "SEQUENCE", "JSON RELATIONAL", "JSON DUALITY", "COMPRESSION_DICTIONARY",
}

func (s *scanner) otherObject() bool {
	ahead := *s
	word := ahead.word()
	return word != "" && (slices.Contains(otherObjects, word) || slices.Contains(otherObjects, word+" "+ahead.word()))
}

func (s *scanner) drop() (statement, bool) {
	if s.skip("TEMPORARY") || s.otherObject() {
		return statement{}, true
	}
	switch s.word() {
	case "TABLE", "TABLES":
		s.ifExists()
		st := statement{kind: schemaStatement}
		for _, n := range s.names() {
			st.effects = append(st.effects, effect{table: n, reason: "was dropped"})
		}
		s.wait()
		s.skip("RESTRICT", "CASCADE")
		return st, s.atEnd()
	case "DATABASE", "SCHEMA":
		s.ifExists()
		return statement{kind: schemaStatement, database: s.identifier()}, s.atEnd()
	case "INDEX":
		return s.onTable(), true
	}
	return statement{}, false
}

// onTable is a statement about an index of a table.
func (s *scanner) onTable() statement {
	st := statement{kind: schemaStatement}
	if s.skipPast("ON") {
		st.effects = []effect{{table: s.name()}}
	}
	return st
}

func (s *scanner) create() (statement, bool) {
	replace := s.skipAll("OR", "REPLACE")
	if s.peek() != "SEQUENCE" && s.otherObject() { // a sequence is a table, and may replace one
		return statement{}, true
	}
	return s.createTable(replace)
}

// createTable: a table that is made where none was has no rows that were read.
func (s *scanner) createTable(replace bool) (statement, bool) {
	switch word := s.word(); word {
	case "TEMPORARY":
		return statement{}, true
	case "DATABASE", "SCHEMA", "CATALOG":
		exists := s.ifNotExists()
		if st := (statement{kind: schemaStatement, database: s.identifier()}); replace && !exists {
			return st, true
		}
		return statement{}, true
	case "INDEX", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "ONLINE", "OFFLINE":
		return s.onTable(), true
	case "TABLE", "SEQUENCE":
	default:
		return statement{}, false
	}
	e := effect{reason: "was created anew"}
	if s.ifNotExists() {
		e.reason = ""
	}
	e.table = s.name()
	st := statement{kind: schemaStatement, effects: []effect{e}}
	if strings.HasSuffix(strings.ToUpper(strings.TrimSpace(s.text)), "START TRANSACTION") {
		st.kind = rowsInStatement
	}
	return st, true
}

// rename: who takes a name brings other rows, and leaves nothing at the old one.
func (s *scanner) rename() (statement, bool) {
	switch s.word() {
	case "USER":
		return statement{}, true
	case "TABLE", "TABLES":
	default:
		return statement{}, false
	}
	s.ifExists()
	st := statement{kind: schemaStatement}
	for {
		old := s.name()
		s.wait()
		if !s.skip("TO") {
			return st, false
		}
		st.effects = append(st.effects, effect{table: old, reason: "was renamed"}, effect{table: s.name(), reason: "was replaced by RENAME TABLE"})
		if !s.skip(",") {
			return st, s.atEnd()
		}
	}
}

func (s *scanner) alter() (statement, bool) {
	if s.otherObject() {
		return statement{}, true
	}
	s.skip("ONLINE", "OFFLINE")
	ignore := s.skip("IGNORE")
	switch s.word() {
	case "TABLE":
		s.ifExists()
		a := alteration{scanner: s, effect: effect{table: s.name()}}
		if ignore { // MariaDB: rows that a new key does not allow are gone
			a.stale("may have lost rows by ALTER IGNORE TABLE")
		}
		a.read()
		return statement{kind: schemaStatement, effects: append([]effect{a.effect}, a.others...)}, !a.unknown
	case "DATABASE", "SCHEMA":
		ahead := *s
		if st := (statement{kind: schemaStatement, database: s.identifier()}); s.skip("UPGRADE") {
			st.database = strings.TrimPrefix(st.database, "#mysql50#")
			return st, true
		}
		*s = ahead
		return statement{}, true // its character set is that of tables to come
	}
	return statement{}, false
}
