package sources

import (
	"sync/atomic"
	"time"
)

// A Silence measures for how long a server has said nothing to a stream that
// listens. Its owner is the stream; anybody may ask.
type Silence struct{ since atomic.Int64 } // UnixNano; 0: nobody listens

// Begin is called when the stream listens, and whenever it has heard something.
func (s *Silence) Begin(now time.Time) { s.since.Store(now.UnixNano()) }

// End is called when the stream does not listen, as where it waits for the pipeline.
func (s *Silence) End() { s.since.Store(0) }

// Lasted is how long it has lasted; 0 where nobody listens.
func (s *Silence) Lasted(now time.Time) time.Duration {
	since := s.since.Load()
	if since == 0 {
		return 0
	}
	return max(0, now.Sub(time.Unix(0, since)))
}
