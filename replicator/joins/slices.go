package joins

import (
	"encoding/binary"
	"errors"
	"fmt"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// Kinds of work that is done in slices.
const (
	workPass   = 'p' // mark every row of a target's table: target, key of the last one
	workFanOut = 'f' // a change that touches many documents: target, mapping.Work
)

// workHeader is the size of what work begins with: its kind and target.
const workHeader = 1 + 4

// sliceKeys is how many documents one slice of work marks.
const sliceKeys = 1000

// addWork leaves something to be done in slices.
func (j *Joins) addWork(b *rowstore.Batch, kind byte, to *target, data []byte) error {
	record := binary.BigEndian.AppendUint32([]byte{kind}, to.id)
	j.nextID++
	j.working = true
	return b.PutWork(j.nextID, append(record, data...))
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
		if to.began.Load() || j.applied < to.Since.Load() || to.Stale && to.Replaced {
			continue
		}
		err := j.write(j.applied, func(b *rowstore.Batch) error {
			return errors.Join(j.dropWork(b, func(id uint32) bool { return id == to.id }), // of an earlier round
				writeNote(b, noteBegan+to.name(), true), j.addWork(b, workPass, to, nil))
		})
		if err == nil {
			// From now on documents are written. A store that had lost this would read the
			// rows again, and not miss those that were deleted meanwhile.
			err = j.store.Sync()
		}
		if err != nil {
			return fmt.Errorf("begin documents of index %s: %w", to.Alias, err)
		}
		to.began.Store(true)
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
		kind, rest := record[0], record[workHeader:]
		to := j.target(binary.BigEndian.Uint32(record[1:]))
		if to == nil || to.Retired.Load() {
			return nil // of an index that is gone
		}
		if rest, err = j.work(b, kind, to, rest); err != nil || rest == nil {
			return err
		}
		return b.PutWork(id, append(record[:workHeader:workHeader], rest...))
	})
}

// work does one slice and returns what is left; nil where nothing is.
func (j *Joins) work(b *rowstore.Batch, kind byte, to *target, data []byte) (rest []byte, err error) {
	mark := func(mark []byte) error { return j.mark(b, to, mark) }
	if kind == workFanOut {
		w, err := mapping.ParseWork(data)
		if err != nil {
			return nil, fmt.Errorf("read work: %w", err)
		}
		next, err := to.renderer.Continue(j.scratch, b, w, sliceKeys, mark)
		if err != nil || next == nil {
			return nil, err
		}
		return next.Append(nil), nil
	}
	var after []byte
	if len(data) > 0 {
		after = data
	}
	n := 0
	err = b.All(to.renderer.Stored, after, func(key []byte, _ sources.Row) (bool, error) {
		n++
		rest = append(rest[:0], key...)
		j.key = to.renderer.Mark(j.key[:0], key)
		err := mark(j.key)
		b.Forget()
		return n < sliceKeys, err
	})
	if err != nil || n == sliceKeys {
		return rest, err
	}
	return nil, writeNote(b, notePass+to.name(), true)
}
