package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/sources"
)

// writing reads a statement that has changed rows and is in the log as text.
func (s *scanner) writing(verb string) statement {
	whole := *s
	st := statement{kind: writingStatement, called: whole.calls()}
	switch verb {
	case "INSERT", "REPLACE":
		s.skip("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO")
		st.mentions = []tableName{s.name()}
	case "UPDATE":
		st.mentions = s.until("SET")
	case "DELETE":
		st.mentions = s.until("WHERE", "ORDER", "LIMIT", "RETURNING")
	case "LOAD":
		if s.skipPast("INTO") && s.skip("TABLE") {
			st.mentions = []tableName{s.name()}
			break
		}
		fallthrough
	default:
		st.mentions = s.mentioned()
	}
	return st
}

// until are all tables that the text may name up to one of some words, but for
// those within parentheses.
func (s *scanner) until(words ...string) []tableName {
	part := *s
	for depth := 0; !s.atEnd(); {
		word := s.word()
		if depth == 0 && word != "" && slices.Contains(words, word) {
			break
		}
		switch word {
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	part.text = part.text[:len(part.text)-len(s.text)]
	return part.mentioned()
}

// calls are all functions that the rest may call.
func (s *scanner) calls() (all []tableName) {
	for !s.atEnd() {
		token := s.token()
		if s.quote == '\'' || token == "" || s.quote == 0 && !isWord(token[0]) {
			continue
		}
		n := tableName{s.schema, token}
		if s.skip(".") {
			n = tableName{token, s.token()}
		}
		if s.peek() == "(" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// statementFormat says what became stale by a statement that has changed rows and
// is in the log as text only.
func (st *stream) statementFormat(s statement) error {
	written, err := st.mayWrite(s)
	if err != nil {
		return err
	}
	return st.stale(written, fmt.Sprintf("may have been changed by a statement (%s …) that is not in the log as rows; run: %s, and let no session set another",
		s.verb, st.conn.flavor.set("binlog_format", "'ROW'")))
}

// undone says what became stale by a rollback, whole or to a savepoint, that is in
// the log: rows of the transaction came before it.
func (st *stream) undone() error {
	written := map[string]bool{}
	for _, t := range st.tx.wrote {
		st.catalog.reach(st.catalog.catalogName(t.Schema, t.Name), written)
	}
	return st.stale(written, "has rows in the log that were rolled back: their transaction has also changed a table without transactions, or made a temporary one")
}

// stale makes tables in use stale, by their names in the catalog. Each table in use
// takes one Version, stale or not: what triggers and foreign keys have done to others is
// known by today's catalog, and a replay under another one numbers the same.
func (st *stream) stale(which map[string]bool, reason string) error {
	for _, t := range st.inOrder(func(*sources.Table) bool { return true }) {
		c := sources.Change{Table: t, Kind: nothing}
		if which[st.catalog.catalogName(t.Schema, t.Name)] {
			c.Kind, c.Stale = sources.Stale, &sources.Staleness{Reason: reason}
		}
		if err := st.append(c); err != nil {
			return err
		}
	}
	return nil
}

// mayWrite are the tables that a statement may have changed, as the catalog names
// them: those that it names, those that triggers, views and functions name which it
// has used, and those that foreign keys have acted on; or else all in use.
func (st *stream) mayWrite(s statement) (written map[string]bool, err error) {
	all := map[string]bool{}
	for name := range st.tables {
		all[name] = true
	}
	if len(all) == 0 || s.kind != writingStatement || s.unknown != "" {
		return all, nil
	}
	if !st.altered.IsZero() { // foreign keys may be others
		if err := st.compareCatalog(); err != nil {
			return nil, err
		}
	}
	if err := st.knowPrograms(); err != nil {
		return nil, err
	}
	written, seen := map[string]bool{}, map[*program]bool{}
	tables, functions := s.mentions, s.called
	for len(tables)+len(functions) > 0 {
		var found []*program
		var reached []tableName
		for _, n := range tables {
			if name := st.catalog.catalogName(n.schema, n.name); !written[name] {
				written[name] = true
				found = append(found, st.programs[programOf{false, name}]...)
				reached = append(reached, st.catalog.actedOn[name]...)
			}
		}
		for _, n := range functions {
			found = append(found, st.programs[programOf{true, strings.ToLower(n.schema + "." + n.name)}]...)
		}
		tables, functions = reached, nil
		for _, p := range found {
			if seen[p] {
				continue
			}
			seen[p] = true
			body := scanner{dialect: dialect{flavor: st.conn.flavor}, text: p.body, schema: p.schema}
			named := body.mentioned()
			if p.body == "" || body.odd { // it may not be read, or is not understood
				return all, nil
			}
			tables, functions = append(tables, named...), append(functions, named...)
		}
	}
	return written, nil
}

// knowPrograms reads what statements run besides, unless it is known.
func (st *stream) knowPrograms() error {
	if st.programs != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(st.ctx, queryTimeout)
	defer cancel()
	err := st.source.use(ctx, func(c *conn) (err error) {
		st.programs, err = readPrograms(ctx, c, st.catalog)
		return err
	})
	if err != nil {
		return fmt.Errorf("read triggers, views and functions: %w", err)
	}
	return nil
}

// A program is what a server runs besides a statement: a trigger or a view of a
// table, a function or a procedure.
type program struct{ schema, body string }

type programOf struct {
	routine bool
	name    string // of the table or the routine
}

const programsQuery = `
SELECT 0, EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_SCHEMA, ACTION_STATEMENT FROM information_schema.TRIGGERS
UNION ALL SELECT 0, TABLE_SCHEMA, TABLE_NAME, TABLE_SCHEMA, VIEW_DEFINITION FROM information_schema.VIEWS WHERE ` + userSchemas + `
UNION ALL SELECT 1, ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_SCHEMA, ROUTINE_DEFINITION FROM information_schema.ROUTINES
WHERE ROUTINE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')`

// readPrograms reads those that the user may see.
func readPrograms(ctx context.Context, conn *conn, names *catalog) (map[programOf][]*program, error) {
	all := map[programOf][]*program{}
	err := conn.query(ctx, programsQuery, func(row [][]byte) error {
		of := programOf{false, names.catalogName(string(row[1]), string(row[2]))}
		if string(row[0]) == "1" {
			of = programOf{true, strings.ToLower(string(row[1]) + "." + string(row[2]))}
		}
		all[of] = append(all[of], &program{string(row[3]), string(row[4])})
		return nil
	})
	return all, err
}

// loadQuery reads the statement of an event that has the file's content in
// others (MySQL source, Execute_load_query_event): that of a query, with more
// fields in front of its text.
func loadQuery(body []byte) (*replication.QueryEvent, error) {
	const fixed, fields = 13, 13
	if len(body) < fixed+fields {
		return nil, errors.New("it is too short")
	}
	settings, schema := int(binary.LittleEndian.Uint16(body[11:])), int(body[8])
	rest := body[fixed+fields:]
	if len(rest) < settings+schema+1 {
		return nil, errors.New("it is too short")
	}
	return &replication.QueryEvent{
		StatusVars: bytes.Clone(rest[:settings]), Schema: bytes.Clone(rest[settings : settings+schema]), Query: bytes.Clone(rest[settings+schema+1:]),
	}, nil
}
