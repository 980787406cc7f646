package elasticsearch

import (
	"context"
	"hash/maphash"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"haystream/sinks"
)

// A delivery is a batch on its way: it is done when no action is left.
type delivery struct {
	batch *sinks.Batch
	size  int64
	left  atomic.Int64
}

// An entry is one action of a delivery.
type entry struct {
	action *sinks.Action
	of     *delivery
}

// A writer spreads the actions of batches over lanes, so that each document is
// always in the same lane.
type writer struct {
	sink     *Sink
	leased   func() bool
	lanes    []*lane
	throttle *throttle
	memory   *semaphore.Weighted
	seed     maphash.Seed
	parts    [][]entry // of the batch being spread, by lane
	letters  sinks.Target
	stubborn stubbornness
}

// Write implements sinks.Sink.
func (s *Sink) Write(ctx context.Context, in <-chan *sinks.Batch, leased func() bool) error {
	w := s.newWriter()
	if err := w.loadOpen(ctx); err != nil {
		return err
	}
	return w.run(ctx, in, leased)
}

// run delivers until in is closed and all is held, or something ends it.
func (w *writer) run(ctx context.Context, in <-chan *sinks.Batch, leased func() bool) error {
	w.leased = leased
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range w.lanes {
		g.Go(func() error { return l.run(ctx) })
	}
	g.Go(func() error { return w.spread(ctx, in) })
	return g.Wait()
}

func (s *Sink) newWriter() *writer {
	n := s.cfg.Bulk.Lanes
	w := &writer{
		sink:     s,
		throttle: newThrottle(n, int(s.cfg.Bulk.MaxBytes)),
		memory:   semaphore.NewWeighted(s.opts.MaxBytes),
		seed:     maphash.MakeSeed(),
		parts:    make([][]entry, n),
		letters:  sinks.Target{Index: lettersIndex, Physical: lettersIndex, WriteAlias: sinks.WriteAlias(lettersIndex)},
		stubborn: defaultStubbornness,
	}
	for i := range n {
		w.lanes = append(w.lanes, newLane(w, i))
	}
	return w
}

// spread hands batches to the lanes until in is closed.
func (w *writer) spread(ctx context.Context, in <-chan *sinks.Batch) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-in:
			if !ok {
				for _, l := range w.lanes {
					l.close()
				}
				return nil
			}
			if err := w.accept(ctx, b); err != nil {
				return err
			}
		}
	}
}

// accept waits for memory and gives each lane its part of the batch.
func (w *writer) accept(ctx context.Context, b *sinks.Batch) error {
	if len(b.Actions) == 0 {
		b.Done()
		return nil
	}
	size := min(int64(b.Size()), w.sink.opts.MaxBytes)
	if err := w.memory.Acquire(ctx, size); err != nil {
		return err
	}
	d := &delivery{batch: b, size: size}
	d.left.Store(int64(len(b.Actions)))
	for i := range b.Actions {
		a := &b.Actions[i]
		n := w.laneOf(a)
		w.parts[n] = append(w.parts[n], entry{action: a, of: d})
	}
	for n, part := range w.parts {
		if len(part) > 0 {
			w.lanes[n].push(part)
			clear(part)
			w.parts[n] = part[:0]
		}
	}
	return nil
}

func (w *writer) laneOf(a *sinks.Action) int {
	if len(w.lanes) == 1 {
		return 0
	}
	h := maphash.Bytes(w.seed, a.ID) ^ maphash.String(w.seed, a.Target.WriteAlias)
	return int(h % uint64(len(w.lanes)))
}

// held says that one action of the delivery is held.
func (w *writer) held(d *delivery) {
	if d.left.Add(-1) > 0 {
		return
	}
	d.batch.Done()
	w.memory.Release(d.size)
}
