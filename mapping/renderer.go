package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"haystream/mapping/expression"
	"haystream/mapping/template/django"
	"haystream/sinks"
	"haystream/sources"
)

// A Renderer turns the rows of one table into the documents of one definition.
type Renderer struct {
	Name   string         // the definition's
	Table  *sources.Table // projected; rows carry exactly its columns
	Append bool           // no document is ever removed

	// Nulled counts the values that became null because JSON or a date field
	// cannot hold them: NaN, Infinity, infinite dates.
	Nulled atomic.Int64

	// Expired counts the documents of periods that are not kept.
	Expired atomic.Int64

	root    *scope
	where   *condition // nil: every row has a document
	fields  []*docField
	needs   []int // columns of fields
	id      *documentName
	routing *documentName // nil for none

	partition *partitioning // nil where all documents are in one index
}

// A condition is a definition's `where`.
type condition struct {
	expression *expression.Expression
	columns    []int // that it reads
}

// A Scratch holds what rendering needs besides its input. One for each goroutine.
type Scratch struct {
	// Now is the current time for `where`, in microseconds since 1970.
	Now int64

	// Undecodable is asked about each value that is not UTF-8. Its error refuses the
	// document; else each byte that is not becomes U+FFFD. nil: that, without a word.
	Undecodable func(*UndecodableError) error

	row      sources.Row
	at       *loaded // the row with what its relations lead to; nil where it has none
	flat     loaded  // the row where it has none, for templates of Django's
	view     *view
	machine  django.Machine
	text     textBuffer
	computed textBuffer
	out      []byte // an id, routing or document until the batch keeps it
	nulled   int64

	loader loader
}

// NewScratch returns an empty Scratch.
func NewScratch() *Scratch {
	return &Scratch{view: newView()}
}

// An IncompleteError says that the log left out values that a definition uses.
type IncompleteError struct {
	Table   string
	Columns []string
}

// Error names the columns.
func (e *IncompleteError) Error() string {
	return fmt.Sprintf("the log left out the unchanged value of %s in a row of table %s", strings.Join(e.Columns, ", "), e.Table)
}

func isIncomplete(err error) bool {
	var incomplete *IncompleteError
	return errors.As(err, &incomplete)
}

// A place is where a row's document is, or would be.
type place struct {
	id, routing []byte
	known       bool
	period      Period // where documents come into indexes of their periods
	empty       bool   // the old image has no document there, for certain
}

// Row appends the document of an existing row, with the given version.
func (r *Renderer) Row(s *Scratch, b *sinks.Batch, t *sinks.Target, row sources.Row, version int64) error {
	_, _, err := r.row(s, b, t, row, version)
	return err
}

// RowAgain is Row where the index may have a document of an earlier state of the row, in whatever period: there is
// one afterwards.
func (r *Renderer) RowAgain(s *Scratch, b *sinks.Batch, t *sinks.Target, row sources.Row, version int64) error {
	at, placed, err := r.row(s, b, t, row, version)
	if err == nil && placed && r.partition != nil {
		r.leave(b, t, &sources.Change{After: row, Version: version}, at)
	}
	return err
}

// row is Row. It returns the place of the document; placed: there is one.
func (r *Renderer) row(s *Scratch, b *sinks.Batch, t *sinks.Target, row sources.Row, version int64) (to place, placed bool, err error) {
	matches, err := r.matches(s, row)
	if err == nil && !matches {
		return to, false, nil
	}
	if err == nil {
		to, err = r.place(s, b, row)
	}
	if err != nil {
		return to, false, r.refused(s, b, t, row, version, err)
	}
	return to, true, r.index(s, b, t, row, to, version)
}

// Change appends the actions that a change makes: none, one, or two where the
// document moves to another id or routing. A truncate is not for it. With an
// IncompleteError the document was not appended, only its delete at a place that the row
// has left; what cannot be rendered for another reason becomes an OpReject.
func (r *Renderer) Change(s *Scratch, b *sinks.Batch, t *sinks.Target, c *sources.Change) error {
	switch c.Kind {
	case sources.Insert:
		return r.Row(s, b, t, c.After, c.Version)
	case sources.Update:
		return r.update(s, b, t, c)
	case sources.Delete:
		return r.remove(s, b, t, c)
	}
	return nil
}

func (r *Renderer) remove(s *Scratch, b *sinks.Batch, t *sinks.Target, c *sources.Change) error {
	if r.Append {
		return nil
	}
	if c.Before.IsZero() {
		return fmt.Errorf("delete row of table %s: the log does not say which", r.Table)
	}
	from, err := r.oldPlace(s, b, c.Before)
	if err != nil || from.empty || !from.known {
		return err
	}
	r.delete(b, t, from, c.Version)
	return nil
}

// update empties the place that a row has left also where the rest of the row is not known.
func (r *Renderer) update(s *Scratch, b *sinks.Batch, t *sinks.Target, c *sources.Change) error {
	var from place
	var err error
	if !c.Before.IsZero() && !r.Append {
		if from, err = r.oldPlace(s, b, c.Before); err != nil {
			return err
		}
	}
	to, err := r.place(s, b, c.After)
	if err != nil {
		if from.known && !from.empty {
			r.delete(b, t, from, c.Version)
		}
		return r.refused(s, b, t, c.After, c.Version, err)
	}
	if !from.known {
		from.id, from.routing, from.known = to.id, to.routing, true
	}
	moved := !bytes.Equal(from.id, to.id) || !bytes.Equal(from.routing, to.routing)
	matches, err := r.matches(s, c.After)
	if (moved || err == nil && !matches) && !from.empty && !r.Append {
		r.delete(b, t, from, c.Version)
	}
	if err != nil {
		return r.refused(s, b, t, c.After, c.Version, err)
	}
	if matches {
		err = r.index(s, b, t, c.After, to, c.Version)
		if r.partition != nil && !c.After.Missing(r.partition.column) {
			r.leave(b, t, c, to)
		}
	}
	return err
}

// part is where a row's document goes: the index of its period where there are such. nil
// where that is not kept.
func (r *Renderer) part(b *sinks.Batch, t *sinks.Target, row sources.Row) *sinks.Target {
	if r.partition == nil {
		return t
	}
	return r.partition.Part(b, t, r.partition.row(row))
}

// leave deletes the document that an updated row had in another period; in every
// other one where the log does not say which.
func (r *Renderer) leave(b *sinks.Batch, t *sinks.Target, c *sources.Change, at place) {
	now := r.partition.row(c.After)
	if !c.Before.IsZero() && !c.Before.Missing(r.partition.column) {
		r.deleteIn(b, t, at, now, r.partition.row(c.Before), c.Version)
		return
	}
	for _, other := range t.All() {
		if n, ok := r.partition.Parse(other.Period); ok {
			r.deleteIn(b, t, at, now, n, c.Version)
		}
	}
}

// deleteIn deletes a document in a period, unless it is there now.
func (r *Renderer) deleteIn(b *sinks.Batch, t *sinks.Target, at place, now, n Period, version int64) {
	if n == now {
		return
	}
	if from := r.partition.Part(b, t, n); from != nil {
		r.delete(b, from, at, version)
	}
}

// oldPlace is where the old image's document is. It is not known where the
// old image's name cannot be rendered: it had no document then.
func (r *Renderer) oldPlace(s *Scratch, b *sinks.Batch, before sources.Row) (place, error) {
	p, err := r.place(s, b, before)
	if err != nil {
		if isIncomplete(err) {
			return p, err
		}
		return place{empty: true}, nil
	}
	if r.where != nil && r.complete(before, r.where.columns) == nil {
		matched, err := r.matches(s, before)
		p.empty = err == nil && !matched
	}
	return p, nil
}

// place renders the id and routing of a row.
func (r *Renderer) place(s *Scratch, b *sinks.Batch, row sources.Row) (place, error) {
	p, err := r.name(s, row)
	if err != nil {
		return p, err
	}
	end := len(p.id)
	kept := b.Keep(s.out)
	p.id, p.routing = kept[:end:end], nil
	if len(kept) > end {
		p.routing = kept[end:]
	}
	return p, nil
}

// name is place, of bytes that are the scratch's.
func (r *Renderer) name(s *Scratch, row sources.Row) (place, error) {
	if err := r.complete(row, r.id.columns); err != nil {
		return place{}, err
	}
	out, err := r.id.append(s.out[:0], s, r.Table, row)
	if err != nil {
		return place{}, fmt.Errorf("id: %w", err)
	}
	end := len(out)
	if r.routing != nil {
		if err := r.complete(row, r.routing.columns); err != nil {
			return place{}, err
		}
		if out, err = r.routing.append(out, s, r.Table, row); err != nil {
			return place{}, fmt.Errorf("routing: %w", err)
		}
	}
	s.out = out
	return place{id: out[:end:end], routing: out[end:], known: true}, nil
}

// matches reports whether a row has a document.
func (r *Renderer) matches(s *Scratch, row sources.Row) (bool, error) {
	if r.where == nil {
		return true, nil
	}
	if err := r.complete(row, r.where.columns); err != nil {
		return false, err
	}
	if err := s.fill(s.view.values, r.root, row, s.at, whereNumber); err != nil {
		return false, err
	}
	ok, err := s.view.machine.Matches(r.where.expression, s.view.values)
	if err != nil {
		return false, fmt.Errorf("where: %w", err)
	}
	return ok, nil
}

// index appends the row's document.
func (r *Renderer) index(s *Scratch, b *sinks.Batch, t *sinks.Target, row sources.Row, to place, version int64) error {
	if err := r.complete(row, r.needs); err != nil {
		return err
	}
	if t = r.part(b, t, row); t == nil {
		r.Expired.Add(1)
		return nil
	}
	s.row, s.nulled = row, 0
	err := s.fill(s.view.values, r.root, row, s.at, fieldsNumber)
	body := s.out[:0]
	if err == nil {
		body, err = appendFields(body, r.fields, s)
	}
	if isStoreError(err) {
		return err
	}
	if err != nil {
		s.shrink()
		r.reject(b, t, to, version, err)
		return nil
	}
	if s.nulled > 0 {
		r.Nulled.Add(s.nulled)
	}
	s.out = body
	b.Actions = append(b.Actions, sinks.Action{Target: t, Op: sinks.OpIndex, Version: version, ID: to.id, Routing: to.routing, Body: s.keep(b)})
	s.shrink()
	return nil
}

// maxKept is the largest buffer that is kept for the next row: large rows are
// rare, and there is a Scratch for each core.
const maxKept = 256 << 10

// keep hands what is in out to the batch.
func (s *Scratch) keep(b *sinks.Batch) []byte {
	if cap(s.out) <= maxKept {
		return b.Keep(s.out)
	}
	body := b.Adopt(s.out)
	s.out = nil
	return body
}

// shrink drops large buffers.
func (s *Scratch) shrink() {
	if cap(s.text) > maxKept {
		s.text = nil
	}
	if cap(s.computed) > maxKept {
		s.computed = nil
	}
}

func (r *Renderer) delete(b *sinks.Batch, t *sinks.Target, from place, version int64) {
	b.Actions = append(b.Actions, sinks.Action{Target: t, Op: sinks.OpDelete, Version: version, ID: from.id, Routing: from.routing})
}

// refused makes a rejected document of a row that has no id or no answer to
// `where`, under the id that it has or its key; an IncompleteError is passed on.
func (r *Renderer) refused(s *Scratch, b *sinks.Batch, t *sinks.Target, row sources.Row, version int64, reason error) error {
	if isIncomplete(reason) {
		return reason
	}
	if r.partition != nil && !row.Missing(r.partition.column) {
		if t = r.part(b, t, row); t == nil {
			r.Expired.Add(1)
			return nil
		}
	}
	to, err := r.place(s, b, row)
	if err != nil {
		key := documentName{key: r.Table.Key, escaped: len(r.Table.Key) > 1, what: "id", longest: r.id.longest, uuids: r.id.uuids}
		id, err := key.append(s.out[:0], s, r.Table, row)
		if err != nil {
			return fmt.Errorf("name rejected row: %w", err)
		}
		s.out = id
		to = place{id: b.Keep(id)}
	}
	r.reject(b, t, to, version, reason)
	return nil
}

// reject appends a document that could not be rendered, with the reason.
func (r *Renderer) reject(b *sinks.Batch, t *sinks.Target, to place, version int64, reason error) {
	b.Actions = append(b.Actions, sinks.Action{
		Target: t, Op: sinks.OpReject, Version: version, ID: to.id, Routing: to.routing, Body: b.Keep([]byte(reason.Error())),
	})
}

// complete returns an IncompleteError where one of the columns is Missing.
func (r *Renderer) complete(row sources.Row, columns []int) error {
	if slices.ContainsFunc(columns, row.Missing) {
		return r.incomplete(row)
	}
	return nil
}

// incomplete names every Missing column that the definition uses.
func (r *Renderer) incomplete(row sources.Row) error {
	e := &IncompleteError{Table: r.Table.String()}
	for i := range r.Table.Columns {
		if row.Missing(i) && r.uses(i) {
			e.Columns = append(e.Columns, r.Table.Columns[i].Name)
		}
	}
	return e
}

func (r *Renderer) uses(i int) bool {
	return slices.Contains(r.needs, i) || slices.Contains(r.id.columns, i) ||
		r.where != nil && slices.Contains(r.where.columns, i) ||
		r.routing != nil && slices.Contains(r.routing.columns, i)
}
