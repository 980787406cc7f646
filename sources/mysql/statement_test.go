package mysql

import (
	"os"
	"strings"
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
		r.exec("CREATE TABLE used"+people, "CREATE TABLE a"+people, "CREATE TABLE other"+people, "CREATE TABLE third"+people, "INSERT INTO used VALUES (1, 'a'), (2, 'b')",
			"CREATE VIEW seen AS SELECT * FROM other", "CREATE VIEW through AS SELECT * FROM used", "CREATE VIEW far AS SELECT * FROM through",
			"CREATE FUNCTION f() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN DELETE FROM used; RETURN 1; END",
			"CREATE FUNCTION g() RETURNS INT DETERMINISTIC RETURN 1",
			"CREATE TRIGGER carry AFTER INSERT ON third FOR EACH ROW INSERT INTO used VALUES (NEW.id, 'carried')",
			"CREATE TRIGGER calls AFTER DELETE ON third FOR EACH ROW CALL p()",
			"CREATE PROCEDURE p() DELETE FROM used")
		file := r.loadable()
		for _, c := range []struct {
			statement string
			loud      bool
		}{
			{"INSERT INTO other VALUES (1, 'used')", false},
			{"UPDATE used SET name = 'b' WHERE id = 1", true},
			{"DELETE FROM seen", false},
			{"DELETE FROM far WHERE id = 1", true},
			{"REPLACE INTO `used` VALUES (1, 'a')", true},
			{"INSERT INTO other SELECT id + 10, name FROM other", false},
			{"REPLACE INTO other SELECT id, COUNT(*) FROM used GROUP BY id", false}, // as pt-table-checksum does
			{"UPDATE other SET name = 'used' WHERE id IN (SELECT id FROM used)", false},
			{"UPDATE other AS o JOIN " + r.name + ".used ON o.id = used.id SET o.name = 'x'", true},
			{"DELETE o FROM other AS o WHERE EXISTS (SELECT 1 FROM used WHERE used.id = o.id)", false},
			{"WITH w AS (SELECT 1 AS id) DELETE FROM other WHERE id IN (SELECT id FROM w)", false},
			{"INSERT INTO other VALUES (g() + 50, 'x')", false},
			{"INSERT INTO other VALUES (f() + 60, 'x')", true},
			{"INSERT INTO third VALUES (70, 'x')", true},
			{"DELETE FROM third", true},
			{"LOAD DATA INFILE '" + file + "' REPLACE INTO TABLE other (id)", false},
			{"LOAD DATA INFILE '" + file + "' REPLACE INTO TABLE used (id)", true},
			{"SELECT f()", true},
			{"CALL p()", true},
		} {
			if file == "" && strings.HasPrefix(c.statement, "LOAD") {
				continue
			}
			t.Log(c.statement)
			r.prepare("used", "a")
			tail := r.stream(r.start)
			writer := r.session()
			r.on(writer, "SET SESSION binlog_format = STATEMENT", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
			if err := writer.exec(r.Context(), c.statement); r.isMaria() && serverCode(err) == codeSyntax {
				tail.stop()
				continue // MariaDB has no WITH … DELETE
			} else if err != nil {
				t.Fatalf("%s: %v", c.statement, err)
			}
			if c.loud {
				tail.fails(sources.ErrPositionLost, "binlog_format")
				continue
			}
			tail.expect()
			tail.stop()
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
