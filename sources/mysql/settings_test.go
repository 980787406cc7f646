package mysql

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"haystream/sources"
)

// What a partial image leaves out is missing, and never NULL.
func TestPartialImages(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, b TEXT, u INT NOT NULL)")
		r.prepare("t")
		r.tables[0].Key = []int{3} // as tables.t.key says
		tail := r.stream(r.start)
		writer := r.session()
		id := "1" // of the row in the end: see TestReplacing
		if !r.isMaria() {
			id = "2"
		}
		for _, test := range []struct {
			image, statement, before, change string
			lost                             bool // with MariaDB
		}{
			{"MINIMAL", "INSERT INTO t VALUES (1, 1, 'x', 9)", "", "insert t (1,1,x,9)", false},
			{"MINIMAL", "UPDATE t SET a = 2", "(1,MISSING,MISSING,MISSING)", "update t () to (1,2,MISSING,MISSING)", false},
			{"MINIMAL", "UPDATE t SET a = 3, u = 9", "(1,MISSING,MISSING,MISSING)", "update t () to (1,3,MISSING,9)", false},
			{"MINIMAL", "UPDATE t SET b = NULL", "(1,MISSING,MISSING,MISSING)", "update t () to (1,MISSING,NULL,MISSING)", false},
			{"MINIMAL", "UPDATE t SET id = 2", "(1,MISSING,MISSING,MISSING)", "update t () to (2,MISSING,MISSING,MISSING)", true},
			{"MINIMAL", "UPDATE t SET u = 8", "(" + id + ",MISSING,MISSING,MISSING)", "update t () to (" + id + ",MISSING,MISSING,8)", false},
			{"MINIMAL", "DELETE FROM t", "(" + id + ",MISSING,MISSING,MISSING)", "delete t ()", false},
			{"NOBLOB", "INSERT INTO t (id, a, u, b) VALUES (3, 1, 9, 'x')", "", "insert t (3,1,x,9)", false},
			{"NOBLOB", "UPDATE t SET b = 'y'", "(3,1,MISSING,9)", "update t (9) to (3,1,y,9)", false},
			{"NOBLOB", "UPDATE t SET a = 2", "(3,1,MISSING,9)", "update t (9) to (3,2,MISSING,9)", true},
			{"NOBLOB", "UPDATE t SET id = 4, a = 2, b = 'z', u = 8", "", "update t (9) to (4,2,z,8)", false},
			{"NOBLOB", "DELETE FROM t", "(4,2,MISSING,8)", "delete t (8)", false},
		} {
			if r.isMaria() && test.lost {
				continue
			}
			tail.before = nil
			r.on(writer, "SET SESSION binlog_row_image = "+test.image, test.statement)
			tail.expect(test.change)
			if got := strings.Join(tail.before, ""); test.before != "" && got != test.before {
				r.Errorf("%s: the old image is %s, want %s", test.statement, got, test.before)
			}
		}
		if r.ask("SELECT @@version LIKE '11.%'") == "1" {
			r.on(writer, "SET SESSION binlog_row_image = FULL_NODUP", "INSERT INTO t VALUES (3, 1, 'b', 1)", "UPDATE t SET a = NULL", "UPDATE t SET id = 4, b = 'c'")
			tail.expect("insert t (3,1,b,1)", "update t (1) to (3,NULL,b,1)", "update t (1) to (4,NULL,c,1)")
		}
	})
}

// A server that leaves values out of all its images is taken if they are as
// they were before.
func TestPreparePartialImages(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, j JSON)", "INSERT INTO t VALUES (1, 1, '[]')")
		r.set("binlog_row_image", "MINIMAL")
		if r.isMaria() {
			r.refuses(r.start, sources.ErrConfig, "binlog_row_image")
			return
		}
		r.set("binlog_row_value_options", "PARTIAL_JSON")
		want := "ok: binlog_row_image: it is MINIMAL: values that a change leaves alone are taken from stored rows\n" +
			"ok: binlog_row_value_options: it is PARTIAL_JSON: values that are changed in part are made from the old ones"
		if got := findings(r.check(r.source, nil), "binlog_row_image", "binlog_row_value"); got != want {
			r.Errorf("findings are\n%s\nwant\n%s", got, want)
		}
		r.prepare("t")
		if !r.tables[0].Columns[1].MayBeMissing || !r.tables[0].Columns[2].MayBeMissing {
			r.Errorf("the columns are %+v", r.tables[0].Columns)
		}
		tail := r.stream(r.start)
		r.on(r.session(), "UPDATE t SET a = 2")
		tail.expect("update t (1) to (1,2,MISSING)")
	})
}

// With MINIMAL an INSERT's image lacks the columns that it does not name, if
// their default is a constant: the row is whole all the same.
func TestDefaults(t *testing.T) {
	columns := []string{
		"INT", "INT DEFAULT 7", "BIGINT UNSIGNED DEFAULT 18446744073709551615", "TINYINT(1) DEFAULT 1", "SMALLINT(5) ZEROFILL DEFAULT 3", "INT NOT NULL", "DECIMAL(10,3) DEFAULT -1.5",
		"DOUBLE DEFAULT 1e100", "FLOAT DEFAULT 0.1", "FLOAT(10,2) DEFAULT 1.005", "CHAR(5) DEFAULT 'ä '", `VARCHAR(20) CHARACTER SET latin1 DEFAULT 'it''s ä\\ '`, "VARCHAR(20) CHARACTER SET utf16 DEFAULT '€'",
		"VARCHAR(9) NOT NULL", "VARCHAR(9) DEFAULT 'NULL'", "TEXT", "TEXT NOT NULL", "ENUM('a','b,''') DEFAULT 'b,'''", "SET('x','y','z') DEFAULT 'x,z'", "SET('x') DEFAULT ''", "DATE DEFAULT '2024-02-29'",
		"DATETIME DEFAULT '0000-00-00 00:00:00'", "DATETIME(3) DEFAULT '2024-02-29 01:02:03.5'", "TIME DEFAULT '-01:02:03'", "YEAR DEFAULT 1999", "TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP", "VARCHAR(40) DEFAULT (UUID())",
		"JSON DEFAULT (JSON_OBJECT('a', 1))", "INT AS (c1 + 1) STORED", "INT AS (c1 + 2) VIRTUAL", "TEXT AS (CONCAT(c14, c1)) VIRTUAL", "INT DEFAULT 5 INVISIBLE", "BLOB", "JSON", "BIT(3)", "TIMESTAMP NULL",
		"BIT(3) DEFAULT b'101'", "BIT(64) DEFAULT b'1'", "BINARY(4) DEFAULT 'ab'", "VARBINARY(3) DEFAULT x'00ff'", "VARBINARY(3) DEFAULT ''", "TIMESTAMP NULL DEFAULT '2024-02-29 01:02:03'",
	}
	told := []string{"TIMESTAMP(2) NOT NULL DEFAULT '2024-07-29 01:02:03.45'", "BINARY(2) NOT NULL DEFAULT 'x'", "BIT(3) NOT NULL DEFAULT b'110'"} // once there is a row
	never := []string{"DATE NOT NULL"}
	definition := "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY"
	for i, column := range slices.Concat(columns, told, never) {
		definition += fmt.Sprintf(", c%d %s", i, column)
	}
	eachRig(t, func(r *rig) {
		if r.isMaria() {
			return
		}
		r.exec("SET NAMES utf8mb4", "SET SESSION sql_mode = '', time_zone = '+05:00'", definition+") CHARACTER SET utf8mb4")
		r.prepare("t")
		tail := r.stream(r.start)
		r.on(r.session(), "SET SESSION binlog_row_image = MINIMAL, sql_mode = ''", "INSERT INTO t () VALUES ()")
		tail.catchUp()
		chunk, err := r.chunk("t")
		r.must(err)
		want := "insert t " + image(chunk.Rows[0])
		without := func(n int) []string {
			short := want
			for range n {
				short = short[:strings.LastIndexByte(short, ',')]
			}
			return []string{short + strings.Repeat(",MISSING", n) + ")"}
		}
		r.same(tail.changes, without(len(told)+len(never)))
		tail.stop()
		tail = r.restart(r.start, "t")
		tail.catchUp()
		r.same(tail.changes, without(len(never)))
		tail.changes = nil
	})
}

// Rows that were inserted before their columns got other defaults are not given
// the new ones.
func TestChangedDefaults(t *testing.T) {
	eachRig(t, func(r *rig) {
		if r.isMaria() {
			return
		}
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT DEFAULT 7)")
		r.prepare("t")
		tail := r.stream(r.start)
		writer := r.session()
		r.on(writer, "SET SESSION binlog_row_image = MINIMAL", "INSERT INTO t (id) VALUES (1)")
		tail.expect("insert t (1,7)")
		r.on(writer, "ALTER TABLE t ALTER a SET DEFAULT 8")
		tail.catchUp()
		r.on(writer, "INSERT INTO t (id) VALUES (2)")
		tail.expect("insert t (2,8)")
		tail.stop()
		r.restart(r.start, "t").fails(sources.ErrPositionLost, "columns' defaults")
	})
}

// MariaDB logs what a REPLACE or an INSERT sets to its default no more than what an
// UPDATE leaves alone: the table is stale then, and a Version is taken for each row.
func TestReplacing(t *testing.T) {
	tests := []struct {
		image, statement string
		stale            bool // with MariaDB
		want             []string
	}{
		{"MINIMAL", "REPLACE INTO t (id, a) VALUES (1, 2), (3, 2)", true, []string{"update t (1) to (1,2,5,NULL)", "update t (3) to (3,2,5,NULL)"}},
		{"MINIMAL", "UPDATE t SET id = 2 WHERE id = 1", true, []string{"update t (1) to (2,MISSING,MISSING,MISSING)"}},
		{"MINIMAL", "UPDATE t SET a = 2 WHERE id = 1", false, []string{"update t (1) to (1,2,MISSING,MISSING)"}},
		{"NOBLOB", "REPLACE INTO t (id, a) VALUES (1, 2)", true, []string{"update t (1) to (1,2,5,NULL)"}},
		{"NOBLOB", "UPDATE t SET a = 2 WHERE id = 1", true, []string{"update t (1) to (1,2,1,MISSING)"}},
		{"MINIMAL", "INSERT INTO t (id, a) VALUES (2, 2)", true, []string{"insert t (2,2,5,NULL)"}},
		{"NOBLOB", "INSERT INTO t (id, a) VALUES (2, 2)", true, []string{"insert t (2,2,5,NULL)"}},
		{"FULL", "REPLACE INTO t (id, a) VALUES (1, 2)", false, []string{"update t (1) to (1,2,5,NULL)"}},
	}
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT DEFAULT 5, c TEXT)", "CREATE TABLE g (id INT PRIMARY KEY, a INT, twice INT AS (a * 2) VIRTUAL)", "INSERT INTO g (id) VALUES (1)",
			"CREATE TABLE p (id INT PRIMARY KEY, a INT, twice INT AS (a * 2) STORED)", "CREATE TABLE c (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES p (id) ON UPDATE CASCADE)", "INSERT INTO p (id) VALUES (1)")
		for _, test := range tests {
			r.exec("DELETE FROM t", "INSERT INTO t VALUES (1, 1, 1, 'c'), (3, 3, 3, 'c')")
			r.prepare("t", "g")
			tail := r.stream(r.start)
			writer := r.session()
			r.on(writer, "SET SESSION binlog_row_image = "+test.image, "BEGIN", test.statement, "INSERT INTO t VALUES (9, 9, 9, 'c')", "COMMIT")
			tail.catchUp()
			if last := tail.versions[len(tail.versions)-1]; last-tail.versions[0] != int64(len(test.want)) {
				r.Errorf("%s: the versions are %v", test.statement, tail.versions)
			}
			want := test.want
			if r.isMaria() && test.stale {
				want = []string{"stale t"}
			}
			r.same(tail.changes, append(slices.Clone(want), "insert t (9,9,9,c)"))
			tail.stop()
		}
		// Newer MariaDB has no generated columns in the log of an update at all.
		if r.admin.flavor.omitsGenerated(r.admin.version) {
			return
		}
		r.prepare("g", "p", "c")
		tail := r.stream(r.start)
		writer := r.session()
		r.on(writer, "SET SESSION binlog_row_image = MINIMAL", "UPDATE g SET a = 3")
		if !r.isMaria() {
			tail.expect("update g (1) to (1,3,6)")
			return
		}
		tail.expect("stale g")
		r.on(writer, "UPDATE p SET a = 3")
		tail.fails(sources.ErrPositionLost, "twice") // what a foreign key has done cannot be worked out
	})
}

// Whatever statements do, rows that are completed from what was known of them
// are the server's.
func TestRandomPartialImages(t *testing.T) {
	const steps = 400
	eachMySQL(t, func(r *rig) {
		rnd := rand.New(rand.NewPCG(5, 6))
		r.exec("SET SESSION sql_mode = ''", "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT DEFAULT 1, b VARCHAR(20) DEFAULT 'x', c TEXT, u INT UNIQUE, n INT NOT NULL,"+
			" v TEXT AS (CONCAT(a, b)) VIRTUAL, s TEXT AS (CONCAT(c, a)) STORED, tr TEXT, ts TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), j JSON, jv TEXT AS (j->>'$.a') VIRTUAL, e VARCHAR(40) DEFAULT (UUID()))",

			"CREATE TRIGGER ti BEFORE INSERT ON t FOR EACH ROW SET NEW.tr = CONCAT('i', NEW.a)", "CREATE TRIGGER tu BEFORE UPDATE ON t FOR EACH ROW SET NEW.tr = CONCAT('u', NEW.n)")
		r.prepare("t")
		tail := r.stream(r.start)
		known := map[string][]string{}
		tail.each = func(c *sources.Change) {
			var old []string
			if !c.Before.IsZero() {
				id := string(c.Before.Text(0))
				old = known[id]
				delete(known, id)
			}
			if c.Kind == sources.Delete {
				return
			}
			row := make([]string, c.After.Len())
			for i := range row {
				switch {
				case c.After.Patch(i) != nil:
					text, err := sources.ApplyPatch(nil, []byte(old[i]), c.After.Patch(i))
					r.must(err)
					row[i] = string(text)
				case c.After.Missing(i) && old == nil:
					r.Fatalf("column %s is missing in an insert", c.Table.Columns[i].Name)
				case c.After.Missing(i):
					row[i] = old[i]
				case c.After.Null(i):
					row[i] = "NULL"
				default:
					row[i] = string(c.After.Text(i))
				}
			}
			known[row[0]] = row
		}
		writer := r.session()
		r.on(writer, "SET SESSION sql_mode = '', binlog_row_value_options = 'PARTIAL_JSON'")
		for step := range steps {
			r.on(writer, "SET SESSION binlog_row_image = "+[]string{"MINIMAL", "NOBLOB", "FULL"}[rnd.IntN(3)])
			statement := randomStatement(rnd)
			r.on(writer, statement)
			tail.catchUp()
			chunk, err := r.chunk("t")
			r.must(err)
			if len(chunk.Rows) != len(known) {
				r.Fatalf("step %d, %s: %d rows, want %d", step, statement, len(known), len(chunk.Rows))
			}
			for _, row := range chunk.Rows {
				if got := "(" + strings.Join(known[string(row.Text(0))], ",") + ")"; got != image(row) {
					r.Fatalf("step %d, %s:\n%s\nwant\n%s", step, statement, got, image(row))
				}
			}
		}
	})
}

// randomStatement changes rows of t.
func randomStatement(rnd *rand.Rand) string {
	n := func() string { return strconv.Itoa(1 + rnd.IntN(9)) }
	assignments := func() string {
		all := []string{"a = " + n(), "b = DEFAULT", "b = CONCAT('b', a)", "c = REPEAT('c', " + n() + ")", "c = NULL", "u = NULL", "n = " + n(), "j = JSON_SET(j, '$.a', " + n() + ")", "j = JSON_OBJECT('a', 1, 'pad', REPEAT('p', 99))", "ts = ts"}
		rnd.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		return strings.Join(all[:1+rnd.IntN(3)], ", ")
	}
	switch rnd.IntN(12) {
	case 0:
		return "INSERT INTO t () VALUES (), ()"
	case 1:
		return "INSERT INTO t (a, c) VALUES (" + n() + ", 'new')"
	case 2:
		return "INSERT INTO t (n, j, u) SELECT " + n() + ", '{\"a\": 1, \"pad\": \"" + strings.Repeat("p", 99) + "\"}', IF(EXISTS (SELECT 1 FROM t AS x WHERE u = 100), NULL, 100)"
	case 3:
		return "INSERT INTO t (id, u) VALUES (" + n() + ", NULL) ON DUPLICATE KEY UPDATE " + assignments()
	case 4:
		return "REPLACE INTO t (id, a) VALUES (" + n() + ", " + n() + ")"
	case 5:
		return "REPLACE INTO t (u, c) VALUES (100, 'replaced')"
	case 6:
		return "DELETE FROM t WHERE id % 3 = " + n() + " OR id > 60"
	case 7:
		return "UPDATE t SET " + assignments() + " WHERE id = " + n()
	case 8:
		return "UPDATE IGNORE t SET id = id + 1, " + assignments() + " WHERE id % 5 = 0 ORDER BY id DESC"
	default:
		return "UPDATE t SET " + assignments() + " WHERE id % 2 = " + strconv.Itoa(rnd.IntN(2))
	}
}
