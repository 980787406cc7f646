package mapping

import (
	"fmt"
	"time"

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
	return s.fillBefore(len(at.computed), values, at, row, loaded, p)
}

// fillBefore is fill with those computed columns only that have their places before
// the given one.
func (s *Scratch) fillBefore(place int, values map[string]any, at *scope, row sources.Row, loaded *loaded, p int) error {
	plan := &at.plan[p]
	zone := at.zone()
	for _, i := range plan.columns {
		c := at.column(i)
		if err := s.decodable(at.table, i, row); err != nil {
			return err
		}
		text := row.Text(i)
		if at.tree != nil && at.tree.uuids && text != nil && isHexUUID(&c.Type) {
			text = appendUUID(nil, text)
		}
		v, err := value.Box(&c.Type, text)
		if err != nil {
			return fmt.Errorf("read column %s: %w", c.Name, err)
		}
		if t, ok := v.(value.Time); ok && zone != time.UTC {
			v = value.InZone(t, zone)
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
		if c.place >= place {
			break
		}
		if c.choices != nil {
			v, err := c.label(at, row)
			if err != nil {
				return err
			}
			values[c.name] = v
			continue
		}
		text, err := s.computeFrom(c, s.here(row, loaded), values)
		if err != nil {
			return err
		}
		values[c.name] = text
	}
	return nil
}

// here is a row with what its relations lead to; one that has none is held in s.
func (s *Scratch) here(row sources.Row, at *loaded) *loaded {
	if at == nil {
		at = &s.flat
		at.row = row
	}
	return at
}

// label is what a row's value is called: itself where it has no name.
func (c *computedColumn) label(at *scope, row sources.Row) (any, error) {
	text := row.Text(c.column)
	if label, ok := c.choices[string(text)]; ok && text != nil {
		return label, nil
	}
	v, err := value.Box(&at.column(c.column).Type, text)
	if err != nil {
		err = fmt.Errorf("read column %s: %w", at.column(c.column).Name, err)
	}
	return v, err
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
