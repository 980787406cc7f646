package sources

import (
	"fmt"
	"slices"
)

// Undecoded gathers the values of one change in the log that cannot be decoded. They
// end no stream: what was read of their columns is stale, and a query gives them.
type Undecoded struct {
	columns []string
	first   error
}

// Fail notes a value. What the catalog explains is returned.
func (u *Undecoded) Fail(column string, err error) error {
	err = fmt.Errorf("column %s: %w", column, err)
	if Known(err) {
		return err
	}
	if u.first == nil {
		u.first = err
	}
	if !slices.Contains(u.columns, column) {
		u.columns = append(u.columns, column)
	}
	return nil
}

// Settle turns a change with such values into one that says so, of the same Version.
func (u *Undecoded) Settle(c Change) Change {
	if u.first == nil {
		return c
	}
	why := &Staleness{Columns: u.columns, Reason: "has a value in the log that cannot be decoded: " + u.first.Error()}
	*u = Undecoded{}
	return Change{Table: c.Table, Kind: Stale, Version: c.Version, Tx: c.Tx, Stale: why}
}
