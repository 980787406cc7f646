package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// A state is the checkpoint as it stands, shared by the pieces of a session
// that move it on. Saving it is a compare-and-swap: whoever loses it stops.
type state struct {
	sink  sinks.Checkpoints
	name  string
	owner string
	log   zerolog.Logger

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

// loadState reads the saved checkpoint. A damaged one cannot be trusted in anything:
// it counts as lost, so that every index is rebuilt beside the one that serves.
func loadState(ctx context.Context, sink sinks.Checkpoints, name, owner string, log zerolog.Logger) (*state, error) {
	data, token, err := sink.LoadCheckpoint(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	s := &state{sink: sink, name: name, owner: owner, log: log, token: token, cp: newCheckpoint(name)}
	if data == nil {
		return s, nil
	}
	cp, err := parseCheckpoint(data, name)
	switch {
	case errors.Is(err, errNewer):
		return nil, fmt.Errorf("load checkpoint: %w", err)
	case err != nil:
		log.Error().Err(err).Msg("the checkpoint is damaged and counts as lost; every index is rebuilt beside the one that serves, then swapped")
	default:
		s.cp = cp
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
	if errors.Is(err, sinks.ErrConflict) {
		token, err = s.putAgain(ctx, data, err)
	}
	if err != nil {
		return err
	}
	s.token = token
	return nil
}

// putAgain saves the checkpoint after a conflict that was not with another daemon:
// somebody has deleted it, damaged it, or put back one that this daemon had saved.
// What this one knows is newer. It is safe against two daemons for it is a
// compare-and-swap as well, and done by one that has been the owner until now.
func (s *state) putAgain(ctx context.Context, data []byte, conflict error) (sinks.Token, error) {
	if !s.leased() {
		return "", conflict
	}
	found, token, err := s.sink.LoadCheckpoint(ctx, s.name)
	if err != nil {
		return "", fmt.Errorf("load checkpoint: %w", err)
	}
	what := "deleted"
	if found != nil {
		cp, err := parseCheckpoint(found, s.name)
		switch {
		case errors.Is(err, errNewer):
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
