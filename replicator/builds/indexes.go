package builds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/sinks"
)

// Indexes decides which physical indexes a session feeds, and makes those that
// are missing. There is one way to bring an index up to date with anything
// that the log cannot tell: build a fresh one beside it, then swap the alias.
type Indexes struct {
	Sink  sinks.Sink
	State *State
	Now   func() time.Time
	Log   zerolog.Logger
	Told  map[string]bool           // of losses, that were logged
	Ran   bool                      // a session has replicated: one alias that somebody has taken holds up no other index
	Held  Held                      // gets those that the sink refuses to make, too
	Fed   map[string]*mapping.Index // by saved definitions, by physical index
	Whole bool                      // all that the wanted definitions need is stored

	Pipeline string     // the name by which Adoptions are saved
	Adopts   *Adoptions // as they were when the session began; nil for none

	refused []*mapping.Index // that the sink has refused to make
	retried time.Time        // when it was asked last
	amended map[string]bool  // physical indexes that are fed by the changed definition instead
	waiting []string         // aliases that go on as they were until all is stored
	wanted  map[string]bool  // aliases
	copies  *copies
	merges  *merges

	keepOld map[string]int       // how many replaced physical indexes are kept, by alias
	shelved map[string]bool      // that are kept, and that the sink was told of
	garbage map[string]time.Time // since when physical indexes are to be dropped
	periods periods
	holed   string              // why rows have to be read again into an index that goes on; of the one that is looked at
	found   map[string][]string // periods that have indexes, by the physical index that those belong to
	barrier func(alias string) <-chan struct{}
}

// Follow is called before a session runs. barrier returns a channel that is closed once
// everything of an alias that is now on its way to the sink is held there. look is to be called often, and
// tells report what a person must mend in the sink. fill copies documents, and merges segments, until ctx ends.
func (x *Indexes) Follow(targets []*Target, barrier func(alias string) <-chan struct{}, report func([]string)) (
	look func(ctx context.Context, failing bool) error,
	fill func(ctx context.Context, send func(*sinks.Batch) (<-chan struct{}, error)) error,
) {
	x.periods.needed = make(chan need)
	x.barrier = barrier
	x.copies = x.newCopies(targets)
	x.merges = &merges{sink: x.Sink, asked: make(chan *Target, len(targets)), log: x.Log}
	l := &lookout{point: x.point, take: x.take, may: x.may, sink: x.Sink, writer: x.Sink, leased: x.State.Leased, targets: targets, report: report, log: x.Log, looked: time.Now()}
	return l.look, func(ctx context.Context, send func(*sinks.Batch) (<-chan struct{}, error)) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return x.copies.run(ctx, send) })
		g.Go(func() error { return x.merges.run(ctx) })
		return g.Wait()
	}
}

// Restore marks indexes stale whose tables mean something else by now, and returns
// the saved definitions that are to be fed, by physical index:
// of live indexes whose definition has changed, until the new one has caught up;
// and where not all that is wanted is stored yet, of those with documents of stored
// rows: they go on from what they were begun with.
func (cp *Checkpoint) Restore(wanted []*mapping.Index, left *joins.Notes, whole bool, log zerolog.Logger) map[string]mapping.Set {
	sets := map[string]mapping.Set{}
	for _, w := range wanted {
		cp.outdate(w)
		st := cp.Indexes[w.Alias]
		if st == nil {
			continue
		}
		for _, b := range []*build{st.Live, st.Next} {
			switch {
			case b == nil, b.Stored && !left.Begun(b.Physical), b == st.Next && !b.Sole && !b.is(w), b.is(w) && (whole || !b.Stored):
				continue
			}
			set, err := mapping.Restore(b.Definition)
			if err != nil {
				log.Warn().Err(err).Str("physical", b.Physical).Msg("the saved definition cannot be read; the index gets no changes while a new one is built")
				continue
			}
			for name, d := range set.Indexes {
				if keepsOf(w, name) { // what serves deletes nothing either, from now on
					d.Mode = mapping.ModeAppend
				}
			}
			set.Stored, set.Replaced = b.Stored, b == st.Live && st.Stale != ""
			sets[b.Physical] = set
		}
	}
	return sets
}

// Reconcile brings the checkpoint in line with the definitions and with what the
// sink holds: afterwards every alias has a live build, a next one, or both.
func (x *Indexes) Reconcile(ctx context.Context, wanted []*mapping.Index) error {
	x.wanted, x.keepOld = map[string]bool{}, map[string]int{}
	for alias := range x.Held {
		x.wanted[alias] = true
	}
	for _, w := range wanted {
		x.wanted[w.Alias], x.keepOld[w.Alias] = true, w.KeepOld
	}
	for _, w := range wanted {
		err := x.reconcileAlias(ctx, w)
		if errors.Is(err, sinks.ErrRefused) {
			x.Log.Error().Str("index", w.Alias).Err(err).Msg("index cannot be made; the others go on")
			x.Held[w.Alias] = err.Error()
			x.refused, x.retried = append(x.refused, w), x.Now()
			continue
		}
		if err != nil {
			return fmt.Errorf("index %s: %w", w.Alias, err)
		}
	}
	x.forget(wanted)
	return nil
}

func (x *Indexes) reconcileAlias(ctx context.Context, w *mapping.Index) error {
	st := &indexState{}
	epoch, now, unknown := int64(0), int64(0), true
	x.State.Update(func(cp *Checkpoint) {
		epoch, now = cp.outdate(w), cp.Epoch
		if saved := cp.Indexes[w.Alias]; saved != nil {
			*st, unknown = *saved, saved.Live == nil || !appends(saved.Live.Definition)
		}
	})
	serving, err := x.Sink.Index(ctx, w.Alias)
	if errors.Is(err, sinks.ErrForeign) && (x.Ran || x.Adopts.Has(w.Alias)) {
		serving, err = &sinks.Index{}, nil // not ours; the lookout says so
	}
	if err != nil {
		return err
	}
	if st.Live == nil && st.Next == nil {
		if err := x.leftovers(ctx, w.Alias, st, serving); err != nil {
			return err
		}
	}
	x.holed = ""
	was := st.Live
	for _, b := range []**build{&st.Live, &st.Next} {
		if *b, err = x.existing(ctx, *b, w, serving); err != nil {
			return err
		}
	}
	st.swapped(w, nameOf(serving))
	x.older(w, st, nameOf(serving))
	var lost []string // origins of a build that is gone
	if was != nil && st.Live == nil {
		lost = was.origins()
	}
	if x.holed != "" {
		x.State.Update(func(cp *Checkpoint) { now = cp.newEpoch() })
		st.Stale, st.Epoch, epoch = x.holed, now, now
	}
	x.State.Update(func(*Checkpoint) {
		for _, b := range []*build{st.Live, st.Next} {
			if b.by(w) { // whose columns may have grown
				b.Definition = w.Normalized
			}
		}
	})
	x.succeed(w, st, epoch)
	if keeps(w) {
		if st.Live == nil && nameOf(serving) != "" {
			if err := x.adopt(ctx, w, st, serving); err != nil {
				return err
			}
		}
		if err := x.keep(ctx, w, st, epoch, now); err != nil {
			return err
		}
	}
	st.Gap = false
	reason := x.reasonToBuild(st, w, serving)
	if n := st.Next; n != nil && (reason == "" || !n.is(w) || n.Epoch < epoch) {
		x.discard(n)
		st.Next = nil
	}
	st.Merge = st.Merge && reason != ""
	if reason != "" && st.Next == nil {
		x.begin(w, st, serving, now, reason)
	}
	if keeps(w) {
		if err := x.gather(ctx, w, st, lost, unknown); err != nil {
			return err
		}
	}
	x.State.Update(func(cp *Checkpoint) {
		x.trim(cp, w.Alias, st)
		cp.Indexes[w.Alias] = st
		cp.Garbage = slices.DeleteFunc(cp.Garbage, cp.needs)
	})
	if err := x.make(ctx, w, st); err != nil {
		return err
	}
	return x.serve(ctx, w.Alias, st, serving)
}

// serve points the alias to the live index where somebody, or a swap that was
// not saved, has pointed it elsewhere. An index that loads and serves already is kept.
func (x *Indexes) serve(ctx context.Context, alias string, st *indexState, serving *sinks.Index) error {
	if st.Live == nil || serving == nil && st.Live.fresh() {
		return nil
	}
	if serving != nil && (serving.Physical == st.Live.Physical || st.Next != nil && serving.Physical == st.Next.Physical) {
		return nil
	}
	err := x.point(ctx, alias, st.Live.Physical)
	if errors.Is(err, sinks.ErrForeign) && x.Ran {
		return nil
	}
	if err == nil {
		x.Log.Warn().Str("index", alias).Str("physical", st.Live.Physical).Msg("the alias " + alias + " did not lead to the index that serves; it is set right")
	}
	return err
}

// reasonToBuild says why a fresh physical index is needed; empty where none is.
func (x *Indexes) reasonToBuild(st *indexState, w *mapping.Index, serving *sinks.Index) string {
	switch {
	case slices.Contains(x.waiting, w.Alias):
		return ""
	case st.Stale != "":
		return st.Stale
	case st.Live == nil && serving == nil:
		return "there is none yet"
	case st.Live == nil:
		return "the checkpoint does not know the one that serves"
	case !st.Live.by(w):
		return "its definition, or a table that it is made of, has changed"
	case !st.Live.is(w) && st.Live.Stored:
		return "its tables' rows need not be stored any more"
	case !st.Live.is(w):
		return "its tables' rows are stored from now on"
	}
	return ""
}

// swapped stays with the next build where the alias leads to it, as its swap was not saved: what it has
// replaced is older. Indexes of mode append have documents that the next one may lack.
func (st *indexState) swapped(w *mapping.Index, serving string) {
	n := st.Next
	if n == nil || n.Physical != serving || !n.loaded() || keeps(w) || appends(n.Definition) || st.Live != nil && appends(st.Live.Definition) {
		return
	}
	if st.Live != nil {
		st.Old = append(slices.Clone(st.Old), st.Live.Physical)
	}
	if st.Epoch <= n.Epoch {
		st.Stale = ""
	}
	st.Live, st.Next = n, nil
}

// older gives up a live build that was never whole where the alias leads to an index that the checkpoint does not
// know: an earlier checkpoint was put back, and readers would lose what they see. One of mode append is given up only
// before it is known to be made, and not dropped: gather finds its documents.
func (x *Indexes) older(w *mapping.Index, st *indexState, serving string) {
	live := st.Live
	if live == nil || serving == "" || serving == live.Physical || serving == st.Next.name() {
		return
	}
	appending := keeps(w) || appends(live.Definition)
	switch {
	case live.UUID != "" && (appending || live.loaded()):
		return
	case !appending:
		x.discard(live)
	}
	st.Live = nil
}

// existing returns the build if the sink still holds its index, else nil. One
// that was planned and not yet made is kept while it is still what is wanted.
func (x *Indexes) existing(ctx context.Context, b *build, w *mapping.Index, serving *sinks.Index) (*build, error) {
	switch {
	case b == nil:
		return nil, nil
	case b.UUID == "" && !b.is(w):
		x.discard(b)
		return nil, nil
	case b.UUID != "":
		if ok, err := x.stands(ctx, w.Alias, b); err != nil || !ok {
			return nil, err
		}
	}
	if !b.untouched() || keeps(w) || appends(b.Definition) {
		return b, nil
	}
	// The daemon was killed before it noted the first rows, or a checkpoint from before then was put back. What
	// has gone since would be passed over, as being in the rows that are read for an index that is empty.
	newest, err := x.Sink.Newest(ctx, b.Physical)
	if err != nil || newest == 0 {
		return b, err
	}
	x.Log.Warn().Str("index", w.Alias).Str("physical", b.Physical).Msg("the physical index has documents that the checkpoint does not tell of; it is built anew")
	if b.Physical != nameOf(serving) { // else the swap drops it
		x.discard(b)
	}
	return nil, nil
}

// begin begins a build: the first of the alias, or one beside that which serves.
func (x *Indexes) begin(w *mapping.Index, st *indexState, serving *sinks.Index, epoch int64, reason string) {
	fresh := newBuild(w, epoch, x.Now())
	if serving == nil && st.Live == nil {
		st.Live, st.Stale = fresh, ""
		return
	}
	if st.Next = fresh; keeps(w) {
		reason += "; it gets the other one's documents, too"
	}
	x.Log.Warn().Str("index", w.Alias).Str("physical", fresh.Physical).Msg("building the index anew beside the one that serves, because " + reason)
}

// newBuild plans a physical index. Its name tells when it was made, in UTC.
func newBuild(w *mapping.Index, epoch int64, now time.Time) *build {
	stamp := strings.Replace(now.UTC().Format("20060102-150405.000"), ".", "-", 1)
	return &build{Physical: w.Alias + "-" + stamp, Definition: w.Normalized, Epoch: epoch, Stored: len(w.Joined) > 0, Tables: unreadTables(w)}
}

// unreadTables is the progress before anything was read.
func unreadTables(w *mapping.Index) map[string]*reading.Progress {
	tables := map[string]*reading.Progress{}
	for _, r := range w.Renderers {
		tables[r.Table.String()] = &reading.Progress{}
	}
	for _, r := range w.Joined {
		tables[r.Table.String()] = &reading.Progress{}
	}
	return tables
}

// is reports whether the build was made by the definition, in the same way.
func (b *build) is(w *mapping.Index) bool { return b.by(w) && b.Stored == (len(w.Joined) > 0) }

// by reports whether the build was made by the definition.
func (b *build) by(w *mapping.Index) bool {
	return b != nil && mapping.Same(b.Definition, w.Normalized)
}

// make creates the planned indexes that do not exist yet. The plan is saved
// first, so that a crash leaves no index that nobody knows of.
func (x *Indexes) make(ctx context.Context, w *mapping.Index, st *indexState) error {
	for _, b := range []*build{st.Live, st.Next} {
		if b == nil || b.UUID != "" {
			continue
		}
		if _, err := x.State.Save(ctx); err != nil {
			return err
		}
		fault.Point("build planned")
		index, err := x.Sink.Create(ctx, sinks.IndexSpec{
			Alias: w.Alias, Physical: b.Physical, Serve: b == st.Live,
			Mappings: w.Mappings, Settings: w.Settings, Meta: w.Normalized, Keep: b.origins(),
		})
		if err != nil {
			return err
		}
		x.Log.Info().Str("index", w.Alias).Str("physical", b.Physical).Msg("index created")
		fault.Point("index created")
		x.State.Update(func(*Checkpoint) { b.UUID = index.UUID })
	}
	return nil
}

// Waits reports whether an index goes on as it was until all is stored.
func (x *Indexes) Waits() bool { return len(x.waiting) > 0 }

// retryEvery is how often the sink is asked again for an index that it has refused to make.
const retryEvery = 5 * time.Second

// Retry asks the sink again for what it has refused, once in a while, and reports
// whether it takes one.
func (x *Indexes) Retry(ctx context.Context) (made bool, err error) {
	if len(x.refused) == 0 || x.Now().Sub(x.retried) < retryEvery {
		return false, nil
	}
	x.retried = x.Now()
	for _, w := range x.refused {
		var st *indexState
		x.State.View(func(cp *Checkpoint) { st = cp.Indexes[w.Alias] })
		switch err := x.make(ctx, w, st); {
		case err == nil:
			return true, nil
		case !errors.Is(err, sinks.ErrRefused):
			return false, err
		}
	}
	return false, nil
}

// discard puts a build's index on the list of those to be dropped.
func (x *Indexes) discard(b *build) {
	x.State.Update(func(cp *Checkpoint) { cp.Garbage = append(cp.Garbage, b.Physical) })
}

// forget drops from the checkpoint what the configuration no longer defines.
// Its indexes stay, with a word about it.
func (x *Indexes) forget(wanted []*mapping.Index) {
	x.State.Update(func(cp *Checkpoint) {
		for _, alias := range slices.Sorted(maps.Keys(cp.Indexes)) {
			if slices.ContainsFunc(wanted, func(w *mapping.Index) bool { return w.Alias == alias }) || x.Held[alias] != "" {
				continue
			}
			x.Log.Warn().Str("index", alias).Msg("no longer defined: it stays as it is and gets no more changes")
			delete(cp.Indexes, alias)
		}
	})
}

// Targets lists what the session feeds: for each alias its live build, by the
// definition that it was made from, and its next one. old are saved definitions,
// by physical index.
func (x *Indexes) Targets(wanted []*mapping.Index, old map[string]*mapping.Index) []*Target {
	var all []*Target
	made := func(b *build, w *mapping.Index) *Target {
		switch {
		case b == nil, b.UUID == "":
		case old[b.Physical] != nil && !x.amended[b.Physical]:
			return x.newTarget(old[b.Physical], b)
		case b.is(w):
			return x.newTarget(w, b)
		}
		return nil
	}
	x.State.Update(func(cp *Checkpoint) {
		for _, w := range wanted {
			st := cp.Indexes[w.Alias]
			live, next := made(st.Live, w), made(st.Next, w)
			if live != nil {
				live.Waiting = slices.Contains(x.waiting, w.Alias)
				live.Serving, live.Replacement, live.stale, live.Unbroken = true, next, st.Stale != "", st.Live.Round > 0 || len(st.Live.Origins) > 0
				all = append(all, live)
			} else if st.Live != nil && st.Next != nil {
				if st.Stale == "" {
					cp.markStale(w.Alias, "it got no changes for a while", st.Next.Epoch)
				}
				st.Next.Sole = st.Next.Sole || next != nil && keeps(next.Definition)
				st.Gap = st.Gap || next == nil
			}
			if next != nil {
				next.merging.wanted = st.Merge
				next.Unbroken = live == nil && keeps(next.Definition)
				all = append(all, next)
			}
		}
		for _, t := range all {
			switch b := t.build; {
			case b.Since > 0 || !b.fresh() || b.Round > 0:
			case keeps(t.Definition):
				b.Since = max(cp.Version, 1)
				t.Since.Store(b.Since)
			default:
				t.Since.Store(unknown) // see Reached
			}
		}
	})
	return all
}

func (x *Indexes) newTarget(index *mapping.Index, b *build) *Target {
	t := &Target{
		Target: &sinks.Target{Index: index.Alias, Physical: b.Physical, WriteAlias: sinks.WriteAlias(b.Physical), Pipeline: index.Pipeline},
		Alias:  index.Alias, build: b, Definition: index,
	}
	t.Since.Store(b.Since)
	if p := index.Partition; p != nil {
		for _, period := range x.found[b.Physical] {
			t.In(period).Made.Store(true)
		}
		keepFrom(t.Target, p.Oldest(x.Now().In(p.Zone)))
	}
	return t
}

func (b *build) name() string {
	if b == nil {
		return ""
	}
	return b.Physical
}

func nameOf(index *sinks.Index) string {
	if index == nil {
		return ""
	}
	return index.Physical
}
