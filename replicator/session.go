package replicator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/sources"
)

// session connects, plans, makes what is missing and runs the pipeline until
// something ends it. Everything that it knows of earlier sessions it reads
// from the checkpoint.
func (d *daemon) session(ctx context.Context) (err error) {
	pf, err := inspect(ctx, d.source, d.sink, d.cfg, d.file)
	if err != nil {
		return err
	}
	if errs := preflight.Errors(pf.findings); len(errs) > 0 {
		return &refusal{findings: errs, final: d.final(pf.plan)}
	}
	d.unfit = time.Time{}
	d.warn(pf.findings)
	st, err := loadState(ctx, d.sink, d.cfg.Name, d.owner)
	if err != nil {
		return err
	}
	d.sameSource(st, pf.source)
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
	if plan.Layout == nil {
		st.update(func(cp *checkpoint) { cp.Store = storeState{} })
	} else if err := d.useStore(st, plan, store, &left); err != nil {
		return err
	}
	start, err := d.prepare(ctx, st, plan, left)
	if err != nil {
		return err
	}
	d.status.gauges.skew.Store(start.Clock.UnixMicro() - time.Now().UnixMicro())
	wanted := plan.Sets[0]
	x := &indexes{sink: d.sink, state: st, now: time.Now, log: d.log}
	if err := x.settle(ctx, wanted); err != nil {
		return err
	}
	if _, err := st.save(ctx); err != nil {
		return err
	}
	targets := x.targets(wanted, old)
	p, err := d.pipeline(st, plan, targets)
	if err != nil {
		return err
	}
	x.barrier = p.barrier
	p.finish = func(ctx context.Context) error {
		d.status.countDeadLetters(ctx)
		if err := x.finish(ctx, targets); err != nil || !plan.Doubled() || !p.joins.whole.Load() || !swapped(targets) {
			return err
		}
		return errOutdated
	}
	d.log.Info().Str("position", string(p.from.Position)).Strs("tables", names(plan.Tables)).Msg("replicating " + describe(pf.source, pf.sink))
	d.status.running(p, targets, pf)
	d.ran = true
	defer p.joins.close()
	return p.run(ctx)
}

// errOutdated ends a session whose row store holds tables for indexes that serve no more.
var errOutdated = errors.New("all is stored that is wanted, and serves; what was stored for former definitions is deleted")

// tableGrace is how long a daemon that has run lives with definitions that do
// not fit the tables: between DROP TABLE and CREATE TABLE there is none.
const tableGrace = 10 * time.Second

// final reports whether what preflight found ends the daemon. plan is nil where
// the definitions do not fit the tables.
func (d *daemon) final(plan *mapping.Plan) bool {
	switch {
	case !d.ran:
		return true
	case plan != nil:
		d.unfit = time.Time{}
		return false
	case d.unfit.IsZero():
		d.unfit = time.Now()
	}
	return time.Since(d.unfit) > tableGrace
}

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
func (d *daemon) plan(st *state, pf *inspection, left *notes) (plan *mapping.Plan, old map[string]*mapping.Index, err error) {
	options := compileOptions(pf.sink)
	options.Kept = left.kept
	var partial []string
	st.view(func(cp *checkpoint) { partial = slices.Clone(cp.Partial) })
	if plan = pf.plan; len(partial) > 0 || len(left.kept) > 0 {
		distrust(pf.catalog, partial)
		if plan, err = options.Compile(pf.catalog, d.cfg.set()); err != nil {
			return nil, nil, fmt.Errorf("compile definitions: %w", err)
		}
	}
	var saved map[string]mapping.Set
	st.view(func(cp *checkpoint) { saved = restore(cp, plan.Sets[0], left, left.loaded(plan.Stored), d.log) })
	sets, physical := []mapping.Set{d.cfg.set()}, []string{""}
	for _, name := range slices.Sorted(maps.Keys(saved)) {
		if _, err := compileOptions(pf.sink).Compile(pf.catalog, saved[name]); err != nil {
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
func (d *daemon) prepare(ctx context.Context, st *state, plan *mapping.Plan, left notes) (sources.Start, error) {
	var from sources.Position
	st.view(func(cp *checkpoint) {
		from = cp.Position
		for _, t := range plan.Tables {
			t.Followed = left.followed(t) || cp.holds(t.String())
		}
	})
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
func (d *daemon) pipeline(st *state, plan *mapping.Plan, targets []*target) (*pipeline, error) {
	tables := plan.Tables
	p := &pipeline{
		source: d.source, sink: d.sink, state: st, tables: tables, gauges: &d.status.gauges, report: d.status.checkpointed, log: d.log,
		held:     int64(d.cfg.Limits.MaxMemory) / 3,
		routes:   newRoutes(len(tables), targets),
		decoding: d.decoding,
		windows:  newWindows(len(tables)),
	}
	p.memory = semaphore.NewWeighted(p.held)
	st.view(func(cp *checkpoint) { p.from = sources.Checkpoint{Position: cp.Position, Version: cp.Version} })
	p.position, p.version = p.from.Position, p.from.Version
	p.applied.Store(p.version)
	p.tracker = newTracker(p.delivered)
	p.scans = newScans(p.routes)
	if st.store != nil {
		var err error
		if p.joins, err = newJoins(st.store, plan, targets, p.windows, p.from.Version); err != nil {
			return nil, err
		}
		p.joins.drain.loaded = p.passed
		if err := p.joins.own(p.routes); err != nil {
			return nil, err
		}
		p.scans = append(p.scans, p.joins.scans()...)
	}
	p.loader = &snapshot{
		source: d.source, windows: p.windows, chunks: make(chan *loadedChunk),
		limits: d.cfg.Source.Snapshot, bytes: chunkBytes, log: d.log,
		caught: func(since int64) bool { return p.gauges.caughtUp() && p.applied.Load() >= since },
	}
	return p, nil
}

// chunkBytes bounds the memory of one chunk.
const chunkBytes = 1 << 20
