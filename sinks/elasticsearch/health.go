package elasticsearch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/quiet"
	"haystream/sinks"
)

// health knows which lanes wait, and why. Each kind of reason is logged when the
// first lane comes to wait for it, and now and then while that lasts; so is the end
// of all waiting.
type health struct {
	log     zerolog.Logger
	current atomic.Pointer[error]
	started []atomic.Int64 // when each lane's request was sent, in Unix nanoseconds; 0 while none is under way

	mu    sync.Mutex
	waits map[int]string // by lane
	told  quiet.Log
}

// silence is how long a request may be under way before that is worth telling.
const silence = 10 * time.Second

func newHealth(lanes int, log zerolog.Logger) *health {
	return &health{log: log, started: make([]atomic.Int64, lanes), waits: map[int]string{}}
}

// err is nil while no lane waits. Never blocks.
func (h *health) err() error {
	if p := h.current.Load(); p != nil {
		return *p
	}
	for i := range h.started {
		if at := h.started[i].Load(); at != 0 {
			if d := time.Since(time.Unix(0, at)); d > silence {
				return fmt.Errorf("the server has not answered a request for %v", d.Round(time.Second))
			}
		}
	}
	return nil
}

// waiting says that a lane cannot deliver, and why.
func (h *health) waiting(lane int, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits[lane] = reason
	h.publish()
	if lasted, tell := h.told.Failed(reason); tell {
		quiet.For(h.log.Warn().Str("reason", reason), lasted).Msg(sinks.NotTaking)
	}
}

// unleased says that a lane sends nothing, since it may not. A reason that is known already says more.
func (h *health) unleased(lane int) {
	h.mu.Lock()
	_, waits := h.waits[lane]
	h.mu.Unlock()
	if !waits {
		h.waiting(lane, "nothing is sent until the checkpoint can be saved again")
	}
}

// answers says that a lane delivers again, or has ended.
func (h *health) answers(lane int) {
	if h.current.Load() == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits, lane)
	h.publish()
	if len(h.waits) > 0 {
		return
	}
	if lasted, failed := h.told.Over(); failed {
		h.log.Info().Stringer("after", lasted).Msg("the sink takes documents again")
	}
}

// publish shows the reason of the first lane that has one.
func (h *health) publish() {
	if len(h.waits) == 0 {
		h.current.Store(nil)
		return
	}
	err := errors.New(h.waits[slices.Min(slices.Collect(maps.Keys(h.waits)))])
	h.current.Store(&err)
}
