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

// appendRow appends a row's stored form: for each cell 0 where it is NULL, else
// its length plus one and its text.
func appendRow(dst []byte, t *Table, row sources.Row) ([]byte, error) {
	if row.Len() != len(t.Columns) {
		return dst, fmt.Errorf("store row of %s: %d values for %d columns", t, row.Len(), len(t.Columns))
	}
	for i := range t.Columns {
		switch {
		case row.Missing(i):
			return dst, fmt.Errorf("store row of %s: the value of %s is missing", t, t.Columns[i].Name)
		case row.Null(i):
			dst = append(dst, 0)
		default:
			text := row.Text(i)
			dst = append(binary.AppendUvarint(dst, uint64(len(text))+1), text...)
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
		if size <= 0 || n > uint64(len(data)-size)+1 {
			return sources.Row{}, errCell
		}
		data = data[size:]
		if n == 0 {
			a.Null()
			continue
		}
		a.Text(data[:n-1])
		data = data[n-1:]
	}
	if len(data) > 0 {
		return sources.Row{}, errCell
	}
	return a.EndRow(), nil
}
