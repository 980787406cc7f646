package replicator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	compareRows  = 2000            // rows looked at in one step, which takes as long as a change needs to be delivered
	compareBytes = 1 << 20         // of documents, about
	compareLooks = 12              // at a document that changes or differs
	patience     = 2 * time.Minute // with a server that does not answer
	keepEvery    = 3 * time.Second // the place that it has reached is saved
	settles      = 2 * time.Second // changes from before are numbered below the source's clock less this
	ahead        = time.Minute     // a Version may be before the newest, by a clock that was set
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
//
// The set and the place that it has reached are kept for the next session. What was delivered until then may not
// be in the set: the ids of all rows are added once more before a document is told to be without a row.
type comparison struct {
	p       *pipeline
	t       *builds.Target
	log     *verify.Log
	options verify.Options
	view    sinks.Viewer
	set     *verify.Set
	reader  *snapshot // with a rate of its own
	scratch *mapping.Scratch
	content bool // bodies are compared
	refused map[string]bool

	part    string    // what is being compared
	saved   time.Time // when the place was
	resumed bool      // ids that were delivered may not be in the set
}

// A part of a comparison goes on after a key.
type part struct {
	name string
	do   func(ctx context.Context, after sources.Key) error
}

// A recorded puts the ids of what is delivered of an index into a set.
type recorded struct {
	mu    sync.Mutex
	alias string
	set   *verify.Set // nil while nothing is compared
}

// into has ids put into a set from now on; nil: into none. The one before is not used any more.
func (r *recorded) into(set *verify.Set, alias string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set, r.alias = set, alias
}

// note is called by the delivery of each batch.
func (r *recorded) note(b *sinks.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil {
		return
	}
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

func (p *pipeline) newComparison(t *builds.Target, l *verify.Log) (*comparison, error) {
	o := l.Report().Options
	limits := p.loader.limits
	limits.MaxRowsPerSecond = o.Rate
	if rows := float64(compareRows); o.Samples() {
		limits.ChunkRows = int(min(float64(limits.ChunkRows), rows*100/o.Sample))
	} else {
		limits.ChunkRows = min(limits.ChunkRows, compareRows)
		if o.Rate > 0 { // a second at a time
			limits.ChunkRows = max(min(limits.ChunkRows, o.Rate), 2)
		}
	}
	c := &comparison{
		p: p, t: t, log: l, options: o, view: p.viewer, scratch: p.decoding.scratch(), refused: map[string]bool{},
		reader: &snapshot{source: p.source, windows: p.windows, chunks: p.loader.chunks, limits: limits, bytes: reading.ChunkBytes, caught: p.loader.caught, log: p.log},
	}
	if err := c.begin(); err != nil {
		return nil, err
	}
	p.recorded.into(c.set, t.Index)
	return c, nil
}

// begin goes on where the comparison was, as far as the index is the same and what was kept is there, or
// begins it.
func (c *comparison) begin() (err error) {
	t, l := c.t, c.log
	c.content = t.Pipeline == "" && !withoutSource(t.Definition)
	place := l.Place()
	if place != nil && place.Report.Physical == t.Physical && slices.ContainsFunc(c.parts(), func(p part) bool { return p.name == place.Part }) {
		if c.set, err = verify.OpenSet(c.p.verifyDir); err == nil {
			c.resumed = true
			l.GoOn()
			c.p.log.Info().Str("index", t.Alias).Str("part", place.Part).Strs("after", place.After).Msg("going on with verifying the index")
			return nil
		}
		c.p.log.Warn().Err(err).Str("index", t.Alias).Msg("the index is verified from its beginning again")
	}
	l.SetPlace(nil)
	if c.set, err = verify.NewSet(c.p.verifyDir); err != nil {
		return err
	}
	var notes []string
	note := func(text string) { notes = append(notes, text) }
	switch {
	case t.Pipeline != "":
		note("the ingest pipeline " + t.Pipeline + " changes documents: their presence, routing and version are compared, not their content")
	case !c.content:
		note("the mapping does not keep _source as it was sent: presence, routing and version of documents are compared, not their content")
	}
	if c.appends() {
		note("mode: append: documents stay when rows go, so that none is extra, and only their presence is compared")
	}
	if c.options.Samples() {
		note(fmt.Sprintf("%g %% of the rows are compared, and extra documents and stored rows are not looked for", c.options.Sample))
	}
	l.Update(func(r *verify.Report) {
		*r = verify.Report{Options: r.Options, Index: r.Index, Physical: t.Physical, State: verify.Running, Began: r.Began, Notes: notes, Differences: []verify.Difference{}}
	})
	return nil
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

// close ends it. keep: the next session goes on with it.
func (c *comparison) close(keep bool) error {
	c.p.recorded.into(nil, "")
	if !keep {
		return c.set.Close()
	}
	if err := c.set.Keep(); err != nil {
		c.log.SetPlace(nil)
		return err
	}
	c.p.verifier.keep()
	return nil
}

// reach notes that all before a place is compared, and saves that now and then.
func (c *comparison) reach(after sources.Key) error {
	c.log.Reach(c.part, after)
	if time.Since(c.saved) < keepEvery {
		return nil
	}
	c.saved = time.Now()
	if err := c.set.Flush(); err != nil {
		return err
	}
	c.p.verifier.keep()
	return nil
}

// parts are what is compared, one after the other.
func (c *comparison) parts() (all []part) {
	add := func(what string, of fmt.Stringer, do func(context.Context, sources.Key) error) {
		name := fmt.Sprintf("%s of %s, %d", what, of, len(all))
		all = append(all, part{name, func(ctx context.Context, after sources.Key) error {
			if err := do(ctx, after); err != nil {
				return fmt.Errorf("compare %s of table %s: %w", what, of, err)
			}
			return nil
		}})
	}
	for _, t := range c.p.joins.Read(c.t.Physical) {
		add("stored rows", t.Source, func(ctx context.Context, after sources.Key) error { return c.stored(ctx, t, after) })
		if !c.options.Samples() {
			add("extra stored rows", t.Source, func(ctx context.Context, _ sources.Key) error { return c.storedExtra(ctx, t) })
		}
	}
	for _, of := range c.rows() {
		add("documents", of, func(ctx context.Context, after sources.Key) error { return c.documents(ctx, of, after) })
	}
	if !c.appends() && !c.options.Samples() {
		all = append(all, part{"extra documents", c.extra})
	}
	return all
}

// rows are those that documents are made of.
func (c *comparison) rows() (all []rows) {
	for _, r := range c.t.Definition.Renderers {
		all = append(all, &flatRows{c, r})
	}
	for n, r := range c.t.Definition.Joined {
		all = append(all, &joinedRows{c, n, r})
	}
	return all
}

func (c *comparison) run(ctx context.Context) error {
	parts, after := c.parts(), sources.Key(nil)
	if place := c.log.Place(); place != nil {
		at := slices.IndexFunc(parts, func(p part) bool { return p.name == place.Part })
		parts, after = parts[at:], place.After
	}
	for _, p := range parts {
		c.part = p.name
		if err := c.reach(after); err != nil {
			return err
		}
		if err := p.do(ctx, after); err != nil {
			return err
		}
		after = nil
	}
	return nil
}

// add adds an action's document to the set.
func (c *comparison) add(a *sinks.Action) {
	if a.Op != sinks.OpDelete {
		c.set.Add([]byte(a.Target.Physical), a.ID, a.Routing)
	}
}

func (c *comparison) step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.log.Update(func(r *verify.Report) { r.Step = text })
}

// persist repeats what fails while a server does not answer, for some time. That a table has changed ends the session soon:
// the next one goes on.
func (c *comparison) persist(ctx context.Context, do func() error) error {
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for began := time.Now(); ; {
		err := do()
		if err == nil || ctx.Err() != nil || c.t.Retired.Load() || errors.Is(err, sources.ErrUnreadable) ||
			sources.Known(err) && !errors.Is(err, sources.ErrSchemaChanged) || time.Since(began) > patience {
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
		if err := c.marked(ctx); err != nil {
			return err
		}
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

// marked waits until the row store has made dirty what it knows of by now: documents whose time has come, and those that a change has
// left in slices to be found.
func (c *comparison) marked(ctx context.Context) error {
	moment, err := c.p.joins.Moment()
	wait := backoff.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}
	for err == nil {
		var all bool
		if all, err = c.p.joins.Marked(c.t.Physical, moment); all {
			return nil
		}
		err = errors.Join(err, wait.Wait(ctx, 0))
	}
	return err
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

// newest is about the newest Version that a document can have: the source's clock, or what was applied last, which is
// ahead of it after the log was lost, or the row store's last one, which is ahead of both after restarts.
func (p *pipeline) newest() int64 {
	newest := max(p.now(), p.applied.Load())
	if p.joins != nil {
		newest = max(newest, p.joins.Version())
	}
	return newest
}

// now is the source's clock, which Versions are of, in µs.
func (p *pipeline) now() int64 { return p.gauges.now() }

// write sends actions through the pipeline, and waits until the sink holds them.
func (c *comparison) write(ctx context.Context, actions []sinks.Action) error {
	b := &sinks.Batch{Actions: actions}
	for i := range actions {
		if to := actions[i].Target; to.Period != "" {
			b.Needs(to)
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

// picked are those of some rows that are in the sample.
func (c *comparison) picked(rows []sources.Row, key []int) []sources.Row {
	if !c.options.Samples() {
		return rows
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r sources.Row) bool { return !c.options.Picks(reading.AppendName(nil, r, key)) })
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
