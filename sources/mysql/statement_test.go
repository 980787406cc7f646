package mysql

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// mixes reports whether the server allows transactions that mix engines.
func (r *rig) mixes() bool {
	r.Helper()
	return r.isMaria() || r.ask("SELECT @@enforce_gtid_consistency = 'ON'") == "0"
}

// Engines without transactions end theirs with a COMMIT in the log.
func TestEnginesWithoutTransactions(t *testing.T) {
	eachRig(t, func(r *rig) {
		engines := []string{"MyISAM"}
		if r.isMaria() {
			engines = append(engines, "Aria", "Aria TRANSACTIONAL=1")
		}
		for _, engine := range engines {
			r.exec("DROP TABLE IF EXISTS i, m", "CREATE TABLE i"+people, "CREATE TABLE m"+people+" ENGINE="+engine)
			r.prepare("i", "m")
			tail := r.stream(r.start)
			r.exec("INSERT INTO m VALUES (1, 'a'), (2, 'b')", "UPDATE m SET name = 'c' WHERE id = 2", "DELETE FROM m WHERE id = 1")
			tail.expect("insert m (1,a)", "insert m (2,b)", "update m (2) to (2,c)", "delete m (1)")
			if !r.mixes() {
				tail.stop()
				continue
			}
			r.exec("BEGIN", "INSERT INTO m VALUES (3, 'kept')", "INSERT INTO i VALUES (1, 'undone')", "UPDATE m SET name = 'kept too' WHERE id = 2", "ROLLBACK")
			tail.expect("insert m (3,kept)", "update m (2) to (2,kept too)")
			r.exec("DELETE FROM i", "BEGIN", "INSERT INTO i VALUES (1, 'kept')", "SAVEPOINT s", "INSERT INTO i VALUES (2, 'undone')", "INSERT INTO m VALUES (6, 'kept')", "ROLLBACK TO s", "COMMIT")
			tail.expect("insert m (6,kept)", "insert i (1,kept)", "insert i (2,undone)", "stale i")
			r.exec("DELETE FROM i")
			tail.expect("delete i (1)")
			r.exec("BEGIN", "INSERT INTO i VALUES (1, 'i')", "INSERT INTO m VALUES (4, 'm')", "UPDATE i, m SET i.name = 'both', m.name = 'both' WHERE i.id = 1 AND m.id = 4", "COMMIT")
			tail.catchUp()
			want := []string{"insert m (4,m)", "update m (4) to (4,both)", "insert i (1,i)", "update i (1) to (1,both)"}
			if len(tail.changes) == 4 && tail.changes[0] == want[2] { // a server may keep the order of the statements
				want = []string{want[2], want[0], want[1], want[3]}
			}
			r.same(tail.changes, want)
			tail.changes = nil
			// A statement that fails half way leaves what an engine cannot take back.
			if err := r.admin.exec(r.Context(), "INSERT INTO m VALUES (5, 'left'), (5, 'twice')"); err == nil {
				r.Fatal("a key was taken twice")
			}
			tail.expect("insert m (5,left)")
			tail.stop()
		}
	})
}

// What a session writes as statements makes stale what it may concern, and only
// that. Each such statement takes as many Versions as tables are in use.
func TestStatementFormat(t *testing.T) {
	const all = "stale used, stale a, stale child, stale grandchild"
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE used"+people, "CREATE TABLE a"+people, "CREATE TABLE other"+people, "CREATE TABLE third"+people, "INSERT INTO used VALUES (1, 'a'), (2, 'b')",
			"CREATE TABLE p"+people, "CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE, used INT, FOREIGN KEY (used) REFERENCES used (id))",
			"CREATE TABLE mid (id INT PRIMARY KEY, child INT, FOREIGN KEY (child) REFERENCES child (id) ON DELETE CASCADE)",
			"CREATE TABLE grandchild (id INT PRIMARY KEY, mid INT, FOREIGN KEY (mid) REFERENCES mid (id) ON DELETE SET NULL)",
			"CREATE VIEW seen AS SELECT * FROM other", "CREATE VIEW through AS SELECT * FROM used", "CREATE VIEW far AS SELECT * FROM through",
			"CREATE FUNCTION f() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN DELETE FROM used; RETURN 1; END",
			"CREATE FUNCTION g() RETURNS INT DETERMINISTIC RETURN 1",
			"CREATE TRIGGER carry AFTER INSERT ON third FOR EACH ROW INSERT INTO used VALUES (NEW.id, 'carried')",
			"CREATE TRIGGER calls AFTER DELETE ON third FOR EACH ROW CALL q()",
			"CREATE PROCEDURE q() DELETE FROM used")
		file := r.loadable()
		names := []string{"used", "a", "child", "grandchild"}
		for _, c := range []struct {
			statement string
			stale     string
		}{
			{"INSERT INTO other VALUES (1, 'used')", ""},
			{"UPDATE used SET name = 'b' WHERE id = 1", "stale used"},
			{"DELETE FROM seen", ""},
			{"DELETE FROM far WHERE id = 1", "stale used"},
			{"REPLACE INTO `used` VALUES (1, 'a')", "stale used"},
			{"INSERT INTO other SELECT id + 10, name FROM other", ""},
			{"REPLACE INTO other SELECT id, COUNT(*) FROM used GROUP BY id", ""}, // as pt-table-checksum does
			{"UPDATE other SET name = 'used' WHERE id IN (SELECT id FROM used)", ""},
			{"UPDATE other AS o JOIN " + r.name + ".used ON o.id = used.id SET o.name = 'x'", "stale used"},
			{"UPDATE used, a SET used.name = 'x', a.name = 'y'", "stale used, stale a"},
			{"DELETE o FROM other AS o WHERE EXISTS (SELECT 1 FROM used WHERE used.id = o.id)", ""},
			{"WITH w AS (SELECT 1 AS id) DELETE FROM other WHERE id IN (SELECT id FROM w)", ""},
			{"INSERT INTO other VALUES (g() + 50, 'x')", ""},
			{"INSERT INTO other VALUES (f() + 60, 'x')", "stale used"},
			{"INSERT INTO third VALUES (70, 'x')", "stale used"},
			{"DELETE FROM third", "stale used"},
			{"DELETE FROM p", "stale child, stale grandchild"},
			{"DELETE FROM child", "stale child, stale grandchild"},
			{"DELETE FROM mid", "stale grandchild"},
			{"LOAD DATA INFILE '" + file + "' REPLACE INTO TABLE other (id)", ""},
			{"LOAD DATA INFILE '" + file + "' REPLACE INTO TABLE used (id)", "stale used"},
			{"SELECT f()", all},
			{"CALL q()", "stale used"}, // what it has done is in the log
		} {
			if file == "" && strings.HasPrefix(c.statement, "LOAD") {
				continue
			}
			t.Log(c.statement)
			r.prepare(names...)
			tail := r.stream(r.start)
			writer := r.session()
			r.on(writer, "SET SESSION binlog_format = STATEMENT", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
			if err := writer.exec(r.Context(), c.statement); r.isMaria() && serverCode(err) == codeSyntax {
				tail.stop()
				continue // MariaDB has no WITH … DELETE
			} else if err != nil {
				t.Fatalf("%s: %v", c.statement, err)
			}
			tail.catchUp()
			if got := strings.Join(tail.changes, ", "); got != c.stale {
				t.Errorf("%s: %q, want %q", c.statement, got, c.stale)
			}
			tail.stop()
		}
	})
}

// A replay numbers what comes after statements the same, though they wrote to other
// tables as far as triggers and foreign keys tell by then. What was rolled back is
// stale at most.
func TestNumbersAcrossStatementFormat(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "CREATE TABLE c"+people, "CREATE TABLE other"+people, "CREATE TABLE m"+people+" ENGINE=MyISAM",
			"CREATE TRIGGER carry AFTER INSERT ON other FOR EACH ROW INSERT INTO t VALUES (NEW.id, 'carried')")
		r.prepare("t", "c")
		writer := r.session()
		r.on(writer, "SET SESSION binlog_format = MIXED", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
			"BEGIN", "INSERT INTO other VALUES (1, 'a'), (2, 'b')", "INSERT INTO other VALUES (3, 'c')", "INSERT INTO c VALUES (1, LEFT(UUID(), 0))", "COMMIT")
		want := []string{"stale t", "stale t", "insert c (1,)"}
		if r.mixes() {
			r.on(writer, "BEGIN", "INSERT INTO t VALUES (5, LEFT(UUID(), 0))", "CREATE TEMPORARY TABLE brief (id INT)", "ROLLBACK",
				"SET SESSION binlog_format = STATEMENT", "BEGIN", "DELETE FROM t", "INSERT INTO m VALUES (1, 'kept')", "ROLLBACK")
			want = append(want, "insert t (5,)", "stale t", "stale t")
		}
		tail := r.stream(r.start)
		tail.catchUp()
		r.same(tail.changes, want)
		live := tail.versions
		tail.stop()
		r.exec("DROP TRIGGER carry")
		tail = r.restart(r.start, "t", "c")
		tail.catchUp()
		r.same(tail.changes, want[2:])
		if !slices.Equal(tail.versions, live[2:]) {
			r.Errorf("the versions are %v, and were %v", tail.versions, live)
		}
	})
}

const codeSyntax = 1064

// loadable is a file that LOAD DATA may read; none where the server reads no files.
func (r *rig) loadable() string {
	r.Helper()
	folder := r.ask("SELECT COALESCE(NULLIF(@@secure_file_priv, ''), @@datadir)")
	if folder == "NULL" {
		return ""
	}
	file := folder + "/" + r.name + ".txt"
	_ = os.Remove(file)
	r.exec("SELECT 1 INTO OUTFILE '" + file + "'")
	r.Cleanup(func() { _ = os.Remove(file) })
	return file
}
