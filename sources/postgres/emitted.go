package postgres

import (
	"slices"
	"sync"
)

// pruneAfter is how many ids are kept before the server is asked which of
// them are needed no more.
const pruneAfter = 1 << 16

// emittedIDs keeps the ids of transactions that the stream has emitted while
// they may be invisible yet: a commit is in the log, even streamed, before new
// snapshots see it, by any length of time where it waits for a standby.
// Ids are 64 bits wide, as in pg_snapshot.
type emittedIDs struct {
	mu     sync.Mutex
	ids    []uint64 // in commit order
	prune  int      // length at which to prune
	latest uint64   // the highest id known
}

// widen notes an id that the server gave in 64 bits.
func (e *emittedIDs) widen(id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.latest = max(e.latest, id)
}

// add widens an id of the log, keeps it, and reports whether it is time to
// prune. All ids in use are within 2^31 of each other.
func (e *emittedIDs) add(xid uint32) (id uint64, due bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id = widenID(xid, e.latest)
	e.latest = max(e.latest, id)
	e.ids = append(e.ids, id)
	return id, len(e.ids) >= max(e.prune, pruneAfter)
}

func widenID(xid uint32, near uint64) uint64 {
	return near + uint64(int64(int32(xid-uint32(near))))
}

// below forgets the ids that every snapshot sees from now on.
func (e *emittedIDs) below(xmin uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids = slices.DeleteFunc(e.ids, func(id uint64) bool { return id < xmin })
	e.prune = 2 * len(e.ids)
}

// all returns a copy of the ids kept.
func (e *emittedIDs) all() []uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ids)
}

func (e *emittedIDs) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids, e.latest = nil, 0
}
