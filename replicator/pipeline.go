package replicator

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"haystream/internal/backoff"
	"haystream/internal/fault"
	"haystream/internal/quiet"
	"haystream/replicator/builds"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/replicator/web"
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
	source  sources.Source
	sink    sinks.Writer
	state   *builds.State
	tables  []*sources.Table
	from    sources.Checkpoint
	mark    sources.Position // from where on the tables are as they were planned
	routes  [][]*route       // by table ordinal
	fed     []*builds.Target
	loader  *snapshot
	scans   []*scan
	finish  func(context.Context) error // makes loaded builds serve; called by the checkpoint step
	gauges  *gauges
	look    func(ctx context.Context, failing bool) error                                     // looks at the sink; called by the checkpoint step
	fill    func(ctx context.Context, send func(*sinks.Batch) (<-chan struct{}, error)) error // copies documents into indexes
	take    func(context.Context, []sources.Message) error                                    // puts messages into the event queue
	need    func(context.Context, []*sinks.Target) error                                      // blocks until the indexes of periods are made
	replays chan *replay                                                                      // dead letters that are to be sent again
	report  func(error)                                                                       // how the checkpoint step went

	verifier  *verifier // asks for indexes to be compared
	verifyDir string    // for what that needs on disk
	viewer    sinks.Viewer
	asides    chan func() error                           // for the apply loop to do
	send      func(*sinks.Batch) (<-chan struct{}, error) // hands a batch to delivery that needs no rendering
	recorded  recorded                                    // what is delivered, while it is compared
	log       zerolog.Logger

	windows  *reading.Windows
	tracker  *tracker
	outputs  outputs
	memory   *semaphore.Weighted // for jobs between apply and the sink's answer
	held     int64               // of it at most
	decoding *decoding
	joins    *joins.Joins // nil where no definition needs the row store

	// Owned by apply.
	seq      int64
	position sources.Position
	version  int64
	applied  atomic.Int64 // version, for others
	reached  atomic.Bool  // the stream has reached the mark: rows may be read
	current  atomic.Bool  // and all that was behind at that moment is held, and may be trusted
	waiting  []*loadedChunk

	// How far documents may be beyond the checkpoint.
	beyond    bool         // when the session began
	takenOver bool         // all is built anew once the mark is reached
	sent      atomic.Int64 // the highest Version that may be in the sink, or the row store
	ended     atomic.Bool  // no more will come
}

// run replicates until ctx ends, and then returns nil, or until something
// stops it.
func (p *pipeline) run(ctx context.Context) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	g, working := errgroup.WithContext(working)

	batches := make(chan *sources.Batch, 1)
	work := make(chan *job, 2)
	ordered := make(chan *job, 2)
	actions := make(chan *sinks.Batch)
	delivered, saved := make(chan struct{}), make(chan struct{})

	read := func(work func() error) { // a failure ends the reading, in order
		g.Go(func() error {
			if err := work(); err != nil {
				stop(err)
			}
			return nil
		})
	}
	g.Go(func() error {
		stop(p.source.Stream(reading, p.tables, p.from, batches))
		return nil
	})
	read(func() error { return p.loader.run(reading, p.scans) })
	var beside sync.WaitGroup // what hands work on beside apply
	feed := func(work func() error) {
		beside.Add(1)
		read(func() error {
			defer beside.Done()
			return work()
		})
	}
	send := func(b *sinks.Batch) (<-chan struct{}, error) { return p.copy(working, b, ordered) }
	feed(func() error { return p.renderStored(reading, working, work, ordered) })
	feed(func() error { return p.fill(reading, send) })
	feed(func() error { return p.replay(reading, send) })
	p.send = send
	feed(func() error { return p.verify(reading) })
	g.Go(func() error {
		defer close(ordered)
		defer close(work)
		defer p.ended.Store(true)
		defer beside.Wait()
		stop(p.apply(reading, working, batches, work, ordered))
		return nil
	})
	for range runtime.GOMAXPROCS(0) {
		r := &renderer{routes: p.routes, scratch: p.decoding.scratch(), incomplete: p.state.Incomplete}
		g.Go(func() error { return r.run(working, work) })
	}
	g.Go(func() error {
		defer close(actions)
		return p.deliver(working, ordered, actions)
	})
	g.Go(func() error {
		defer close(delivered)
		return p.sink.Write(working, actions, p.state.Leased)
	})
	g.Go(func() error {
		defer close(saved)
		return p.checkpoint(working, delivered, stop)
	})
	g.Go(func() error {
		select {
		case <-working.Done(): // something has failed
			stop(context.Cause(working))
		case <-reading.Done():
			expire(saved, abort)
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

// expire aborts what takes longer than the grace.
func expire(done <-chan struct{}, abort func()) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		abort()
	}
}

// renderStored hands on pieces of stored rows until reading ends.
func (p *pipeline) renderStored(reading, working context.Context, work, ordered chan<- *job) error {
	if p.joins == nil {
		return nil
	}
	loaded := func(physical string, table *sources.Table) { p.state.Passed(p.fed, physical, table) }
	return p.joins.Run(reading, loaded, func(piece *joins.Piece) error {
		j := &job{piece: piece}
		j.out = p.outputs.get(j.size())
		return p.hand(working, j, work, ordered)
	})
}

// apply is the main loop: one step for each batch of the stream, one for each
// chunk of a snapshot whose mark the stream has reached.
func (p *pipeline) apply(reading, working context.Context, batches <-chan *sources.Batch, work, ordered chan<- *job) error {
	send := func(j *job) error { return p.dispatch(working, j, work, ordered) }
	if err := p.joins.Begin(); err != nil {
		return err
	}
	for {
		if err := p.atMark(reading); err != nil {
			return err
		}
		l, err := p.joins.Look()
		if err != nil {
			return err
		}
		if l != nil {
			p.loader.lookups <- l // it has room: no other one is under way
		}
		landing, due, left := p.joins.Channels()
		select {
		case <-reading.Done():
			return nil
		case b := <-batches:
			fault.Point("read")
			if p.stale(b) {
				return p.gather(reading, batches)
			}
			if len(b.Messages) > 0 { // after that what made the batch come again
				if err := p.take(reading, b.Messages); err != nil {
					return err
				}
			}
			p.windows.Record(b)
			if n := len(b.Changes); n > 0 {
				p.sent.Store(b.Changes[n-1].Version)
			}
			if err := p.joins.Apply(b); err != nil {
				return err
			}
			p.gauges.batch(b)
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
			if c.chunk == nil {
				p.joins.GiveUp(c.lookup)
			} else {
				p.waiting = append(p.waiting, c)
			}
		case do := <-p.asides:
			err = do()
		case <-landing:
			err = p.joins.Settle()
		case <-due:
			err = p.joins.Due()
		case <-left:
			err = p.joins.Step()
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

// dispatch hands a job to the renderers and, in order, to delivery.
func (p *pipeline) dispatch(ctx context.Context, j *job, work, ordered chan<- *job) error {
	p.tracker.add(j.delivery)
	if fault.Planted("acknowledged before it is delivered") {
		p.tracker.finish(j.delivery)
	}
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

// copy hands a batch to delivery that needs no rendering, and returns a channel
// that is closed when it is held.
func (p *pipeline) copy(ctx context.Context, b *sinks.Batch, ordered chan<- *job) (<-chan struct{}, error) {
	size := b.Size()
	for i := range b.Actions {
		size += len(b.Actions[i].Body)
	}
	j := &job{out: b, held: min(int64(size), p.held), copied: make(chan struct{}), rendered: make(chan struct{})}
	close(j.rendered)
	if err := p.memory.Acquire(ctx, j.held); err != nil {
		return nil, err
	}
	select {
	case ordered <- j:
		return j.copied, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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

// atMark lets rows be read once the stream has come to where the tables are as
// they were planned: what is read into a fresh index then has all changes so
// far, and none of them may come into it from the log, as rows had another
// meaning in the past, or have gone since without a word. Where it begins is saved
// before anything comes into it: a later session that began it elsewhere would
// pass over deletes of what is there.
func (p *pipeline) atMark(ctx context.Context) error {
	if p.reached.Load() || !p.source.Reached(p.position, p.mark) {
		return nil
	}
	if err := p.state.Reached(ctx, p.fed, p.version); err != nil {
		return err
	}
	p.reached.Store(true)
	if err := p.joins.Reached(); err != nil {
		return err
	}
	var aliases []string
	for _, t := range p.fed {
		if !slices.Contains(aliases, t.Alias) {
			aliases = append(aliases, t.Alias)
		}
	}
	p.whenHeld(aliases, func() { p.current.Store(!p.takenOver) })
	return nil
}

// errStale ends a session because what was read of tables is stale.
const errStale = replan("what was read of a table is stale; planning anew")

// stale begins an epoch of what the batch has made stale, and reports whether
// there was something new. The checkpoint is saved at the session's end.
func (p *pipeline) stale(b *sources.Batch) (found bool) {
	if !slices.ContainsFunc(b.Changes, func(c sources.Change) bool { return c.Kind == sources.Stale }) {
		return false
	}
	changes := slices.DeleteFunc(slices.Clone(b.Changes), func(c sources.Change) bool { return c.Kind != sources.Stale })
	p.state.Update(func(cp *builds.Checkpoint) { found = cp.NoteStale(changes) })
	said := map[string]bool{}
	for i := range changes {
		if text := "table " + changes[i].Table.String() + " " + changes[i].Stale.Reason; found && !said[text] {
			p.log.Warn().Stringer("table", changes[i].Table).Msg(text)
			said[text] = true
		}
	}
	return found
}

// gather goes on looking for a moment for more that has become stale, so that one
// new plan serves all of it, and then ends the session. The batches come again.
func (p *pipeline) gather(reading context.Context, batches <-chan *sources.Batch) error {
	most := time.NewTimer(2 * time.Second)
	defer most.Stop()
	for {
		quiet := time.NewTimer(300 * time.Millisecond)
		select {
		case b := <-batches:
			p.stale(b)
		case <-quiet.C:
			return errStale
		case <-most.C:
			return errStale
		case <-reading.Done():
			return errStale
		}
		quiet.Stop()
	}
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
		j.release()
		out, d, piece, copied, held := j.out, j.delivery, j.piece, j.copied, j.held
		if copied == nil && held < p.held/4 { // what a large row has freed its request takes
			p.memory.Release(held / 2) // the rows
			held -= held / 2
		}
		out.Done = func() {
			p.memory.Release(held)
			if copied != nil {
				close(copied)
				return
			}
			p.outputs.put(out)
			if piece != nil {
				piece.Hold()
				return
			}
			p.tracker.finish(d)
		}
		if len(out.Actions) == 0 {
			out.Done()
			continue
		}
		p.recorded.note(out)
		if len(out.Unmade) > 0 {
			if err := p.need(ctx, out.Unmade); err != nil {
				return err
			}
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
	p.state.Update(func(cp *builds.Checkpoint) {
		if !d.checkpoint.Position.IsZero() {
			cp.Position, cp.Version = d.checkpoint.Position, max(cp.Version, d.checkpoint.Version)
		}
		if c := d.chunk; c != nil {
			for _, progress := range c.scan.progress {
				progress.Advance(c.last, c.rows, c.done)
			}
			fault.Point("chunk delivered")
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
	var failures quiet.Log
	failing := false
	for {
		last := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-delivered:
			last = true
		case <-tick.C:
		}
		if !last {
			if err := p.look(ctx, failing); err != nil {
				return err // what is on its way may wait for an index that is gone
			}
		} else if p.told() {
			p.state.Update(func(cp *builds.Checkpoint) { cp.Beyond = false })
		}
		err := p.save(ctx)
		if anew, ok := errors.AsType[replan](err); ok {
			stop(anew)
			err = nil
		}
		p.report(err)
		failing = err != nil
		switch {
		case errors.Is(err, sinks.ErrConflict), storeFailed(err):
			return err
		case err != nil && ctx.Err() == nil:
			if lasted, tell := failures.Failed(err.Error()); tell {
				quiet.For(p.log.Warn().Err(err), lasted).Msg(web.CheckpointUnsaved.Log())
			}
			if err := retry.Wait(ctx, 0); err != nil {
				return err
			}
		case last:
			if p.state.Due() { // so that whoever asks for something next finds what this step has finished
				_, _ = p.state.Save(ctx) // else it is done again
			}
			return nil
		default:
			retry.Reset()
			if lasted, failed := failures.Over(); failed {
				p.log.Info().Stringer("after", lasted).Msg("the checkpoint step goes well again")
			}
		}
	}
}

// told reports whether the checkpoint is at the end of all that came, in this session and before: what earlier ones
// had sent is in the log up to the mark.
func (p *pipeline) told() (all bool) {
	p.state.View(func(cp *builds.Checkpoint) { all = p.sent.Load() <= cp.Version })
	return all && p.ended.Load() && p.tracker.idle() && (!p.beyond || p.reached.Load())
}

// save saves the checkpoint where that is due, acknowledges it, and finishes
// what is loaded.
func (p *pipeline) save(ctx context.Context) error {
	if p.state.Due() {
		position, err := p.state.Save(ctx)
		if err != nil {
			return errors.Join(err, p.ahead(err))
		}
		fault.Point("to be acknowledged")
		p.source.Ack(position)
	}
	return p.finish(ctx)
}

// ahead lets the source's log go where the sink, and so the checkpoint, is away
// and all that came is in the row store: the next session goes on from there.
func (p *pipeline) ahead(why error) error {
	if !p.joins.Alone() || errors.Is(why, sinks.ErrConflict) {
		return nil
	}
	var position sources.Position
	p.state.View(func(cp *builds.Checkpoint) { position = cp.Position })
	if err := p.joins.Sync(); err != nil {
		return err
	}
	p.source.Ack(position)
	return nil
}

// barrier returns a channel that is closed once everything of an alias that is dirty now,
// and everything that is on its way to the sink, is held there.
func (p *pipeline) barrier(alias string) <-chan struct{} {
	held := make(chan struct{})
	p.whenHeld([]string{alias}, func() { close(held) })
	return held
}

// whenHeld calls held once everything of some aliases that is dirty now, and everything that is on its way to the
// sink, is held there.
func (p *pipeline) whenHeld(aliases []string, held func()) {
	if p.joins == nil {
		aliases = nil
	}
	var left atomic.Int64
	left.Store(int64(len(aliases)) + 1)
	reached := func() {
		if left.Add(-1) == 0 {
			held()
		}
	}
	for _, alias := range aliases {
		p.joins.Barrier(alias, reached)
	}
	p.tracker.barrier(reached)
}
