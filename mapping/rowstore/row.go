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
		switch {
		case row.Missing(i):
			dst = append(dst, cellMissing)
		case row.Null(i):
			dst = append(dst, cellNull)
		case len(row.Text(i)) > pieceBytes:
			dst = binary.AppendUvarint(binary.AppendUvarint(append(dst, cellPieces), stamp), uint64(len(row.Text(i))))
		default:
			text := row.Text(i)
			dst = append(binary.AppendUvarint(dst, uint64(len(text))+cellText), text...)
		}
	}
	return dst, nil
}

var errCell = errors.New("a stored row is not of this layout")

// readRow reads what appendRow wrote for the row with a key, into the arena.
func (r *reader) readRow(t *Table, key, data []byte) (sources.Row, error) {
	a := r.rows
	a.Reserve(len(data))
	a.StartRow(len(t.Columns))
	for i := range t.Columns {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size)+cellText {
			return sources.Row{}, errCell
		}
		data = data[size:]
		switch n {
		case cellNull:
			a.Null()
		case cellMissing:
			a.Missing()
		case cellPieces:
			stamp, size := binary.Uvarint(data)
			length, more := binary.Uvarint(data[max(size, 0):])
			if size <= 0 || more <= 0 || length > math.MaxInt32 {
				return sources.Row{}, errCell
			}
			data = data[size+more:]
			if err := r.pieces(t, key, stamp, i, int(length)); err != nil {
				return sources.Row{}, err
			}
		default:
			a.Text(data[:n-cellText])
			data = data[n-cellText:]
		}
	}
	if len(data) > 0 {
		return sources.Row{}, errCell
	}
	return a.EndRow(), nil
}
