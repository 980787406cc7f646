package mysql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"haystream/sources"
)

// A transaction may be in the log, and so be streamed, before it can be seen.
// A chunk waits until it can. What was emitted is set by hand to what the
// server is going to write next.
func TestChunkWaitsForWhatWasEmitted(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "INSERT INTO t VALUES (1, 'a')")
		r.prepare("t")
		ahead, next := r.source.emitted, ""
		if r.isMaria() {
			ahead.offset++ // it has begun there
		} else {
			next = r.ask("SELECT @@server_uuid") + ":1000000"
			ahead.gtids += "," + next
		}
		r.source.emit(ahead)
		ctx, cancel := context.WithTimeout(r.Context(), 200*time.Millisecond)
		defer cancel()
		req := sources.ChunkRequest{Table: r.tables[0], MaxRows: 10, MaxBytes: 1 << 20}
		if _, err := r.source.Chunk(ctx, req); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a chunk that cannot have seen what was emitted gave %v", err)
		}
		type answer struct {
			chunk *sources.Chunk
			err   error
		}
		read := make(chan answer, 1)
		go func() {
			chunk, err := r.source.Chunk(r.Context(), req)
			read <- answer{chunk, err}
		}()
		if next != "" {
			r.exec("SET gtid_next = '" + next + "'")
			defer r.exec("SET gtid_next = 'AUTOMATIC'")
		}
		r.exec("INSERT INTO t VALUES (2, 'b')")
		got := <-read
		r.must(got.err)
		if len(got.chunk.Rows) != 2 {
			t.Errorf("the chunk has %d rows, want 2", len(got.chunk.Rows))
		}
	})
}

// Without a stream, as for a preview, a chunk waits for nothing.
func TestChunkWithoutStream(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "INSERT INTO t VALUES (1, 'a')")
		r.project("t")
		chunk, err := r.chunk("t")
		r.must(err)
		if len(chunk.Rows) != 1 {
			t.Errorf("the chunk has %d rows, want 1", len(chunk.Rows))
		}
	})
}

// Of a transaction that is handed over in parts, a chunk must see all.
func TestPartOfTransactionIsEmitted(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(1000))", "INSERT INTO t VALUES (0, REPEAT('x', 1000))")
		r.prepare("t")
		before := r.source.emitted
		tail := r.stream(r.start)
		r.exec("BEGIN")
		for i := range 12 {
			r.on(r.admin, "INSERT INTO t SELECT id + "+[]string{"1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024", "2048"}[i]+", body FROM t")
		}
		r.exec("COMMIT")
		tail.next() // a part: the stream waits to hand over the next one, which it has noted
		if tail.mark() != r.start && len(tail.changes) == 0 {
			tail.next()
		}
		r.source.mu.Lock()
		emitted := r.source.emitted
		r.source.mu.Unlock()
		if r.isMaria() && !before.before(emitted) || emitted.gtids == before.gtids {
			t.Errorf("with a part handed over, %s was emitted", emitted)
		}
		if tail.mark().Version != r.start.Version {
			t.Error("the checkpoint has moved within a transaction")
		}
		tail.catchUp()
	})
}

// What keeps one table from being read says nothing of others, and is told apart
// from what does.
func TestUnreadableTables(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "CREATE TABLE u"+people, "INSERT INTO t VALUES (7, 'a')", "INSERT INTO u VALUES (1, 'a')")
		r.user("one", "IDENTIFIED BY 'x'")
		r.exec("GRANT SELECT ON "+r.name+".t TO one", "GRANT SELECT ON "+r.name+".u TO one", "GRANT SELECT ON "+r.name+".fence TO one", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO one")
		if r.isMaria() {
			r.exec("GRANT BINLOG MONITOR ON *.* TO one")
		}
		r.source = r.box.source(r.with("one:x", r.name, ""))
		r.project("t", "u")
		unreadable := func(text string) {
			t.Helper()
			if _, err := r.chunk("t"); !errors.Is(err, sources.ErrUnreadable) || sources.Known(err) || !strings.Contains(err.Error(), text) {
				t.Errorf("chunk gave %v, want one that cannot be read with %q", err, text)
			}
			_, err := r.chunk("u")
			r.must(err)
		}
		r.exec("REVOKE SELECT ON " + r.name + ".t FROM one")
		unreadable("GRANT SELECT on it to the user")
		r.exec("GRANT SELECT (id) ON " + r.name + ".t TO one")
		unreadable("GRANT SELECT on it to the user")
		r.exec("GRANT SELECT ON " + r.name + ".t TO one")
		_, err := r.chunk("t")
		r.must(err)
		r.exec("ALTER TABLE t DISCARD TABLESPACE")
		unreadable("ablespace")
	})
}
