package mysql

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

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
	s := st.statement(event)
	inUse := false
	switch s.kind {
	case beginStatement:
		st.tx.begun = true
		return nil
	case savepointStatement, xaEndStatement:
		return nil
	case commitStatement:
		return st.closeTransaction()
	case rollbackStatement:
		if len(st.tx.wrote) > 0 {
			if err := st.undone(); err != nil {
				return err
			}
		}
		return st.closeTransaction()
	case rollbackToStatement:
		if len(st.tx.wrote) > 0 {
			return st.undone()
		}
		return nil
	case xaStartStatement:
		st.tx.begun = true
		if st.prepared.open == nil {
			st.prepared.begin()
		}
		return nil
	case xaCommitStatement, xaRollbackStatement:
		return st.decide(s.name, s.kind == xaCommitStatement)
	case writingStatement, callingStatement:
		if err := st.statementFormat(s); err != nil {
			return err
		}
	case schemaStatement, rowsInStatement, harmlessStatement:
		st.programs = nil // it may have made one
		st.tx.begun = st.tx.begun || s.kind == rowsInStatement
		if inUse, err = st.schemaChange(s); err != nil {
			return err
		}
	}
	if !st.tx.begun {
		if err := st.closeTransaction(); err != nil {
			return err
		}
	}
	if inUse {
		st.altered = time.Now()
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

// schemaChange says what became stale by a statement, and reports whether the
// catalog may have changed for a table in use. Each that was named takes one Version.
func (st *stream) schemaChange(s statement) (inUse bool, err error) {
	if st.tx.undone && s.verb == "ALTER" {
		s.unknown = ""
		for i := range s.effects {
			s.effects[i] = effect{table: s.effects[i].table}
		}
	}
	if s.unknown != "" {
		st.source.log.Warn().Str("statement", s.unknown+" …").Msg("a statement in the log is not known; tables that it may have changed are read again")
	}
	all := st.consequences(s)
	brief := st.rekeyed(s)
	for i := range all {
		t, e := all[i].used, &all[i].effect
		c := sources.Change{Table: t, Kind: nothing}
		if (brief || st.notAfter(st.planned)) && slices.ContainsFunc(all[i].keys, func(name string) bool { return st.refersTo(t, name, map[*sources.Table]bool{}) }) {
			// What they did to rows was worked out by the keys of the catalog, which are of later.
			*e = effect{table: e.table, reason: "had other foreign keys when changes were made that are read only now", reshapes: e.reshapes}
		}
		if columns := st.columnsOf(t, e); e.whole() || len(columns) > 0 {
			c.Kind, c.Stale = sources.Stale, &sources.Staleness{Columns: columns, Reason: e.reason, Emptied: e.emptied}
		}
		for _, k := range st.knowledge() {
			k.altered(t, e, c.Stale)
		}
		if err := st.append(c); err != nil {
			return true, err
		}
		switch {
		case !e.reshapes || e.whole():
		case st.unnamed[t] && (st.notAfter(st.planned) || e.moves && st.notAfter(st.catalogOf)):
			return true, st.misread(t)
		case st.defaulted[t] && st.notAfter(st.catalogOf):
			return true, fmt.Errorf("%w: changes of %s leave out values that were its columns' defaults, which may have been others then", sources.ErrPositionLost, t)
		}
	}
	return len(all) > 0 || slices.ContainsFunc(s.effects, func(e effect) bool { return st.actsOnUsed(e.table) }), nil
}

// actsOnUsed reports whether foreign keys of tables in use lead to a table, which may
// not have been there when the catalog was read.
func (st *stream) actsOnUsed(n tableName) bool {
	changed := map[string]bool{}
	st.catalog.reach(st.catalog.catalogName(n.schema, n.name), changed)
	for name := range changed {
		if st.tables[name] != nil {
			return true
		}
	}
	return false
}

// A consequence is a statement's effect on a table in use.
type consequence struct {
	used *sources.Table
	effect

	// keys are the tables, as the catalog names them, whose foreign keys may be others:
	// those act on rows of tables that refer to them, too.
	keys []string
}

// consequences are what a statement does, or may do, to tables in use: one for
// each of them, always in the same order.
func (st *stream) consequences(s statement) (all []consequence) {
	add := func(t *sources.Table, e effect) {
		if t == nil {
			return
		}
		if i := slices.IndexFunc(all, func(c consequence) bool { return c.used == t }); i >= 0 {
			all[i].merge(e)
			return
		}
		all = append(all, consequence{used: t, effect: e})
	}
	name := func(n tableName) string { return st.catalog.catalogName(n.schema, n.name) }
	used := func(n tableName) *sources.Table { return st.tables[name(n)] }
	var keys []string
	for _, e := range s.effects {
		add(used(e.table), e)
		if e.refers {
			keys = append(keys, name(e.table))
		}
	}
	if len(keys) > 0 {
		for _, t := range st.inOrder(func(*sources.Table) bool { return true }) {
			add(t, effect{})
		}
		for i := range all {
			all[i].keys = keys
		}
	}
	for _, t := range st.tablesIn(s.database) {
		add(t, effect{reason: "was dropped with its database"})
	}
	if s.unknown == "" {
		return all
	}
	e := effect{reason: "may have been changed by a statement that is not known: " + s.unknown + " …"}
	for _, n := range s.mentions {
		add(used(n), e)
	}
	if len(all) == 0 && len(s.effects) == 0 {
		for _, t := range st.inOrder(func(*sources.Table) bool { return true }) {
			add(t, e)
		}
	}
	return all
}

// rekeyed notes which foreign keys were made and dropped, and reports whether a table
// has had some only briefly, or lacked them: the catalog may never have been read
// meanwhile. With one kind of statement alone it is another catalog afterwards.
func (st *stream) rekeyed(s statement) (brief bool) {
	for _, e := range s.effects {
		if !e.refers {
			continue
		}
		name := st.catalog.catalogName(e.table.schema, e.table.name)
		freed, known := st.freed[name]
		brief = brief || known && freed != e.frees
		st.freed[name] = e.frees
	}
	return brief
}

// refersTo reports whether foreign keys lead from a table to the one that the catalog
// names so, or it is that one. seen are the tables that were looked at.
func (st *stream) refersTo(t *sources.Table, name string, seen map[*sources.Table]bool) bool {
	if st.catalog.catalogName(t.Schema, t.Name) == name {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	known := st.catalog.table(t.Schema, t.Name)
	return slices.ContainsFunc(slices.Concat(known.sources.ForeignKeys, known.unseen), func(k sources.ForeignKey) bool {
		if !k.Unlogged {
			return false
		}
		parent := st.catalog.table(k.Schema, k.Table)
		return st.catalog.catalogName(k.Schema, k.Table) == name || parent != nil && st.refersTo(parent.sources, name, seen)
	})
}

// columnsOf are the columns whose values an effect has changed, as the catalog writes them.
func (st *stream) columnsOf(t *sources.Table, e *effect) []string {
	names := append(slices.Clone(e.columns), st.changed(t, e)...)
	known := st.catalog.table(t.Schema, t.Name)
	for i := range known.columns {
		c := &known.columns[i]
		named := func(name string) bool { return name != c.name && strings.EqualFold(name, c.name) }
		if slices.ContainsFunc(names, named) || e.texts && c.charset != "" || e.recomputes && known.sources.Columns[i].Generated {
			names = append(names, c.name)
		}
	}
	return names
}

// notAfter reports whether the catalog that was read when the log ended at end
// may have what the statement that was just read has changed.
func (st *stream) notAfter(end position) bool {
	here := st.here()
	return here.before(end) || here.at(end)
}

// misread says that changes which the stream has read by the places of their
// columns were older than a statement that may have moved them, and the catalog was not.
func (st *stream) misread(t *sources.Table) error {
	return fmt.Errorf("%w: changes of %s are older than its columns, and the log does not name theirs; run: %s",
		sources.ErrPositionLost, t, st.conn.flavor.set("binlog_row_metadata", "FULL"))
}

// tablesIn are the tables of a database that are in use.
func (st *stream) tablesIn(database string) []*sources.Table {
	if database == "" {
		return nil
	}
	return st.inOrder(func(t *sources.Table) bool {
		return st.catalog.catalogName(t.Schema, "") == st.catalog.catalogName(database, "")
	})
}

// inOrder are some of the tables in use, always in the same order.
func (st *stream) inOrder(which func(*sources.Table) bool) (found []*sources.Table) {
	for _, t := range st.tables {
		if which(t) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *sources.Table) int { return a.Ordinal - b.Ordinal })
	return found
}
