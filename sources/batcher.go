package sources

import (
	"sync"
	"time"
)

const (
	// BatchBytes is the memory at which a batch is sent.
	BatchBytes = 1 << 20

	// largeBatch is the size from which on a batch's memory is used again: small ones
	// must not wait in large memory while the sink is slow.
	largeBatch = BatchBytes / 16

	// linger is how long a finished transaction waits for more, so that a
	// fast run of small ones shares a batch.
	linger = 2 * time.Millisecond

	// positionEvery spaces batches that only move the position.
	positionEvery = time.Second
)

// A Batcher has the batch that a stream fills, and knows when that is to be
// sent. The stream owns it.
type Batcher struct {
	*Batch

	spare *sync.Pool // batches that were released
	whole time.Time  // when the batch first held a whole transaction; zero: not yet
	sent  time.Time  // the last one
	busy  bool       // the last one had changes
	quiet bool       // the server has said since that nothing follows
}

// NewBatcher returns one with an empty batch.
func NewBatcher() Batcher {
	spare := &sync.Pool{}
	return Batcher{Batch: &Batch{Arena: &Arena{}, spare: spare}, spare: spare, sent: time.Now()}
}

// Whole notes the end of a transaction, and reports whether the batch is to be
// sent before anything is added.
func (b *Batcher) Whole() bool {
	if b.whole.IsZero() && !b.empty() {
		b.whole = time.Now()
	}
	return b.Full() || !b.whole.IsZero() && time.Since(b.whole) >= linger
}

// Full reports whether the batch has as much as it may.
func (b *Batcher) Full() bool { return b.Size() >= BatchBytes }

// Quiet notes that the server has nothing that follows what was read.
func (b *Batcher) Quiet() { b.quiet = b.busy }

// Due is when the batch is to be sent; not ok: it holds nothing to send yet. A
// finished transaction lingers a little. A position alone, where that has moved,
// is sent once in a while, but at once where a chunk waits for it. That nothing
// follows the last change is said by a batch that has none.
func (b *Batcher) Due(moved, wanted bool) (at time.Time, ok bool) {
	switch {
	case !b.whole.IsZero():
		return b.whole.Add(linger), true
	case b.quiet:
		return b.sent, true
	case !moved:
		return time.Time{}, false
	case wanted:
		return b.sent, true
	}
	return b.sent.Add(positionEvery), true
}

// Ask is when a server that has not said whether anything follows the last
// change is to be asked; not ok: it has said so.
func (b *Batcher) Ask() (at time.Time, ok bool) {
	return b.sent.Add(positionEvery), b.busy && !b.quiet
}

// Take gives the batch away, to be sent, and begins an empty one.
func (b *Batcher) Take() *Batch {
	taken := b.Batch
	*b = Batcher{Batch: b.next(), spare: b.spare, sent: time.Now(), busy: !taken.empty()}
	return taken
}

// next has room for what the last batch holds: those of a busy stream are of a size.
func (b *Batcher) next() *Batch {
	if b.Size() >= largeBatch {
		if released, ok := b.spare.Get().(*Batch); ok {
			return released
		}
	}
	return &Batch{Arena: NewArena(min(b.Arena.Size(), BatchBytes)), Changes: make([]Change, 0, len(b.Changes)), spare: b.spare}
}
