package replicator

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits longer after each failure: exponential with jitter. It is the
// only place in the package that waits for time to pass without an event.
type backoff struct {
	min, max time.Duration
	next     time.Duration
}

// wait blocks until the next try is due; it returns ctx's error when ctx ends first.
func (b *backoff) wait(ctx context.Context) error {
	b.next = min(max(2*b.next, b.min), b.max)
	return pause(ctx, b.next/2+rand.N(b.next/2+1))
}

// reset is called after a success.
func (b *backoff) reset() { b.next = 0 }

// pause blocks for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
