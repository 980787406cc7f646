package rowstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"haystream/sources"
)

// Merge returns change with its Missing cells filled from old, the row as it is
// stored; cells that old lacks too stay Missing. old may be the zero Row.
func Merge(a *sources.Arena, old, change sources.Row) sources.Row {
	n := change.Len()
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
	cellText
)

// appendRow appends a row's stored form.
func appendRow(dst []byte, t *Table, row sources.Row) ([]byte, error) {
	if row.Len() != len(t.Columns) {
		return dst, fmt.Errorf("store row of %s: %d values for %d columns", t, row.Len(), len(t.Columns))
	}
	for i := range t.Columns {
		switch {
		case row.Missing(i):
			dst = append(dst, cellMissing)
		case row.Null(i):
			dst = append(dst, cellNull)
		default:
			text := row.Text(i)
			dst = append(binary.AppendUvarint(dst, uint64(len(text))+cellText), text...)
		}
	}
	return dst, nil
}

var errCell = errors.New("a stored row is not of this layout")

// readRow reads what appendRow wrote, into the arena.
func readRow(a *sources.Arena, t *Table, data []byte) (sources.Row, error) {
	a.StartRow(len(t.Columns))
	for range t.Columns {
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
