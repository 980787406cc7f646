package sourcetest

import (
	"fmt"
	"strings"

	"haystream/sources"
)

const people = "id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(100), age INTEGER"

func testRows(f *fixture) {
	f.create("people", people)
	f.exec("INSERT INTO people VALUES (1, 'before the start', 1)")
	f.prepare("people")
	t := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (2, 'Ann', 30), (3, '', -1)",
		"INSERT INTO people VALUES (4, NULL, NULL)",
		"UPDATE people SET name = 'Zoë 漢字 🐘', age = NULL WHERE id = 4",
		"UPDATE people SET age = 2147483647",
		"DELETE FROM people WHERE id > 2")
	t.expect("insert people (2,Ann,30)", "insert people (3,,-1)",
		"insert people (4,NULL,NULL)",
		"update people (4) to (4,Zoë 漢字 🐘,NULL)",
		"update people (1) to (1,before the start,2147483647)", "update people (2) to (2,Ann,2147483647)",
		"update people (3) to (3,,2147483647)", "update people (4) to (4,Zoë 漢字 🐘,2147483647)",
		"delete people (3)", "delete people (4)")
}

func testKeyChange(f *fixture) {
	f.create("people", people)
	f.exec("INSERT INTO people VALUES (1, 'one', 1), (2, 'two', 2)")
	f.prepare("people")
	t := f.stream(f.start)
	f.exec("UPDATE people SET id = 10 WHERE id = 1",
		"BEGIN", "UPDATE people SET id = 1 WHERE id = 2", "UPDATE people SET id = 2, name = 'ten' WHERE id = 10", "COMMIT")
	t.expect("update people (1) to (10,one,1)", "update people (2) to (1,two,2)", "update people (10) to (2,ten,1)")
}

func testCompositeKey(f *fixture) {
	f.create("people", "name VARCHAR(100) NOT NULL, body VARCHAR(10), id INTEGER NOT NULL, PRIMARY KEY (id, name)")
	f.prepare("people")
	t := f.stream(f.start)
	f.exec("INSERT INTO people VALUES ('a', 'x', 1), ('b', 'x', 1)",
		"UPDATE people SET body = 'y' WHERE name = 'a'",
		"UPDATE people SET name = 'c' WHERE name = 'b'",
		"DELETE FROM people WHERE name = 'a'")
	t.expect("insert people (a,x,1)", "insert people (b,x,1)", "update people (1,a) to (a,y,1)",
		"update people (1,b) to (c,x,1)", "delete people (1,a)")
}

func testTruncate(f *fixture) {
	f.create("people", people)
	f.create("places", people)
	f.exec("INSERT INTO people VALUES (1, 'a', 1)", "INSERT INTO places VALUES (1, 'a', 1)")
	f.prepare("people", "places")
	t := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (2, 'b', 2)", "TRUNCATE TABLE people", "INSERT INTO people VALUES (1, 'again', 1)")
	t.expect("insert people (2,b,2)", "stale people", "insert people (1,again,1)")
}

func testRollback(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	t := f.stream(f.start)
	f.exec("BEGIN", "INSERT INTO people VALUES (1, 'never', 1)", "ROLLBACK",
		"BEGIN", "INSERT INTO people VALUES (1, 'kept', 1)", "COMMIT",
		"BEGIN", "DELETE FROM people", "ROLLBACK")
	t.expect("insert people (1,kept,1)")
}

func testSavepoint(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	t := f.stream(f.start)
	f.exec("BEGIN",
		"INSERT INTO people VALUES (1, 'kept', 1)",
		"SAVEPOINT a", "INSERT INTO people VALUES (2, 'undone', 1)",
		"SAVEPOINT b", "UPDATE people SET age = 9", "ROLLBACK TO SAVEPOINT a",
		"SAVEPOINT c", "INSERT INTO people VALUES (3, 'kept', 1)", "RELEASE SAVEPOINT c",
		"UPDATE people SET age = 2 WHERE id = 1",
		"COMMIT")
	t.expect("insert people (1,kept,1)", "insert people (3,kept,1)", "update people (1) to (1,kept,2)")
}

// testInterleaved: transactions come whole and in the order of their commits,
// however their changes were mixed in time.
func testInterleaved(f *fixture) {
	f.create("people", people)
	f.prepare("people")
	t := f.stream(f.start)
	other := f.open()
	f.exec("BEGIN", "INSERT INTO people VALUES (1, 'first to begin', 1)")
	f.must(other.Exec(f.Context(), "BEGIN", "INSERT INTO people VALUES (2, 'first to commit', 1)"))
	f.exec("INSERT INTO people VALUES (3, 'first to begin', 1)")
	f.must(other.Exec(f.Context(), "INSERT INTO people VALUES (4, 'first to commit', 1)", "COMMIT"))
	f.exec("INSERT INTO people VALUES (5, 'first to begin', 1)", "COMMIT")
	changes := t.expect("insert people (2,first to commit,1)", "insert people (4,first to commit,1)",
		"insert people (1,first to begin,1)", "insert people (3,first to begin,1)", "insert people (5,first to begin,1)")
	if changes[0].tx != changes[1].tx || changes[2].tx != changes[4].tx || changes[0].tx == changes[2].tx {
		f.Errorf("changes of two transactions have the ids %d %d and %d %d %d", changes[0].tx, changes[1].tx, changes[2].tx, changes[3].tx, changes[4].tx)
	}
}

// testTables: changes of several tables keep their order, and a table that is
// not in use stays out.
func testTables(f *fixture) {
	f.create("people", people)
	f.create("places", people)
	f.create("unused", people)
	f.prepare("people", "places")
	t := f.stream(f.start)
	f.exec("BEGIN", "INSERT INTO people VALUES (1, 'p', 1)", "INSERT INTO places VALUES (1, 'q', 1)", "INSERT INTO unused VALUES (1, 'r', 1)",
		"UPDATE people SET age = 2", "DELETE FROM places", "COMMIT", "INSERT INTO unused VALUES (2, 'r', 1)")
	t.expect("insert people (1,p,1)", "insert places (1,q,1)", "update people (1) to (1,p,2)", "delete places (1)")
}

// testProjection: rows carry the wanted columns and the key, and no others.
func testProjection(f *fixture) {
	f.create("people", "secret VARCHAR(10), name VARCHAR(10), other INTEGER, id INTEGER NOT NULL PRIMARY KEY, age INTEGER")
	f.exec("INSERT INTO people VALUES ('s', 'Ann', 1, 1, 30)")
	f.project(func(c *sources.Column) bool { return c.Name == "name" || c.Name == "age" }, "people")
	f.prepareProjected()
	t := f.stream(f.start)
	f.exec("UPDATE people SET age = 31", "UPDATE people SET id = 2", "DELETE FROM people")
	t.expect("update people (1) to (Ann,1,31)", "update people (1) to (Ann,2,31)", "delete people (2)")
	f.exec("INSERT INTO people VALUES ('s', 'Bob', 1, 3, NULL)")
	chunk, err := f.source.Chunk(f.Context(), sources.ChunkRequest{Table: f.table("people"), MaxRows: 10, MaxBytes: 1 << 20})
	f.must(err)
	if len(chunk.Rows) != 1 || image(chunk.Rows[0]) != "(Bob,3,NULL)" {
		f.Errorf("a chunk has %d rows, want (Bob,3,NULL)", len(chunk.Rows))
	}
	t.expect("insert people (Bob,3,NULL)")
}

// testLarge: a transaction of any size comes in batches of bounded size, and
// the checkpoint waits for its end.
func testLarge(f *fixture) {
	const (
		doublings = 15 // 32,768 rows
		limit     = 8 << 20
	)
	f.create("people", "id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(1000)")
	f.prepare("people")
	t := f.stream(f.start)
	f.exec("INSERT INTO people VALUES (0, 'before')")
	t.expect("insert people (0,before)")
	f.exec("DELETE FROM people")
	t.expect("delete people (0)")
	before := t.mark()
	f.exec("BEGIN", "INSERT INTO people VALUES (0, '"+strings.Repeat("x", 1000)+"')")
	for i := range doublings {
		f.exec(fmt.Sprintf("INSERT INTO people SELECT id + %d, body FROM people", 1<<i))
	}
	f.exec("COMMIT")
	batches := t.batches
	for len(t.changes) < 1<<doublings {
		t.next()
		if len(t.changes) < 1<<doublings && t.mark().Version > before.Version {
			f.Fatalf("the checkpoint moved to %d within a transaction after %d", t.mark().Version, before.Version)
		}
	}
	if t.batches-batches < 2 || t.largest > limit {
		f.Errorf("%d batches, the largest of %d bytes, want some of %d at most", t.batches-batches, t.largest, limit)
	}
	for i, c := range t.changes {
		if c.key != fmt.Sprintf("(%d)", i) || c.tx != t.changes[0].tx {
			f.Fatalf("change %d is of the key %s and the transaction %d", i, c.key, c.tx)
		}
	}
	t.catchUp()
	// The end of the fence's transaction may come in the batch after its change.
	for t.mark().Version <= t.changes[len(t.changes)-1].version {
		t.next()
	}
}
