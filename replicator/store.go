package replicator

import (
	"errors"
	"fmt"
	"slices"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/builds"
	"haystream/replicator/inspect"
	"haystream/replicator/joins"
)

// openStore opens the row store, or begins it anew where it is not what the
// checkpoint was saved with; nil where neither the definitions nor those before
// need one.
func (d *daemon) openStore(st *builds.State, pf *inspect.Inspection) (store *rowstore.Store, left joins.Notes, err error) {
	needed, fresh := false, false
	var saved builds.StoreState
	st.View(func(cp *builds.Checkpoint) {
		saved, fresh = cp.Store, cp.Position.IsZero()
		needed = pf.Plan.Layout != nil || cp.Stored()
	})
	if !needed {
		return nil, left, nil
	}
	dir := d.cfg.StoreDir()
	store, err = rowstore.Open(dir, rowstore.Meta{Identity: pf.Source.Identity}, rowstore.Options{Log: d.log, FS: d.disk})
	if err != nil && !errors.Is(err, rowstore.ErrRebuild) {
		return nil, left, fmt.Errorf("open row store %s: %w", dir, err)
	}
	var reason string
	switch {
	case err != nil:
		reason = err.Error()
	case d.broken != nil:
		reason = d.broken.Error()
	case store.Sequence() > 0 && (fresh || !saved.Fits(store)), saved.ID == store.ID() && !saved.Fits(store):
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
	return errors.Is(err, rowstore.ErrFull) || errors.Is(err, rowstore.ErrReadOnly) || errors.Is(err, rowstore.ErrFrozen) || errors.Is(err, rowstore.ErrRebuild)
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
	d.broken = nil
	return nil
}

// useStore makes the store one of the plan's tables. Documents whose marks were
// lost with a former one may be too many or too old, so that their indexes are
// rebuilt beside.
func (d *daemon) useStore(st *builds.State, plan *mapping.Plan, store *rowstore.Store, left *joins.Notes) error {
	var saved builds.StoreState
	version := int64(0)
	st.View(func(cp *builds.Checkpoint) { saved, version = cp.Store, cp.Version })
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
	st.Update(func(cp *builds.Checkpoint) {
		if from := left.From; !from.Position.IsZero() && from.Version >= cp.Version {
			cp.Position, cp.Version = from.Position, from.Version
		}
		if saved.ID != store.ID() {
			cp.LoseStore()
		}
	})
	st.Use(store)
	return nil
}
