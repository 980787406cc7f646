package builds

import (
	"context"
	"math"
	"slices"
	"sync/atomic"

	"haystream/mapping"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// A Target is a physical index that this session feeds.
type Target struct {
	*sinks.Target
	Alias       string
	build       *build
	Definition  *mapping.Index
	Serving     bool    // the alias points to it
	stale       bool    // and has to be replaced, whatever its definition is
	Replacement *Target // built beside to replace it; nil for most

	Waiting bool // goes on as it was until rows are stored for its changed definition

	// Unbroken: nothing is passed over while it is fresh, in the hope that its row is read.
	Unbroken bool
	filling  bool // its origins are being copied; owned by the checkpoint step
	merging  merging

	Since      atomic.Int64    // changes up to this Version are in the rows that are read for it, or were
	Retired    atomic.Bool     // being replaced: nothing is written to it any more
	drained    <-chan struct{} // closed once nothing is on its way to what it replaces; owned by the checkpoint step
	Incomplete atomic.Bool     // lacks something that its replacement will have
}

// Joined are the targets with documents that are made of stored rows.
func Joined(targets []*Target) (all []*joins.Target) {
	for _, t := range targets {
		if len(t.Definition.Joined) > 0 {
			all = append(all, &joins.Target{
				Target: t.Target, Alias: t.Alias, Joined: t.Definition.Joined, Round: t.build.Round,
				Serving: t.Serving, Stale: t.stale, Replaced: t.Replacement != nil, Since: &t.Since, Retired: &t.Retired,
			})
		}
	}
	return all
}

// Reached notes that the stream has come to where the tables are as they were planned:
// fresh targets take what comes from then on. That is saved first.
func (s *State) Reached(ctx context.Context, targets []*Target, version int64) error {
	fresh := slices.DeleteFunc(slices.Clone(targets), func(t *Target) bool { return t.Since.Load() != unknown })
	s.Update(func(cp *Checkpoint) {
		cp.reached()
		for _, t := range fresh {
			t.build.Since = version
		}
	})
	if len(fresh) > 0 {
		if _, err := s.Save(ctx); err != nil {
			return err
		}
	}
	for _, t := range fresh {
		t.Since.Store(version)
	}
	return nil
}

// Passed notes that every document of a physical index that a table's rows give was
// rendered from the store and is held.
func (s *State) Passed(targets []*Target, physical string, table *sources.Table) {
	s.Update(func(*Checkpoint) {
		for _, t := range targets {
			if t.Physical == physical {
				if progress := t.build.Tables[table.String()]; progress != nil {
					progress.Done = true
				}
			}
		}
	})
}

// Incomplete notes that a target lacks a change that only its replacement will have: should
// the replacement not come to serve, another one must.
func (s *State) Incomplete(t *Target) {
	s.Update(func(cp *Checkpoint) {
		cp.markStale(t.Alias, "the log left out a value of a row", t.Replacement.build.Epoch)
	})
}

// Empty reports whether no document can be in the index that a change which is passed over would have changed or
// removed. That the checkpoint tells of no rows is not enough: they may have come and not been noted.
func (t *Target) Empty() bool { return t.Since.Load() == unknown || keeps(t.Definition) }

// Stored reports whether the documents are rendered from stored rows.
func (t *Target) Stored() bool { return t.build.Stored }

// Again reports whether rows are read into it that may have been read before.
func (t *Target) Again() bool { return t.build.Round > 0 }

// Finished reports whether all of it was read, and a search finds it: while an index is loaded, it is not refreshed.
// The checkpoint is being viewed.
func (t *Target) Finished() bool { return t.build.Finished }

// Tables is how far each table was read into the build.
func (t *Target) Tables() map[string]*reading.Progress { return t.build.Tables }

// Progress is how far a table was read into the build.
func (t *Target) Progress(table *sources.Table) *reading.Progress {
	p := t.build.Tables[table.String()]
	if p == nil {
		p = &reading.Progress{}
		t.build.Tables[table.String()] = p
	}
	return p
}

// unknown is since before the stream has come to where a fresh build begins.
const unknown = math.MaxInt64
