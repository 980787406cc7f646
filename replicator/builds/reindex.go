package builds

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/backoff"
	"haystream/sinks"
)

// A Reindexing is an index that is built anew because somebody has asked for it, or is already.
type Reindexing struct {
	Index    string `json:"index"`          // the alias
	Replaces string `json:"physical_index"` // what serves until then; empty where the first one is being loaded
	Building string `json:"building"`       // what is being built beside already, and is gone on with; empty where it begins now
}

// Reindex asks for a new physical index beside the live one. One that is being built is gone
// on with, so that it may be asked again when the answer was lost. merge: its segments are to be
// merged before it serves.
func (cp *Checkpoint) Reindex(alias string, merge bool) (Reindexing, error) {
	st := cp.Indexes[alias]
	switch {
	case st == nil:
		return Reindexing{}, fmt.Errorf("index %s is not made yet", alias)
	case st.Held:
		return Reindexing{}, fmt.Errorf("index %s is held up, and is built anew by itself once it can be; /readyz says why", alias)
	}
	st.Merge = st.Merge || merge
	r := Reindexing{Index: alias, Replaces: st.Live.name(), Building: st.Next.name()}
	switch {
	case st.Live != nil && st.Next == nil && !st.Live.Finished: // it is being loaded
		r.Replaces, r.Building = "", st.Live.Physical
	case st.Next == nil && st.Stale == "":
		cp.markStale(alias, "somebody has asked for it", cp.newEpoch())
	}
	return r, nil
}

// A merging is how far that has come for a target in this session.
type merging struct {
	wanted bool
	asked  bool // owned by the checkpoint step
	done   atomic.Bool
}

// merges has the segments of loaded indexes merged, one index after the other, in a
// goroutine of its own: it may take long.
type merges struct {
	sink  sinks.Catalog
	asked chan *Target
	log   zerolog.Logger
}

// merged reports whether the segments of a loaded build are merged, where that was asked for.
func (x *Indexes) merged(t *Target) bool {
	if !t.merging.wanted || t.merging.done.Load() {
		return true
	}
	if !t.merging.asked {
		t.merging.asked = true
		x.merges.asked <- t // it has room for all
	}
	return false
}

// run merges what is asked for until ctx ends. An index that the sink does not merge serves as it is.
func (m *merges) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-m.asked:
			if m.merge(ctx, t) != nil {
				return nil //nolint:nilerr // the end was asked for
			}
			t.merging.done.Store(true)
		}
	}
}

func (m *merges) merge(ctx context.Context, t *Target) error {
	log := m.log.With().Str("index", t.Alias).Str("physical", t.Physical).Logger()
	log.Info().Msg("merging the index's segments before it serves")
	began := time.Now()
	retry := backoff.Backoff{Min: time.Second, Max: time.Minute}
	for {
		refused, err := m.sink.Merge(ctx, t.Physical)
		switch {
		case refused != "":
			log.Warn().Msg("the index's segments are not merged, and it serves without: " + refused)
			return nil
		case err == nil:
			log.Info().Stringer("took", time.Since(began).Round(time.Second)).Msg("the index's segments are merged")
			return nil
		case ctx.Err() == nil:
			log.Warn().Err(err).Msg("merging the index's segments failed; trying again")
		}
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
	}
}
