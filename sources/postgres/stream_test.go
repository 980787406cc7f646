package postgres

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/sources"
)

// TestStream is about what the log carries of each change.
func TestStream(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"toast":              testToast,
		"keys":               testKeyChanges,
		"partitions":         testPartitions,
		"truncate":           testTruncates,
		"names":              testNames,
		"other_tables":       testOtherTables,
		"idle_publication":   testIdlePublication,
		"acknowledged":       testAcknowledgedOnly,
		"batches":            testBatches,
		"large_memory":       testLargeMemory,
		"blocked":            testBlocked,
		"prune":              testPrune,
		"altered_while_read": testAlteredWhileRead,
		"altered_while_down": testAlteredWhileDown,
		"altered_unseen":     testAlteredUnseen,
		"other_identity":     testOtherIdentity,
		"key_renamed":        testKeyRenamed,
		"generated":          testGenerated,
	})
}

func testToast(r *rig) {
	const big = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n)"
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int, body text)", "ALTER TABLE notes ALTER body SET STORAGE EXTERNAL",
		"CREATE TABLE files (name text PRIMARY KEY, n int, body text)", "ALTER TABLE files ALTER name SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL")
	r.prepare("public.notes", "public.files")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1, 1, "+big+")", "UPDATE notes SET n = 2", "UPDATE notes SET id = 2", "UPDATE notes SET body = NULL", "DELETE FROM notes")
	f.expect("insert notes (1,1,c4ca4238a0b9)", "update notes (1,2,?)", "update notes (1,?,?) -> (2,2,?)", "update notes (2,2,NULL)", "delete notes (2,?,?)")
	r.exec("ALTER TABLE notes REPLICA IDENTITY FULL", "INSERT INTO notes VALUES (1, 1, "+big+")", "UPDATE notes SET n = 2", "DELETE FROM notes")
	f.expect("insert notes (1,1,c4ca4238a0b9)", "update notes (1,1,c4ca4238a0b9) -> (1,2,c4ca4238a0b9)", "delete notes (1,2,c4ca4238a0b9)")
	// The old key is in the log where the key itself is stored apart.
	r.exec("INSERT INTO files VALUES (repeat('k', 2500), 1, "+big+")", "UPDATE files SET n = 2")
	f.expect("insert files (kkkkkkkkkkkk,1,c4ca4238a0b9)", "update files (kkkkkkkkkkkk,?,?) -> (kkkkkkkkkkkk,2,?)")
}

// testGenerated: a stored generated column is in the log where the publication has such.
func testGenerated(r *rig) {
	r.exec("CREATE TABLE sums (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)", "INSERT INTO sums VALUES (1, 1)")
	logged := func() bool {
		tables, err := r.source.Catalog(r.Context())
		r.must(err)
		for _, t := range tables {
			if t.Name == "sums" {
				return t.Columns[2].Generated && !t.Columns[2].NotLogged
			}
		}
		return false
	}
	if logged() {
		r.Error("a generated column is taken for logged")
	}
	if r.ask("current_setting('server_version_num')") < "180000" {
		return
	}
	r.exec("CREATE PUBLICATION " + r.name + " FOR TABLE ONLY sums WITH (publish_generated_columns = stored)")
	if !logged() {
		r.Error("a generated column of the publication is not taken for logged")
	}
	r.prepare("public.sums")
	f := r.follow(r.start)
	r.exec("INSERT INTO sums VALUES (2, 7)", "UPDATE sums SET a = 8 WHERE id = 2", "DELETE FROM sums WHERE id = 2")
	f.expect("insert sums (2,7,14)", "update sums (2,8,16)", "delete sums (2,?,?)")
}

func testKeyChanges(r *rig) {
	r.exec("CREATE TABLE lines (b int, a int, n int, PRIMARY KEY (a, b))",
		"CREATE TABLE codes (id int PRIMARY KEY, code text NOT NULL UNIQUE, n int)", "ALTER TABLE codes REPLICA IDENTITY USING INDEX codes_code_key")
	r.prepare("public.lines", "public.codes")
	f := r.follow(r.start)
	r.exec("INSERT INTO lines VALUES (1, 2, 3)", "UPDATE lines SET b = 9", "UPDATE lines SET n = 4", "DELETE FROM lines",
		"INSERT INTO codes VALUES (1, 'a', 1)", "UPDATE codes SET code = 'b', n = NULL", "DELETE FROM codes")
	f.expect("insert lines (1,2,3)", "update lines (1,2,?) -> (9,2,3)", "update lines (9,2,4)", "delete lines (9,2,?)",
		"insert codes (1,a,1)", "update codes (?,a,?) -> (1,b,NULL)", "delete codes (?,b,?)")
}

func testPartitions(r *rig) {
	r.exec("CREATE TABLE events (id int, day int, body text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
		"CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (2)",
		"CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (2) TO (4) PARTITION BY LIST (day)",
		"CREATE TABLE events_2_2 PARTITION OF events_2 FOR VALUES IN (2)",
		"CREATE TABLE events_4 (body text, gone int, day int NOT NULL, id int NOT NULL)", "ALTER TABLE events_4 DROP gone")
	r.prepare("public.events")
	f := r.follow(r.start)
	r.exec("INSERT INTO events VALUES (1, 1, 'a'), (2, 2, 'b')", "UPDATE events SET day = 2 WHERE id = 1", "TRUNCATE events_2_2")
	f.expect("insert events (1,1,a)", "insert events (2,2,b)", "delete events (1,1,?)", "insert events (1,2,a)", "stale events")
	// Partitions that come later, one with its columns in another order.
	r.exec("CREATE TABLE events_3 PARTITION OF events_2 FOR VALUES IN (3)", "ALTER TABLE events ATTACH PARTITION events_4 FOR VALUES FROM (4) TO (5)",
		"INSERT INTO events VALUES (3, 3, 'c'), (4, 4, 'd')", "DELETE FROM events_4", "TRUNCATE events")
	from := f.at
	f.endsWithSchemaChange("has the new partition public.events_")
	f = r.replan(from, "public.events")
	f.expect("insert events (3,3,c)", "insert events (4,4,d)", "delete events (4,4,?)", "stale events")
	r.exec("ALTER TABLE events_2 DETACH PARTITION events_3", "INSERT INTO events_3 VALUES (5, 3, 'e')", "INSERT INTO events VALUES (6, 1, 'f')")
	from = f.at
	f.endsWithSchemaChange("no longer has the partition public.events_3")
	r.replan(from, "public.events").expect("insert events (6,1,f)")
}

func testTruncates(r *rig) {
	r.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)", "CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a)")
	r.prepare("public.a", "public.b")
	f := r.follow(r.start)
	r.exec("INSERT INTO a VALUES (1)", "TRUNCATE a CASCADE", "INSERT INTO a VALUES (2)", "TRUNCATE b, c RESTART IDENTITY")
	f.expect("insert a (1)", "stale a", "stale b", "insert a (2)", "stale b")
}

func testNames(r *rig) {
	r.exec(`CREATE SCHEMA "Mixed.Case"`, `CREATE TABLE "Mixed.Case"."a ""b""" ("select" int PRIMARY KEY, "Ünï" text)`, `CREATE TABLE "a ""b""" ("select" int PRIMARY KEY)`)
	r.source.cfg.Publication = `Pub "o'f` + r.name
	r.prepare(`Mixed.Case.a "b"`)
	f := r.follow(r.start)
	r.exec(`INSERT INTO "a ""b""" VALUES (1)`, `INSERT INTO "Mixed.Case"."a ""b""" VALUES (2, 'ß')`)
	f.expect(`insert a "b" (2,ß)`)
	chunk, err := r.chunk()
	r.must(err)
	if rowTexts(chunk) != "(2,ß)" {
		r.Errorf("the chunk has %s", rowTexts(chunk))
	}
}

// testOtherTables: changes of tables that are published but not in use are
// left out, and numbered all the same: the numbers depend on the log alone.
func testOtherTables(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int, body text)", "CREATE TABLE others (id int PRIMARY KEY)", "CREATE PUBLICATION "+r.name+" FOR ALL TABLES")
	r.planColumns(func(c *sources.Column) bool { return c.Name == "n" }, "public.notes")
	start, err := r.first()
	r.must(err)
	far := start.Clock.Add(time.Hour).UnixMicro() // above all commit times
	f := r.follow(sources.Checkpoint{Position: start.Position, Version: far})
	r.exec("INSERT INTO others VALUES (1), (2)", "CREATE TABLE later (id int)", "INSERT INTO later VALUES (1)", "TRUNCATE others, later",
		"INSERT INTO notes VALUES (1, 1, 'x')")
	f.expect("insert notes (1,1)")
	if f.last != far+6 || f.at.Version != far+6 {
		r.Errorf("the version is %d after the first, the checkpoint's %d", f.last-far, f.at.Version-far)
	}
}

// testIdlePublication: what others write to the log moves the position too, so
// that the slot does not hold it.
func testIdlePublication(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)", "CREATE TABLE others (id int)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO others SELECT generate_series(1, 1000)")
	end := r.ask("pg_current_wal_lsn()")
	for {
		b, err := f.next()
		r.must(err)
		if len(b.Changes) > 0 {
			r.Fatalf("there are changes: %q", f.changes)
		}
		if p, _ := parsePosition(f.at.Position); r.ask("$1::pg_lsn >= $2::pg_lsn", p.lsn.String(), end) == "true" {
			break
		}
	}
	if f.at.Version != r.start.Version {
		r.Errorf("the version moved from %d to %d", r.start.Version, f.at.Version)
	}
	r.source.Ack(f.at.Position)
	f.stop() // the last status carries it
	r.eventually("the slot is confirmed", func() bool {
		return r.ask("SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", end, r.name) == "true"
	})
}

// testAcknowledgedOnly: nothing that was read is confirmed before Ack.
func testAcknowledgedOnly(r *rig) {
	r.exec("ALTER DATABASE "+r.name+" SET wal_sender_timeout = '600ms'", "CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	confirmed := func() string {
		return r.ask("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", r.name)
	}
	first := confirmed()
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	one := f.at
	r.exec("INSERT INTO notes VALUES (2)")
	f.expect("insert notes (2)")
	status := func() string {
		return r.ask("SELECT max(reply_time) FROM pg_stat_replication WHERE application_name = 'haystream' AND pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1)", r.name)
	}
	for range 3 {
		was := status()
		r.eventually("a status", func() bool { return status() != was })
	}
	if confirmed() != first {
		r.Errorf("confirmed is %s before any Ack", confirmed())
	}
	r.source.Ack(one.Position)
	p, err := parsePosition(one.Position)
	r.must(err)
	r.eventually("the first is confirmed", func() bool { return confirmed() == p.lsn.String() })
	f.stop()
	r.eventually("the slot is free", func() bool { return r.again(one) == nil })
	f = r.follow(one)
	f.expect("insert notes (2)")
}

// testBatches: small transactions that come in a run share a batch, a lone
// one does not wait.
func testBatches(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	r.exec("DO $$ BEGIN FOR n IN 1..2000 LOOP INSERT INTO notes VALUES (n); COMMIT; END LOOP; END $$")
	f := r.follow(r.start)
	batches, transactions := 0, 0
	for len(f.changes) < 2000 {
		b, err := f.next()
		r.must(err)
		batches, transactions = batches+1, transactions+b.Transactions
	}
	if transactions != 2000 || batches > 80 {
		r.Errorf("%d transactions in %d batches", transactions, batches)
	}
	f.changes = nil
	fastest := time.Hour
	for n := range 20 {
		r.exec(fmt.Sprintf("INSERT INTO notes VALUES (%d)", 3000+n))
		start := time.Now()
		f.expect(fmt.Sprintf("insert notes (%d)", 3000+n))
		fastest = min(fastest, time.Since(start))
	}
	if fastest > 50*time.Millisecond {
		r.Errorf("a lone transaction takes %s at best", fastest)
	}
}

// testLargeMemory: a transaction of any size is held in a batch at most.
func testLargeMemory(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, body text)")
	r.prepare("public.notes")
	r.exec("INSERT INTO notes SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n")
	end := position{system: "any", lsn: r.lsn("pg_current_wal_lsn()")}.String()
	f := r.follow(r.start)
	var most uint64
	rows := 0
	for rows < 60000 {
		b, err := f.next()
		r.must(err)
		rows += len(b.Changes)
		f.changes, f.txs = nil, nil
		if b.Size() > 2*sources.BatchBytes {
			r.Fatalf("a batch has %d bytes", b.Size())
		}
		if r.source.Reached(f.at.Position, end) && rows < 60000 {
			r.Fatal("the position passed a transaction in its middle")
		}
		if rows%8000 < len(b.Changes) {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
	}
	if most > 32<<20 {
		r.Errorf("60 MB of rows take %d MiB of heap", most>>20)
	}
}

// testBlocked: a stream that nobody takes from outlives the server's timeout.
func testBlocked(r *rig) {
	r.exec("ALTER DATABASE "+r.name+" SET wal_sender_timeout = '1s'", "CREATE TABLE notes (id int PRIMARY KEY, body text)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1, '')")
	f.expect("insert notes (1,)")
	pid := r.ask("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", r.name)
	r.exec("INSERT INTO notes SELECT n, repeat('x', 1000) FROM generate_series(2, 20000) n")
	blocked := time.Now()
	r.eventually("three timeouts pass", func() bool { return time.Since(blocked) > 3*time.Second })
	for len(f.changes) < 19999 {
		if _, err := f.next(); err != nil {
			r.Fatalf("the stream ended: %v", err)
		}
	}
	if now := r.ask("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", r.name); now != pid {
		r.Errorf("the slot was read by %s and is by %s", pid, now)
	}
}

// testPrune: the ids kept for chunks do not grow for ever.
func testPrune(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	for range pruneAfter {
		r.source.emitted.add(1) // long ended
	}
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	r.exec("INSERT INTO notes VALUES (2)")
	f.expect("insert notes (2)")
	if kept := len(r.source.emitted.all()); kept > 10 {
		r.Errorf("%d ids are kept", kept)
	}
}

// replan does what a daemon does after ErrSchemaChanged.
func (r *rig) replan(from sources.Checkpoint, names ...string) *follower {
	r.Helper()
	r.plan(names...)
	r.eventually("the source is prepared", func() bool { return r.again(from) == nil })
	return r.follow(from)
}

func (f *follower) endsWithSchemaChange(text string) {
	f.Helper()
	if err := f.ends(); !errors.Is(err, sources.ErrSchemaChanged) || !strings.Contains(err.Error(), text) {
		f.Fatalf("the stream ended with %v, want a schema change with %q", err, text)
	}
	f.changes = nil
}

// testAlteredWhileRead: each change of the columns ends the stream once, before
// a row of the new shape comes.
func testAlteredWhileRead(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int, extra int)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1, 1, 1)")
	f.expect("insert notes (1,1,1)")
	alter := func(statement, insert, difference, want string) {
		r.Helper()
		r.exec(statement, insert)
		from := f.at
		f.endsWithSchemaChange(difference)
		f = r.replan(from, "public.notes")
		for !slices.Contains(f.changes, want) {
			if _, err := f.next(); err != nil {
				r.Fatalf("the stream ended: %v; so far %q", err, f.changes)
			}
		}
		// What was sent before the catalog had the columns may be told as stale.
		f.changes = slices.DeleteFunc(f.changes, func(c string) bool { return c == "stale notes" })
		f.expect(want)
	}
	alter("ALTER TABLE notes ADD later text DEFAULT 'x'", "INSERT INTO notes VALUES (2, 2, 2)", "new column later", "insert notes (2,2,2,x)")
	alter("ALTER TABLE notes DROP extra", "INSERT INTO notes VALUES (3, 3)", "no column extra", "insert notes (3,3,x)")
	alter("ALTER TABLE notes RENAME n TO m", "INSERT INTO notes VALUES (4, 4)", "new column m", "insert notes (4,4,x)")
	alter("ALTER TABLE notes ALTER m TYPE numeric(6,2)", "INSERT INTO notes VALUES (5, 5)", "m was integer and is numeric(6,2)", "insert notes (5,5.00,x)")
	r.exec("CREATE TYPE mood AS ENUM ('ok')")
	alter("ALTER TABLE notes ADD feels mood", "INSERT INTO notes VALUES (6, 6, 'y', 'ok')", "new column feels", "insert notes (6,6.00,y,ok)")
	// What is no change of columns does not end it.
	r.exec("ALTER TYPE mood ADD VALUE 'fine'", "ALTER TABLE notes ALTER later DROP DEFAULT", "CREATE INDEX ON notes (m)", "ALTER TABLE notes REPLICA IDENTITY FULL",
		"INSERT INTO notes VALUES (7, 7, 'z', 'fine')")
	f.expect("insert notes (7,7.00,z,fine)")
}

// testAlteredWhileDown: changes from before the ALTER are read by the columns
// they have, and do not stop the stream again and again.
func testAlteredWhileDown(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int, gone int, small int)")
	r.prepare("public.notes")
	r.exec("INSERT INTO notes VALUES (1, 1, 1, 1)",
		"ALTER TABLE notes ADD later int DEFAULT 5, DROP gone, ALTER small TYPE text",
		"INSERT INTO notes VALUES (2, 2, 'two', 2)",
		"ALTER TABLE notes ADD brief int", "INSERT INTO notes VALUES (3, 3, 'three', 3, 3)", "ALTER TABLE notes DROP brief",
		"UPDATE notes SET n = 9 WHERE id = 1")
	if err := r.again(r.start); !errors.Is(err, sources.ErrSchemaChanged) {
		r.Fatalf("Prepare with the old columns gives %v", err)
	}
	f := r.replan(r.start, "public.notes")
	f.expect("stale notes", "insert notes (1,1,?,?)", "insert notes (2,2,two,2)", "insert notes (3,3,three,3)", "update notes (1,9,1,5)")
	r.exec("ALTER TABLE notes ADD last int", "INSERT INTO notes VALUES (4, 4, 'four', 4, 4)")
	f.endsWithSchemaChange("new column last")
}

// testAlteredUnseen: an ALTER whose commit is in the log, but not yet in sight,
// is found when it comes into sight.
func testAlteredUnseen(r *rig) {
	r.exec("ALTER DATABASE "+r.name+" SET wal_sender_timeout = '600ms'", "CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	release := r.holdCommits()
	r.execLater("BEGIN; ALTER TABLE public.notes ADD n int; INSERT INTO public.notes VALUES (1, 1); COMMIT")
	f.expect("insert notes (1)")
	release()
	f.endsWithSchemaChange("new column n")
}

// testOtherIdentity: where the log has less of old rows than was planned with, or had for a while, what was
// made of these may be left over.
func testOtherIdentity(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, code text NOT NULL UNIQUE)", "INSERT INTO notes VALUES (1, 'a')")
	for _, c := range []struct{ planned, other, update, want string }{
		{"FULL", "DEFAULT", "code = 'b'", "update notes (1,b)"},
		{"FULL", "USING INDEX notes_code_key", "id = 2", "update notes (2,a)"},
		{"DEFAULT", "USING INDEX notes_code_key", "id = 2", "update notes (2,a)"},
		{"USING INDEX notes_code_key", "DEFAULT", "code = 'b'", "update notes (1,b)"},
	} {
		r.exec("ALTER TABLE notes REPLICA IDENTITY "+c.planned, "UPDATE notes SET id = 1, code = 'a'")
		r.prepare("public.notes")
		r.exec("ALTER TABLE notes REPLICA IDENTITY "+c.other, "UPDATE notes SET "+c.update, "ALTER TABLE notes REPLICA IDENTITY "+c.planned)
		f := r.follow(r.start)
		f.expect("stale notes", c.want)
		r.exec("ALTER TABLE notes REPLICA IDENTITY "+c.other, "UPDATE notes SET id = 5")
		f.endsWithSchemaChange("less of the old rows")
	}
}

// testKeyRenamed: rows that cannot be told apart by the present key are not
// guessed at; the table is stale.
func testKeyRenamed(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)")
	r.prepare("public.notes")
	r.exec("INSERT INTO notes VALUES (1, 1)", "ALTER TABLE notes RENAME id TO number")
	f := r.replan(r.start, "public.notes")
	f.expect("stale notes")
}
