package mapping

import (
	"fmt"
	"slices"

	"haystream/mapping/expression"
	"haystream/sources"
)

// throughName is the row in between in a relation's `where` and `order_by`.
const throughName = "through"

// A filter is the condition of the relation that leads to a scope.
type filter struct {
	expression *expression.Expression
	through    bool    // it reads the row in between
	compiled   purpose // what for
	err        error
}

// useFilter compiles the relation's condition, and notes what it reads as used
// for all that follows the relation. Its mistakes are told where it is declared.
func (s *scope) useFilter() {
	r, t := s.relation, s.tree
	if r.where == "" {
		return
	}
	if slices.Contains(t.filtering, r) {
		t.schema.endless[r] = true
		return
	}
	if s.filter == nil {
		s.filter = &filter{}
	}
	f, wanted := s.filter, s.purposes()
	if f.compiled&wanted == wanted {
		return
	}
	f.compiled |= wanted
	purpose, reached := t.purpose, t.reached
	t.purpose, t.reached, t.filtering = forFilter, wanted, append(t.filtering, r)
	f.expression, f.err = expression.CompileFilter(r.where, filterScope{s})
	t.purpose, t.reached, t.filtering = purpose, reached, t.filtering[:len(t.filtering)-1]
}

// A filterScope is what names mean in the condition of a relation: the columns and
// relations of the row that is led to, and the row in between.
type filterScope struct{ *scope }

func (s filterScope) isThrough(name string) bool {
	return name == throughName && s.via() != nil && !s.scope.Has(name)
}

// Has reports whether a name has a meaning here.
func (s filterScope) Has(name string) bool { return s.isThrough(name) || s.scope.Has(name) }

// Member looks a name up, and notes that the condition reads it.
func (s filterScope) Member(name string) (expression.Member, error) {
	if !s.isThrough(name) {
		return s.scope.Member(name)
	}
	s.filter.through = true
	return expression.Member{Type: expression.ObjectType, Rows: expression.Rows{Scope: s.via()}}, nil
}

// filtered keeps the rows that meet the condition of their relation.
func (s *Scratch) filtered(at *scope, rows []*loaded) ([]*loaded, error) {
	kept := rows[:0]
	for _, r := range rows {
		ok, err := s.passes(at, r)
		if err != nil {
			return nil, fmt.Errorf("where of relation %s: %w", at.relation.name, err)
		}
		if ok {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// passes reports whether a row meets the condition of the relation that leads to it.
func (s *Scratch) passes(at *scope, r *loaded) (bool, error) {
	values := map[string]any{}
	if at.filter.through {
		between := map[string]any{presence: true}
		if err := s.fill(between, at.via(), r.via.row, r.via, filterNumber); err != nil {
			return false, err
		}
		values[throughName] = between
	}
	if err := s.fill(values, at, r.row, r, filterNumber); err != nil {
		return false, err
	}
	return s.view.machine.Matches(at.filter.expression, values)
}

// shown reports whether a row, in one of its images, may be among those that a
// relation leads to. What cannot be told is taken for one.
func (w *walker) shown(at *scope, image sources.Row) (bool, error) {
	s := w.scratch
	var candidates []*loaded
	to := at
	if at.between {
		to = at.children[0]
	}
	switch {
	case to.filter == nil, to == at && to.filter.through:
		return true, nil
	case to.readsAlso(at): // the row itself may be there, and is not yet as it will be
		return true, nil
	case slices.ContainsFunc(at.columnsFor(forFilter), image.Missing):
		return true, nil
	}
	from := s.load(w.rows, at, image)
	defer s.unload()
	if to == at {
		candidates = append(candidates, from)
	} else {
		err := s.loader.find(at, to, image, func(row sources.Row) error {
			r := s.loader.loaded(to, row)
			r.via = from
			candidates = append(candidates, r)
			return nil
		})
		if err != nil {
			return true, err
		}
	}
	for _, r := range candidates {
		ok, err := s.passes(to, r)
		if isStoreError(err) {
			return true, err
		}
		if ok || err != nil {
			return true, nil
		}
	}
	return false, nil
}

// readsAlso reports whether the condition of the relation that leads here can read
// rows of another scope's table elsewhere than there.
func (s *scope) readsAlso(other *scope) bool {
	found := false
	top := s
	if via := s.via(); via != nil {
		top = via
	}
	top.all(func(c *scope) {
		found = found || c != other && c.source == other.source && (c == s || len(c.columnsFor(forFilter)) > 0)
	})
	return found
}
