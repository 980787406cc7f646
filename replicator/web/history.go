package web

import (
	"context"
	"sync"
	"time"
)

const (
	sampleEvery = 2 * time.Second
	samplesKept = 150 // of five minutes
)

// A history knows how fast things went in the last minutes.
type history struct {
	mu      sync.Mutex
	samples []sample // the oldest first
}

// A sample is what was counted at one moment.
type sample struct {
	at                 time.Time
	changes, documents int64
	lag                float64
}

// follow takes samples until ctx ends.
func (h *history) follow(ctx context.Context, d Daemon) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		h.add(time.Now(), d.Status())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *history) add(at time.Time, st Status) {
	s := sample{at: at, changes: st.Source.Changes, lag: st.Source.LagSeconds}
	for _, index := range st.Indexes {
		s.documents += index.Written + index.Deleted
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == samplesKept {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
	h.samples = append(h.samples, s)
}

// A course is how a number went; its last value is of the last seconds.
type course []float64

func (c course) now() float64 {
	if len(c) == 0 {
		return 0
	}
	return c[len(c)-1]
}

// rate is how much of something there was a second, between samples.
func (h *history) rate(of func(*sample) int64) (c course) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := 1; i < len(h.samples); i++ {
		a, b := &h.samples[i-1], &h.samples[i]
		if took := b.at.Sub(a.at).Seconds(); took > 0 {
			c = append(c, max(0, float64(of(b)-of(a))/took)) // a session counts its indexes anew
		}
	}
	return c
}

func (h *history) lag() (c course) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.samples {
		c = append(c, h.samples[i].lag)
	}
	return c
}
