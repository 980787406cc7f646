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

// statementFormat refuses a statement that has changed rows and is in the log
// as text only, where it may have changed those of a table in use.
func (st *stream) statementFormat(s statement) error {
	t, err := st.mayWrite(s)
	if err != nil || t == nil {
		return err
	}
	return fmt.Errorf("%w: a statement (%s …) may have changed %s and is not in the log as rows; run: %s, and let no session set another",
		sources.ErrPositionLost, s.verb, t, st.conn.flavor.set("binlog_format", "'ROW'"))
}

// mayWrite finds a table in use that a statement may have changed: one that it
// names, or one that triggers, views and functions name which it has used.
func (st *stream) mayWrite(s statement) (*sources.Table, error) {
	all := st.inOrder(func(*sources.Table) bool { return true })
	if len(all) == 0 {
		return nil, nil
	}
	if s.kind != writingStatement || s.unknown != "" {
		return all[0], nil
	}
	for _, n := range s.mentions {
		if t := st.tables[st.catalog.catalogName(n.schema, n.name)]; t != nil {
			return t, nil
		}
	}
	if st.programs == nil {
		ctx, cancel := context.WithTimeout(st.ctx, queryTimeout)
		defer cancel()
		err := st.source.pool.use(ctx, func(c *conn) (err error) {
			st.programs, err = readPrograms(ctx, c, st.catalog)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read triggers, views and functions: %w", err)
		}
	}
	seen := map[*program]bool{}
	tables, functions := s.mentions, s.called
	for {
		var found []*program
		for _, n := range tables {
			found = append(found, st.programs[programOf{false, st.catalog.catalogName(n.schema, n.name)}]...)
		}
		for _, n := range functions {
			found = append(found, st.programs[programOf{true, strings.ToLower(n.schema + "." + n.name)}]...)
		}
		tables, functions = nil, nil
		for _, p := range found {
			if seen[p] {
				continue
			}
			seen[p] = true
			if p.body == "" { // it may not be read
				return all[0], nil
			}
			body := scanner{dialect: dialect{flavor: st.conn.flavor}, text: p.body, schema: p.schema}
			named := body.mentioned()
			for _, n := range named {
				if t := st.tables[st.catalog.catalogName(n.schema, n.name)]; t != nil {
					return t, nil
				}
			}
			tables, functions = append(tables, named...), append(functions, named...)
		}
		if len(tables) == 0 {
			return nil, nil
		}
	}
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
