package replicator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"haystream/internal/backoff"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/reading"
	"haystream/replicator/verify"
	"haystream/sinks"
	"haystream/sources"
)

// Bounds of a comparison.
const (
	compareRows  = 500              // rows looked at in one step
	compareBytes = 1 << 20          // of documents, about
	compareLooks = 12               // at a document that changes or differs
	patience     = 2 * time.Minute  // with a server that does not answer
	settles      = 2 * time.Second  // changes from before are numbered below the source's clock less this
	ahead        = 10 * time.Second // a Version may be before the clock
)

// A comparison compares one physical index with the rows that it is made of, while changes
// flow. A step looks at some rows: what their documents should be is rendered from the rows as they were at
// one moment; then all that was on its way at that moment is waited for, and the documents are
// read. A row that has changed between its reading and that of its document is looked at
// again. For all others the two must be equal: there is nothing that could explain a difference. One
// that differs in two looks is told of.
//
// Each id that a row gives, and each that is delivered meanwhile, goes into a set on disk. In the end all
// documents of the index are listed: one that is not in the set is there without a row.
type comparison struct {
	p       *pipeline
	t       *builds.Target
	log     *verify.Log
	repair  bool
	view    sinks.Viewer
	set     *verify.Set
	reader  *snapshot // with a rate of its own
	scratch *mapping.Scratch
	content bool // bodies are compared
	refused map[string]bool
}

// A recording puts the ids of what is delivered into a set.
type recording struct {
	alias string
	set   *verify.Set
}

// note is called by the delivery of each batch.
func (r *recording) note(b *sinks.Batch) {
	for i := range b.Actions {
		if a := &b.Actions[i]; a.Op != sinks.OpDelete && a.Target.Index == r.alias {
			r.set.Add([]byte(a.Target.Physical), a.ID, a.Routing)
		}
	}
}

// viewer is the sink as far as it shows documents; nil where it does not.
func (d *daemon) viewer() sinks.Viewer {
	v, _ := d.sink.(sinks.Viewer)
	return v
}

// complete is the physical index that serves an alias, once all its documents are there; else nil.
func (p *pipeline) complete(alias string) (found *builds.Target) {
	if !p.reached.Load() {
		return nil
	}
	p.state.View(func(*builds.Checkpoint) {
		for _, t := range p.fed {
			if t.Alias != alias || !t.Serving || t.Waiting || t.Retired.Load() {
				continue
			}
			done := true
			for _, progress := range t.Tables() {
				done = done && progress.Done
			}
			if done {
				found = t
			}
		}
	})
	return found
}

func (p *pipeline) newComparison(_ context.Context, t *builds.Target, l *verify.Log) (*comparison, error) {
	set, err := verify.NewSet(p.verifyDir)
	if err != nil {
		return nil, err
	}
	o := l.Report().Options
	limits := p.loader.limits
	limits.ChunkRows, limits.MaxRowsPerSecond = min(limits.ChunkRows, compareRows), o.Rate
	c := &comparison{
		p: p, t: t, log: l, repair: o.Repair, view: p.viewer, set: set, scratch: p.decoding.scratch(), refused: map[string]bool{},
		reader: &snapshot{source: p.source, windows: p.windows, chunks: p.loader.chunks, limits: limits, bytes: reading.ChunkBytes, caught: p.loader.caught, log: p.log},
	}
	c.content = true
	note := func(text string) { l.Update(func(r *verify.Report) { r.Notes = append(r.Notes, text) }) }
	switch {
	case t.Pipeline != "":
		c.content = false
		note("the ingest pipeline " + t.Pipeline + " changes documents: their presence, routing and version are compared, not their content")
	case withoutSource(t.Definition):
		c.content = false
		note("the mapping does not keep _source as it was sent: presence, routing and version of documents are compared, not their content")
	}
	if c.appends() {
		note("mode: append: documents stay when rows go, so that none is extra, and only their presence is compared")
	}
	p.recording.Store(&recording{t.Index, set})
	return c, nil
}

// withoutSource reports whether a mapping keeps documents otherwise than they were sent.
func withoutSource(index *mapping.Index) bool {
	var m struct {
		Source json.RawMessage `json:"_source"`
	}
	return json.Unmarshal(index.Mappings, &m) != nil || m.Source != nil || bytes.Contains(index.Settings, []byte("synthetic"))
}

// appends reports whether documents stay when their rows go.
func (c *comparison) appends() bool {
	return slices.ContainsFunc(c.t.Definition.Renderers, func(r *mapping.Renderer) bool { return r.Append }) ||
		slices.ContainsFunc(c.t.Definition.Joined, func(r *mapping.JoinedRenderer) bool { return r.Append })
}

func (c *comparison) close() error {
	c.p.recording.Store(nil)
	c.p.recorded.Lock() // until who adds to the set is done
	defer c.p.recorded.Unlock()
	return c.set.Close()
}

func (c *comparison) run(ctx context.Context) error {
	for _, t := range c.p.joins.Read(c.t.Physical) {
		if err := c.stored(ctx, t); err != nil {
			return fmt.Errorf("compare stored table %s: %w", t.Source, err)
		}
	}
	for _, r := range c.t.Definition.Renderers {
		if err := c.documents(ctx, &flatRows{c: c, r: r}, r.Append); err != nil {
			return fmt.Errorf("compare documents of table %s: %w", r.Table, err)
		}
	}
	for n, r := range c.t.Definition.Joined {
		if err := c.documents(ctx, &joinedRows{c: c, n: n, name: r.Stored.String()}, r.Append); err != nil {
			return fmt.Errorf("compare documents of table %s: %w", r.Stored, err)
		}
	}
	if c.appends() {
		return nil
	}
	return c.extra(ctx)
}

func (c *comparison) step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.log.Update(func(r *verify.Report) { r.Step = text })
}

// persist repeats what fails while a server does not answer, for some time.
func (c *comparison) persist(ctx context.Context, do func() error) error {
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for began := time.Now(); ; {
		err := do()
		if err == nil || ctx.Err() != nil || c.t.Retired.Load() || errors.Is(err, sources.ErrUnreadable) || sources.Known(err) || time.Since(began) > patience {
			return err
		}
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
	}
}

// held waits until the sink holds all of the index that was read until now. stored: of documents that are
// rendered from the row store; else of others, which do not wait for those.
func (c *comparison) held(ctx context.Context, stored bool) error {
	reached := make(chan struct{})
	if stored {
		c.p.joins.Barrier(c.t.Alias, func() { close(reached) })
	} else {
		c.p.tracker.barrier(func() { close(reached) })
	}
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do has the apply loop do something.
func (p *pipeline) do(ctx context.Context, what func() error) error {
	select {
	case p.asides <- what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now is the source's clock, which Versions are of, in µs.
func (p *pipeline) now() int64 { return time.Now().UnixMicro() + p.gauges.skew.Load() }

// write sends actions through the pipeline, and waits until the sink holds them.
func (c *comparison) write(ctx context.Context, actions []sinks.Action) error {
	b := &sinks.Batch{Actions: actions}
	for i := range actions {
		if to := actions[i].Target; to.Period != "" && !to.Made.Load() && !slices.Contains(b.Unmade, to) {
			b.Unmade = append(b.Unmade, to)
		}
	}
	held, err := c.p.send(b)
	if err != nil {
		return err
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// chunk reads rows, and returns once the stream has reached the chunk's mark. Its window
// stays open. at is called by the apply loop at the mark; nil for nothing.
func (c *comparison) chunk(ctx context.Context, req sources.ChunkRequest, stored bool, at func(*loadedChunk, reading.Happened) error) (*loadedChunk, error) {
	retry := backoff.Backoff{Min: 5 * time.Millisecond, Max: time.Second}
	since := int64(0)
	if stored {
		since = c.p.joins.Since()
	}
	for {
		chunk := &loadedChunk{check: &chunkCheck{at: at}}
		read, err := c.reader.ask(ctx, chunk, stored, since, req)
		if err != nil {
			return nil, err
		}
		seen, err := c.reader.await(ctx, read)
		if err != nil {
			return nil, err
		}
		if seen {
			return read, chunk.check.err
		}
		c.p.windows.Close(read.window)
		if err := retry.Wait(ctx, 0); err != nil {
			return nil, err
		}
	}
}

// A chunkCheck is what a chunk is read for that is compared.
type chunkCheck struct {
	at  func(*loadedChunk, reading.Happened) error
	err error
}

// check is the merge of a chunk that is compared. Its window stays open.
func (p *pipeline) check(c *loadedChunk) {
	h, ok := p.windows.Happened(c.window, c.chunk)
	c.version = p.version
	if ok && c.check.at != nil {
		c.check.err = c.check.at(c, h)
	}
	c.answer <- ok
}
