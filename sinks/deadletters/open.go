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
	versions map[string]int64 // by AppendKey's text
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

// Add opens an entry, or raises its version. It returns false where that would
// be one too many.
func (o *Open) Add(key []byte, version int64) bool {
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

// Cleared reports whether the document has an open entry that a good write at
// version clears.
func (o *Open) Cleared(key []byte, version int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, open := o.versions[string(key)]
	return open && known <= version
}

// Remove closes the entry that a good write at version has cleared.
func (o *Open) Remove(key []byte, version int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, open := o.versions[string(key)]; open && known <= version {
		delete(o.versions, string(key))
		o.count.Store(int64(len(o.versions)))
	}
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
