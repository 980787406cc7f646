package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/inspect"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/replicator/web"
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
	st.Update(func(cp *builds.Checkpoint) { cp.Use(plan) })
	if plan.Layout == nil {
		st.Use(nil)
	} else if err := d.useStore(st, plan, store, &left); err != nil {
		return err
	}
	start, err := d.prepare(ctx, st, plan)
	if err != nil {
		return err
	}
	d.status.gauges.read(start.Clock)
	wanted := plan.Sets[0]
	x := &builds.Indexes{
		Sink: d.sink, State: st, Now: d.now, Log: d.log, Told: d.warned, Ran: d.ran, Held: pf.Held,
		Fed: old, Whole: pf.Whole, Pipeline: d.cfg.Name, Adopts: pf.Adopts,
	}
	unfit := maps.Clone(pf.Held)
	if err := x.Reconcile(ctx, wanted); err != nil {
		return err
	}
	targets := x.Targets(wanted, old)
	beyond, over := false, false
	st.Update(func(cp *builds.Checkpoint) {
		cp.Settle(plan, pf.Held)
		beyond, cp.Beyond, over = cp.Beyond, true, cp.TakenOver
	})
	if _, err := st.Save(ctx); err != nil {
		return err
	}
	if d.queue != nil {
		if err := eventsWait(wanted, targets, pf.Held); err != nil {
			return err
		}
	}
	p, err := d.pipeline(st, plan, targets, start.Mark)
	if err != nil {
		return err
	}
	p.beyond, p.takenOver = beyond, over
	p.need = x.Need
	p.look, p.fill = x.Follow(targets, p.barrier, d.status.complained)
	p.finish = func(ctx context.Context) error {
		d.status.letters.ask(ctx, d.sink)
		if err := d.giveTurn(ctx, time.Now()); err != nil {
			return err
		}
		if err := x.KeepPeriods(ctx, targets); err != nil {
			return err
		}
		if err := d.checkHeld(ctx, pf, unfit); err != nil {
			return err
		}
		if made, err := x.Retry(ctx); err != nil || made {
			return cmp.Or(err, error(errMended))
		}
		switch err := x.Finish(ctx, targets); {
		case err != nil:
			return err
		case p.takenOver && p.reached.Load():
			return errReplayed
		case x.Waits() && p.joins.Known():
			return errStored
		case plan.Doubled() && p.joins.Known() && builds.Swapped(targets):
			return errOutdated
		}
		return nil
	}
	d.replicates(p, plan, targets, pf)
	defer p.joins.Close()
	return p.run(ctx)
}

// replicates says that a session is ready to run its pipeline.
func (d *daemon) replicates(p *pipeline, plan *mapping.Plan, targets []*builds.Target, pf *inspect.Inspection) {
	d.log.Info().Str("position", string(p.from.Position)).Strs("tables", joins.Names(plan.Tables)).Msg("replicating " + describe(pf.Source, pf.Sink))
	if lasted, failed := d.ends.Over(); failed {
		d.log.Info().Stringer("after", lasted).Msg("going on")
	}
	d.status.hold(pf.Held)
	d.turns.giving = ""
	d.status.running(p, targets, pf)
	d.ran = true
}

// eventsWait returns an error where events would be passed over, since nothing takes them: they are
// nowhere else, so that all wait in the queue.
func eventsWait(wanted []*mapping.Index, targets []*builds.Target, held builds.Held) error {
	for _, w := range wanted {
		if held[w.Alias] == "" && !slices.ContainsFunc(targets, func(t *builds.Target) bool { return t.Alias == w.Alias }) {
			held[w.Alias] = "nothing takes its documents"
		}
	}
	var why []string
	for _, alias := range slices.Sorted(maps.Keys(held)) {
		if !slices.ContainsFunc(targets, func(t *builds.Target) bool { return t.Alias == alias }) {
			why = append(why, "index "+alias+": "+held[alias])
		}
	}
	if len(why) == 0 {
		return nil
	}
	return errors.New("events wait in the queue: " + strings.Join(why, "; "))
}

// look looks at both ends, at what the checkpoint says, and plans. It changes nothing.
func (d *daemon) look(ctx context.Context) (*inspect.Inspection, *builds.State, error) {
	pf := &inspect.Inspection{Widgets: d.cfg.Widgets}
	if err := errors.Join(pf.ReadSource(ctx, d.source), pf.ReadSink(ctx, d.sink)); err != nil {
		return nil, nil, err
	}
	st, err := d.load(ctx, d.owner, d.log)
	if err != nil {
		return nil, nil, err
	}
	if err := d.elsewhere(ctx, st); err != nil {
		return nil, nil, err
	}
	d.sameSource(st, pf.Source)
	if pf.Adopts, err = builds.LoadAdoptions(ctx, d.sink, d.cfg.Name); err != nil {
		return nil, nil, err
	}
	known := d.ran
	st.Update(func(cp *builds.Checkpoint) {
		cp.Compare(pf.Catalog, d.log)
		pf.Homes, pf.Blocked = cp.Homes, cp.Blocked()
		known = known || cp.Definitions == definitions(d.cfg)
	})
	if err := d.fit(ctx, pf, known); err != nil {
		return nil, nil, err
	}
	st.Update(func(cp *builds.Checkpoint) {
		cp.Definitions = definitions(d.cfg)
		cp.Hold(pf.Held)
	})
	for alias, why := range pf.Held {
		d.log.Error().Str("index", alias).Msg("index " + alias + " is held up: " + why)
	}
	d.warn(pf.Findings)
	return pf, st, nil
}

// A replan ends a session in order: it says why the next one plans anew.
type replan string

func (r replan) Error() string { return string(r) }

// errOutdated ends a session whose row store holds tables for indexes that serve no more.
const errOutdated = replan("all is stored that is wanted, and serves; what was stored for former definitions is deleted")

// errStored ends a session in which an index went on as it was.
const errStored = replan("the rows that a changed definition needs are stored; it takes effect now")

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
func (d *daemon) sameSource(st *builds.State, info sources.Info) {
	st.Update(func(cp *builds.Checkpoint) {
		if cp.Source != "" && cp.Source != info.Identity {
			d.log.Error().Str("checkpoint", cp.Source).Str("source", info.Identity).Msg("the checkpoint is of another database; every index is rebuilt beside the one that serves, then swapped")
			cp.Restart("the checkpoint is of another database")
		}
		cp.Source = info.Identity
	})
}

// plan compiles the definitions, and beside them saved ones of indexes that are to
// be fed (see Restore), over the tables that the row store keeps. old is what the
// latter became, by physical index.
func (d *daemon) plan(st *builds.State, pf *inspect.Inspection, left *joins.Notes) (plan *mapping.Plan, old map[string]*mapping.Index, err error) {
	options := pf.Options()
	options.Kept = left.Kept
	var partial []string
	st.View(func(cp *builds.Checkpoint) { partial = slices.Clone(cp.Partial) })
	if plan = pf.Plan; len(partial) > 0 || len(left.Kept) > 0 {
		pf.Distrust(partial)
		if plan, err = options.Compile(pf.Catalog, pf.Set); err != nil {
			return nil, nil, fmt.Errorf("compile definitions: %w", err)
		}
	}
	var saved map[string]mapping.Set
	st.Update(func(cp *builds.Checkpoint) {
		pf.Whole = left.Loaded(plan.Stored)
		saved = cp.Restore(plan.Sets[0], left, pf.Whole, d.log)
	})
	sets, physical := []mapping.Set{pf.Set}, []string{""}
	for _, name := range slices.Sorted(maps.Keys(saved)) {
		if _, err := options.Compile(pf.Catalog, saved[name]); err != nil {
			d.log.Warn().Err(err).Str("physical", name).Msg("the saved definition no longer fits the tables; the index gets no changes while a new one is built")
			continue
		}
		sets, physical = append(sets, saved[name]), append(physical, name)
	}
	if len(sets) == 1 {
		return plan, nil, nil
	}
	plan, err = options.Compile(pf.Catalog, sets...)
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

// What ends a session when another server has taken over: before the first one there, at the end of what that
// server's log had then, and before the next one.
var (
	errTakenOver  = errors.New("another server has taken over, and the last session ended before it could save how far it had come: changes may have been sent that the former server alone had")
	errReplayed   = replan("the log of the server that has taken over is read to where it ended")
	errDistrusted = errors.New("another server has taken over, and changes may have been sent that the former server alone had")
)

// prepare makes the source ready and settles where numbering goes on.
func (d *daemon) prepare(ctx context.Context, st *builds.State, plan *mapping.Plan) (sources.Start, error) {
	var from sources.Position
	st.View(func(cp *builds.Checkpoint) { from = cp.Position })
	start, err := d.source.Prepare(ctx, plan.Tables, from)
	if err != nil {
		return start, err
	}
	st.View(func(cp *builds.Checkpoint) {
		switch {
		case cp.TakenOver && !cp.Beyond:
			err = errDistrusted
		case start.Moved && cp.Beyond && !cp.TakenOver:
			err = errTakenOver
		}
	})
	if err != nil {
		return start, err
	}
	if from.IsZero() {
		st.Update(func(cp *builds.Checkpoint) {
			cp.Position = start.Position
			cp.Version = max(cp.Version, start.Clock.UnixMicro())
		})
	}
	return start, nil
}

// pipeline puts the pieces of one session together.
func (d *daemon) pipeline(st *builds.State, plan *mapping.Plan, targets []*builds.Target, mark sources.Position) (*pipeline, error) {
	tables := plan.Tables
	d.status.gauges.begin()
	p := &pipeline{
		replays: make(chan *replay), asides: make(chan func() error),
		verifier: d.verifier, verifyDir: d.cfg.VerifyDir(), viewer: d.viewer(),
		source: d.source, sink: d.sink, state: st, tables: tables, gauges: &d.status.gauges, report: d.status.checkpointed, log: d.log,
		held: int64(d.cfg.Limits.MaxMemory) / 3,
		mark: mark, fed: targets,
		routes:   newRoutes(len(tables), targets),
		decoding: d.decoding,
		windows:  reading.NewWindows(len(tables)),
	}
	if d.messages != nil {
		p.take = d.messages.take
	}
	p.memory = semaphore.NewWeighted(p.held)
	st.View(func(cp *builds.Checkpoint) { p.from = sources.Checkpoint{Position: cp.Position, Version: cp.Version} })
	p.position, p.version = p.from.Position, p.from.Version
	p.applied.Store(p.version)
	p.tracker = newTracker(p.delivered)
	p.scans = newScans(p.routes)
	if store := st.RowStore(); store != nil {
		var err error
		if p.joins, err = joins.Open(store, plan, builds.Joined(targets), p.windows, p.from.Version, d.now); err != nil {
			return nil, err
		}
		if err := p.joins.Own(!slices.ContainsFunc(p.routes, func(of []*route) bool { return len(of) > 0 })); err != nil {
			return nil, err
		}
		p.scans = append(p.scans, storedScans(p.joins)...)
	}
	p.loader = &snapshot{
		source: d.source, windows: p.windows, chunks: make(chan *loadedChunk), lookups: make(chan *joins.Lookup, 1),
		limits: d.cfg.Source.Snapshot, bytes: reading.ChunkBytes, log: d.log,
		unreadable: func(t *sources.Table, err error) {
			if d.status.unreadable(t, err) {
				d.log.Error().Stringer("table", t).Err(err).Msg(web.Unreadable.Log())
			}
		},
		caught: func(since int64) bool { return p.reached.Load() && p.gauges.caughtUp() && p.applied.Load() >= since },
	}
	return p, nil
}
