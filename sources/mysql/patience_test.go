package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// A reader that is blocked for longer than the server's own patience is not cut
// off: the session asks for more of it.
func TestBlockedReader(t *testing.T) {
	eachRig(t, func(r *rig) {
		was := r.ask("SELECT @@GLOBAL.net_write_timeout")
		r.exec("SET GLOBAL net_write_timeout = 1", "CREATE TABLE t (id INT PRIMARY KEY, body LONGBLOB) ENGINE=InnoDB")
		r.Cleanup(func() { r.must(r.admin.exec(context.Background(), "SET GLOBAL net_write_timeout = "+was)) })
		r.prepare("t")
		tail := r.stream(r.start)
		const rows = 12 // of a megabyte each, more than the sockets between hold
		for i := range rows {
			r.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT(RANDOM_BYTES(1024), 1024))", i))
		}
		for until := r.uptime() + 4; r.uptime() < until; {
			r.must(r.Context().Err())
		}
		tail.catchUp()
		if len(tail.changes) != rows {
			t.Errorf("%d rows came, want %d", len(tail.changes), rows)
		}
	})
}

// uptime is the server's, in seconds.
func (r *rig) uptime() int {
	r.Helper()
	row, err := r.admin.one(r.Context(), "SHOW GLOBAL STATUS LIKE 'Uptime'")
	r.must(err)
	seconds, err := strconv.Atoi(row[1])
	r.must(err)
	return seconds
}

// Transactions whose numbers have a tag (MySQL 8.3 and later) are gone on after.
func TestTaggedTransactions(t *testing.T) {
	eachRig(t, func(r *rig) {
		if r.isMaria() || older(r.admin.version, 8, 3) {
			return
		}
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		first := r.stream(r.start)
		r.exec("SET SESSION gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, 'b')",
			"SET SESSION gtid_next = 'AUTOMATIC'", "INSERT INTO t VALUES (3, 'c')")
		first.expect("insert t (1,a)", "insert t (2,b)", "insert t (3,c)")
		first.stop()
		mark := first.mark()
		if !strings.Contains(string(mark.Position), ":blue:") {
			t.Errorf("the position %q has no tag", mark.Position)
		}
		r.exec("SET SESSION gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (4, 'd')", "SET SESSION gtid_next = 'AUTOMATIC'")
		r.restart(mark, "t").expect("insert t (4,d)")
	})
}

// A header has 32 bits of an offset; files may be longer.
func TestOffsetsBeyond32Bits(t *testing.T) {
	const four = 1 << 32
	for _, c := range []struct {
		at   uint64
		end  uint32
		size uint32
		want uint64
	}{
		{100, 300, 200, 300},
		{100, 0, 200, 300}, // not known: counted
		{four - 100, 100, 200, four + 100},
		{four + 100, 300, 200, four + 300},
		{3*four - 10, 5, 15, 3*four + 5},
		{2*four + 7, 0, 93, 2*four + 100},
	} {
		if got := extend(c.at, header{end: c.end, size: c.size}); got != c.want {
			t.Errorf("from %d to %d: %d, want %d", c.at, c.end, got, c.want)
		}
	}
}
