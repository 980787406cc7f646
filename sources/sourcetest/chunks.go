package sourcetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"haystream/sources"
)

func cancelled(f *fixture) context.Context {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	return ctx
}

// regions are words that servers order in many ways.
func regions() []string {
	return []string{"", "a", "Ab", "b", "z", "ä", "_", "a b", "%", "漢", "🐘"}
}

const places = "id INTEGER NOT NULL, body VARCHAR(1000), region VARCHAR(20) NOT NULL, PRIMARY KEY (region, id)"

// testChunks: paging over a key of several columns shows every row once, in
// chunks that are no larger than asked for, and says when it is through.
func testChunks(f *fixture) {
	f.create("places", places)
	f.create("nobody", people)
	for i, region := range regions() {
		for n := range 9 {
			f.exec(fmt.Sprintf("INSERT INTO places VALUES (%d, 'body', '%s')", 100*i-n, region))
		}
	}
	f.exec("UPDATE places SET body = NULL WHERE id < 50")
	f.prepare("places", "nobody")
	f.stream(f.start)
	for _, size := range []int{1, 7, 9, 99, 1000} {
		f.equal(f.page("places", size, 1<<20), f.rows("places"))
	}
	f.equal(f.page("nobody", 10, 1<<20), nil)
}

// testChunkBytes: a chunk ends at its bound in bytes, and a row that is larger passes alone.
func testChunkBytes(f *fixture) {
	f.create("places", places)
	body := string(slices.Repeat([]byte("x"), 1000))
	for i := range 20 {
		f.exec(fmt.Sprintf("INSERT INTO places VALUES (%d, '%s', 'r')", i, body))
	}
	f.prepare("places")
	f.stream(f.start)
	for _, bytes := range []int{1, 3000, 10000} {
		f.equal(f.page("places", 1000, bytes), f.rows("places"))
	}
}

// page reads a table in chunks and returns its rows as rows does.
func (f *fixture) page(table string, maxRows, maxBytes int) []string {
	f.Helper()
	return f.pages(sources.ChunkRequest{Table: f.table(table), MaxRows: maxRows, MaxBytes: maxBytes})
}

// pages reads all chunks from a request on.
func (f *fixture) pages(req sources.ChunkRequest) (found []string) {
	f.Helper()
	for {
		chunk, err := f.source.Chunk(f.Context(), req)
		f.must(err)
		if len(chunk.Rows) > req.MaxRows {
			f.Fatalf("%d rows in a chunk of %d at most", len(chunk.Rows), req.MaxRows)
		}
		if size := chunk.Arena.Size(); size > req.MaxBytes && len(chunk.Rows) > 1 {
			f.Fatalf("%d rows in a chunk take %d bytes, %d are allowed", len(chunk.Rows), size, req.MaxBytes)
		}
		for _, row := range chunk.Rows {
			found = append(found, image(row))
		}
		if chunk.Done {
			slices.Sort(found)
			return found
		}
		if len(chunk.Rows) == 0 || slices.Equal(chunk.Last, req.After) {
			f.Fatalf("a chunk of %d rows after %q led no further", len(chunk.Rows), req.After)
		}
		if last := chunk.Rows[len(chunk.Rows)-1].Key(req.Table.Key); !slices.Equal(last, chunk.Last) {
			f.Fatalf("a chunk's last key is %q, its last row's %q", chunk.Last, last)
		}
		req.After = chunk.Last
	}
}

// testIdle: without another write, a chunk's mark is reached, and a batch says
// that nothing follows the last change.
func testIdle(f *fixture) {
	f.create("people", people)
	f.exec("INSERT INTO people VALUES (1, 'a', 1)")
	f.prepare("people")
	t := f.stream(f.start)
	chunk, err := f.source.Chunk(f.Context(), sources.ChunkRequest{Table: f.table("people"), MaxRows: 10, MaxBytes: 1 << 20})
	f.must(err)
	for !f.source.Reached(t.mark().Position, chunk.Mark) {
		t.next()
	}
	t.catchUp()
	for !t.idle {
		t.next()
	}
}

// testConvergence loads two tables while they are written to, one in chunks and
// one by values, merges what it reads and changes as the pipeline does, and
// compares with the truth.
func testConvergence(f *fixture) {
	const doublings = 10
	names := []string{"places", "cities"}
	for _, name := range names {
		f.create(name, places)
		f.exec(fmt.Sprintf("INSERT INTO %s VALUES (0, '0', 'a')", name))
		for i := range doublings {
			f.exec(fmt.Sprintf("INSERT INTO %s SELECT id + %d, body, region FROM %s", name, 1<<i, name))
		}
	}
	f.prepare(names...)
	t := f.stream(f.start)
	ctx, stop := context.WithCancel(f.Context())
	defer stop()
	var writers errgroup.Group
	for i, name := range names {
		session := f.open()
		writers.Go(func() error { return churn(ctx, session, name, 1<<doublings, uint64(i)) })
	}
	l := load{tail: t, state: map[string]string{}}
	l.rows(sources.ChunkRequest{Table: f.table("places")})
	l.byValue(f.table("cities"), 1<<doublings)
	stop()
	f.must(writers.Wait())
	t.catchUp()
	l.apply()
	var want []string
	for _, name := range names {
		for _, row := range f.rows(name) {
			want = append(want, name+row)
		}
	}
	var got []string
	for _, row := range l.state {
		got = append(got, row)
	}
	slices.Sort(got)
	slices.Sort(want)
	f.equal(got, want)
}

// churn commits random transactions to a table until the context ends. Each
// writes its number into the rows that it changes.
func churn(ctx context.Context, session Session, table string, keys int, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, seed))
	for n := 1; ctx.Err() == nil; n++ {
		statements := []string{"BEGIN"}
		for range 1 + random.IntN(4) {
			statements = append(statements, randomChange(random, table, keys, n)...)
		}
		end := "COMMIT"
		if random.IntN(5) == 0 {
			end = "ROLLBACK"
		}
		// A transaction that has begun is ended, so that its statements are not cut.
		if err := session.Exec(context.WithoutCancel(ctx), append(statements, end)...); err != nil {
			return fmt.Errorf("write to %s: %w", table, err)
		}
	}
	return nil
}

func randomChange(random *rand.Rand, table string, keys, n int) []string {
	region := []string{"a", "b"}
	where := func(id int, region string) string { return fmt.Sprintf("WHERE id = %d AND region = '%s'", id, region) }
	id, one := random.IntN(keys), region[random.IntN(2)]
	if random.IntN(4) > 0 {
		id -= id % (keys / 8) // a few rows change all the time
	}
	remove := fmt.Sprintf("DELETE FROM %s %s", table, where(id, one))
	switch random.IntN(4) {
	case 0:
		return []string{remove}
	case 1:
		return []string{remove, fmt.Sprintf("INSERT INTO %s VALUES (%d, '%d', '%s')", table, id, n, one)}
	case 2:
		from := random.IntN(keys)
		if from == id {
			return nil
		}
		return []string{remove, fmt.Sprintf("UPDATE %s SET id = %d, body = '%d' %s", table, id, n, where(from, one))}
	}
	return []string{fmt.Sprintf("UPDATE %s SET body = '%d' %s", table, n, where(id, one))}
}

// A load is what the chunks and the changes so far make of the tables: rows as
// text by their table and key.
type load struct {
	*tail
	state   map[string]string
	changed map[string]bool // keys changed since the chunk's window opened
}

// number is that of the transaction that wrote the row, which table and image make up.
func (l *load) number(row string) int {
	l.Helper()
	n, err := strconv.Atoi(strings.Split(row, ",")[1])
	l.must(err)
	return n
}

// apply puts the changes that have come into the state. No row goes back in time.
func (l *load) apply() {
	l.Helper()
	for _, c := range l.changes {
		if was, known := l.state[c.table+c.key]; known && l.number(c.after) < l.number(was) {
			l.Fatalf("%s came after %s was read", c, was)
		}
		if c.kind != sources.Insert {
			delete(l.state, c.table+c.before)
			l.changed[c.table+c.before] = true
		}
		if c.kind != sources.Delete {
			l.state[c.table+c.key] = c.table + c.after
			l.changed[c.table+c.key] = true
		}
	}
	l.changes = nil
}

// rows loads all rows that a request is for.
func (l *load) rows(req sources.ChunkRequest) {
	l.Helper()
	req.MaxRows, req.MaxBytes = 50, 1<<20
	for {
		chunk := l.chunk(req)
		for _, row := range chunk.Rows {
			if key := req.Table.Name + join(row.Key(req.Table.Key)); !l.changed[key] {
				l.state[key] = req.Table.Name + image(row)
			}
		}
		if chunk.Done {
			return
		}
		req.After = chunk.Last
	}
}

// byValue loads the rows of one region by their keys, and those of the other by
// the region.
func (l *load) byValue(t *sources.Table, ids int) {
	l.Helper()
	var keys []sources.Key
	for id := range ids {
		keys = append(keys, sources.Key{"a", strconv.Itoa(id)})
	}
	for some := range slices.Chunk(keys, 100) {
		l.rows(sources.ChunkRequest{Table: t, Having: &sources.Values{Columns: t.Key, Of: some}})
	}
	l.rows(sources.ChunkRequest{Table: t, Having: &sources.Values{Columns: t.Key[:1], Of: []sources.Key{{"b"}}}})
}

// chunk reads one chunk, and the stream meanwhile and until it has reached the chunk's mark.
func (l *load) chunk(req sources.ChunkRequest) *sources.Chunk {
	l.Helper()
	l.changed = map[string]bool{}
	var chunk *sources.Chunk
	read := make(chan error, 1)
	go func() {
		var err error
		chunk, err = l.source.Chunk(l.Context(), req)
		read <- err
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for pending := true; pending; {
		select {
		case err := <-read:
			l.must(err)
			pending = false
		case batch := <-l.out:
			l.record(batch)
			l.apply()
		case err := <-l.done:
			l.Fatalf("the stream ended: %v", err)
		case <-timeout.C:
			l.Fatalf("no chunk in %s", patience)
		}
	}
	for !l.source.Reached(l.mark().Position, chunk.Mark) {
		l.next()
		l.apply()
	}
	return chunk
}
