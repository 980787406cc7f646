package replicator

import (
	"testing"
	"time"
)

// TestCatchUp: the pace counts from when the daemon was furthest behind, and is told once.
func TestCatchUp(t *testing.T) {
	var c catchUp
	began := time.Now()
	for n, step := range []struct {
		lag       int // seconds
		documents int64
		over      bool
		rate      float64 // -1: it is not far behind
		left      float64
	}{
		{0, 100, false, -1, 0},
		{9, 100, false, -1, 0},
		{60, 100, false, 0, -1},
		{600, 150, false, 0, -1},
		{600, 150, false, 0, -1},
		{400, 2150, false, 2000, 2},
		{200, 4150, false, 2000, 1},
		{4, 8150, true, 8000.0 / 3, 4.0 * 3 / 596},
	} {
		over := c.note(lateness{began.Add(time.Duration(n) * time.Second), time.Duration(step.lag) * time.Second, step.documents})
		st := c.status()
		if over != step.over || (st == nil) != (step.rate < 0) {
			t.Fatalf("%d: over %v, %+v", n, over, st)
		}
		if st != nil && (st.DocumentsPerSecond != step.rate || st.LeftSeconds != step.left) {
			t.Errorf("%d: %+v, want %g documents a second and %g s left", n, st, step.rate, step.left)
		}
	}
}
