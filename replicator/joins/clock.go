package joins

import (
	"fmt"
	"sync"
	"time"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// How much of a batch of the store is kept in memory.
const (
	spillBytes = 1 << 20
	spillMarks = 10_000 // documents that it makes dirty
)

// versionStep is how far apart the versions of two commits are at least: between them is that of deletes.
const versionStep = 2

// left is the version of the delete at a place that a row has left in the commit of a version. It is above that of
// the document there, below that of one which a row has that takes the place, and the same when it is sent again.
func left(commit int64) int64 { return commit - 1 }

// unsynced is more than versions grow by, one for each commit, from one sync of the store to the next that must come
// before anything else is sent.
const unsynced = int64(15 * time.Second / time.Microsecond)

// A clock gives each commit of the store its version. What is rendered from a
// snapshot of the store carries the version of the last commit that it has.
type clock struct {
	store    *rowstore.Store
	position sources.Position // of the last whole batch; owned by the apply loop

	mu      sync.Mutex
	version int64 // of the batch under way, or of the last one
	visible int64 // of the last commit
}

func newClock(store *rowstore.Store, version int64, now time.Time) *clock {
	position, stored := store.Position()
	// Later than what a power cut may have taken: documents of that were sent. Versions are ahead of the machine's
	// clock where the numbering has jumped, or the source's clock is ahead.
	version = max(max(version, stored)+unsynced, now.UnixMicro())
	return &clock{store: store, position: position, version: version, visible: version}
}

// begin gives the batch that is begun its version.
func (c *clock) begin(applied int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = max(c.version+versionStep, applied)
}

// commit makes the batch visible, and its version with it. spill: a part of it that
// is too large for memory, and goes on with the rest.
func (c *clock) commit(b *rowstore.Batch, spill bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.SetPosition(c.position, c.version)
	commit := func() error { return b.Commit(false) }
	if spill {
		commit = b.Spill
	}
	if err := commit(); err != nil {
		return fmt.Errorf("write row store: %w", err)
	}
	c.visible = c.version
	if spill {
		c.version += versionStep
	}
	return nil
}

// snapshot is the store as the last commit has left it, with that one's version.
func (c *clock) snapshot() (*rowstore.Snapshot, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store.Snapshot(), c.visible
}

// now is the version of the last commit.
func (c *clock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.visible
}
