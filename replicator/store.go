package replicator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// compileOptions are those of every plan of the daemon.
func compileOptions(sink sinks.Info) mapping.Options {
	return mapping.Options{Types: sink.Types, Store: true, Complete: true}
}

// storeDir is the row store's folder.
func storeDir(cfg *Config) string { return filepath.Join(cfg.State.Path, cfg.Name, "rows") }

// openStore opens the row store, or begins it anew where it is not what the
// checkpoint was saved with; nil where no definition needs one. Documents whose
// marks are lost with a store may be too many or too old, so that their indexes
// are rebuilt beside.
func (d *daemon) openStore(st *state, plan *mapping.Plan, source sources.Info) (*rowstore.Store, error) {
	if plan.Layout == nil {
		st.update(func(cp *checkpoint) { cp.Store = storeState{} })
		return nil, nil
	}
	dir := storeDir(d.cfg)
	store, err := rowstore.Open(dir, plan.Layout, rowstore.Meta{Identity: source.Identity}, rowstore.Options{Log: d.log})
	if err != nil && !errors.Is(err, rowstore.ErrRebuild) {
		return nil, fmt.Errorf("open row store %s: %w", dir, err)
	}
	var saved storeState
	fresh, version := false, int64(0)
	st.view(func(cp *checkpoint) { saved, fresh, version = cp.Store, cp.Position.IsZero(), cp.Version })
	switch {
	case err != nil:
		d.log.Warn().Err(err).Msg("the row store is begun anew")
		err = store.Reset()
	case store.Sequence() > 0 && (fresh || saved.ID != store.ID()), saved.ID == store.ID() && store.Sequence() < saved.Sequence:
		d.log.Warn().Msg("the row store is not as the checkpoint left it; it is begun anew")
		err = store.Reset()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reset row store %s: %w", dir, err), store.Close())
	}
	left, err := readNotes(store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if left.applied > max(version, left.from.Version) && !slices.Equal(left.tables, names(plan.Tables)) {
		d.log.Warn().Msg("the row store is ahead of the checkpoint, and other tables are in use since, so that what comes again cannot be told from what is new; it is begun anew")
		if err := store.Reset(); err != nil {
			return nil, errors.Join(fmt.Errorf("reset row store %s: %w", dir, err), store.Close())
		}
	}
	st.update(func(cp *checkpoint) {
		if from := left.from; !from.Position.IsZero() && from.Version >= cp.Version {
			cp.Position, cp.Version = from.Position, from.Version
		}
		if saved.ID != store.ID() {
			cp.loseStore(plan)
		}
		cp.Store = storeState{store.ID(), store.Sequence()}
	})
	return store, nil
}

// notes are what the session before has left in the store.
type notes struct {
	from    sources.Checkpoint // where it went on to while the sink was away
	applied int64              // Version of the last change that is in the store
	tables  []string           // in use: changes of these were numbered
}

// readNotes reads what the session before has left; nothing where the store is new.
func readNotes(store *rowstore.Store) (n notes, err error) {
	snap := store.Snapshot()
	err = errors.Join(readNote(snap, noteFrom, &n.from), readNote(snap, noteTables, &n.tables))
	if err == nil {
		n.applied, err = readApplied(snap)
	}
	return n, errors.Join(err, snap.Release())
}

// readApplied reads the Version of the last change that is in the store.
func readApplied(from rowstore.Reader) (int64, error) {
	note, err := from.Note(noteApplied)
	if err != nil {
		return 0, fmt.Errorf("read row store: %w", err)
	}
	if len(note) != 8 {
		return 0, nil
	}
	return int64(binary.BigEndian.Uint64(note)), nil
}

// loseStore marks the indexes stale that were rendered from a store that is gone.
func (cp *checkpoint) loseStore(plan *mapping.Plan) {
	joined := map[string]bool{}
	for _, set := range plan.Sets {
		for _, index := range set {
			joined[index.Alias] = joined[index.Alias] || len(index.Joined) > 0
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(cp.Indexes)) {
		if b := cp.Indexes[alias].Live; joined[alias] && b != nil && b.UUID != "" {
			cp.markStale(alias, "the row store was begun anew", cp.Version)
		}
	}
}

// passed notes that every document of a target was rendered from the store and is held.
func (p *pipeline) passed(to *joinedTarget) {
	p.state.update(func(*checkpoint) {
		if progress := to.build.Tables[to.renderer.Table.String()]; progress != nil {
			progress.Done = true
		}
	})
}
