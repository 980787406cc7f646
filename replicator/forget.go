package replicator

import (
	"fmt"

	"haystream/mapping/rowstore"
)

// forgetGone deletes what the store holds of physical indexes that are no longer
// fed: their marked and due documents, and how far their passes had come. Their
// work is deleted when its turn comes.
func (j *joins) forgetGone() error {
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
func (j *joins) goneNotes() (gone []string, err error) {
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
