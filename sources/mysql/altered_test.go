package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"haystream/sources"
)

// values are those of each column of a table, in the order of its key.
func (r *rig) values(table string) map[string]string {
	r.Helper()
	all := map[string]string{}
	var names []string
	r.must(r.admin.query(r.Context(), "SHOW COLUMNS FROM "+table, func(row [][]byte) error {
		names = append(names, string(row[0]))
		return nil
	}))
	r.must(r.admin.query(r.Context(), "SELECT "+quoteAll(names)+" FROM "+table+" ORDER BY id", func(row [][]byte) error {
		for i, value := range row {
			all[names[i]] += fmt.Sprintf("%q ", value)
		}
		return nil
	}))
	return all
}

// What statements do to rows, on real servers and all while nobody listened: no
// column that is not said to be stale has other values.
func TestAlteredRows(t *testing.T) {
	const (
		plain  = "(id INT PRIMARY KEY, a INT, b DECIMAL(8,2), c VARCHAR(20) CHARACTER SET latin1 NOT NULL, d DATETIME, e ENUM('x','y'), g INT AS (a * 2) STORED)"
		parted = "(id INT PRIMARY KEY, a INT, b DECIMAL(8,2), c VARCHAR(20), d DATETIME, e ENUM('x','y'), g INT AS (a * 2) STORED) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (2), PARTITION q VALUES LESS THAN (9))"
	)
	cases := []struct {
		shape      string
		statements string // one a line; + for ALTER TABLE $t
		want       string // columns, or t; empty: nothing
		only       flavor
	}{
		{plain, "+ADD INDEX (a), ADD UNIQUE KEY u (a, b), ADD CONSTRAINT k CHECK (a > 0)\n+RENAME INDEX u TO v\n+DROP INDEX v, DROP CHECK k", "", mysqlServer},
		{plain, "+ADD INDEX (a), ADD UNIQUE KEY u (a, b)\n+RENAME INDEX u TO v\n+DROP INDEX v", "", 0},
		{plain, "+ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES parent (id)\n+DROP FOREIGN KEY f", "t", 0}, // which may have acted, as far as the statement tells
		{plain, "+ADD CONSTRAINT k CHECK (a > 0)\n+DROP CONSTRAINT k", "t", 0},
		{plain, "+COMMENT 'x', AUTO_INCREMENT = 9, ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE 8, STATS_PERSISTENT = 1\n+ENGINE = InnoDB\n+FORCE\n+ENGINE = MyISAM\n+ENGINE = InnoDB", "", 0},
		{plain, "+ALTER a SET DEFAULT 7, ALTER COLUMN c SET DEFAULT 'q'\n+ALTER a DROP DEFAULT\n+DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin\n+ORDER BY a, b DESC\n+DISABLE KEYS\n+ENABLE KEYS", "", 0},
		{plain, "OPTIMIZE TABLE $t\nANALYZE TABLE $t\nCHECK TABLE $t\nREPAIR TABLE $t\nCREATE INDEX i ON $t (a)\nDROP INDEX i ON $t\nCREATE TABLE IF NOT EXISTS $t (id INT)", "", 0},
		{plain, "+ADD INDEX i (a), ALGORITHM=INPLACE, LOCK=NONE\n+ALTER INDEX i INVISIBLE\n+ALTER INDEX i VISIBLE", "", mysqlServer},
		{plain, "+ADD INDEX i (a), LOCK=NONE\n+ALTER INDEX i IGNORED\n+ADD COLUMN IF NOT EXISTS a INT DEFAULT 9\n+DROP COLUMN IF EXISTS nothing", "nothing", mariadbServer},
		{plain, "+PARTITION BY HASH (id) PARTITIONS 2\n+ADD PARTITION PARTITIONS 1\n+COALESCE PARTITION 1\n+REBUILD PARTITION ALL\n+REMOVE PARTITIONING", "", 0},
		{parted, "+ADD PARTITION (PARTITION r VALUES LESS THAN (20))\n+REORGANIZE PARTITION p, q INTO (PARTITION s VALUES LESS THAN (9))\n+REBUILD PARTITION s, r\n+OPTIMIZE PARTITION s\n+ANALYZE PARTITION ALL\n+CHECK PARTITION s\n+REPAIR PARTITION s", "", 0},
		{parted, "+TRUNCATE PARTITION p", "t", 0},
		{parted, "+DROP PARTITION q", "t", 0},
		{parted, "CREATE TABLE $x LIKE $t\nALTER TABLE $x REMOVE PARTITIONING\nALTER TABLE $t EXCHANGE PARTITION p WITH TABLE $x\nDROP TABLE $x", "t", 0},
		{parted, "+CONVERT PARTITION q TO TABLE $x\n+CONVERT TABLE $x TO PARTITION z VALUES LESS THAN (30)", "t", mariadbServer},

		{plain, "+ADD n INT DEFAULT 5", "n", 0},
		{plain, "+ADD COLUMN (n INT DEFAULT (1 + 1), m VARCHAR(9) DEFAULT 'a,b') , ADD INDEX (a)", "n,m", 0},
		{plain, "+DROP b\n+ADD b INT DEFAULT 5 AFTER a", "b", 0},
		{plain, "+DROP b, ADD b INT DEFAULT 5", "b", 0},
		{plain, "+RENAME COLUMN b TO x\n+RENAME COLUMN d TO b\n+RENAME COLUMN x TO d", "b,x,d", 0},
		{plain, "+RENAME COLUMN b TO d, RENAME COLUMN d TO b", "b,d", 0},
		{plain, "+CHANGE b d DECIMAL(8,2), CHANGE d b DATETIME", "b,d,g", 0},
		{plain, "+MODIFY a SMALLINT\n+MODIFY a INT", "a,g", 0},
		{plain, "+MODIFY b DECIMAL(8,1)\n+MODIFY B DECIMAL(8,2)", "b,g,B", 0},
		{plain, "+MODIFY e ENUM('y','x')\n+MODIFY e ENUM('x','y') FIRST", "e,g", 0},
		{plain, "SET time_zone = '+00:00'\n+MODIFY d TIMESTAMP NULL\nSET time_zone = '-07:00'\n+MODIFY d DATETIME\nSET time_zone = '+00:00'", "d,g", 0},
		{plain, "+CONVERT TO CHARACTER SET ascii", "c,e,g", 0},
		{plain, "+DROP PRIMARY KEY, ADD CONSTRAINT p PRIMARY KEY (id, c(9), `A` DESC)\n+DROP PRIMARY KEY, ADD PRIMARY KEY (id)", "id,c,A,a,g", 0},
		{plain, "+DROP g\n+ADD g INT AS (a * 3) STORED", "g", 0},
		{plain, "+/*!50001 MODIFY a INT FIRST */", "a,g", 0},

		{plain, "TRUNCATE TABLE $t", "t", 0},
		{plain, "--\ntruncate table $t", "t", 0},
		{plain, "RENAME TABLE $t TO $x\nRENAME TABLE $x TO $t", "t", 0},
		{plain, "RENAME TABLE $t TO $x\nCREATE TABLE $t LIKE $x\nDROP TABLE $x", "t", 0},
		{plain, "+RENAME TO $x\nALTER TABLE $x RENAME AS $t", "t", 0},
		{plain, "CREATE OR REPLACE TABLE $t LIKE parent", "t", mariadbServer},
		{plain, "CREATE TABLE $x LIKE $t\nRENAME TABLE $t TO $y, $x TO $t, $y TO $x\nDROP TABLE $x", "t", 0},
		{plain, "+ADD SYSTEM VERSIONING\n+DROP SYSTEM VERSIONING", "t", mariadbServer},
		{plain, "+ADD n INT DEFAULT 5\nALTER IGNORE TABLE $t ADD UNIQUE (n)", "t", mariadbServer}, // one row is left
		{plain, "+MODIFY $t.b DECIMAL(8,1), ADD $t.n INT\n+CHANGE COLUMN b $t.b DECIMAL(8,2)", "b,n,g", mariadbServer},
		{plain, "+DROP g\n+ENGINE = BLACKHOLE\n+ENGINE = InnoDB", "t", mysqlServer},
	}
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE parent (id INT PRIMARY KEY)", "INSERT INTO parent VALUES (1), (2), (3)")
		r.prepare("parent")
		var names []string
		for i, c := range cases {
			if c.only != 0 && c.only != r.admin.flavor {
				continue
			}
			name := fmt.Sprintf("t%d", i)
			r.exec("CREATE TABLE "+name+c.shape, "INSERT INTO "+name+" (id, a, b, c, d, e) VALUES (1, 1, 1.25, 'é', '2024-01-02 03:04:05', 'x'), (2, 2, 2.75, 'f', '2024-07-02 03:04:05', 'y')")
		}
		r.prepare("parent")
		start := r.start
		for i, c := range cases {
			if c.only != 0 && c.only != r.admin.flavor {
				continue
			}
			name := fmt.Sprintf("t%d", i)
			before := r.values(name)
			r.exec(spelled(c.statements, name)...)
			after := r.values(name)
			for column, values := range before {
				stale := c.want == "t" || slices.ContainsFunc(strings.Split(c.want, ","), func(s string) bool { return strings.EqualFold(s, column) })
				if now, there := after[column]; !stale && (!there || now != values) {
					t.Errorf("%s: column %s was %s and is %s", c.statements, column, values, now)
				}
			}
			names = append(names, name)
		}
		tail := r.restart(start, names...)
		tail.catchUp()
		for i, c := range cases {
			if c.only != 0 && c.only != r.admin.flavor {
				continue
			}
			want, got := strings.Split(c.want, ","), []string{}
			if c.want == "" {
				want = []string{}
			}
			for _, change := range tail.changes {
				rest, _ := strings.CutPrefix(change, fmt.Sprintf("stale t%d", i))
				switch {
				case rest == "":
					got = []string{"t"}
				case rest[0] == '(' && !slices.Equal(got, []string{"t"}):
					for column := range strings.SplitSeq(strings.Trim(rest, "()"), ",") {
						if !slices.Contains(got, column) {
							got = append(got, column)
						}
					}
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", c.statements, got, want)
			}
		}
	})
}

// spelled are statements, one a line, about a table of that name.
func spelled(text, name string) []string {
	const dashes = "--\n"
	lines := strings.Split(strings.ReplaceAll(text, dashes, "--\t\v"), "\n")
	for i, line := range lines {
		if rest, alters := strings.CutPrefix(line, "+"); alters {
			line = "ALTER TABLE $t " + rest
		}
		lines[i] = strings.NewReplacer("$t", name, "$x", name+"x", "$y", name+"y", "--\t\v", dashes).Replace(line)
	}
	return lines
}

// A replay numbers changes as they were numbered before, though the catalog is a
// later one by then: what is harmless takes a number, and rows of the past do.
func TestNumbersAcrossStatements(t *testing.T) {
	eachRig(t, func(r *rig) {
		statements := []string{
			"INSERT INTO t VALUES (1, 'a')", "ALTER TABLE t COMMENT 'x'", "INSERT INTO t VALUES (2, 'b')", "CREATE INDEX i ON t (name)", "UPDATE t SET name = 'c' WHERE id = 2",
			"ALTER TABLE t MODIFY name VARCHAR(90)", "INSERT INTO t VALUES (3, 'd')", "ALTER TABLE t CONVERT TO CHARACTER SET latin2", "DELETE FROM t WHERE id = 3",
		}
		if r.isMaria() {
			statements = append(statements, "ALTER TABLE t ADD SYSTEM VERSIONING", "UPDATE t SET name = 'e'", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (4, 'f')")
		}
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		numbered := func(tail *tail) (all []string) {
			for i, change := range tail.changes {
				all = append(all, fmt.Sprintf("%d %s", tail.versions[i]-r.start.Version, change))
			}
			return all
		}
		var live []string
		tail := r.stream(r.start)
		for _, s := range statements {
			r.exec(s)
			if !strings.Contains(s, "MODIFY") && !strings.Contains(s, "CONVERT") && !strings.Contains(s, "SYSTEM") {
				tail.catchUp()
				continue
			}
			tail.fails(sources.ErrSchemaChanged, "")
			live = append(live, numbered(tail)...)
			tail = r.restart(tail.mark(), "t")
		}
		tail.catchUp()
		live = append(live, numbered(tail)...)
		tail.stop()
		tail = r.restart(r.start, "t")
		tail.catchUp()
		r.same(numbered(tail), live)
	})
}
