package postgres

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/internal/servers"
	"haystream/sources"
)

// TestCheck compares whole reports. A check changes nothing.
func TestCheck(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"tables":       testCheckTables,
		"privileges":   testCheckPrivileges,
		"publications": testPublications,
		"refused":      testPublicationRefused,
		"logins":       testLogins,
		"views":        testViews,
	})
}

// findings are those of tables and what belongs to the pipeline, sorted; the
// server's own are another test's.
func (r *rig) findings(subjects ...string) string {
	r.Helper()
	const made = "(SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)"
	before := r.ask(made)
	found, err := r.source.Check(r.Context(), r.tables)
	r.must(err)
	if r.ask(made) != before {
		r.Error("a check created something")
	}
	var lines []string
	for _, f := range found {
		if slices.ContainsFunc(subjects, func(s string) bool { return strings.HasPrefix(f.Subject, s) }) {
			lines = append(lines, f.String())
		}
	}
	return strings.Join(lines, "\n")
}

func (r *rig) expectFindings(want string, subjects ...string) {
	r.Helper()
	if got := r.findings(subjects...); got != strings.TrimSpace(want) {
		r.Errorf("findings are\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
}

func testCheckTables(r *rig) {
	r.exec("CREATE TABLE good (id int PRIMARY KEY, n int)",
		"CREATE TABLE keyless (n int)",
		`CREATE TABLE "Odd" (id int, body text)`, `ALTER TABLE "Odd" REPLICA IDENTITY FULL`,
		"CREATE TABLE toasted (id int PRIMARY KEY, body text)", "ALTER TABLE toasted ALTER body SET STORAGE EXTERNAL", "INSERT INTO toasted VALUES (1, repeat('x', 3000))",
		"CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)",
		"CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
		"CREATE TABLE other (id int PRIMARY KEY, code int NOT NULL UNIQUE)", "ALTER TABLE other REPLICA IDENTITY USING INDEX other_code_key",
		"CREATE TABLE parts (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)", "ALTER TABLE parts REPLICA IDENTITY FULL",
		"CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10)",
		"CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20)", "ALTER TABLE parts_2 REPLICA IDENTITY NOTHING")
	r.plan("public.good", "public.toasted", "public.keyless", "public.Odd", "public.unlogged", "public.computed", "public.other", "public.parts")
	r.tables[3].Key = []int{0} // as tables.Odd.key says
	computed := *r.tables[5]
	computed.Columns = append(slices.Clone(computed.Columns), sources.Column{Name: "twice", NotLogged: true, Generated: true})
	r.tables[5] = &computed
	r.expectFindings(`
ok: table public.good: key (id)
ok: table public.toasted: key (id)
error: table public.keyless: it has no key; to mend it: add a primary key; or, if some columns identify a row all the same, ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL and name them in tables.keyless.key
error: table public.keyless: without a replica identity its updates and deletes cannot be followed, and would fail once it is published; to mend it: ALTER TABLE public.keyless REPLICA IDENTITY FULL
error: table public.Odd: its key column id may be NULL; to mend it: ALTER TABLE "public"."Odd" ALTER COLUMN "id" SET NOT NULL
warning: table public.Odd: no index has the key as its first columns: each chunk of a snapshot sorts the whole table; to mend it: CREATE UNIQUE INDEX CONCURRENTLY ON "public"."Odd" ("id")
error: table public.unlogged: it is unlogged; to mend it: ALTER TABLE "public"."unlogged" SET LOGGED
error: table public.computed: generated columns are not in the log: twice; to mend it: leave them out of the definition with exclude, or use the columns they are made of
error: table public.other: its replica identity lacks key columns, so that deletes cannot be followed: id; to mend it: ALTER TABLE "public"."other" REPLICA IDENTITY FULL
error: table public.parts: without a replica identity its updates and deletes cannot be followed, and would fail once it is published; to mend it: ALTER TABLE public.parts_2 REPLICA IDENTITY FULL`, "table ")
	parts := r.tables[7:]
	if r.server.Version >= "18" {
		r.exec("CREATE TABLE unsure (id int UNIQUE)", "ALTER TABLE unsure ADD CONSTRAINT there NOT NULL id NOT VALID")
		r.plan("public.unsure")
		if unsure := r.tables[0]; len(unsure.Key) > 0 || unsure.Columns[0].NotNull || unsure.Columns[0].Unvalidated != "there" {
			r.Errorf("a NOT NULL that is NOT VALID gives %+v", unsure)
		}
		r.exec("ALTER TABLE unsure VALIDATE CONSTRAINT there")
		if r.plan("public.unsure"); len(r.tables[0].Key) != 1 {
			r.Errorf("a NOT NULL that is valid gives %+v", r.tables[0])
		}
	}
	r.exec("ALTER TABLE parts_1 REPLICA IDENTITY FULL", "ALTER TABLE parts_2 REPLICA IDENTITY FULL", "ALTER TABLE parts_2 SET UNLOGGED",
		"CREATE FOREIGN DATA WRAPPER elsewhere", "CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere", "ALTER TABLE parts DROP CONSTRAINT parts_pkey, ALTER id SET NOT NULL",
		"CREATE FOREIGN TABLE parts_3 PARTITION OF parts DEFAULT SERVER elsewhere")
	r.tables = parts
	r.expectFindings(`
error: table public.parts: its partition public.parts_2 is unlogged; to mend it: ALTER TABLE public.parts_2 SET LOGGED
error: table public.parts: its partition public.parts_3 is a foreign table, whose changes are not in the log; to mend it: ALTER TABLE "public"."parts" DETACH PARTITION public.parts_3
warning: table public.parts: no index has the key as its first columns: each chunk of a snapshot sorts the whole table; to mend it: CREATE UNIQUE INDEX CONCURRENTLY ON "public"."parts" ("id")`, "table ")
	r.exec("CREATE TYPE region AS ENUM ('north')", "CREATE TABLE refers (id int PRIMARY KEY, region region, of regclass, who regrole[], may aclitem, about oid)")
	r.plan("public.refers")
	r.expectFindings(`
warning: table public.refers: values are names of what they refer to, and the log says nothing when that is renamed: documents keep the former name until their row changes: of, who, may; to mend it: haystream verify --repair after each such renaming`, "table ")
	r.tables = []*sources.Table{{Schema: "public", Name: "absent"}}
	r.expectFindings(`error: table public.absent: there is no such table; to mend it: create it, or correct its name`, "table ")
}

// as makes the source log in as a role that may do what the grants say.
func (r *rig) as(role string, attributes string) {
	r.Helper()
	r.exec("CREATE ROLE " + role + " LOGIN " + attributes)
	r.url = strings.Replace(r.url, "postgres://postgres@", "postgres://"+role+"@", 1)
	r.source.Close()
	r.source = r.newSource()
}

func testCheckPrivileges(r *rig) {
	r.exec("CREATE SCHEMA hidden", "CREATE TABLE hidden.secrets (id int PRIMARY KEY)", "CREATE TABLE notes (id int PRIMARY KEY)", "ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
	r.plan("hidden.secrets", "public.notes")
	tables := r.tables
	r.as("least", "")
	// Defaults for people that would keep the daemon from writing, or end its queries.
	r.exec("ALTER ROLE least SET default_transaction_read_only = on", "ALTER ROLE least SET statement_timeout = '1ms'", "ALTER ROLE least SET default_transaction_isolation = 'serializable'")
	r.tables = tables
	want := `
error: role least: may not replicate; to mend it: ALTER ROLE "least" REPLICATION
ok: slot privileges: will be created
error: table hidden.secrets: role least may not use the schema; to mend it: GRANT USAGE ON SCHEMA "hidden" TO "least"
error: table hidden.secrets: role least may not read it; to mend it: GRANT SELECT ON "hidden"."secrets" TO "least"
error: table public.notes: role least may not read it; to mend it: GRANT SELECT ON "public"."notes" TO "least"
error: table public.notes: row level security hides rows from role least; to mend it: ALTER ROLE "least" BYPASSRLS
error: publication privileges: role least may not create it: that takes CREATE on the database and ownership of the tables; to mend it: as an owner, CREATE PUBLICATION "privileges" FOR TABLE ONLY "hidden"."secrets", ONLY "public"."notes"`
	r.expectFindings(want, "role", "slot", "table", "publication", "replication")
	// Each remedy is run as it is printed; then all is well.
	for _, finding := range preflight.Errors(r.check()) {
		statement := strings.TrimPrefix(finding.Remedy, "as an owner, ")
		r.exec(statement)
	}
	if left := preflight.Errors(r.check()); len(left) > 0 {
		r.Errorf("left are %v", left)
	}
	info, err := r.source.Info(r.Context())
	if err != nil || !strings.HasSuffix(info.Identity, "/privileges") || info.Kind != "postgres" || !strings.HasSuffix(info.Address, "/privileges") {
		r.Errorf("Info is %+v, %v", info, err)
	}
	r.exec("INSERT INTO notes VALUES (1)")
	r.plan("public.notes", "hidden.secrets")
	start, err := r.first()
	r.must(err)
	chunk, err := r.chunk()
	r.must(err)
	if rowTexts(chunk) != "(1)" {
		r.Errorf("the chunk has %s", rowTexts(chunk))
	}
	f := r.follow(sources.Checkpoint{Position: start.Position})
	r.exec("INSERT INTO notes VALUES (2)")
	f.expect("insert notes (2)")
	lag, err := r.source.Lag(r.Context(), start.Position)
	if err != nil || lag.Bytes <= 0 || lag.Retained < lag.Bytes || lag.SafeLeft != -1 {
		r.Errorf("the lag is %+v, %v", lag, err)
	}
}

func (r *rig) check() []preflight.Finding {
	r.Helper()
	found, err := r.source.Check(r.Context(), r.tables)
	r.must(err)
	return found
}

// testPublications begins with a publication that is not as it should be, and
// ends with exactly the tables in use.
func testPublications(r *rig) {
	r.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)", "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (a)")
	published := func() string {
		return r.ask("SELECT string_agg(format('%s%s', r.prrelid::regclass, CASE WHEN to_jsonb(r)->>'prqual' IS NOT NULL THEN '!' END), ' ' ORDER BY r.prrelid::regclass::text) || ' ' || (p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND NOT p.pubviaroot) FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE p.pubname = $1 GROUP BY p.oid", r.name)
	}
	tests := []struct {
		create  string
		finding string
		lost    string
	}{
		{"", "ok: publication publications: will be created", "public.a public.b"},
		{" FOR TABLE a, b", "ok: publication publications: carries all tables in use", ""},
		{" FOR TABLE ONLY a, b, c", "ok: publication publications: carries all tables in use", ""},
		{" FOR TABLE ONLY a", `ok: publication publications: will be altered: ALTER PUBLICATION "publications" SET TABLE ONLY "public"."a", ONLY "public"."b"`, "public.b"},
		{" FOR TABLE ONLY a WHERE (id > 1), b", `ok: publication publications: will be altered: ALTER PUBLICATION "publications" SET TABLE ONLY "public"."a", ONLY "public"."b"`, "public.a"},
		{" FOR TABLE ONLY a (id), b", `ok: publication publications: will be altered: ALTER PUBLICATION "publications" SET TABLE ONLY "public"."a", ONLY "public"."b"`, "public.a"},
		{" FOR TABLE ONLY a, b WITH (publish = 'insert')", `ok: publication publications: will be altered: ALTER PUBLICATION "publications" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false)`, "public.a public.b"},
		{" FOR TABLE ONLY a, b WITH (publish_via_partition_root)", `ok: publication publications: will be altered: ALTER PUBLICATION "publications" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false)`, "public.a public.b"},
	}
	for _, test := range tests {
		if test.create != "" {
			r.exec("CREATE PUBLICATION " + r.name + test.create)
		}
		r.plan("public.a", "public.b")
		r.expectFindings(test.finding, "publication")
		start, err := r.first()
		r.must(err)
		if again, err := r.source.Prepare(r.Context(), r.tables, start.Position); err != nil || again.Fresh || again.Position != start.Position {
			r.Errorf("%q: prepared again it is %+v, %v", test.create, again, err)
		}
		if got := published(); got != "a b true" {
			r.Errorf("%q: the publication is %s", test.create, got)
		}
		_, err = r.source.Remove(r.Context(), false)
		r.must(err)
	}
}

// testPublicationRefused: what the primary would suffer from, or what the role
// may not do, is refused with the statement, and nothing is created.
func testPublicationRefused(r *rig) {
	r.exec("CREATE TABLE keyless (id int NOT NULL)", "CREATE TABLE notes (id int PRIMARY KEY)")
	refused := func(text string) {
		r.Helper()
		_, err := r.source.Prepare(r.Context(), r.tables, "")
		if !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), text) {
			r.Errorf("Prepare gives %v, want %q", err, text)
		}
		if made := r.ask("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", r.name); made != "0" {
			r.Error("a slot was created")
		}
	}
	r.plan("public.notes", "public.keyless")
	refused("ALTER TABLE public.keyless REPLICA IDENTITY FULL")
	r.exec("UPDATE keyless SET id = 1")
	if made := r.ask("SELECT count(*) FROM pg_publication"); made != "0" {
		r.Error("a publication was created")
	}
	r.as("guest_"+r.name, "REPLICATION")
	r.exec("GRANT SELECT ON notes TO guest_" + r.name)
	r.plan("public.notes")
	refused(`run: CREATE PUBLICATION "refused" FOR TABLE ONLY "public"."notes"`)
	r.exec("CREATE PUBLICATION " + r.name)
	refused(`run: ALTER PUBLICATION "refused" SET TABLE ONLY "public"."notes"`)
	r.exec(`ALTER PUBLICATION "refused" SET TABLE ONLY "public"."notes"`)
	r.prepare("public.notes")
	// One that carries more is left as it is.
	r.exec("ALTER TABLE keyless REPLICA IDENTITY FULL", "ALTER PUBLICATION refused ADD TABLE keyless")
	r.must(r.again(r.start))
	if lines, err := r.source.Remove(r.Context(), false); err != nil || len(lines) != 1 {
		r.Errorf("Remove drops %q, %v", lines, err)
	}
}

// TestCheckServer has a server that is not set up for replication.
func TestCheckServer(t *testing.T) {
	server := servers.Test(t, servers.Spec{
		Kind: servers.Postgres, Version: servers.PostgresVersions()[0],
		Args: []string{"-c", "wal_level=replica", "-c", "max_replication_slots=0", "-c", "max_wal_senders=0", "-c", "wal_sender_timeout=0"},
	})
	r := newRig(t, server, "server")
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.plan("public.notes")
	r.expectFindings(`
error: wal_level: it is replica; to mend it: ALTER SYSTEM SET wal_level = 'logical' (and restart the server)
error: max_wal_senders: all 0 are in use; to mend it: ALTER SYSTEM SET max_wal_senders = 2 and restart the server
warning: max_slot_wal_keep_size: unlimited: while the daemon is down, the log it still needs can fill the server's disk; to mend it: ALTER SYSTEM SET max_slot_wal_keep_size = '50GB' and SELECT pg_reload_conf(), or set limits.max_retained_log
warning: wal_sender_timeout: off: the server does not notice a daemon that vanished from the network, and a second one cannot take over; to mend it: ALTER SYSTEM SET wal_sender_timeout = '60s' and SELECT pg_reload_conf()
error: max_replication_slots: all 0 are in use; to mend it: ALTER SYSTEM SET max_replication_slots = 2 and restart the server`, "wal_", "max_")
	_, err := r.source.Prepare(r.Context(), r.tables, "")
	if !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "ALTER SYSTEM SET wal_level = 'logical'") {
		t.Errorf("Prepare gives %v", err)
	}
	if made := r.ask("SELECT count(*) FROM pg_publication"); made != "0" {
		t.Error("a publication was created")
	}
	for _, cfg := range []sources.Config{{Slot: "Bad-Name", Publication: "p"}, {Slot: "s"}} {
		r.source.cfg = cfg
		if _, err := r.source.Prepare(r.Context(), r.tables, ""); !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "source.") {
			t.Errorf("Prepare with %+v gives %v", cfg, err)
		}
	}
}

// TestNew reads the URL and gives no password away.
func TestNew(t *testing.T) {
	for _, text := range []string{"postgres://user:secret@host:x/db", "postgres://user:secret@host/db?sslmode=maybe", "mysql://user:secret@host/db"} {
		_, err := New(sources.Config{URL: conf.Secret(text)}, zerolog.Nop())
		if !errors.Is(err, sources.ErrConfig) || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%s) gives %v", text, err)
		}
	}
	s, err := New(sources.Config{URL: "postgres://user@host:5433/db?search_path=x&connect_timeout=3", Password: "secret"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if s.config.Password != "secret" || s.config.ConnectTimeout != 3*time.Second || s.config.RuntimeParams["search_path"] != "" || address(s.config) != "host:5433/db" {
		t.Errorf("the config is %+v", s.config.Config)
	}
}

// testLogins has a role refused in every way, and in each is told what mends it.
func testLogins(r *rig) {
	r.exec("CREATE ROLE visitor LOGIN REPLICATION PASSWORD 'right'", "CREATE DATABASE closed ALLOW_CONNECTIONS false", "CREATE DATABASE private", "REVOKE CONNECT ON DATABASE private FROM public")
	hba := r.ask("SELECT current_setting('hba_file')")
	rules, err := os.ReadFile(hba)
	r.must(err)
	reload := func(first string) {
		r.must(os.WriteFile(hba, []byte(first+"\n"+string(rules)), 0o600))
		r.exec("SELECT pg_reload_conf()")
	}
	defer reload("")
	tests := []struct {
		name, user, database string
		before, after, rule  string
		want                 string
		config               bool // a person must mend it
	}{
		{"no role", "nobody", r.name, "", "", "", `ALTER ROLE "nobody" LOGIN; where there is no such role, create it`, true},
		{"no login", "visitor", r.name, "ALTER ROLE visitor NOLOGIN", "ALTER ROLE visitor LOGIN", "", `ALTER ROLE "visitor" LOGIN`, true},
		{"no database", "visitor", "absent", "", "", "", "create the database", true},
		{"closed", "visitor", "closed", "", "", "", `ALTER DATABASE "closed" ALLOW_CONNECTIONS true`, true},
		{"private", "visitor", "private", "", "", "", `GRANT CONNECT ON DATABASE "private" TO "visitor"`, true},
		{"limit", "visitor", r.name, "ALTER ROLE visitor CONNECTION LIMIT 0", "ALTER ROLE visitor CONNECTION LIMIT -1", "", "raise the limit", false},
		{"password", "visitor", r.name, "", "", "host all visitor all scram-sha-256", "correct the user or the password", true},
		{"rules", "visitor", r.name, "", "", "host all visitor all reject", `allow the role "visitor" and the database "logins" for this host in pg_hba.conf`, true},
	}
	for _, test := range tests {
		if test.before != "" {
			r.exec(test.before)
		}
		if test.rule != "" {
			reload(test.rule)
		}
		r.eventually(test.name+" is refused", func() bool {
			source := r.newSource()
			source.config.User, source.config.Database, source.config.Password = test.user, test.database, "wrong"
			_, err = source.Info(r.Context())
			source.Close()
			return err != nil && (test.rule == "" || strings.Contains(err.Error(), test.want))
		})
		if !strings.Contains(err.Error(), test.want) || errors.Is(err, sources.ErrConfig) != test.config || strings.Contains(err.Error(), "pg_hba") != (test.name == "rules") {
			r.Errorf("%s: the error is %v, want %q", test.name, err, test.want)
		}
		if test.after != "" {
			r.exec(test.after)
		}
	}
	// What is no refusal is none.
	source := r.newSource()
	source.config.Port = 1
	if _, err := source.Info(r.Context()); err == nil || errors.Is(err, sources.ErrConfig) || strings.Contains(err.Error(), "pg_hba") {
		r.Errorf("where nothing listens the error is %v", err)
	}
	// Nor is a server that goes away before it is asked for replication.
	source = r.newSource()
	if _, err := source.Info(r.Context()); err != nil {
		r.Fatal(err)
	}
	source.config.Port = 1
	if findings, err := source.Check(r.Context(), nil); err == nil || errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "for replication") {
		r.Errorf("where the server has gone the findings are %v, and the error is %v", findings, err)
	}
}

// testViews finds the tables behind what only has a table's name.
func testViews(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)", "CREATE TABLE tags (id int PRIMARY KEY)", "CREATE TABLE parts (id int) PARTITION BY LIST (id)",
		"CREATE VIEW a AS SELECT n.id FROM notes n JOIN tags USING (id)", "CREATE VIEW b AS SELECT * FROM a", "CREATE MATERIALIZED VIEW c AS SELECT id FROM tags",
		"CREATE TABLE d PARTITION OF parts FOR VALUES IN (1)", "CREATE SEQUENCE e", "CREATE VIEW f AS SELECT 1 AS id")
	views, err := r.source.Views(r.Context())
	r.must(err)
	var got []string
	for i := range views {
		got = append(got, views[i].Refusal())
	}
	want := `public.a is a view over public.notes, public.tags; name one of these: its condition becomes where, its joins become relations
public.b is a view over public.notes, public.tags; name one of these: its condition becomes where, its joins become relations
public.c is a materialized view over public.tags; name that: its condition becomes where, its joins become relations
public.d is a partition of public.parts; name that
public.e is a sequence and has no rows; name a table
public.f is a view, whose changes are in no log; name a table that it is made of`
	if text := strings.Join(got, "\n"); text != want {
		r.Errorf("the views are\n%s\nwant\n%s", text, want)
	}
}
