package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// First bytes of the server's answers (MySQL documentation, "Text Resultset").
const (
	answerOK  = 0x00
	answerEOF = 0xfe
	answerErr = 0xff
	nullText  = 0xfb
)

// query runs a statement and calls each with every row; nil is NULL. The row
// and its values are valid until each returns.
func (c *conn) query(ctx context.Context, statement string, each func(row [][]byte) error) error {
	var values [][]byte
	return c.queryRaw(ctx, statement, func(row mysql.RowData) error {
		values = values[:0]
		for len(row) > 0 {
			value, null, rest, err := nextText(row)
			if err != nil {
				return err
			}
			if null {
				value = nil
			}
			values, row = append(values, value), rest
		}
		return each(values)
	})
}

// queryRaw runs a statement and calls each with every row as it came, for
// nextText. The row is valid until each returns. When each fails, the rest is
// not read, and the connection cannot be used any more.
func (c *conn) queryRaw(ctx context.Context, statement string, each func(row mysql.RowData) error) error {
	release := c.guard(ctx)
	err := c.run(statement, each)
	if ended := release(); ended != nil {
		return fmt.Errorf("query: %w", ended)
	}
	if err != nil {
		// After an error that the server itself reports, it waits for the next statement.
		c.broken = c.broken || serverCode(err) == 0
		return fmt.Errorf("query: %w", err)
	}
	return nil
}

// run sends the statement and reads the answer (MySQL documentation,
// "COM_QUERY Response").
func (c *conn) run(statement string, each func(row mysql.RowData) error) error {
	if err := c.command(mysql.COM_QUERY, []byte(statement)); err != nil {
		return err
	}
	first, err := c.next()
	if err != nil || first[0] == answerOK {
		return err
	}
	if len(first) > 9 {
		return errors.New("the server asks for a file")
	}
	for _, each := range []func(mysql.RowData) error{nil, each} { // the columns, then the rows
		for {
			row, err := c.next()
			if err != nil {
				return err
			}
			if row[0] == answerEOF && len(row) < 9 {
				break
			}
			if each == nil {
				continue
			}
			if err := each(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// command sends one.
func (c *conn) command(kind byte, argument []byte) error {
	c.ResetSequence()
	packet := make([]byte, 5, 5+len(argument)) // the library fills the header
	packet[4] = kind
	return c.WritePacket(append(packet, argument...))
}

// next reads a packet, valid until the next call. A server's error is an error.
func (c *conn) next() ([]byte, error) {
	packet, err := c.packets.next(&c.Sequence)
	if err != nil {
		return nil, fmt.Errorf("read packet: %w", err)
	}
	switch {
	case len(packet) == 0:
		return nil, errors.New("the server sent an empty packet")
	case packet[0] == answerErr:
		return nil, c.HandleErrorPacket(append([]byte(nil), packet...))
	}
	return packet, nil
}

// nextText takes the first value off a row of the text protocol.
func nextText(row []byte) (value []byte, null bool, rest []byte, err error) {
	if len(row) == 0 {
		return nil, false, nil, errShortRow
	}
	var length uint64
	switch first := row[0]; {
	case first < nullText:
		length, row = uint64(first), row[1:]
	case first == nullText:
		return nil, true, row[1:], nil
	case first == 0xfc && len(row) >= 3:
		length, row = uint64(binary.LittleEndian.Uint16(row[1:])), row[3:]
	case first == 0xfd && len(row) >= 4:
		length, row = uint64(row[1])|uint64(row[2])<<8|uint64(row[3])<<16, row[4:]
	case first == 0xfe && len(row) >= 9:
		length, row = binary.LittleEndian.Uint64(row[1:]), row[9:]
	default:
		return nil, false, nil, errShortRow
	}
	if length > uint64(len(row)) {
		return nil, false, nil, errShortRow
	}
	return row[:length:length], false, row[length:], nil
}

var errShortRow = errors.New("the server sent a row that ends too early")

// exec runs a statement and drops what it answers.
func (c *conn) exec(ctx context.Context, statement string) error {
	return c.queryRaw(ctx, statement, func(mysql.RowData) error { return nil })
}

// hasty does work that waits but a moment for the lock of a table: what is said of
// one must not hold up all others.
func (c *conn) hasty(ctx context.Context, work func() error) error {
	if err := c.exec(ctx, "SET SESSION lock_wait_timeout = 2"); err != nil {
		return err
	}
	err := work()
	return errors.Join(err, c.exec(ctx, "SET SESSION lock_wait_timeout = DEFAULT"))
}

// one returns the first row, NULL as empty; none is an error.
func (c *conn) one(ctx context.Context, statement string) ([]string, error) {
	var first []string
	err := c.query(ctx, statement, func(row [][]byte) error {
		if first == nil {
			first = texts(row)
		}
		return nil
	})
	if err == nil && first == nil {
		err = errNoRow
	}
	return first, err
}

var errNoRow = errors.New("query: it gave no row")

func texts(row [][]byte) []string {
	all := make([]string, len(row))
	for i, value := range row {
		all[i] = string(value)
	}
	return all
}
