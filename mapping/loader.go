package mapping

import (
	"slices"

	"haystream/mapping/rowstore"
	"haystream/mapping/value"
	"haystream/sources"
)

// A loaded row, with the rows that its relations lead to as far as they were
// asked for.
type loaded struct {
	row     sources.Row
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
}

func newLoaded(at *scope, row sources.Row) *loaded {
	return &loaded{row: row, related: make([]relatedRows, len(at.children))}
}

// related returns the rows that a scope's child has for a row, in their order.
func (s *Scratch) related(at *scope, from *loaded, i int) ([]*loaded, error) {
	r := &from.related[i]
	if r.read {
		return r.rows, nil
	}
	child := at.children[i]
	add := func(row sources.Row) error { //nolint:unparam // as find wants it
		r.rows = append(r.rows, newLoaded(child, row))
		return nil
	}
	var err error
	if between := child.parent; between.between {
		err = s.loader.find(at, between, from.row, func(row sources.Row) error {
			return s.loader.find(between, child, row, add)
		})
	} else {
		err = s.loader.find(at, child, from.row, add)
	}
	if err != nil {
		return nil, storeError{err}
	}
	if child.relation.many {
		err = child.sort(r.rows)
	} else if len(r.rows) > 1 {
		r.rows = r.rows[:1]
	}
	r.read = true
	return r.rows, err
}

// find gives the rows of a scope that a row of the one above leads to.
func (l *loader) find(above, at *scope, row sources.Row, each func(sources.Row) error) error {
	value, null := rowstore.AppendKey(l.value[:0], above.layoutTable(), row, at.down.args)
	l.value = value
	if null {
		return nil
	}
	return at.down.rows(l.rows, value, nil, func(_ []byte, row sources.Row) (bool, error) {
		return at.relation.many, each(row)
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
			v, err := value.Box(&s.table.Columns[o.column].Type, r.row.Text(o.column))
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
