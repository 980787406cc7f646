package builds

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Documents of all indexes share requests and lanes, so that one index that is closed,
// blocked or forbidden stops them all. While every index is refused that is a pause. Where
// others are taken, the index is held up after a moment: the session ends without its
// documents, which are read again from the checkpoint, and the index is built anew once
// it takes documents again.

// blockedAfter is how long it is waited for an index that takes no documents. People
// close an index for a moment to change its settings.
const blockedAfter = 10 * time.Second

// A Blocked is a physical index that took no documents.
type Blocked struct {
	Physical string `json:"physical"`
	Pipeline string `json:"pipeline,omitempty"`
}

// Block notes which indexes are to be held up since they take no documents.
func (cp *Checkpoint) Block(indexes map[string]*Blocked) {
	for alias, b := range indexes {
		if st := cp.Indexes[alias]; st != nil {
			st.Blocked = b
		}
	}
}

// Blocked lists the indexes that are held up since they took no documents.
func (cp *Checkpoint) Blocked() map[string]*Blocked {
	all := map[string]*Blocked{}
	for alias, st := range cp.Indexes {
		if st.Blocked != nil {
			all[alias] = st.Blocked
		}
	}
	return all
}

// A BlockedError ends a session because the sink takes no documents of some indexes, and
// those of others.
type BlockedError struct {
	Indexes map[string]*Blocked
	Why     Held
}

func (e *BlockedError) Error() string {
	return "the sink takes no documents of " + strings.Join(slices.Sorted(maps.Keys(e.Indexes)), ", ")
}

// blocked returns a BlockedError where an index holds up others. An index that appends
// cannot be held up: what it misses might be nowhere else.
func (l *lookout) blocked(ctx context.Context) error {
	found := &BlockedError{map[string]*Blocked{}, Held{}}
	for _, t := range l.targets {
		if r := t.Refused(); r == nil || time.Since(r.Since) < blockedAfter || t.Retired.Load() || keeps(t.Definition) {
			continue
		}
		if why, err := l.writer.Takes(ctx, t.Target); err == nil && why != "" {
			found.Indexes[t.Alias], found.Why[t.Alias] = &Blocked{t.Physical, t.Pipeline}, why
		}
	}
	if len(found.Indexes) > 0 && l.others(ctx, found) {
		return found
	}
	return nil
}

// others reports whether the sink takes documents of an index that is not among the blocked ones.
func (l *lookout) others(ctx context.Context, but *BlockedError) bool {
	return slices.ContainsFunc(l.targets, func(t *Target) bool {
		if but.Indexes[t.Alias] != nil || t.Refused() != nil || t.Retired.Load() {
			return false
		}
		why, err := l.writer.Takes(ctx, t.Target)
		return err == nil && why == ""
	})
}
