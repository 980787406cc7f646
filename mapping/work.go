package mapping

import (
	"encoding/binary"
	"errors"
	"slices"

	"haystream/mapping/rowstore"
)

// Work is what is left of marking the documents that one change affects.
type Work struct {
	scope  int    // the changed row's, in the renderer's order
	value  []byte // what leads up from it
	cursor []level
}

// A level of a walk upwards: the last key that is done, and the one that the
// levels above it are at.
type level struct{ done, current []byte }

// reach moves the cursor. Levels further up begin anew.
func (w *Work) reach(depth int, done, current []byte) {
	for len(w.cursor) <= depth {
		w.cursor = append(w.cursor, level{})
	}
	w.cursor = w.cursor[:depth+1]
	l := &w.cursor[depth]
	if done != nil {
		l.done = append(l.done[:0:0], done...)
	}
	l.current = slices.Clone(current)
}

// Continue marks up to limit more documents. next is what is left, nil for
// nothing. It ends the validity of the rows that were read from rows.
func (r *JoinedRenderer) Continue(s *Scratch, rows rowstore.Reader, work *Work, limit int, mark func(mark []byte) error) (next *Work, err error) {
	if work.scope <= 0 || work.scope >= len(r.scopes) {
		return nil, errWork
	}
	defer rows.Forget()
	w := walker{renderer: r, scratch: s, rows: rows, left: max(limit, 1), mark: mark}
	more, err := w.up(work)
	if err != nil || !more {
		return nil, err
	}
	return work, nil
}

// Append appends work in a form that ParseWork reads. It is valid for the same
// definition only.
func (w *Work) Append(dst []byte) []byte {
	dst = appendBytes(binary.AppendUvarint(dst, uint64(w.scope)), w.value)
	for _, l := range w.cursor {
		dst = appendBytes(appendBytes(dst, l.done), l.current)
	}
	return dst
}

// appendBytes appends a length plus one, 0 for nil, and bytes.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
}

var errWork = errors.New("saved work cannot be read")

// ParseWork reads what Append wrote. It keeps nothing of data.
func ParseWork(data []byte) (*Work, error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > 1<<16 {
		return nil, errWork
	}
	w := &Work{scope: int(n)}
	parts := [][]byte{}
	for data = data[size:]; len(data) > 0; {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size)+1 {
			return nil, errWork
		}
		data = data[size:]
		if n == 0 {
			parts = append(parts, nil)
			continue
		}
		parts = append(parts, append([]byte{}, data[:n-1]...))
		data = data[n-1:]
	}
	if len(parts)%2 != 1 {
		return nil, errWork
	}
	w.value = parts[0]
	for i := 1; i < len(parts); i += 2 {
		w.cursor = append(w.cursor, level{parts[i], parts[i+1]})
	}
	return w, nil
}
