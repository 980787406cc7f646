package mapping

import (
	"slices"

	"haystream/sources"
)

// key returns the names of the columns that identify a row of the unit's
// table, or nil with a problem: a table whose changed rows cannot be told apart
// cannot be followed.
func (p *planner) key(u *unit, configured keyConfig) []string {
	t := u.table
	at, names := configured.path, configured.names
	if names == nil {
		at = u.path("table")
		for _, i := range t.Key {
			names = append(names, t.Columns[i].Name)
		}
	}
	unvalidated := slices.IndexFunc(t.Columns, func(c sources.Column) bool { return c.Unvalidated != "" })
	switch {
	case len(names) == 0 && u.schema.isUnsure(t):
		return nil // the key may be what was not understood
	case len(names) == 0 && unvalidated >= 0:
		c := &t.Columns[unvalidated]
		p.problems.add(at, "table %s has no key that the server vouches for: NOT NULL of its column %q is NOT VALID, so that old rows may hold NULL; %s, once they do not", t, c.Name, validate(t, c))
		return nil
	case len(names) == 0 && t.Identity != sources.IdentityFull:
		p.problems.add(at, "table %s has no primary key; add one, or run %s and name columns that are unique together under tables.%s.key", t, fullIdentity(t), configName(t))
		return nil
	case t.Identity == sources.IdentityNone:
		p.problems.add(at, "table %s has no replica identity, so the log does not say which row an update or delete meant; %s, or REPLICA IDENTITY USING INDEX with a unique index", t, fullIdentity(t))
		return nil
	case len(names) == 0:
		p.problems.add(at, "table %s has no primary key; name columns that are unique together under tables.%s.key", t, configName(t))
		return nil
	}
	for _, name := range names {
		i := t.Column(name)
		switch {
		case i < 0:
			return nil // reported for tables:
		case !t.CarriesOld(i):
			p.problems.add(at, "column %q of the key is outside the replica identity of table %s, so a deleted row could not be found; %s", name, t, fullIdentity(t))
			return nil
		case t.Columns[i].Type.Lossy:
			p.problems.add(at, "column %q of table %s is %s, of which different values may read the same, so that it cannot be part of a key; name other columns that are unique together under tables.%s.key", name, t, t.Columns[i].Type.SQL, configName(t))
			return nil
		case t.Columns[i].Unvalidated != "" && configured.names != nil:
			p.problems.add(at, "old rows of table %s may hold NULL in column %q, whose NOT NULL is NOT VALID, and so it cannot be part of a key; %s, once they do not", t, name, validate(t, &t.Columns[i]))
			return nil
		case !t.Columns[i].NotNull && configured.names != nil:
			p.problems.add(at, "column %q of table %s may be NULL and so cannot be part of a key; declare it NOT NULL", name, t)
			return nil
		}
	}
	return names
}

// validate is the statement that holds old rows to a column's NOT NULL.
func validate(t *sources.Table, c *sources.Column) string {
	return "ALTER TABLE " + sqlName(t) + " VALIDATE CONSTRAINT " + sqlIdentifier(c.Unvalidated)
}

// A keyConfig is a key that `tables:` gives.
type keyConfig struct {
	path   string
	names  []string
	broken bool // a name is no column's
}
