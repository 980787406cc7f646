package elasticsearch

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// health knows which lanes wait, and why. Each reason is logged once, when the
// first lane comes to wait for it, and so is the end of all waiting.
type health struct {
	log     zerolog.Logger
	current atomic.Pointer[error]

	mu     sync.Mutex
	waits  map[int]string // by lane
	logged map[string]bool
}

func newHealth(log zerolog.Logger) *health {
	return &health{log: log, waits: map[int]string{}, logged: map[string]bool{}}
}

// err is nil while no lane waits. Never blocks.
func (h *health) err() error {
	if p := h.current.Load(); p != nil {
		return *p
	}
	return nil
}

// waiting says that a lane cannot deliver, and why.
func (h *health) waiting(lane int, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits[lane] = reason
	h.publish()
	if !h.logged[reason] {
		h.logged[reason] = true
		h.log.Warn().Str("reason", reason).Msg("the sink does not take documents; waiting")
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
	if len(h.waits) == 0 && len(h.logged) > 0 {
		clear(h.logged)
		h.log.Info().Msg("the sink takes documents again")
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
