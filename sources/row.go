package sources

import "bytes"

// A Row is one row's values as canonical text (see Kind), one cell per column
// of its projected Table. The zero Row is "no image". Rows are views over
// their batch's Arena and die with it.
type Row struct {
	data  []byte
	cells []cell
}

// cell is a span of data; length < 0 says why there is none. Below
// lengthMissing it counts the bytes of a patch downwards.
type cell struct {
	start  uint32
	length int32
}

const (
	lengthNull    = -1
	lengthMissing = -2
)

// IsZero reports whether the log carried no such image.
func (r Row) IsZero() bool { return r.cells == nil }

// Len is the number of cells.
func (r Row) Len() int { return len(r.cells) }

// Size is how many bytes the row's texts have, about.
func (r Row) Size() int { return len(r.data) }

// Null reports whether cell i is SQL NULL.
func (r Row) Null(i int) bool { return r.cells[i].length == lengthNull }

// Missing reports whether the log left cell i out, so that its value is not known.
func (r Row) Missing(i int) bool { return r.cells[i].length <= lengthMissing }

// Patch is what ApplyPatch makes the value of a Missing cell i from, given the
// old one; nil where the value has not changed.
func (r Row) Patch(i int) []byte {
	c := r.cells[i]
	if c.length >= lengthMissing {
		return nil
	}
	end := c.start + uint32(lengthMissing-c.length)
	return r.data[c.start:end:end]
}

// Text is cell i's canonical text; nil where it is NULL or Missing, never nil otherwise.
func (r Row) Text(i int) []byte {
	c := r.cells[i]
	if c.length < 0 {
		return nil
	}
	return r.data[c.start : c.start+uint32(c.length) : c.start+uint32(c.length)]
}

// Whole reports whether no cell is Missing.
func (r Row) Whole() bool {
	for i := range r.cells {
		if r.Missing(i) {
			return false
		}
	}
	return true
}

// Same reports whether another image of the row has the same values in some columns.
func (r Row) Same(other Row, columns ...int) bool {
	for _, i := range columns {
		if r.Null(i) != other.Null(i) || r.Missing(i) != other.Missing(i) || !bytes.Equal(r.Text(i), other.Text(i)) {
			return false
		}
	}
	return true
}

// Key returns the texts of the given columns, copied.
func (r Row) Key(columns []int) Key {
	k := make(Key, len(columns))
	for n, i := range columns {
		k[n] = string(r.Text(i))
	}
	return k
}

// An Arena holds the bytes and cells of many rows, so that a row costs no
// allocation of its own. Not for concurrent use. Rows stay valid until Reset.
type Arena struct {
	data  []byte
	cells []cell
	total int

	// of the row being built
	dataStart, cellStart, valueStart int

	shared bool // the row has the texts of the one before it
}

// NewArena returns an empty arena with room for rows of about so many bytes
// altogether, to spare what usually comes the growing.
func NewArena(bytes int) *Arena { return &Arena{data: make([]byte, 0, bytes)} }

// Size is the memory in use by rows, in bytes.
func (a *Arena) Size() int { return a.total + len(a.data) + 8*len(a.cells) }

// keptArena is the most memory that an arena keeps: larger rows are rare.
const keptArena = 1 << 20

// Reset forgets all rows and keeps the memory, unless it is much.
func (a *Arena) Reset() {
	if spoils {
		for i := range a.data {
			a.data[i] = '#'
		}
	}
	if cap(a.data) > keptArena {
		a.data = nil
	}
	a.data, a.cells, a.total = a.data[:0], a.cells[:0], 0
}

// StartRow begins a row of n cells.
func (a *Arena) StartRow(n int) {
	if cap(a.cells)-len(a.cells) < n {
		a.total += 8 * len(a.cells) // earlier rows keep the old memory
		a.cells = make([]cell, 0, max(2*cap(a.cells), 1024, n))
	}
	a.dataStart, a.cellStart = len(a.data), len(a.cells)
}

// StartRowAfter begins a row of n cells that can Repeat those of the row that was
// ended last.
func (a *Arena) StartRowAfter(last Row, n int) {
	start := a.dataStart
	a.StartRow(n)
	if a.shared = start+len(last.data) == a.dataStart; a.shared { // else Reserve has made other memory
		a.dataStart = start
	}
}

// Repeat adds cell i of the row that StartRowAfter was given: its text is not copied.
func (a *Arena) Repeat(last Row, i int) {
	if a.shared {
		a.cells = append(a.cells, last.cells[i])
	} else {
		a.Copy(last, i)
	}
}

// Null adds a NULL cell.
func (a *Arena) Null() { a.cells = append(a.cells, cell{length: lengthNull}) }

// Missing adds a cell whose value the log left out.
func (a *Arena) Missing() { a.cells = append(a.cells, cell{length: lengthMissing}) }

// Patch adds a Missing cell of which the log has told what changed. patch is not empty.
func (a *Arena) Patch(patch []byte) {
	a.Text(patch)
	last := &a.cells[len(a.cells)-1]
	last.length = lengthMissing - last.length
}

// Buffer returns the arena's tail for a converter to append one value's text
// to; Value takes the result back.
func (a *Arena) Buffer() []byte {
	a.valueStart = len(a.data)
	return a.data
}

// Value adds a cell that holds what was appended to Buffer's result.
func (a *Arena) Value(appended []byte) {
	a.data = appended
	a.cells = append(a.cells, cell{start: uint32(a.valueStart - a.dataStart), length: int32(len(appended) - a.valueStart)})
}

// Text adds a cell that holds a copy of text.
func (a *Arena) Text(text []byte) { a.Value(append(a.Buffer(), text...)) }

// Copy adds a copy of cell i of r.
func (a *Arena) Copy(r Row, i int) {
	switch {
	case r.Null(i):
		a.Null()
	case r.Patch(i) != nil:
		a.Patch(r.Patch(i))
	case r.Missing(i):
		a.Missing()
	default:
		a.Text(r.Text(i))
	}
}

// Cut returns a row of some cells of r, with r's texts: it is valid as long as r is.
func (a *Arena) Cut(r Row, columns []int) Row {
	a.StartRow(len(columns))
	for _, i := range columns {
		a.cells = append(a.cells, r.cells[i])
	}
	return Row{data: r.data, cells: a.cells[a.cellStart:len(a.cells):len(a.cells)]}
}

// largeRow is the size from which on Reserve has memory made for a row.
const largeRow = 64 << 10

// Reserve makes room for a row's texts where they are large, so that neither they
// nor those of the rows before are copied while it is built. It is called before
// StartRow, with about the size of the texts.
func (a *Arena) Reserve(bytes int) {
	if cap(a.data)-len(a.data) < bytes && (bytes > largeRow || cap(a.data) > keptArena) {
		a.total += len(a.data) // earlier rows keep the old memory
		a.data = make([]byte, 0, max(bytes, largeRow))
	}
}

// EndRow returns the row built since StartRow.
func (a *Arena) EndRow() Row {
	return Row{
		data:  a.data[a.dataStart:len(a.data):len(a.data)],
		cells: a.cells[a.cellStart:len(a.cells):len(a.cells)],
	}
}
