package replicator

import (
	"fmt"
	"testing"
	"time"

	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/sinks"
)

// TestCatchUp: the pace counts from when the sink takes documents again, also where the oldest change waits on, and is told once.
func TestCatchUp(t *testing.T) {
	var c catchUp
	began := time.Now()
	for _, step := range []struct {
		at, lag   int // seconds
		documents int64
		over      bool
		rate      float64 // documents a second; -1: it is not far behind
		left      float64 // seconds
	}{
		{0, 0, 100, false, -1, 0},
		{1, 9, 100, false, -1, 0},
		{2, 60, 100, false, 0, -1},
		{4, 62, 150, false, 25, -1},
		{100, 600, 150, false, 0, -1},
		{101, 601, 2150, false, 2000, -1}, // the oldest change waits still
		{102, 401, 4150, false, 2000, 401.0 / 200},
		{104, 201, 4150, false, 1000, 201 * 3.0 / 400}, // a moment without any is no outage
		{105, 4, 8150, true, 1600, 4 * 4.0 / 597},
	} {
		over := c.note(lateness{began.Add(time.Duration(step.at) * time.Second), time.Duration(step.lag) * time.Second, step.documents})
		st := c.status()
		if over != step.over || (st == nil) != (step.rate < 0) {
			t.Fatalf("%d: over %v, %+v", step.at, over, st)
		}
		if st != nil && (st.DocumentsPerSecond != step.rate || st.LeftSeconds != step.left) {
			t.Errorf("%d: %+v, want %g documents a second and %g s left", step.at, st, step.rate, step.left)
		}
	}
}

// BenchmarkCatchUp is what the daemon does every second, whatever else it does, by indexes.
func BenchmarkCatchUp(b *testing.B) {
	for _, indexes := range []int{1, 50, 300} {
		b.Run(fmt.Sprint(indexes), func(b *testing.B) {
			d := &daemon{status: newStatus(config.New(), "", nil)}
			for range indexes {
				d.status.targets = append(d.status.targets, &builds.Target{Target: &sinks.Target{}})
			}
			b.ReportAllocs()
			for b.Loop() {
				d.catchUp(time.Now())
			}
		})
	}
}
