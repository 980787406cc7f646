package mysql

import (
	"testing"

	"haystream/sources"
)

// Engines without transactions end theirs with a COMMIT in the log.
func TestEnginesWithoutTransactions(t *testing.T) {
	eachRig(t, func(r *rig) {
		engines, consistency := []string{"MyISAM"}, "SELECT @@enforce_gtid_consistency = 'ON'"
		if r.isMaria() {
			engines, consistency = append(engines, "Aria", "Aria TRANSACTIONAL=1"), "SELECT 0"
		}
		for _, engine := range engines {
			r.exec("DROP TABLE IF EXISTS i, m", "CREATE TABLE i"+people, "CREATE TABLE m"+people+" ENGINE="+engine)
			r.prepare("i", "m")
			tail := r.stream(r.start)
			r.exec("INSERT INTO m VALUES (1, 'a'), (2, 'b')", "UPDATE m SET name = 'c' WHERE id = 2", "DELETE FROM m WHERE id = 1")
			tail.expect("insert m (1,a)", "insert m (2,b)", "update m (2) to (2,c)", "delete m (1)")
			if r.ask(consistency) == "1" {
				tail.stop()
				continue // the server refuses transactions that mix engines
			}
			r.exec("BEGIN", "INSERT INTO m VALUES (3, 'kept')", "INSERT INTO i VALUES (1, 'undone')", "UPDATE m SET name = 'kept too' WHERE id = 2", "ROLLBACK")
			tail.expect("insert m (3,kept)", "update m (2) to (2,kept too)")
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

// What a session writes as statements is refused where it may concern a table
// in use, and only there.
func TestStatementFormat(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE used"+people, "CREATE TABLE other"+people, "CREATE TABLE third"+people, "INSERT INTO used VALUES (1, 'a'), (2, 'b')",
			"CREATE VIEW seen AS SELECT * FROM other",
			"CREATE FUNCTION f() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN DELETE FROM used; RETURN 1; END",
			"CREATE TRIGGER carry AFTER INSERT ON third FOR EACH ROW INSERT INTO used VALUES (NEW.id, 'carried')",
			"CREATE PROCEDURE p() DELETE FROM used")
		for _, c := range []struct {
			statement string
			loud      bool
		}{
			{"INSERT INTO other VALUES (1, 'a')", false},
			{"UPDATE used SET name = 'b' WHERE id = 1", true},
			{"DELETE FROM seen", false},
			{"REPLACE INTO `used` VALUES (1, 'a')", true},
			{"INSERT INTO other SELECT id + 10, name FROM other", false},
			{"SELECT f()", true},
			{"CALL p()", true},
		} {
			t.Log(c.statement)
			r.prepare("used")
			tail := r.stream(r.start)
			writer := r.session()
			r.on(writer, "SET SESSION binlog_format = STATEMENT", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", c.statement)
			if c.loud {
				tail.fails(sources.ErrPositionLost, "binlog_format")
				continue
			}
			tail.expect()
			tail.stop()
		}
	})
}
