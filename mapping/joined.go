package mapping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// A JoinedRenderer renders the documents of one definition from stored rows.
//
// Its documents are named by marks: opaque keys that Affected and Continue give,
// and Document takes. The delete at a place that a row has left needs a version of its own, from
// when it was left: another row may have taken the place, and its document is newer.
type JoinedRenderer struct {
	*Renderer
	Stored *rowstore.Table // of the definition's own rows

	scopes []*scope // of all rows, the root first
}

// Reads reports whether documents are made of the table's rows.
func (r *JoinedRenderer) Reads(t *rowstore.Table) bool {
	return slices.ContainsFunc(r.scopes, func(s *scope) bool { return s.layoutTable() == t })
}

// Timely reports whether documents come and go with the time.
func (r *JoinedRenderer) Timely() bool { return r.where != nil && r.where.expression.Timed() }

// What marks begin with.
const (
	markPlace = 0 // a place that a row's document has left: its period where there are such, its id's length, id, routing
	markRow   = 1 // the row's key in the row store
)

// Mark appends the mark of the row with a key in the row store.
func (r *JoinedRenderer) Mark(dst, key []byte) []byte { return append(append(dst, markRow), key...) }

func (r *JoinedRenderer) appendPlace(dst []byte, p place) []byte {
	dst = append(dst, markPlace)
	if r.partition != nil {
		dst = binary.AppendVarint(dst, int64(p.period))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.id)))
	return append(append(dst, p.id...), p.routing...)
}

// IsPlace reports whether a mark is of a place that a row's document has left.
func IsPlace(mark string) bool { return mark != "" && mark[0] == markPlace }

var errMark = errors.New("a mark cannot be read")

func (r *JoinedRenderer) parsePlace(mark []byte) (p place, err error) {
	rest := mark[1:]
	if r.partition != nil {
		period, size := binary.Varint(rest)
		if size <= 0 {
			return p, errMark
		}
		p.period, rest = Period(period), rest[size:]
	}
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > uint64(len(rest)-size) {
		return p, errMark
	}
	p.id, p.routing, p.known = rest[size:size+int(n)], rest[size+int(n):], true
	return p, nil
}

// Document appends what a mark stands for: the document of a row as it is now,
// its delete where `where` is not true, or the delete at a place that was left.
// A row that is gone gives nothing: its place has a mark of its own. due is when
// the answer of `where` may change next, in microseconds since 1970; 0 for never.
// It ends the validity of the rows that were read from rows.
func (r *JoinedRenderer) Document(s *Scratch, rows rowstore.Reader, b *sinks.Batch, t *sinks.Target, mark []byte, version int64) (due int64, err error) {
	if len(mark) > 0 && mark[0] == markPlace {
		p, err := r.parsePlace(mark)
		if err != nil || r.Append && r.partition == nil {
			return 0, err
		}
		if r.partition != nil {
			if t = r.partition.Part(b, t, p.period); t == nil {
				return 0, nil
			}
		}
		kept := b.Keep(mark[len(mark)-len(p.id)-len(p.routing):])
		p.id = kept[:len(p.id):len(p.id)]
		if len(p.routing) > 0 {
			p.routing = kept[len(p.id):]
		} else {
			p.routing = nil
		}
		r.delete(b, t, p, version)
		return 0, nil
	}
	if len(mark) == 0 || mark[0] != markRow {
		return 0, errMark
	}
	row, ok, err := rows.Get(r.Stored, mark[1:])
	if err != nil || !ok {
		return 0, err
	}
	return r.Row(s, rows, b, t, row, version)
}

// Row is Document for a row that was read already.
func (r *JoinedRenderer) Row(s *Scratch, rows rowstore.Reader, b *sinks.Batch, t *sinks.Target, row sources.Row, version int64) (due int64, err error) {
	defer rows.Forget()
	s.load(rows, r.root, row)
	defer s.unload()
	s.view.machine.SetNow(s.Now)
	matches, err := r.matches(s, row)
	if isStoreError(err) {
		return 0, err
	}
	due = s.view.machine.Due()
	if err != nil {
		return due, r.refused(s, b, t, row, version, err)
	}
	if !matches && r.Append {
		return due, nil
	}
	to, err := r.place(s, b, row)
	switch {
	case isStoreError(err):
		return due, err
	case err != nil && !matches:
		return due, nil // it has no name, so it had no document
	case err != nil:
		return due, r.refused(s, b, t, row, version, err)
	case !matches:
		r.delete(b, t, to, version)
		return due, nil
	}
	return due, r.index(s, b, t, row, to, version)
}

// load begins with a row of a scope.
func (s *Scratch) load(rows rowstore.Reader, at *scope, row sources.Row) *loaded {
	s.loader.begin(rows)
	s.row, s.at = row, s.loader.loaded(at, row)
	return s.at
}

func (s *Scratch) unload() {
	s.loader.rows, s.at = nil, nil
}

// A storeError is one of the row store, not of the document.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func isStoreError(err error) bool {
	if err == nil {
		return false
	}
	_, ok := errors.AsType[storeError](err)
	return ok
}

// String names the definition and its table, for messages.
func (r *JoinedRenderer) String() string { return fmt.Sprintf("%s from %s", r.Name, r.Stored) }
