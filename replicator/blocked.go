package replicator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"haystream/internal/preflight"
	"haystream/sinks"
)

// Documents of all indexes share requests and lanes, so that one index that is closed,
// blocked or forbidden stops them all. While every index is refused that is a pause. Where
// others are taken, the index is held up after a moment: the session ends without its
// documents, which are read again from the checkpoint, and the index is built anew once
// it takes documents again.

// blockedAfter is how long it is waited for an index that takes no documents. People
// close an index for a moment to change its settings.
const blockedAfter = 10 * time.Second

// A blocked is a physical index that took no documents.
type blocked struct {
	Physical string `json:"physical"`
	Pipeline string `json:"pipeline,omitempty"`
}

// A blockedError ends a session because the sink takes no documents of some indexes, and
// those of others.
type blockedError struct {
	indexes map[string]*blocked
	why     held
}

func (e *blockedError) Error() string {
	return "the sink takes no documents of " + strings.Join(slices.Sorted(maps.Keys(e.indexes)), ", ")
}

// blocked returns a blockedError where an index holds up others. An index that appends
// cannot be held up: what it misses might be nowhere else.
func (l *lookout) blocked(ctx context.Context) error {
	found := &blockedError{map[string]*blocked{}, held{}}
	for _, t := range l.targets {
		if r := t.Refused(); r == nil || time.Since(r.Since) < blockedAfter || t.retired.Load() || keeps(t.index) {
			continue
		}
		if why, err := l.sink.Takes(ctx, t.Target); err == nil && why != "" {
			found.indexes[t.alias], found.why[t.alias] = &blocked{t.Physical, t.Pipeline}, why
		}
	}
	if len(found.indexes) > 0 && l.others(ctx, found) {
		return found
	}
	return nil
}

// others reports whether the sink takes documents of an index that is not among the blocked ones.
func (l *lookout) others(ctx context.Context, but *blockedError) bool {
	return slices.ContainsFunc(l.targets, func(t *target) bool {
		if but.indexes[t.alias] != nil || t.Refused() != nil || t.retired.Load() {
			return false
		}
		why, err := l.sink.Takes(ctx, t.Target)
		return err == nil && why == ""
	})
}

// block notes which indexes are to be held up.
func (d *daemon) block(ctx context.Context, e *blockedError) answer {
	d.status.holdToo(e.why)
	return d.amend(ctx, func(cp *checkpoint) {
		for alias, b := range e.indexes {
			if st := cp.Indexes[alias]; st != nil {
				st.Blocked = b
			}
		}
	})
}

// blocked lists the indexes that are held up since they took no documents.
func (cp *checkpoint) blocked() map[string]*blocked {
	all := map[string]*blocked{}
	for alias, st := range cp.Indexes {
		if st.Blocked != nil {
			all[alias] = st.Blocked
		}
	}
	return all
}

// holdBlocked takes out the indexes that still take no documents, unless they are all that there are.
func (d *daemon) holdBlocked(ctx context.Context, in *inspection) error {
	for alias, b := range in.blocked {
		why, err := d.sink.Takes(ctx, &sinks.Target{Index: alias, Physical: b.Physical, WriteAlias: sinks.WriteAlias(b.Physical), Pipeline: b.Pipeline})
		if err != nil {
			return fmt.Errorf("ask whether index %s takes documents: %w", alias, err)
		}
		if why != "" {
			in.holdAlias(alias, preflight.Finding{Level: preflight.Error, Subject: "index " + alias, Text: why}.String())
		}
	}
	if len(in.blocked) > 0 && len(in.set.Indexes) == 0 {
		in.set.Indexes, in.held = maps.Clone(d.cfg.Indexes), held{}
	}
	return nil
}

// holdToo notes that more indexes are held up.
func (s *status) holdToo(why held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.held)
	if all == nil {
		all = held{}
	}
	maps.Copy(all, why)
	s.held = all
}
