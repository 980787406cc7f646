package reading

import (
	"slices"

	"haystream/sources"
)

// Progress is how far a table has been read.
type Progress struct {
	Last sources.Key `json:"last,omitempty"` // the last row's key
	Rows int64       `json:"rows"`
	Done bool        `json:"done,omitempty"`
}

// Advance notes a chunk.
func (t *Progress) Advance(last sources.Key, rows int64, done bool) {
	t.Rows += rows
	t.Done = done
	if last != nil {
		t.Last = last
	}
}

// SameKey reports whether two readers stand at the same row; nil is before the first.
func SameKey(a, b sources.Key) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// ChunkBytes bounds the memory of one chunk.
const ChunkBytes = 1 << 20
