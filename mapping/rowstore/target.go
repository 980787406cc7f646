package rowstore

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// dropKeys is how many due documents one commit of DropTarget forgets.
const dropKeys = 4096

// Targets returns the targets that documents are dirty or due for, in order.
// It reads little, however many documents there are.
func (s *Store) Targets() ([]uint32, error) {
	dirty, err := s.targets(spaceDirty)
	if err != nil {
		return nil, err
	}
	due, err := s.targets(spaceDueOf)
	dirty = append(dirty, due...)
	slices.Sort(dirty)
	return slices.Compact(dirty), err
}

// Timed returns the targets that documents are due for, in order.
func (s *Store) Timed() ([]uint32, error) { return s.targets(spaceDueOf) }

// targets returns those that keys of a space begin with.
func (s *Store) targets(space byte) ([]uint32, error) {
	var found []uint32
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return nil, s.failed("read the row store", err)
	}
	for ok := iter.First(); ok; { // from each to the next
		key := iter.Key()[1:]
		if len(key) < 4 {
			return nil, errors.Join(s.damaged("read targets", errors.New("one cannot be read")), iter.Close())
		}
		target := binary.BigEndian.Uint32(key)
		found = append(found, target)
		if target == math.MaxUint32 {
			break
		}
		ok = iter.SeekGE(appendTarget(nil, space, target+1))
	}
	if err := iter.Close(); err != nil {
		return nil, s.failed("read the row store", err)
	}
	return found, nil
}

// DropTarget forgets all dirty and due documents of a target, in commits of
// bounded size. A kill in the middle of it leaves some, and Targets names it again.
// It is called where no Batch is open.
func (s *Store) DropTarget(target uint32) error {
	var after []byte
	for more := true; more; {
		b := s.Batch()
		var err error
		if after, more, err = b.dropDues(target, after); err == nil && !more {
			err = b.dropRest(target)
		}
		if err != nil {
			return errors.Join(err, b.Discard())
		}
		if err := b.Commit(false); err != nil {
			return err
		}
	}
	return nil
}

// dropDues deletes the next due documents of a target by their times. What finds
// them is deleted last.
func (b *Batch) dropDues(target uint32, after []byte) (last []byte, more bool, err error) {
	n := 0
	err = b.scan(appendTarget(nil, spaceDueOf, target), after, nil, func(key, data []byte) (bool, error) {
		if len(data) != 8 {
			return false, b.store.damaged("read due document", errors.New("its time cannot be read"))
		}
		n++
		last = append(last[:0], key...)
		return n < dropKeys, b.deleteDue(int64(binary.BigEndian.Uint64(data)), target, key)
	})
	return last, n == dropKeys, err
}

func (b *Batch) dropRest(target uint32) error {
	for _, space := range []byte{spaceDirty, spaceDueOf} {
		prefix := appendTarget(nil, space, target)
		if err := b.of.DeleteRange(prefix, appendEnd(nil, prefix), nil); err != nil {
			return b.written("drop target", err)
		}
	}
	return nil
}

// Notes gives the names under which notes are Set that begin with prefix, in order.
func (r *reader) Notes(prefix string, each func(name string) (more bool, err error)) error {
	r.key = append(append(r.key[:0], spaceNote), prefix...)
	return r.scan(r.key, nil, nil, func(key, _ []byte) (bool, error) { return each(prefix + string(key)) })
}
