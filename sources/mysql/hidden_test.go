package mysql

import (
	"strings"
	"testing"

	"haystream/sources"
)

// Row images of MariaDB have columns that the catalog does not have. They are
// read past, with names in the log and without.
func TestHiddenColumns(t *testing.T) {
	eachRig(t, func(r *rig) {
		shapes := []string{
			"(id INT PRIMARY KEY, name VARCHAR(50) INVISIBLE, z INT)",
			"(id INT PRIMARY KEY, name VARCHAR(50), z INT, g INT AS (z + 1) VIRTUAL INVISIBLE)",
		}
		modes := []string{"FULL", "MINIMAL"}
		if r.isMaria() {
			modes = []string{"FULL", "NO_LOG"}
			shapes = append(shapes,
				"(id INT PRIMARY KEY, name TEXT, z INT, UNIQUE (name))",
				"(id INT PRIMARY KEY, name TEXT, z INT, UNIQUE (name), UNIQUE (name, z), UNIQUE (z))",
				"(id INT PRIMARY KEY, name VARCHAR(50), z INT, UNIQUE (z) USING HASH)",
				"(id INT PRIMARY KEY, name VARCHAR(50), z INT, UNIQUE (z) USING HASH) ENGINE=MEMORY",
				"(id INT PRIMARY KEY, name TEXT, z INT) WITH SYSTEM VERSIONING",
				"(id INT PRIMARY KEY, name TEXT, z INT, UNIQUE (name)) WITH SYSTEM VERSIONING",
				"(id INT PRIMARY KEY, a TIMESTAMP(6) AS ROW START, b TIMESTAMP(6) AS ROW END, name TEXT, z INT, PERIOD FOR SYSTEM_TIME (a, b), UNIQUE (name)) WITH SYSTEM VERSIONING",
			)
		} else {
			shapes = append(shapes, "(id INT PRIMARY KEY, name VARCHAR(50), z INT, INDEX ((z + 1)), UNIQUE INDEX ((z * 2), (z - 1)))", "(name VARCHAR(50), z INT, id INT NOT NULL UNIQUE)")
		}
		for _, mode := range modes {
			r.set("binlog_row_metadata", mode)
			for _, shape := range shapes {
				if mode == "FULL" && !strings.Contains(shape, "UNIQUE (name)") {
					continue // with names in the log the others are like them
				}
				t.Log(mode, shape)
				r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t "+shape)
				r.projectColumns("t", "id", "name", "z")
				r.prepared()
				tail := r.stream(r.start)
				r.exec("INSERT INTO t (id, name, z) VALUES (1, 'a', 11), (2, 'b', 22)", "UPDATE t SET z = 12 WHERE id = 1", "UPDATE t SET id = 3 WHERE id = 1", "REPLACE INTO t (id, name, z) VALUES (3, 'c', 33)", "DELETE FROM t WHERE id = 2")
				tail.catchUp()
				r.same(r.rowsOf(tail.changes), []string{"(3,c,33)"})
				tail.changes = nil
				if r.isMaria() && r.ask("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SYSTEM VERSIONED'") == "1" {
					r.exec("DELETE HISTORY FROM t")
				}
				tail.expect()
				chunk, err := r.chunk("t")
				r.must(err)
				if len(chunk.Rows) != 1 || image(chunk.Rows[0]) != "(3,c,33)" {
					r.Errorf("the chunk has %d rows, the first is %s", len(chunk.Rows), image(chunk.Rows[0]))
				}
				tail.stop()
			}
		}
	})
}

// Hidden columns come and go while the log is read, without names in it.
func TestHiddenColumnsComeAndGo(t *testing.T) {
	eachRig(t, func(r *rig) {
		if !r.isMaria() {
			return
		}
		r.omitNames()
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, name TEXT)")
		r.prepare("t")
		tail := r.stream(r.start)
		r.exec("INSERT INTO t VALUES (1, 'a')", "ALTER TABLE t ADD UNIQUE (name)", "INSERT INTO t VALUES (2, 'b')", "ALTER TABLE t DROP INDEX name", "INSERT INTO t VALUES (3, 'c')")
		want := []string{"insert t (1,a)", "insert t (2,b)", "insert t (3,c)"}
		tail.expect(want...)
		tail.stop()
		tail = r.restart(r.start, "t") // the catalog is newer than all of it
		tail.expect(want...)
		r.exec("ALTER TABLE t ADD SYSTEM VERSIONING")
		tail.fails(sources.ErrSchemaChanged, "rows of the past")
		r.same(tail.changes, []string{"stale t"})
		tail = r.restart(tail.mark(), "t")
		r.exec("UPDATE t SET name = 'd' WHERE id = 1", "DELETE FROM t WHERE id = 2")
		tail.expect("update t (1) to (1,d)", "delete t (2)")
		r.exec("ALTER TABLE t DROP SYSTEM VERSIONING")
		tail.fails(sources.ErrSchemaChanged, "rows of the past")
	})
}
