package rowstore

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Commit makes the Batch take effect and ends it. With sync it survives a power
// cut, and so do all before it; without, a kill may undo it and all after it
// until the next Sync.
//
// After an error of the volume (ErrFull, ErrReadOnly, …) the store's files stay
// as they were, and no later Commit succeeds until the store is closed and
// opened again; reading goes on. Position, ID and Sequence do not show the
// Batch then, but a Snapshot taken afterwards may: no document is to be
// rendered from it.
func (b *Batch) Commit(sync bool) error {
	err := b.commit(sync)
	return errors.Join(err, b.Discard())
}

// Spill makes what the Batch holds take effect, so that it needs no memory, and
// goes on with it. Rows stay valid.
func (b *Batch) Spill() error {
	if err := b.commit(false); err != nil {
		return errors.Join(err, b.Discard())
	}
	if err := errors.Join(b.drop(), b.of.Close()); err != nil {
		return b.store.failed("end batch", err)
	}
	b.of = b.store.db.NewIndexedBatch()
	b.reader.from, b.base = b.of, b.store.db
	b.next.sequence++
	b.truncated = false
	return nil
}

func (b *Batch) commit(sync bool) error {
	s := b.store
	b.value = b.next.append(b.value[:0])
	if err := b.of.Set([]byte{spaceState}, b.value, nil); err != nil {
		return s.failed("commit to row store", err)
	}
	if err := s.apply(b.of, sync); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = b.next
	if sync {
		s.synced = b.next.sequence
	}
	return nil
}

// Discard ends the Batch without effect; after Commit it does nothing.
func (b *Batch) Discard() error {
	if b.of == nil {
		return nil
	}
	of := b.of
	b.of, b.from, b.base = nil, nil, nil
	b.rows.Reset()
	if err := errors.Join(b.drop(), of.Close()); err != nil {
		return b.store.failed("end batch", err)
	}
	return nil
}

// apply writes a batch, when there is room for it.
func (s *Store) apply(of *pebble.Batch, sync bool) error {
	if err := s.pace.wait(s.db, s.guard, of.Len()); err != nil {
		return fmt.Errorf("commit to row store: %w", err)
	}
	how := pebble.NoSync
	if sync {
		how = pebble.Sync
	}
	if err := s.db.Apply(of, how); err != nil {
		return s.failed("commit to row store", err)
	}
	if err := s.guard.failure(); err != nil {
		return fmt.Errorf("commit to row store: %w", err)
	}
	return nil
}

// A pace holds commits back while compactions are far behind, so that reading
// stays fast. The storage engine's own brake is off: it would hold a commit for
// ever once the volume takes no writes.
type pace struct {
	mu      sync.Mutex
	bytes   int           // committed since the engine was asked last
	changed chan struct{} // holds one when a compaction or flush has ended
}

const (
	paceEvery = 1 << 20 // bytes between questions
	paceRuns  = 12      // runs of rows not compacted that are too many
)

func newPace() *pace { return &pace{changed: make(chan struct{}, 1)} }

// ended is told that a compaction or flush has.
func (p *pace) ended() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// wait returns when a commit of so many bytes may be made, or cannot.
func (p *pace) wait(db *pebble.DB, g *guard, bytes int) error {
	if err := g.failure(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes += bytes; p.bytes < paceEvery {
		return nil
	}
	p.bytes = 0
	for db.Metrics().Levels[0].Sublevels >= paceRuns {
		select {
		case <-p.changed:
		case <-g.failed:
			return g.failure()
		}
	}
	return nil
}
