package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitsGrowToTheLimitAndStartOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Min: 100 * time.Millisecond, Max: time.Second}
		waited := func(atLeast time.Duration) time.Duration {
			start := time.Now()
			if err := b.Wait(t.Context(), atLeast); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		between := func(what string, got, low, high time.Duration) {
			if got < low || got > high {
				t.Errorf("%s: waited %v, want %v to %v", what, got, low, high)
			}
		}
		for _, ms := range []int{100, 200, 400, 800, 1000, 1000} {
			want := time.Duration(ms) * time.Millisecond
			between("growing", waited(0), want/2, want)
		}
		between("a server's own wish", waited(5*time.Second), 5*time.Second, 6*time.Second)
		b.Reset()
		between("after a success", waited(0), 50*time.Millisecond, 100*time.Millisecond)
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := Backoff{Min: time.Hour, Max: time.Hour}
	if err := b.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}
