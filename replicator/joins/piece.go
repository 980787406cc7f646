package joins

import (
	"fmt"
	"time"

	"haystream/internal/fault"
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

// A Piece is some documents of a target, on their way.
type Piece struct {
	rounds   *rounds
	to       *target
	sequence int64
	held     bool
	version  int64
	rows     *rowstore.Snapshot // a fork
	snapshot *shared

	marks []string // what is dirty, or
	named []int64  // with the version of the record that names each
	pass  *stretch // a part of the pass
	dues  []int64  // when each may change by itself, once rendered; 0: never
}

// A stretch is some rows of a pass, one after the other.
type stretch struct {
	keys []byte // one after the other
	ends []int  // of each
	rows []sources.Row
	held *sources.Arena // the rows, until they are rendered
	last bool           // no rows are left
}

// key is a row's key.
func (s *stretch) key(i int) []byte {
	start := 0
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.keys[start:s.ends[i]]
}

// Size is about how many bytes the piece's documents will have.
func (p *Piece) Size() int { return len(p.dues) * max(int(p.to.each.Load()), 1<<10) }

// measured sizes the next pieces by one that was rendered. The first have few
// documents: nothing is known of their size.
func (to *target) measured(documents, bytes int) {
	each := max(bytes/max(documents, 1), 1)
	to.each.Store(int64(each))
	to.most.Store(int64(min(max(pieceBytes/each, 1), 2*documents, pieceKeys)))
}

// Render renders the piece, once, on any goroutine.
func (p *Piece) Render(scratch *mapping.Scratch, out *sinks.Batch) error {
	defer p.rendered()
	defer func() {
		if len(p.dues) > 0 {
			p.to.measured(len(p.dues), out.Bodies())
		}
	}()
	scratch.Now = time.Now().UnixMicro()
	for i := range p.dues {
		if p.to.Retired.Load() {
			return nil
		}
		var err error
		if p.pass != nil {
			p.dues[i], err = p.to.renderer.Row(scratch, p.rows, out, p.to.Target.Target, p.pass.rows[i], p.version)
		} else {
			version := p.version
			if mapping.IsPlace(p.marks[i]) {
				version = left(p.named[i])
			}
			p.dues[i], err = p.to.renderer.Document(scratch, p.rows, out, p.to.Target.Target, []byte(p.marks[i]), version)
		}
		if err != nil {
			return fmt.Errorf("render %s: %w", p.to.renderer, err)
		}
	}
	return nil
}

// Hold says that the sink holds the piece. Called from any goroutine.
func (p *Piece) Hold() {
	d := p.rounds
	d.mu.Lock()
	p.held = true
	d.mu.Unlock()
	wake(d.landing)
}

// settle notes what becomes true once the piece is held: when its documents are
// due, and how far a pass has come. It reports whether there was anything.
func (p *Piece) settle(b *rowstore.Batch) (timed bool, err error) {
	defer b.Forget()
	for i, due := range p.dues {
		if due == 0 && !p.to.timed {
			continue
		}
		var mark []byte
		if p.pass != nil {
			mark = p.to.renderer.Mark(nil, p.pass.key(i))
		} else {
			mark = []byte(p.marks[i])
		}
		if due > 0 {
			timed, p.to.timed = true, true
			err = b.PutDue(due, p.to.id, mark)
		} else {
			err = b.DeleteDue(p.to.id, mark)
		}
		if err != nil {
			return timed, err
		}
	}
	if p.pass == nil {
		return timed, nil
	}
	to := p.to
	if n := len(p.pass.ends); n > 0 {
		to.passed.Last = p.pass.key(n - 1)
		to.passed.Rows += int64(n)
		to.rendered.Store(to.passed.Rows)
	}
	to.passed.Done = p.pass.last
	fault.Point("stretch held")
	return timed, writeNote(b, notePass+to.name(), &to.passed)
}

// rendered ends the piece's reading. What it has read with goes: the piece may wait for the sink for long.
func (p *Piece) rendered() {
	if p.pass != nil {
		p.pass.rows = nil
		select {
		case p.rounds.arenas <- p.pass.held:
		default:
		}
		p.pass.held = nil
	}
	_ = p.rows.Release() // of a fork: it cannot fail
	p.rounds.leave(p.snapshot)
	p.rows, p.snapshot = nil, nil
}
