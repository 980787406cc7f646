package sources

import (
	"fmt"
	"slices"
)

// Compare returns ErrSchemaChanged where a table differs from what was planned
// with; now is nil where the table is gone.
func Compare(planned, now *Table) error {
	if now == nil {
		return fmt.Errorf("%w: %s is gone", ErrSchemaChanged, planned)
	}
	for i := range now.Columns {
		c := &now.Columns[i]
		at := planned.Column(c.Name)
		if at < 0 {
			return fmt.Errorf("%w: %s has the new column %s", ErrSchemaChanged, now, c.Name)
		}
		was := &planned.Columns[at]
		if !SameType(&was.Type, &c.Type) || was.Type.SQL != c.Type.SQL {
			return fmt.Errorf("%w: %s.%s was %s and is %s", ErrSchemaChanged, now, c.Name, was.Type.SQL, c.Type.SQL)
		}
	}
	for i := range planned.Columns {
		if now.Column(planned.Columns[i].Name) < 0 {
			return fmt.Errorf("%w: %s has no column %s any more", ErrSchemaChanged, now, planned.Columns[i].Name)
		}
	}
	if !slices.EqualFunc(planned.ForeignKeys, now.ForeignKeys, sameForeignKey) {
		return fmt.Errorf("%w: %s has other foreign keys", ErrSchemaChanged, now)
	}
	if !planned.Fingerprint.Equal(now.Fingerprint) {
		for _, stale := range now.Fingerprint.Since(planned.Fingerprint) {
			return fmt.Errorf("%w: %s %s", ErrSchemaChanged, now, stale.Reason)
		}
		for id, name := range now.Fingerprint.Parts {
			if _, known := planned.Fingerprint.Parts[id]; !known {
				return fmt.Errorf("%w: %s has the new partition %s", ErrSchemaChanged, now, name)
			}
		}
		return fmt.Errorf("%w: %s has changed, though not its rows", ErrSchemaChanged, now)
	}
	if !slices.Equal(planned.Names(planned.Key), now.Names(now.Key)) {
		return fmt.Errorf("%w: %s has another key", ErrSchemaChanged, now)
	}
	if !now.carries(planned) {
		return fmt.Errorf("%w: the log has less of the old rows of %s", ErrSchemaChanged, now)
	}
	return nil
}

// carries reports whether the log has as much of old rows as of another table's.
func (t *Table) carries(other *Table) bool {
	if t.Identity != IdentityKey || other.Identity != IdentityKey {
		return t.Identity >= other.Identity
	}
	has := t.Names(t.IdentityColumns)
	return !slices.ContainsFunc(other.Names(other.IdentityColumns), func(name string) bool { return !slices.Contains(has, name) })
}

func sameForeignKey(a, b ForeignKey) bool {
	return a.Name == b.Name && a.Schema == b.Schema && a.Table == b.Table && a.OnDelete == b.OnDelete && a.OnUpdate == b.OnUpdate &&
		a.Unlogged == b.Unlogged && slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Targets, b.Targets)
}

// Names are those of the given columns.
func (t *Table) Names(columns []int) []string {
	names := make([]string, len(columns))
	for n, i := range columns {
		names[n] = t.Columns[i].Name
	}
	return names
}

// SameType compares what matters to a value's text. The SQL name is left out:
// the log gives types without their modifiers.
func SameType(a, b *Type) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Size == b.Size && a.Unsigned == b.Unsigned &&
		a.Precision == b.Precision && a.Scale == b.Scale && SameType(a.Elem, b.Elem)
}
