package mysql

import (
	"errors"
	"fmt"
	"testing"

	"haystream/sources"
)

// One daemon of a name at a time: the lock is free when the first one's
// connection ends, in whatever way.
func TestLease(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		tail := r.stream(r.start)
		r.exec("INSERT INTO t VALUES (1, 'a')")
		tail.expect("insert t (1,a)")
		second := *r
		second.source = r.newSource()
		second.project("t")
		if _, err := second.source.Prepare(r.Context(), second.tables, tail.mark().Position); !errors.Is(err, sources.ErrBusy) {
			t.Fatalf("the second daemon got %v", err)
		}
		r.must(r.source.stream.Load().conn.network.Close()) // as a process that dies does
		if err := tail.wait(); sources.Known(err) {
			t.Fatalf("the first daemon got %v", err)
		}
		again := second.restart(tail.mark(), "t")
		r.exec("INSERT INTO t VALUES (2, 'b')")
		again.fences = r.fences
		again.expect("insert t (2,b)")
		r.exec(fmt.Sprintf("KILL %s", r.ask("SELECT IS_USED_LOCK("+literal(lockName(r.name))+")")))
		if err := again.wait(); sources.Known(err) {
			t.Fatalf("a killed stream gave %v", err)
		}
	})
}
