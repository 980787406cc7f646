package replicator

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"haystream/internal/backoff"
	"haystream/mapping"
	"haystream/sinks"
	"haystream/sources"
)

// grace is how long a stopping pipeline may take to deliver what it has read.
const grace = 8 * time.Second

// A pipeline moves changes from the source to the sink for one session:
//
//	read ─▶ apply ─▶ render (all cores) ─▶ deliver ─▶ checkpoint ─▶ ack
//
// A stop, whatever its cause, ends reading first; what was read is delivered
// and checkpointed before run returns, as far as the sink takes it in time.
type pipeline struct {
	source sources.Source
	sink   sinks.Sink
	state  *state
	tables []*sources.Table
	from   sources.Checkpoint
	routes [][]*route // by table ordinal
	loader *snapshot
	scans  []*scan
	finish func(context.Context) error // makes loaded builds serve; called by the checkpoint step
	gauges *gauges
	report func(error) // how the checkpoint step went
	log    zerolog.Logger

	windows *windows
	tracker *tracker
	outputs outputs
	memory  *semaphore.Weighted // for jobs between apply and the sink's answer
	held    int64               // of it at most
	joins   *joins              // nil where no definition needs the row store

	// Owned by apply.
	seq      int64
	position sources.Position
	version  int64
	applied  atomic.Int64 // version, for others
	waiting  []*loadedChunk
}

// A rebuildError ends a session because physical indexes must be built anew.
type rebuildError struct {
	aliases []string
	reason  string
	since   int64    // the Version of the change that made it so
	useless []string // physical indexes that are being built and cannot be gone on with
}

func (e *rebuildError) Error() string { return fmt.Sprintf("rebuild %v: %s", e.aliases, e.reason) }

// run replicates until ctx ends, and then returns nil, or until something
// stops it.
func (p *pipeline) run(ctx context.Context) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	g, working := errgroup.WithContext(working)
	defer context.AfterFunc(working, func() { stop(context.Cause(working)) })()

	batches := make(chan *sources.Batch) // holds none: the reader has one, and apply
	work := make(chan *job, 2)
	ordered := make(chan *job, 2)
	actions := make(chan *sinks.Batch)
	delivered, saved := make(chan struct{}), make(chan struct{})

	g.Go(func() error {
		stop(p.source.Stream(reading, p.tables, p.from, batches))
		return nil
	})
	g.Go(func() error {
		if err := p.loader.run(reading, p.scans); err != nil {
			stop(err)
		}
		return nil
	})
	drained := make(chan struct{})
	g.Go(func() error {
		defer close(drained)
		if p.joins == nil {
			return nil
		}
		stop(p.joins.drain.run(reading, func(piece *piece) error {
			j := &job{piece: piece}
			j.out = p.outputs.get(j.size())
			return p.hand(working, j, work, ordered)
		}))
		return nil
	})
	g.Go(func() error {
		defer close(ordered)
		defer close(work)
		defer func() { <-drained }()
		stop(p.apply(reading, working, batches, work, ordered))
		return nil
	})
	for range runtime.GOMAXPROCS(0) {
		r := &renderer{routes: p.routes, scratch: mapping.NewScratch(), holed: p.holed}
		g.Go(func() error { return r.run(working, work) })
	}
	g.Go(func() error {
		defer close(actions)
		return p.deliver(working, ordered, actions)
	})
	g.Go(func() error {
		defer close(delivered)
		return p.sink.Write(working, actions, p.state.leased)
	})
	g.Go(func() error {
		defer close(saved)
		return p.checkpoint(working, delivered, stop)
	})
	g.Go(func() error {
		<-reading.Done()
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-saved:
		case <-timer.C:
			abort()
		}
		return nil
	})
	err := g.Wait()
	if cause := context.Cause(reading); cause != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = cause
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// apply is the main loop: one step for each batch of the stream, one for each
// chunk of a snapshot whose moment the stream has reached.
func (p *pipeline) apply(reading, working context.Context, batches <-chan *sources.Batch, work, ordered chan<- *job) error {
	send := func(j *job) error { return p.send(working, j, work, ordered) }
	if err := p.joins.begin(); err != nil {
		return err
	}
	for {
		landing, due, left := p.joins.channels()
		var err error
		select {
		case <-reading.Done():
			return nil
		case b := <-batches:
			p.gauges.batch(b)
			p.windows.record(b)
			if err := p.truncates(b); err != nil {
				return err
			}
			if err := p.joins.apply(b); err != nil {
				return err
			}
			p.position = b.Checkpoint.Position
			if n := len(b.Changes); n > 0 {
				p.version = b.Changes[n-1].Version
				p.applied.Store(p.version)
			}
			d := &delivery{checkpoint: b.Checkpoint, commit: b.CommitTime}
			if err := send(&job{batch: b, delivery: d}); err != nil {
				return err
			}
		case c := <-p.loader.chunks:
			p.waiting = append(p.waiting, c)
		case <-landing:
			err = p.joins.settle()
		case <-due:
			err = p.joins.due()
		case <-left:
			err = p.joins.slice()
		}
		if err != nil {
			return err
		}
		for c := p.ready(); c != nil; c = p.ready() {
			if err := p.merge(c, send); err != nil {
				return err
			}
		}
	}
}

// send hands a job to the renderers and, in order, to delivery.
func (p *pipeline) send(ctx context.Context, j *job, work, ordered chan<- *job) error {
	p.tracker.add(j.delivery)
	if j.chunk == nil && !p.routed(j.batch) {
		p.tracker.finish(j.delivery)
		return nil
	}
	p.seq++
	j.seq, j.out = p.seq, p.outputs.get(j.size())
	return p.hand(ctx, j, work, ordered)
}

// routed reports whether a change of the batch is rendered from its own images.
func (p *pipeline) routed(b *sources.Batch) bool {
	return slices.ContainsFunc(b.Changes, func(c sources.Change) bool { return len(p.routes[c.Table.Ordinal]) > 0 })
}

// hand gives a job to the renderers and, in order, to delivery, when there is
// memory for it: for its rows, and for their documents. One that is larger than
// all of it passes alone.
func (p *pipeline) hand(ctx context.Context, j *job, work, ordered chan<- *job) error {
	j.rendered, j.held = make(chan struct{}), min(2*int64(j.size()), p.held)
	if err := p.memory.Acquire(ctx, j.held); err != nil {
		return err
	}
	for _, to := range []chan<- *job{work, ordered} {
		select {
		case to <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// truncates ends the session when a table was emptied whose rows an index
// holds: the index is rebuilt beside and swapped.
func (p *pipeline) truncates(b *sources.Batch) error {
	for i := range b.Changes {
		c := &b.Changes[i]
		if c.Kind != sources.Truncate {
			continue
		}
		rebuild := &rebuildError{reason: "table " + c.Table.String() + " was truncated", since: c.Version}
		add := func(t *target) {
			told := t.build.Since >= c.Version || t.heir != nil && t.heir.build.Since >= c.Version
			if !told && !slices.Contains(rebuild.aliases, t.alias) { // the old index and the new one share it
				rebuild.aliases = append(rebuild.aliases, t.alias)
			}
		}
		for _, r := range p.routes[c.Table.Ordinal] {
			if !r.renderer.Append {
				add(r.target)
			}
		}
		for _, t := range p.joins.reading(c.Table) {
			add(t)
		}
		if len(rebuild.aliases) > 0 {
			return rebuild
		}
	}
	return nil
}

// ready takes the first waiting chunk whose mark the stream has reached, if
// none of its scan waits before it.
func (p *pipeline) ready() *loadedChunk {
	for i, c := range p.waiting {
		if !p.source.Reached(p.position, c.chunk.Mark) {
			continue
		}
		if !slices.ContainsFunc(p.waiting[:i], func(earlier *loadedChunk) bool { return earlier.scan == c.scan }) {
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			return c
		}
	}
	return nil
}

// merge sends a chunk's rows on, but for those that the stream has changed
// since: its images are newer. The rows carry the Version of the last change
// applied, since they show the table as that change left it.
func (p *pipeline) merge(c *loadedChunk, send func(*job) error) error {
	defer p.windows.close(c.window)
	if c.scan.stored != nil {
		return p.store(c)
	}
	rows, ok := p.windows.merge(c.window, c.chunk)
	if !ok || !sameKey(c.after, c.scan.last) {
		c.answer <- false
		return nil
	}
	read := len(c.chunk.Rows)
	j := &job{chunk: c, rows: rows, version: p.version}
	j.delivery = &delivery{chunk: &chunkProgress{scan: c.scan, last: c.chunk.Last, rows: int64(read), done: c.chunk.Done}}
	for _, r := range c.scan.routes {
		r.firstMerge.CompareAndSwap(unmerged, p.seq+1)
	}
	if err := send(j); err != nil {
		return err
	}
	p.merged(c, read)
	return nil
}

// store puts a chunk's rows into the row store.
func (p *pipeline) store(c *loadedChunk) error {
	changed, ok := p.windows.stored(c.window, c.chunk)
	if !ok || !sameKey(c.after, c.scan.last) {
		c.answer <- false
		return nil
	}
	switch err := p.joins.merge(c, changed); {
	case errors.Is(err, errUnclear):
		c.answer <- false
		return nil
	case err != nil:
		return err
	}
	p.merged(c, len(c.chunk.Rows))
	return nil
}

// merged tells the scan to go on.
func (p *pipeline) merged(c *loadedChunk, read int) {
	p.gauges.rows.Add(int64(read))
	c.scan.read.Add(int64(read))
	if c.chunk.Last != nil {
		c.scan.last = c.chunk.Last
	}
	c.answer <- true
}

// deliver passes rendered jobs to the sink in order.
func (p *pipeline) deliver(ctx context.Context, ordered <-chan *job, actions chan<- *sinks.Batch) error {
	for j := range ordered {
		select {
		case <-j.rendered:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.err != nil {
			return j.err
		}
		j.batch, j.rows, j.chunk = nil, nil, nil
		out, d, piece, held := j.out, j.delivery, j.piece, j.held-j.held/2
		p.memory.Release(j.held / 2) // the rows
		out.Done = func() {
			p.outputs.put(out)
			p.memory.Release(held)
			if piece != nil {
				p.joins.drain.hold(piece)
				return
			}
			p.tracker.finish(d)
		}
		if len(out.Actions) == 0 {
			out.Done()
			continue
		}
		select {
		case actions <- out:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// delivered is the tracker's effect: everything up to d is held by the sink.
func (p *pipeline) delivered(d *delivery) {
	p.state.update(func(cp *checkpoint) {
		if !d.checkpoint.Position.IsZero() {
			cp.Position, cp.Version = d.checkpoint.Position, max(cp.Version, d.checkpoint.Version)
		}
		if c := d.chunk; c != nil {
			for _, progress := range c.scan.progress {
				progress.advance(c.last, c.rows, c.done)
			}
		}
	})
	p.gauges.delivered(d)
}

// checkpoint saves what was delivered, at least every second while there is
// something to save, and only then acknowledges it to the source. It stops the
// session where that is outdated.
func (p *pipeline) checkpoint(ctx context.Context, delivered <-chan struct{}, stop func(error)) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		last := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-delivered:
			last = true
		case <-tick.C:
		}
		err := p.save(ctx)
		if errors.Is(err, errOutdated) {
			stop(err)
			err = nil
		}
		p.report(err)
		switch {
		case errors.Is(err, sinks.ErrConflict), storeFailed(err):
			return err
		case err != nil && ctx.Err() == nil:
			p.log.Warn().Err(err).Msg("checkpoint step failed; trying again")
			if err := retry.Wait(ctx, 0); err != nil {
				return err
			}
		case last:
			return nil
		default:
			retry.Reset()
		}
	}
}

// save saves the checkpoint where that is due, acknowledges it, and finishes
// what is loaded.
func (p *pipeline) save(ctx context.Context) error {
	if p.state.due() {
		position, err := p.state.save(ctx)
		if err != nil {
			return errors.Join(err, p.ahead(err))
		}
		p.source.Ack(position)
	}
	return p.finish(ctx)
}

// ahead lets the source's log go where the sink, and so the checkpoint, is away
// and all that came is in the row store: the next session goes on from there.
func (p *pipeline) ahead(why error) error {
	if p.joins == nil || !p.joins.alone || errors.Is(why, sinks.ErrConflict) {
		return nil
	}
	var position sources.Position
	p.state.view(func(cp *checkpoint) { position = cp.Position })
	if err := p.joins.store.Sync(); err != nil {
		return fmt.Errorf("sync row store: %w", err)
	}
	p.source.Ack(position)
	return nil
}

// barrier returns a channel that is closed once everything now marked, or on its
// way to the sink, is held there.
func (p *pipeline) barrier() <-chan struct{} {
	if p.joins == nil {
		return p.tracker.barrier()
	}
	both := make(chan struct{})
	streamed := p.tracker.barrier()
	joined := make(chan struct{})
	p.joins.drain.awaitMarked(func() { close(joined) })
	go func() { // ends with what is on its way, or with the process
		<-streamed
		<-joined
		close(both)
	}()
	return both
}

// holed notes that a target lacks a change that only its heir will have: should
// the heir not come to serve, another one must.
func (p *pipeline) holed(t *target) {
	p.state.update(func(cp *checkpoint) {
		cp.markStale(t.alias, "the log left out a value of a row", t.heir.build.Since)
	})
}

// sameKey reports whether two scans stand at the same row; nil is before the first.
func sameKey(a, b sources.Key) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }
