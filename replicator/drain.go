package replicator

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"haystream/mapping/rowstore"
	"haystream/sources"
)

// A piece has so many documents, and about so many bytes of them, at most.
const (
	drainKeys  = 256
	drainBytes = 1 << 20
)

// measured sizes the next pieces by one that was rendered. The first have few
// documents: nothing is known of their size.
func (to *joinedTarget) measured(marks, bytes int) {
	each := max(bytes/max(marks, 1), 1)
	to.each.Store(int64(each))
	to.most.Store(int64(min(max(drainBytes/each, 1), 2*marks, drainKeys)))
}

// spillBytes is how much of a batch of the store is kept in memory.
const spillBytes = 1 << 20

// A drain renders marked documents, each from the store as one commit has left
// it and with that commit's version, and says when they are held. A document
// that is marked again while it is on its way is rendered once more.
type drain struct {
	store   *rowstore.Store
	targets []*joinedTarget
	loaded  func(*joinedTarget) // is told once of each target whose pass is over and held

	position sources.Position // of the last whole batch; owned by the apply loop

	mu       sync.Mutex
	version  int64            // of the batch under way, or of the last one
	visible  int64            // of the last commit
	flying   map[flight]int64 // and the version that each was rendered with
	pieces   map[int64]*piece // on their way, by sequence number
	sequence int64
	settled  int64    // the last piece that is unmarked, or about to be
	before   int64    // the last piece when the round began that is under way; 0: none is
	unmarked []*piece // since then, of those up to it: what the round reads has their marks still
	waiting  []barrierAt
	asked    []func()         // to be told once what is marked is held
	moments  map[*moment]bool // not released yet
	clear    int64            // the version at which nothing was marked
	closed   bool
	measured rowstore.Metrics // of the store, when it was looked at last

	marked  chan struct{} // there may be something to render
	landing chan struct{} // there is something to unmark
}

// A flight is a document on its way.
type flight struct {
	target uint32
	mark   string
}

// A piece is some marked documents of a target, on their way.
type piece struct {
	drain    *drain
	to       *joinedTarget
	sequence int64
	held     bool
	marks    []string
	dues     []int64 // when each may change by itself, once rendered; 0: never
	version  int64
	rows     *rowstore.Snapshot // a fork
	moment   *moment
}

// A moment is a snapshot that the pieces of one round read.
type moment struct {
	snapshot *rowstore.Snapshot
	readers  int
}

// A barrierAt is told when every piece up to a sequence number has landed.
type barrierAt struct {
	sequence int64
	reached  func()
}

func newDrain(store *rowstore.Store, targets []*joinedTarget, version int64) *drain {
	position, stored := store.Position()
	// Later than what a power cut may have taken: documents of that were sent.
	version = max(version, stored, time.Now().UnixMicro())
	d := &drain{
		store: store, targets: targets, position: position, version: version, visible: version,
		flying: map[flight]int64{}, pieces: map[int64]*piece{}, moments: map[*moment]bool{}, marked: make(chan struct{}, 1), landing: make(chan struct{}, 1),
	}
	wake(d.marked)
	return d
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin gives the batch that is begun its version.
func (d *drain) begin(applied int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.version = max(d.version+1, applied)
}

// commit makes the batch visible, and its version with it.
func (d *drain) commit(b *rowstore.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b.SetPosition(d.position, d.version)
	if err := b.Commit(false); err != nil {
		return fmt.Errorf("write row store: %w", err)
	}
	d.visible = d.version
	wake(d.marked)
	return nil
}

// spill makes a part of the batch visible that is too large for memory, and goes on with the rest.
func (d *drain) spill(b *rowstore.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b.SetPosition(d.position, d.version)
	if err := b.Spill(); err != nil {
		return fmt.Errorf("write row store: %w", err)
	}
	d.visible = d.version
	d.version++
	wake(d.marked)
	return nil
}

// mark notes in the batch under way that a document is to be rendered.
func (d *drain) mark(b *rowstore.Batch, to *joinedTarget, mark []byte) error {
	var version [8]byte
	binary.BigEndian.PutUint64(version[:], uint64(d.version)) // only the apply loop changes it
	return b.Mark(to.id, mark, version[:])
}

// unmark removes the piece's marks, but for those that were set again since. It
// reports whether a document is due some time.
func (p *piece) unmark(b *rowstore.Batch) (timed bool, err error) {
	defer b.Forget()
	for i, mark := range p.marks {
		data, ok, err := b.Marked(p.to.id, []byte(mark))
		if err != nil {
			return timed, err
		}
		if !ok || len(data) == 8 && int64(binary.BigEndian.Uint64(data)) > p.version {
			continue
		}
		if err := b.Unmark(p.to.id, []byte(mark)); err != nil {
			return timed, err
		}
		switch due := p.dues[i]; {
		case due > 0:
			timed = true
			err = b.PutDue(due, p.to.id, []byte(mark))
		case p.to.renderer.Timely():
			err = b.DeleteDue(p.to.id, []byte(mark))
		}
		if err != nil {
			return timed, err
		}
	}
	return timed, nil
}

// run renders what is marked until ctx ends.
func (d *drain) run(ctx context.Context, send func(*piece) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.marked:
		}
		if err := d.round(ctx, send); err != nil {
			return err
		}
	}
}

// round sends off every document that is marked at one moment and not on its way already.
func (d *drain) round(ctx context.Context, send func(*piece) error) error {
	d.mu.Lock()
	m := &moment{snapshot: d.store.Snapshot(), readers: 1}
	d.moments[m] = true
	version := d.visible
	asked := d.asked
	d.asked, d.before = nil, d.sequence
	paused := d.paused()
	d.mu.Unlock()
	defer d.leave(m)
	defer d.rounded()
	marked, skipped := false, false
	for n, to := range d.targets {
		if to.retired.Load() {
			continue
		}
		if paused[n] {
			skipped = skipped || to.began.Load() // else nothing of it is marked
			continue
		}
		some, err := d.target(ctx, m, version, to, send)
		if err != nil {
			return fmt.Errorf("render documents of index %s: %w", to.alias, err)
		}
		if ctx.Err() != nil {
			return nil // not all that is marked is on its way
		}
		marked = marked || some
		if err := d.finish(m, to); err != nil {
			return err
		}
	}
	if skipped {
		d.mu.Lock()
		d.asked = append(asked, d.asked...)
		d.mu.Unlock()
		return nil
	}
	for _, reached := range asked {
		d.await(reached)
	}
	if !marked {
		d.mu.Lock()
		d.clear = version
		d.mu.Unlock()
	}
	return nil
}

// paused tells which targets are. It is asked with the snapshot that a round reads:
// one that goes on later may not be rendered from that. The lock is held.
func (d *drain) paused() []bool {
	paused := make([]bool, len(d.targets))
	for n, to := range d.targets {
		paused[n] = to.paused.Load()
	}
	return paused
}

// rounded forgets the pieces that were unmarked while the round was under way.
func (d *drain) rounded() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.unmarked {
		d.forget(p)
	}
	d.before, d.unmarked = 0, nil
}

// status says how the store is, and a number of documents that are to be
// rendered or on their way, 0 only where there is none. Once it is closed, that is
// how it was then.
func (d *drain) status() *StoreStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.measured = d.store.Metrics()
	}
	m := &d.measured
	out := &StoreStatus{
		Bytes: m.Bytes, MemoryBytes: m.MemoryBytes, Pending: int64(len(d.flying)),
		CacheHits: m.CacheHits, CacheMisses: m.CacheMisses, Compactions: m.Compactions,
	}
	if out.Pending == 0 && d.clear != d.visible {
		out.Pending = 1
	}
	return out
}

func (d *drain) target(ctx context.Context, m *moment, version int64, to *joinedTarget, send func(*piece) error) (marked bool, err error) {
	var marks []string
	dispatch := func() error {
		if len(marks) == 0 {
			return nil
		}
		p := d.launch(m, version, to, marks)
		marks = nil
		return send(p)
	}
	err = m.snapshot.Marks(to.id, nil, func(key, data []byte) (bool, error) {
		marked = true
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // the end was asked for
		}
		if len(data) == 8 && d.flies(flight{to.id, string(key)}, int64(binary.BigEndian.Uint64(data))) {
			return true, nil
		}
		marks = append(marks, string(key))
		if len(marks) < int(to.most.Load()) {
			return true, nil
		}
		return true, dispatch()
	})
	if err != nil || ctx.Err() != nil {
		return marked, err
	}
	return marked, dispatch()
}

// flies reports whether a document that was marked at a version is on its way
// with that one or a later one.
func (d *drain) flies(f flight, marked int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	version, ok := d.flying[f]
	return ok && version >= marked
}

func (d *drain) launch(m *moment, version int64, to *joinedTarget, marks []string) *piece {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sequence++
	m.readers++
	p := &piece{drain: d, to: to, sequence: d.sequence, marks: marks, dues: make([]int64, len(marks)), version: version, rows: m.snapshot.Fork(), moment: m}
	d.pieces[p.sequence] = p
	for _, mark := range marks {
		d.flying[flight{to.id, mark}] = version
	}
	return p
}

// finish looks whether the pass over all rows is over: once what is marked now
// is held, the target has every document.
func (d *drain) finish(m *moment, to *joinedTarget) error {
	if to.done {
		return nil
	}
	var passed bool
	if err := readNote(m.snapshot, notePass+to.name(), &passed); err != nil || !passed {
		return err
	}
	to.done = true
	d.await(func() { d.loaded(to) })
	return nil
}

// await calls reached once every piece that is on its way has landed.
func (d *drain) await(reached func()) {
	d.mu.Lock()
	d.waiting = append(d.waiting, barrierAt{d.sequence, reached})
	d.mu.Unlock()
	d.landed(nil)
}

// awaitMarked calls reached once every document that is marked now is held.
func (d *drain) awaitMarked(reached func()) {
	d.mu.Lock()
	d.asked = append(d.asked, reached)
	d.mu.Unlock()
	wake(d.marked)
}

// hold says that the sink holds the piece.
func (d *drain) hold(p *piece) {
	d.mu.Lock()
	p.held = true
	d.mu.Unlock()
	wake(d.landing)
}

// takeHeld takes the pieces that are held, but for those that were sent after one
// that is not. Unmarked out of order, a place that a row has left would be
// deleted after a restart though another row has taken it.
func (d *drain) takeHeld() (held []*piece) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := d.pieces[d.settled+1]; p != nil && p.held; p = d.pieces[d.settled+1] {
		held = append(held, p)
		d.settled++
	}
	return held
}

// landed forgets pieces that are held and unmarked.
func (d *drain) landed(held []*piece) {
	d.mu.Lock()
	for _, p := range held {
		delete(d.pieces, p.sequence)
		if p.sequence <= d.before {
			d.unmarked = append(d.unmarked, p)
		} else {
			d.forget(p)
		}
	}
	var reached []func()
	kept := d.waiting[:0]
	for _, w := range d.waiting {
		if d.overtaken(w.sequence) {
			reached = append(reached, w.reached)
		} else {
			kept = append(kept, w)
		}
	}
	d.waiting = kept
	d.mu.Unlock()
	for _, f := range reached {
		f()
	}
	if len(held) > 0 {
		wake(d.marked) // what was marked again while it was on its way
	}
}

// forget lets the piece's documents be sent again.
func (d *drain) forget(p *piece) {
	for _, mark := range p.marks {
		if f := (flight{p.to.id, mark}); d.flying[f] == p.version {
			delete(d.flying, f)
		}
	}
}

// overtaken reports whether no piece up to the sequence number is on its way.
func (d *drain) overtaken(sequence int64) bool {
	for s := range d.pieces {
		if s <= sequence {
			return false
		}
	}
	return true
}

// rendered ends the piece's reading.
func (p *piece) rendered() {
	_ = p.rows.Release() // of a fork: it cannot fail
	p.drain.leave(p.moment)
}

// leave ends one reader of a moment; the last one releases the snapshot.
func (d *drain) leave(m *moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.readers--; m.readers == 0 && d.moments[m] {
		delete(d.moments, m)
		_ = m.snapshot.Release() // nothing is written
	}
}

// close releases what pieces that were never rendered have held.
func (d *drain) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for m := range d.moments {
		_ = m.snapshot.Release() // nothing is written
	}
	clear(d.moments)
	d.measured = d.store.Metrics()
	d.closed = true
}
