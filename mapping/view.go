package mapping

import (
	"fmt"

	"haystream/mapping/expression"
	"haystream/mapping/value"
	"haystream/sources"
)

// A view shows a row to templates and expressions: values by name. It is filled
// anew for each row with what is asked for.
type view struct {
	values  map[string]any
	machine expression.Machine
}

func newView() *view { return &view{values: map[string]any{}} }

// presence is in the values of every related row, so that a row of which
// nothing is read is still true as a condition. No template can spell it.
const presence = "="

// fill boxes what templates and expressions see of a row for a purpose, given
// as its number.
func (s *Scratch) fill(values map[string]any, at *scope, row sources.Row, loaded *loaded, p int) error {
	plan := &at.plan[p]
	for _, i := range plan.columns {
		c := at.column(i)
		if err := s.decodable(at.table, i, row); err != nil {
			return err
		}
		v, err := value.Box(&c.Type, row.Text(i))
		if err != nil {
			return fmt.Errorf("read column %s: %w", c.Name, err)
		}
		values[c.Name] = v
	}
	for _, i := range plan.children {
		v, err := s.boxRows(at, loaded, i, p)
		if err != nil {
			return err
		}
		values[at.children[i].relation.name] = v
	}
	for _, c := range plan.computed {
		start := len(s.computed)
		err := c.template.run(values, &s.computed)
		values[c.name] = string(s.computed[start:])
		s.computed = s.computed[:start]
		if err != nil {
			return fmt.Errorf("computed column %s: %w", c.name, err)
		}
	}
	return nil
}

// boxRows boxes the rows that a relation leads to: a list, or one row or NULL.
func (s *Scratch) boxRows(at *scope, loaded *loaded, i, p int) (any, error) {
	child := at.children[i]
	rows, err := s.related(at, loaded, i)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(rows))
	for _, r := range rows {
		values := map[string]any{presence: true}
		if err := s.fill(values, child, r.row, r, p); err != nil {
			return nil, err
		}
		list = append(list, values)
	}
	switch {
	case child.relation.many:
		return list, nil
	case len(list) == 0:
		return value.Null(nil), nil
	}
	return list[0], nil
}
