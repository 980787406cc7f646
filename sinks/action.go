package sinks

import (
	"slices"
	"sync/atomic"
	"time"
)

// Op is what an Action does.
type Op uint8

// Operations.
const (
	OpIndex  Op = iota + 1 // replace the whole document
	OpDelete               // remove it
	OpReject               // the document could not be rendered: a dead letter, Body holds the reason
)

// An Action is one write of one document. Its bytes belong to the Batch.
type Action struct {
	Target  *Target
	Op      Op
	Version int64
	ID      []byte // not escaped
	Routing []byte // nil for none
	Body    []byte // the JSON document on one line, for OpIndex
}

// A Batch of actions, in order. Its owner may Reset and use it again after Done.
type Batch struct {
	Actions []Action

	// Unmade are targets of periods whose indexes have to be made before it is written.
	Unmade []*Target

	// Done is called exactly once, from any goroutine, when every action is held.
	Done func()

	// Blocks hold the actions' bytes. A block never grows, since actions point
	// into it; the last one in use is being filled.
	blocks [][]byte
	used   int
	size   int // of all blocks
}

// Sizes of blocks in bytes: small batches take little, large ones few blocks.
const (
	leastBlock = 1 << 10
	mostBlock  = 256 << 10
)

// Needs notes a period's target that actions go to, unless its index was made.
func (b *Batch) Needs(to *Target) {
	if !to.Made.Load() && !slices.Contains(b.Unmade, to) {
		b.Unmade = append(b.Unmade, to)
	}
}

// Keep copies an action's bytes into the batch.
func (b *Batch) Keep(text []byte) []byte {
	for b.used == 0 || cap(b.blocks[b.used-1])-len(b.blocks[b.used-1]) < len(text) {
		if b.used == len(b.blocks) {
			block := make([]byte, 0, max(len(text), min(max(b.size, leastBlock), mostBlock)))
			b.blocks = append(b.blocks, block)
			b.size += cap(block)
		}
		b.used++
	}
	block := b.blocks[b.used-1]
	start, end := len(block), len(block)+len(text)
	b.blocks[b.used-1] = append(block, text...)
	return block[start:end:end]
}

// Adopt is Keep for a large text, which becomes the batch's without a copy. The
// caller must not use it any more.
func (b *Batch) Adopt(text []byte) []byte {
	b.blocks = slices.Insert(b.blocks, b.used, text)
	b.used++
	b.size += cap(text)
	return text[:len(text):len(text)]
}

// Reset forgets all actions and keeps the memory.
func (b *Batch) Reset() {
	clear(b.Actions)
	b.Actions, b.Unmade, b.Done = b.Actions[:0], nil, nil
	for i := range b.blocks {
		b.blocks[i] = b.blocks[i][:0]
	}
	b.used = 0
}

// Size is the memory that the batch holds, in bytes: a buffer that was larger
// once still takes its room.
func (b *Batch) Size() int { return b.size + actionSize*cap(b.Actions) }

const actionSize = 104

// Bodies is how many bytes the documents have.
func (b *Batch) Bodies() (n int) {
	for i := range b.Actions {
		n += len(b.Actions[i].Body)
	}
	return n
}

// A Target is a physical index that actions are written to, with its counters.
type Target struct {
	Index      string // the definition's alias, for messages
	Physical   string
	WriteAlias string // the alias that require_alias guards; written instead of Physical
	Pipeline   string // ingest pipeline; empty for none

	Written     atomic.Int64 // documents indexed
	Deleted     atomic.Int64 // deletes delivered
	Superseded  atomic.Int64 // answered "a newer version is there"
	Dropped     atomic.Int64 // documents that the ingest pipeline dropped: nothing was written
	DeadLetters atomic.Int64 // sent to the dead letters since start

	// Period is that of an index which belongs to Of; empty and nil for others.
	Period string
	Of     *Target

	Made   atomic.Bool  // the index of the period is there
	Oldest atomic.Int64 // the first period, by its number, whose documents are kept; 0: all are

	parts   parts
	refusal atomic.Pointer[Refusal]
}

// A Refusal is that a sink takes no documents of one index, and a person must mend that.
type Refusal struct {
	Since time.Time
	Why   string // with the remedy
	op    Op
}

// Refuse is called by the sink for each action that it refuses so.
func (t *Target) Refuse(op Op, why string) {
	if t.refusal.Load() == nil {
		t.refusal.CompareAndSwap(nil, &Refusal{Since: time.Now(), Why: why, op: op})
	}
}

// Accept is called by the sink for each action that it takes.
func (t *Target) Accept(op Op) {
	if r := t.refusal.Load(); r != nil && r.op == op {
		t.refusal.CompareAndSwap(r, nil)
	}
}

// Refused is nil while the sink takes the target's documents.
func (t *Target) Refused() *Refusal { return t.refusal.Load() }

// WriteAlias is the name of a physical index's own write alias.
func WriteAlias(physical string) string { return physical + "-write" }
