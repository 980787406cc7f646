package mysql

import (
	"encoding/binary"
	"errors"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// logsCascades reports whether the server's log has what foreign keys do.
func (b *box) logsCascades() bool {
	b.Helper()
	row, err := b.admin.one(b.Context(), "SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'")
	return err == nil && row[1] == "OFF"
}

// Of each change the log itself says whether foreign keys may have acted on it
// unlogged.
func TestCascades(t *testing.T) {
	eachRig(t, (*rig).cascade)
	for _, shared := range fleet {
		if shared.Spec.Kind != servers.MySQL || older(shared.Spec.Version, 9, 6) {
			continue
		}
		t.Run("native "+shared.Spec.String(), func(t *testing.T) {
			spec := shared.Spec
			spec.Args = append([]string{"--innodb-native-foreign-keys=ON"}, spec.Args...)
			r, _ := ownRig(t, spec)
			if r.logsCascades() {
				t.Fatal("the server logs what foreign keys do")
			}
			r.cascade()
		})
	}
}

func (r *rig) cascade() {
	r.exec("CREATE TABLE p (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES p (id) ON DELETE CASCADE)",
		"CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE SET NULL)",
		"CREATE TABLE one (id INT PRIMARY KEY)", "CREATE TABLE g (id INT PRIMARY KEY, one INT, FOREIGN KEY (one) REFERENCES one (id) ON UPDATE CASCADE)")
	r.prepare("p", "c", "one", "g")
	tail := r.stream(r.start)
	writer := r.session()
	r.on(writer, "INSERT INTO p VALUES (1, NULL), (2, 1), (3, NULL), (4, NULL)", "INSERT INTO c VALUES (1, 2), (3, 3), (4, 4)", "INSERT INTO one VALUES (1)", "INSERT INTO g VALUES (1, 1)",
		"DELETE FROM p WHERE id = 1", "UPDATE p SET id = 5 WHERE id = 3", "UPDATE one SET id = 2", "SET foreign_key_checks = 0", "DELETE FROM p WHERE id = 4", "UPDATE p SET id = 6")
	tail.catchUp()
	rest := tail.changes[9:]
	if r.logsCascades() {
		r.same(tail.cascades, nil)
		r.same(rest, []string{
			"delete p (2)", "delete c (1)", "delete p (1)", "update c (3) to (3,NULL)", "update p (3) to (5,NULL)", "update g (1) to (1,2)", "update one (1) to (2)",
			"delete p (4)", "update p (5) to (6,NULL)",
		})
		return
	}
	unlogged := []string{"delete p (1)", "update p (3) to (5,NULL)", "update one (1) to (2)"}
	r.same(tail.cascades, unlogged)
	r.same(rest, append(unlogged, "delete p (4)", "update p (5) to (6,NULL)"))
}

// What foreign keys did that are others by now went on over further tables.
func TestForeignKeysBehindTheLog(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE m (id INT PRIMARY KEY, p INT, CONSTRAINT f FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
			"CREATE TABLE c (id INT PRIMARY KEY, m INT, FOREIGN KEY (m) REFERENCES m (id) ON DELETE CASCADE)", "CREATE TABLE other (id INT PRIMARY KEY, c INT)",
			"INSERT INTO p VALUES (1)", "INSERT INTO m VALUES (2, 1)", "INSERT INTO c VALUES (3, 2)")
		all := []string{"p", "m", "c", "other"}
		r.prepare(all...)
		r.exec("DELETE FROM p", "ALTER TABLE m DROP FOREIGN KEY f", "INSERT INTO other VALUES (1, 1)")
		tail := r.restart(r.start, all...)
		want := []string{"delete p (1)", "stale m", "stale c", "insert other (1,1)"}
		if r.logsCascades() {
			want = []string{"delete c (3)", "delete m (2)", "delete p (1)", "stale m", "insert other (1,1)"}
		}
		tail.catchUp()
		r.same(tail.changes, want)
		r.exec("ALTER TABLE m ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE")
		tail.fails(sources.ErrSchemaChanged, "has other foreign keys")
		tail = r.restart(tail.mark(), all...)
		tail.expect()
		tail.stop()
		if r.logsCascades() {
			return
		}
		// What is there only for a moment may be gone again when the catalog is read.
		r.exec("INSERT INTO p VALUES (1)")
		r.prepare(all...)
		r.exec("ALTER TABLE other ADD CONSTRAINT g FOREIGN KEY (c) REFERENCES p (id) ON DELETE CASCADE", "DELETE FROM p", "ALTER TABLE other DROP FOREIGN KEY g")
		tail = r.stream(r.start)
		tail.expect("delete p (1)", "stale other")
	})
}

// A table that foreign keys already lead to may be made later: what it does to rows is to be planned for.
func TestForeignTargetMade(t *testing.T) {
	eachRig(t, func(r *rig) {
		for _, made := range [][]string{
			{"CREATE TABLE p (id INT PRIMARY KEY)"},
			{"CREATE TABLE q (id INT PRIMARY KEY)", "RENAME TABLE q TO p"},
			{"CREATE TABLE q (id INT PRIMARY KEY)", "ALTER TABLE q RENAME TO p"},
		} {
			r.exec("SET SESSION foreign_key_checks = 0", "DROP TABLE IF EXISTS c, p",
				"CREATE TABLE c (id INT PRIMARY KEY, p INT, CONSTRAINT f FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)", "INSERT INTO c VALUES (1, 1)")
			r.prepare("c")
			tail := r.stream(r.start)
			r.exec(made...)
			tail.fails(sources.ErrSchemaChanged, "other foreign keys")
		}
	})
}

// A log from before the server was upgraded, or that it has from an older one,
// lacks what the catalog takes to be in it.
func TestCascadesOfOlderServer(t *testing.T) {
	st := &stream{catalog: &catalog{flavor: mysqlServer, cascadesLogged: true}}
	for _, test := range []struct {
		acts   bool
		flags  uint16
		want   error
		report bool
	}{
		{true, flagServerForeignKeys, nil, false},
		{true, flagNoForeignKeys, nil, false},
		{false, 0, nil, true},
		{true, 0, sources.ErrConfig, false},
	} {
		body := binary.LittleEndian.AppendUint16(make([]byte, 6), test.flags)
		report, err := st.cascades(&logTable{table: &sources.Table{}, acts: test.acts}, body)
		if report != test.report || !errors.Is(err, test.want) {
			t.Errorf("acts %v, flags %d: %v, %v", test.acts, test.flags, report, err)
		}
	}
}

// A cascade can be worked out only of a table that the user may read.
func TestCheckCascades(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("seen")
		b.schema("hidden")
		b.exec("USE hidden", "CREATE TABLE top (id INT PRIMARY KEY)", "CREATE TABLE kind (id INT PRIMARY KEY)",
			"CREATE TABLE seen.person (id INT PRIMARY KEY, top INT, kind INT, up INT, CONSTRAINT first FOREIGN KEY (top) REFERENCES hidden.top (id) ON DELETE CASCADE ON UPDATE SET NULL,"+
				" CONSTRAINT second FOREIGN KEY (kind) REFERENCES hidden.kind (id), CONSTRAINT third FOREIGN KEY (up) REFERENCES seen.person (id) ON DELETE SET NULL)",
			"CREATE TABLE seen.note (id INT PRIMARY KEY, person INT, CONSTRAINT fourth FOREIGN KEY (person) REFERENCES seen.person (id) ON DELETE CASCADE)")
		b.user("reader", "IDENTIFIED BY 'x'")
		client := "REPLICATION CLIENT"
		if b.isMaria() {
			client = "BINLOG MONITOR"
		}
		b.exec("GRANT SELECT ON seen.* TO reader", "GRANT REPLICATION SLAVE, "+client+" ON *.* TO reader")
		source := b.source(b.with("reader:x", "", ""))
		want := func(table string) string {
			return "warning: table seen." + table + ": changes of hidden.top, which user 'reader'@'%' may not read, go on to it without a word in the log, so that its documents miss them: " +
				"foreign key first of seen.person ON DELETE CASCADE ON UPDATE SET NULL; to mend it: GRANT SELECT ON `hidden`.`top` TO 'reader'@'%'"
		}
		good := func(table string) string { return "ok: table seen." + table + ": key (id)" }
		if b.logsCascades() {
			want = good
		}
		tables := b.tables(source, "seen")
		if got, want := findings(b.check(source, tables), "table"), want("note")+"\n"+want("person"); got != want {
			b.Errorf("findings are\n%s\nwant\n%s", got, want)
		}
		b.exec("GRANT SELECT ON hidden.top TO reader")
		if got, want := findings(b.check(source, tables), "table"), good("note")+"\n"+good("person"); got != want {
			b.Errorf("findings are\n%s\nwant\n%s", got, want)
		}
	})
}
