package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"haystream/sources"
)

// write commits a mix of transactions, small and not so small.
func (f *fixture) write() {
	f.Helper()
	for i := range 20 {
		f.exec(fmt.Sprintf("INSERT INTO people VALUES (%d, 'small', %d)", i, i))
	}
	f.exec("BEGIN")
	for i := range 50 {
		f.exec(fmt.Sprintf("INSERT INTO people VALUES (%d, 'large', %d)", 100+i, i))
	}
	f.exec("UPDATE people SET age = age + 1", "COMMIT", "UPDATE people SET id = -id WHERE id > 0 AND id < 10",
		"BEGIN", "DELETE FROM people WHERE id > 100", "COMMIT")
}

// testReplay: from whatever checkpoint a stream begins again, it repeats what
// comes after it, with the same versions.
func testReplay(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	first := f.stream(f.start)
	f.write()
	first.catchUp()
	first.stop()
	f.repeats(first)
}

// repeats begins again from marks of a stream that has ended.
func (f *fixture) repeats(first *tail) {
	f.Helper()
	marks := slices.CompactFunc(first.marks, func(a, b sources.Checkpoint) bool { return a == b })
	for len(marks) > 8 { // the first, the last and some between
		marks = slices.Delete(marks, len(marks)/2, len(marks)/2+1)
	}
	for _, mark := range marks {
		again := f.stream(mark)
		again.catchUp()
		again.stop()
		f.equal(versions(again.changes), versions(after(first.changes, mark)))
	}
}

func after(changes []change, mark sources.Checkpoint) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.version <= mark.Version })
}

func versions(changes []change) []string {
	list := texts(changes)
	for i, c := range changes {
		list[i] += fmt.Sprintf(" version %d", c.version)
	}
	return list
}

// testAcknowledged: another process goes on from an acknowledged checkpoint,
// and finds all that came while nobody listened.
func testAcknowledged(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	first := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (1, 'a', 1)")
	first.expect("insert people (1,a,1)")
	mark := first.mark()
	f.source.Ack(mark.Position)
	first.stop()
	f.exec("INSERT INTO people VALUES (2, 'b', 2)")
	f.again("people", mark)
	f.stream(mark).expect("insert people (2,b,2)")
}

// testUnacknowledged: what was emitted and not acknowledged is there for
// another process to read again, with the same versions.
func testUnacknowledged(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	first := f.stream(f.start)
	f.write()
	first.catchUp()
	first.stop()
	f.again("people", f.start)
	second := f.stream(f.start)
	second.catchUp()
	f.equal(versions(second.changes), versions(first.changes))
}

// again takes a new source to the place of the test's, as a new process does.
func (f *fixture) again(table string, mark sources.Checkpoint) {
	f.Helper()
	f.source.Close()
	f.source = f.newSource()
	f.project(everyColumn, table)
	start, err := f.source.Prepare(f.Context(), f.tables, mark.Position)
	f.must(err)
	if start.Fresh || start.Position != mark.Position {
		f.Errorf("prepared %q (fresh: %v), want to go on from %q", start.Position, start.Fresh, mark.Position)
	}
}

// testReconnect: a cut connection ends the stream with an error that is worth
// another try, and the next one goes on after the last whole transaction.
func testReconnect(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	first := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (1, 'a', 1)")
	first.expect("insert people (1,a,1)")
	f.exec("BEGIN", "INSERT INTO people VALUES (2, 'b', 2)", "INSERT INTO people VALUES (3, 'c', 3)", "COMMIT")
	for len(first.changes) == 0 {
		first.next()
	}
	f.must(f.Interrupt(f.Context(), f.name))
	err := first.wait()
	for _, unwanted := range []error{nil, sources.ErrPositionLost, sources.ErrConfig, sources.ErrSchemaChanged, context.Canceled} {
		if errors.Is(err, unwanted) {
			f.Fatalf("a cut stream returned %v", err)
		}
	}
	mark := first.mark()
	f.ready(mark)
	second := f.stream(mark)
	f.exec("DELETE FROM people WHERE id = 1")
	covered := len(first.changes) - len(after(first.changes, mark))
	second.expect([]string{"insert people (2,b,2)", "insert people (3,c,3)", "delete people (1)"}[covered:]...)
}

// ready prepares again until the server has noticed that the last stream is gone.
func (f *fixture) ready(mark sources.Checkpoint) {
	f.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := f.source.Prepare(f.Context(), f.tables, mark.Position)
		if err == nil {
			return
		}
		if !errors.Is(err, sources.ErrBusy) {
			f.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("still busy after %s: %s", patience, err)
		}
	}
}
