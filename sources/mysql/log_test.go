package mysql

import (
	"fmt"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// untilReached reads until the stream has emitted all that the chunk saw.
func (t *tail) untilReached(chunk *sources.Chunk) {
	t.Helper()
	for !t.source.Reached(t.mark().Position, chunk.Mark) {
		t.next()
	}
}

// The log goes on in the next file, with writes and without, and with a chunk that waits.
func TestRotation(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "INSERT INTO t VALUES (0, 'old')")
		r.prepare("t")
		tail := r.stream(r.start)
		r.exec("FLUSH BINARY LOGS", "INSERT INTO t VALUES (1, 'a')", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
		tail.expect("insert t (1,a)")
		r.exec("INSERT INTO t VALUES (2, 'b')", "FLUSH BINARY LOGS")
		chunk, err := r.chunk("t")
		r.must(err)
		if len(chunk.Rows) != 3 {
			t.Errorf("the chunk has %d rows, want 3", len(chunk.Rows))
		}
		tail.untilReached(chunk)
		tail.expect("insert t (2,b)")
		r.exec("FLUSH BINARY LOGS")
		chunk, err = r.chunk("t")
		r.must(err)
		tail.untilReached(chunk) // idle
		tail.stop()
		r.restart(tail.mark(), "t").expect()
	})
}

// Where what follows a position is not in the log any more, or the position
// never was, it is lost.
func TestLostPositions(t *testing.T) {
	lose := func(r *rig, _ *servers.Server) {
		r.loses("FLUSH BINARY LOGS", "INSERT INTO t VALUES (9, 'z')", "FLUSH BINARY LOGS", "PURGE BINARY LOGS TO 'binlog.%06d'")
		reset := "RESET MASTER"
		if !r.isMaria() && !older(r.admin.version, 8, 4) {
			reset = "RESET BINARY LOGS AND GTIDS"
		}
		r.loses(reset, "INSERT INTO t VALUES (10, 'z')")
		grown := []string{reset}
		for i := range 20 {
			grown = append(grown, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('z', 100))", 10+i))
		}
		r.refuses(r.leaves(grown...), sources.ErrPositionLost, "the log was begun anew")
	}
	eachOwn(t, "", lose)
	eachOwn(t, servers.MySQL, lose, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
}

// loses wants the position to be lost to which it was read before the statements, and the first one, too.
func (r *rig) loses(statements ...string) {
	r.Helper()
	r.refuses(r.leaves(statements...), sources.ErrPositionLost, "")
	r.refuses(r.start, sources.ErrPositionLost, "")
}

// leaves reads to a position, which it returns, and runs the statements.
func (r *rig) leaves(statements ...string) sources.Checkpoint {
	r.Helper()
	r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t"+people)
	r.prepare("t")
	tail := r.stream(r.start)
	r.exec("INSERT INTO t VALUES (1, 'a')")
	tail.expect("insert t (1,a)")
	tail.stop()
	r.exec("INSERT INTO t VALUES (2, 'unread')")
	for begun := r.ask("SELECT UNIX_TIMESTAMP()"); r.ask("SELECT UNIX_TIMESTAMP()") == begun; { // a file's age is told in seconds
		r.must(r.Context().Err())
	}
	// A file that is read is not purged.
	for r.ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'") != "0" {
		r.must(r.Context().Err())
	}
	for _, s := range statements {
		if strings.Contains(s, "%") {
			at, err := parsePosition(tail.mark().Position)
			r.must(err)
			s = fmt.Sprintf(s, fileNumber(at.file)+2)
		}
		r.exec(s)
		if strings.HasPrefix(s, "PURGE") { // the server keeps for a moment what its own recovery may need
			for !strings.Contains(s, r.ask("SHOW BINARY LOGS")) {
				r.exec(s)
			}
		}
	}
	return tail.mark()
}

// A stream goes on from the last commit when the server is back, however it ended.
func TestServerRestarts(t *testing.T) {
	eachOwn(t, "", func(r *rig, server *servers.Server) {
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		tail := r.stream(r.start)
		for i, stop := range []func() error{
			func() error { return server.Restart(r.Context()) },
			func() error { r.must(server.Kill()); return server.Restart(r.Context()) },
		} {
			r.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 'before')", i))
			tail.expect(fmt.Sprintf("insert t (%d,before)", i))
			mark := tail.mark()
			r.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 'at the end')", 10+i))
			r.must(stop())
			if err := tail.wait(); sources.Known(err) {
				r.Fatalf("the stream returned %v", err)
			}
			r.admin = r.session()
			tail = r.restart(mark, "t")
			tail.expect(fmt.Sprintf("insert t (%d,at the end)", 10+i))
		}
	})
}
