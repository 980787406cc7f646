package mapping

import (
	"bytes"
	"slices"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// Affected marks the documents that a change of a stored row can affect, and no
// others: only where a column that the definition uses there has changed. old
// and row are the row before and after, the zero Row for none. rows must not
// hold the change yet, since the places that documents leave are found in it.
//
// Where more than limit documents are found, the rest is returned as work to be
// continued; but for a change that moves documents to other places, all are marked at once.
// A mark is valid until the call of mark returns.
func (r *JoinedRenderer) Affected(s *Scratch, rows rowstore.Reader, t *rowstore.Table, old, row sources.Row, limit int, mark func(mark []byte) error) ([]*Work, error) {
	w := walker{renderer: r, scratch: s, rows: rows, left: limit, mark: mark}
	var work []*Work
	for n, at := range r.scopes {
		if at.layoutTable() != t {
			continue
		}
		changed := changes(at, old, row)
		if at.parent == nil {
			if err := w.root(t, old, row, changed); err != nil {
				return work, err
			}
			continue
		}
		if changed == 0 {
			continue
		}
		w.moved = changed&forName != 0 && !r.Append
		var before []byte
		for _, image := range []sources.Row{old, row} {
			if image.IsZero() {
				continue
			}
			value, null := rowstore.AppendKey(nil, t, image, at.up.args)
			if null || before != nil && bytes.Equal(value, before) {
				continue
			}
			switch shown, err := w.shown(at, image); {
			case err != nil:
				return work, err
			case !shown:
				continue
			}
			before = value
			next := &Work{scope: n, value: value}
			if !w.moved && w.left <= 0 {
				work = append(work, next)
				continue
			}
			more, err := w.up(next)
			if err != nil {
				return work, err
			}
			if more {
				work = append(work, next)
			}
		}
	}
	return work, nil
}

// NeedsOld reports whether Affected has to know what a row of the table was before: otherwise
// it may be given the zero Row, and marks the row's own document, whatever has changed.
func (r *JoinedRenderer) NeedsOld(t *rowstore.Table) bool {
	return slices.ContainsFunc(r.scopes, func(at *scope) bool {
		if at.layoutTable() != t {
			return false
		}
		for i, used := range at.used {
			if used&forName != 0 && !slices.Contains(t.Key, i) && (!r.Append || r.partition != nil) {
				return true
			}
		}
		return at.parent != nil
	})
}

// changes returns the purposes that a scope uses a changed column for.
func changes(at *scope, old, row sources.Row) purpose {
	var changed purpose
	for i, used := range at.used {
		if used != 0 && (old.IsZero() || row.IsZero() || old.Null(i) != row.Null(i) || !bytes.Equal(old.Text(i), row.Text(i))) {
			changed |= used
		}
	}
	if old.IsZero() != row.IsZero() && changed == 0 {
		changed = forFields
	}
	return changed
}

// A walker goes from a row up to the roots of the documents that it is part of.
type walker struct {
	renderer *JoinedRenderer
	scratch  *Scratch
	rows     rowstore.Reader
	left     int  // documents that may still be marked
	moved    bool // the change may move documents: nothing is left for later
	mark     func([]byte) error
	buffer   []byte
}

// root marks the document of a changed row of the definition's own table.
func (w *walker) root(t *rowstore.Table, old, row sources.Row, changed purpose) error {
	var before, after []byte
	if !old.IsZero() {
		before, _ = rowstore.AppendKey(nil, t, old, t.Key)
	}
	if !row.IsZero() {
		after, _ = rowstore.AppendKey(nil, t, row, t.Key)
	}
	rekeyed := before != nil && !bytes.Equal(before, after)
	if before != nil && (!w.renderer.Append || w.renderer.partition != nil) && (rekeyed || changed&forName != 0) {
		if err := w.leave(old, row); err != nil {
			return err
		}
	}
	if after == nil || changed == 0 && !rekeyed {
		return nil
	}
	w.left--
	return w.mark(w.renderer.Mark(nil, after))
}

// leave marks the place of a row's document, unless the row's new image has it too.
// Where documents stay, it is only left for another period.
func (w *walker) leave(old, row sources.Row) error {
	if w.renderer.Append && row.IsZero() {
		return nil
	}
	from, ok, err := w.placeOf(old)
	if err != nil || !ok {
		return err
	}
	if row.IsZero() {
		return w.mark(from)
	}
	to, ok, err := w.placeOf(row)
	if err != nil || ok && bytes.Equal(from, to) {
		return err
	}
	if w.renderer.Append {
		was, err := w.renderer.parsePlace(from)
		if err != nil || !ok {
			return err
		}
		is, err := w.renderer.parsePlace(to)
		if err != nil || !bytes.Equal(was.id, is.id) {
			return err // under the former id it stays
		}
	}
	return w.mark(from)
}

// placeOf is the mark of a row's place; ok is false where it has no name and
// so no document.
func (w *walker) placeOf(row sources.Row) (mark []byte, ok bool, err error) {
	s, r := w.scratch, w.renderer
	s.load(w.rows, r.root, row)
	defer s.unload()
	p, err := r.name(s, row)
	switch {
	case isStoreError(err):
		return nil, false, err
	case err != nil:
		return nil, false, nil
	}
	if r.partition != nil {
		p.period = r.partition.row(row)
	}
	return r.appendPlace(nil, p), true, nil
}

// reached marks a document that the walk has come to.
func (w *walker) reached(key []byte) error {
	if w.moved {
		row, ok, err := w.rows.Get(w.renderer.Stored, key)
		if err != nil || !ok {
			return err
		}
		if err := w.leave(row, sources.Row{}); err != nil {
			return err
		}
	}
	w.left--
	w.buffer = w.renderer.Mark(w.buffer[:0], key)
	return w.mark(w.buffer)
}

// up does work until it is done, or as many documents are marked as may be:
// then more is true, and the work is what is left of it.
func (w *walker) up(work *Work) (more bool, err error) {
	return w.level(work, w.renderer.scopes[work.scope], work.value, 0, true)
}

// level goes through the rows that lead to rows of a scope with a value. resumed: the
// work's cursor counts at this level.
func (w *walker) level(work *Work, at *scope, value []byte, depth int, resumed bool) (more bool, err error) {
	above := at.parent
	var after []byte
	if resumed && depth < len(work.cursor) {
		after = work.cursor[depth].done
	}
	within := resumed
	if !resumed || depth >= len(work.cursor) {
		within = false
	}
	// keyed: rows of an index are enough by their keys, which lead on or name documents.
	keyed := at.up.index >= 0 && (above.parent == nil || slices.Equal(above.up.args, above.layoutTable().Key))
	visit := func(key []byte, row sources.Row) (bool, error) {
		if w.left <= 0 && !w.moved {
			more = true
			return false, nil
		}
		if above.parent == nil {
			work.reach(depth, key, nil)
			return true, w.reached(key)
		}
		inside := within && bytes.Equal(work.cursor[depth].current, key)
		within = false
		if !inside {
			work.reach(depth, nil, key)
		}
		next, null := key, false
		if !keyed {
			next, null = rowstore.AppendKey(nil, above.layoutTable(), row, above.up.args)
		}
		if null {
			work.reach(depth, key, nil)
			return true, nil
		}
		left, err := w.level(work, above, next, depth+1, inside)
		if err != nil {
			return false, err
		}
		if left {
			more = true
			return false, nil
		}
		work.reach(depth, key, nil)
		return true, nil
	}
	switch {
	case keyed:
		err = at.up.keys(w.rows, value, after, func(key []byte) (bool, error) { return visit(key, sources.Row{}) })
	case above.parent != nil:
		err = at.up.links(w.rows, above.up.args, value, after, visit)
	case after == nil: // the value is a key; where there is no such row, there is no document
		_, err = visit(value, sources.Row{})
	}
	return more, err
}
