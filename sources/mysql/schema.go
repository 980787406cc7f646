package mysql

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/sources"
)

// query takes a statement of the log: the frame of a transaction, or what
// changes a table without writing rows.
func (st *stream) query(data []byte) error {
	if isBegin(data) {
		st.tx.begun = true
		return nil
	}
	parsed, err := st.parser.Parse(data)
	if err != nil {
		return fmt.Errorf("parse it: %w", err)
	}
	event, ok := parsed.Event.(*replication.QueryEvent)
	if !ok {
		return fmt.Errorf("parse it: it is a %T", parsed.Event)
	}
	s := parseStatement(string(event.Query), string(event.Schema))
	touched := false
	switch s.kind {
	case beginStatement:
		st.tx.begun = true
		return nil
	case savepointStatement, xaEndStatement:
		return nil
	case commitStatement:
		return st.closeTransaction()
	case rollbackStatement:
		if st.tx.numbers {
			return fmt.Errorf("%w: a transaction that has changed rows of a table without transactions was rolled back", sources.ErrPositionLost)
		}
		return st.closeTransaction()
	case xaStartStatement:
		st.tx.begun = true
		if st.prepared.open == nil {
			st.prepared.begin()
		}
		return nil
	case xaCommitStatement, xaRollbackStatement:
		return st.decide(s.name, s.kind == xaCommitStatement)
	case writingStatement, callingStatement:
		if err := st.statementFormat(string(event.Query), s.kind == writingStatement); err != nil {
			return err
		}
	case schemaStatement, rowsInStatement:
		st.tx.begun = st.tx.begun || s.kind == rowsInStatement
		if touched, err = st.schemaChange(s); err != nil {
			return err
		}
	}
	if !st.tx.begun {
		if err := st.closeTransaction(); err != nil {
			return err
		}
	}
	if touched {
		return st.compareCatalog()
	}
	return nil
}

// isBegin reports whether a statement is the one that most transactions begin
// with, without the cost of reading all that comes with it (MySQL
// documentation, "QUERY_EVENT").
func isBegin(data []byte) bool {
	const schemaAt, settingsAt, fixed = 8, 11, 13
	body := data[headerSize:]
	if data[4] != byte(replication.QUERY_EVENT) || len(body) < fixed {
		return false
	}
	text := fixed + int(binary.LittleEndian.Uint16(body[settingsAt:])) + int(body[schemaAt]) + 1
	return len(body) >= text && string(body[text:]) == "BEGIN"
}

// schemaChange says which tables became stale, since their rows are others by now,
// and reports whether a table in use was touched at all.
func (st *stream) schemaChange(s statement) (touched bool, err error) {
	used := func(n tableName) *sources.Table { return st.tables[st.catalog.catalogName(n.schema, n.name)] }
	replaced := make([]*sources.Table, 0, len(s.replaced))
	for _, n := range s.replaced {
		if t := used(n); t != nil {
			replaced = append(replaced, t)
		}
	}
	if s.database != "" {
		replaced = st.tablesIn(s.database)
	}
	for _, t := range replaced {
		if err := st.append(sources.Change{Table: t, Kind: sources.Stale, Stale: &sources.Staleness{Reason: "was emptied or replaced"}}); err != nil {
			return true, err
		}
	}
	for _, n := range s.changed {
		t := used(n)
		switch {
		case t == nil || !s.reshapes:
		case st.unnamed[t] && st.notAfter(st.planned):
			return true, st.misread(t)
		case st.defaulted[t] && st.notAfter(st.defaultsOf):
			return true, fmt.Errorf("%w: changes of %s leave out values that were its columns' defaults, which may have been others then", sources.ErrPositionLost, t)
		}
	}
	return len(replaced) > 0 || slices.ContainsFunc(s.changed, func(n tableName) bool { return used(n) != nil }), nil
}

// notAfter reports whether the catalog that was read when the log ended at end
// may have what the statement that was just read has changed.
func (st *stream) notAfter(end position) bool {
	here := st.here()
	return here.before(end) || here == position{server: end.server, file: end.file, offset: end.offset}
}

// misread says that changes which the stream has read by the places of their
// columns were older than a statement that may have moved them, and the plan was not.
func (st *stream) misread(t *sources.Table) error {
	return fmt.Errorf("%w: changes of %s are older than its columns, and the log does not name theirs; run: %s",
		sources.ErrPositionLost, t, st.conn.flavor.set("binlog_row_metadata", "FULL"))
}

// tablesIn are the tables of a database that are in use, always in the same order.
func (st *stream) tablesIn(database string) (found []*sources.Table) {
	for _, t := range st.tables {
		if st.catalog.catalogName(t.Schema, "") == st.catalog.catalogName(database, "") {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *sources.Table) int { return a.Ordinal - b.Ordinal })
	return found
}

// statementFormat refuses a statement that has changed rows and is in the log
// as text only: where it names its tables, if one of them is in use.
func (st *stream) statementFormat(text string, named bool) error {
	folded := strings.ToLower(text)
	for _, t := range st.tables {
		if !named || strings.Contains(folded, strings.ToLower(t.Name)) {
			verb, _, _ := strings.Cut(strings.TrimSpace(text), " ") // the rest may hold what is nobody's business
			return fmt.Errorf("%w: a statement (%.20s …) may have changed %s and is not in the log as rows; run: %s, and let no session set another",
				sources.ErrPositionLost, verb, t, st.conn.flavor.set("binlog_format", "'ROW'"))
		}
	}
	return nil
}
