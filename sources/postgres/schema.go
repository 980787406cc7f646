package postgres

import (
	"fmt"
	"slices"

	"haystream/sources"
)

// compareTables returns ErrSchemaChanged where a table differs from what was
// planned with; now is nil where the table is gone.
func compareTables(planned, now *sources.Table) error {
	if now == nil {
		return fmt.Errorf("%w: %s is gone", sources.ErrSchemaChanged, planned)
	}
	for i := range now.Columns {
		c := &now.Columns[i]
		at := planned.Column(c.Name)
		if at < 0 {
			return fmt.Errorf("%w: %s has the new column %s", sources.ErrSchemaChanged, now, c.Name)
		}
		was := &planned.Columns[at]
		if !sameType(&was.Type, &c.Type) || was.Type.SQL != c.Type.SQL {
			return fmt.Errorf("%w: %s.%s was %s and is %s", sources.ErrSchemaChanged, now, c.Name, was.Type.SQL, c.Type.SQL)
		}
	}
	for i := range planned.Columns {
		if now.Column(planned.Columns[i].Name) < 0 {
			return fmt.Errorf("%w: %s has no column %s any more", sources.ErrSchemaChanged, now, planned.Columns[i].Name)
		}
	}
	if !slices.Equal(columnNames(planned, planned.Key), columnNames(now, now.Key)) {
		return fmt.Errorf("%w: %s has another key", sources.ErrSchemaChanged, now)
	}
	return nil
}

func columnNames(t *sources.Table, columns []int) []string {
	names := make([]string, len(columns))
	for n, i := range columns {
		names[n] = t.Columns[i].Name
	}
	return names
}

// sameType compares what matters to a value's text. The SQL name is left out:
// the log gives types without their modifiers.
func sameType(a, b *sources.Type) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Size == b.Size && a.Unsigned == b.Unsigned &&
		a.Precision == b.Precision && a.Scale == b.Scale && sameType(a.Elem, b.Elem)
}
