package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// TestFingerprint runs statements and says what became stale by them: nothing,
// columns, or the table.
func TestFingerprint(t *testing.T) {
	const (
		columns = "CREATE TABLE t (id int PRIMARY KEY, a int, b int DEFAULT 7, v varchar(20), w text); INSERT INTO t VALUES (1, 1, 2, 'x', 'y')"
		types   = "CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TYPE pair AS (m mood, n int); CREATE DOMAIN whole AS int CHECK (VALUE > 0); CREATE TABLE t (id int PRIMARY KEY, a mood, b mood[], v pair, w whole)"
		parts   = "CREATE TABLE t (id int, a int, b int, v varchar(20), w text, PRIMARY KEY (id)) PARTITION BY RANGE (id);" +
			"CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);" +
			"CREATE TABLE t21 PARTITION OF t2 FOR VALUES FROM (10) TO (15); CREATE TABLE x (LIKE t INCLUDING ALL); INSERT INTO t VALUES (1), (10)"
	)
	tests := []struct {
		name, before, change string
		since                int // version of PostgreSQL
		want                 string
	}{
		{"nothing", columns, "SELECT 1", 0, ""},
		{"attributes of a column", columns, "ALTER TABLE t ALTER a SET DEFAULT 3, ALTER a SET NOT NULL, ALTER b DROP DEFAULT, ALTER v SET STATISTICS 5; GRANT SELECT (a) ON t TO public; COMMENT ON COLUMN t.a IS 'a'", 0, ""},
		{"vacuum full", columns, "VACUUM FULL t", 0, ""},
		{"cluster", columns, "CLUSTER t USING t_pkey", 0, ""},
		{"vacuum full of the catalog", columns, "VACUUM FULL pg_attribute", 0, ""},
		{"moves", columns, "ALTER TABLE t SET UNLOGGED; ALTER TABLE t SET LOGGED", 0, ""},
		{"upkeep", columns, "CREATE INDEX ON t (a); ANALYZE t; VACUUM FREEZE t; REINDEX TABLE t; ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t SET (fillfactor = 50)", 0, ""},
		{"vacuum full after a default was added", columns + "; ALTER TABLE t ADD c int DEFAULT 5", "VACUUM FULL t", 0, ""},
		{"other columns", columns, "ALTER TABLE t ADD c int DEFAULT 5, ADD d float DEFAULT random(); ALTER TABLE t DROP c", 0, ""},
		{"a column gone", columns, "ALTER TABLE t DROP w", 0, "w"},
		{"a column renamed", columns, "ALTER TABLE t RENAME w TO other", 0, "w"},
		{"a column renamed away and back", columns, "ALTER TABLE t RENAME w TO other; ALTER TABLE t RENAME other TO w", 0, ""},
		{"names swapped", columns, "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b", 0, "a b"},
		{"dropped and added", columns, "ALTER TABLE t DROP a, ADD a int DEFAULT 1", 0, "a"},
		{"computed anew", columns, "ALTER TABLE t ALTER a TYPE int USING a * 100", 0, "a"},
		{"computed anew with a default", columns, "ALTER TABLE t ALTER b TYPE int USING b * 100", 0, "b"},
		{"a longer varchar", columns, "ALTER TABLE t ALTER v TYPE varchar(200)", 0, ""},
		{"a shorter varchar", columns, "ALTER TABLE t ALTER v TYPE varchar(2)", 0, "v"},
		{"varchar to text and back", columns, "ALTER TABLE t ALTER v TYPE text, ALTER w TYPE varchar", 0, ""},
		{"another collation", columns, `ALTER TABLE t ALTER w TYPE text COLLATE "C"`, 0, "w"},
		{"a wider number", columns, "ALTER TABLE t ALTER a TYPE bigint", 0, "a"},
		{"a type that prints otherwise", "CREATE TABLE t (id int PRIMARY KEY, a cidr, b oid, v timestamptz); SET TimeZone = 'UTC'", "ALTER TABLE t ALTER a TYPE inet, ALTER b TYPE regclass, ALTER v TYPE timestamp", 0, "a b v"},
		{"a generation expression", "CREATE TABLE t (id int PRIMARY KEY, a int GENERATED ALWAYS AS (id * 2) STORED)", "ALTER TABLE t ALTER a SET EXPRESSION AS (id * 3)", 17, "a"},
		{"a virtual column's expression", "CREATE TABLE t (id int PRIMARY KEY, a int GENERATED ALWAYS AS (id * 2) VIRTUAL)", "ALTER TABLE t ALTER a SET EXPRESSION AS (id * 3)", 18, "a"},

		{"a label more", types, "ALTER TYPE mood ADD VALUE 'fine' BEFORE 'ok'", 0, ""},
		{"a label renamed", types, "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", 0, "a b v"},
		{"labels swapped", types, "ALTER TYPE mood RENAME VALUE 'ok' TO 'x'; ALTER TYPE mood RENAME VALUE 'bad' TO 'ok'; ALTER TYPE mood RENAME VALUE 'x' TO 'bad'", 0, "a b v"},
		{"a label renamed away and back", types, "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; ALTER TYPE mood RENAME VALUE 'fine' TO 'ok'", 0, "a b v"},
		{"a member renamed away and back", types, "ALTER TYPE pair RENAME ATTRIBUTE n TO o; ALTER TYPE pair RENAME ATTRIBUTE o TO n", 0, "v"},
		{"vacuum full of what tells of types", types, "VACUUM FULL pg_enum; VACUUM FULL pg_type; VACUUM FULL pg_attribute", 0, ""},
		{"types renamed", types, "ALTER TYPE mood RENAME TO humour; ALTER TYPE pair RENAME TO two; ALTER DOMAIN whole RENAME TO natural_number", 0, ""},
		{"a member more", types, "ALTER TYPE pair ADD ATTRIBUTE o int", 0, "v"},
		{"a member less", types, "ALTER TYPE pair DROP ATTRIBUTE n", 0, "v"},
		{"a member renamed", types, "ALTER TYPE pair RENAME ATTRIBUTE n TO o", 0, "v"},
		{"a member dropped and added", types, "ALTER TYPE pair DROP ATTRIBUTE n; ALTER TYPE pair ADD ATTRIBUTE n int", 0, "v"},
		{"a domain's constraints", types, "ALTER DOMAIN whole ADD CHECK (VALUE > -5); ALTER DOMAIN whole SET NOT NULL", 0, ""},
		{"a domain for its base type", types, "ALTER TABLE t ALTER w TYPE int", 0, ""},

		{"the table renamed away and back", columns, "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t", 0, ""},
		{"dropped and created", columns, "DROP TABLE t; " + columns, 0, "table: it is another table"},
		{"another table by that name", columns + "; CREATE TABLE u AS TABLE t", "ALTER TABLE t RENAME TO old; ALTER TABLE u RENAME TO t", 0, "table: it is another table"},
		{"a partitioned one by that name", columns, "ALTER TABLE t RENAME TO t1; CREATE TABLE t (LIKE t1) PARTITION BY RANGE (id); ALTER TABLE t ATTACH PARTITION t1 DEFAULT", 0, "table: it is another table"},

		{"partitions vacuumed", parts, "VACUUM FULL t1; VACUUM FULL t21", 0, ""},
		{"partitions' columns", parts, "ALTER TABLE t ALTER a SET DEFAULT 5, ADD c int DEFAULT 5", 0, ""},
		{"partitions written anew", parts, "ALTER TABLE t ADD d float DEFAULT random()", 0, ""},
		{"partitions computed anew", parts, "ALTER TABLE t ALTER a TYPE int USING a * 100", 0, "a"},
		{"a partition made", parts, "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30)", 0, ""},
		{"a partition made and filled", parts, "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30); INSERT INTO t VALUES (20)", 0, ""},
		{"a partition made and filled in one transaction", parts, "BEGIN; CREATE TABLE t3 PARTITION OF t DEFAULT; INSERT INTO t VALUES (20); COMMIT", 0, ""},
		{"a deeper partition made and filled", parts, "CREATE TABLE t22 PARTITION OF t2 FOR VALUES FROM (15) TO (20); INSERT INTO t VALUES (16)", 0, ""},
		{"a tree of partitions made and filled", parts, "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30) PARTITION BY RANGE (id); CREATE TABLE t31 PARTITION OF t3 DEFAULT; INSERT INTO t VALUES (20)", 0, ""},
		{"a partition with defaults made and filled", "CREATE TABLE t (id int DEFAULT 1, a int DEFAULT 1) PARTITION BY LIST (id)", "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); INSERT INTO t DEFAULT VALUES", 0, ""},
		{"a partition renamed", parts, "ALTER TABLE t1 RENAME TO t3", 0, ""},
		{"an empty one attached", parts, "ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30)", 0, ""},
		{"an empty one attached, then filled", parts, "ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30); INSERT INTO t VALUES (20); INSERT INTO t VALUES (21)", 0, ""},
		{"one attached and filled in one transaction", parts, "BEGIN; ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30); INSERT INTO t VALUES (20); COMMIT", 0, ""},
		{"one made and attached in one transaction", parts, "BEGIN; CREATE TABLE y (LIKE t); ALTER TABLE t ATTACH PARTITION y DEFAULT; COMMIT", 0, ""},
		{"an emptied one attached", parts, "INSERT INTO x VALUES (20); TRUNCATE x; ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30)", 0, ""},
		{"a filled one attached", parts, "INSERT INTO x VALUES (20); ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30)", 0, "table: public.x came"},
		{"one filled, attached and filled", parts, "INSERT INTO x VALUES (20); ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30); INSERT INTO t VALUES (21)", 0, "table: public.x came"},
		{"one filled and attached in one transaction", parts, "BEGIN; INSERT INTO x VALUES (20); ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30); COMMIT", 0, "table: public.x came"},
		{"one filled in a savepoint and attached", parts, "BEGIN; SAVEPOINT s; INSERT INTO x VALUES (20); RELEASE s; ALTER TABLE t ATTACH PARTITION x FOR VALUES FROM (20) TO (30); COMMIT", 0, "table: public.x came"},
		{"one made, filled and attached in one transaction", parts, "BEGIN; CREATE TABLE y AS SELECT 20 AS id, 1 AS a, 2 AS b, 'v'::varchar(20) AS v, 'w' AS w; ALTER TABLE y ALTER id SET NOT NULL; ALTER TABLE t ATTACH PARTITION y FOR VALUES FROM (20) TO (30); COMMIT", 0, "table: public.y came"},
		{"one with a dropped column, made, filled and attached", parts, "BEGIN; CREATE TABLE y (gone int, LIKE t); ALTER TABLE y DROP gone; INSERT INTO y VALUES (20); ALTER TABLE t ATTACH PARTITION y DEFAULT; COMMIT", 0, "table: public.y came"},
		{"a filled tree attached", parts, "CREATE TABLE y (LIKE t) PARTITION BY RANGE (id); CREATE TABLE y1 PARTITION OF y DEFAULT; INSERT INTO y VALUES (20); ALTER TABLE t ATTACH PARTITION y FOR VALUES FROM (20) TO (30)", 0, "table: public.y1 came"},
		{"an empty tree attached, then filled", parts, "CREATE TABLE y (LIKE t) PARTITION BY RANGE (id); CREATE TABLE y1 PARTITION OF y DEFAULT; ALTER TABLE t ATTACH PARTITION y FOR VALUES FROM (20) TO (30); INSERT INTO t VALUES (20)", 0, ""},
		{"a partition detached", parts, "ALTER TABLE t DETACH PARTITION t1", 0, "table: public.t1 went"},
		{"a deeper one dropped", parts, "DROP TABLE t21", 0, "table: public.t21 went"},
		{"a tree detached", parts, "ALTER TABLE t DETACH PARTITION t2", 0, "table: public.t21 went"},
		{"detached and attached again", parts, "ALTER TABLE t DETACH PARTITION t1; UPDATE t1 SET a = 5; ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (1) TO (10)", 0, "table: public.t1 went"},
		{"a tree detached and attached again", parts, "ALTER TABLE t DETACH PARTITION t2; ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)", 0, "table: public.t21 went"},
		{"a partition unlogged", parts, "ALTER TABLE t21 SET UNLOGGED", 0, "table: which of its rows are logged"},
	}
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version}), "fingerprint")
			for _, test := range tests {
				if serverVersion(r.admin) < test.since*10000 {
					continue
				}
				r.exec("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
				r.run(test.before)
				earlier := r.fingerprint("public.t")
				r.run(test.change)
				now := r.fingerprint("public.t")
				if got := staleText(now.Since(earlier)); got != test.want {
					t.Errorf("%s: stale is %q, want %q", test.name, got, test.want)
				}
				if again := r.fingerprint("public.t"); !again.Equal(now) || again.Since(now) != nil {
					t.Errorf("%s: after it, two looks differ", test.name)
				}
			}
		})
	}
}

// run executes statements, each as a transaction of its own but for those
// between BEGIN and COMMIT.
func (r *rig) run(statements string) {
	r.Helper()
	for statement := range strings.SplitSeq(statements, ";") {
		r.exec(strings.TrimSpace(statement))
	}
}

func (r *rig) fingerprint(table string) sources.Fingerprint {
	r.Helper()
	tables, err := r.source.Catalog(r.Context())
	r.must(err)
	i := slices.IndexFunc(tables, func(t *sources.Table) bool { return t.String() == table })
	if i < 0 {
		r.Fatalf("no table %s", table)
	}
	return tables[i].Fingerprint
}

// staleText is short: columns, or "table: " and why.
func staleText(stale []sources.Staleness) string {
	var columns []string
	for _, s := range stale {
		if s.Columns == nil {
			text := strings.TrimPrefix(s.Reason, "has changed: ")
			if name, found := strings.CutPrefix(text, "no longer has the partition "); found {
				text = strings.TrimSuffix(name, " with the rows that it had") + " went"
			} else if name, found := strings.CutPrefix(text, "has got the partition "); found {
				text = strings.TrimSuffix(name, " with the rows that it had") + " came"
			}
			return "table: " + text
		}
		columns = append(columns, s.Columns...)
	}
	return fmt.Sprint(strings.Join(columns, " "))
}
