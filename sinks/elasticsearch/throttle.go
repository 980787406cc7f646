package elasticsearch

import (
	"context"
	"math/bits"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A throttle says how many lanes may send at a time and how large a request
// may be. Each refusal for overload takes it one level down: half the lanes,
// and when one is left, half the size. A run of good answers takes it up again.
type throttle struct {
	lanes int64
	slots *semaphore.Weighted

	mu    sync.Mutex
	level int
	good  int // answers since the level last changed
	bytes int // of a request at level 0
}

const (
	recovery     = 32       // good answers before the next level up
	leastRequest = 64 << 10 // bytes
)

// A pass allows one request.
type pass struct {
	slots int64
	level int
}

func newThrottle(lanes, bytes int) *throttle {
	return &throttle{lanes: int64(lanes), slots: semaphore.NewWeighted(int64(lanes)), bytes: bytes}
}

// enter waits for leave to send. A pass at a lower level takes more of the
// slots, so that fewer fit.
func (t *throttle) enter(ctx context.Context) (pass, error) {
	t.mu.Lock()
	p := pass{slots: min(1<<min(t.level, 30), t.lanes), level: t.level}
	t.mu.Unlock()
	return p, t.slots.Acquire(ctx, p.slots)
}

// enterAlone waits until no other request is under way.
func (t *throttle) enterAlone(ctx context.Context) (pass, error) {
	t.mu.Lock()
	p := pass{slots: t.lanes, level: t.level}
	t.mu.Unlock()
	return p, t.slots.Acquire(ctx, p.slots)
}

// leave ends a request. Of requests that were refused together only the first
// takes the level down.
func (t *throttle) leave(p pass, refused bool) {
	t.slots.Release(p.slots)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case refused && p.level == t.level:
		t.level, t.good = min(t.level+1, t.lowest()), 0
	case !refused && t.level > 0:
		if t.good++; t.good == recovery {
			t.level, t.good = t.level-1, 0
		}
	}
}

// halvings is how many levels halve the lanes before the size is halved.
func (t *throttle) halvings() int { return bits.Len64(uint64(t.lanes - 1)) }

func (t *throttle) lowest() int {
	n := t.halvings()
	for size := t.bytes; size > leastRequest; size /= 2 {
		n++
	}
	return n
}

// size is the largest request to send now, in bytes.
func (t *throttle) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes >> max(0, t.level-t.halvings())
}

// tooLarge learns that the server takes no request of this size, and reports
// whether that is news.
func (t *throttle) tooLarge(size int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	smaller := max(size/2, leastRequest)
	if smaller >= t.bytes {
		return false
	}
	t.bytes = smaller
	return true
}
