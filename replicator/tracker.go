package replicator

import (
	"sync"
	"time"

	"haystream/sources"
)

// A delivery is one piece of work on its way to the sink, and what becomes
// true once it and everything before it is held there.
type delivery struct {
	done bool

	checkpoint sources.Checkpoint // zero where the piece ends no transaction
	commit     time.Time
	chunk      *chunkProgress
	barrier    func() // called when the piece is reached, under the tracker's lock
}

// chunkProgress is the part of a table that a chunk brought.
type chunkProgress struct {
	scan *scan
	last sources.Key
	rows int64
	done bool
}

// A tracker finds the highest position with everything before it delivered.
// Pieces finish in any order; their effects happen in the order they were added.
type tracker struct {
	mu      sync.Mutex
	pending []*delivery
	effect  func(*delivery) // called in order, under the lock
}

func newTracker(effect func(*delivery)) *tracker {
	return &tracker{effect: effect}
}

// add registers the next piece in order.
func (t *tracker) add(d *delivery) {
	t.mu.Lock()
	t.pending = append(t.pending, d)
	t.mu.Unlock()
}

// finish says that the piece is held by the sink.
func (t *tracker) finish(d *delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.done = true
	t.advance()
}

// barrier calls reached once every piece added so far is held.
func (t *tracker) barrier(reached func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, &delivery{done: true, barrier: reached})
	t.advance()
}

// idle reports whether every piece added so far is held.
func (t *tracker) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending) == 0
}

// advance takes finished pieces off the front.
func (t *tracker) advance() {
	n := 0
	for n < len(t.pending) && t.pending[n].done {
		if d := t.pending[n]; d.barrier != nil {
			d.barrier()
		} else {
			t.effect(d)
		}
		n++
	}
	clear(t.pending[:n])
	t.pending = t.pending[n:]
}
