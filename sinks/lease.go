package sinks

import (
	"context"
	"time"

	"haystream/internal/backoff"
)

// AwaitLease blocks while leased is false. It returns ctx's error when ctx ends first.
func AwaitLease(ctx context.Context, leased func() bool) error {
	wait := backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	for !leased() {
		if err := wait.Wait(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}
