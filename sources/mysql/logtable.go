package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"haystream/sources"
)

// queryTimeout bounds what is asked of the catalog between two events.
const queryTimeout = 10 * time.Second

// A logTable is how the row images of one table in the log become rows of a
// projected table.
type logTable struct {
	described []byte         // the event that describes it
	table     *sources.Table // nil: no table in use
	names     []string       // of the log's columns
	layouts   []layout
	cells     []logCell
	acts      bool  // foreign keys change other tables where its rows go or change
	documents int   // how many columns are JSON in the log
	replacing []int // columns of the log that the new image of any REPLACE has
	end       int   // the column of the log that says when the row ended to be; -1: none
}

// A logCell is where a projected column comes from.
type logCell struct {
	at       int // column of the log; -1: the log has none
	convert  converter
	unset    unset
	computed bool
	document int // which of the log's JSON columns it is; -1: none
}

// tableMap takes the description of a table that rows follow for. Servers
// repeat it with each statement.
func (st *stream) tableMap(data []byte) error {
	body := data[headerSize:]
	if len(body) < 8 {
		return errors.New("it is too short")
	}
	id := littleEndian(body[:6])
	if known := st.logTables[id]; known != nil && bytes.Equal(known.described, body) && (known.table == nil || st.altered.IsZero()) {
		return nil
	}
	schema, name, err := tableNames(body)
	if err != nil {
		return err
	}
	if st.tables[st.catalog.catalogName(schema, name)] == nil {
		st.logTables[id] = &logTable{described: bytes.Clone(body)} // its columns may be of types that the parser does not know
		return nil
	}
	if !st.altered.IsZero() {
		if err := st.compareCatalog(); err != nil {
			return err
		}
	}
	parsed, err := st.parser.Parse(data)
	if err != nil {
		return fmt.Errorf("parse it: %w", err)
	}
	description, ok := parsed.Event.(*replication.TableMapEvent)
	if !ok {
		return fmt.Errorf("parse it: it is a %T", parsed.Event)
	}
	t, err := st.resolve(description)
	if err != nil {
		return err
	}
	t.described = bytes.Clone(body)
	st.logTables[id] = t
	return nil
}

// tableNames reads the names that a description begins with: each behind its
// length, and before a zero.
func tableNames(body []byte) (schema, name string, err error) {
	rest := body[8:]
	for _, to := range []*string{&schema, &name} {
		if len(rest) == 0 || len(rest) < int(rest[0])+2 {
			return "", "", errors.New("it is too short")
		}
		*to, rest = string(rest[1:1+int(rest[0])]), rest[int(rest[0])+2:]
	}
	return schema, name, nil
}

// resolve says how a table's rows in the log become rows of a table in use.
//
// The description is of when the changes were made. Where it differs from the
// catalog that the tables were planned with, either the table has changed since
// (the catalog differs, too: ErrSchemaChanged), or the changes are older than
// the plan: then columns are taken by name, and those that the log lacks are
// Missing. Without names nothing can be said, and the position is lost.
func (st *stream) resolve(description *replication.TableMapEvent) (*logTable, error) {
	schema, name := string(description.Schema), string(description.Table)
	table := st.tables[st.catalog.catalogName(schema, name)]
	whole := st.catalog.table(schema, name)
	t, difference, expected := newLogTable(st.catalog.describe(description), table, whole)
	if difference != nil {
		if err := st.compareCatalog(); err != nil {
			return nil, err
		}
	}
	st.unnamed[table] = st.unnamed[table] || len(description.ColumnName) == 0
	if difference == nil || expected {
		return t, nil
	}
	if len(description.ColumnName) == 0 {
		return nil, fmt.Errorf("%w (%w)", st.misread(table), difference)
	}
	for _, i := range table.Key {
		if t.cells[i].at < 0 {
			return nil, fmt.Errorf("%w: changes of %s carry no usable key column %s", sources.ErrPositionLost, table, table.Columns[i].Name)
		}
	}
	st.source.log.Info().Stringer("table", table).AnErr("difference", difference).Msg("reading changes from before the table got its present columns")
	return t, nil
}

// newLogTable maps the log's columns to those of the projected table, by name,
// or where the log has no names by their places in the catalog. It also says
// how the log differs from the catalog; nil where it does not. A difference that
// is only expected is that of columns behind those which the catalog has.
func newLogTable(description *description, table *sources.Table, whole *table) (t *logTable, difference error, expected bool) {
	columns := len(description.ColumnType)
	t = &logTable{table: table, acts: whole.acts, names: make([]string, columns), layouts: make([]layout, columns), end: -1}
	named := len(description.ColumnName) == columns
	expected = true
	differs := func(err error) { difference, expected = err, false }
	if columns < len(whole.columns) {
		differs(fmt.Errorf("%d columns, the table has %d", columns, len(whole.columns)))
	}
	decoders := map[string]logCell{}
	var hidden []int
	for i, wire := range description.ColumnType {
		document := -1
		if wire == mysql.MYSQL_TYPE_JSON {
			document = t.documents
			t.documents++
		}
		var err error
		if t.layouts[i], err = layoutOf(wire, description.ColumnMeta[i]); err != nil {
			return t, err, false
		}
		at := i
		if named {
			t.names[i] = string(description.ColumnName[i])
			at = whole.sources.Column(t.names[i])
		}
		if at < 0 || at >= len(whole.columns) {
			hidden = append(hidden, i)
			continue
		}
		if at == whole.end {
			t.end = i
		}
		cell, usable, err := t.cell(i, description, whole, at, document)
		if err != nil {
			differs(err)
		}
		if usable {
			decoders[whole.columns[at].name] = cell
		}
	}
	if err, strange := t.hide(hidden, description, whole); err != nil && (difference == nil || strange) {
		difference, expected = err, expected && !strange
	}
	t.cells = make([]logCell, len(table.Columns))
	for i := range table.Columns {
		cell, found := decoders[table.Columns[i].Name]
		if !found {
			cell.at = -1
		}
		t.cells[i] = cell
	}
	return t, difference, expected
}

// cell says how the log's column i, which is one of the catalog, is read; not
// usable: it cannot be. It also says how the two differ.
func (t *logTable) cell(i int, description *description, whole *table, at, document int) (cell logCell, usable bool, difference error) {
	known := &whole.columns[at]
	column := description.column(i, known)
	t.names[i] = column.name
	if column != known {
		difference = fmt.Errorf("column %s is %s %s now, and was %s %s", column.name, known.fullType, known.charset, column.fullType, column.charset)
	}
	if column.refused != nil {
		return cell, false, difference
	}
	form, err := column.form(t.layouts[i])
	if err != nil {
		return cell, false, fmt.Errorf("column %s: %w", column.name, err)
	}
	cell = logCell{at: i, convert: form.convert, computed: whole.sources.Columns[at].Generated, document: document}
	if column == known {
		cell.unset = column.unset
	}
	if slices.Contains(whole.identity, at) && known.always {
		t.replacing = append(t.replacing, i)
	}
	return cell, true, difference
}

// hide reads the columns that the catalog does not have, by their indexes in the log.
func (t *logTable) hide(columns []int, description *description, whole *table) (err error, strange bool) {
	names, wires := make([]string, len(columns)), make([]byte, len(columns))
	for n, i := range columns {
		names[n], wires[n] = t.names[i], description.ColumnType[i]
	}
	end, strange, err := whole.hidden(description.catalog.flavor, names, wires)
	if end >= 0 {
		t.end = columns[end]
	}
	return err, strange
}

// compareAltered compares the catalog a moment after the last statement that concerns a table in use.
func (st *stream) compareAltered(now time.Time) error {
	if st.altered.IsZero() || now.Sub(st.altered) < alteredWait {
		return nil
	}
	return st.compareCatalog()
}

// compareCatalog reads the catalog as it is now and returns ErrSchemaChanged
// where a table in use is not as it was planned with. What was read so far is
// sent first, so that it need not be read again with other columns.
func (st *stream) compareCatalog() error {
	st.altered = time.Time{}
	ctx, cancel := context.WithTimeout(st.ctx, queryTimeout)
	defer cancel()
	var now *catalog
	var end position
	err := st.source.use(ctx, func(c *conn) error {
		server, err := readFacts(ctx, c)
		if err != nil {
			return err
		}
		if end, err = server.end(ctx, c); err != nil {
			return err
		}
		if now, _, err = readCatalog(ctx, c); err != nil {
			return err
		}
		return c.hasty(ctx, func() error { return now.readDefaults(ctx, c, slices.Collect(maps.Values(st.tables))) })
	})
	if err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	for name, t := range st.tables {
		if err := compareTables(st.catalog.tables[name], now.tables[name]); err != nil {
			if sending := st.send(); sending != nil {
				return sending
			}
			return fmt.Errorf("table %s: %w", t, err)
		}
	}
	st.goOnWith(now, end)
	return nil
}

// goOnWith takes a catalog that is the same but for the columns' defaults.
func (st *stream) goOnWith(now *catalog, end position) {
	if !st.notAfter(st.catalogOf) {
		clear(st.defaulted)
		clear(st.unnamed)
	}
	st.unsure, st.former = map[string]map[string]bool{}, nil
	st.catalog, st.catalogOf, st.logTables = now, end, map[uint64]*logTable{}
}

// compareTables is sources.Compare with what else rows are read by: character
// sets, and the columns' order, by which the log may have them.
func compareTables(planned, now *table) error {
	if now == nil {
		return sources.Compare(planned.sources, nil)
	}
	if err := sources.Compare(planned.sources, now.sources); err != nil {
		return err
	}
	if planned.versioned != now.versioned {
		return fmt.Errorf("%w: %s keeps rows of the past, or does so no longer", sources.ErrSchemaChanged, now.sources)
	}
	for i := range planned.columns {
		was, is := &planned.columns[i], &now.columns[i]
		switch {
		case was.name != is.name:
			return fmt.Errorf("%w: %s has its columns in another order", sources.ErrSchemaChanged, now.sources)
		case was.charset != is.charset:
			return fmt.Errorf("%w: %s.%s was text in %s and is in %s", sources.ErrSchemaChanged, now.sources, is.name, was.charset, is.charset)
		}
	}
	return nil
}

// tableOf finds the table that rows are of.
func (st *stream) tableOf(body []byte) (*logTable, error) {
	if len(body) < 8 {
		return nil, errShort
	}
	id := littleEndian(body[:6])
	t := st.logTables[id]
	if t == nil && binary.LittleEndian.Uint16(body[6:])&replication.RowsEventStmtEndFlag == 0 {
		return nil, fmt.Errorf("table %d was not described", id)
	}
	return t, nil // nil: only the end of a statement
}
