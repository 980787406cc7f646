package rowstore

import (
	"slices"

	"haystream/sources"
)

// An index entry holds what is wanted of its row, so that the row itself need not be read: all of it where the
// index is for that and the row is not large; else the links, which are the columns that lead on to rows of other
// tables. It holds nothing of a row whose links are large.
const (
	entryRow   = 1 // the stored row follows
	entryLinks = 2 // the cells of the index's links follow

	wholeRow   = 128 // bytes
	smallLinks = 200 // bytes
)

// appendEntry builds a row's key in an index, in place of dst; empty where it has none.
func appendEntry(dst []byte, t *Table, index int, row sources.Row, columns []int, key []byte) []byte {
	if row.IsZero() {
		return dst[:0]
	}
	dst, null := AppendKey(append(appendIndexSpace(dst[:0], t), byte(index)), t, row, columns)
	if null {
		return dst[:0]
	}
	return append(dst, key...)
}

// holds reports whether an index's entry of a row holds all of it.
func (t *Table) holds(index int, row sources.Row) bool {
	if t.Whole == nil || !t.Whole[index] {
		return false
	}
	size := 0
	for i := range row.Len() {
		size += 1 + len(row.Text(i))
	}
	return size <= wholeRow
}

// appendInEntry appends what an index's entry of a row holds. stored is the row's stored form.
func appendInEntry(dst []byte, t *Table, index int, row sources.Row, stored []byte) []byte {
	if t.holds(index, row) {
		return append(append(dst, entryRow), stored...)
	}
	links, size := t.links[index], 0
	for _, i := range links {
		size += len(row.Text(i))
	}
	if len(links) == 0 || size > smallLinks {
		return dst
	}
	dst = append(dst, entryLinks)
	for _, i := range links {
		dst = appendCell(dst, row, i)
	}
	return dst
}

// readInEntry returns what an index's entry holds of the row with a key. Cells that it does not hold are Missing. ok is false
// where the row must be read.
func (r *reader) readInEntry(t *Table, index int, key, data []byte) (row sources.Row, ok bool, err error) {
	switch {
	case len(data) == 0:
		return sources.Row{}, false, nil
	case data[0] == entryRow:
		row, err = r.readRow(t, key, data[1:])
		return row, true, err
	case data[0] != entryLinks:
		return sources.Row{}, false, errCell
	}
	data = data[1:]
	links := t.links[index]
	r.rows.Reserve(len(data))
	r.rows.StartRow(len(t.Columns))
	for i := range t.Columns {
		if len(links) == 0 || links[0] != i {
			r.rows.Missing()
			continue
		}
		links = links[1:]
		if data, err = r.readCell(t, key, i, data); err != nil {
			return sources.Row{}, false, err
		}
	}
	if len(data) > 0 {
		return sources.Row{}, false, errCell
	}
	return r.rows.EndRow(), true, nil
}

// leads reports whether an index's links are all that is wanted of a row.
func (t *Table) leads(index int, columns []int) bool {
	return !slices.ContainsFunc(columns, func(i int) bool { return !slices.Contains(t.links[index], i) })
}
