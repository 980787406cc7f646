package builds

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/backoff"
	"haystream/mapping"
	"haystream/sinks"
)

// An index of mode append has documents whose rows are gone, so that it is never
// built of its tables' rows alone. Where the sink takes a changed definition for the
// index that is there, the tables' rows are read again into it, once what it needs is
// stored. Else a new one is
// built beside as ever, and filled with what it lacks of the old one before the swap.

// keeps reports whether documents of rows that are gone stay in an index, those of
// one definition at least.
func keeps(w *mapping.Index) bool {
	return slices.ContainsFunc(w.Renderers, func(r *mapping.Renderer) bool { return r.Append }) ||
		slices.ContainsFunc(w.Joined, func(r *mapping.JoinedRenderer) bool { return r.Append })
}

// keep goes on with the index that serves where it is to have another definition,
// or its rows are stale, and the sink lets it. What is left to be done is to build beside.
func (x *Indexes) keep(ctx context.Context, w *mapping.Index, st *indexState, serving *sinks.Index, epoch, now int64) error {
	x.promote(w, st, epoch)
	if st.Live == nil && serving != nil {
		if err := x.adopt(ctx, w, st, serving); err != nil {
			return err
		}
	}
	live, next := st.Live, st.Next
	if next != nil && next.From != "" && next.From != live.name() {
		x.Log.Error().Str("physical", next.From).Msg("the index that documents were copied from is gone; those of rows that are gone went with it")
		next.From, next.Place = "", ""
	}
	if st.Gap {
		x.Log.Warn().Str("index", w.Alias).Msg("changes were missed: rows that came and went again meanwhile have no document")
	}
	joined := len(w.Joined) > 0
	switch {
	case live == nil, live.is(w) && st.Stale == "", next != nil && next.is(w) && next.Epoch >= epoch:
		return nil
	case live.Stored != joined:
		return nil // it is fed in the old way until all is there for the new one
	case !live.by(w):
		if refused, err := x.amend(ctx, w, live); err != nil || refused != "" {
			return err
		}
	}
	if joined && !x.Whole && x.Fed[live.Physical] != nil {
		x.Log.Info().Str("index", w.Alias).Str("physical", live.Physical).Msg("reading rows for the changed definition; until they are stored the index goes on as it was")
		x.waiting = append(x.waiting, w.Alias)
		return nil
	}
	reason := st.Stale
	if reason == "" {
		reason = "its definition has changed"
	}
	x.Log.Warn().Str("index", w.Alias).Str("physical", live.Physical).Msg("reading the tables again into the index, which keeps its documents, because " + reason)
	st.Live, st.Stale = readAgain(live, w, now), ""
	if x.amended == nil {
		x.amended = map[string]bool{}
	}
	x.amended[live.Physical] = true
	return nil
}

// amend gives a changed definition to the index that serves.
func (x *Indexes) amend(ctx context.Context, w *mapping.Index, live *build) (refused string, err error) {
	was := sinks.IndexSpec{Alias: w.Alias, Physical: live.Physical}
	if saved, err := mapping.ParseSaved(live.Definition); err == nil { // else all settings are taken for new
		was.Mappings, was.Settings = saved.Mappings, saved.Settings
	}
	want := sinks.IndexSpec{Alias: w.Alias, Physical: live.Physical, Mappings: w.Mappings, Settings: w.Settings, Meta: w.Normalized}
	refused, err = x.Sink.Amend(ctx, live.Physical, was, want)
	if refused != "" {
		x.Log.Warn().Str("index", w.Alias).Str("physical", live.Physical).Msg("the index cannot have the changed definition: " + refused)
	}
	return refused, err
}

// readAgain is the same build by a definition before any row was read into it, in a
// later epoch. It misses no change meanwhile.
func readAgain(b *build, w *mapping.Index, epoch int64) *build {
	again := *b
	again.Definition, again.Epoch, again.Finished = w.Normalized, epoch, false
	again.Tables = unreadTables(w)
	again.Round++
	return &again
}

// promote makes the index that was about to serve the one that does, where another
// one is wanted by now: it alone has the documents of the last changes.
func (x *Indexes) promote(w *mapping.Index, st *indexState, epoch int64) {
	n := st.Next
	if n == nil || !n.Filled || n.is(w) && n.Epoch >= epoch {
		return
	}
	if st.Live != nil {
		x.discard(st.Live)
	}
	st.Live, st.Next = n, nil
	if st.Epoch <= n.Epoch {
		st.Stale = ""
	}
	n.serves()
}

// serves notes that nothing is to be copied into a build any more.
func (b *build) serves() { b.From, b.Place, b.Filled = "", "", false }

// adopt takes the index that serves for the live one where the checkpoint was lost.
// Numbering goes on above all that may be in it.
func (x *Indexes) adopt(ctx context.Context, w *mapping.Index, st *indexState, serving *sinks.Index) error {
	newest, err := x.Sink.Newest(ctx, serving.Physical)
	if err != nil {
		return err
	}
	b := newBuild(w, 0, x.Now())
	b.Physical, b.UUID, b.Definition = serving.Physical, serving.UUID, serving.Meta
	st.Live, st.Stale = b, "the checkpoint did not know it"
	x.State.Update(func(cp *Checkpoint) { cp.Version = max(cp.Version, newest+versionStride) })
	return nil
}

// replaceable reports whether a physical index may be dropped once t serves.
func (x *Indexes) replaceable(physical string, definition []byte, t *Target) bool {
	saved, err := mapping.ParseSaved(definition)
	if t.build.From == physical || err == nil && !saved.Appends() {
		return true
	}
	x.Log.Warn().Str("index", t.Alias).Str("physical", physical).Msg("replaced by one without its documents of rows that are gone, so that it stays: its definition had mode: append; delete it when nobody needs it")
	return false
}

// filled reports whether a loaded build has all documents of the one that it
// replaces. They are copied once what was loaded, and all before it, is held: what the
// other one gets from then on comes here, too.
func (x *Indexes) filled(t *Target) bool {
	switch {
	case t.build.From == "" || t.filling.done.Load():
		return true
	case t.filling.quiet == nil:
		t.filling.quiet = x.barrier()
	case !t.filling.asked:
		select {
		case <-t.filling.quiet:
			t.filling.asked = true
			x.copies.asked <- t
		default:
		}
	}
	return false
}

// A filling is how far the copy into a target has come in this session.
type filling struct {
	quiet <-chan struct{} // closed once the copy may begin; owned by the checkpoint step
	asked bool            // it was; owned by the checkpoint step
	done  atomic.Bool
}

// copies copies documents between physical indexes, in a goroutine of its own: a
// page at a time, which waits until the sink holds the one before.
type copies struct {
	sink  sinks.Reader
	state *State
	asked chan *Target
	log   zerolog.Logger
}

func newCopies(sink sinks.Reader, state *State, targets []*Target, log zerolog.Logger) *copies {
	return &copies{sink: sink, state: state, asked: make(chan *Target, len(targets)), log: log}
}

// run copies what is asked for until ctx ends. send gives a batch to the sink and
// returns a channel that is closed when it is held.
func (c *copies) run(ctx context.Context, send func(*sinks.Batch) (<-chan struct{}, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-c.asked:
			if err := c.fill(ctx, t, send); err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
}

// fill copies into t what it lacks, as long as it takes. The documents get
// versions below all that t was or will be given by its definition, and so never
// replace any of those. They go through no ingest pipeline: they have been there.
func (c *copies) fill(ctx context.Context, t *Target, send func(*sinks.Batch) (<-chan struct{}, error)) error {
	var from, at string
	most := t.Since.Load() - 1 // it is known: t was loaded
	c.state.View(func(*Checkpoint) { from, at = t.build.From, t.build.Place })
	c.log.Info().Str("index", t.Alias).Str("from", from).Str("to", t.Physical).Msg("copying documents of rows that are gone")
	to := &sinks.Target{Index: t.Index, Physical: t.Physical, WriteAlias: t.WriteAlias}
	retry := backoff.Backoff{Min: 200 * time.Millisecond, Max: 15 * time.Second}
	var broken error // of the session
	for {
		err := c.sink.Lacking(ctx, from, t.Physical, at, func(docs []sinks.Document, place string) error {
			if len(docs) > 0 {
				held, err := send(batchOf(docs, to, most))
				if err != nil {
					broken = err
					return err
				}
				select {
				case <-held:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			at = place
			c.state.Update(func(*Checkpoint) { t.build.Place = place })
			retry.Reset()
			return nil
		})
		switch {
		case broken != nil || ctx.Err() != nil:
			return broken
		case err == nil:
			c.log.Info().Str("index", t.Alias).Str("to", t.Physical).Int64("documents", to.Written.Load()).Int64("dropped", to.Dropped.Load()).Int64("dead_letters", to.DeadLetters.Load()).Msg("documents copied")
			t.filling.done.Store(true)
			return nil
		}
		c.log.Warn().Err(err).Str("index", t.Alias).Msg("copying documents failed; trying again")
		if retry.Wait(ctx, 0) != nil {
			return nil //nolint:nilerr // the end was asked for
		}
	}
}

// batchOf makes actions of documents, of versions up to most.
func batchOf(docs []sinks.Document, to *sinks.Target, most int64) *sinks.Batch {
	b := &sinks.Batch{Actions: make([]sinks.Action, len(docs))}
	for i, d := range docs {
		b.Actions[i] = sinks.Action{Target: to, Op: sinks.OpIndex, Version: min(d.Version, most), ID: d.ID, Routing: d.Routing, Body: d.Body}
	}
	return b
}
