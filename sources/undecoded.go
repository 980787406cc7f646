package sources

import "fmt"

// Undecoded notes that one change in the log has values that cannot be decoded, which
// are Missing in its images. They end no stream: all that was read of its table is
// stale, whatever columns it is of, and a query gives the rows. What foreign keys have
// done to rows of other tables is told by the rest of the images.
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

// Change is the change that was read, Stale where it has such values.
func (u *Undecoded) Change(c Change) Change {
	if u.first == nil {
		return c
	}
	c.Kind, c.Stale = Stale, &Staleness{Reason: "has a value in the log that cannot be decoded: " + u.first.Error()}
	*u = Undecoded{}
	return c
}
