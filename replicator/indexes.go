package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"haystream/mapping"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/sinks"
)

// indexes decides which physical indexes a session feeds, and makes those that
// are missing. There is one way to bring an index up to date with anything
// that the log cannot tell: build a fresh one beside it, then swap the alias.
type indexes struct {
	sink  sinks.Catalog
	state *state
	now   func() time.Time
	log   zerolog.Logger
	told  map[string]bool // of losses, that were logged
	ran   bool            // a session has replicated: one alias that somebody has taken holds up no other index
	held  held

	refused []*mapping.Index // that the sink has refused to make
	retried time.Time        // when it was asked last

	fed     map[string]*mapping.Index // by saved definitions, by physical index
	amended map[string]bool           // physical indexes that are fed by the changed definition instead
	whole   bool                      // all that the wanted definitions need is stored
	waiting []string                  // aliases that go on as they were until it is
	copies  *copies

	// barrier returns a channel that is closed once everything now on its way
	// to the sink is held there.
	barrier func() <-chan struct{}
}

// restore returns the saved definitions that are to be fed, by physical index:
// of live indexes whose definition has changed, until the new one has caught up;
// and where not all that is wanted is stored yet, of those with documents of stored
// rows: they go on from what they were begun with.
func restore(cp *checkpoint, wanted []*mapping.Index, left *joins.Notes, whole bool, log zerolog.Logger) map[string]mapping.Set {
	sets := map[string]mapping.Set{}
	for _, w := range wanted {
		st := cp.Indexes[w.Alias]
		if st == nil {
			continue
		}
		for _, b := range []*build{st.Live, st.Next} {
			switch {
			case b == nil, b.Stored && !left.Begun(b.Physical), b == st.Next && !b.is(w), b.is(w) && (whole || !b.Stored):
				continue
			}
			set, err := mapping.Restore(b.Definition)
			if err != nil {
				log.Warn().Err(err).Str("physical", b.Physical).Msg("the saved definition cannot be read; the index gets no changes while a new one is built")
				continue
			}
			set.Stored, set.Former = b.Stored, b == st.Live && st.Stale != ""
			sets[b.Physical] = set
		}
	}
	return sets
}

// settle brings the checkpoint in line with the definitions and with what the
// sink holds: afterwards every alias has a live build, a next one, or both.
func (x *indexes) settle(ctx context.Context, wanted []*mapping.Index) error {
	for _, w := range wanted {
		err := x.settleAlias(ctx, w)
		if errors.Is(err, sinks.ErrRefused) {
			x.log.Error().Str("index", w.Alias).Err(err).Msg("index cannot be made; the others go on")
			x.held[w.Alias] = err.Error()
			x.refused, x.retried = append(x.refused, w), x.now()
			continue
		}
		if err != nil {
			return fmt.Errorf("index %s: %w", w.Alias, err)
		}
	}
	x.forget(wanted)
	return nil
}

func (x *indexes) settleAlias(ctx context.Context, w *mapping.Index) error {
	st := &indexState{}
	epoch, now := int64(0), int64(0)
	x.state.update(func(cp *checkpoint) {
		epoch, now = cp.outdate(w), cp.Epoch
		if saved := cp.Indexes[w.Alias]; saved != nil {
			*st = *saved
		}
	})
	serving, err := x.sink.Index(ctx, w.Alias)
	if errors.Is(err, sinks.ErrForeign) && x.ran {
		serving, err = &sinks.Index{}, nil // not ours; the lookout says so
	}
	if err != nil {
		return err
	}
	if st.Live == nil && st.Next == nil {
		if err := x.leftovers(ctx, w.Alias, serving); err != nil {
			return err
		}
	}
	for _, b := range []**build{&st.Live, &st.Next} {
		if *b, err = x.existing(ctx, *b, w); err != nil {
			return err
		}
	}
	x.state.update(func(*checkpoint) {
		for _, b := range []*build{st.Live, st.Next} {
			if b.by(w) { // whose columns may have grown
				b.Definition = w.Normalized
			}
		}
	})
	if keeps(w) {
		if err := x.keep(ctx, w, st, serving, epoch, now); err != nil {
			return err
		}
	}
	st.Gap = false
	reason := x.reasonToBuild(st, w, serving)
	if n := st.Next; n != nil && (reason == "" || !n.is(w) || n.Epoch < epoch) {
		x.discard(n)
		st.Next = nil
	}
	if reason != "" && st.Next == nil {
		fresh := newBuild(w, now, x.now())
		if serving == nil && st.Live == nil {
			st.Live, st.Stale = fresh, ""
		} else {
			if st.Next = fresh; keeps(w) && st.Live != nil {
				fresh.From = st.Live.Physical
				reason += "; it gets the other one's documents, too"
			}
			x.log.Warn().Str("index", w.Alias).Str("physical", fresh.Physical).Msg("building the index anew beside the one that serves, because " + reason)
		}
	}
	x.state.update(func(cp *checkpoint) { cp.Indexes[w.Alias] = st })
	if err := x.make(ctx, w, st); err != nil {
		return err
	}
	return x.serve(ctx, w.Alias, st, serving)
}

// serve points the alias to the live index where somebody, or a swap that was
// not saved, has pointed it elsewhere. An index that loads and serves already is kept.
func (x *indexes) serve(ctx context.Context, alias string, st *indexState, serving *sinks.Index) error {
	if st.Live == nil || serving == nil && st.Live.fresh() {
		return nil
	}
	if serving != nil && (serving.Physical == st.Live.Physical || st.Next != nil && serving.Physical == st.Next.Physical) {
		return nil
	}
	err := x.sink.Swap(ctx, alias, st.Live.Physical)
	if errors.Is(err, sinks.ErrForeign) && x.ran {
		return nil
	}
	if err == nil {
		x.log.Warn().Str("index", alias).Str("physical", st.Live.Physical).Msg("the alias " + alias + " did not lead to the index that serves; it is set right")
	}
	return err
}

// reasonToBuild says why a fresh physical index is needed; empty where none is.
func (x *indexes) reasonToBuild(st *indexState, w *mapping.Index, serving *sinks.Index) string {
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

// existing returns the build if the sink still holds its index, else nil. One
// that was planned and not yet made is kept while it is still what is wanted.
func (x *indexes) existing(ctx context.Context, b *build, w *mapping.Index) (*build, error) {
	switch {
	case b == nil || b.UUID == "" && b.is(w):
		return b, nil
	case b.UUID == "":
		x.discard(b)
		return nil, nil
	}
	if ok, err := x.stands(ctx, w.Alias, b); err != nil || !ok {
		return nil, err
	}
	return b, nil
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
func (x *indexes) make(ctx context.Context, w *mapping.Index, st *indexState) error {
	for _, b := range []*build{st.Live, st.Next} {
		if b == nil || b.UUID != "" {
			continue
		}
		if _, err := x.state.save(ctx); err != nil {
			return err
		}
		index, err := x.sink.Create(ctx, sinks.IndexSpec{
			Alias: w.Alias, Physical: b.Physical, Serve: b == st.Live,
			Mappings: w.Mappings, Settings: w.Settings, Meta: w.Normalized, Keep: b.From,
		})
		if err != nil {
			return err
		}
		x.log.Info().Str("index", w.Alias).Str("physical", b.Physical).Msg("index created")
		x.state.update(func(*checkpoint) { b.UUID = index.UUID })
	}
	return nil
}

// retry asks the sink again for what it has refused, once in a while, and returns
// errMended when it takes one.
func (x *indexes) retry(ctx context.Context) error {
	if len(x.refused) == 0 || x.now().Sub(x.retried) < heldEvery {
		return nil
	}
	x.retried = x.now()
	for _, w := range x.refused {
		var st *indexState
		x.state.view(func(cp *checkpoint) { st = cp.Indexes[w.Alias] })
		switch err := x.make(ctx, w, st); {
		case err == nil:
			return errMended
		case !errors.Is(err, sinks.ErrRefused):
			return err
		}
	}
	return nil
}

// discard puts a build's index on the list of those to be dropped.
func (x *indexes) discard(b *build) {
	x.state.update(func(cp *checkpoint) { cp.Garbage = append(cp.Garbage, b.Physical) })
}

// forget drops from the checkpoint what the configuration no longer defines.
// Its indexes stay, with a word about it.
func (x *indexes) forget(wanted []*mapping.Index) {
	x.state.update(func(cp *checkpoint) {
		for _, alias := range slices.Sorted(maps.Keys(cp.Indexes)) {
			if slices.ContainsFunc(wanted, func(w *mapping.Index) bool { return w.Alias == alias }) || x.held[alias] != "" {
				continue
			}
			x.log.Warn().Str("index", alias).Msg("no longer defined: it stays as it is and gets no more changes")
			delete(cp.Indexes, alias)
		}
	})
}

// targets lists what the session feeds: for each alias its live build, by the
// definition that it was made from, and its next one. old are saved definitions,
// by physical index.
func (x *indexes) targets(wanted []*mapping.Index, old map[string]*mapping.Index) []*target {
	var all []*target
	made := func(b *build, w *mapping.Index) *target {
		switch {
		case b == nil, b.UUID == "":
		case old[b.Physical] != nil && !x.amended[b.Physical]:
			return newTarget(old[b.Physical], b)
		case b.is(w):
			return newTarget(w, b)
		}
		return nil
	}
	x.state.update(func(cp *checkpoint) {
		for _, w := range wanted {
			st := cp.Indexes[w.Alias]
			live, next := made(st.Live, w), made(st.Next, w)
			if live != nil {
				live.waiting = slices.Contains(x.waiting, w.Alias)
				live.serving, live.heir, live.stale, live.unbroken = true, next, st.Stale != "", st.Live.Round > 0
				all = append(all, live)
			} else if st.Live != nil && st.Stale == "" && st.Next != nil {
				cp.markStale(w.Alias, "it got no changes for a while", st.Next.Epoch)
			}
			if next != nil {
				if live == nil && st.Next.From != "" && st.Next.fresh() {
					st.Next.Since = cp.Version
					next.since.Store(cp.Version)
					next.unbroken = true // nothing else gets the changes that come first
				}
				all = append(all, next)
			}
		}
	})
	return all
}

func newTarget(index *mapping.Index, b *build) *target {
	t := &target{
		Target: &sinks.Target{Index: index.Alias, Physical: b.Physical, WriteAlias: sinks.WriteAlias(b.Physical), Pipeline: index.Pipeline},
		alias:  index.Alias, build: b, index: index,
	}
	t.since.Store(b.Since)
	return t
}

// finish makes loaded builds serve: the index that is to be replaced gets
// nothing more; once all that was on its way is held, settings for serving, then
// the alias. Each step may be repeated, in this process or after a crash.
func (x *indexes) finish(ctx context.Context, targets []*target) error {
	var errs []error // of one index, which holds up no other
	for _, t := range targets {
		loaded := false
		x.state.view(func(*checkpoint) { loaded = t.build.loaded() && !t.build.Finished })
		if !loaded || t.retired.Load() || !x.filled(t) || !t.serving && !x.retire(t, targets) {
			continue
		}
		if err := x.finishOne(ctx, t); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, x.dropGarbage(ctx))...)
}

func (x *indexes) finishOne(ctx context.Context, t *target) error {
	if err := x.sink.Finish(ctx, t.Physical); err != nil {
		return fmt.Errorf("finish index %s: %w", t.Physical, err)
	}
	if err := x.swap(ctx, t); err != nil {
		return err
	}
	x.log.Info().Str("index", t.alias).Str("physical", t.Physical).Msg("index loaded; it follows the source from now on")
	return nil
}

// retire stops the writes to the index that t replaces, and reports whether
// all earlier ones, and all that t got until then, are held: otherwise a reader
// of the alias could see a document of t that is older than what was there.
func (x *indexes) retire(t *target, targets []*target) bool {
	if t.drained == nil {
		for _, other := range targets {
			if other.heir == t {
				other.retired.Store(true)
			}
		}
		// Should t never come to serve, what does lacks changes from now on.
		x.state.update(func(cp *checkpoint) {
			cp.markStale(t.alias, "its replacement was about to serve", t.build.Epoch)
			t.build.Filled = t.build.From != ""
		})
		t.drained = x.barrier()
	}
	select {
	case <-t.drained:
		return true
	default:
		return false
	}
}

// swap points the alias to a build that has caught up.
func (x *indexes) swap(ctx context.Context, t *target) error {
	serving, err := x.sink.Index(ctx, t.alias)
	if err != nil {
		return fmt.Errorf("look up alias %s: %w", t.alias, err)
	}
	if serving == nil || serving.Physical != t.Physical {
		if err := x.sink.Swap(ctx, t.alias, t.Physical); err != nil {
			return fmt.Errorf("swap alias %s: %w", t.alias, err)
		}
		if t.serving {
			x.log.Warn().Str("index", t.alias).Str("physical", t.Physical).Msg("the alias " + t.alias + " did not lead to the index that serves; it is set right")
		}
	}
	x.state.update(func(cp *checkpoint) {
		st := cp.Indexes[t.alias]
		t.build.Finished = true
		if t.serving {
			return
		}
		replaced := map[string]json.RawMessage{}
		if serving != nil {
			replaced[serving.Physical] = serving.Meta
		}
		if st.Live != nil {
			replaced[st.Live.Physical] = st.Live.Definition
		}
		for _, old := range slices.Sorted(maps.Keys(replaced)) {
			if old != t.Physical && !slices.Contains(cp.Garbage, old) && x.replaceable(old, replaced[old], t) {
				cp.Garbage = append(cp.Garbage, old)
			}
		}
		t.build.serves()
		st.Live, st.Next, st.Stale = t.build, nil, ""
		t.serving = true
	})
	return nil
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

// swapped reports whether no index is built beside another.
func swapped(targets []*target) bool {
	return !slices.ContainsFunc(targets, func(t *target) bool { return t.heir != nil && !t.heir.serving })
}

// dropGarbage deletes replaced indexes, after the checkpoint no longer names them.
func (x *indexes) dropGarbage(ctx context.Context) error {
	var garbage []string
	x.state.view(func(cp *checkpoint) { garbage = slices.Clone(cp.Garbage) })
	if len(garbage) == 0 {
		return nil
	}
	if _, err := x.state.save(ctx); err != nil {
		return err
	}
	for _, physical := range garbage {
		if err := x.sink.Drop(ctx, physical); err != nil && !errors.Is(err, sinks.ErrForeign) {
			return fmt.Errorf("drop index %s: %w", physical, err)
		}
		x.log.Info().Str("physical", physical).Msg("replaced index dropped")
	}
	x.state.update(func(cp *checkpoint) {
		cp.Garbage = slices.DeleteFunc(cp.Garbage, func(g string) bool { return slices.Contains(garbage, g) })
	})
	return nil
}
