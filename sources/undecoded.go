package sources

import "fmt"

// Undecoded notes that one change in the log has values that cannot be decoded. They
// end no stream: the change is left out, so that all that was read of its table is
// stale, whatever columns it is of; a query gives the rows.
type Undecoded struct{ first error }

// Fail notes a value. What the catalog explains is returned.
func (u *Undecoded) Fail(column string, err error) error {
	err = fmt.Errorf("column %s: %w", column, err)
	if Known(err) {
		return err
	}
	if u.first == nil {
		u.first = err
	}
	return nil
}

// Settle turns a change with such values into one that says so, of the same Version.
func (u *Undecoded) Settle(c Change) Change {
	if u.first == nil {
		return c
	}
	why := &Staleness{Reason: "has a value in the log that cannot be decoded: " + u.first.Error()}
	*u = Undecoded{}
	return Change{Table: c.Table, Kind: Stale, Version: c.Version, Tx: c.Tx, Stale: why}
}
