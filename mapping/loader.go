package mapping

import (
	"encoding/binary"
	"slices"

	"haystream/mapping/rowstore"
	"haystream/mapping/value"
	"haystream/sources"
)

// A loaded row, with the rows that its relations lead to as far as they were
// asked for.
type loaded struct {
	row     sources.Row
	via     *loaded       // the row in between that has led to it; nil for none
	related []relatedRows // by child of its scope
}

type relatedRows struct {
	rows []*loaded
	read bool
}

// A loader reads a document's rows from the row store. Rows are valid until the
// document is rendered.
type loader struct {
	rows  rowstore.Reader
	value []byte
	pool  []*loaded // the first ones are in use
	used  int

	// Rows that were read by key from one snapshot: documents have many in common.
	snapshot any
	shared   map[string]sources.Row // by table and key; the zero Row: there is none
	arena    sources.Arena          // of them
	key      []byte
}

// begin is called before a document's rows are read.
func (l *loader) begin(rows rowstore.Reader) {
	l.rows, l.used = rows, 0
	if len(l.pool) > pooled {
		l.pool = nil
	}
	var snapshot any
	if s, ok := rows.(*rowstore.Snapshot); ok {
		snapshot = s.Identity()
	}
	if snapshot == nil || snapshot != l.snapshot || l.arena.Size() > sharedBytes {
		l.snapshot = snapshot
		clear(l.shared)
		l.arena.Reset()
	}
}

// loaded takes a row of a scope.
func (l *loader) loaded(at *scope, row sources.Row) *loaded {
	if l.used == len(l.pool) {
		l.pool = append(l.pool, &loaded{})
	}
	r := l.pool[l.used]
	l.used++
	r.row, r.via = row, nil
	r.related = slices.Grow(r.related[:0], len(at.children))[:len(at.children)]
	for i := range r.related {
		r.related[i].rows, r.related[i].read = r.related[i].rows[:0], false
	}
	return r
}

// What is kept for the next document, of its rows and of those that were read by key.
const (
	pooled      = 1 << 12 // rows
	sharedBytes = 1 << 20
	sharedRow   = 4 << 10 // bytes; larger ones are read again
)

// get returns the row with a key, which is valid until the document is rendered.
func (l *loader) get(t *rowstore.Table, key []byte) (sources.Row, error) {
	l.key = append(binary.BigEndian.AppendUint32(l.key[:0], uint32(t.Ordinal)), key...)
	row, ok := l.shared[string(l.key)]
	if ok {
		return row, nil
	}
	row, _, err := l.rows.Get(t, key)
	if err != nil || l.snapshot == nil || row.Size() > sharedRow || l.arena.Size() > sharedBytes {
		return row, err
	}
	if !row.IsZero() {
		row = rowstore.Merge(&l.arena, sources.Row{}, row)
	}
	if l.shared == nil {
		l.shared = map[string]sources.Row{}
	}
	l.shared[string(l.key)] = row
	return row, nil
}

// related returns the rows that a scope's child has for a row, in their order.
func (s *Scratch) related(at *scope, from *loaded, i int) ([]*loaded, error) {
	r := &from.related[i]
	if r.read {
		return r.rows, nil
	}
	child := at.children[i]
	rows, err := s.found(at, child, from, r.rows[:0])
	if err != nil {
		return nil, storeError{err}
	}
	if child.filter != nil {
		if rows, err = s.filtered(child, rows); err != nil {
			return nil, err
		}
	}
	if err = child.sort(rows); err != nil {
		return nil, err
	}
	if child.relation.distinct {
		rows = child.distinct(rows)
	}
	most := child.relation.limit
	if !child.relation.many {
		most = 1
	}
	if most > 0 && len(rows) > most {
		rows = rows[:most]
	}
	r.rows, r.read = rows, true
	return rows, nil
}

// found appends the rows that a row leads to, with the ones in between.
func (s *Scratch) found(at, child *scope, from *loaded, into []*loaded) (rows []*loaded, err error) {
	rows = into
	via := child.via()
	if via == nil {
		err = s.loader.find(at, child, from.row, func(row sources.Row) error {
			rows = append(rows, s.loader.loaded(child, row))
			return nil
		})
		return rows, err
	}
	err = s.loader.find(at, via, from.row, func(row sources.Row) error {
		between := s.loader.loaded(via, row)
		return s.loader.find(via, child, row, func(row sources.Row) error {
			to := s.loader.loaded(child, row)
			to.via = between
			rows = append(rows, to)
			return nil
		})
	})
	return rows, err
}

// find gives the rows of a scope that a row of the one above leads to.
func (l *loader) find(above, at *scope, row sources.Row, each func(sources.Row) error) error {
	value, null := rowstore.AppendKey(l.value[:0], above.layoutTable(), row, at.down.args)
	l.value = value
	if null {
		return nil
	}
	if at.down.index < 0 {
		row, err := l.get(at.down.table, value)
		if err != nil || row.IsZero() {
			return err
		}
		return each(row)
	}
	return at.down.rows(l.rows, value, nil, func(_ []byte, row sources.Row) (bool, error) {
		return true, each(row)
	})
}

// rows gives the rows with a value, after a key.
func (u *lookup) rows(r rowstore.Reader, value, after []byte, each func(key []byte, row sources.Row) (bool, error)) error {
	if u.index >= 0 {
		return r.Scan(u.table, u.index, value, after, each)
	}
	if after != nil {
		return nil
	}
	value = slices.Clone(value) // each may look further
	row, ok, err := r.Get(u.table, value)
	if err != nil || !ok {
		return err
	}
	_, err = each(value, row)
	return err
}

// links is rows for what needs some columns only, which lead on to other rows; others may be Missing.
func (u *lookup) links(r rowstore.Reader, columns []int, value, after []byte, each func(key []byte, row sources.Row) (bool, error)) error {
	if u.index >= 0 {
		return r.Links(u.table, u.index, columns, value, after, each)
	}
	return u.rows(r, value, after, each)
}

// keys gives the keys of the rows with a value, after a key.
func (u *lookup) keys(r rowstore.Reader, value, after []byte, each func(key []byte) (bool, error)) error {
	if u.index >= 0 {
		return r.Keys(u.table, u.index, value, after, each)
	}
	return u.rows(r, value, after, func(key []byte, _ sources.Row) (bool, error) { return each(key) })
}

// sort puts rows in order: NULL last, ties by key.
func (s *scope) sort(rows []*loaded) error {
	if len(rows) < 2 {
		return nil
	}
	type entry struct {
		row    *loaded
		values []any
	}
	entries := make([]entry, len(rows))
	for n, r := range rows {
		values := make([]any, len(s.order))
		for i, o := range s.order {
			t, row := s.table, r.row
			if o.between {
				t, row = s.via().table, r.via.row
			}
			v, err := value.Box(&t.Columns[o.column].Type, row.Text(o.column))
			if err != nil {
				return err
			}
			values[i] = v
		}
		entries[n] = entry{r, values}
	}
	var failed error
	slices.SortStableFunc(entries, func(a, b entry) int {
		for i, o := range s.order {
			c, err := compareNullable(a.values[i], b.values[i], o.reverse)
			if err != nil {
				failed = err
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	for n := range entries {
		rows[n] = entries[n].row
	}
	return failed
}

// distinct keeps the first of the rows with one key.
func (s *scope) distinct(rows []*loaded) []*loaded {
	t, seen := s.layoutTable(), map[string]bool{}
	return slices.DeleteFunc(rows, func(r *loaded) bool {
		key, _ := rowstore.AppendKey(nil, t, r.row, t.Key)
		again := seen[string(key)]
		seen[string(key)] = true
		return again
	})
}

func compareNullable(a, b any, reverse bool) (int, error) {
	switch {
	case value.IsNull(a) && value.IsNull(b):
		return 0, nil
	case value.IsNull(a):
		return 1, nil
	case value.IsNull(b):
		return -1, nil
	}
	c, err := value.Compare(a, b)
	if reverse {
		c = -c
	}
	return c, err
}

// layoutTable is the scope's table in the row store.
func (s *scope) layoutTable() *rowstore.Table { return s.tree.stored[s.source] }
