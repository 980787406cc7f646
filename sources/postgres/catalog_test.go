package postgres

import (
	"fmt"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// TestCatalog reads tables of every shape from real servers.
func TestCatalog(t *testing.T) {
	tests := []struct {
		name   string
		tables string // statements, one a line; tables are in the schema of the test
		want   string // of describe, one a line
	}{
		{"keys", `
CREATE TABLE common (a int, b int NOT NULL UNIQUE, PRIMARY KEY (a))
CREATE TABLE composite (a int, b text, c uuid, PRIMARY KEY (c, a))
CREATE TABLE covering (a int PRIMARY KEY, b int NOT NULL, c int, UNIQUE (b) INCLUDE (c))
CREATE TABLE deferred (a int PRIMARY KEY DEFERRABLE, b int NOT NULL UNIQUE)
CREATE TABLE expression (a text NOT NULL)
CREATE UNIQUE INDEX ON expression (lower(a))
CREATE TABLE invited (a int NOT NULL UNIQUE, b int NOT NULL, c int NOT NULL)
CREATE UNIQUE INDEX invited_index ON invited (c, b)
ALTER TABLE invited REPLICA IDENTITY USING INDEX invited_index
CREATE TABLE nullable (a int UNIQUE, b int NOT NULL, UNIQUE (a, b))
CREATE TABLE partial (a int NOT NULL)
CREATE UNIQUE INDEX ON partial (a) WHERE a > 0
CREATE TABLE "Quo""ted" ("Mixed Case" int PRIMARY KEY, "Ünïcode" text)
CREATE TABLE shortest (a int NOT NULL, b int NOT NULL, c int NOT NULL, UNIQUE (a, b), UNIQUE (c))`, `
Quo"ted key[Mixed Case] identity[Mixed Case]: Mixed Case integer!, Ünïcode text
common key[a] identity[a]: a integer!, b integer!
composite key[c a] identity[c a]: a integer!, b text, c uuid!
covering key[a] identity[a]: a integer!, b integer!, c integer
deferred key[b] identity none: a integer!, b integer!
expression key[] identity none: a text!
invited key[c b] identity[c b]: a integer!, b integer!, c integer!
nullable key[] identity none: a integer, b integer!
partial key[] identity none: a integer!
shortest key[c] identity none: a integer!, b integer!, c integer!`},

		{"identities", `
CREATE TABLE by_default (a int PRIMARY KEY, b text)
CREATE TABLE full_row (a int PRIMARY KEY, b text)
ALTER TABLE full_row REPLICA IDENTITY FULL
CREATE TABLE lost (a int PRIMARY KEY, b int NOT NULL)
CREATE UNIQUE INDEX lost_index ON lost (b)
ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_index
DROP INDEX lost_index
CREATE TABLE nothing (a int PRIMARY KEY, b text)
ALTER TABLE nothing REPLICA IDENTITY NOTHING`, `
by_default key[a] identity[a]: a integer!, b text
full_row key[a] identity full: a integer!, b text
lost key[a] identity none: a integer!, b integer!
nothing key[a] identity none: a integer!, b text`},

		{"columns", `
CREATE TABLE generated (a int PRIMARY KEY, b text GENERATED ALWAYS AS ('x' || a::text) STORED, c int GENERATED ALWAYS AS IDENTITY)
CREATE TABLE storage (a int PRIMARY KEY, gone text, b text, c bytea, d numeric(10,2), e varchar(5), f int[])
ALTER TABLE storage DROP COLUMN gone
ALTER TABLE storage ALTER b SET STORAGE PLAIN, ALTER c SET STORAGE EXTERNAL
INSERT INTO storage (a, c) VALUES (1, decode(repeat('00', 3000), 'hex'))
VACUUM storage
CREATE TABLE short (a int PRIMARY KEY, b text)
INSERT INTO short VALUES (1, 'b')`, `
generated key[a] identity[a]: a integer!, b text generated, c integer!
short key[a] identity[a]: a integer!, b text
storage key[a] identity[a] rows 1: a integer!, b text, c bytea?, d numeric(10,2)?, e character varying(5)?, f integer[]?`},

		{"partitions", `
CREATE TABLE deep (a int, b int, t text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a)
CREATE TABLE deep_1 PARTITION OF deep FOR VALUES FROM (0) TO (10) PARTITION BY LIST (b)
CREATE TABLE deep_1_1 PARTITION OF deep_1 FOR VALUES IN (1)
CREATE TABLE deep_2 (gone int, t text, b int NOT NULL, a int NOT NULL)
ALTER TABLE deep_2 DROP COLUMN gone
ALTER TABLE deep ATTACH PARTITION deep_2 FOR VALUES FROM (10) TO (20)
INSERT INTO deep VALUES (1, 1, NULL), (10, 1, NULL), (11, 1, (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n))
VACUUM deep
ANALYZE deep
CREATE TABLE all_full (a int PRIMARY KEY, t text) PARTITION BY HASH (a)
CREATE TABLE all_full_1 PARTITION OF all_full FOR VALUES WITH (MODULUS 2, REMAINDER 0)
CREATE TABLE all_full_2 PARTITION OF all_full FOR VALUES WITH (MODULUS 2, REMAINDER 1)
ALTER TABLE all_full_1 REPLICA IDENTITY FULL
ALTER TABLE all_full_2 REPLICA IDENTITY FULL
CREATE TABLE mixed (a int PRIMARY KEY, t text) PARTITION BY HASH (a)
CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES WITH (MODULUS 2, REMAINDER 0)
CREATE TABLE mixed_2 PARTITION OF mixed FOR VALUES WITH (MODULUS 2, REMAINDER 1)
ALTER TABLE mixed REPLICA IDENTITY FULL
ALTER TABLE mixed_1 REPLICA IDENTITY FULL
CREATE TABLE differing (a int NOT NULL, b int NOT NULL, c int NOT NULL) PARTITION BY LIST (a)
CREATE TABLE differing_1 PARTITION OF differing (UNIQUE (a, b)) FOR VALUES IN (1)
CREATE TABLE differing_2 PARTITION OF differing (UNIQUE (c, a)) FOR VALUES IN (2)
ALTER TABLE differing_1 REPLICA IDENTITY USING INDEX differing_1_a_b_key
ALTER TABLE differing_2 REPLICA IDENTITY USING INDEX differing_2_c_a_key
CREATE TABLE empty (a int PRIMARY KEY) PARTITION BY LIST (a)`, `
all_full key[a] identity full: a integer!, t text
deep key[a b] identity[a b] rows 3: a integer!, b integer!, t text?
differing key[] identity[a]: a integer!, b integer!, c integer!
empty key[a] identity[a]: a integer!
mixed key[a] identity[a]: a integer!, t text`},

		{"references", `
CREATE TABLE person (id bigint PRIMARY KEY, a int, b text, UNIQUE (b, a))
CREATE TABLE note (id int PRIMARY KEY, user_id int REFERENCES person ON DELETE CASCADE ON UPDATE SET NULL, second int CONSTRAINT "Second" REFERENCES person ON DELETE SET DEFAULT, x text, y int, parent int REFERENCES note, FOREIGN KEY (y, x) REFERENCES person (a, b))
CREATE TABLE parted (id int PRIMARY KEY, person int REFERENCES person) PARTITION BY HASH (id)
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0)
CREATE TABLE to_parted (id int PRIMARY KEY, of_root int REFERENCES parted, of_part int REFERENCES parted_0)`, `
note key[id] identity[id]: id integer!, user_id integer, second integer, x text, y integer, parent integer [second]->person[id] SET DEFAULT RESTRICT [parent]->note[id] RESTRICT RESTRICT [user_id]->person[id] CASCADE SET NULL [y x]->person[a b] RESTRICT RESTRICT
parted key[id] identity[id]: id integer!, person integer [person]->person[id] RESTRICT RESTRICT
person key[id] identity[id]: id bigint!, a integer, b text
to_parted key[id] identity[id]: id integer!, of_root integer, of_part integer [of_part]->parted[id] RESTRICT RESTRICT [of_root]->parted[id] RESTRICT RESTRICT`},

		{"others", `
CREATE TABLE parent (a int PRIMARY KEY)
CREATE TABLE child (b int) INHERITS (parent)
CREATE TEMPORARY TABLE temporary (a int)
CREATE VIEW a_view AS SELECT 1 AS a
CREATE MATERIALIZED VIEW materialized AS SELECT 1 AS a
CREATE SEQUENCE sequence
CREATE TABLE no_columns ()
CREATE UNLOGGED TABLE unlogged (a int)
INSERT INTO parent VALUES (1), (2)
ANALYZE parent`, `
child key[] identity none: a integer!, b integer
no_columns key[] identity none:
parent key[a] identity[a] rows 2: a integer!
unlogged key[] identity none: a integer`},
	}
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version})
			conn := connect(t, server.URL)
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					schema := "Schema of " + test.name
					execute(t, conn, fmt.Sprintf(`CREATE SCHEMA %q`, schema), fmt.Sprintf(`SET search_path = %q`, schema))
					execute(t, conn, strings.Split(strings.TrimSpace(test.tables), "\n")...)
					execute(t, conn, "SET search_path = ''")
					tables, _, err := readCatalog(t.Context(), conn, catalogScope{})
					if err != nil {
						t.Fatal(err)
					}
					got := ""
					for _, table := range tables {
						if table.Schema == schema {
							got += "\n" + describe(table)
						}
					}
					if got != test.want {
						t.Errorf("got:%s\nwant:%s", got, test.want)
					}
				})
			}
		})
	}
}

// describe is a table on one line: ! marks a column that is not null, ? one
// that may be missing.
func describe(t *sources.Table) string {
	names := func(columns []int) (names []string) {
		for _, i := range columns {
			names = append(names, t.Columns[i].Name)
		}
		return names
	}
	text := fmt.Sprintf("%s key%v identity", t.Name, names(t.Key))
	switch t.Identity {
	case sources.IdentityNone:
		text += " none"
	case sources.IdentityFull:
		text += " full"
	case sources.IdentityKey:
		text += fmt.Sprint(names(t.IdentityColumns))
	}
	if t.EstimatedRows > 0 {
		text += fmt.Sprintf(" rows %d", t.EstimatedRows)
	}
	text += ":"
	for i, c := range t.Columns {
		if i > 0 {
			text += ","
		}
		text += " " + c.Name + " " + c.Type.SQL
		if c.NotNull {
			text += "!"
		}
		if c.MayBeMissing {
			text += "?"
		}
		if c.Generated && c.NotLogged {
			text += " generated"
		}
	}
	for _, k := range t.ForeignKeys {
		text += fmt.Sprintf(" %v->%s%v %s %s", k.Columns, k.Table, k.Targets, k.OnDelete, k.OnUpdate)
	}
	return text
}

// TestCatalogRelations: the rows of a partition belong to the root of its
// tree, and reading again finds one that came later.
func TestCatalogRelations(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: servers.PostgresVersions()[0]})
	conn := connect(t, server.URL)
	execute(t, conn, "CREATE TABLE public.root (a int) PARTITION BY LIST (a)",
		"CREATE TABLE public.middle PARTITION OF public.root FOR VALUES IN (1, 2) PARTITION BY LIST (a)",
		"CREATE TABLE public.leaf PARTITION OF public.middle FOR VALUES IN (1)")
	check := func(registry *typeRegistry, name, want string) {
		t.Helper()
		var oid uint32
		if err := conn.QueryRow(t.Context(), "SELECT $1::regclass::oid", "public."+name).Scan(&oid); err != nil {
			t.Fatal(err)
		}
		table, got := registry.table(oid), ""
		if table != nil {
			got = table.Name
		}
		if got != want {
			t.Errorf("rows of %s belong to %q, want %q", name, got, want)
		}
	}
	_, before, err := readCatalog(t.Context(), conn, catalogScope{})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "CREATE TABLE public.late PARTITION OF public.middle FOR VALUES IN (2)")
	tables, after, err := readCatalog(t.Context(), conn, catalogScope{})
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 1 {
		t.Errorf("%d tables, want the root only", len(tables))
	}
	for _, name := range []string{"root", "middle", "leaf"} {
		check(before, name, "root")
	}
	check(before, "late", "")
	check(after, "late", "root")
	if tables[0].EstimatedRows != -1 {
		t.Errorf("%d rows estimated, want none", tables[0].EstimatedRows)
	}
	if _, _, err := before.lookup(1<<31, -1); err == nil {
		t.Error("an unknown type was found")
	}
}
