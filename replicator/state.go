package replicator

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// A state is the checkpoint as it stands, shared by the pieces of a session
// that move it on. Saving it is a compare-and-swap: whoever loses it stops.
type state struct {
	sink  sinks.Sink
	name  string
	owner string

	mu     sync.Mutex
	cp     *checkpoint
	dirty  bool
	asking time.Time // since when a save is on its way; zero: none is

	store *rowstore.Store // synced before a checkpoint that passes what is in it; nil without one

	saving sync.Mutex // guards token, and orders saves
	token  sinks.Token
	saved  time.Time // when the last save was begun that succeeded
}

// leaseLife is how long after a save this daemon may be taken for the owner.
// Nothing is sent on a lease older than half of it.
const leaseLife = 30 * time.Second

// loadState reads the saved checkpoint.
func loadState(ctx context.Context, sink sinks.Sink, name, owner string) (*state, error) {
	data, token, err := sink.LoadCheckpoint(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	s := &state{sink: sink, name: name, owner: owner, token: token, cp: newCheckpoint(name)}
	if data != nil {
		if s.cp, err = parseCheckpoint(data); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// update changes the checkpoint; the next save carries it.
func (s *state) update(change func(*checkpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.cp)
	s.dirty = true
}

// view reads the checkpoint. f must not keep what it is given.
func (s *state) view(f func(*checkpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.cp)
}

// save writes the checkpoint and returns the position that is now safe.
func (s *state) save(ctx context.Context) (sources.Position, error) {
	s.saving.Lock()
	defer s.saving.Unlock()
	began := time.Now()
	s.asks(began)
	defer s.asks(time.Time{})
	data, position, err := s.encode(began)
	if err != nil {
		return "", err
	}
	if err := s.put(ctx, data); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	s.mu.Lock()
	s.saved = began
	s.mu.Unlock()
	return position, nil
}

func (s *state) asks(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = since
}

// savingFor is how long a save has been on its way; 0 where none is.
func (s *state) savingFor(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking.IsZero() {
		return 0
	}
	return now.Sub(s.asking)
}

// put syncs what the checkpoint passes, and then replaces it.
func (s *state) put(ctx context.Context, data []byte) error {
	if s.store != nil {
		if err := s.store.Sync(); err != nil {
			return fmt.Errorf("sync row store: %w", err)
		}
	}
	token, err := s.sink.SaveCheckpoint(ctx, s.name, data, s.token)
	if err != nil {
		return err
	}
	s.token = token
	return nil
}

func (s *state) encode(now time.Time) ([]byte, sources.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cp.Owner, s.cp.SavedAt = s.owner, now.UTC()
	if s.store != nil {
		s.cp.Store = storeState{s.store.ID(), s.store.Sequence()}
	}
	data, err := json.Marshal(s.cp)
	if err != nil {
		return nil, "", fmt.Errorf("encode checkpoint: %w", err)
	}
	s.dirty = false
	return data, s.cp.Position, nil
}

// due reports whether there is something to save, or the lease wants renewing.
func (s *state) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty || time.Since(s.saved) > leaseLife/6
}

// leased reports whether the last save is recent enough to send on, by the
// monotonic clock and by the wall clock: the former stands still while the
// machine is suspended.
func (s *state) leased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return max(now.Sub(s.saved), now.Round(0).Sub(s.saved.Round(0))) < leaseLife/2
}
