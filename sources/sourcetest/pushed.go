package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"haystream/sources"
)

// A Pushed is what a source brings whose rows are pushed to it and are in no table that
// could be read. Its catalog has the tables people and fence, each with a text as key.
type Pushed struct {
	// Schema is that of the tables.
	Schema string

	// Source is as in a Harness.
	Source func(t testing.TB, name string) sources.Source

	// Push pushes rows with the keys into a table, in one transaction.
	Push func(ctx context.Context, source sources.Source, table string, keys ...string) error

	// Held is how much the source keeps that is not acknowledged: 0 where that is nothing.
	Held func(source sources.Source) int64
}

// RunPushed runs what of the suite is true of a source without a server.
func RunPushed(t *testing.T, h Pushed) {
	cases := []struct {
		name string
		test func(*pushed)
	}{
		{"replay", testPushedReplay},
		{"acknowledged", testPushedAcknowledged},
		{"unacknowledged", testPushedUnacknowledged},
		{"large", testPushedLarge},
		{"cancel", testPushedCancel},
		{"busy", testPushedBusy},
		{"idle", testPushedIdle},
		{"close", testPushedClose},
		{"remove", testPushedRemove},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			p := &pushed{h, &fixture{TB: t, Harness: Harness{Schema: h.Schema, Source: h.Source}, name: "suite_" + c.name}}
			p.raise = func(n int) { p.push(fenceTable, n) }
			p.begin()
			p.project(everyColumn, "people")
			p.first()
			c.test(p)
		})
	}
}

// A pushed is a fixture without SQL.
type pushed struct {
	harness Pushed
	*fixture
}

// push pushes rows with numbers as keys, in one transaction.
func (p *pushed) push(table string, numbers ...int) {
	p.Helper()
	keys := make([]string, len(numbers))
	for i, n := range numbers {
		keys[i] = fmt.Sprint(n)
	}
	p.must(p.harness.Push(p.Context(), p.source, table, keys...))
}

// write pushes transactions of one row and of some, and returns what is to come of them.
func (p *pushed) write() (want []string) {
	p.Helper()
	for n := range 40 {
		group := []int{n}
		if n%7 == 0 {
			group = []int{n, 1000 + n, 2000 + n}
		}
		p.push("people", group...)
		for _, key := range group {
			want = append(want, fmt.Sprintf("(%d)", key))
		}
	}
	return want
}

// keys are those of changes, in their order.
func keys(changes []change) []string {
	list := make([]string, len(changes))
	for i, c := range changes {
		list[i] = c.key
	}
	return list
}

// testPushedReplay: what is pushed comes once, in order; and from whatever checkpoint a stream
// begins again, it repeats what comes after it, with the same versions.
func testPushedReplay(p *pushed) {
	first := p.stream(p.start)
	want := p.write()
	first.catchUp()
	first.stop()
	p.equal(keys(first.changes), want)
	p.repeats(first)
}

// testPushedAcknowledged: what is acknowledged is not held any more, and another process
// goes on from there, with all that was pushed while nobody listened.
func testPushedAcknowledged(p *pushed) {
	first := p.stream(p.start)
	p.write()
	first.catchUp()
	mark := first.mark()
	if p.harness.Held(p.source) == 0 {
		p.Error("nothing is held of what was not acknowledged")
	}
	p.source.Ack(mark.Position)
	if held := p.harness.Held(p.source); held != 0 {
		p.Errorf("%d are held after all was acknowledged", held)
	}
	first.stop()
	p.push("people", 7000)
	p.again("people", mark)
	p.push("people", 7001)
	second := p.stream(mark)
	second.catchUp()
	p.equal(keys(second.changes), []string{"(7000)", "(7001)"})
}

// testPushedUnacknowledged: what was emitted and not acknowledged is there for
// another process to read again, with the same versions.
func testPushedUnacknowledged(p *pushed) {
	first := p.stream(p.start)
	p.write()
	first.catchUp()
	middle := first.marks[len(first.marks)/2]
	p.source.Ack(middle.Position)
	first.stop()
	p.again("people", middle)
	second := p.stream(middle)
	second.catchUp()
	p.equal(versions(second.changes), versions(after(first.changes, middle)))
}

// testPushedLarge: a transaction of any size comes in batches of bounded size, and
// the checkpoint waits for its end.
func testPushedLarge(p *pushed) {
	const rows, limit = 50_000, 8 << 20
	t := p.stream(p.start)
	p.push("people", -1)
	t.catchUp()
	before, batches := t.mark(), t.batches
	t.changes = nil
	numbers := make([]int, rows)
	for n := range numbers {
		numbers[n] = n
	}
	p.push("people", numbers...)
	for len(t.changes) < rows {
		t.next()
		if len(t.changes) < rows && t.mark() != before {
			p.Fatalf("the checkpoint moved to %v within a transaction after %v", t.mark(), before)
		}
	}
	if t.batches-batches < 2 || t.largest > limit {
		p.Errorf("%d batches, the largest of %d bytes, want some of %d at most", t.batches-batches, t.largest, limit)
	}
	for i, c := range t.changes {
		if c.key != fmt.Sprintf("(%d)", i) || c.tx != t.changes[0].tx {
			p.Fatalf("change %d is of the key %s and the transaction %d", i, c.key, c.tx)
		}
	}
	t.catchUp()
	if t.mark().Version <= t.changes[len(t.changes)-1].version {
		p.Errorf("the checkpoint %v is not behind the transaction", t.mark())
	}
}

// testPushedCancel: a stream ends when its context does, even where nobody takes what it has.
func testPushedCancel(p *pushed) {
	p.stream(p.start).stop()
	blocked := p.stream(p.start)
	p.write()
	blocked.next()
	blocked.stop()
}

// testPushedBusy: two daemons have not one source at a time; the second takes over when the first has gone.
func testPushedBusy(p *pushed) {
	first := p.source
	p.push("people", 1)
	p.source = p.newSource()
	if _, err := p.source.Prepare(p.Context(), p.tables, p.start.Position); !errors.Is(err, sources.ErrBusy) {
		p.Errorf("the second daemon got %v", err)
	}
	if _, err := p.source.Remove(p.Context(), true); !errors.Is(err, sources.ErrBusy) {
		p.Errorf("Remove beside a daemon returned %v", err)
	}
	first.Close()
	p.ready(p.start)
	second := p.stream(p.start)
	second.catchUp()
	p.equal(keys(second.changes), []string{"(1)"})
}

// testPushedIdle: a mark is reached without a row to come, and a batch says that nothing follows.
func testPushedIdle(p *pushed) {
	p.push("people", 1)
	start, err := p.source.Prepare(p.Context(), p.tables, p.start.Position)
	p.must(err)
	t := p.stream(p.start)
	for !p.source.Reached(t.mark().Position, start.Mark) || !t.idle {
		t.next()
	}
}

// testPushedClose: what is pushed to a closed source is refused, and not there when it is opened again.
func testPushedClose(p *pushed) {
	p.push("people", 1)
	p.source.Close()
	if err := p.harness.Push(p.Context(), p.source, "people", "2"); err == nil {
		p.Error("a closed source has taken a row")
	}
	p.again("people", p.start)
	t := p.stream(p.start)
	t.catchUp()
	p.equal(keys(t.changes), []string{"(1)"})
}

// testPushedRemove: what remove would drop is what it drops, once only, and nothing of it comes back.
func testPushedRemove(p *pushed) {
	p.push("people", 1)
	p.source.Close()
	p.source = p.newSource()
	would, err := p.source.Remove(p.Context(), true)
	p.must(err)
	if len(would) == 0 {
		p.Error("nothing would be removed")
	}
	did, err := p.source.Remove(p.Context(), false)
	p.must(err)
	p.equal(did, would)
	left, err := p.source.Remove(p.Context(), false)
	p.must(err)
	p.equal(left, nil)
	p.first()
	t := p.stream(p.start)
	t.catchUp()
	p.equal(keys(t.changes), nil)
}
