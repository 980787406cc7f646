package joins

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"haystream/internal/fault"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// passPieces is how many pieces of the pass over all rows one round sends of a target.
const passPieces = 32

// Rounds send off documents in pieces, each round from the store as one commit
// has left it and with that commit's version: those that are dirty, and then some of
// the pass over all rows of a target that is new. A document that becomes dirty again
// while it is on its way is sent once more. In a later round it comes after.
type rounds struct {
	clock   *clock
	targets []*target
	loaded  func(*target) // is told once of each target whose pass is over and held

	mu       sync.Mutex
	pieces   map[int64]*Piece // on their way, by sequence number
	sequence int64
	settled  int64 // the last piece that is settled, or about to be
	taken    int   // dirty documents that the round under way has still to send
	waiting  []barrierAt
	asked    []askedAt
	shared   map[*shared]bool // not released yet
	watches  map[*watch]bool
	closed   bool
	measured rowstore.Metrics // of the store, when it was looked at last
	record   []byte           // one being written

	arenas  chan *sources.Arena // to be used again
	marked  chan struct{}       // there may be something to render
	landing chan struct{}       // there is something to settle
}

// A passed is how far the pass over a target's rows has come: documents up to Last are held.
type passed struct {
	Last []byte `json:"last,omitempty"`
	Rows int64  `json:"rows"`
	Done bool   `json:"done,omitempty"`
}

// shared is a snapshot that the pieces of one round read.
type shared struct {
	*rowstore.Snapshot
	readers int
}

// A barrierAt is told when every piece up to a sequence number has landed.
type barrierAt struct {
	sequence int64
	reached  func()
}

// An askedAt is told when what was dirty of an alias at a version is held.
type askedAt struct {
	alias   string
	version int64
	reached func()
}

// A record is one of dirty documents in the store.
type record struct {
	target  uint32
	version int64
}

// recordsAt are records of which nothing is left once all pieces up to a sequence number are held.
type recordsAt struct {
	sequence int64
	versions []int64
}

func newRounds(c *clock, targets []*target) *rounds {
	d := &rounds{
		clock: c, targets: targets,
		pieces: map[int64]*Piece{}, shared: map[*shared]bool{}, watches: map[*watch]bool{}, arenas: make(chan *sources.Arena, 8), marked: make(chan struct{}, 1), landing: make(chan struct{}, 1),
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

// commit makes the batch visible, with what it has made dirty. spill: and goes on with it.
func (d *rounds) commit(b *rowstore.Batch, spill bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	version := d.clock.version // only the apply loop changes it
	rooms := make([]bool, len(d.targets))
	for n, to := range d.targets {
		if to.marks, rooms[n] = to.dirty.record(to.marks); len(to.marks) == 0 {
			continue
		}
		d.record = appendMarks(d.record[:0], to.marks)
		if err := b.PutDirty(to.id, version, d.record); err != nil {
			return err
		}
	}
	if err := d.clock.commit(b, spill); err != nil {
		return err
	}
	for n, to := range d.targets {
		if len(to.marks) > 0 {
			d.noteWatched(to)
			to.dirty.add(version, to.marks, rooms[n])
			wake(d.marked)
		}
		to.forgetMarks()
	}
	return nil
}

// Run sends off what is to be rendered until ctx ends. loaded is told once of each target
// whose rows were all rendered and are held: its physical index, and the table.
func (j *Joins) Run(ctx context.Context, loaded func(physical string, table *sources.Table), send func(*Piece) error) error {
	j.rounds.loaded = func(to *target) { loaded(to.Physical, to.renderer.Table) }
	for _, to := range j.targets {
		if to.sent { // before this session
			j.rounds.loaded(to)
		}
	}
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

// round sends off what is dirty at one moment, and some of each pass.
func (d *rounds) round(ctx context.Context, send func(*Piece) error) error {
	s, version, turns, asked, err := d.begin()
	if err != nil {
		return err
	}
	defer d.leave(s)
	defer d.end()
	for n, to := range d.targets {
		if turns[n] == nil || to.Retired.Load() {
			continue
		}
		if err := d.send(ctx, s, version, to, turns[n], send); err != nil {
			return fmt.Errorf("render documents of index %s: %w", to.Alias, err)
		}
		if ctx.Err() != nil {
			return nil // not all is on its way
		}
		d.sent(to, turns[n].records)
		if !turns[n].begun {
			continue
		}
		if err := d.pass(ctx, s, version, to, send); err != nil {
			return fmt.Errorf("render documents of index %s: %w", to.Alias, err)
		}
	}
	if ctx.Err() != nil {
		return nil // not all is on its way
	}
	for _, a := range asked {
		d.await(a.reached)
	}
	return nil
}

// end ends the round under way.
func (d *rounds) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken = 0 // what an index that is retired would have got
}

// A turn is what a round sends of one target.
type turn struct {
	marks   []string
	named   []int64
	records []int64 // that name them
	begun   bool    // its pass, too
}

// begin takes a snapshot, and with it each target's turn, nil for one that may not be
// rendered from that, and who waits for no more than what is sent.
func (d *rounds) begin() (s *shared, version int64, turns []*turn, asked []askedAt, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	snapshot, version := d.clock.snapshot()
	s = &shared{Snapshot: snapshot, readers: 1}
	d.shared[s] = true
	for _, to := range d.targets {
		if to.Retired.Load() {
			turns = append(turns, nil)
			continue
		}
		if err := to.dirty.refill(d.clock.store, to.id, to.began.Load()); err != nil {
			return nil, 0, nil, nil, fmt.Errorf("read dirty documents of index %s: %w", to.Alias, err)
		}
		if to.paused.Load() {
			turns = append(turns, nil)
			continue
		}
		t := &turn{begun: to.began.Load() > 0}
		if t.marks, t.named, t.records = to.dirty.next(); len(t.records) > 0 {
			to.sending = t.records[0]
		}
		d.taken += len(t.marks)
		turns = append(turns, t)
	}
	kept := d.asked[:0]
	for _, a := range d.asked {
		if slices.ContainsFunc(d.targets, func(to *target) bool { return to.Alias == a.alias && to.owes(a.version) }) {
			kept = append(kept, a)
		} else {
			asked = append(asked, a)
		}
	}
	d.asked = kept
	return s, version, turns, asked, nil
}

// owes reports whether the target has documents that were dirty at a version and were not taken yet.
func (to *target) owes(version int64) bool {
	return !to.Retired.Load() && (len(to.dirty.queue) > 0 || to.dirty.behind > 0 && to.dirty.behind <= version)
}

// sent notes that what records name was sent.
func (d *rounds) sent(to *target, records []int64) {
	if len(records) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	to.sentRecords, to.sending = append(to.sentRecords, recordsAt{d.sequence, records}), 0
	wake(d.landing) // it may be held already
}

// send sends off dirty documents.
func (d *rounds) send(ctx context.Context, s *shared, version int64, to *target, t *turn, send func(*Piece) error) error {
	for at := 0; at < len(t.marks) && ctx.Err() == nil; {
		end := min(len(t.marks), at+max(int(to.most.Load()), 1))
		p := d.launch(&Piece{to: to, version: version, marks: t.marks[at:end:end], named: t.named[at:end], dues: make([]int64, end-at)}, s)
		if err := send(p); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// pass goes on with the pass over all rows of a target.
func (d *rounds) pass(ctx context.Context, s *shared, version int64, to *target, send func(*Piece) error) error {
	for n := 0; !to.sent && ctx.Err() == nil; n++ {
		if n == passPieces {
			wake(d.marked)
			break
		}
		part, err := d.stretch(s, to)
		if err != nil {
			return err
		}
		to.sent = part.last
		fault.Point("stretch to be rendered")
		p := d.launch(&Piece{to: to, version: version, pass: part, dues: make([]int64, len(part.rows))}, s)
		if err := send(p); err != nil {
			return err
		}
	}
	return nil
}

// stretch reads the next rows of the pass.
func (d *rounds) stretch(s *shared, to *target) (*stretch, error) {
	most := max(int(to.most.Load()), 1)
	part := &stretch{ends: make([]int, 0, most), rows: make([]sources.Row, 0, most), held: d.arena(), last: true}
	err := s.Fork(part.held).All(to.renderer.Stored, to.cursor, func(key []byte, row sources.Row) (bool, error) {
		if n := len(part.rows); n == most || n > 0 && part.held.Size() > pieceBytes { // the row is in it already
			part.last = false
			return false, nil
		}
		part.keys = append(part.keys, key...)
		part.ends = append(part.ends, len(part.keys))
		part.rows = append(part.rows, row)
		return true, nil
	})
	if n := len(part.rows); n > 0 {
		to.cursor = part.key(n - 1)
	}
	return part, err
}

// arena is an empty one, of a stretch that was rendered where there is one.
func (d *rounds) arena() *sources.Arena {
	select {
	case a := <-d.arenas:
		a.Reset()
		return a
	default:
		return sources.NewArena(1 << 10)
	}
}

func (d *rounds) launch(p *Piece, s *shared) *Piece {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sequence++
	d.taken -= len(p.marks)
	s.readers++
	p.rounds, p.sequence, p.rows, p.snapshot = d, d.sequence, s.Fork(sources.NewArena(1<<10)), s
	d.pieces[p.sequence] = p
	return p
}

// takeHeld takes the pieces that are held, but for those that were sent after one
// that is not, and the records that nothing of is left.
func (d *rounds) takeHeld() (held []*Piece, done []record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := d.pieces[d.settled+1]; p != nil && p.held; p = d.pieces[d.settled+1] {
		held = append(held, p)
		d.settled++
	}
	for _, to := range d.targets {
		for len(to.sentRecords) > 0 && to.sentRecords[0].sequence <= d.settled {
			for _, version := range to.sentRecords[0].versions {
				done = append(done, record{to.id, version})
			}
			to.sentRecords = to.sentRecords[1:]
		}
		if to.dirty.behind > 0 {
			wake(d.marked) // there may be room for more
		}
	}
	return held, done
}

// landed forgets pieces that are settled.
func (d *rounds) landed(held []*Piece) {
	d.mu.Lock()
	for _, p := range held {
		delete(d.pieces, p.sequence)
	}
	var reached []func()
	kept := d.waiting[:0]
	for _, w := range d.waiting {
		if w.sequence <= d.settled {
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
	for _, p := range held {
		if p.pass != nil && p.pass.last {
			p.to.passing.Store(false)
			d.loaded(p.to)
		}
	}
}

// await calls reached once every piece that is on its way has landed.
func (d *rounds) await(reached func()) {
	d.mu.Lock()
	over := d.settled == d.sequence && len(d.pieces) == 0
	if !over {
		d.waiting = append(d.waiting, barrierAt{d.sequence, reached})
	}
	d.mu.Unlock()
	if over {
		reached()
	}
}

// Barrier calls reached once every document of an alias that is dirty now is held, and
// all that is on its way.
func (j *Joins) Barrier(alias string, reached func()) {
	d := j.rounds
	d.mu.Lock()
	d.asked = append(d.asked, askedAt{alias, d.clock.now(), reached})
	d.mu.Unlock()
	wake(d.marked)
}

// leave ends one reader of a snapshot; the last one releases it.
func (d *rounds) leave(s *shared) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.readers--; s.readers == 0 && d.shared[s] {
		delete(d.shared, s)
		_ = s.Release() // nothing is written
	}
}

// close releases what pieces that were never rendered have held.
func (d *rounds) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.shared {
		_ = s.Release() // nothing is written
	}
	clear(d.shared)
	d.measured = d.clock.store.Metrics()
	d.closed = true
}
