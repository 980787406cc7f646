package builds

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/backoff"
	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/sinks"
)

// An index of mode append has documents whose rows are gone, so that it is never
// built of its tables' rows alone. Where the sink takes a changed definition for the
// index that is there, the tables' rows are read again into it, once what it needs is
// stored. Else a new one is built beside as ever, and filled with the documents of the
// old one before the swap.
//
// No document is lost, because of these rules:
//
//   - A target of an append definition takes every change from the checkpoint on, from the
//     moment when it is planned. All before is in the index that serves, or in its origins.
//   - What serves is fed without deletes, too, as soon as the definition appends.
//   - A replacement has the index that serves, and that one's origins, for origins, and
//     serves once all are copied. What serves copies nothing while it has a replacement.
//   - An index with documents of an append definition is dropped when they are all copied
//     into the one that serves; or when it was to replace that, and has got nothing that the
//     other has not got as well. Where it has (Sole), it is the one to go on with.
//   - Which other indexes have documents of an alias is found in the sink, so that it is
//     no matter which checkpoint is there, or none.

// keeps reports whether documents of rows that are gone stay in an index, those of
// one definition at least.
func keeps(w *mapping.Index) bool {
	return slices.ContainsFunc(w.Names, func(name string) bool { return keepsOf(w, name) })
}

// keepsOf reports whether documents of rows that are gone stay, of one definition.
func keepsOf(w *mapping.Index, name string) bool {
	return slices.ContainsFunc(w.Renderers, func(r *mapping.Renderer) bool { return r.Append && r.Name == name }) ||
		slices.ContainsFunc(w.Joined, func(r *mapping.JoinedRenderer) bool { return r.Append && r.Name == name })
}

// keep goes on with the index that serves where it is to have another definition,
// or its rows are stale, and the sink lets it. What is left to be done is to build beside.
func (x *Indexes) keep(ctx context.Context, w *mapping.Index, st *indexState, epoch, now int64) error {
	live, next := st.Live, st.Next
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
	reason := "its definition has changed"
	if st.Stale != "" {
		reason = st.Stale + "; rows that came and went again before that was seen may have no document"
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
		refused = regroups(&saved, w)
	}
	want := sinks.IndexSpec{Alias: w.Alias, Physical: live.Physical, Mappings: w.Mappings, Settings: w.Settings, Meta: w.Normalized}
	if refused == "" {
		refused, err = x.Sink.Amend(ctx, live.Physical, was, want)
	}
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

// succeed makes a replacement the index that serves where it cannot be given up and is not
// what is wanted any more, or where nothing else is there.
func (x *Indexes) succeed(w *mapping.Index, st *indexState, epoch int64) {
	n := st.Next
	if n == nil || n.UUID == "" || !appends(n.Definition) || st.Live != nil && (!n.Sole || n.is(w) && n.Epoch >= epoch) {
		return
	}
	if st.Live != nil {
		n.takeIn(st.Live.Physical, n.Since)
	}
	if st.Live != nil && st.Epoch <= n.Epoch {
		st.Stale = ""
	}
	x.Log.Warn().Str("index", w.Alias).Str("physical", n.Physical).Msg("the index that was built beside serves from now on: it has changes that the other one lacks")
	n.Sole = false
	st.Live, st.Next = n, nil
}

// gather finds the physical indexes whose documents the index that serves has to get: those of
// the alias that nobody knows of, since the checkpoint was lost or the definition did not append
// for a while, and where the alias is new, those of other aliases that its definitions had.
// lost are origins of indexes that are gone.
func (x *Indexes) gather(ctx context.Context, w *mapping.Index, st *indexState, lost []string, unknown bool) error {
	live, next := st.Live, st.Next
	if live == nil { // what served is gone, and what was to replace it is not made yet
		live, next = next, nil
	}
	if live == nil {
		return nil
	}
	made, err := x.others(ctx, w, unknown)
	if err != nil {
		return err
	}
	x.State.View(func(cp *Checkpoint) {
		made = slices.DeleteFunc(append(lost, made...), func(name string) bool {
			return name == live.Physical || name == next.name() || slices.Contains(cp.Garbage, name) || slices.Contains(live.origins(), name)
		})
	})
	for _, name := range made {
		if err := x.number(ctx, name, 1); err != nil {
			return err
		}
	}
	var below int64
	x.State.View(func(cp *Checkpoint) { below = max(cp.Version, 1) })
	for _, name := range made {
		x.Log.Warn().Str("index", w.Alias).Str("physical", live.Physical).Str("from", name).Msg("the index takes in the documents of one that was given up")
		live.takeIn(name, below)
	}
	if err := x.forgetGone(ctx, w.Alias, live); err != nil {
		return err
	}
	if err := x.makeRoom(ctx, w.Alias, live, made); err != nil || next == nil {
		return err
	}
	if next.UUID == "" { // what it was to get may be elsewhere by now
		next.Origins = nil
	}
	next.takeIn(live.Physical, below)
	for _, o := range live.Origins {
		if !o.Copied {
			next.takeIn(o.Physical, below)
		}
	}
	return x.forgetGone(ctx, w.Alias, next)
}

// makeRoom adds the fields of origins to the mapping of an index that is there already.
func (x *Indexes) makeRoom(ctx context.Context, alias string, b *build, made []string) error {
	made = slices.DeleteFunc(made, func(name string) bool { return !slices.Contains(b.origins(), name) })
	if b.UUID == "" || len(made) == 0 {
		return nil
	}
	spec := sinks.IndexSpec{Alias: alias, Physical: b.Physical, Meta: b.Definition}
	if saved, err := mapping.ParseSaved(b.Definition); err == nil {
		spec.Mappings, spec.Settings = saved.Mappings, saved.Settings
	}
	more := spec
	more.Keep = made
	refused, err := x.Sink.Amend(ctx, b.Physical, spec, more)
	if refused != "" {
		x.Log.Warn().Str("index", alias).Str("physical", b.Physical).Msg("fields of the documents that it takes in cannot be mapped as before; those that do not fit become dead letters: " + refused)
	}
	return err
}

// others lists physical indexes with documents of append definitions: those of the alias and,
// where the checkpoint does not know that, those of other aliases that are not wanted any more.
func (x *Indexes) others(ctx context.Context, w *mapping.Index, unknown bool) (names []string, err error) {
	made, err := x.Sink.Made(ctx, w.Alias)
	if err != nil {
		return nil, err
	}
	if unknown {
		all, err := x.Sink.Made(ctx, "")
		if err != nil {
			return nil, err
		}
		x.State.View(func(cp *Checkpoint) { // the sink may not show indexes of aliases that are not configured
			for alias, st := range cp.Indexes {
				for _, b := range []*build{st.Live, st.Next} {
					if b != nil && b.UUID != "" {
						all = append(all, &sinks.Index{Alias: alias, Physical: b.Physical, Meta: b.Definition})
					}
				}
			}
		})
		for _, index := range all {
			saved, err := mapping.ParseSaved(index.Meta)
			if err == nil && !x.wanted[index.Alias] && slices.ContainsFunc(w.Names, func(name string) bool { return saved.Definitions[name] != nil }) {
				made = append(made, index)
			}
		}
	}
	for _, index := range made {
		if appends(index.Meta) {
			names = append(names, index.Physical)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// forgetGone forgets origins that somebody has deleted.
func (x *Indexes) forgetGone(ctx context.Context, alias string, b *build) error {
	var gone []string
	for _, o := range b.Origins {
		if o.Copied {
			continue
		}
		s, err := x.Sink.Standing(ctx, alias, o.Physical)
		if err != nil {
			return err
		}
		if s.UUID == "" && len(s.Periods) == 0 {
			x.Log.Error().Str("index", alias).Str("physical", o.Physical).Msg("the index that documents were to be copied from is gone; those of rows that are gone went with it")
			gone = append(gone, o.Physical)
		}
	}
	b.Origins = slices.DeleteFunc(b.Origins, func(o *origin) bool { return slices.Contains(gone, o.Physical) })
	return nil
}

// appends reports whether a saved definition keeps documents of rows that are gone.
func appends(definition json.RawMessage) bool {
	saved, err := mapping.ParseSaved(definition)
	return err != nil || saved.Appends()
}

// adopt takes the index that serves for the live one where the checkpoint was lost.
// Numbering goes on above all that may be in it.
func (x *Indexes) adopt(ctx context.Context, w *mapping.Index, st *indexState, serving *sinks.Index) error {
	if _, err := x.standing(ctx, w.Alias, serving.Physical); err != nil {
		return err
	}
	b := newBuild(w, 0, x.Now())
	b.Physical, b.UUID, b.Definition = serving.Physical, serving.UUID, serving.Meta
	st.Live, st.Stale = b, "the checkpoint did not know it"
	if st.Next.name() == b.Physical { // it was swapped in, and that was not saved
		st.Next = nil
	}
	return x.number(ctx, b.Physical, versionStride)
}

// number lets numbering go on above all that is in a physical index, by a stride at least.
func (x *Indexes) number(ctx context.Context, physical string, stride int64) error {
	newest, err := x.Sink.Newest(ctx, physical)
	if err == nil {
		x.State.Update(func(cp *Checkpoint) { cp.Version = max(cp.Version, newest+stride) })
	}
	return err
}

// settled takes what is copied off the list of a build's origins, when the build serves. Those of
// its own alias are not needed any more; those of another one stay as they are.
func (cp *Checkpoint) settled(alias string, b *build) {
	b.Origins = slices.DeleteFunc(b.Origins, func(o *origin) bool {
		if o.Copied && sinks.IsPhysical(alias, o.Physical) && !slices.Contains(cp.Garbage, o.Physical) {
			cp.Garbage = append(cp.Garbage, o.Physical)
		}
		return o.Copied
	})
}

// filled reports whether a loaded build has all documents that it is to get of others.
func (x *Indexes) filled(t *Target) bool {
	switch {
	case x.complete(t):
		return true
	case t.Serving && t.Replacement != nil:
		return false // which gets them
	case !t.filling:
		t.filling = true
		x.copies.asked <- t
	}
	return false
}

func (x *Indexes) complete(t *Target) (complete bool) {
	x.State.View(func(*Checkpoint) { complete = t.build.uncopied() == nil })
	return complete
}

// copies copies documents between physical indexes, in a goroutine of its own: a
// page at a time, which waits until the sink holds the one before.
type copies struct {
	sink    sinks.Reader
	state   *State
	asked   chan *Target
	need    func(context.Context, []*sinks.Target) error // see Indexes.Need
	barrier func(alias string) <-chan struct{}           // see Indexes.Follow
	log     zerolog.Logger
}

func (x *Indexes) newCopies(targets []*Target) *copies {
	return &copies{sink: x.Sink, state: x.State, asked: make(chan *Target, len(targets)), need: x.Need, barrier: x.barrier, log: x.Log}
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

// fill copies into t what it lacks of its origins, one after the other, as long as it takes.
func (c *copies) fill(ctx context.Context, t *Target, send func(*sinks.Batch) (<-chan struct{}, error)) error {
	retry := backoff.Backoff{Min: 200 * time.Millisecond, Max: 15 * time.Second}
	for {
		var from *origin
		c.state.View(func(*Checkpoint) { from = t.build.uncopied() })
		if from == nil {
			return nil
		}
		into := newCopying(t)
		c.log.Info().Str("index", t.Alias).Str("from", from.Physical).Str("to", t.Physical).Msg("copying documents of rows that are gone")
		for {
			broken, err := c.copy(ctx, t, from, into, send, retry.Reset)
			if broken != nil || ctx.Err() != nil {
				return broken
			}
			if err == nil {
				break
			}
			if errors.Is(err, errNewPeriods) {
				continue
			}
			c.log.Warn().Err(err).Str("index", t.Alias).Msg("copying documents failed; trying again")
			if retry.Wait(ctx, 0) != nil {
				return nil //nolint:nilerr // the end was asked for
			}
		}
		into.log(c.log.Info().Str("index", t.Alias).Str("from", from.Physical).Str("to", t.Physical))
	}
}

// errNewPeriods ends a copy that is to go on from where it stands.
var errNewPeriods = errors.New("the documents are of periods that had no index")

// open makes the indexes of periods, and waits until all that was rendered before is held. A change that
// does not say in which period its document was deletes it in all that are known then. So a copied
// document of a period that was not known is looked for once more: a change may have moved it.
func (c *copies) open(ctx context.Context, t *Target, parts []*sinks.Target) error {
	if err := c.need(ctx, parts); err != nil {
		return err
	}
	select {
	case <-c.barrier(t.Alias):
		return errNewPeriods
	case <-ctx.Done():
		return ctx.Err()
	}
}

// copy copies one origin from where it stands. broken is what ends the session.
func (c *copies) copy(ctx context.Context, t *Target, from *origin, into *copying, send func(*sinks.Batch) (<-chan struct{}, error), moved func()) (broken, err error) {
	err = c.sink.Lacking(ctx, from.Physical, t.Physical, from.Place, func(docs []sinks.Document, place string) error {
		if len(docs) > 0 {
			b := into.batch(docs, from.Below-1)
			if p := t.Definition.Partition; p != nil {
				into.distribute(b, p, docs, t.All())
			}
			if len(b.Unmade) > 0 {
				return c.open(ctx, t, b.Unmade)
			}
			var held <-chan struct{}
			if held, broken = send(b); broken != nil {
				return broken
			}
			select {
			case <-held:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		fault.Point("page copied")
		c.state.Update(func(*Checkpoint) { from.Place = place })
		moved()
		return nil
	})
	if err == nil {
		c.state.Update(func(*Checkpoint) { from.Copied = true })
		fault.Point("documents copied")
	}
	return broken, err
}

// A copying is where copied documents go, which counts them apart. They do not go through the
// ingest pipeline: they have been there, unless they come from dead letters.
type copying struct{ copied, refused *sinks.Target }

func newCopying(t *Target) *copying {
	to := func(pipeline string) *sinks.Target {
		made := &sinks.Target{Index: t.Index, Physical: t.Physical, WriteAlias: t.WriteAlias, Pipeline: pipeline}
		made.Oldest.Store(t.Oldest.Load())
		return made
	}
	return &copying{to(""), to(t.Pipeline)}
}

// batch makes actions of documents, of Versions up to most.
func (c *copying) batch(docs []sinks.Document, most int64) *sinks.Batch {
	b := &sinks.Batch{}
	for _, d := range docs {
		a := sinks.Action{Target: c.copied, Op: sinks.OpIndex, Version: min(d.Version, most), ID: d.ID, Routing: d.Routing, Body: d.Body}
		if d.Refused {
			a.Target = c.refused
		}
		if d.Lost != "" {
			a.Op, a.Body = sinks.OpReject, []byte(d.Lost)
		}
		b.Actions = append(b.Actions, a)
	}
	return b
}

func (c *copying) log(e *zerolog.Event) {
	var documents, dropped, letters int64
	for _, part := range append(c.copied.All(), c.refused.All()...) {
		documents, dropped, letters = documents+part.Written.Load(), dropped+part.Dropped.Load(), letters+part.DeadLetters.Load()
	}
	e.Int64("documents", documents).Int64("dropped", dropped).Int64("dead_letters", letters).Msg("documents copied")
}
