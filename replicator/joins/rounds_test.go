package joins

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sinks"
)

// emptyStore is a row store of no tables.
func emptyStore(t *testing.T) *rowstore.Store {
	t.Helper()
	store, err := rowstore.Open(t.TempDir(), rowstore.Meta{}, rowstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// TestLandingDuringARound: a document that has landed while a round is under way is
// not sent once more. It would delete what has taken its place.
func TestLandingDuringARound(t *testing.T) {
	store := emptyStore(t)
	ready := func(physical string) *target {
		to := targetOf(&Target{Target: &sinks.Target{Physical: physical}, Retired: &atomic.Bool{}}, 0, &mapping.JoinedRenderer{Renderer: &mapping.Renderer{}})
		to.began.Store(1)
		to.sent = true
		return to
	}
	first, second := ready("first"), ready("second")
	targets := []*target{first, second}
	c := newClock(store, 1, time.Now())
	j := &Joins{store: store, targets: targets, clock: c, rounds: newRounds(c, targets)}
	mark := func(to *target, mark string) {
		t.Helper()
		if err := j.write(0, func(*rowstore.Batch) error { return to.mark([]byte(mark)) }); err != nil {
			t.Fatal(err)
		}
	}
	var sent []*Piece
	round := func(also func()) {
		t.Helper()
		sent = nil
		err := j.rounds.round(t.Context(), func(p *Piece) error {
			sent = append(sent, p)
			p.rendered()
			also()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		var got []string
		for _, p := range sent {
			got = append(got, p.marks...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	settle := func() {
		t.Helper()
		if err := j.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {}

	mark(second, "left")
	round(nothing)
	expect("left")
	sent[0].Hold()
	mark(first, "other")
	mark(second, "taken")
	round(settle)
	expect("other", "taken")
	for _, p := range sent {
		p.Hold()
	}
	mark(second, "left")
	round(nothing)
	expect("left")
	sent[0].Hold()
	settle()
	round(nothing)
	expect()
	settle()
	snap := store.Snapshot()
	defer snap.Release()
	for _, to := range targets {
		err := snap.Dirty(to.id, 0, func(version int64, data []byte) (bool, error) {
			t.Errorf("still dirty since %d: %q", version, data)
			return true, nil
		})
		if d := &to.dirty; err != nil || len(d.queue)+len(d.records)+len(to.sentRecords) > 0 {
			t.Errorf("still dirty: %v, %v", d, err)
		}
	}
}

// TestPlaceTakenByWhatWasDirty: the delete at a place that a row has left is older than the document of a row
// that has taken it, and has one version, after a restart as before, also where the row was dirty before, and what is dirty
// does not fit into memory at once.
func TestPlaceTakenByWhatWasDirty(t *testing.T) {
	store := emptyStore(t)
	var to *target
	var j *Joins
	session := func(most int) {
		to = targetOf(&Target{Target: &sinks.Target{Physical: "x"}, Retired: &atomic.Bool{}}, 0, &mapping.JoinedRenderer{Renderer: &mapping.Renderer{}})
		to.began.Store(1)
		to.sent = true
		to.dirty.most = most
		c := newClock(store, 1, time.Now())
		j = &Joins{store: store, targets: []*target{to}, clock: c, rounds: newRounds(c, []*target{to})}
	}
	mark := func(marks ...string) {
		t.Helper()
		err := j.write(0, func(*rowstore.Batch) error {
			for _, mark := range marks {
				if err := to.mark([]byte(mark)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const place, row = "\x00place", "\x01row"
	deleted, written := map[int64]bool{}, int64(0) // the versions
	round := func(hold bool) (some bool) {
		t.Helper()
		err := j.rounds.round(t.Context(), func(p *Piece) error {
			some = true
			for i, mark := range p.marks {
				switch mark {
				case place:
					deleted[left(p.named[i])] = true
				case row:
					written = p.version
				}
			}
			p.rendered()
			if hold {
				p.Hold()
			}
			return nil
		})
		if err == nil {
			err = j.Settle()
		}
		if err != nil {
			t.Fatal(err)
		}
		return some
	}
	session(maxDirty)
	round(true)
	mark(row)
	mark(place) // the row is deleted
	mark(row)   // and inserted again
	mark("\x01other")
	round(false)

	session(1)
	for round(true) {
	}
	for version := range deleted {
		if len(deleted) > 1 || version >= written {
			t.Errorf("the place was deleted at versions %v, and the row's document is of version %d", deleted, written)
		}
	}
	if len(deleted) == 0 {
		t.Error("the place was not deleted")
	}
}

// TestPendingIsTold: for how long something waits counts from when it was seen first, wherever it is on its way, until
// it is held, and not from what came later; a round that sends what came later does not end it.
func TestPendingIsTold(t *testing.T) {
	store := emptyStore(t)
	to := targetOf(&Target{Target: &sinks.Target{Physical: "x"}, Retired: &atomic.Bool{}}, 0, &mapping.JoinedRenderer{Renderer: &mapping.Renderer{}})
	to.began.Store(1)
	to.sent = true
	c := newClock(store, 1, time.Now())
	j := &Joins{store: store, targets: []*target{to}, clock: c, rounds: newRounds(c, []*target{to})}
	at, began := time.Now(), time.Now()
	expect := func(when string, want time.Duration) {
		t.Helper()
		at = at.Add(time.Minute)
		j.rounds.mu.Lock()
		defer j.rounds.mu.Unlock()
		if got := to.waits(c.now(), at); got != want {
			t.Errorf("%s, %s after it began, something waits for %s, want %s", when, at.Sub(began), got, want)
		}
	}
	mark := func(mark string) {
		t.Helper()
		if err := j.write(0, func(*rowstore.Batch) error { return to.mark([]byte(mark)) }); err != nil {
			t.Fatal(err)
		}
	}
	var sent []*Piece
	round := func() {
		t.Helper()
		err := j.rounds.round(t.Context(), func(p *Piece) error {
			expect("while it is sent", time.Duration(len(sent)+1)*time.Minute)
			sent = append(sent, p)
			p.rendered()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	settle := func() {
		t.Helper()
		if err := j.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.dirty.refill(store, to.id, 1); err != nil {
		t.Fatal(err)
	}
	expect("at first", 0)
	mark("a")
	expect("when it is dirty", 0)
	round()
	mark("b")
	round()
	expect("while both are on their way", 3*time.Minute)
	sent[0].Hold()
	settle()
	expect("when the first is held", 0)
	expect("and later", time.Minute)
	sent[1].Hold()
	settle()
	expect("when both are", 0)
	if j.Status().PendingSeconds != 0 {
		t.Errorf("%+v", j.Status())
	}
}

// TestMemoryOfPiecesThatWait: a piece that was rendered and waits for the sink takes little beside its documents, however
// few it has: while the sink is away there are as many as rounds.
func TestMemoryOfPiecesThatWait(t *testing.T) {
	s := newRing(t, "a", "b")
	s.feeds = true
	s.session()
	s.merge("a", true, "1,-")
	s.merge("b", true, "1,1")
	s.j.rounds.loaded = func(*target) {}
	scratch, out := mapping.NewScratch(), &sinks.Batch{}
	var waiting []*Piece
	round := func() {
		t.Helper()
		err := s.j.rounds.round(t.Context(), func(p *Piece) error {
			waiting = append(waiting, p)
			out.Reset()
			return p.Render(scratch, out)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	round()
	for _, p := range waiting {
		p.Hold()
	}
	if err := s.j.Settle(); err != nil {
		t.Fatal(err)
	}
	waiting = nil
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	const rounds, most = 2000, 3 << 10 // bytes of each, of which the store takes a part
	for n := range rounds {
		s.stream(fmt.Sprintf("update b 1,%d > 1,%d", n+1, n+2))
		round()
	}
	if len(waiting) != rounds {
		t.Fatalf("%d pieces wait", len(waiting))
	}
	if each := (memory() - before) / rounds; each > most {
		t.Errorf("a piece takes %d bytes", each)
	}
	runtime.KeepAlive(waiting)
}

// TestMemoryOfWhatIsDirty: however many indexes there are, the documents that are to be rendered take no more memory than those of one,
// but for a piece of each, while the sink takes none.
func TestMemoryOfWhatIsDirty(t *testing.T) {
	names := make([]string, 60)
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	s := newRing(t, names...)
	s.feeds = true
	s.session()
	inMemory := 0
	for _, to := range s.j.targets {
		to.began.Store(1)
		to.dirty.behind = 0 // it has read what sessions before have left
		for n := range 20 {
			err := s.j.write(0, func(*rowstore.Batch) error {
				for i := range 100 {
					if err := to.mark(fmt.Appendf(nil, "\x01%d", n*100+i)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := len(to.dirty.queue); n < pieceKeys/2 || to.dirty.behind == 0 {
			t.Errorf("%d documents of %s are in memory, and those from %d on are not", n, to.Physical, to.dirty.behind)
		}
		inMemory += len(to.dirty.queue)
	}
	if most := maxDirty + len(names)*pieceKeys; inMemory > most {
		t.Errorf("%d documents are in memory, at most %d may be", inMemory, most)
	}
}
