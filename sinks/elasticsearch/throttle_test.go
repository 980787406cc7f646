package elasticsearch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fits counts how many requests the throttle lets through at a time. Time is virtual: it ends only where a request waits.
func fits(t *testing.T, th *throttle) (n int) {
	t.Helper()
	var passes []pass
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		p, err := th.enter(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		passes = append(passes, p)
	}
	for _, p := range passes {
		th.slots.Release(p.slots)
	}
	return len(passes)
}

// once lets one request through with this outcome.
func once(t *testing.T, th *throttle, refused bool) {
	t.Helper()
	p, err := th.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	th.leave(p, refused)
}

func TestThrottle(t *testing.T) { synctest.Test(t, testThrottle) }

func testThrottle(t *testing.T) {
	const size = 1 << 20
	th := newThrottle(8, size)
	expect := func(what string, lanes, bytes int) {
		t.Helper()
		if n, b := fits(t, th), th.size(); n != lanes || b != bytes {
			t.Errorf("%s: %d lanes of %d bytes, want %d of %d", what, n, b, lanes, bytes)
		}
	}
	expect("at first", 8, size)
	together := make([]pass, 3)
	for i := range together {
		together[i], _ = th.enter(t.Context())
	}
	for _, p := range together {
		th.leave(p, true)
	}
	expect("refused together", 4, size)
	for range 2 {
		once(t, th, true)
	}
	expect("refused twice more", 1, size)
	once(t, th, true)
	expect("refused with one lane", 1, size/2)
	for range 20 {
		once(t, th, true)
	}
	expect("refused for ever", 1, leastRequest)
	for range recovery - 1 {
		once(t, th, false)
	}
	expect("not yet recovered", 1, leastRequest)
	once(t, th, false)
	expect("recovering", 1, 2*leastRequest)
	for range 20 * recovery {
		once(t, th, false)
	}
	expect("recovered", 8, size)
	if !th.tooLarge(size/2) || th.size() != size/4 || th.tooLarge(size) {
		t.Errorf("after a request of %d was too large: %d", size/2, th.size())
	}
	one := newThrottle(1, size)
	once(t, one, true)
	if n := fits(t, one); n != 1 || one.size() != size/2 {
		t.Errorf("a single lane, refused: %d lanes of %d bytes", n, one.size())
	}
}
