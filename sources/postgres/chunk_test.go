package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"haystream/sources"
)

// TestChunk forces the moments in which a snapshot without locks goes wrong.
func TestChunk(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"raw":                      testRaw,
		"streamed_before_visible":  testStreamedBeforeVisible,
		"visible_after_a_restart":  testVisibleAfterRestart,
		"open_when_table_joins":    testOpenWhenTableJoins,
		"rewritten_under_a_chunk":  testRewrittenUnderAChunk,
		"idle_at_a_page_header":    testIdleAtPageHeader,
		"idle_with_unflushed_log":  testIdleWithUnflushedLog,
		"sees_what_is_in_progress": testSeesWhatIsInProgress,
		"keys":                     testChunkKeys,
		"bytes":                    testChunkBytes,
		"partitions_and_children":  testChunkPartitions,
		"refusals":                 testChunkRefusals,
	})
}

// result is what a chunk that runs beside the test came to.
type result struct {
	chunk *sources.Chunk
	err   error
}

func (r *rig) chunkLater() chan result {
	done := make(chan result, 1)
	go func() {
		chunk, err := r.chunk()
		done <- result{chunk, err}
	}()
	return done
}

// holdCommits makes each commit wait, when it is in the log, for a standby
// that there is not: it is streamed, but nobody sees it yet.
func (r *rig) holdCommits() (release func()) {
	r.Helper()
	set := func(standby string) {
		r.exec("ALTER SYSTEM SET synchronous_standby_names = '"+standby+"'", "SELECT pg_reload_conf()")
		r.eventually("synchronous_standby_names", func() bool { return r.ask("current_setting('synchronous_standby_names')") == standby })
	}
	set("nobody")
	released := false
	release = func() {
		if !released {
			released = true
			set("")
		}
	}
	r.Cleanup(func() {
		if !released {
			_, _ = r.admin.Exec(context.Background(), "ALTER SYSTEM RESET synchronous_standby_names")
			_, _ = r.admin.Exec(context.Background(), "SELECT pg_reload_conf()")
		}
	})
	return release
}

// execLater runs a statement that blocks.
func (r *rig) execLater(statement string) {
	conn := connect(r, r.url)
	done := make(chan error, 1)
	ctx := r.Context()
	go func() {
		_, err := conn.Exec(ctx, statement)
		done <- err
	}()
	r.Cleanup(func() { <-done })
}

func testStreamedBeforeVisible(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "INSERT INTO notes VALUES (1, 0)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	release := r.holdCommits()
	r.execLater("UPDATE public.notes SET n = 1")
	f.expect("update notes (1,1)")
	if got := r.ask("SELECT n FROM notes"); got != "0" {
		r.Fatalf("n is %s: the commit was not held", got)
	}
	done := r.chunkLater()
	r.eventually("the chunk waits", func() bool { return strings.Contains(r.logs.String(), "waiting for a transaction") })
	if pid := r.ask("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); !strings.Contains(r.logs.String(), `"pid":`+pid) {
		r.Errorf("the log does not name the process %s:\n%s", pid, r.logs)
	}
	release()
	got := <-done
	r.must(got.err)
	if rowTexts(got.chunk) != "(1,1)" || !got.chunk.Sees(f.txs[0]) {
		r.Errorf("the chunk has %s, sees the streamed transaction: %v", rowTexts(got.chunk), got.chunk.Sees(f.txs[0]))
	}
}

// testVisibleAfterRestart is the same, but another process has streamed the
// commit: this one has no list to look it up in.
func testVisibleAfterRestart(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "INSERT INTO notes VALUES (1, 0)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	release := r.holdCommits()
	r.execLater("UPDATE public.notes SET n = 1")
	f.expect("update notes (1,1)")
	f.stop()
	r.source.Close()
	r.source = r.newSource()
	r.plan("public.notes")
	r.eventually("the slot is free", func() bool { return r.again(f.at) == nil })
	done := r.chunkLater()
	r.eventually("the chunk waits", func() bool { return strings.Contains(r.logs.String(), "waiting for a transaction") })
	release()
	got := <-done
	r.must(got.err)
	if rowTexts(got.chunk) != "(1,1)" {
		r.Errorf("the chunk has %s", rowTexts(got.chunk))
	}
}

// testOpenWhenTableJoins: what a transaction wrote to a table before that
// joined the publication is never streamed, so the chunk must have it.
func testOpenWhenTableJoins(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)", "CREATE TABLE tags (id int PRIMARY KEY, name text)")
	r.prepare("public.notes")
	writer := connect(r, r.url)
	execute(r, writer, "BEGIN", "INSERT INTO public.tags VALUES (1, 'early')")
	r.plan("public.tags", "public.notes")
	start, err := r.ready(r.Context(), r.start.Position)
	r.must(err)
	if start.Fresh {
		r.Fatalf("start is %+v", start)
	}
	f := r.follow(r.start)
	done := r.chunkLater()
	r.eventually("the chunk waits", func() bool { return strings.Contains(r.logs.String(), "waiting for a transaction") })
	execute(r, writer, "INSERT INTO public.tags VALUES (2, 'late')", "COMMIT")
	got := <-done
	r.must(got.err)
	if rowTexts(got.chunk) != "(1,early) (2,late)" {
		r.Errorf("the chunk has %s", rowTexts(got.chunk))
	}
	f.expect("insert tags (2,late)")
}

// testRewrittenUnderAChunk: after a rewriting ALTER TABLE an older snapshot
// finds the table empty.
func testRewrittenUnderAChunk(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "INSERT INTO notes VALUES (1, 1), (2, 2)")
	r.prepare("public.notes")
	writer := connect(r, r.url)
	execute(r, writer, "BEGIN", "ALTER TABLE public.notes ALTER n TYPE int USING n * 10")
	done := r.chunkLater()
	r.eventually("the chunk waits for the lock", func() bool {
		return r.ask("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'notes'::regclass") == "1"
	})
	execute(r, writer, "COMMIT")
	got := <-done
	r.must(got.err)
	if rowTexts(got.chunk) != "(1,10) (2,20)" {
		r.Errorf("the chunk has %q", rowTexts(got.chunk))
	}
}

// testIdleAtPageHeader: after a switch of the log file the server gives an
// insert position that no record ends at.
func testIdleAtPageHeader(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)", "INSERT INTO notes VALUES (1)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	var chunk *sources.Chunk
	// Now and then the server itself writes something in between.
	r.eventually("a chunk at the header", func() (found bool) {
		r.exec("SELECT pg_switch_wal()")
		before := r.ask("pg_current_wal_insert_lsn()")
		var err error
		chunk, err = r.chunk()
		r.must(err)
		found = strings.HasSuffix(before, "000028") && r.ask("pg_current_wal_insert_lsn()") == before
		f.reach(chunk.Mark)
		return found
	})
	if !strings.HasSuffix(string(chunk.Mark), "000000") {
		r.Errorf("the mark is %s", chunk.Mark)
	}
}

// testIdleWithUnflushedLog: the log that an open transaction has written may
// stay in the server's memory, where the stream does not get it.
func testIdleWithUnflushedLog(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)", "INSERT INTO notes VALUES (1)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	writer := connect(r, r.url)
	execute(r, writer, "BEGIN", "INSERT INTO public.notes VALUES (2)")
	if r.ask("pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()") != "true" {
		r.Log("the log was flushed by something else")
	}
	chunk, err := r.chunk()
	r.must(err)
	if r.ask("$1::pg_lsn <= pg_current_wal_flush_lsn()", string(chunk.Mark[strings.LastIndexByte(string(chunk.Mark), ':')+1:])) != "true" {
		r.Errorf("the log is not flushed to the mark %s", chunk.Mark)
	}
	f.reach(chunk.Mark)
	if rowTexts(chunk) != "(1)" {
		r.Errorf("the chunk has %s", rowTexts(chunk))
	}
}

// testSeesWhatIsInProgress: a transaction that commits after the chunk is not
// seen by it, whatever its id.
func testSeesWhatIsInProgress(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	early, late := connect(r, r.url), connect(r, r.url)
	execute(r, early, "BEGIN", "INSERT INTO public.notes VALUES (1)")
	execute(r, late, "BEGIN", "INSERT INTO public.notes VALUES (2)", "COMMIT")
	f.expect("insert notes (2)")
	chunk, err := r.chunk()
	r.must(err)
	execute(r, early, "COMMIT")
	execute(r, late, "INSERT INTO public.notes VALUES (3)")
	f.expect("insert notes (1)", "insert notes (3)")
	if rowTexts(chunk) != "(2)" {
		r.Errorf("the chunk has %s", rowTexts(chunk))
	}
	if got := fmt.Sprint(chunk.Sees(f.txs[0]), chunk.Sees(f.txs[1]), chunk.Sees(f.txs[2])); got != "true false false" {
		r.Errorf("it sees 2, 1, 3: %s", got)
	}
}

// testChunkKeys pages by keys of types whose canonical text the server would
// not read, or not in the same order.
func testChunkKeys(r *rig) {
	r.exec(`CREATE TABLE "Odd ""Names" ("When" timestamptz, "Raw" bytea, kind text COLLATE "C", "Span" int4range, body text, PRIMARY KEY ("When", "Raw", kind, "Span"))`,
		`INSERT INTO "Odd ""Names" SELECT d, b, k, s, 'x' FROM unnest('{-infinity,0044-03-15 BC,2024-01-01,12024-01-01,infinity}'::timestamptz[]) d,
			unnest(ARRAY['\x', '\x00ff']::bytea[]) b, unnest('{"","a b",Ü}'::text[]) k, unnest('{empty,"[1,5)"}'::int4range[]) s`)
	r.prepare(`public.Odd "Names`)
	want, err := r.chunk()
	r.must(err)
	if len(want.Rows) != 60 || !want.Done {
		r.Fatalf("%d rows, done: %v", len(want.Rows), want.Done)
	}
	var got []string
	var after sources.Key
	for {
		chunk, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[0], After: after, MaxRows: 7, MaxBytes: 1 << 20})
		r.must(err)
		for _, row := range chunk.Rows {
			got = append(got, rowText(row))
		}
		after = chunk.Last
		if chunk.Done {
			break
		}
	}
	if strings.Join(got, " ") != rowTexts(want) {
		r.Errorf("pages have\n%s\nwant\n%s", strings.Join(got, " "), rowTexts(want))
	}
	chunk, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[0], After: after, Inclusive: true, MaxRows: 7, MaxBytes: 1 << 20})
	r.must(err)
	if rowTexts(chunk) != got[len(got)-1] {
		r.Errorf("inclusive of the last key it has %s", rowTexts(chunk))
	}
	for _, row := range want.Rows {
		r.expectByKey(rowText(row), row.Key(r.tables[0].Key))
	}
}

// expectByKey reads the rows of the first table that have the keys.
func (r *rig) expectByKey(want string, of ...sources.Key) {
	r.Helper()
	t := r.tables[0]
	chunk, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: t, Having: &sources.Values{Columns: t.Key, Of: of}, MaxRows: 100, MaxBytes: 1 << 20})
	r.must(err)
	if got := rowTexts(chunk); got != want {
		r.Errorf("with the keys %q there are %q, want %q", of, got, want)
	}
}

func testChunkBytes(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, body text)",
		"INSERT INTO notes SELECT n, repeat('x', CASE WHEN n % 50 = 0 THEN 300000 ELSE 1000 END) FROM generate_series(1, 1000) n")
	r.prepare("public.notes")
	const limit = 100_000
	var after sources.Key
	rows, alone := 0, 0
	for done := false; !done; {
		chunk, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[0], After: after, MaxRows: 10_000, MaxBytes: limit})
		r.must(err)
		used := 0
		for i, row := range chunk.Rows {
			if got := string(row.Text(0)); got != strconv.Itoa(rows+i+1) {
				r.Fatalf("row %d has the id %s", rows+i+1, got)
			}
			used += len(row.Text(0)) + len(row.Text(1))
		}
		if len(chunk.Rows) == 1 {
			alone++
		} else if used > limit {
			r.Fatalf("a chunk of %d rows has %d bytes", len(chunk.Rows), used)
		}
		rows += len(chunk.Rows)
		after, done = chunk.Last, chunk.Done
	}
	if rows != 1000 || alone < 20 {
		r.Errorf("%d rows, %d of them alone in a chunk", rows, alone)
	}
}

// testChunkPartitions: a partitioned table has its partitions' rows, a parent
// by inheritance does not have its children's.
func testChunkPartitions(r *rig) {
	r.exec("CREATE TABLE events (id int, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
		"CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (2)",
		"CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (2) TO (3)",
		"INSERT INTO events VALUES (1, 1), (2, 2)",
		"CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)",
		"INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (2)")
	r.prepare("public.events", "public.parent")
	for i, want := range []string{"(1,1) (2,2)", "(1)"} {
		chunk, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[i], MaxRows: 100, MaxBytes: 1 << 20})
		r.must(err)
		if rowTexts(chunk) != want {
			r.Errorf("%s has %s, want %s", r.tables[i], rowTexts(chunk), want)
		}
	}
	r.expectByKey("(2,2)", sources.Key{"2", "2"}, sources.Key{"1", "2"})
}

func testChunkRefusals(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "CREATE TABLE keyless (n int)", "ALTER TABLE keyless REPLICA IDENTITY FULL")
	r.prepare("public.notes", "public.keyless")
	expect := func(t *sources.Table, want error, text string) {
		r.Helper()
		_, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: t, MaxRows: 10, MaxBytes: 1 << 20})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			r.Errorf("the chunk's error is %v, want %v and %q", err, want, text)
		}
	}
	expect(r.tables[1], sources.ErrConfig, "no key")

	role := r.name + "_reader"
	r.exec("CREATE ROLE "+role+" LOGIN REPLICATION", "GRANT SELECT ON notes TO "+role)
	whole := r.source
	config := whole.config.Copy()
	config.User = role
	whole.pool.Close()
	whole.config, whole.pool = config, newPool(config)
	chunk, err := r.chunk()
	r.must(err)
	if !chunk.Done {
		r.Error("an empty table is not done")
	}
	r.exec("REVOKE SELECT ON notes FROM " + role)
	expect(r.tables[0], sources.ErrUnreadable, `GRANT SELECT ON "public"."notes" TO "`+role+`"`)
	r.exec("GRANT SELECT ON notes TO "+role, "ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
	expect(r.tables[0], sources.ErrUnreadable, `ALTER ROLE "`+role+`" BYPASSRLS`)
	r.exec("ALTER TABLE notes DISABLE ROW LEVEL SECURITY", "GRANT SELECT ON keyless TO "+role, "INSERT INTO keyless VALUES (NULL)")
	r.plan("public.notes", "public.keyless")
	r.tables[1].Key = []int{0}
	expect(r.tables[1], sources.ErrUnreadable, "NULL in its key column n")
	r.exec("GRANT SELECT ON notes TO "+role, "INSERT INTO notes VALUES (1, 1)", "ALTER TABLE notes ALTER n TYPE text")
	expect(r.tables[0], sources.ErrSchemaChanged, "no longer integer")
	r.exec("ALTER TABLE notes DROP n")
	expect(r.tables[0], sources.ErrSchemaChanged, "column")
	r.exec("DROP TABLE notes")
	expect(r.tables[0], sources.ErrSchemaChanged, "gone")

	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	if _, err := r.source.Chunk(ctx, sources.ChunkRequest{Table: r.tables[1], MaxRows: 1, MaxBytes: 1}); !errors.Is(err, context.Canceled) {
		r.Errorf("a cancelled chunk gives %v", err)
	}
	if open := r.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle'", role); open != "0" {
		r.Errorf("%s transactions are still open", open)
	}
}

// testRaw: texts of a database whose encoding the server does not know come byte
// for byte, from snapshot and stream, and reading goes on behind such a key.
func testRaw(r *rig) {
	r.exec("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	r.url = withPath(r.T, r.server.URL, "ascii")
	r.admin = connect(r.T, r.url)
	r.exec("SET client_encoding = 'SQL_ASCII'", "SET search_path = public", "CREATE TABLE notes (id text PRIMARY KEY, body json)",
		`INSERT INTO notes VALUES (E'a\xe8', '1'), (E'a\xe9', (E'"\xe9"')::json), (E'a\xef\xbf\xbd', '2')`)
	r.source.Close()
	r.source = r.newSource()
	r.prepare("public.notes")
	if c := r.tables[0].Columns; !c[0].Raw || !c[1].Raw {
		r.Errorf("the columns are %+v", c)
	}
	if got, want := r.oneByOne(), "(a\xe8,1) (a\xe9,\"\xe9\") (a\ufffd,2)"; got != want {
		r.Errorf("read are %q, want %q", got, want)
	}
	r.expectByKey("(a\xe8,1) (a\ufffd,2)", sources.Key{"a\xe8"}, sources.Key{"a\ufffd"}, sources.Key{"a\xea"}, sources.Key{"a\x00"})
	r.expectFindings("warning: encoding: the database is in SQL_ASCII: bytes of texts that are not UTF-8 become U+FFFD, or their documents dead letters, as source.invalid_utf8 says", "encoding")
	f := r.follow(r.start)
	r.exec(`UPDATE notes SET body = (E'"\xea"')::json WHERE id = E'a\xe9'`)
	f.expect("update notes (a\xe9,\"\xea\")")
}

// oneByOne reads the table in chunks of one row.
func (r *rig) oneByOne() string {
	r.Helper()
	var read []string
	for after := sources.Key(nil); ; {
		chunk, err := r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[0], After: after, MaxRows: 1, MaxBytes: 1 << 20})
		r.must(err)
		if len(chunk.Rows) == 0 {
			return strings.Join(read, " ")
		}
		read, after = append(read, rowTexts(chunk)), chunk.Last
	}
}
