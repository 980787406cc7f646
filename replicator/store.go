package replicator

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/joins"
	"haystream/sinks"
	"haystream/sources"
)

// compileOptions are those of every plan of the daemon.
func compileOptions(sink sinks.Info) mapping.Options {
	return mapping.Options{Types: sink.Types, Complete: true}
}

// openStore opens the row store, or begins it anew where it is not what the
// checkpoint was saved with; nil where neither the definitions nor those before
// need one.
func (d *daemon) openStore(st *state, pf *inspection) (store *rowstore.Store, left joins.Notes, err error) {
	needed, fresh := false, false
	var saved storeState
	st.view(func(cp *checkpoint) {
		saved, fresh = cp.Store, cp.Position.IsZero()
		needed = pf.plan.Layout != nil || saved.ID != "" || len(cp.Partial) > 0
		for _, st := range cp.Indexes {
			needed = needed || st.Live != nil && st.Live.Stored
		}
	})
	if !needed {
		return nil, left, nil
	}
	dir := d.cfg.StoreDir()
	store, err = rowstore.Open(dir, rowstore.Meta{Identity: pf.source.Identity}, rowstore.Options{Log: d.log})
	if err != nil && !errors.Is(err, rowstore.ErrRebuild) {
		return nil, left, fmt.Errorf("open row store %s: %w", dir, err)
	}
	var reason string
	switch {
	case err != nil:
		reason = err.Error()
	case store.Sequence() > 0 && (fresh || saved.ID != store.ID()), saved.ID == store.ID() && store.Sequence() < saved.Sequence:
		reason = "it is not as the checkpoint left it"
	default:
		left, err = joins.ReadNotes(store)
	}
	if reason != "" {
		left, err = joins.Notes{From: left.From}, d.resetStore(store, reason)
	}
	if err != nil {
		return nil, left, errors.Join(err, store.Close())
	}
	return store, left, nil
}

// storeFailed reports whether the row store takes nothing until it is opened again.
func storeFailed(err error) bool {
	return errors.Is(err, rowstore.ErrFull) || errors.Is(err, rowstore.ErrReadOnly) || errors.Is(err, rowstore.ErrRebuild)
}

// noRoom says what to do about a row store that takes no writes.
func noRoom(err error, dir string) error {
	what := "make room on the volume of " + dir
	if errors.Is(err, rowstore.ErrReadOnly) {
		what = "make " + dir + " writable"
	}
	return fmt.Errorf("%w. The daemon goes on by itself once that is mended: %s", err, what)
}

// resetStore begins the store anew.
func (d *daemon) resetStore(store *rowstore.Store, reason string) error {
	d.log.Warn().Str("reason", reason).Msg("the row store is begun anew")
	if err := store.Reset(); err != nil {
		return fmt.Errorf("reset row store %s: %w", d.cfg.StoreDir(), err)
	}
	return nil
}

// useStore makes the store one of the plan's tables. Documents whose marks were
// lost with a former one may be too many or too old, so that their indexes are
// rebuilt beside.
func (d *daemon) useStore(st *state, plan *mapping.Plan, store *rowstore.Store, left *joins.Notes) error {
	var saved storeState
	version := int64(0)
	st.view(func(cp *checkpoint) { saved, version = cp.Store, cp.Version })
	if left.Applied > max(version, left.From.Version) && !slices.Equal(left.Tables, joins.Names(plan.Tables)) {
		const reason = "it is ahead of the checkpoint, and other tables are in use since, so that what comes again cannot be told from what is new"
		if err := d.resetStore(store, reason); err != nil {
			return err
		}
		*left = joins.Notes{From: left.From}
	}
	if err := store.Use(plan.Layout); err != nil {
		return fmt.Errorf("use row store %s: %w", d.cfg.StoreDir(), err)
	}
	st.update(func(cp *checkpoint) {
		if from := left.From; !from.Position.IsZero() && from.Version >= cp.Version {
			cp.Position, cp.Version = from.Position, from.Version
		}
		if saved.ID != store.ID() {
			cp.loseStore(plan)
		}
		cp.Store = storeState{store.ID(), store.Sequence()}
	})
	st.store = store
	return nil
}

// loseStore marks the indexes stale that were rendered from a store that is gone.
func (cp *checkpoint) loseStore(plan *mapping.Plan) {
	joined := map[string]bool{}
	for _, set := range plan.Sets {
		for _, index := range set {
			joined[index.Alias] = joined[index.Alias] || len(index.Joined) > 0
		}
	}
	epoch := cp.begin()
	for _, alias := range slices.Sorted(maps.Keys(cp.Indexes)) {
		if b := cp.Indexes[alias].Live; joined[alias] && b != nil && b.UUID != "" {
			cp.markStale(alias, "the row store was begun anew", epoch)
		}
	}
}

// passed notes that every document of a physical index that a table's rows give was
// rendered from the store and is held.
func (p *pipeline) passed(physical string, table *sources.Table) {
	p.state.update(func(*checkpoint) {
		for _, t := range p.fed {
			if t.Physical == physical {
				if progress := t.build.Tables[table.String()]; progress != nil {
					progress.Done = true
				}
			}
		}
	})
}
