package builds

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"haystream/internal/fault"
	"haystream/sinks"
)

// Finish makes loaded builds serve: the index that is to be replaced gets
// nothing more; once all that was on its way is held, settings for serving, then
// the alias. Each step may be repeated, in this process or after a crash.
func (x *Indexes) Finish(ctx context.Context, targets []*Target) error {
	var errs []error // of one index, which holds up no other
	for _, t := range targets {
		loaded := false
		x.State.View(func(*Checkpoint) { loaded = t.build.loaded() && !t.build.Finished })
		if !loaded || t.Retired.Load() || !x.filled(t) || !x.merged(t) || !t.Serving && !x.retire(t, targets) {
			continue
		}
		if err := x.finishOne(ctx, t); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, x.shelve(ctx), x.dropGarbage(ctx))...)
}

func (x *Indexes) finishOne(ctx context.Context, t *Target) error {
	if err := x.Sink.Finish(ctx, t.Physical); err != nil {
		return fmt.Errorf("finish index %s: %w", t.Physical, err)
	}
	if err := x.swap(ctx, t); err != nil {
		return err
	}
	x.Log.Info().Str("index", t.Alias).Str("physical", t.Physical).Msg("index loaded; it follows the source from now on")
	return nil
}

// retire stops the writes to the index that t replaces, and reports whether
// all earlier ones, and all that t got until then, are held: otherwise a reader
// of the alias could see a document of t that is older than what was there.
func (x *Indexes) retire(t *Target, targets []*Target) bool {
	if t.drained == nil {
		for _, other := range targets {
			if other.Replacement == t {
				other.Retired.Store(true)
			}
		}
		// Should t never come to serve, what does lacks changes from now on.
		x.State.Update(func(cp *Checkpoint) {
			cp.markStale(t.Alias, "its replacement was about to serve", t.build.Epoch)
			t.build.Sole = keeps(t.Definition)
		})
		t.drained = x.barrier(t.Alias)
		fault.Point("retired")
	}
	select {
	case <-t.drained:
		return true
	default:
		return false
	}
}

// swap points the alias to a build that has caught up.
func (x *Indexes) swap(ctx context.Context, t *Target) error {
	serving, err := x.Sink.Index(ctx, t.Alias)
	if errors.Is(err, sinks.ErrForeign) {
		if err = x.take(ctx, t.Alias, t.Physical, err); err == nil {
			serving, err = x.Sink.Index(ctx, t.Alias)
		}
	}
	if err != nil {
		return fmt.Errorf("look up alias %s: %w", t.Alias, err)
	}
	if serving == nil || serving.Physical != t.Physical {
		fault.Point("alias to be swapped")
		if err := x.point(ctx, t.Alias, t.Physical); err != nil {
			return fmt.Errorf("swap alias %s: %w", t.Alias, err)
		}
		fault.Point("alias swapped")
		if t.Serving {
			x.Log.Warn().Str("index", t.Alias).Str("physical", t.Physical).Msg("the alias " + t.Alias + " did not lead to the index that serves; it is set right")
		}
	}
	if err := x.adopted(ctx, t.Alias); err != nil {
		return err
	}
	x.State.Update(func(cp *Checkpoint) {
		st := cp.Indexes[t.Alias]
		t.build.Finished = true
		cp.settled(t.Alias, t.build)
		if t.Serving {
			return
		}
		x.replace(cp, st, serving, t)
		t.build.Sole = false
		st.Live, st.Next, st.Stale, st.Merge = t.build, nil, "", false
		t.Serving = true
	})
	return nil
}

// point points an alias to a physical index, as the owner: who has lost the checkpoint to another daemon, be it that
// it was about to stop, or has hung, would undo what that one has done.
func (x *Indexes) point(ctx context.Context, alias, physical string) error {
	return x.State.own(ctx, func(ctx context.Context) error { return x.Sink.Swap(ctx, alias, physical) })
}

// Swapped reports whether no index is built beside another.
func Swapped(targets []*Target) bool {
	return !slices.ContainsFunc(targets, func(t *Target) bool { return t.Replacement != nil && !t.Replacement.Serving })
}
