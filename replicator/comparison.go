package replicator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"haystream/internal/backoff"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/joins"
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

// A look is what the documents of some rows should be.
type look struct {
	keys    []sources.Key // of the rows
	ends    []int         // where the actions of each end
	out     sinks.Batch
	version int64               // that the rows are of
	clock   int64               // the source's, before they were read, in µs
	stored  bool                // in the row store
	sure    bool                // what differs is wrong
	touched func(i int) bool    // whether a row has changed since
	end     func()              // ends it
	mend    func([]wrong) error // has documents written again
	rest    []sources.Key       // that were asked for and not looked at
	done    bool                // no rows follow
}

// A rows gives looks at the rows of a definition's table: at those with some keys, or, without, at
// the next ones.
type rows interface {
	look(ctx context.Context, keys []sources.Key) (*look, error)
	String() string
}

// A wrong is a document that differs.
type wrong struct {
	key    sources.Key
	action *sinks.Action
	have   *sinks.Document // nil: it is missing
	fields []string
}

func (w *wrong) difference() verify.Difference {
	d := verify.Difference{Kind: verify.Missing, ID: string(w.action.ID), Routing: string(w.action.Routing), Physical: w.action.Target.Physical, Fields: w.fields}
	if w.have != nil {
		d.Kind, d.Version = verify.Different, w.have.Version
	}
	return d
}

// documents compares the documents of one table's rows.
func (c *comparison) documents(ctx context.Context, of rows, present bool) error {
	for n := 0; ; {
		c.step("documents of %s: %d rows compared", of, n)
		var done bool
		var found []wrong
		var moving []sources.Key
		err := c.persist(ctx, func() error {
			l, err := of.look(ctx, nil)
			if err != nil {
				return err
			}
			defer l.end()
			done = l.done
			n += len(l.keys)
			found, moving, err = c.compare(ctx, l, present, true)
			return err
		})
		if err != nil {
			return err
		}
		if err := c.settle(ctx, of, found, moving, present); err != nil {
			return err
		}
		if done {
			return nil
		}
	}
}

// compare compares documents with what they should be. moving are rows about which nothing can be said.
func (c *comparison) compare(ctx context.Context, l *look, present, first bool) (found []wrong, moving []sources.Key, err error) {
	type expected struct {
		row    int
		action *sinks.Action
	}
	by := map[*sinks.Target][]expected{}
	at, all := 0, 0
	for row, end := range l.ends {
		for ; at < end; at++ {
			a := &l.out.Actions[at]
			if a.Op == sinks.OpDelete {
				continue
			}
			c.set.Add([]byte(a.Target.Physical), a.ID, a.Routing)
			if a.Op == sinks.OpReject { // a dead letter
				continue
			}
			by[a.Target] = append(by[a.Target], expected{row, a})
			all++
		}
	}
	if first {
		c.log.Compared("", all)
	}
	if err := c.held(ctx, l.stored); err != nil {
		return nil, nil, err
	}
	touched := map[int]bool{}
	for target, expect := range by {
		docs := make([]*sinks.Document, len(expect))
		names := make([]sinks.Document, len(expect))
		for i, e := range expect {
			names[i] = sinks.Document{ID: e.action.ID, Routing: e.action.Routing}
		}
		if target.Period == "" || target.Made.Load() {
			if err := c.view.View(ctx, target.Physical, names, func(n int, d *sinks.Document) { docs[n] = d }); err != nil {
				return nil, nil, fmt.Errorf("read documents: %w", err)
			}
		}
		for i, e := range expect {
			fields := c.differ(e.action, docs[i], present)
			if docs[i] != nil && len(fields) == 0 {
				continue
			}
			if moved, asked := touched[e.row]; asked && moved {
				continue
			}
			touched[e.row] = !l.sure || l.touched(e.row)
			if touched[e.row] {
				moving = append(moving, l.keys[e.row])
			} else {
				found = append(found, wrong{l.keys[e.row], e.action, docs[i], fields})
			}
		}
	}
	return found, moving, nil
}

// differ names the fields in which a document differs from what it should be.
func (c *comparison) differ(a *sinks.Action, have *sinks.Document, present bool) (fields []string) {
	if have == nil || present {
		return nil
	}
	if c.content {
		fields = verify.Fields(a.Body, have.Body)
	}
	if !bytes.Equal(a.Routing, have.Routing) {
		fields = append(fields, "_routing")
	}
	if have.Version > c.p.now()+ahead.Microseconds() {
		fields = append(fields, "_version")
	}
	return fields
}

// now is the source's clock, which Versions are of, in µs.
func (p *pipeline) now() int64 { return time.Now().UnixMicro() + p.gauges.skew.Load() }

// settle looks again at documents that differ, and at rows that have changed meanwhile, and repairs.
func (c *comparison) settle(ctx context.Context, of rows, found []wrong, moving []sources.Key, present bool) error {
	retry := backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	seen := map[string]bool{}              // differed in the look before
	told := map[string]verify.Difference{} // by key and id
	name := func(w *wrong) string { return strings.Join(w.key, "\x00") + "\x00" + string(w.action.ID) }
	for _, w := range found {
		seen[name(&w)] = true
	}
	clear(c.refused)
	keys := moving
	for _, w := range found {
		keys = append(keys, w.key)
	}
	left := map[string]int{} // looks, by key
	for len(keys) > 0 {
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
		var rest, again []sources.Key
		err := c.persist(ctx, func() error {
			rest, again = nil, nil
			l, err := of.look(ctx, keys)
			if err != nil {
				return err
			}
			defer l.end()
			found, moving, err := c.compare(ctx, l, present, false)
			if err != nil {
				return err
			}
			rest = l.rest
			still := map[string]bool{}
			var mend []wrong
			for _, w := range found {
				id := name(&w)
				still[id] = true
				if !seen[id] {
					seen[id] = true
					again = append(again, w.key)
					continue
				}
				if _, known := told[id]; !known {
					refused, err := c.isRefused(ctx, &w)
					if err != nil {
						return err
					}
					if refused {
						continue
					}
					told[id] = w.difference()
					c.log.Found(told[id])
					if w.have != nil { // by another routing, and told of
						c.set.Add([]byte(w.action.Target.Physical), w.have.ID, w.have.Routing)
					}
				}
				if c.repair && !slices.Contains(w.fields, "_version") {
					mend = append(mend, w)
					again = append(again, w.key)
				}
			}
			c.mended(told, still, l.keys, moving)
			again = append(again, moving...)
			if len(mend) > 0 {
				return l.mend(mend)
			}
			return nil
		})
		if err != nil {
			return err
		}
		keys = rest
		for _, key := range again {
			n := strings.Join(key, "\x00")
			if left[n]++; left[n] < compareLooks {
				keys = append(keys, key)
			} else if !c.toldOf(told, n) {
				c.log.Update(func(r *verify.Report) { r.Unsettled++ })
			}
		}
		keys = unique(keys)
	}
	return nil
}

func (c *comparison) toldOf(told map[string]verify.Difference, key string) bool {
	for id := range told {
		if strings.HasPrefix(id, key+"\x00") {
			return true
		}
	}
	return false
}

// mended notes which differences are none any more, of rows that were looked at and have not changed.
func (c *comparison) mended(told map[string]verify.Difference, still map[string]bool, looked, moving []sources.Key) {
	if !c.repair {
		return
	}
	of := func(keys []sources.Key, id string) bool {
		return slices.ContainsFunc(keys, func(k sources.Key) bool { return strings.HasPrefix(id, strings.Join(k, "\x00")+"\x00") })
	}
	for id, d := range told {
		if !still[id] && !d.Repaired && of(looked, id) && !of(moving, id) {
			d.Repaired = true
			told[id] = d
			c.log.Repaired(d)
		}
	}
}

func unique(keys []sources.Key) (all []sources.Key) {
	seen := map[string]bool{}
	for _, k := range keys {
		if name := strings.Join(k, "\x00"); !seen[name] {
			seen[name] = true
			all = append(all, k)
		}
	}
	return all
}

// isRefused reports whether a document differs since it is a dead letter, which is known elsewhere.
func (c *comparison) isRefused(ctx context.Context, w *wrong) (bool, error) {
	physical := w.action.Target.Physical
	if !c.refused[physical] { // asked once for each difference would be much
		err := c.view.Refusals(ctx, physical, func(id string) { c.refused[physical+"\x00"+id] = true })
		if err != nil {
			return false, fmt.Errorf("read dead letters: %w", err)
		}
		c.refused[physical] = true
	}
	refused := c.refused[physical+"\x00"+string(w.action.ID)]
	if refused {
		c.log.Update(func(r *verify.Report) { r.Refused++ })
	}
	return refused, nil
}

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

// flatRows are the rows of a table whose documents are made of nothing else.
type flatRows struct {
	c     *comparison
	r     *mapping.Renderer
	after sources.Key
}

func (f *flatRows) String() string { return f.r.Table.String() }

func (f *flatRows) look(ctx context.Context, keys []sources.Key) (*look, error) {
	c := f.c
	l := &look{sure: true}
	req := sources.ChunkRequest{Table: f.r.Table, After: f.after}
	if keys != nil {
		n := min(len(keys), c.reader.limits.ChunkRows-1)
		req.After, req.Having = nil, &sources.Values{Columns: f.r.Table.Key, Of: keys[:n]}
		l.rest = keys[n:]
	}
	l.clock = c.p.now()
	chunk, err := c.chunk(ctx, req, false, nil)
	if err != nil {
		return nil, err
	}
	win, version := chunk.window, chunk.version
	l.end = func() { c.p.windows.Close(win) }
	l.version, l.done = version, chunk.chunk.Done
	if keys != nil && !l.done { // large rows: the others in a look of their own
		l.rest = append(slices.Clone(req.Having.Of), l.rest...)
		for _, row := range chunk.chunk.Rows {
			key := row.Key(f.r.Table.Key)
			l.rest = slices.DeleteFunc(l.rest, func(k sources.Key) bool { return slices.Equal(k, key) })
		}
	}
	for _, row := range chunk.chunk.Rows {
		if err := f.r.Row(c.scratch, &l.out, c.t.Target, row, version); err != nil {
			l.end()
			return nil, fmt.Errorf("render %s: %w", f.r.Name, err)
		}
		l.keys, l.ends = append(l.keys, row.Key(f.r.Table.Key)), append(l.ends, len(l.out.Actions))
	}
	if keys == nil && chunk.chunk.Last != nil {
		f.after = chunk.chunk.Last
	}
	l.touched = func(i int) bool {
		h, ok := c.p.windows.Happened(win, chunk.chunk)
		name := reading.AppendName(nil, chunk.chunk.Rows[i], f.r.Table.Key)[4:]
		return !ok || h.Changed.Has(name) || h.Partial.Has(name)
	}
	l.mend = func(all []wrong) error {
		var actions []sinks.Action
		for _, w := range all {
			a := *w.action
			// What changes the row from now on has a later Version.
			if a.Version = max(version, l.clock-settles.Microseconds()); w.have != nil {
				a.Version = max(a.Version, w.have.Version)
			}
			actions = append(actions, a)
		}
		return c.write(ctx, actions)
	}
	return l, nil
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

// joinedRows are stored rows whose documents are made of several tables.
type joinedRows struct {
	c     *comparison
	n     int
	name  string
	after []byte
}

func (r *joinedRows) String() string { return r.name }

func (r *joinedRows) look(ctx context.Context, keys []sources.Key) (*look, error) {
	c := r.c
	l := &look{stored: true}
	var asked []string
	for i, key := range keys {
		if i == compareRows {
			l.rest = keys[i:]
			break
		}
		asked = append(asked, key[0])
	}
	check, err := c.p.joins.Check(c.t.Physical, r.n, c.scratch, &l.out, r.after, asked, compareRows, compareBytes)
	if err != nil {
		return nil, err
	}
	for _, key := range check.Keys {
		l.keys = append(l.keys, sources.Key{key})
	}
	l.ends, l.version, l.sure, l.done, l.touched, l.end = check.Ends, check.Version, check.Sure, check.Done, check.Touched, check.End
	if keys == nil && check.Last != nil {
		r.after = check.Last
	}
	l.mend = func(all []wrong) error {
		version, now := int64(0), c.p.now()
		marks := map[string]bool{}
		var rows []string
		for _, w := range all {
			if w.have != nil {
				version = max(version, w.have.Version)
			}
			if !marks[w.key[0]] {
				marks[w.key[0]] = true
				rows = append(rows, w.key[0])
			}
		}
		return c.p.do(ctx, func() error { return c.p.joins.Mend(c.t.Physical, r.n, rows, max(version, now)) })
	}
	return l, c.reader.rate.take(ctx, len(check.Keys), c.reader.limits.MaxRowsPerSecond)
}

// extra looks for documents that no row explains.
func (c *comparison) extra(ctx context.Context) error {
	c.step("documents that no row explains")
	for _, part := range c.t.All() {
		err := c.view.Listed(ctx, part.Physical, func(docs []sinks.Document) error {
			unknown, err := c.unknown(part, docs)
			if err != nil || len(unknown) == 0 {
				return err
			}
			return c.confirmExtra(ctx, part, unknown)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unknown are those of some documents that no row gives.
func (c *comparison) unknown(part *sinks.Target, docs []sinks.Document) (unknown []sinks.Document, err error) {
	for _, d := range docs {
		has, err := c.set.Has([]byte(part.Physical), d.ID, d.Routing)
		if err != nil {
			return nil, err
		}
		if !has {
			unknown = append(unknown, d)
		}
	}
	return unknown, nil
}

// confirmExtra looks again at documents that no row seems to give, once all that was on its way has come.
func (c *comparison) confirmExtra(ctx context.Context, part *sinks.Target, docs []sinks.Document) error {
	for try := 0; try < 2 && len(docs) > 0; try++ {
		if err := c.held(ctx, false); err != nil {
			return err
		}
		if len(c.t.Definition.Joined) > 0 {
			if err := c.held(ctx, true); err != nil {
				return err
			}
		}
		var there []sinks.Document
		err := c.persist(ctx, func() error {
			there = nil
			return c.view.View(ctx, part.Physical, docs, func(_ int, d *sinks.Document) {
				if d != nil {
					d.Body = nil
					there = append(there, *d)
				}
			})
		})
		if err == nil {
			docs, err = c.unknown(part, there)
		}
		if err != nil {
			return err
		}
	}
	var actions []sinks.Action
	var all []verify.Difference
	for _, d := range docs {
		diff := verify.Difference{Kind: verify.Extra, ID: string(d.ID), Routing: string(d.Routing), Physical: part.Physical, Version: d.Version}
		c.log.Found(diff)
		if !c.repair || d.Version > c.p.now()+ahead.Microseconds() {
			continue
		}
		all = append(all, diff)
		// Whatever the document gets later has this Version at least.
		actions = append(actions, sinks.Action{Target: part, Op: sinks.OpDelete, Version: d.Version, ID: d.ID, Routing: d.Routing})
	}
	if len(actions) == 0 {
		return nil
	}
	if err := c.write(ctx, actions); err != nil {
		return err
	}
	names := make([]sinks.Document, len(actions))
	for i, a := range actions {
		names[i] = sinks.Document{ID: a.ID, Routing: a.Routing}
	}
	return c.persist(ctx, func() error {
		return c.view.View(ctx, part.Physical, names, func(n int, d *sinks.Document) {
			if d == nil {
				c.log.Repaired(all[n])
			}
		})
	})
}

// stored compares a table of the row store with the source.
func (c *comparison) stored(ctx context.Context, t *joins.Table) error {
	table := t.Source.String()
	tag := []byte(table)
	var after sources.Key
	for n := 0; ; {
		c.step("stored table %s: %d rows compared", table, n)
		rows, chunk, err := c.storedChunk(ctx, t, sources.ChunkRequest{Table: t.Source, After: after}, nil)
		if err != nil {
			return err
		}
		n += len(rows)
		c.log.Compared(table, len(rows))
		for _, s := range rows {
			c.set.Add(tag, []byte(s.Key))
		}
		if err := c.settleStored(ctx, t, rows); err != nil {
			return err
		}
		if chunk.chunk.Done {
			break
		}
		after = chunk.chunk.Last
	}
	return c.storedExtra(ctx, t, tag)
}

// storedChunk reads rows and compares them with the store at their mark. asked are the stored rows that it is read for.
func (c *comparison) storedChunk(ctx context.Context, t *joins.Table, req sources.ChunkRequest, asked map[string]sources.Key) (rows []joins.Stored, chunk *loadedChunk, err error) {
	err = c.persist(ctx, func() error {
		chunk, err = c.chunk(ctx, req, true, func(at *loadedChunk, h reading.Happened) (err error) {
			rows, err = c.p.joins.Compare(t, at.chunk, h, asked)
			return err
		})
		if chunk != nil {
			c.p.windows.Close(chunk.window)
		}
		return err
	})
	return rows, chunk, err
}

// settleStored looks again at stored rows that differ or have changed meanwhile, and has them read again.
func (c *comparison) settleStored(ctx context.Context, t *joins.Table, rows []joins.Stored) error {
	wrong := func(s *joins.Stored) bool { return !s.There || s.Gone || len(s.Fields) > 0 }
	retry := backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	told, seen, looks := map[string]verify.Difference{}, map[string]bool{}, map[string]int{}
	for {
		next := map[string]sources.Key{}
		var mend []sources.Key
		for i := range rows {
			s := &rows[i]
			d, known := told[s.Key]
			switch {
			case s.Touched && (looks[s.Key] > 0 || wrong(s)):
				next[s.Key] = s.Texts
			case s.Touched:
			case !wrong(s):
				if known && !d.Repaired && c.repair {
					d.Repaired = true
					told[s.Key] = d
					c.log.Repaired(d)
				}
			case !seen[s.Key]:
				seen[s.Key], next[s.Key] = true, s.Texts
			default:
				if !known {
					d = verify.Difference{Table: t.Source.String(), Kind: verify.Different, ID: strings.Join(s.Texts, ","), Fields: s.Fields}
					switch {
					case s.Gone:
						d.Kind, d.Fields = verify.Extra, nil
					case !s.There:
						d.Kind = verify.Missing
					}
					told[s.Key] = d
					c.log.Found(d)
				}
				if c.repair {
					mend, next[s.Key] = append(mend, s.Texts), s.Texts
				}
			}
		}
		if len(mend) > 0 {
			if err := c.p.do(ctx, func() error { return c.p.joins.ReadAgain(t, mend) }); err != nil {
				return err
			}
		}
		for key := range next {
			if looks[key]++; looks[key] > compareLooks {
				if _, known := told[key]; !known {
					c.log.Update(func(r *verify.Report) { r.Unsettled++ })
				}
				delete(next, key)
			}
		}
		if len(next) == 0 {
			return nil
		}
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
		var keys []sources.Key
		for _, texts := range next {
			keys = append(keys, texts)
		}
		var err error
		if rows, err = c.storedByKey(ctx, t, keys, next); err != nil {
			return err
		}
		// An extra row that is not there any more was repaired.
		back := map[string]bool{}
		for _, s := range rows {
			back[s.Key] = true
		}
		for key, d := range told {
			if _, asked := next[key]; asked && !back[key] && d.Kind == verify.Extra && !d.Repaired && c.repair {
				d.Repaired = true
				told[key] = d
				c.log.Repaired(d)
			}
		}
	}
}

// storedByKey compares rows by key.
func (c *comparison) storedByKey(ctx context.Context, t *joins.Table, keys []sources.Key, asked map[string]sources.Key) (all []joins.Stored, err error) {
	for len(keys) > 0 {
		n := min(len(keys), c.reader.limits.ChunkRows-1)
		for {
			part := map[string]sources.Key{}
			for key, texts := range asked {
				if slices.ContainsFunc(keys[:n], func(k sources.Key) bool { return slices.Equal(k, texts) }) {
					part[key] = texts
				}
			}
			rows, chunk, err := c.storedChunk(ctx, t, sources.ChunkRequest{Table: t.Source, Having: t.Having(keys[:n])}, part)
			if err != nil {
				return nil, err
			}
			if !chunk.chunk.Done && n > 1 {
				n /= 2
				continue
			}
			all = append(all, rows...)
			break
		}
		keys = keys[n:]
	}
	return all, nil
}

// storedExtra looks for stored rows that the source does not have.
func (c *comparison) storedExtra(ctx context.Context, t *joins.Table, tag []byte) error {
	c.step("stored table %s: rows that the source does not have", t.Source)
	for after, done := []byte(nil), false; !done; {
		unknown := map[string]sources.Key{}
		var err error
		after, done, err = c.p.joins.Rows(t, after, compareRows, func(key []byte, texts sources.Key) error {
			has, err := c.set.Has(tag, key)
			if err == nil && !has {
				unknown[string(key)] = texts
			}
			return err
		})
		if err != nil {
			return err
		}
		var keys []sources.Key
		for _, texts := range unknown {
			keys = append(keys, texts)
		}
		rows, err := c.storedByKey(ctx, t, keys, unknown)
		if err == nil {
			err = c.settleStored(ctx, t, rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
