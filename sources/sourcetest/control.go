package sourcetest

import (
	"errors"
	"slices"

	"haystream/sources"
)

// testCancel: a stream ends when its context does, even where nobody takes
// what it has, and leaves nothing behind (Run looks for goroutines).
func testCancel(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	f.stream(f.start).stop()
	f.ready(f.start)
	blocked := f.stream(f.start)
	f.write()
	blocked.next()
	blocked.stop()
	if _, err := f.source.Chunk(cancelled(f), sources.ChunkRequest{Table: f.table("people"), MaxRows: 1, MaxBytes: 1}); err == nil {
		f.Error("a chunk was read for a context that had ended")
	}
}

// testBusy: two daemons of one name do not stream at a time; the second takes
// over when the first has gone. Nothing is removed from under a daemon.
func testBusy(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	first := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (1, 'a', 1)")
	first.expect("insert people (1,a,1)")
	mark := first.mark()
	f.source = f.newSource()
	f.project(everyColumn, "people")
	_, err := f.source.Prepare(f.Context(), f.tables, mark.Position)
	if err == nil {
		err = f.stream(mark).wait()
	}
	if !errors.Is(err, sources.ErrBusy) {
		f.Errorf("the second daemon got %v", err)
	}
	if _, err := f.source.Remove(f.Context(), true); !errors.Is(err, sources.ErrBusy) {
		f.Errorf("Remove beside a daemon returned %v", err)
	}
	f.exec("INSERT INTO people VALUES (2, 'b', 2)")
	first.expect("insert people (2,b,2)")
	first.stop()
	f.ready(mark)
	second := f.stream(mark)
	second.expect("insert people (2,b,2)")
	mark = second.mark()
	f.source = f.newSource()
	f.project(everyColumn, "people")
	if err := f.source.Evict(f.Context()); err != nil {
		f.Fatal(err)
	}
	if err := second.wait(); err == nil || sources.Known(err) {
		f.Errorf("the evicted daemon got %v", err)
	}
	f.ready(mark)
	f.exec("INSERT INTO people VALUES (3, 'c', 3)")
	f.stream(mark).expect("insert people (3,c,3)")
}

// testSchemaChanged: a column in use that is gone ends the stream before a row
// without it is emitted, and the new columns go on from the same checkpoint.
func testSchemaChanged(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	first := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (1, 'a', 1)")
	first.expect("insert people (1,a,1)")
	mark := first.mark()
	f.exec("ALTER TABLE people DROP COLUMN age", "INSERT INTO people VALUES (2, 'b')")
	if err := first.wait(); !errors.Is(err, sources.ErrSchemaChanged) {
		f.Fatalf("the stream returned %v", err)
	}
	f.project(everyColumn, "people")
	f.ready(mark)
	second := f.stream(mark)
	second.catchUp()
	// A log that has the statement tells besides that the column's values are worth nothing.
	f.equal(texts(slices.DeleteFunc(second.changes, func(c change) bool { return c.kind == sources.Stale })), []string{"insert people (2,b)"})
}

// testRemove: what remove would drop is what it drops, and once only.
func testRemove(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	would, err := f.source.Remove(f.Context(), true)
	f.must(err)
	did, err := f.source.Remove(f.Context(), false)
	f.must(err)
	f.equal(did, would)
	left, err := f.source.Remove(f.Context(), false)
	f.must(err)
	f.equal(left, nil)
}
