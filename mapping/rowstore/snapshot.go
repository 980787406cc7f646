package rowstore

import "github.com/cockroachdb/pebble/v2"

// A Snapshot is the store as one commit left it. Old ones keep disk space in
// use: release them soon.
type Snapshot struct {
	reader
	of *pebble.Snapshot // nil in a fork
}

var _ Reader = (*Snapshot)(nil)

// Snapshot returns the store as the last commit left it.
func (s *Store) Snapshot() *Snapshot {
	of := s.db.NewSnapshot()
	return &Snapshot{reader: newReader(s, of), of: of}
}

// Fork returns a Reader of the same moment for another goroutine. It ends with
// the Snapshot that it is of.
func (n *Snapshot) Fork() *Snapshot {
	return &Snapshot{reader: newReader(n.store, n.from)}
}

// Release ends the Snapshot and all rows read from it; of a fork, only these.
func (n *Snapshot) Release() error {
	n.Forget()
	if n.of == nil {
		return nil
	}
	return n.of.Close()
}
