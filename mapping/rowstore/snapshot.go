package rowstore

import (
	"github.com/cockroachdb/pebble/v2"

	"haystream/sources"
)

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

// Fork returns a Reader of the same moment for another goroutine, which keeps rows
// in an arena. It is for much reading in a short time, and is released before the
// Snapshot that it is of.
func (n *Snapshot) Fork(rows *sources.Arena) *Snapshot {
	return &Snapshot{reader: reader{store: n.store, from: n.from, rows: rows, base: n.from}}
}

// Identity stands for what the Snapshot reads, which never changes. That of a fork is the same.
func (n *Snapshot) Identity() any { return n.from }

// Release ends the Snapshot and all rows read from it; of a fork, only these.
func (n *Snapshot) Release() error {
	n.Forget()
	if n.of == nil {
		return n.drop()
	}
	return n.of.Close()
}
