package builds

import (
	"context"
	"fmt"
	"slices"
	"time"

	"haystream/mapping"
	"haystream/sinks"
)

// An index whose definition has a partition is a family: the physical index itself, with
// the documents that have no date, and one for each period beside it. Which there are is
// known by the sink alone. All of a family is made by one definition, is behind the alias
// or is not, and goes together; only old periods go alone.

// A need is periods that the documents of a batch go to, and whose indexes are not there.
type need struct {
	parts []*sinks.Target
	made  chan struct{}
}

// periods makes and drops the indexes of periods. Asked for by delivery; the rest is
// owned by the checkpoint step.
type periods struct {
	needed  chan need
	pending *need
	expired map[*Target]*expiry
	told    bool // of documents that are left out
}

// An expiry is periods of a target that are to be dropped once nothing is on its way to them.
type expiry struct {
	parts []*sinks.Target
	quiet <-chan struct{}
}

// Need blocks until the indexes of periods are there, or ctx ends.
func (x *Indexes) Need(ctx context.Context, parts []*sinks.Target) error {
	n := need{parts, make(chan struct{})}
	select {
	case x.periods.needed <- n:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-n.made:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// KeepPeriods makes the indexes of periods that documents wait for, and of the current one
// before there is any, and drops those that are not kept any more.
func (x *Indexes) KeepPeriods(ctx context.Context, targets []*Target) error {
	if x.periods.pending == nil {
		select {
		case n := <-x.periods.needed:
			x.periods.pending = &n
		default:
		}
	}
	if n := x.periods.pending; n != nil {
		if err := x.makePeriods(ctx, targets, n.parts); err != nil {
			return err
		}
		close(n.made)
		x.periods.pending = nil
	}
	for _, t := range targets {
		p := t.Definition.Partition
		if p == nil || t.Retired.Load() {
			continue
		}
		now := x.Now()
		if err := x.makePeriod(ctx, t, p.Target(t.Target, p.Now(now))); err != nil {
			return err
		}
		if !x.complete(t) {
			continue // copies may be on their way
		}
		if err := x.expire(ctx, t, now); err != nil {
			return err
		}
		if n := t.Definition.Expired(); n > 0 && !x.periods.told {
			x.periods.told = true
			x.Log.Warn().Str("index", t.Alias).Int64("documents", n).Msg("documents are left out whose periods partition does not keep")
		}
	}
	return nil
}

// makePeriods makes the indexes of periods of targets.
func (x *Indexes) makePeriods(ctx context.Context, targets []*Target, parts []*sinks.Target) error {
	for _, part := range parts {
		i := slices.IndexFunc(targets, func(t *Target) bool { return t.Physical == part.Of.Physical })
		if err := x.makePeriod(ctx, targets[i], targets[i].In(part.Period)); err != nil {
			return err
		}
		part.Made.Store(true) // what copies come by is a target of its own
	}
	return nil
}

// makePeriod makes the index of a period, if it is not there.
func (x *Indexes) makePeriod(ctx context.Context, t *Target, part *sinks.Target) error {
	if part.Made.Load() || part == t.Target {
		return nil
	}
	if err := sinks.AwaitLease(ctx, x.State.Leased); err != nil {
		return err
	}
	w, finished := t.Definition, false
	var origins []string
	x.State.View(func(*Checkpoint) { origins, finished = t.build.origins(), t.build.Finished })
	_, err := x.Sink.Create(ctx, sinks.IndexSpec{
		Alias: t.Alias, Physical: part.Physical, Serve: t.Serving,
		Mappings: w.Mappings, Settings: w.Settings, Meta: w.Normalized, Keep: origins,
	})
	if err == nil && finished {
		err = x.Sink.Finish(ctx, part.Physical)
	}
	if err != nil {
		return fmt.Errorf("make the index of the period %s of %s: %w", part.Period, t.Alias, err)
	}
	part.Made.Store(true)
	x.Log.Info().Str("index", t.Alias).Str("physical", part.Physical).Msg("index of a period created")
	return nil
}

// expire drops the indexes of periods that are not kept any more: no document is
// rendered for them from now on, and once none is on its way, they go.
func (x *Indexes) expire(ctx context.Context, t *Target, now time.Time) error {
	if e := x.periods.expired[t]; e != nil {
		select {
		case <-e.quiet:
		default:
			return nil
		}
		for _, part := range e.parts {
			if err := x.Sink.Drop(ctx, part.Physical); err != nil {
				return fmt.Errorf("drop the index of the period %s of %s: %w", part.Period, t.Alias, err)
			}
			t.Forget(part.Period)
			x.Log.Info().Str("index", t.Alias).Str("physical", part.Physical).Msg("index of a period dropped: partition keeps none so old")
		}
		delete(x.periods.expired, t)
		return nil
	}
	oldest := t.Definition.Partition.Oldest(now.In(t.Definition.Partition.Zone))
	var parts []*sinks.Target
	for _, part := range t.All() {
		if n, ok := t.Definition.Partition.Parse(part.Period); ok && n < oldest {
			parts = append(parts, part)
		}
	}
	keepFrom(t.Target, oldest)
	if len(parts) > 0 {
		if x.periods.expired == nil {
			x.periods.expired = map[*Target]*expiry{}
		}
		x.periods.expired[t] = &expiry{parts, x.barrier(t.Alias)}
	}
	return nil
}

// keepFrom lets no document of earlier periods be rendered. A clock that goes back
// brings none back.
func keepFrom(t *sinks.Target, oldest mapping.Period) {
	if was := t.Oldest.Load(); was == 0 || int64(oldest) > was {
		t.Oldest.Store(int64(oldest))
	}
}

// regroups says how the documents of another definition would come into other indexes;
// empty where they would not.
func regroups(was *mapping.Saved, w *mapping.Index) string {
	before, zone := was.Partition()
	after := w.Partition
	switch {
	case before == nil && after == nil:
		return ""
	case after == nil:
		return "it is not partitioned any more"
	case before == nil:
		return "it is partitioned from now on"
	case before.Every != after.Every || before.By != after.By || zone != "" && zone != after.Zone.String() || zone == "" && after.Zone != time.UTC:
		return "it is partitioned otherwise"
	}
	return ""
}

// distribute sends the documents of a batch, of which docs tell, to the indexes of their periods, and leaves
// out those that are not kept. One that is there in an older version may have another period by that.
func (c *copying) distribute(b *sinks.Batch, p *mapping.Partitioning, docs []sinks.Document, known []*sinks.Target) {
	var actions []sinks.Action
	for i, a := range b.Actions {
		if a.Op != sinks.OpIndex {
			actions = append(actions, a)
			continue
		}
		now := p.Document(a.Body)
		if a.Target = p.Part(b, a.Target, now); a.Target == nil {
			continue
		}
		actions = append(actions, a)
		for _, other := range known {
			n, ok := p.Parse(other.Period)
			if !docs[i].Older || !ok || n == now {
				continue
			}
			if from := p.Part(b, c.copied, n); from != nil {
				actions = append(actions, sinks.Action{Target: from, Op: sinks.OpDelete, Version: a.Version, ID: a.ID, Routing: a.Routing})
			}
		}
	}
	b.Actions = actions
}

// period says which period's index is gone, or sets its write
// alias right. standing are the periods that can be written to.
func (l *lookout) periods(ctx context.Context, t *Target, standing []string) error {
	for _, part := range t.All() {
		if part.Period == "" || !part.Made.Load() || slices.Contains(standing, part.Period) {
			continue
		}
		s, err := l.sink.Standing(ctx, t.Alias, part.Physical)
		switch {
		case err != nil:
			return err
		case s.UUID == "":
			return &LostError{t.Alias, part.Physical, "the physical index " + part.Physical + " is gone, with the documents of its period: somebody has deleted it", true}
		case s.WritesTo != part.Physical:
			if err := l.point(ctx, part.WriteAlias, part.Physical); err != nil {
				return err
			}
			l.log.Warn().Str("index", t.Alias).Str("physical", part.Physical).Msg("the write alias " + part.WriteAlias + " was removed or shared by hand; it is set right")
		}
	}
	return nil
}
