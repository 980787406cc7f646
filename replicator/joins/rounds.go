package joins

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// A piece has so many documents, and about so many bytes of them, at most.
const (
	pieceKeys  = 256
	pieceBytes = 1 << 20
)

// measured sizes the next pieces by one that was rendered. The first have few
// documents: nothing is known of their size.
func (to *target) measured(marks, bytes int) {
	each := max(bytes/max(marks, 1), 1)
	to.each.Store(int64(each))
	to.most.Store(int64(min(max(pieceBytes/each, 1), 2*marks, pieceKeys)))
}

// Rounds render marked documents, each from the store as one commit has left
// it and with that commit's version, and says when they are held. A document
// that is marked again while it is on its way is rendered once more.
type rounds struct {
	clock   *clock
	targets []*target
	loaded  func(*target) // is told once of each target whose pass is over and held

	mu       sync.Mutex
	flying   map[flight]int64 // and the version that each was rendered with
	pieces   map[int64]*Piece // on their way, by sequence number
	sequence int64
	settled  int64    // the last piece that is unmarked, or about to be
	before   int64    // the last piece when the round began that is under way; 0: none is
	unmarked []*Piece // since then, of those up to it: what the round reads has their marks still
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
type Piece struct {
	rounds   *rounds
	to       *target
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

func newRounds(c *clock, targets []*target) *rounds {
	d := &rounds{
		clock: c, targets: targets,
		flying: map[flight]int64{}, pieces: map[int64]*Piece{}, moments: map[*moment]bool{}, marked: make(chan struct{}, 1), landing: make(chan struct{}, 1),
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

// unmark removes the piece's marks, but for those that were set again since. It
// reports whether a document is due some time.
func (p *Piece) unmark(b *rowstore.Batch) (timed bool, err error) {
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

// Run sends off what is marked until ctx ends. loaded is told once of each target
// whose rows were all rendered and are held: its physical index, and the table.
func (j *Joins) Run(ctx context.Context, loaded func(physical string, table *sources.Table), send func(*Piece) error) error {
	j.rounds.loaded = func(to *target) { loaded(to.Physical, to.renderer.Table) }
	return j.rounds.run(ctx, send)
}

func (d *rounds) run(ctx context.Context, send func(*Piece) error) error {
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
func (d *rounds) round(ctx context.Context, send func(*Piece) error) error {
	d.mu.Lock()
	snapshot, version := d.clock.snapshot()
	m := &moment{snapshot: snapshot, readers: 1}
	d.moments[m] = true
	asked := d.asked
	d.asked, d.before = nil, d.sequence
	d.mu.Unlock()
	defer d.leave(m)
	defer d.rounded()
	marked, skipped := false, false
	for _, to := range d.targets {
		if to.Retired.Load() {
			continue
		}
		if to.paused.Load() {
			skipped = true
			continue
		}
		some, err := d.target(ctx, m, version, to, send)
		if err != nil {
			return fmt.Errorf("render documents of index %s: %w", to.Alias, err)
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

// rounded forgets the pieces that were unmarked while the round was under way.
func (d *rounds) rounded() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.unmarked {
		d.forget(p)
	}
	d.before, d.unmarked = 0, nil
}

// Status is how the store is.
type Status struct {
	Bytes       int64 `json:"bytes"` // on disk
	MemoryBytes int64 `json:"memory_bytes"`
	Pending     int64 `json:"documents_pending"` // at least so many are to be rendered or on their way
	Twice       bool  `json:"stored_twice"`      // some tables are, until indexes that are being replaced are gone
	CacheHits   int64 `json:"cache_hits"`
	CacheMisses int64 `json:"cache_misses"`
	Compactions int64 `json:"compactions"`
}

// status says how the store is, and a number of documents that are to be
// rendered or on their way, 0 only where there is none. Once it is closed, that is
// how it was then.
func (d *rounds) status() *Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.measured = d.clock.store.Metrics()
	}
	m := &d.measured
	out := &Status{
		Bytes: m.Bytes, MemoryBytes: m.MemoryBytes, Pending: int64(len(d.flying)),
		CacheHits: m.CacheHits, CacheMisses: m.CacheMisses, Compactions: m.Compactions,
	}
	if out.Pending == 0 && d.clear != d.clock.now() {
		out.Pending = 1
	}
	return out
}

func (d *rounds) target(ctx context.Context, m *moment, version int64, to *target, send func(*Piece) error) (marked bool, err error) {
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
func (d *rounds) flies(f flight, marked int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	version, ok := d.flying[f]
	return ok && version >= marked
}

func (d *rounds) launch(m *moment, version int64, to *target, marks []string) *Piece {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sequence++
	m.readers++
	p := &Piece{rounds: d, to: to, sequence: d.sequence, marks: marks, dues: make([]int64, len(marks)), version: version, rows: m.snapshot.Fork(), moment: m}
	d.pieces[p.sequence] = p
	for _, mark := range marks {
		d.flying[flight{to.id, mark}] = version
	}
	return p
}

// finish looks whether the pass over all rows is over: once what is marked now
// is held, the target has every document.
func (d *rounds) finish(m *moment, to *target) error {
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
func (d *rounds) await(reached func()) {
	d.mu.Lock()
	d.waiting = append(d.waiting, barrierAt{d.sequence, reached})
	d.mu.Unlock()
	d.landed(nil)
}

// Barrier calls reached once every document that is marked now is held.
func (j *Joins) Barrier(reached func()) { j.rounds.awaitMarked(reached) }

// awaitMarked calls reached once every document that is marked now is held.
func (d *rounds) awaitMarked(reached func()) {
	d.mu.Lock()
	d.asked = append(d.asked, reached)
	d.mu.Unlock()
	wake(d.marked)
}

// Hold says that the sink holds the piece. Called from any goroutine.
func (p *Piece) Hold() {
	d := p.rounds
	d.mu.Lock()
	p.held = true
	d.mu.Unlock()
	wake(d.landing)
}

// Size is about how many bytes the piece's documents will have.
func (p *Piece) Size() int { return len(p.marks) * max(int(p.to.each.Load()), 1<<10) }

// Render renders the piece, once, on any goroutine.
func (p *Piece) Render(scratch *mapping.Scratch, out *sinks.Batch) error {
	defer p.rendered()
	defer func() { p.to.measured(len(p.marks), out.Bodies()) }()
	scratch.Now = time.Now().UnixMicro()
	for i, mark := range p.marks {
		if p.to.Retired.Load() {
			return nil
		}
		due, err := p.to.renderer.Document(scratch, p.rows, out, p.to.Target.Target, []byte(mark), p.version)
		if err != nil {
			return fmt.Errorf("render %s: %w", p.to.renderer, err)
		}
		p.dues[i] = due
	}
	return nil
}

// takeHeld takes the pieces that are held, but for those that were sent after one
// that is not. Unmarked out of order, a place that a row has left would be
// deleted after a restart though another row has taken it.
func (d *rounds) takeHeld() (held []*Piece) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := d.pieces[d.settled+1]; p != nil && p.held; p = d.pieces[d.settled+1] {
		held = append(held, p)
		d.settled++
	}
	return held
}

// landed forgets pieces that are held and unmarked.
func (d *rounds) landed(held []*Piece) {
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
func (d *rounds) forget(p *Piece) {
	for _, mark := range p.marks {
		if f := (flight{p.to.id, mark}); d.flying[f] == p.version {
			delete(d.flying, f)
		}
	}
}

// overtaken reports whether no piece up to the sequence number is on its way.
func (d *rounds) overtaken(sequence int64) bool {
	for s := range d.pieces {
		if s <= sequence {
			return false
		}
	}
	return true
}

// rendered ends the piece's reading.
func (p *Piece) rendered() {
	_ = p.rows.Release() // of a fork: it cannot fail
	p.rounds.leave(p.moment)
}

// leave ends one reader of a moment; the last one releases the snapshot.
func (d *rounds) leave(m *moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.readers--; m.readers == 0 && d.moments[m] {
		delete(d.moments, m)
		_ = m.snapshot.Release() // nothing is written
	}
}

// close releases what pieces that were never rendered have held.
func (d *rounds) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for m := range d.moments {
		_ = m.snapshot.Release() // nothing is written
	}
	clear(d.moments)
	d.measured = d.clock.store.Metrics()
	d.closed = true
}
