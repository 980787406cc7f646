package joins

import (
	"encoding/binary"
	"errors"
	"slices"

	"haystream/mapping/rowstore"
)

// maxDirty is how many documents are kept in memory that are to be rendered or are
// on their way. What comes beyond waits in the store.
const maxDirty = 50_000

// A document is one of a target: a row's, or what was at a place that a row has left.
type document struct {
	target uint32
	mark   string
}

// dirty is which documents are to be rendered anew, or are on their way. Each batch
// of the store has one record of those that it has made dirty, under its version. A
// record goes when all its documents are held as of that version or a later one.
type dirty struct {
	documents map[document]*records
	queue     map[uint32][]string // to be sent in the next round, by target
	left      map[int64]int       // documents of each record that are not held
	done      []int64             // records of which none is left, to be deleted

	most int // documents in memory, about

	// behind: records from this version on are only in the store, since there are too
	// many; 0: none is.
	behind int64
}

// records are those that wait for a document.
type records struct {
	versions []int64
	queued   bool
}

func newDirty() dirty {
	return dirty{
		documents: map[document]*records{}, queue: map[uint32][]string{}, left: map[int64]int{}, most: maxDirty,
		behind: 1, // what earlier sessions have left
	}
}

// add takes what a batch has made dirty, or leaves it in the store.
func (d *dirty) add(version int64, documents []document) {
	switch {
	case d.behind > 0 || len(documents) == 0:
	case len(d.documents) > 0 && len(d.documents)+len(documents) > d.most:
		d.behind = version
	default:
		d.take(version, documents)
	}
}

func (d *dirty) take(version int64, documents []document) {
	if len(documents) == 0 {
		d.done = append(d.done, version)
		return
	}
	d.left[version] = len(documents)
	for _, doc := range documents {
		r := d.documents[doc]
		if r == nil {
			r = &records{}
			d.documents[doc] = r
		}
		r.versions = append(r.versions, version)
		if !r.queued {
			r.queued = true
			d.queue[doc.target] = append(d.queue[doc.target], doc.mark)
		}
	}
}

// refill reads more of what is in the store only, once there is room.
func (d *dirty) refill(store *rowstore.Store, feeds func(target uint32, version int64) bool) error {
	if d.behind == 0 || len(d.documents) > d.most/2 {
		return nil
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	behind := int64(0)
	err := snap.Dirty(d.behind, func(version int64, data []byte) (bool, error) {
		documents, err := parseDocuments(data)
		if err != nil {
			return false, err
		}
		if len(d.documents) > 0 && len(d.documents)+len(documents) > d.most {
			behind = version
			return false, nil
		}
		d.take(version, slices.DeleteFunc(documents, func(doc document) bool { return !feeds(doc.target, version) }))
		return true, nil
	})
	if err == nil {
		d.behind = behind
	}
	return err
}

// next takes what is queued for a target, in the order of marks: places that were
// left come first.
func (d *dirty) next(target uint32) []string {
	marks := d.queue[target]
	delete(d.queue, target)
	for _, mark := range marks {
		d.documents[document{target, mark}].queued = false
	}
	slices.Sort(marks)
	return marks
}

// held notes that the sink holds a document as of a version.
func (d *dirty) held(doc document, version int64) {
	r := d.documents[doc]
	if r == nil {
		return
	}
	r.versions = slices.DeleteFunc(r.versions, func(of int64) bool {
		if of > version {
			return false
		}
		if d.left[of]--; d.left[of] == 0 {
			delete(d.left, of)
			d.done = append(d.done, of)
		}
		return true
	})
	if len(r.versions) == 0 {
		delete(d.documents, doc)
	}
}

// appendDocuments appends a record.
func appendDocuments(dst []byte, documents []document) []byte {
	for _, doc := range documents {
		dst = binary.BigEndian.AppendUint32(dst, doc.target)
		dst = append(binary.AppendUvarint(dst, uint64(len(doc.mark))), doc.mark...)
	}
	return dst
}

func parseDocuments(data []byte) (documents []document, err error) {
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, errDirty
		}
		target := binary.BigEndian.Uint32(data)
		n, size := binary.Uvarint(data[4:])
		if size <= 0 || n > uint64(len(data)-4-size) {
			return nil, errDirty
		}
		data = data[4+size:]
		documents, data = append(documents, document{target, string(data[:n])}), data[n:]
	}
	return documents, nil
}

var errDirty = errors.New("a record of dirty documents cannot be read")
