package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/sources"
)

const (
	// firstRows is how many rows the first chunk of a table reads at most,
	// before their width is known.
	firstRows = 500

	// Limits on what one chunk can hold up in the server.
	chunkLockTimeout      = "2s"
	chunkStatementTimeout = "5min"
	chunkIdleTimeout      = "1min"
)

// A chunkQuery reads one chunk.
type chunkQuery struct {
	sources.ChunkRequest
	from   string   // what is read, quoted
	rows   int      // at most
	bytes  int      // that they are expected to take in memory
	decode *charset // what makes UTF-8 of texts; nil where the server does
	last   [][]byte // the key of the last row, as the server printed it
	spare  *sync.Pool

	having    [][][]byte       // what rows must have one of, as the server reads it
	types     []string         // of having
	operators map[int]ordering // of columns where names are not enough
}

// newChunkQuery prepares a request. width is what a row has taken so far in
// memory, 0 where that is not known.
func newChunkQuery(ctx context.Context, conn *pgx.Conn, req sources.ChunkRequest, width int) (*chunkQuery, error) {
	t := req.Table
	q := &chunkQuery{ChunkRequest: req, from: "ONLY " + quoteTable(t), rows: min(req.MaxRows, firstRows), last: make([][]byte, len(t.Key))}
	if width > 0 {
		q.rows = max(1, min(req.MaxRows, req.MaxBytes/width))
		q.bytes = min(q.rows*width, req.MaxBytes)
	}
	if len(t.Key) == 0 {
		return nil, fmt.Errorf("%w: the table has no key", sources.ErrConfig)
	}
	if req.After != nil && len(req.After) != len(t.Key) {
		return nil, fmt.Errorf("the key to read after has %d columns, the table's has %d", len(req.After), len(t.Key))
	}
	const isPartitioned = `
SELECT c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`
	var partitioned bool
	err := conn.QueryRow(ctx, isPartitioned, t.Schema, t.Name).Scan(&partitioned)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: the table is gone", sources.ErrSchemaChanged)
	}
	if partitioned {
		q.from = quoteTable(t)
	}
	if err == nil && req.After != nil {
		err = q.findOperators(ctx, conn, t.Key)
	}
	if err == nil && req.Having != nil {
		err = q.findOperators(ctx, conn, req.Having.Columns)
	}
	return q, err
}

// begin opens the transaction. The lock comes first: a snapshot taken before
// a rewriting ALTER TABLE has committed would find the table empty after it.
// LOCK TABLE itself takes no snapshot; the SELECT after it does, and the log's
// end is read after that.
func (q *chunkQuery) begin(ctx context.Context, conn *pgconn.PgConn) (view, error) {
	encoding := ""
	if q.decode != nil {
		encoding = "; SET LOCAL client_encoding = '" + sqlASCII + "'"
	}
	results, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"+
		"; SET LOCAL lock_timeout = '"+chunkLockTimeout+"'"+
		"; SET LOCAL statement_timeout = '"+chunkStatementTimeout+"'"+
		"; SET LOCAL idle_in_transaction_session_timeout = '"+chunkIdleTimeout+"'"+
		encoding+
		"; LOCK TABLE "+q.from+" IN ACCESS SHARE MODE"+
		"; SELECT pg_is_in_recovery(), pg_current_snapshot()"+
		", "+logEndColumns).ReadAll()
	if err != nil {
		return view{}, err
	}
	row := results[len(results)-1].Rows[0]
	if string(row[0]) != "f" {
		return view{}, fmt.Errorf("%w: the server is a standby, where a snapshot does not show what it misses", sources.ErrConfig)
	}
	var seen view
	if seen.snapshot, err = parseSnapshot(string(row[1])); err != nil {
		return view{}, err
	}
	seen.end, err = parseEnd(row[2:5])
	return seen, err
}

// logEndColumns are what parseEnd reads.
const logEndColumns = "CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END" +
	", current_setting('wal_block_size'), (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')"

// parseEnd is the end of the log's last record.
func parseEnd(row [][]byte) (pglogrepl.LSN, error) {
	insert, err := parseLSN(string(row[0]))
	if err != nil {
		return 0, err
	}
	page, err := strconv.ParseUint(string(row[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read wal_block_size: %w", err)
	}
	segment, err := strconv.ParseUint(string(row[2]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read wal_segment_size: %w", err)
	}
	return endOfLog(insert, page, segment), nil
}

// sql is the query for the rows, with the texts of its parameters. The columns
// give the parameters their types.
func (q *chunkQuery) sql() (string, [][]byte) {
	columns := make([]string, len(q.Table.Columns))
	for i := range q.Table.Columns {
		columns[i] = quote(q.Table.Columns[i].Name)
	}
	key := make([]string, len(q.Table.Key))
	for n, i := range q.Table.Key {
		key[n] = columns[i]
	}
	var p parameters
	var conditions []string
	if q.Having != nil {
		conditions = append(conditions, q.hasOne(&p, columns))
	}
	if q.After != nil {
		after := q.isAfter(&p, key)
		if q.Having != nil && len(key) > 1 && slices.Equal(q.Having.Columns, q.Table.Key) {
			// It is not looked up: with each of a thousand keys that takes the planner a second.
			after = "(" + after + ") IS TRUE"
		}
		conditions = append(conditions, after)
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + q.from + where +
		" ORDER BY " + strings.Join(key, ", ") + " LIMIT " + strconv.Itoa(q.rows), p
}

// parameters are the texts of a query's parameters.
type parameters [][]byte

// add adds a value of a column and returns what stands for it in the query.
func (p *parameters) add(c *sources.Column, text []byte) string {
	*p = append(*p, text)
	mark := "$" + strconv.Itoa(len(*p))
	if sql := c.Type.SQL; isOfSchema(sql) || strings.HasPrefix(sql, "reg") {
		mark += "::" + sql // else it is read as the type that its operators are of: oid, record
	}
	return mark
}

// isAfter is the condition that a row's key is beyond the last one.
func (q *chunkQuery) isAfter(p *parameters, key []string) string {
	marks := make([]string, len(key))
	named := true
	for n, text := range q.After {
		i := q.Table.Key[n]
		marks[n] = p.add(&q.Table.Columns[i], q.encode([]byte(text)))
		named = named && q.operators[i] == ordering{}
	}
	if !named {
		return q.after(key, marks, 0)
	}
	operator := " > "
	if q.Inclusive {
		operator = " >= "
	}
	return "(" + strings.Join(key, ", ") + ")" + operator + "(" + strings.Join(marks, ", ") + ")"
}

// after is the condition that the key from its n-th column on is beyond the last one.
func (q *chunkQuery) after(key, marks []string, n int) string {
	of := q.operatorsOf(q.Table.Key[n])
	least, above := key[n]+of.least+marks[n], key[n]+of.above+marks[n]
	switch {
	case n < len(key)-1:
		return least + " AND (" + above + " OR " + q.after(key, marks, n+1) + ")"
	case q.Inclusive:
		return least
	}
	return above
}

// encode turns what the chunk is read in into what the server has.
func (q *chunkQuery) encode(text []byte) []byte {
	if q.decode == nil {
		return text
	}
	return q.decode.encoded(string(text))
}

// isOfSchema reports whether a type is outside pg_catalog.
func isOfSchema(sql string) bool { return strings.Contains(sql, ".") }

// An ordering is the operators =, >= and > of a type.
type ordering struct{ equal, least, above string }

func (q *chunkQuery) operatorsOf(i int) ordering {
	if of, found := q.operators[i]; found {
		return of
	}
	return ordering{" = ", " >= ", " > "}
}

// findOperators notes the operators that order columns, where they are not in
// pg_catalog: those of an extension's type. By its name alone one is not found,
// or another one is: citext is also taken for text, which has another order.
func (q *chunkQuery) findOperators(ctx context.Context, conn *pgx.Conn, columns []int) error {
	const operatorsOf = `
WITH RECURSIVE base(oid) AS (
    SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attname = $2
    UNION
    SELECT t.typbasetype FROM base JOIN pg_type t ON t.oid = base.oid WHERE t.typtype = 'd'
)
SELECT min(' OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ') ') FILTER (WHERE p.amopstrategy = 3),
       min(' OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ') ') FILTER (WHERE p.amopstrategy = 4),
       min(' OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ') ') FILTER (WHERE p.amopstrategy = 5)
FROM base
JOIN pg_opclass c ON c.opcintype = base.oid AND c.opcdefault
JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
JOIN pg_amop p ON p.amopfamily = c.opcfamily AND p.amoplefttype = base.oid AND p.amoprighttype = base.oid
JOIN pg_operator o ON o.oid = p.amopopr
JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE n.nspname <> 'pg_catalog'
HAVING count(*) > 0`
	for _, i := range columns {
		c := &q.Table.Columns[i]
		if !isOfSchema(c.Type.SQL) {
			continue
		}
		var of ordering
		err := conn.QueryRow(ctx, operatorsOf, quoteTable(q.Table), c.Name).Scan(&of.equal, &of.least, &of.above)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("find the order of column %s: %w", c.Name, err)
		default:
			if q.operators == nil {
				q.operators = map[int]ordering{}
			}
			q.operators[i] = of
		}
	}
	return nil
}

// read runs the query and converts its rows as the stream converts its own.
func (q *chunkQuery) read(ctx context.Context, conn *pgconn.PgConn, registry *typeRegistry) (*sources.Chunk, error) {
	query, values := q.sql()
	query = string(q.encode([]byte(query)))
	result := conn.ExecParams(ctx, query, values, nil, nil, nil)
	chunk, err := q.rowsOf(result, registry)
	if _, closed := result.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	chunk.Last = q.After
	if len(chunk.Rows) > 0 {
		chunk.Last = make(sources.Key, len(q.last))
		for n, text := range q.last {
			if q.decode != nil {
				text = q.decode.appendDecoded(nil, text)
			}
			chunk.Last[n] = string(text)
		}
	}
	return chunk, nil
}

func (q *chunkQuery) rowsOf(result *pgconn.ResultReader, registry *typeRegistry) (*sources.Chunk, error) {
	chunk := sources.NewChunk(q.spare, q.rows, q.bytes)
	var converters []converter
	for result.NextRow() {
		if converters == nil {
			var err error
			if converters, err = q.converters(result.FieldDescriptions(), registry); err != nil {
				return nil, err
			}
		}
		row := result.Values()
		if len(chunk.Rows) > 0 && chunk.Arena.Size()+sizeOf(row) > q.MaxBytes {
			return chunk, nil // the rest is read by the next chunk
		}
		if err := q.add(chunk, row, converters); err != nil {
			return nil, err
		}
	}
	chunk.Done = len(chunk.Rows) < q.rows
	return chunk, nil
}

// converters finds one for each column, and refuses a type that the table was
// not planned with.
func (q *chunkQuery) converters(fields []pgconn.FieldDescription, registry *typeRegistry) ([]converter, error) {
	converters := make([]converter, len(fields))
	for i, f := range fields {
		c := &q.Table.Columns[i]
		t, convert, err := registry.lookup(f.DataTypeOID, f.TypeModifier)
		if err != nil || !sources.SameType(&t, &c.Type) {
			return nil, fmt.Errorf("%w: column %s is no longer %s", sources.ErrSchemaChanged, c.Name, c.Type.SQL)
		}
		converters[i] = decoded(q.decode, convert)
	}
	return converters, nil
}

func (q *chunkQuery) add(chunk *sources.Chunk, row [][]byte, converters []converter) error {
	a := chunk.Arena
	a.Reserve(sizeOf(row))
	a.StartRow(len(row))
	for i, text := range row {
		if text == nil {
			a.Null()
			continue
		}
		if err := addText(a, converters[i], text); err != nil {
			return fmt.Errorf("%w: column %s: %w", sources.ErrUnreadable, q.Table.Columns[i].Name, err)
		}
	}
	chunk.Rows = append(chunk.Rows, a.EndRow())
	for n, i := range q.Table.Key {
		if row[i] == nil {
			return fmt.Errorf("%w: a row has NULL in its key column %s", sources.ErrUnreadable, q.Table.Columns[i].Name)
		}
		q.last[n] = append(q.last[n][:0], row[i]...)
	}
	return nil
}

func sizeOf(row [][]byte) int {
	n := 8 * len(row)
	for _, text := range row {
		n += len(text)
	}
	return n
}
