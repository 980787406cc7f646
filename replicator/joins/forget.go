package joins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"haystream/mapping/rowstore"
)

// forgetGone deletes what the store holds of physical indexes that are no longer
// fed: their dirty and due documents, and how far their passes had come. Their
// work is deleted when its turn comes.
func (j *Joins) forgetGone() error {
	found, err := j.store.Targets()
	if err != nil {
		return fmt.Errorf("read row store: %w", err)
	}
	for _, id := range found {
		if j.target(id) != nil {
			continue
		}
		if err := j.store.DropTarget(id); err != nil {
			return fmt.Errorf("forget documents of indexes that are gone: %w", err)
		}
	}
	gone, err := j.goneNotes()
	if err != nil || len(gone) == 0 {
		return err
	}
	return j.write(j.applied, func(b *rowstore.Batch) error {
		for _, name := range gone {
			if err := b.Set(name, nil); err != nil {
				return fmt.Errorf("forget notes of indexes that are gone: %w", err)
			}
		}
		return nil
	})
}

// goneNotes names the notes about indexes that are no longer fed.
func (j *Joins) goneNotes() (gone []string, err error) {
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	for _, of := range []string{noteBegan, notePass} {
		known := map[string]bool{}
		for _, to := range j.targets {
			known[of+to.name()] = true
		}
		err := snap.Notes(of, func(name string) (bool, error) {
			if !known[name] {
				gone = append(gone, name)
			}
			return true, nil
		})
		if err != nil {
			return nil, fmt.Errorf("read row store: %w", err)
		}
	}
	return gone, nil
}

// giveUp forgets what is marked and left to be done for targets that have begun and
// whose rows are stored otherwise now, so that they have to be read again. What
// serves stands still until then. Documents of rows that go meanwhile would stay:
// what has not been told to be built anew beside is told so first.
func (j *Joins) giveUp(lost []*target) error {
	rebuild := &RebuildError{}
	for _, to := range lost {
		if to.renderer.Append || to.Serving && to.Stale {
			continue
		}
		if !to.Serving {
			rebuild.Useless = append(rebuild.Useless, to.Physical)
		}
		if !slices.Contains(rebuild.Aliases, to.Alias) {
			rebuild.Aliases = append(rebuild.Aliases, to.Alias)
		}
	}
	if len(rebuild.Aliases) > 0 {
		return rebuild
	}
	for _, to := range lost {
		if err := j.store.DropTarget(to.id); err != nil {
			return fmt.Errorf("forget documents of index %s: %w", to.Alias, err)
		}
		to.began.Store(0)
		to.passing.Store(false)
		to.rendered.Store(0)
		to.cursor, to.sent, to.passed = nil, false, passed{}
	}
	return j.write(j.applied, func(b *rowstore.Batch) error {
		err := j.dropWork(b, func(id uint32) bool {
			return slices.ContainsFunc(lost, func(to *target) bool { return to.id == id })
		})
		for _, to := range lost {
			err = errors.Join(err, b.Set(noteBegan+to.name(), nil), b.Set(notePass+to.name(), nil))
		}
		if err != nil {
			return fmt.Errorf("forget documents: %w", err)
		}
		return nil
	})
}

// dropWork deletes what is left to be done for some targets.
func (j *Joins) dropWork(b *rowstore.Batch, of func(target uint32) bool) error {
	var gone []uint64
	err := b.Work(func(id uint64, record []byte) (bool, error) {
		if len(record) >= workHeader && of(binary.BigEndian.Uint32(record)) {
			gone = append(gone, id)
		}
		return true, nil
	})
	for _, id := range gone {
		err = errors.Join(err, b.DeleteWork(id))
	}
	return err
}
