package builds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/fault"
	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// A State is the checkpoint as it stands, shared by the pieces of a session
// that move it on. Saving it is a compare-and-swap: whoever loses it stops.
type State struct {
	sink  sinks.Checkpoints
	name  string
	owner string
	now   func() time.Time // the wall clock
	log   zerolog.Logger

	mu     sync.Mutex
	cp     *Checkpoint
	dirty  bool
	asking time.Time // since when a save is on its way; zero: none is

	store *rowstore.Store // synced before a checkpoint that passes what is in it; nil without one
	saves uint64          // of checkpoints with that store

	saving  chan struct{} // holds something while a save is under way; guards token, and orders saves
	token   sinks.Token
	saved   time.Time // when the last save was begun that succeeded
	savedAt time.Time // the same by the wall clock
}

// LeaseLife is how long after a save this daemon may be taken for the owner.
// Nothing is sent on a lease older than half of it, and no save takes longer than all of it: what is not answered
// by then is done again, on what the sink has by then.
const LeaseLife = 30 * time.Second

// errSilent is why a save has failed that took too long.
var errSilent = fmt.Errorf("the sink has not answered for %v", LeaseLife)

// LoadState reads the saved checkpoint. A damaged one cannot be trusted in anything:
// it counts as lost, so that every index is rebuilt beside the one that serves.
func LoadState(ctx context.Context, sink sinks.Checkpoints, name, owner string, now func() time.Time, log zerolog.Logger) (*State, error) {
	data, token, err := sink.LoadCheckpoint(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	s := &State{sink: sink, name: name, owner: owner, now: now, log: log, saving: make(chan struct{}, 1), token: token, cp: NewCheckpoint(name)}
	if data == nil {
		return s, nil
	}
	cp, err := ParseCheckpoint(data, name)
	switch {
	case errors.Is(err, ErrNewer):
		return nil, fmt.Errorf("load checkpoint: %w", err)
	case err != nil:
		log.Error().Err(err).Msg("the checkpoint is damaged and counts as lost; every index is rebuilt beside the one that serves, then swapped")
	default:
		s.cp = cp
	}
	return s, nil
}

// Update changes the checkpoint; the next save carries it.
func (s *State) Update(change func(*Checkpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.cp)
	s.dirty = true
}

// Use makes the row store the one that is saved with the checkpoint; nil: none is.
func (s *State) Use(store *rowstore.Store) {
	s.saves = 0
	s.Update(func(cp *Checkpoint) {
		if store != nil && cp.Store.ID == store.ID() {
			s.saves = max(cp.Store.Saves, store.Saves())
		}
		cp.Store = StoreState{}
	})
	s.store = store
}

// RowStore is the row store that is saved with the checkpoint; nil without one.
func (s *State) RowStore() *rowstore.Store { return s.store }

// Found tells of the checkpoint that was loaded who saved it, and when; ok: there was one.
func (s *State) Found() (owner string, at time.Time, ok bool) {
	return s.cp.Owner, s.cp.SavedAt, s.token != ""
}

// View reads the checkpoint. f must not keep what it is given.
func (s *State) View(f func(*Checkpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.cp)
}

// Save writes the checkpoint and returns the position that is now safe.
func (s *State) Save(ctx context.Context) (sources.Position, error) {
	select {
	case s.saving <- struct{}{}:
		defer func() { <-s.saving }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	began, at := time.Now(), s.now().UTC().Round(0)
	s.asks(began)
	defer s.asks(time.Time{})
	data, position, err := s.encode(at)
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
	s.saved, s.savedAt = began, at
	s.mu.Unlock()
	return position, nil
}

// own saves the checkpoint, and does something as its owner: with a context that ends before another daemon can
// have taken this one for hung.
func (s *State) own(ctx context.Context, do func(context.Context) error) error {
	if _, err := s.Save(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	until := s.saved.Add(LeaseLife / 2)
	s.mu.Unlock()
	ctx, release := context.WithDeadline(ctx, until)
	defer release()
	return do(ctx)
}

func (s *State) asks(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = since
}

// SavingFor is how long a save has been on its way; 0 where none is.
func (s *State) SavingFor(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking.IsZero() {
		return 0
	}
	return now.Sub(s.asking)
}

// put syncs what the checkpoint passes, and then replaces it.
func (s *State) put(ctx context.Context, data []byte) error {
	if s.store != nil {
		if err := s.store.Sync(); err != nil {
			return fmt.Errorf("sync row store: %w", err)
		}
	}
	ctx, release := context.WithTimeoutCause(ctx, LeaseLife, errSilent)
	defer release()
	fault.Point("checkpoint to be saved")
	token, err := s.sink.SaveCheckpoint(ctx, s.name, data, s.token)
	if errors.Is(err, sinks.ErrConflict) {
		token, err = s.putAgain(ctx, data, err)
	}
	if err != nil {
		return err
	}
	fault.Point("checkpoint saved")
	s.token = token
	if s.store != nil {
		if err := s.store.NoteSaves(s.saves); err != nil {
			return fmt.Errorf("note the checkpoint in the row store: %w", err)
		}
	}
	return nil
}

// putAgain saves the checkpoint after a conflict that was not with another daemon:
// somebody has deleted it, damaged it, or put back one that this daemon had saved.
// What this one knows is newer. It is safe against two daemons for it is a
// compare-and-swap as well, and done by one that has been the owner until now.
func (s *State) putAgain(ctx context.Context, data []byte, conflict error) (sinks.Token, error) {
	if !s.Leased() {
		return "", conflict
	}
	found, token, err := s.sink.LoadCheckpoint(ctx, s.name)
	if err != nil {
		return "", fmt.Errorf("load checkpoint: %w", err)
	}
	what := "deleted"
	if found != nil {
		cp, err := ParseCheckpoint(found, s.name)
		switch {
		case errors.Is(err, ErrNewer):
			return "", err
		case err != nil:
			what = "damaged: " + err.Error()
		case cp.Owner != s.owner:
			return "", conflict
		default:
			what = "put back to an earlier one"
		}
	}
	if token, err = s.sink.SaveCheckpoint(ctx, s.name, data, token); err != nil {
		return "", err
	}
	s.log.Error().Str("checkpoint", s.name).Msg("while the daemon ran, somebody's hand has changed the checkpoint, not another daemon: it was " + what + "; saved again from what the daemon knows, and nothing is lost")
	return token, nil
}

func (s *State) encode(at time.Time) ([]byte, sources.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cp.Owner, s.cp.SavedAt = s.owner, at
	if s.store != nil {
		s.saves++
		s.cp.Store = StoreState{s.store.ID(), s.store.Sequence(), s.saves}
	}
	data, err := json.Marshal(s.cp)
	if err != nil {
		return nil, "", fmt.Errorf("encode checkpoint: %w", err)
	}
	s.dirty = false
	return data, s.cp.Position, nil
}

// Due reports whether there is something to save, or the lease wants renewing.
func (s *State) Due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty || time.Since(s.saved) > LeaseLife/6
}

// Leased reports whether the last save is recent enough to send on, by the
// monotonic clock and by the wall clock: the former stands still while the
// machine is suspended.
func (s *State) Leased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(time.Since(s.saved), s.now().Round(0).Sub(s.savedAt)) < LeaseLife/2
}
