package postgres

import (
	"errors"
	"strings"
	"testing"

	"haystream/sources"
)

// TestPublication is about one that somebody else alters.
func TestPublication(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"altered": testPublicationAltered,
		"waits":   testPublicationWaits,
	})
}

// testPublicationAltered: what the publication did not carry for a while is
// stale, also where it does again and no stream ran.
func testPublicationAltered(r *rig) {
	r.exec("CREATE TABLE a (id int PRIMARY KEY, n int)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)", "CREATE SCHEMA s",
		"CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9)",
		"CREATE ROLE "+r.name+"_owner SUPERUSER")
	const all = "FOR TABLE ONLY a, ONLY b, ONLY p"
	tests := []struct {
		create, change string // _ stands for the publication
		since          int
		want           string
	}{
		{all, "", 13, ""},
		{all, "ALTER PUBLICATION _ DROP TABLE a; ALTER PUBLICATION _ ADD TABLE a", 13, "a"},
		{all, "ALTER PUBLICATION _ DROP TABLE p; ALTER PUBLICATION _ ADD TABLE p", 13, "p"},
		{all, "ALTER PUBLICATION _ DROP TABLE a", 13, "a"},
		{all, "ALTER PUBLICATION _ SET (publish = 'insert'); ALTER PUBLICATION _ SET (publish = 'insert, update, delete, truncate')", 13, "a b p"},
		{all, "ALTER PUBLICATION _ SET TABLE ONLY a WHERE (id > 5), ONLY b, ONLY p; ALTER PUBLICATION _ SET TABLE ONLY a, ONLY b, ONLY p", 15, "a"},
		{all, "ALTER PUBLICATION _ SET TABLE ONLY a (id), ONLY b, ONLY p; ALTER PUBLICATION _ SET TABLE ONLY a, ONLY b, ONLY p", 15, "a"},
		{all, "ALTER PUBLICATION _ ADD TABLE p1 WHERE (id > 5)", 15, "p"},
		{all, "ALTER PUBLICATION _ ADD TABLE p1", 13, ""},
		{all, "ALTER PUBLICATION _ ADD TABLE c; ALTER PUBLICATION _ DROP TABLE c; ALTER PUBLICATION _ SET TABLE ONLY a, ONLY b, ONLY c, ONLY p; ALTER PUBLICATION _ SET TABLE ONLY p, ONLY a, ONLY b", 13, ""},
		{all, "DROP PUBLICATION _; CREATE PUBLICATION _ " + all, 13, "a b p"},
		{all, "ALTER PUBLICATION _ OWNER TO " + r.name + "_owner", 13, "a b p"},
		{all, "ALTER TABLE a RENAME TO a2; ALTER TABLE a2 RENAME TO a; ALTER TABLE b SET SCHEMA s; ALTER TABLE s.b SET SCHEMA public", 13, ""},
		{"FOR ALL TABLES", "ALTER TABLE a SET SCHEMA s; ALTER TABLE s.a SET SCHEMA public", 13, ""},
		{"FOR TABLES IN SCHEMA public", "CREATE TABLE d (id int)", 15, ""},
		{"FOR TABLES IN SCHEMA public", "ALTER TABLE a SET SCHEMA s; ALTER TABLE s.a SET SCHEMA public", 15, "a"},
		{"FOR TABLES IN SCHEMA public", "ALTER PUBLICATION _ DROP TABLES IN SCHEMA public; ALTER PUBLICATION _ ADD TABLES IN SCHEMA public", 15, "a b p"},
		{"FOR TABLES IN SCHEMA public, TABLE ONLY a", "ALTER PUBLICATION _ DROP TABLES IN SCHEMA public; ALTER PUBLICATION _ ADD TABLES IN SCHEMA public", 15, "b p"},
	}
	for _, test := range tests {
		if serverVersion(r.admin) < test.since*10000 {
			continue
		}
		r.exec("DROP PUBLICATION IF EXISTS "+r.name, "CREATE PUBLICATION "+r.name+" "+test.create)
		r.plan("public.a", "public.b", "public.p")
		before := r.tables
		for _, t := range before {
			if len(t.Fingerprint.Table[factPublished]) == 0 {
				r.Errorf("%s: %s is not published", test.create, t)
			}
		}
		r.run(strings.ReplaceAll(test.change, "PUBLICATION _", "PUBLICATION "+r.name))
		r.plan("public.a", "public.b", "public.p")
		var stale []string
		for i, t := range r.tables {
			if t.Fingerprint.Since(before[i].Fingerprint) != nil {
				stale = append(stale, t.Name)
			}
		}
		if got := strings.Join(stale, " "); got != test.want {
			r.Errorf("%s; %s: stale are %q, want %q", test.create, test.change, got, test.want)
		}
	}
}

// testPublicationWaits: a role that may not mend the publication says what its
// owner must run, and goes on after that.
func testPublicationWaits(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "CREATE PUBLICATION "+r.name+" FOR TABLE ONLY notes")
	r.as("guest_"+r.name, "REPLICATION")
	r.exec("GRANT SELECT ON notes TO guest_" + r.name)
	r.prepare("public.notes")
	before := r.tables[0].Fingerprint
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1, 1)")
	f.expect("insert notes (1,1)")
	from := f.at
	r.exec("ALTER PUBLICATION "+r.name+" SET (publish = 'insert')", "UPDATE notes SET n = 2")
	f.endsWithSchemaChange("public.notes has changed: what the publication has of it")
	r.plan("public.notes")
	if err := r.again(from); !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "have its owner run: ALTER PUBLICATION") {
		r.Fatalf("Prepare gives %v", err)
	}
	_, remedy, _ := strings.Cut(r.again(from).Error(), "have its owner run: ")
	r.exec(remedy)
	r.plan("public.notes")
	if r.tables[0].Fingerprint.Since(before) == nil {
		r.Error("what was not published is not stale")
	}
	// A transaction that has written unpublished holds up the chunks.
	barrier := r.source.barriers["public.notes"]
	r.must(r.again(from))
	if r.source.barriers["public.notes"] == barrier {
		r.Error("no barrier was raised")
	}
	r.exec("UPDATE notes SET n = 3")
	r.follow(from).expect("update notes (1,3)")
}
