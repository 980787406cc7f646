package ndjson

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"haystream/internal/backoff"
	"haystream/sinks"
	"haystream/sinks/deadletters"
)

// A writer makes groups of the batches that wait, so that they share one sync.
type writer struct {
	sink   *Sink
	leased func() bool
	memory *semaphore.Weighted
	queue  chan *sinks.Batch
	out    *output
	retry  backoff.Backoff
	key    []byte
	lines  []byte // for the file of dead letters
}

// Write implements sinks.Sink.
func (s *Sink) Write(ctx context.Context, in <-chan *sinks.Batch, leased func() bool) (err error) {
	out, err := openOutput(s.cfg.Path, s.opts.Stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	if err := s.letters.load(s.opts.Owner, s.open); err != nil {
		if errors.Is(err, sinks.ErrTooManyDeadLetters) {
			return s.tooMany()
		}
		return err
	}
	w := s.newWriter(out, leased)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.read(ctx, in) })
	g.Go(func() error { return w.run(ctx) })
	return g.Wait()
}

func (s *Sink) newWriter(out *output, leased func() bool) *writer {
	return &writer{
		sink: s, leased: leased, out: out, memory: semaphore.NewWeighted(s.opts.MaxBytes), queue: make(chan *sinks.Batch, 256),
		retry: backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second},
	}
}

// read queues batches, as many as memory allows, until in is closed.
func (w *writer) read(ctx context.Context, in <-chan *sinks.Batch) error {
	defer close(w.queue)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-in:
			if !ok {
				return nil
			}
			if err := w.memory.Acquire(ctx, w.size(b)); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case w.queue <- b:
			}
		}
	}
}

func (w *writer) size(b *sinks.Batch) int64 { return min(int64(b.Size()), w.sink.opts.MaxBytes) }

// run writes whatever is queued, group by group.
func (w *writer) run(ctx context.Context) error {
	var group []*sinks.Batch
	for b := range w.queue {
		group = append(group[:0], b)
		for more := true; more; {
			select {
			case b, more = <-w.queue:
				if more {
					group = append(group, b)
				}
			default:
				more = false
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := sinks.AwaitLease(ctx, w.leased); err != nil {
			return err
		}
		if err := w.deliver(ctx, group); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// deliver writes a group and is done with it.
func (w *writer) deliver(ctx context.Context, group []*sinks.Batch) error {
	if err := w.persist(ctx, w.out.file != nil, func() error { return w.out.write(group) }); err != nil {
		return err
	}
	tooMany := w.collectLetters(group)
	if len(w.lines) > 0 {
		if err := w.persist(ctx, true, func() error { return w.sink.letters.append(w.lines) }); err != nil {
			return err
		}
	}
	if tooMany {
		return w.sink.tooMany()
	}
	for _, b := range group {
		count(b)
		size := w.size(b)
		b.Done()
		w.memory.Release(size)
	}
	return nil
}

// persist writes, and where that can be undone tries until it is done.
func (w *writer) persist(ctx context.Context, again bool, write func() error) error {
	for {
		err := write()
		switch {
		case err == nil:
			w.retry.Reset()
			w.sink.writes()
			return nil
		case !again:
			return fmt.Errorf("write lines: %w", err)
		case errors.Is(err, syscall.ENOSPC):
			err = fmt.Errorf("the disk is full; free space: %w", err)
		}
		w.sink.waiting(err)
		if err := w.retry.Wait(ctx, 0); err != nil {
			w.sink.writes()
			return err
		}
	}
}

// collectLetters turns rejected actions into dead letters, and good writes of
// their documents into lines that clear them. It reports whether there are too many.
func (w *writer) collectLetters(group []*sinks.Batch) (tooMany bool) {
	w.lines = w.lines[:0]
	s := w.sink
	for _, b := range group {
		for i := range b.Actions {
			a := &b.Actions[i]
			if a.Op != sinks.OpReject && s.open.Empty() {
				continue
			}
			w.key = deadletters.AppendKey(w.key[:0], a.Target.Physical, a.ID)
			switch {
			case a.Op != sinks.OpReject:
				if s.open.Clear(w.key, a.Version, a.Op == sinks.OpDelete) {
					w.lines = appendClear(w.lines, s.opts.Owner, a)
				}
			case !s.open.Add(w.key, a.Version, false):
				return true
			default:
				letter := deadletters.New(s.opts.Owner, a, "", "", time.Now())
				w.lines = append(append(w.lines, letter.JSON()...), '\n')
				a.Target.DeadLetters.Add(1)
				s.log.Warn().Str("index", a.Target.Index).Str("doc_id", letter.DocID).Str("type", letter.Type).Msg("document refused; kept as a dead letter")
			}
		}
	}
	return false
}

func count(b *sinks.Batch) {
	for i := range b.Actions {
		switch a := &b.Actions[i]; a.Op {
		case sinks.OpIndex:
			a.Target.Written.Add(1)
		case sinks.OpDelete:
			a.Target.Deleted.Add(1)
		}
	}
}
