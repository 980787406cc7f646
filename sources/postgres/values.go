package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/sources"
)

// readValues turns the values that rows must have one of into what the server
// reads, without those that a column's type cannot hold.
func (q *chunkQuery) readValues(ctx context.Context, conn *pgx.Conn, registry *typeRegistry) error {
	restore := make([]converter, len(q.Having.Columns))
	for n, i := range q.Having.Columns {
		var err error
		if restore[n], err = q.restorer(ctx, conn, registry, &q.Table.Columns[i]); err != nil {
			return err
		}
	}
	q.having = make([][][]byte, 0, len(q.Having.Of))
next:
	for _, value := range q.Having.Of {
		if len(value) != len(restore) {
			return fmt.Errorf("a value to read by has %d columns, not %d", len(value), len(restore))
		}
		texts := make([][]byte, len(value))
		for n, text := range value {
			texts[n] = []byte(text)
			if restore[n] != nil {
				var err error
				if texts[n], err = restore[n]([]byte{}, texts[n]); err != nil {
					continue next // no text of this type
				}
			}
			texts[n] = q.encode(texts[n])
		}
		q.having = append(q.having, texts)
	}
	if len(q.having) == 0 {
		return nil
	}
	if q.decode != nil {
		if _, err := conn.PgConn().Exec(ctx, setRaw).ReadAll(); err != nil {
			return fmt.Errorf("set encoding: %w", err)
		}
		defer func() { _, _ = conn.PgConn().Exec(ctx, "SET client_encoding = 'UTF8'").ReadAll() }()
	}
	var err error
	q.having, err = q.readable(ctx, conn.PgConn(), q.having)
	return err
}

// restorer makes of a column's canonical text what the server reads.
func (q *chunkQuery) restorer(ctx context.Context, conn *pgx.Conn, registry *typeRegistry, c *sources.Column) (converter, error) {
	// The type without its length, to which a cast would cut the value.
	const query = `SELECT a.atttypid, format_type(a.atttypid, -1) FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attname = $2 AND NOT a.attisdropped`
	var oid uint32
	var name string
	if err := conn.QueryRow(ctx, query, quoteTable(q.Table), c.Name).Scan(&oid, &name); err != nil {
		return nil, fmt.Errorf("%w: look up the type of column %s: %w", sources.ErrSchemaChanged, c.Name, err)
	}
	restore, err := registry.restorer(oid)
	if err != nil {
		return nil, fmt.Errorf("%w: rows cannot be asked for by column %s: %w", sources.ErrUnreadable, c.Name, err)
	}
	q.types = append(q.types, name)
	return restore, nil
}

// hasOne is the condition that a row has one of the values.
func (q *chunkQuery) hasOne(p *parameters, columns []string) string {
	if len(q.having) == 0 {
		return "false"
	}
	all := make([]string, len(q.having))
	if len(q.Having.Columns) == 1 {
		i := q.Having.Columns[0]
		for v, texts := range q.having {
			all[v] = p.add(&q.Table.Columns[i], texts[0])
		}
		list := strings.Join(all, ", ")
		if of, found := q.operators[i]; found {
			return columns[i] + of.equal + "ANY (ARRAY[" + list + "])"
		}
		return columns[i] + " IN (" + list + ")"
	}
	for v, texts := range q.having {
		parts := make([]string, len(texts))
		for n, i := range q.Having.Columns {
			parts[n] = columns[i] + q.operatorsOf(i).equal + p.add(&q.Table.Columns[i], texts[n])
		}
		all[v] = strings.Join(parts, " AND ")
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// readable halves the values until those are found that the server cannot read
// as the columns' types.
func (q *chunkQuery) readable(ctx context.Context, conn *pgconn.PgConn, values [][][]byte) ([][][]byte, error) {
	err := q.cast(ctx, conn, values)
	if !isOfValue(err) {
		return values, err
	}
	half := len(values) / 2
	if half == 0 {
		// The types themselves are there, or the error is not of the value.
		err := q.cast(ctx, conn, [][][]byte{make([][]byte, len(q.Having.Columns))})
		if code := sqlState(err); code != "" && code[:2] == classConstraint { // a domain without NULL
			err = nil
		}
		return nil, err
	}
	low, err := q.readable(ctx, conn, values[:half])
	if err != nil {
		return nil, err
	}
	high, err := q.readable(ctx, conn, values[half:])
	return append(low[:len(low):len(low)], high...), err
}

// cast has the server read the values.
func (q *chunkQuery) cast(ctx context.Context, conn *pgconn.PgConn, values [][][]byte) error {
	var p parameters
	rows := make([]string, len(values))
	for v, texts := range values {
		marks := make([]string, len(texts))
		for n, text := range texts {
			p = append(p, text)
			marks[n] = "$" + strconv.Itoa(len(p)) + "::" + q.types[n]
		}
		rows[v] = strings.Join(marks, ", ")
	}
	return conn.ExecParams(ctx, "SELECT FROM (VALUES ("+strings.Join(rows, "), (")+")) v LIMIT 0", p, nil, nil, nil).Read().Err
}

// isOfValue reports whether an error may be of a value: it is no text of its
// type, breaks its domain's constraint, or is the name of nothing.
func isOfValue(err error) bool {
	code := sqlState(err)
	if code == "" {
		return false
	}
	switch code[:2] {
	case classData, classConstraint, classSyntax, classSchema:
		return true
	}
	return false
}
