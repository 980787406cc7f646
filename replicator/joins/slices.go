package joins

import (
	"encoding/binary"
	"errors"
	"fmt"

	"haystream/mapping"
	"haystream/mapping/rowstore"
)

// workHeader is the size of what work begins with: its target.
const workHeader = 4

// sliceKeys is how many documents one slice of work marks.
const sliceKeys = 1000

// addWork leaves something to be done in slices: a change that touches many documents.
func (j *Joins) addWork(b *rowstore.Batch, to *target, w *mapping.Work) error {
	j.nextID++
	j.working = true
	return b.PutWork(j.nextID, w.Append(binary.BigEndian.AppendUint32(nil, to.id)))
}

// Begin starts the pass over all rows for each target that has not had it: when
// the tables are known, and the stream has come to where its build begins. What is
// stale and soon replaced needs none.
func (j *Joins) Begin() error {
	if j == nil || !j.known() {
		return nil
	}
	j.whole.Store(true)
	for _, to := range j.targets {
		if to.began.Load() > 0 || j.applied < to.Since.Load() || to.Stale && to.Replaced {
			continue
		}
		began := int64(0)
		err := j.write(j.applied, func(b *rowstore.Batch) error {
			began = j.clock.version
			return errors.Join(j.dropWork(b, func(id uint32) bool { return id == to.id }), // of an earlier round
				writeNote(b, noteBegan+to.name(), began))
		})
		if err == nil {
			// From now on documents are written. A store that had lost this would read the
			// rows again, and not miss those that were deleted meanwhile.
			err = j.store.Sync()
		}
		if err != nil {
			return fmt.Errorf("begin documents of index %s: %w", to.Alias, err)
		}
		to.passing.Store(true)
		to.began.Store(began)
		wake(j.rounds.marked)
	}
	return nil
}

// slice goes on with the first work that is left.
func (j *Joins) slice() error {
	return j.write(j.applied, func(b *rowstore.Batch) error {
		var id uint64
		var record []byte
		err := b.Work(func(first uint64, data []byte) (bool, error) {
			id, record = first, append([]byte(nil), data...)
			return false, nil
		})
		if err != nil || len(record) < workHeader {
			j.working = false
			return err
		}
		if err := b.DeleteWork(id); err != nil {
			return err
		}
		to := j.target(binary.BigEndian.Uint32(record))
		if to == nil || to.Retired.Load() {
			return nil // of an index that is gone
		}
		w, err := mapping.ParseWork(record[workHeader:])
		if err != nil {
			return fmt.Errorf("read work: %w", err)
		}
		next, err := to.renderer.Continue(j.scratch, b, w, sliceKeys, to.mark)
		if err != nil || next == nil {
			return err
		}
		return b.PutWork(id, next.Append(record[:workHeader:workHeader]))
	})
}
