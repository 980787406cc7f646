package mysql

import (
	"fmt"
	"slices"
	"testing"

	"haystream/sources"
)

const people = " (id INT PRIMARY KEY, name VARCHAR(100))"

func (r *rig) on(c *conn, statements ...string) {
	r.Helper()
	for _, statement := range statements {
		if err := c.exec(r.Context(), statement); err != nil {
			r.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestXA(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "INSERT INTO t VALUES (0, 'old')")
		r.prepare("t")
		first := r.stream(r.start)
		one, two := r.session(), r.session()
		r.on(one, "XA START 'one'", "INSERT INTO t VALUES (1, 'one')", "UPDATE t SET name = 'ONE' WHERE id = 1", "XA END 'one'", "XA PREPARE 'one'")
		r.on(two, "XA START 'two', 'branch', 7", "INSERT INTO t VALUES (2, 'two')", "XA END 'two', 'branch', 7", "XA PREPARE 'two', 'branch', 7")
		r.exec("INSERT INTO t VALUES (3, 'between')")
		r.exec("XA START 'p'", "INSERT INTO t VALUES (4, 'one phase')", "XA END 'p'", "XA COMMIT 'p' ONE PHASE")
		r.exec("XA START 'q'", "INSERT INTO t VALUES (5, 'never prepared')", "XA END 'q'", "XA ROLLBACK 'q'")
		r.on(two, "XA ROLLBACK 'two', 'branch', 7")
		r.exec("INSERT INTO t VALUES (6, 'after the roll back')")
		r.on(one, "XA COMMIT 'one'")
		r.exec("INSERT INTO t VALUES (7, 'after the commit')", "XA START 'empty'", "XA END 'empty'", "XA PREPARE 'empty'", "XA COMMIT 'empty'")
		first.catchUp()
		first.stop()
		want := []string{"insert t (3,between)", "insert t (4,one phase)", "insert t (6,after the roll back)", "insert t (1,one)", "update t (1) to (1,ONE)", "insert t (7,after the commit)"}
		r.same(first.changes, want)
		// From whatever checkpoint it goes on, it says the same with the same numbers.
		for _, mark := range slices.CompactFunc(first.marks, func(a, b sources.Checkpoint) bool { return a == b }) {
			again := r.restart(mark, "t")
			again.catchUp()
			again.stop()
			r.same(again.numbered(r.start), first.numbered(mark))
		}
	})
}

// numbered are the changes after the checkpoint, with their versions.
func (t *tail) numbered(after sources.Checkpoint) (list []string) {
	for i, c := range t.changes {
		if t.versions[i] > after.Version {
			list = append(list, fmt.Sprintf("%d %s", t.versions[i], c))
		}
	}
	return list
}

// A stream that is stopped while a transaction is prepared reads it again.
func TestXAPreparedAcrossRestart(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		first := r.stream(r.start)
		one := r.session()
		r.exec("INSERT INTO t VALUES (1, 'before')")
		first.expect("insert t (1,before)")
		r.on(one, "XA START 'one'", "INSERT INTO t VALUES (2, 'prepared')", "XA END 'one'", "XA PREPARE 'one'")
		r.exec("INSERT INTO t VALUES (3, 'between')")
		first.expect("insert t (3,between)")
		first.stop()
		r.on(one, "XA COMMIT 'one'")
		second := r.restart(first.mark(), "t")
		second.expect("insert t (3,between)", "insert t (2,prepared)")
		second.stop()
		// Decided, it no longer holds the checkpoint back.
		third := r.restart(second.mark(), "t")
		third.expect()
	})
}

// What was prepared before the first start is in no place that a stream reads.
func TestXAPreparedBeforeStart(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t" + people)
		one, two := r.session(), r.session()
		r.on(one, "XA START 'one'", "INSERT INTO t VALUES (1, 'x')", "XA END 'one'", "XA PREPARE 'one'")
		r.on(two, "XA START 'two'", "INSERT INTO t VALUES (2, 'x')", "XA END 'two'", "XA PREPARE 'two'")
		r.prepare("t")
		first := r.stream(r.start)
		r.on(two, "XA ROLLBACK 'two'")
		r.exec("INSERT INTO t VALUES (3, 'c')")
		first.expect("insert t (3,c)")
		r.on(one, "XA COMMIT 'one'")
		first.fails(sources.ErrPositionLost, "prepared before the stream began")
	})
}
