package mapping

import "haystream/sources"

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
	switch {
	case t.Identity == sources.IdentityNone:
		p.problems.add(at, "table %s has no replica identity, so the log does not say which row an update or delete meant; %s, or REPLICA IDENTITY USING INDEX with a unique index", t, fullIdentity(t))
		return nil
	case len(names) == 0 && t.Identity != sources.IdentityFull:
		p.problems.add(at, "table %s has no primary key; add one, or run %s and name columns that are unique together under tables.%s.key", t, fullIdentity(t), configName(t))
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
		case !carriesOld(t, i):
			p.problems.add(at, "column %q of the key is outside the replica identity of table %s, so a deleted row could not be found; %s", name, t, fullIdentity(t))
			return nil
		case t.Columns[i].Type.Lossy:
			p.problems.add(at, "column %q of table %s is %s, of which different values may read the same, so that it cannot be part of a key; name other columns that are unique together under tables.%s.key", name, t, t.Columns[i].Type.SQL, configName(t))
			return nil
		case !t.Columns[i].NotNull && configured.names != nil:
			p.problems.add(at, "column %q of table %s may be NULL and so cannot be part of a key; ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", name, t, sqlName(t), sqlIdentifier(name))
			return nil
		}
	}
	return names
}

// A keyConfig is a key that `tables:` gives.
type keyConfig struct {
	path  string
	names []string
}
