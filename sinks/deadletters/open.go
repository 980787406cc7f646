package deadletters

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Open is the set of open dead letters of one pipeline. It is bounded: more
// than its limit stops the pipeline. Safe for concurrent use. While it is
// empty, asking costs one atomic load.
type Open struct {
	limit int64
	count atomic.Int64

	mu       sync.Mutex
	versions map[string]int64 // by AppendKey's text; one less where a delete was refused
}

// NewOpen is an empty set that takes up to limit entries.
func NewOpen(limit int64) *Open {
	return &Open{limit: limit, versions: map[string]int64{}}
}

// AppendKey appends the text that names a document.
func AppendKey(dst []byte, physical string, docID []byte) []byte {
	dst = append(append(dst, physical...), ':')
	return append(dst, docID...)
}

// Empty reports whether nothing is open.
func (o *Open) Empty() bool { return o.count.Load() == 0 }

// Len is the number of open entries.
func (o *Open) Len() int64 { return o.count.Load() }

// Reset closes all entries.
func (o *Open) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.versions)
	o.count.Store(0)
}

// Add opens an entry for a write that was refused, a delete or another, or raises its
// version. It returns false where that would be one too many.
func (o *Open) Add(key []byte, version int64, deletes bool) bool {
	if deletes {
		version--
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	known, open := o.versions[string(key)]
	if !open && int64(len(o.versions)) >= o.limit {
		return false
	}
	o.versions[string(key)] = max(known, version)
	o.count.Store(int64(len(o.versions)))
	return true
}

// Clear closes the document's entry if a good write at version clears it, and
// reports whether it did. A delete does not clear a document of the same version: it
// is of the place that this one has left.
func (o *Open) Clear(key []byte, version int64, deletes bool) bool {
	if deletes {
		version--
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	known, open := o.versions[string(key)]
	if !open || known > version {
		return false
	}
	delete(o.versions, string(key))
	o.count.Store(int64(len(o.versions)))
	return true
}

// Drop closes all entries of a physical index.
func (o *Open) Drop(physical string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.versions {
		if strings.HasPrefix(key, physical+":") {
			delete(o.versions, key)
		}
	}
	o.count.Store(int64(len(o.versions)))
}

// Counts is the number of open entries by physical index.
func (o *Open) Counts() map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	counts := map[string]int64{}
	for key := range o.versions {
		physical, _, _ := strings.Cut(key, ":")
		counts[physical]++
	}
	return counts
}
