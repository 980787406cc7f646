package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/sources"
)

// session connects, plans, makes what is missing and runs the pipeline until
// something ends it. Everything that it knows of earlier sessions it reads
// from the checkpoint.
func (d *daemon) session(ctx context.Context) (err error) {
	pf, st, err := d.look(ctx)
	if err != nil {
		return err
	}
	store, left, err := d.openStore(st, pf)
	if err != nil {
		return err
	}
	if store != nil {
		defer func() { err = errors.Join(err, store.Close()) }()
	}
	plan, old, err := d.plan(st, pf, &left)
	if err != nil {
		return err
	}
	st.update(func(cp *checkpoint) { cp.use(plan, pf.held) })
	if plan.Layout == nil {
		st.update(func(cp *checkpoint) { cp.Store = storeState{} })
	} else if err := d.useStore(st, plan, store, &left); err != nil {
		return err
	}
	start, err := d.prepare(ctx, st, plan)
	if err != nil {
		return err
	}
	d.status.gauges.skew.Store(start.Clock.UnixMicro() - time.Now().UnixMicro())
	wanted := plan.Sets[0]
	x := &indexes{
		sink: d.sink, state: st, now: time.Now, log: d.log, told: d.warned, ran: d.ran, held: pf.held,
		fed: old, amended: map[string]bool{}, whole: pf.whole,
	}
	unfit := maps.Clone(pf.held)
	if err := x.settle(ctx, wanted); err != nil {
		return err
	}
	if _, err := st.save(ctx); err != nil {
		return err
	}
	targets := x.targets(wanted, old)
	p, err := d.pipeline(st, plan, targets, start.Mark)
	if err != nil {
		return err
	}
	x.barrier, x.copies = p.barrier, newCopies(d.sink, st, targets, d.log)
	p.copies = x.copies
	watch := &lookout{sink: d.sink, leased: st.leased, targets: targets, report: d.status.complained, log: d.log, looked: time.Now()}
	p.look = watch.look
	p.finish = func(ctx context.Context) error {
		d.status.countDeadLetters(ctx)
		if err := cmp.Or(d.checkHeld(ctx, pf, unfit), x.retry(ctx)); err != nil {
			return err
		}
		switch err := x.finish(ctx, targets); {
		case err != nil:
			return err
		case len(x.waiting) > 0 && p.joins.Known():
			return errStored
		case plan.Doubled() && p.joins.Known() && swapped(targets):
			return errOutdated
		}
		return nil
	}
	d.log.Info().Str("position", string(p.from.Position)).Strs("tables", joins.Names(plan.Tables)).Msg("replicating " + describe(pf.source, pf.sink))
	if lasted, failed := d.ends.Over(); failed {
		d.log.Info().Stringer("after", lasted).Msg("going on")
	}
	d.status.hold(pf.held)
	d.status.running(p, targets, pf)
	d.ran = true
	defer p.joins.Close()
	return p.run(ctx)
}

// look looks at both ends, at what the checkpoint says, and plans. It changes nothing.
func (d *daemon) look(ctx context.Context) (*inspection, *state, error) {
	pf := &inspection{}
	if err := errors.Join(pf.readSource(ctx, d.source), pf.readSink(ctx, d.sink)); err != nil {
		return nil, nil, err
	}
	st, err := loadState(ctx, d.sink, d.cfg.Name, d.owner, d.log)
	if err != nil {
		return nil, nil, err
	}
	d.sameSource(st, pf.source)
	known := d.ran
	st.update(func(cp *checkpoint) {
		cp.compare(pf.catalog, d.log)
		pf.homes, pf.blocked = cp.Homes, cp.blocked()
		known = known || cp.Definitions == definitions(d.cfg.Set())
	})
	if err := d.fit(ctx, pf, known); err != nil {
		return nil, nil, err
	}
	st.update(func(cp *checkpoint) {
		cp.Definitions = definitions(d.cfg.Set())
		cp.hold(pf.held)
	})
	for alias, why := range pf.held {
		d.log.Error().Str("index", alias).Msg("index " + alias + " is held up: " + why)
	}
	d.warn(pf.findings)
	return pf, st, nil
}

// A replan ends a session in order: it says why the next one plans anew.
type replan string

func (r replan) Error() string { return string(r) }

// errOutdated ends a session whose row store holds tables for indexes that serve no more.
const errOutdated = replan("all is stored that is wanted, and serves; what was stored for former definitions is deleted")

// warn logs each warning once in the life of the process.
func (d *daemon) warn(findings []preflight.Finding) {
	for _, f := range findings {
		if text := f.String(); f.Level == preflight.Warning && !d.warned[text] {
			d.warned[text] = true
			d.log.Warn().Msg(text)
		}
	}
}

// sameSource starts anew when the checkpoint is of another database.
func (d *daemon) sameSource(st *state, info sources.Info) {
	st.update(func(cp *checkpoint) {
		if cp.Source != "" && cp.Source != info.Identity {
			d.log.Error().Str("checkpoint", cp.Source).Str("source", info.Identity).Msg("the checkpoint is of another database; every index is rebuilt beside the one that serves, then swapped")
			cp.restart("the checkpoint is of another database")
		}
		cp.Source = info.Identity
	})
}

// plan compiles the definitions, and beside them saved ones of indexes that are to
// be fed (see restore), over the tables that the row store keeps. old is what the
// latter became, by physical index.
func (d *daemon) plan(st *state, pf *inspection, left *joins.Notes) (plan *mapping.Plan, old map[string]*mapping.Index, err error) {
	options := compileOptions(pf.sink)
	options.Kept, options.Homes = left.Kept, pf.homes
	var partial []string
	st.view(func(cp *checkpoint) { partial = slices.Clone(cp.Partial) })
	if plan = pf.plan; len(partial) > 0 || len(left.Kept) > 0 {
		distrust(pf.catalog, partial)
		if plan, err = options.Compile(pf.catalog, pf.set); err != nil {
			return nil, nil, fmt.Errorf("compile definitions: %w", err)
		}
	}
	var saved map[string]mapping.Set
	st.update(func(cp *checkpoint) {
		for _, w := range plan.Sets[0] {
			cp.outdate(w)
		}
		pf.whole = left.Loaded(plan.Stored)
		saved = restore(cp, plan.Sets[0], left, pf.whole, d.log)
	})
	sets, physical := []mapping.Set{pf.set}, []string{""}
	for _, name := range slices.Sorted(maps.Keys(saved)) {
		if _, err := options.Compile(pf.catalog, saved[name]); err != nil {
			d.log.Warn().Err(err).Str("physical", name).Msg("the saved definition no longer fits the tables; the index gets no changes while a new one is built")
			continue
		}
		sets, physical = append(sets, saved[name]), append(physical, name)
	}
	if len(sets) == 1 {
		return plan, nil, nil
	}
	plan, err = options.Compile(pf.catalog, sets...)
	if err != nil {
		return nil, nil, fmt.Errorf("compile definitions: %w", err)
	}
	old = map[string]*mapping.Index{}
	for i, indexes := range plan.Sets[1:] {
		for _, index := range indexes {
			old[physical[i+1]] = index
		}
	}
	return plan, old, nil
}

// distrust makes tables ones of which the log may leave out any value but the key's.
func distrust(catalog []*sources.Table, names []string) {
	for _, t := range catalog {
		if !slices.Contains(names, t.String()) {
			continue
		}
		if t.Identity == sources.IdentityFull {
			t.Identity, t.IdentityColumns = sources.IdentityKey, t.Key
		}
		for i := range t.Columns {
			t.Columns[i].MayBeMissing = !slices.Contains(t.Key, i)
		}
	}
}

// prepare makes the source ready and settles where numbering goes on.
func (d *daemon) prepare(ctx context.Context, st *state, plan *mapping.Plan) (sources.Start, error) {
	var from sources.Position
	st.view(func(cp *checkpoint) { from = cp.Position })
	start, err := d.source.Prepare(ctx, plan.Tables, from)
	if err != nil {
		return start, err
	}
	if from.IsZero() {
		st.update(func(cp *checkpoint) {
			cp.Position = start.Position
			cp.Version = max(cp.Version, start.Clock.UnixMicro())
		})
	}
	return start, nil
}

// pipeline puts the pieces of one session together.
func (d *daemon) pipeline(st *state, plan *mapping.Plan, targets []*target, mark sources.Position) (*pipeline, error) {
	tables := plan.Tables
	p := &pipeline{
		source: d.source, sink: d.sink, state: st, tables: tables, gauges: &d.status.gauges, report: d.status.checkpointed, log: d.log,
		held: int64(d.cfg.Limits.MaxMemory) / 3,
		mark: mark, fed: targets,
		routes:   newRoutes(len(tables), targets),
		decoding: d.decoding,
		windows:  reading.NewWindows(len(tables)),
	}
	p.memory = semaphore.NewWeighted(p.held)
	st.view(func(cp *checkpoint) { p.from = sources.Checkpoint{Position: cp.Position, Version: cp.Version} })
	p.position, p.version = p.from.Position, p.from.Version
	p.applied.Store(p.version)
	for _, t := range targets {
		if t.build.fresh() && t.build.Since == 0 && !t.unbroken {
			t.since.Store(unknown) // see begin
		}
	}
	p.tracker = newTracker(p.delivered)
	p.scans = newScans(p.routes)
	if st.store != nil {
		var err error
		if p.joins, err = joins.Open(st.store, plan, joined(targets), p.windows, p.from.Version); err != nil {
			if again, ok := errors.AsType[*joins.RebuildError](err); ok {
				return nil, &rebuildError{aliases: again.Aliases, reason: again.Error(), useless: again.Useless}
			}
			return nil, err
		}
		if err := p.joins.Own(!slices.ContainsFunc(p.routes, func(of []*route) bool { return len(of) > 0 })); err != nil {
			return nil, err
		}
		p.scans = append(p.scans, storedScans(p.joins)...)
	}
	p.loader = &snapshot{
		source: d.source, windows: p.windows, chunks: make(chan *loadedChunk), lookups: make(chan *joins.Lookup, 1),
		limits: d.cfg.Source.Snapshot, bytes: chunkBytes, log: d.log,
		unreadable: func(t *sources.Table, err error) {
			if d.status.unreadable(t, err) {
				d.log.Error().Stringer("table", t).Err(err).Msg("table cannot be read; what depends on it waits, the rest goes on")
			}
		},
		caught: func(since int64) bool { return p.begun.Load() && p.gauges.caughtUp() && p.applied.Load() >= since },
	}
	return p, nil
}

// chunkBytes bounds the memory of one chunk.
const chunkBytes = 1 << 20
