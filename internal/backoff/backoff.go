// Package backoff waits between tries of something that failed. It is where
// its users wait for time to pass; it owns no goroutine.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff waits longer after each failure: exponential, with jitter, so that
// many who failed together do not try again together. Not for concurrent use.
type Backoff struct {
	Min, Max time.Duration // of the first wait, and of any
	next     time.Duration
}

// Wait blocks until the next try is due, and for atLeast that long. It returns
// ctx's error when ctx ends first.
func (b *Backoff) Wait(ctx context.Context, atLeast time.Duration) error {
	b.next = min(max(2*b.next, b.Min), b.Max)
	jitter := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(b.next))) // by the clock, so that virtual time repeats it
	return Pause(ctx, max(atLeast, b.next/2)+time.Duration(jitter.Int64N(int64(b.next/2)+1)))
}

// Reset is called after a success: the next failure waits Min again.
func (b *Backoff) Reset() { b.next = 0 }

// Pause blocks for d or until ctx ends, and then returns its error.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
