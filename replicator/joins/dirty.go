package joins

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"haystream/mapping"
	"haystream/mapping/rowstore"
)

// maxDirty is how many documents of all targets are kept in memory that are to be rendered, about 50 bytes for each. A target has
// its share of that, and room for a piece at least. What comes beyond waits in the store.
const maxDirty = 25_000

// dirty is which documents of one target are to be rendered anew, by their marks. Each
// batch of the store has a record of those that it has made dirty and that were not,
// under its version. Records go in their order, once what they name is held. So a document
// that an earlier record names is rendered again after a restart, if one that a later record names is.
type dirty struct {
	queue   map[string]int64 // to be sent in the next round, with the version of the last record that names it
	records []int64          // the versions of the records that name what is queued
	most    int              // documents in the queue, about; Open shares them out

	// behind: records from this version on are only in the store, since there are too
	// many documents; 0: none is.
	behind int64
}

// newDirty begins with what earlier sessions have left in the store.
func newDirty() dirty {
	return dirty{queue: map[string]int64{}, behind: 1}
}

// record says which documents of a batch its record has to name, and whether there is
// room for them in memory. Those that are queued are left out: an earlier record names
// them, which does not go before they are sent. A place that a row has left is named each time:
// the record's version is when.
func (d *dirty) record(marks []string) (named []string, room bool) {
	if d.behind > 0 || len(d.queue) > 0 && len(d.queue)+len(marks) > d.most {
		return marks, false
	}
	return slices.DeleteFunc(marks, func(mark string) bool {
		_, queued := d.queue[mark]
		return queued && !mapping.IsPlace(mark)
	}), true
}

// add takes what a batch has recorded, or leaves it in the store.
func (d *dirty) add(version int64, marks []string, room bool) {
	switch {
	case len(marks) == 0:
	case room:
		d.take(version, marks)
	case d.behind == 0:
		d.behind = version
	}
}

func (d *dirty) take(version int64, marks []string) {
	d.records = append(d.records, version)
	for _, mark := range marks {
		d.queue[mark] = version
	}
}

// refill reads more of a target's records that are only in the store, once there is room. Those
// from before it has begun are passed over.
func (d *dirty) refill(store *rowstore.Store, target uint32, began int64) error {
	if d.behind == 0 || len(d.queue) > d.most/2 {
		return nil
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	behind := int64(0)
	err := snap.Dirty(target, d.behind, func(version int64, data []byte) (bool, error) {
		marks, err := parseMarks(data)
		if err != nil {
			return false, err
		}
		if len(d.queue) > 0 && len(d.queue)+len(marks) > d.most {
			behind = version
			return false, nil
		}
		if began == 0 || version < began {
			marks = nil
		}
		d.take(version, marks)
		return true, nil
	})
	if err == nil {
		d.behind = behind
	}
	return err
}

// next takes what is queued, in the order of marks, and for each the version of the last record that names it.
// Places that were left come last: where the rest has a row that has taken one, the delete comes too late, and no
// reader misses the document for a moment. records are all that name something.
func (d *dirty) next() (marks []string, named, records []int64) {
	marks = slices.SortedFunc(maps.Keys(d.queue), func(a, b string) int {
		if left := mapping.IsPlace(a); left != mapping.IsPlace(b) {
			if left {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	named = make([]int64, len(marks))
	for i, mark := range marks {
		named[i] = d.queue[mark]
	}
	clear(d.queue)
	records, d.records = d.records, nil
	return marks, named, records
}

// appendMarks appends a record.
func appendMarks(dst []byte, marks []string) []byte {
	for _, mark := range marks {
		dst = append(binary.AppendUvarint(dst, uint64(len(mark))), mark...)
	}
	return dst
}

func parseMarks(data []byte) (marks []string, err error) {
	for len(data) > 0 {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size) {
			return nil, errDirty
		}
		data = data[size:]
		marks, data = append(marks, string(data[:n])), data[n:]
	}
	return marks, nil
}

var errDirty = errors.New("a record of dirty documents cannot be read")
