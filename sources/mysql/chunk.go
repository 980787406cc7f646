package mysql

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"haystream/internal/backoff"
	"haystream/sources"
)

const (
	// firstRows is how many rows the first chunk of a table reads at most,
	// before their width is known.
	firstRows = 500

	// Waits between two looks whether what was emitted is visible.
	lookFirst = 2 * time.Millisecond
	lookLast  = 200 * time.Millisecond

	// unmarkedWait is how long a transaction is given to become visible where
	// the server has no mark for that: MySQL without GTIDs.
	unmarkedWait = 100 * time.Millisecond

	codeTableChanged = 1412 // ER_TABLE_DEF_CHANGED
)

// Chunk reads the next rows in key order. They have seen everything that the
// stream had emitted when Chunk was called. Last holds the key as the server
// takes it back, in the order that it pages by.
func (s *Source) Chunk(ctx context.Context, req sources.ChunkRequest) (*sources.Chunk, error) {
	s.mu.Lock()
	emitted, known, server, width := s.emitted, s.prepared, s.server, s.widths[req.Table.String()]
	if known == nil {
		known = s.catalog
	}
	s.mu.Unlock()
	if known == nil {
		return nil, errors.New("the catalog was not read")
	}
	var chunk *sources.Chunk
	retry := backoff.Backoff{Min: lookFirst, Max: lookLast}
	for chunk == nil {
		err := s.use(ctx, func(c *conn) error {
			q, err := newChunkQuery(req, known.table(req.Table.Schema, req.Table.Name), width)
			if err == nil {
				q.spare = &s.spare
				err = q.dropForeign(ctx, c)
			}
			if err != nil {
				return explainChunk(err)
			}
			chunk, err = s.chunk(ctx, c, q, emitted, server)
			return explainChunk(err)
		})
		if err != nil && serverCode(err) != codeTableChanged {
			return nil, fmt.Errorf("read chunk of %s: %w", req.Table, err)
		}
		if chunk == nil {
			if err := retry.Wait(ctx, 0); err != nil {
				return nil, err
			}
		}
	}
	if rows := len(chunk.Rows); rows > 0 {
		s.mu.Lock()
		s.widths[req.Table.String()] = max(1, chunk.Arena.Size()/rows)
		s.mu.Unlock()
	}
	return chunk, nil
}

// explainChunk says what of the table is behind an error: it has changed, or
// cannot be read, which says nothing of other tables.
func explainChunk(err error) error {
	switch code := serverCode(err); code {
	case codeNoSuchTable, codeUnknownColumn:
		return fmt.Errorf("%w: %w", sources.ErrSchemaChanged, err)
	case codeDatabaseDenied, codeTableDenied, codeColumnDenied:
		return fmt.Errorf("%w: %w; %s", sources.ErrUnreadable, err, remedyOf(err))
	case codeKeyFile, codeOldKeyFile, codeStorageError, codeCrashed, codeCrashedRepair, codeIndexCorrupt, codeTableCorrupt:
		return fmt.Errorf("%w: %w; see CHECK TABLE and REPAIR TABLE, or restore it", sources.ErrUnreadable, err)
	case codeNoTablespace, codeTablespaceDiscarded, codeNotInEngine, codeNoEngine, codeKeyMissing, codeKeyMissingMaria:
		return fmt.Errorf("%w: %w", sources.ErrUnreadable, err)
	}
	return err
}

// chunk reads in one short transaction; nil where that has not yet seen what was emitted.
func (s *Source) chunk(ctx context.Context, c *conn, q *chunkQuery, emitted position, server string) (*sources.Chunk, error) {
	f, err := readFacts(ctx, c)
	if err != nil {
		return nil, err
	}
	if server != "" && f.server != server {
		return nil, fmt.Errorf("the chunk is read from the server %s, the log from %s", f.server, server)
	}
	if f.flavor == mariadbServer {
		return s.exactChunk(ctx, c, q, f, emitted)
	}
	sees, err := f.visible(ctx, c, emitted)
	if err != nil || !sees {
		return nil, err
	}
	chunk, err := q.read(ctx, c) // a single statement is a transaction of its own
	if err != nil {
		return nil, err
	}
	// All that the rows show was in the log before it could be seen.
	end, err := f.end(ctx, c)
	if err != nil {
		return nil, err
	}
	s.mark(chunk, end)
	// What is visible is not known exactly: a transaction may be in the log, in
	// gtid_executed later, and in the rows in between.
	chunk.Sees = func(uint64) bool { return false }
	return chunk, nil
}

// mark notes up to where the stream must come before the chunk may be merged.
func (s *Source) mark(chunk *sources.Chunk, end position) {
	end.numbered, end.gtids = false, ""
	chunk.Mark = sources.Position(end.String())
	s.want(end)
}

// visible reports whether everything that was emitted is visible to whatever
// begins now. On MySQL a transaction is in gtid_executed only after that.
func (f facts) visible(ctx context.Context, c *conn, emitted position) (bool, error) {
	if !f.gtids {
		return true, backoff.Pause(ctx, unmarkedWait)
	}
	row, err := c.one(ctx, "SELECT GTID_SUBSET("+literal(emitted.gtids)+", @@GLOBAL.gtid_executed)")
	if err != nil {
		return false, fmt.Errorf("compare GTIDs: %w", err)
	}
	return row[0] == "1", nil
}

// exactChunk reads as MariaDB can: its consistent snapshot names the place in
// the log of all that it sees.
func (s *Source) exactChunk(ctx context.Context, c *conn, q *chunkQuery, f facts, emitted position) (*sources.Chunk, error) {
	if err := c.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	at, err := snapshotPosition(ctx, c, f)
	if err != nil {
		return nil, err
	}
	var chunk *sources.Chunk
	if emitted.server == "" || !at.before(emitted) { // or nothing is streamed at all
		if chunk, err = q.read(ctx, c); err != nil {
			return nil, err
		}
	}
	if err := c.exec(ctx, "COMMIT"); err != nil || chunk == nil {
		return nil, err
	}
	s.mark(chunk, at)
	sees := transactionID(at.file, at.offset)
	chunk.Sees = func(tx uint64) bool { return tx < sees }
	return chunk, nil
}

func snapshotPosition(ctx context.Context, c *conn, f facts) (position, error) {
	p := position{server: f.server}
	err := c.query(ctx, "SHOW STATUS LIKE 'binlog_snapshot_%'", func(row [][]byte) error {
		switch strings.ToLower(string(row[0])) {
		case "binlog_snapshot_file":
			p.file = string(row[1])
		case "binlog_snapshot_position":
			p.offset = uint64(number(row[1]))
		}
		return nil
	})
	if err == nil && p.file == "" {
		err = errors.New("the server does not say")
	}
	if err != nil {
		return p, fmt.Errorf("read the snapshot's place in the log: %w", err)
	}
	return p, nil
}

// A chunkQuery reads one chunk.
type chunkQuery struct {
	sources.ChunkRequest
	columns []*column // of the projected table
	keys    []keyColumn
	having  []string // what hasOne is made of
	rows    int      // at most
	bytes   int      // that they are expected to take in memory
	texts   [][]byte // of the row that is read, by column; nil: NULL
	spare   *sync.Pool
}

// A keyColumn is how a column of the key is read and given back.
type keyColumn struct {
	column   int    // of the projected table
	selected string // what its text is read as; empty: as the column itself
	compared string // what the text is compared with
	bare     bool   // the text is a number, and needs no quotes
	binary   bool
}

func newChunkQuery(req sources.ChunkRequest, whole *table, width int) (*chunkQuery, error) {
	t := req.Table
	switch {
	case whole == nil:
		return nil, fmt.Errorf("%w: the table is gone", sources.ErrSchemaChanged)
	case len(t.Key) == 0:
		return nil, fmt.Errorf("%w: it has no key", sources.ErrUnreadable)
	case req.After != nil && len(req.After) != len(t.Key):
		return nil, fmt.Errorf("the key to read after has %d columns, the table's has %d", len(req.After), len(t.Key))
	}
	q := &chunkQuery{ChunkRequest: req, rows: min(req.MaxRows, firstRows), texts: make([][]byte, len(t.Columns))}
	if width > 0 {
		q.rows = max(1, min(req.MaxRows, req.MaxBytes/width))
		q.bytes = min(q.rows*width, req.MaxBytes)
	}
	for i := range t.Columns {
		at := whole.sources.Column(t.Columns[i].Name)
		if at < 0 {
			return nil, fmt.Errorf("%w: column %s is gone", sources.ErrSchemaChanged, t.Columns[i].Name)
		}
		if refused := whole.columns[at].refused; refused != nil {
			return nil, fmt.Errorf("%w: column %s: %w", sources.ErrUnreadable, t.Columns[i].Name, refused)
		}
		q.columns = append(q.columns, &whole.columns[at])
	}
	for _, i := range t.Key {
		k := newKeyColumn(q.columns[i])
		if k.column = i; k.selected == q.columns[i].expression(quote(q.columns[i].name)) {
			k.selected = ""
		}
		q.keys = append(q.keys, k)
	}
	if req.Having == nil {
		return q, nil
	}
	var err error
	q.having, err = q.literals(req.Having)
	return q, err
}

// newKeyColumn: text is compared in the column's own collation, as the server
// orders it; labels by their numbers, since that is their order.
func newKeyColumn(c *column) keyColumn {
	name := quote(c.name)
	k := keyColumn{selected: name, compared: name}
	switch c.dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year":
		k.bare = true
	case "float", "double":
		k.selected, k.bare = name+" + 0e0", true
	case "enum", "set", "bit":
		k.selected, k.bare = name+" + 0", true
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob",
		"point", "geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection", "geometrycollection", "vector":
		k.selected, k.binary = "HEX("+name+")", true
	}
	return k
}

func (k keyColumn) literal(text string) string {
	switch {
	case k.bare:
		return text
	case k.binary:
		return "x'" + text + "'"
	}
	return fmt.Sprintf("_utf8mb4 x'%x'", text)
}

// sql is the query for the rows: first the columns, then what of the key is given
// back in another form. A condition on rows of columns would not be looked up in the index.
func (q *chunkQuery) sql() string {
	selected := make([]string, 0, len(q.columns)+len(q.keys))
	for _, c := range q.columns {
		selected = append(selected, c.expression(quote(c.name)))
	}
	order := make([]string, len(q.keys))
	for n, k := range q.keys {
		if k.selected != "" {
			selected = append(selected, k.selected)
		}
		order[n] = quote(q.columns[k.column].name)
	}
	var conditions []string
	if q.Having != nil {
		conditions = append(conditions, q.hasOne(q.having))
	}
	if q.After != nil {
		conditions = append(conditions, q.after(0))
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	return fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", strings.Join(selected, ", "), quoteTable(q.Table), where, strings.Join(order, ", "), q.rows)
}

// after is the condition that the key from its n-th column on is beyond the last one.
func (q *chunkQuery) after(n int) string {
	k := q.keys[n]
	value := k.literal(q.After[n])
	if n == len(q.keys)-1 {
		operator := " > "
		if q.Inclusive {
			operator = " >= "
		}
		return k.compared + operator + value
	}
	return fmt.Sprintf("%s >= %s AND (%[1]s > %[2]s OR %s)", k.compared, value, q.after(n+1))
}

// read runs the query and converts its rows as the stream converts its own.
func (q *chunkQuery) read(ctx context.Context, c *conn) (*sources.Chunk, error) {
	chunk := sources.NewChunk(q.spare, q.rows, q.bytes)
	chunk.Last = q.After
	last := make([][]byte, len(q.keys))
	full := false
	read := 0
	err := c.queryRaw(ctx, q.sql(), func(row mysql.RowData) error {
		if read++; full || len(chunk.Rows) > 0 && chunk.Arena.Size()+len(row)+8*len(q.columns) > q.MaxBytes {
			full = true // the rest is read by the next chunk
			return nil
		}
		return q.add(chunk, row, last)
	})
	if err != nil {
		return nil, err
	}
	chunk.Done = read < q.rows && !full
	if len(chunk.Rows) > 0 {
		chunk.Last = make(sources.Key, len(last))
		for n, text := range last {
			chunk.Last[n] = string(text)
		}
	}
	return chunk, nil
}

func (q *chunkQuery) add(chunk *sources.Chunk, row []byte, last [][]byte) error {
	a := chunk.Arena
	var undecoded error
	a.Reserve(len(row))
	a.StartRow(len(q.columns))
	for i, c := range q.columns {
		text, null, rest, err := nextText(row)
		if err != nil {
			return err
		}
		row, q.texts[i] = rest, text
		if null {
			a.Null()
			continue
		}
		converted, err := c.convert(a.Buffer(), text)
		if err != nil {
			undecoded = cmp.Or(undecoded, fmt.Errorf("column %s: %w", c.name, err))
			a.Null()
			continue
		}
		a.Value(converted)
	}
	chunk.Rows = append(chunk.Rows, a.EndRow())
	for n, k := range q.keys {
		text := q.texts[k.column]
		if k.selected != "" {
			var err error
			if text, _, row, err = nextText(row); err != nil {
				return err
			}
		}
		if text == nil {
			return fmt.Errorf("%w: a row has NULL in its key column %s", sources.ErrUnreadable, q.columns[k.column].name)
		}
		last[n] = append(last[n][:0], text...)
	}
	if undecoded != nil {
		return fmt.Errorf("%w: the row with the key (%s): %w", sources.ErrUnreadable, bytes.Join(last, []byte(", ")), undecoded)
	}
	return nil
}
