package rowstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"haystream/sources"
)

// Merge returns change with its Missing cells filled from old, the row as it is
// stored; cells that old lacks too stay Missing. old may be the zero Row.
func Merge(a *sources.Arena, old, change sources.Row) sources.Row {
	n, size := change.Len(), 0
	for i := range n {
		if size += len(change.Text(i)); change.Missing(i) && !old.IsZero() {
			size += len(old.Text(i))
		}
	}
	a.Reserve(size)
	a.StartRow(n)
	for i := range n {
		if change.Missing(i) && !old.IsZero() {
			a.Copy(old, i)
		} else {
			a.Copy(change, i)
		}
	}
	return a.EndRow()
}

// How a cell begins where it has no text; others begin with their length plus cellText.
const (
	cellNull = iota
	cellMissing
	cellPieces // the stamp and the length follow
	cellText
)

// appendRow appends a row's stored form. Its large texts are stored by themselves,
// under a stamp: those of more than pieceBytes.
func appendRow(dst []byte, t *Table, row sources.Row, stamp uint64, pieceBytes int) ([]byte, error) {
	if row.Len() != len(t.Columns) {
		return dst, fmt.Errorf("store row of %s: %d values for %d columns", t, row.Len(), len(t.Columns))
	}
	for i := range t.Columns {
		if size := len(row.Text(i)); size > pieceBytes {
			dst = binary.AppendUvarint(binary.AppendUvarint(append(dst, cellPieces), stamp), uint64(size))
		} else {
			dst = appendCell(dst, row, i)
		}
	}
	return dst, nil
}

// appendCell appends a cell's stored form.
func appendCell(dst []byte, row sources.Row, i int) []byte {
	switch {
	case row.Missing(i):
		return append(dst, cellMissing)
	case row.Null(i):
		return append(dst, cellNull)
	}
	text := row.Text(i)
	return append(binary.AppendUvarint(dst, uint64(len(text))+cellText), text...)
}

var errCell = errors.New("a stored row is not of this layout")

// readRow reads what appendRow wrote for the row with a key, into the arena.
func (r *reader) readRow(t *Table, key, data []byte) (sources.Row, error) {
	r.rows.Reserve(len(data))
	r.rows.StartRow(len(t.Columns))
	for i := range t.Columns {
		var err error
		if data, err = r.readCell(t, key, i, data); err != nil {
			return sources.Row{}, err
		}
	}
	if len(data) > 0 {
		return sources.Row{}, errCell
	}
	return r.rows.EndRow(), nil
}

// readCell adds a cell to the row under way, and returns the data after it.
func (r *reader) readCell(t *Table, key []byte, i int, data []byte) (rest []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size)+cellText {
		return nil, errCell
	}
	data = data[size:]
	switch n {
	case cellNull:
		r.rows.Null()
	case cellMissing:
		r.rows.Missing()
	case cellPieces:
		stamp, size := binary.Uvarint(data)
		length, more := binary.Uvarint(data[max(size, 0):])
		if size <= 0 || more <= 0 || length > math.MaxInt32 {
			return nil, errCell
		}
		return data[size+more:], r.pieces(t, key, stamp, i, int(length))
	default:
		r.rows.Text(data[:n-cellText])
		data = data[n-cellText:]
	}
	return data, nil
}
