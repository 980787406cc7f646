package mysql

import (
	"strings"
	"testing"

	"haystream/sources"
)

// hasBlackhole reports whether the server has the engine, or can load it.
func (r *rig) hasBlackhole() bool {
	r.Helper()
	if r.ask("SELECT COUNT(*) FROM information_schema.ENGINES WHERE ENGINE = 'BLACKHOLE' AND SUPPORT <> 'NO'") == "1" {
		return true
	}
	if !r.isMaria() {
		r.Fatal("the server has no BLACKHOLE")
	}
	return r.admin.exec(r.Context(), "INSTALL SONAME 'ha_blackhole'") == nil
}

// TestBlackhole: a table that keeps nothing gives the inserts of committed transactions.
func TestBlackhole(t *testing.T) {
	eachRig(t, func(r *rig) {
		if !r.hasBlackhole() {
			r.Skip("this MariaDB is without its plugin ha_blackhole")
		}
		r.exec("CREATE TABLE b (id VARCHAR(36) PRIMARY KEY, n INT NOT NULL) ENGINE=BLACKHOLE", "CREATE TABLE i"+people)
		r.prepare("b", "i")
		tail := r.stream(r.start)
		r.exec("INSERT INTO b VALUES ('a', 1), ('b', 2)", "REPLACE INTO b VALUES ('a', 3)", "INSERT IGNORE INTO b VALUES ('a', 4)",
			"INSERT INTO b VALUES ('a', 5) ON DUPLICATE KEY UPDATE n = 6", "UPDATE b SET n = 7", "DELETE FROM b")
		tail.expect("insert b (a,1)", "insert b (b,2)", "insert b (a,3)", "insert b (a,4)", "insert b (a,5)")
		r.exec("BEGIN", "INSERT INTO b VALUES ('no', 1)", "ROLLBACK",
			"BEGIN", "INSERT INTO i VALUES (1, 'undone')", "INSERT INTO b VALUES ('no', 2)", "ROLLBACK",
			"BEGIN", "INSERT INTO b VALUES ('c', 1)", "SAVEPOINT s", "INSERT INTO b VALUES ('no', 3)", "ROLLBACK TO s", "COMMIT",
			"BEGIN", "INSERT INTO i VALUES (2, 'kept')", "INSERT INTO b VALUES ('d', 1)", "COMMIT",
			"XA START 'no'", "INSERT INTO b VALUES ('no', 4)", "XA END 'no'", "XA PREPARE 'no'", "XA ROLLBACK 'no'",
			"XA START 'yes'", "INSERT INTO b VALUES ('e', 1)", "XA END 'yes'", "XA PREPARE 'yes'", "XA COMMIT 'yes'")
		tail.expect("insert b (c,1)", "insert i (2,kept)", "insert b (d,1)", "insert b (e,1)")
		r.exec("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
		if err := r.admin.exec(r.Context(), "INSERT INTO b VALUES ('no', 5), (REPEAT('x', 37), 6)"); err == nil {
			r.Error("a value is too long and was taken")
		}
		tail.expect()
		if chunk, err := r.chunk("b"); err != nil || len(chunk.Rows) > 0 || !chunk.Done {
			r.Errorf("a chunk has %v, %v", chunk, err)
		}
	})
}

// TestCheckBlackhole: such a table is taken as it is, where it does not count keys.
func TestCheckBlackhole(t *testing.T) {
	eachRig(t, func(r *rig) {
		if !r.hasBlackhole() {
			r.Skip("this MariaDB is without its plugin ha_blackhole")
		}
		r.exec("CREATE TABLE made (id CHAR(36) PRIMARY KEY, n INT) ENGINE=BLACKHOLE", "CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT) ENGINE=BLACKHOLE")
		want := map[string]string{
			"made": "ok: table checkblackhole.made: key (id); it keeps no rows, its inserts are in the log only",
			"counted": "error: table checkblackhole.counted: its column id is AUTO_INCREMENT: ENGINE = BLACKHOLE counts from 1 in each statement, so that documents would replace one another; " +
				"to mend it: ALTER TABLE `checkblackhole`.`counted` MODIFY `id` CHAR(36) NOT NULL, and let the application make the values (UUIDs)",
			fenceTable: "ok: table checkblackhole.fence: key (id)",
		}
		r.project("made", "counted")
		for _, table := range r.tables {
			if table.LogOnly != (table.Name != fenceTable) {
				r.Errorf("%s: LogOnly is %v", table, table.LogOnly)
			}
			if got := findings(r.check(r.source, []*sources.Table{table}), "table "); got != want[table.Name] {
				r.Errorf("findings are\n%s\nwant\n%s", got, want[table.Name])
			}
		}
		// The remedy, as it is printed, mends it.
		_, remedy, _ := strings.Cut(want["counted"], "to mend it: ")
		statement, _, _ := strings.Cut(remedy, ", and let")
		r.exec(statement)
		r.project("counted")
		if got := findings(r.check(r.source, r.tables[:1]), "table "); !strings.HasPrefix(got, "ok: table checkblackhole.counted") {
			r.Errorf("findings are %s", got)
		}
	})
}
