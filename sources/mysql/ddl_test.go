package mysql

import (
	"slices"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// Whatever exchanges a table's rows makes it stale, and nothing else is.
func TestReplacedRows(t *testing.T) {
	eachRig(t, func(r *rig) {
		const parts = " PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN (20), PARTITION c VALUES LESS THAN MAXVALUE)"
		r.exec("CREATE TABLE t"+people+parts, "CREATE TABLE x"+people, "CREATE TABLE other"+people, "INSERT INTO t VALUES (1, 'a'), (11, 'b')")
		r.prepare("t")
		tail := r.stream(r.start)
		for _, c := range []struct {
			statement string
			want      []string
		}{
			{"TRUNCATE TABLE t", []string{"stale t"}},
			{"truncate t", []string{"stale t"}},
			{"TRUNCATE TABLE other", nil},
			{"/* t */ TRUNCATE /* other */ TABLE /*! `t` */ -- comment", []string{"stale t"}},
			{"ALTER TABLE t TRUNCATE PARTITION a", []string{"stale t"}},
			{"ALTER TABLE t EXCHANGE PARTITION a WITH TABLE x", []string{"stale t"}},
			{"ALTER TABLE " + r.name + " . `t` DROP PARTITION b", []string{"stale t"}},
			{"ALTER TABLE t REORGANIZE PARTITION c INTO (PARTITION b VALUES LESS THAN (20), PARTITION c VALUES LESS THAN MAXVALUE)", nil},
			{"ALTER TABLE t COMMENT 'DROP PARTITION b, RENAME TO t', ADD INDEX (name)", nil},
			{"ALTER TABLE t RENAME INDEX name TO names", nil},
			{"ALTER TABLE t REMOVE PARTITIONING", nil},
			{"ALTER TABLE t ENGINE=InnoDB", nil},
			{"ANALYZE TABLE t", nil},
			{"OPTIMIZE TABLE t", nil},
			{"CREATE TABLE like_t LIKE t", nil},
			{"CREATE TABLE from_t SELECT * FROM t", nil},
			{"DROP TABLE like_t, from_t", nil},
			{"CREATE TABLE IF NOT EXISTS t (id INT)", nil},
			{"CREATE TEMPORARY TABLE u" + people, nil},
			{"DROP TEMPORARY TABLE u", nil},
			{"RENAME TABLE other TO another, another TO other", nil},
			{"DROP TABLE IF EXISTS nothing, other", nil},
			{"CREATE DATABASE `" + r.name + "_2`", nil},
			{"DROP DATABASE `" + r.name + "_2`", nil},
		} {
			r.exec(c.statement, "INSERT INTO t VALUES (1, 'x')", "DELETE FROM t")
			tail.catchUp()
			if got := slices.DeleteFunc(tail.changes, func(c string) bool { return strings.HasSuffix(c, "x)") || strings.HasPrefix(c, "delete") }); !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", c.statement, got, c.want)
			}
			tail.changes = nil
		}
	})
}

// A table that takes a name brings its rows with it.
func TestSwappedTables(t *testing.T) {
	swaps := map[string]struct{ copied, swap []string }{
		"gh-ost": {
			[]string{"CREATE TABLE _t_gho LIKE t", "ALTER TABLE _t_gho ADD INDEX (name)", "INSERT INTO _t_gho SELECT * FROM t", "INSERT INTO t VALUES (2, 'b')", "INSERT INTO _t_gho VALUES (2, 'b')"},
			[]string{"RENAME TABLE t TO _t_del, _t_gho TO t", "DROP TABLE _t_del"},
		},
		"pt-online-schema-change": {
			[]string{
				"CREATE TABLE _t_new LIKE t", "CREATE TRIGGER osc_ins AFTER INSERT ON t FOR EACH ROW REPLACE INTO _t_new VALUES (NEW.id, NEW.name)",
				"INSERT LOW_PRIORITY IGNORE INTO _t_new SELECT * FROM t", "INSERT INTO t VALUES (2, 'b')",
			},
			[]string{"RENAME TABLE t TO _t_old, _t_new TO t", "DROP TABLE IF EXISTS _t_old", "DROP TRIGGER IF EXISTS osc_ins"},
		},
		"ALTER TABLE … RENAME": {
			[]string{"CREATE TABLE _t_new LIKE t", "INSERT INTO t VALUES (2, 'b')", "INSERT INTO _t_new SELECT * FROM t"},
			[]string{"DROP TABLE t", "ALTER TABLE _t_new RENAME TO t"},
		},
	}
	eachRig(t, func(r *rig) {
		for name, s := range swaps {
			r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t"+people, "INSERT INTO t VALUES (1, 'a')")
			r.prepare("t")
			tail := r.stream(r.start)
			r.exec(s.copied...)
			tail.expect("insert t (2,b)")
			mark := tail.mark()
			if !strings.HasPrefix(name, "ALTER") {
				r.exec(s.swap...)
				r.exec("INSERT INTO t VALUES (3, 'c')")
				tail.expect("stale t", "insert t (3,c)")
			} else { // the table is away for a moment: as long as the stream takes to see it
				r.exec(s.swap[0])
				tail.fails(sources.ErrSchemaChanged, "is gone")
				r.exec(s.swap[1], "INSERT INTO t VALUES (3, 'c')")
				tail = r.restart(mark, "t")
				tail.expect("stale t", "stale t", "insert t (3,c)")
			}
			tail.stop()
		}
	})
}

// A table that is dropped and made again while nobody listens is empty in between.
func TestDroppedAndMadeAgain(t *testing.T) {
	eachRig(t, func(r *rig) {
		other := r.name + "_2"
		r.schema(other)
		r.Cleanup(func() { r.again("DROP DATABASE IF EXISTS " + other) })
		r.exec("CREATE TABLE t"+people, "CREATE TABLE "+other+".u"+people, "INSERT INTO t VALUES (1, 'a')")
		r.prepare("t", other+"/u")
		r.exec("INSERT INTO t VALUES (2, 'b')", "DROP TABLE t", "CREATE TABLE t"+people, "INSERT INTO t VALUES (3, 'c')",
			"DROP DATABASE "+other, "CREATE DATABASE "+other, "CREATE TABLE "+other+".u"+people, "INSERT INTO "+other+".u VALUES (1, 'u')")
		if r.isMaria() {
			r.exec("CREATE OR REPLACE TABLE t" + people + " SELECT 4 AS id, 'd' AS name")
		}
		tail := r.restart(r.start, "t", other+"/u")
		want := []string{"insert t (2,b)", "stale t", "stale t", "insert t (3,c)", "stale u", "stale u", "insert u (1,u)"}
		if r.isMaria() {
			want = append(want, "stale t", "insert t (4,d)")
		}
		tail.expect(want...)
		r.exec("DROP DATABASE " + other)
		tail.fails(sources.ErrSchemaChanged, "is gone")
	})
}

// Names are the server's: quoted, dotted, with letters of both cases.
func TestNames(t *testing.T) {
	eachRig(t, func(r *rig) {
		names := []string{"We`ird", "dotted.name", "select", "TABLE to", "Ünï", "it's \"q\"", "誠"}
		for _, name := range names {
			r.exec("CREATE TABLE " + quote(name) + people)
		}
		r.prepare(names...)
		tail := r.stream(r.start)
		for _, name := range names {
			r.exec("INSERT INTO "+quote(name)+" VALUES (1, 'a')", "TRUNCATE TABLE "+quote(r.name)+"."+quote(name))
			tail.expect("insert "+name+" (1,a)", "stale "+name)
		}
		r.exec("SET SESSION sql_mode = 'ANSI_QUOTES'", `TRUNCATE TABLE "dotted.name"`, `CREATE TABLE "it's" LIKE "select"`, `TRUNCATE TABLE "it's ""q"""`)
		tail.expect("stale dotted.name", `stale it's "q"`)
		// Texts come in the client's character set, in which a character may end like a quote or a backslash.
		r.exec("SET NAMES latin1", "TRUNCATE\xa0TABLE `\xdcn\xef`", "SET NAMES gbk", "TRUNCATE TABLE `\xd5\x5c`", "ALTER TABLE `\xd5\x5c` COMMENT '\xd5\x5c', ADD x INT", "SET NAMES utf8mb4")
		tail.fails(sources.ErrSchemaChanged, "new column x")
		r.same(tail.changes, []string{"stale Ünï", "stale 誠", "stale 誠(x)"})
	})
}

// MariaDB logs a statement with the settings that it was given alone.
func TestSettingsOfOneStatement(t *testing.T) {
	eachRig(t, func(r *rig) {
		if !r.isMaria() {
			return
		}
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		tail := r.stream(r.start)
		r.exec("SET STATEMENT sql_mode = 'ANSI', lock_wait_timeout = 5 FOR TRUNCATE TABLE t", "SET STATEMENT max_statement_time = 9 FOR INSERT INTO t VALUES (1, 'a')")
		tail.expect("stale t", "insert t (1,a)")
		r.on(r.session(), "SET SESSION binlog_format = STATEMENT", "SET STATEMENT max_statement_time = 9 FOR UPDATE t SET name = 'b'")
		tail.expect("stale t")
	})
}

// MariaDB may log an ALTER when it begins, and again when it is done or rolled back.
func TestAlterInTwoPhases(t *testing.T) {
	eachRig(t, func(r *rig) {
		if !r.isMaria() {
			return
		}
		r.exec("CREATE TABLE t"+people, "INSERT INTO t VALUES (1, 'no number')", "SET binlog_alter_two_phase = ON, sql_mode = 'STRICT_ALL_TABLES'")
		r.prepare("t")
		tail := r.stream(r.start)
		for _, algorithm := range []string{"COPY", "INPLACE"} {
			end := r.ask("SELECT @@gtid_binlog_pos")
			if err := r.admin.exec(r.Context(), "ALTER TABLE t MODIFY name INT, ALGORITHM=COPY"); err == nil {
				r.Fatal("a text became a number")
			}
			if r.ask("SELECT @@gtid_binlog_pos") == end {
				r.Error("the ALTER that failed is not in the log")
			}
			tail.expect()
			r.exec("ALTER TABLE t ADD INDEX (name), ALTER name SET DEFAULT 'x', ALGORITHM="+algorithm, "ALTER TABLE t MODIFY name VARCHAR(100)")
			tail.expect("stale t(name)") // which may have been so before
		}
	})
}

// Where letter case does not matter, a statement's names may differ from the
// catalog's. MySQL would need a data directory of its own for it.
func TestNamesInOneCase(t *testing.T) {
	eachOwn(t, servers.MariaDB, func(r *rig, _ *servers.Server) {
		r.exec("CREATE TABLE People" + people)
		r.prepare("people")
		tail := r.stream(r.start)
		r.exec("INSERT INTO PEOPLE VALUES (1, 'a')", "TRUNCATE TABLE "+strings.ToUpper(r.name)+".PeoPle", "UPDATE people SET name = 'b'", "INSERT INTO people VALUES (2, 'b')")
		tail.expect("insert people (1,a)", "stale people", "insert people (2,b)")
	}, "--lower-case-table-names=1")
}

// What the log has from before a table got its present columns is taken by
// name, and read as what it was then.
func TestColumnsBehindTheLog(t *testing.T) {
	cases := []struct{ before, change, alter, after, want string }{
		{"(id INT PRIMARY KEY, a INT, b INT)", "(1, 1, 2)", "ADD c INT FIRST", "(5, 2, 3, 4)", "(NULL|MISSING,1,1,2) (5,2,3,4)"},
		{"(id INT PRIMARY KEY, a INT, b INT)", "(1, 1, 2)", "DROP a", "(2, 3)", "(1,2) (2,3)"},
		{"(id INT PRIMARY KEY, a INT, b INT)", "(1, 1, 2)", "MODIFY b INT FIRST", "(3, 2, 4)", "(2,1,1) (3,2,4)"},
		{"(id INT PRIMARY KEY, a INT)", "(1, 1)", "MODIFY a VARCHAR(10)", "(2, 'x')", "(1,MISSING) (2,x)"},
		{"(id INT PRIMARY KEY, a VARCHAR(10) CHARACTER SET latin1)", "(1, 'é')", "CONVERT TO CHARACTER SET utf8mb4", "(2, 'é')", "(1,é) (2,é)"},
		{"(id INT PRIMARY KEY, a ENUM('x','y'))", "(1, 'x')", "MODIFY a ENUM('y','x','z')", "(2, 'y')", "(1,x) (2,y)"},
		{"(id INT PRIMARY KEY, a SET('x','y'))", "(1, 'x')", "MODIFY a SET('y','x','z')", "(2, 'y')", `(1,["x"]) (2,["y"])`},
		{"(id INT PRIMARY KEY, a INT UNSIGNED)", "(1, 4000000000)", "MODIFY a BIGINT", "(2, -1)", "(1,MISSING) (2,-1)"},
		{"(id INT PRIMARY KEY, a TINYINT UNSIGNED)", "(1, 255)", "MODIFY a TINYINT", "(2, -1)", "(1,255) (2,-1)"},
	}
	eachRig(t, func(r *rig) {
		for _, c := range cases {
			r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t "+c.before)
			r.prepare("t")
			r.exec("INSERT INTO t VALUES "+c.change, "SET sql_mode = ''", "UPDATE t SET a = DEFAULT", "ALTER TABLE t "+c.alter, "INSERT INTO t VALUES "+c.after)
			tail := r.restart(r.start, "t")
			tail.catchUp()
			tail.stop()
			got := strings.TrimPrefix(tail.changes[0], "insert t ") + " " + strings.TrimPrefix(tail.changes[len(tail.changes)-1], "insert t ")
			if got != c.want && got != strings.Replace(c.want, "NULL|", "", 1) {
				t.Errorf("%s: %s, want %s", c.alter, got, c.want)
			}
		}
	})
}

// omitNames has the log go without the names of columns.
func (r *rig) omitNames() {
	metadata := "MINIMAL"
	if r.isMaria() {
		metadata = "NO_LOG"
	}
	r.set("binlog_row_metadata", metadata)
}

// Without names in the log, a change from before its table was altered is only
// taken where it cannot be mistaken.
func TestColumnsWithoutNames(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.omitNames()
		for _, c := range []struct {
			alter string
			stale string // and the plan lost
		}{
			{"MODIFY b INT FIRST", "stale t(b)"},
			{"CHANGE a c INT, CHANGE b a INT", "stale t(a,c,b)"},
			{"ADD c INT", "stale t(c)"},
			{"DROP b", "stale t(b)"},
			{"ADD INDEX (a), ADD CONSTRAINT u UNIQUE (a, b)", ""},
			{"COMMENT 'ADD COLUMN'", ""},
		} {
			r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
			r.prepare("t")
			live := r.stream(r.start)
			r.exec("INSERT INTO t VALUES (1, 2, 3)")
			live.expect("insert t (1,2,3)")
			mark := live.mark()
			// Who follows reads what came before the statement with the columns of then.
			r.exec("INSERT INTO t VALUES (4, 5, 6)", "ALTER TABLE t "+c.alter)
			if c.stale != "" {
				live.fails(sources.ErrSchemaChanged, "")
				r.same(live.changes, []string{"insert t (4,5,6)", c.stale})
				next := r.restart(live.mark(), "t")
				next.expect()
				next.stop()
				r.restart(mark, "t").fails(sources.ErrPositionLost, "binlog_row_metadata")
				continue
			}
			live.expect("insert t (4,5,6)")
			live.stop()
			live = r.restart(mark, "t")
			live.expect("insert t (4,5,6)")
			live.stop()
		}
	})
}

// Columns may be elsewhere only for a while, which the catalog does not show to who is behind. Without
// names in the log, rows of then are not taken by the places of now.
func TestColumnsMovedAndBack(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.omitNames()
		for _, c := range []struct {
			there, row, back string
			lost             bool
		}{
			{"MODIFY c INT AFTER id", "(1, 9, 2, 3)", "MODIFY c INT AFTER b", true},
			{"MODIFY c INT FIRST", "(9, 1, 2, 3)", "CHANGE c c INT AFTER b", true},
			{"DROP c, ADD c INT FIRST", "(9, 1, 2, 3)", "DROP c, ADD c INT", true},
			{"ALTER c SET DEFAULT 5", "(1, 2, 3, 9)", "ALTER c SET DEFAULT NULL", false},
		} {
			r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, c INT)")
			r.projectColumns("t", "id", "a", "b")
			r.prepared()
			r.exec("ALTER TABLE t "+c.there, "INSERT INTO t VALUES "+c.row, "ALTER TABLE t "+c.back)
			behind := r.stream(r.start)
			if c.lost {
				behind.fails(sources.ErrPositionLost, "binlog_row_metadata")
				continue
			}
			behind.expect("insert t (1,2,3)")
			behind.stop()
		}
	})
}

// A statement that changes nothing for us does not end the stream; one that
// moves columns, or gives their text another character set, does.
func TestAlteredWhileStreaming(t *testing.T) {
	eachRig(t, func(r *rig) {
		for _, c := range []struct {
			alter string
			stale string // before it ends
			ends  string
		}{
			{"ADD INDEX (a)", "", ""},
			{"AUTO_INCREMENT = 7", "", ""},
			{"ALTER a SET DEFAULT 'x'", "", ""},
			{"ROW_FORMAT = DYNAMIC", "", ""},
			{"DEFAULT CHARACTER SET latin2", "", ""},
			{"ADD c INT", "stale t(c)", "has the new column c"},
			{"DROP b", "stale t(b)", "has no column b"},
			{"MODIFY a VARCHAR(20) CHARACTER SET latin1", "stale t(a)", "t.a was varchar(10)"},
			{"MODIFY a VARCHAR(20), MODIFY b VARCHAR(30) NULL COMMENT 'x'", "", "t.a was varchar(10)"},
			{"MODIFY a VARCHAR(20), MODIFY b VARCHAR(9)", "stale t(b)", "t.a was varchar(10)"},
			{"MODIFY a VARCHAR(9)", "stale t(a)", "t.a was varchar(10)"},
			{"MODIFY b VARCHAR(10) CHARACTER SET latin1 FIRST", "stale t(b)", "another order"},
			{"CONVERT TO CHARACTER SET utf8mb4", "stale t(a,b)", "was text in latin1"},
			{"DROP PRIMARY KEY", "", "another key"},
		} {
			r.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10)) CHARACTER SET latin1")
			r.prepare("t")
			tail := r.stream(r.start)
			r.exec("INSERT INTO t VALUES (1, 'é', 'b')", "ALTER TABLE t "+c.alter)
			if c.ends == "" {
				r.exec("INSERT INTO t VALUES (2, 'é', 'b')")
				tail.expect("insert t (1,é,b)", "insert t (2,é,b)")
				tail.stop()
				continue
			}
			tail.fails(sources.ErrSchemaChanged, c.ends)
			r.same(tail.changes, slices.DeleteFunc([]string{"insert t (1,é,b)", c.stale}, func(c string) bool { return c == "" }))
		}
	})
}

// Where several statements follow one another, the catalog has them all when the
// stream that goes on reads the second: what the first stream knew tells what it did.
func TestGrowthAcrossStreams(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10), c VARCHAR(10))", "INSERT INTO t VALUES (1, 'a', 'b', 'c')")
		r.prepare("t")
		tail := r.stream(r.start)
		r.exec("ALTER TABLE t MODIFY a VARCHAR(20)")
		tail.fails(sources.ErrSchemaChanged, "t.a was varchar(10)")
		r.same(tail.changes, nil)
		mark := tail.mark()
		r.exec("ALTER TABLE t MODIFY b VARCHAR(20)", "ALTER TABLE t MODIFY a VARCHAR(30)", "ALTER TABLE t MODIFY c VARCHAR(9)")
		tail = r.restart(mark, "t")
		tail.expect("stale t(a)", "stale t(c)") // a had been altered before
		tail.stop()
		tail = r.restart(mark, "t")
		tail.expect("stale t(b)", "stale t(a)", "stale t(c)") // it goes on from elsewhere
	})
}
