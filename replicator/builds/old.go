package builds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"haystream/internal/fault"
	"haystream/sinks"
)

// dropGrace is how long a physical index stays that is to be dropped: searches that
// began before the alias was swapped go on in it.
const dropGrace = 10 * time.Second

// replace notes what t serves instead of: those are kept, or dropped. The checkpoint is being changed.
func (x *Indexes) replace(cp *Checkpoint, st *indexState, serving *sinks.Index, t *Target) {
	replaced := map[string]json.RawMessage{}
	if serving != nil {
		replaced[serving.Physical] = serving.Meta
	}
	if st.Live != nil {
		replaced[st.Live.Physical] = st.Live.Definition
		cp.settled(t.Alias, st.Live)
	}
	for _, old := range slices.Sorted(maps.Keys(replaced)) {
		switch {
		case old == t.Physical, slices.Contains(cp.Garbage, old), slices.Contains(st.Old, old):
		case appends(replaced[old]):
			x.Log.Warn().Str("index", t.Alias).Str("physical", old).Msg("replaced by one without its documents of rows that are gone, so that it stays: its definition had mode: append; delete it when nobody needs it")
		case old == st.Live.name() && !st.Live.Finished: // it never was whole
			cp.Garbage = append(cp.Garbage, old)
		default:
			st.Old = append(st.Old, old)
		}
	}
	x.trim(cp, t.Alias, st)
}

// trim has the oldest replaced indexes dropped that are more than are to be kept.
func (x *Indexes) trim(cp *Checkpoint, alias string, st *indexState) {
	if more := len(st.Old) - x.keepOld[alias]; more > 0 {
		cp.Garbage = append(cp.Garbage, st.Old[:more]...)
		st.Old = slices.Clone(st.Old[more:])
	}
}

// shelve deletes the dead letters of replaced indexes that are kept: their documents are elsewhere now.
func (x *Indexes) shelve(ctx context.Context) error {
	var kept []string
	x.State.View(func(cp *Checkpoint) {
		for _, st := range cp.Indexes {
			kept = append(kept, st.Old...)
		}
	})
	for _, physical := range kept {
		if x.shelved[physical] {
			continue
		}
		if err := x.Sink.Shelve(ctx, physical); err != nil && !errors.Is(err, sinks.ErrForeign) {
			return fmt.Errorf("shelve index %s: %w", physical, err)
		}
		if x.shelved == nil {
			x.shelved = map[string]bool{}
		}
		x.shelved[physical] = true
		x.Log.Info().Str("physical", physical).Msg("replaced index kept")
	}
	return nil
}

// dropGarbage deletes indexes that are to be dropped, after the checkpoint no longer
// names them otherwise, and a while after that was decided.
func (x *Indexes) dropGarbage(ctx context.Context) error {
	var due []string
	x.State.View(func(cp *Checkpoint) {
		for _, physical := range slices.DeleteFunc(slices.Clone(cp.Garbage), cp.needs) {
			if since, known := x.garbage[physical]; !known {
				if x.garbage == nil {
					x.garbage = map[string]time.Time{}
				}
				x.garbage[physical] = x.Now()
			} else if x.Now().Sub(since) >= dropGrace {
				due = append(due, physical)
			}
		}
	})
	if len(due) == 0 {
		return nil
	}
	if _, err := x.State.Save(ctx); err != nil {
		return err
	}
	for _, physical := range due {
		fault.Point("index to be dropped")
		if err := x.Sink.Drop(ctx, physical); err != nil && !errors.Is(err, sinks.ErrForeign) {
			return fmt.Errorf("drop index %s: %w", physical, err)
		}
		x.Log.Info().Str("physical", physical).Msg("replaced index dropped")
	}
	x.State.Update(func(cp *Checkpoint) {
		cp.Garbage = slices.DeleteFunc(cp.Garbage, func(g string) bool { return slices.Contains(due, g) })
	})
	return nil
}
