package mysql

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"haystream/internal/preflight"
	"haystream/internal/servers"
	"haystream/sources"
)

// findings are those whose subject begins with one of the given words, one a line.
func findings(all []preflight.Finding, subjects ...string) string {
	var lines []string
	for _, f := range all {
		if slices.ContainsFunc(subjects, func(s string) bool { return strings.HasPrefix(f.Subject, s) }) {
			lines = append(lines, f.String())
		}
	}
	return strings.Join(lines, "\n")
}

// tables are those of a schema, as the source's catalog has them.
func (b *box) tables(s *Source, schema string) []*sources.Table {
	b.Helper()
	all, err := s.Catalog(b.Context())
	b.must(err)
	return slices.DeleteFunc(all, func(t *sources.Table) bool { return t.Schema != schema })
}

func (b *box) check(s *Source, tables []*sources.Table) []preflight.Finding {
	b.Helper()
	found, err := s.Check(b.Context(), tables)
	b.must(err)
	return found
}

func TestCheckTables(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("checked")
		b.exec("USE checked",
			"CREATE TABLE good (id INT PRIMARY KEY, n INT)",
			"CREATE TABLE keyless (id INT, n INT)",
			"CREATE TABLE named (id INT, n INT)",
			"CREATE TABLE computed (id INT PRIMARY KEY, twice INT AS (id * 2) STORED)",
			"CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM",
			"CREATE TABLE parent (id INT PRIMARY KEY)",
			"CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT family FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL)",
			"CREATE TABLE orphan (id INT PRIMARY KEY, parent INT, CONSTRAINT strict_one FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE RESTRICT)")
		want := map[string]string{
			"good":     "ok: table checked.good: key (id)",
			"keyless":  "error: table checked.keyless: it has no key; to mend it: add a primary key; or, if some columns identify a row all the same, name them in tables.keyless.key",
			"computed": "ok: table checked.computed: key (id)",
			"old":      "warning: table checked.old: its engine MyISAM has no transactions: a statement that fails half-way leaves changes that may not be in the log; to mend it: ALTER TABLE `checked`.`old` ENGINE = InnoDB",
			"parent":   "ok: table checked.parent: key (id)",
			"child":    "ok: table checked.child: key (id)",
			"orphan":   "ok: table checked.orphan: key (id)",
			"named": "error: table checked.named: its key column id may be NULL; to mend it: ALTER TABLE `checked`.`named` MODIFY `id` INT NOT NULL\n" +
				"warning: table checked.named: no index has the key as its first columns: each chunk of a snapshot sorts the whole table; to mend it: ALTER TABLE `checked`.`named` ADD UNIQUE INDEX (`id`)",
		}
		if b.isMaria() {
			b.exec("CREATE TABLE versions (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
				"CREATE TABLE numbered (id INT PRIMARY KEY, a BIGINT UNSIGNED AS ROW START, b BIGINT UNSIGNED AS ROW END, PERIOD FOR SYSTEM_TIME (a, b)) WITH SYSTEM VERSIONING",
				"CREATE TABLE pressed (id INT PRIMARY KEY, body TEXT COMPRESSED)")
			want["pressed"] = "error: table checked.pressed: its column body is compressed, which hides the columns behind it in the log; to mend it: ALTER TABLE `checked`.`pressed` MODIFY `body` without COMPRESSED"
			want["versions"] = "ok: table checked.versions: key (id)"
			want["numbered"] = "error: table checked.numbered: its versions are numbered by transactions, and the server logs its changes as statements; to mend it: leave it out, or ALTER TABLE `checked`.`numbered` DROP SYSTEM VERSIONING"
			if b.admin.flavor.omitsGenerated(b.admin.version) {
				want["computed"] = "error: table checked.computed: generated columns are not in the log of an update: twice; to mend it: leave them out of the definition with exclude, or use the columns they are made of"
			}
		}
		source := b.source(b.with("", "", ""))
		tables := b.tables(source, "checked")
		for _, table := range tables {
			if table.Name == "named" {
				table.Key = []int{0} // as tables.named.key says
				want["named"] = strings.Replace(want["named"], "INT NOT", table.Columns[0].Type.SQL+" NOT", 1)
			}
			if got := findings(b.check(source, []*sources.Table{table}), "table "); got != want[table.Name] {
				b.Errorf("%s: findings are\n%s\nwant\n%s", table, got, want[table.Name])
			}
		}
		absent := []*sources.Table{{Schema: "checked", Name: "absent"}}
		if got := findings(b.check(source, absent), "table "); got != "error: table checked.absent: there is no such table; to mend it: create it, or correct its name" {
			b.Errorf("findings are %s", got)
		}
		b.exec("ALTER TABLE good DROP COLUMN n")
		for _, table := range tables {
			if table.Name != "good" {
				continue
			}
			if got := findings(b.check(source, []*sources.Table{table}), "table "); !strings.HasPrefix(got, "error: table checked.good: it no longer has all columns in use: ") {
				b.Errorf("findings are %s", got)
			}
		}
	})
}

// TestCheckPrivileges: each remedy is run as it is printed, until nothing is
// left; so the user has no more than was asked for.
func TestCheckPrivileges(t *testing.T) {
	eachServer(t, func(b *box) {
		b.schema("private")
		b.exec("CREATE TABLE private.notes (id INT PRIMARY KEY, body TEXT)", "CREATE TABLE private.secrets (id INT PRIMARY KEY)", "INSERT INTO private.notes VALUES (1, 'x')")
		b.user("o''brien", "IDENTIFIED BY 'x'")
		tables := b.tables(b.source(b.with("", "", "")), "private")
		source := b.source(b.with("o'brien:x", "", ""))
		client := "REPLICATION CLIENT"
		if b.isMaria() {
			client = "BINLOG MONITOR"
		}
		want := `
error: user 'o''brien'@'%': it may not see where the log ends; to mend it: GRANT ` + client + ` ON *.* TO 'o''brien'@'%'
error: user 'o''brien'@'%': it may not replicate; to mend it: GRANT REPLICATION SLAVE ON *.* TO 'o''brien'@'%'
error: table private.notes: user 'o''brien'@'%' may not read it, or there is no such table; to mend it: GRANT SELECT ON ` + "`private`.`notes`" + ` TO 'o''brien'@'%'
error: table private.secrets: user 'o''brien'@'%' may not read it, or there is no such table; to mend it: GRANT SELECT ON ` + "`private`.`secrets`" + ` TO 'o''brien'@'%'`
		found := b.check(source, tables)
		if got := findings(found, "user", "table"); got != strings.TrimSpace(want) {
			b.Errorf("findings are\n%s\nwant\n%s", got, want)
		}
		for _, finding := range preflight.Errors(found) {
			b.exec(finding.Remedy)
		}
		source.Close() // grants of all databases count from the next login
		source = b.source(b.with("o'brien:x", "", ""))
		if left := preflight.Errors(b.check(source, tables)); len(left) > 0 {
			b.Errorf("left are %v", left)
		}
		// A grant of some columns, which hides how many there are.
		b.exec("REVOKE SELECT ON private.notes FROM 'o''brien'@'%'", "GRANT SELECT (id) ON private.notes TO 'o''brien'@'%'")
		if got := findings(b.check(source, tables[:1]), "table"); !strings.HasPrefix(got, "error: table private.notes: user 'o''brien'@'%' may not read it") {
			b.Errorf("findings are %s", got)
		}
	})
}

// TestCheckSettings sets what can be set while a server runs. Each remedy that
// is a statement is run as it is printed.
func TestCheckSettings(t *testing.T) {
	eachServer(t, func(b *box) {
		tests := []struct{ variable, value, want string }{
			{"binlog_format", "MIXED", "error: binlog_format: it is MIXED"},
			{"binlog_format", "STATEMENT", "error: binlog_format: it is STATEMENT"},
			{"binlog_row_metadata", "MINIMAL", "warning: binlog_row_metadata: it is MINIMAL"},
			{"binlog_expire_logs_seconds", "0", "warning: binlog_expire_logs_seconds: it is 0: the log grows"},
			{"binlog_expire_logs_seconds", "3600", "warning: binlog_expire_logs_seconds: the log is kept for 1h0m0s"},
		}
		if b.isMaria() {
			tests = append(tests, []struct{ variable, value, want string }{
				{"binlog_row_image", "MINIMAL", "error: binlog_row_image: it is MINIMAL: MariaDB leaves out values that have changed"},
				{"binlog_row_image", "NOBLOB", "error: binlog_row_image: it is NOBLOB: MariaDB leaves out values that have changed"},
			}...)
		} else {
			tests = append(tests, []struct{ variable, value, want string }{
				{"binlog_order_commits", "OFF", "warning: binlog_order_commits: it is OFF"},
				{"gtid_mode", "ON_PERMISSIVE", "warning: gtid_mode: it is ON_PERMISSIVE"},
				{"binlog_expire_logs_auto_purge", "OFF", "warning: binlog_expire_logs_auto_purge: it is OFF"},
			}...)
		}
		source := b.source(b.with("", "", ""))
		bad := func() (lines []string) {
			for _, f := range b.check(source, nil) {
				if f.Level != preflight.OK {
					lines = append(lines, f.String())
				}
			}
			return lines
		}
		b.set("binlog_expire_logs_seconds", "604800")
		if lines := bad(); len(lines) > 0 {
			b.Errorf("at first there are %q", lines)
		}
		for _, test := range tests {
			b.set(test.variable, test.value)
			lines := bad()
			if len(lines) != 1 || !strings.HasPrefix(lines[0], test.want) {
				b.Errorf("%s = %s: %q, want %s", test.variable, test.value, lines, test.want)
				continue
			}
			remedy := lines[0][strings.Index(lines[0], "to mend it: ")+len("to mend it: "):]
			if test.variable != "gtid_mode" {
				statement, _, _ := strings.Cut(remedy, ", and write")
				statement, _, _ = strings.Cut(statement, ";")
				b.exec(statement)
			} else {
				b.exec("SET GLOBAL gtid_mode = ON")
			}
			if lines := bad(); len(lines) > 0 {
				b.Errorf("%s: after %q there are %q", test.variable, remedy, lines)
			}
		}
		if b.isMaria() {
			return
		}
		b.exec("RESET PERSIST")
	})
}

// TestCheckServer is about what a server does not change while it runs.
func TestCheckServer(t *testing.T) {
	healthy := map[string]string{
		"log_bin": "ON", "server_id": "1", "binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_row_metadata": "FULL", "gtid_mode": "ON",
		"binlog_expire_logs_seconds": "2592000", "binlog_order_commits": "ON", "log_replica_updates": "ON", "replica_parallel_workers": "4", "replica_preserve_commit_order": "ON",
	}
	tests := []struct {
		flavor  flavor
		version string
		changed map[string]string
		want    string
	}{
		{mysqlServer, "8.4.3", nil, ""},
		{mysqlServer, "8.4.3", map[string]string{"log_bin": "OFF"}, "error: log_bin: the server writes no binary log; to mend it: write log_bin=binlog in the server's option file and restart it"},
		{mysqlServer, "8.4.3", map[string]string{"server_id": "0"}, "error: server_id: it is 0, and so the server sends its log to nobody; to mend it: SET PERSIST server_id = 1"},
		{mysqlServer, "8.4.3", map[string]string{"server_id": "77"}, "error: server_id: it is the daemon's too; to mend it: set source.server_id to a number that no server of the topology has"},
		{mysqlServer, "8.4.3", map[string]string{"gtid_mode": "OFF"}, "warning: gtid_mode: it is OFF: a failover to another server is not followed, but all tables are read anew; and no mark says exactly what a chunk of a snapshot has seen; to mend it: SET PERSIST enforce_gtid_consistency = ON, then SET PERSIST gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE and ON, one after the other"},
		{mysqlServer, "8.4.3", map[string]string{"log_replica_updates": "OFF"}, "error: log_replica_updates: the server is a replica, and what it replicates is not in its own log; to mend it: write log_replica_updates=ON in the server's option file and restart it"},
		{mysqlServer, "8.0.25", map[string]string{"log_replica_updates": "", "log_slave_updates": "OFF"}, "error: log_slave_updates: the server is a replica, and what it replicates is not in its own log; to mend it: write log_slave_updates=ON in the server's option file and restart it"},
		{mysqlServer, "8.0.25", map[string]string{"replica_preserve_commit_order": "", "slave_preserve_commit_order": "OFF"}, "warning: replica_preserve_commit_order: the server is a replica that commits in another order than its source: after a failover changes can come in another order; to mend it: STOP REPLICA SQL_THREAD; SET PERSIST replica_preserve_commit_order = ON; START REPLICA SQL_THREAD"},
		{mysqlServer, "8.4.3", map[string]string{"replica_preserve_commit_order": "OFF", "replica_parallel_workers": "1"}, ""},
		{mariadbServer, "11.8.2-MariaDB", map[string]string{"log_replica_updates": "", "log_slave_updates": "OFF"}, "error: log_slave_updates: the server is a replica, and what it replicates is not in its own log; to mend it: write log_slave_updates=ON in the server's option file and restart it"},
		{mariadbServer, "12.3.1-MariaDB", map[string]string{"binlog_storage_engine": "innodb"}, "error: binlog_storage_engine: a binary log within InnoDB cannot be read; to mend it: take binlog_storage_engine out of the server's option file and restart it"},
		{mariadbServer, "11.8.2-MariaDB", map[string]string{"binlog_expire_logs_seconds": "0", "max_binlog_total_size": "1073741824"}, ""},
	}
	for _, test := range tests {
		c := check{serverID: 77, flavor: test.flavor, version: test.version, variables: map[string]string{}}
		maps.Copy(c.variables, healthy)
		maps.Copy(c.variables, test.changed)
		maps.DeleteFunc(c.variables, func(_, value string) bool { return value == "" })
		c.server()
		c.replica()
		var lines []string
		for _, f := range c.findings {
			if f.Level != preflight.OK {
				lines = append(lines, f.String())
			}
		}
		if got := strings.Join(lines, "\n"); got != test.want {
			t.Errorf("%s %s %v: findings are\n%s\nwant\n%s", test.flavor, test.version, test.changed, got, test.want)
		}
	}
}

// TestCheckFilters: a server that leaves schemas out of its log.
func TestCheckFilters(t *testing.T) {
	for _, spec := range []servers.Spec{
		{Kind: servers.MySQL, Version: "8.0", Args: []string{"--binlog-ignore-db=dark"}},
		{Kind: servers.MariaDB, Version: "11.8", Args: []string{"--binlog-do-db=light", "--binlog-do-db=bright"}},
	} {
		t.Run(spec.String(), func(t *testing.T) {
			b := newBox(t, servers.Test(t, spec).URL)
			source := b.source(b.with("", "", ""))
			for _, schema := range []string{"dark", "light", "bright"} {
				b.schema(schema)
				b.exec("CREATE TABLE " + schema + ".t (id INT PRIMARY KEY)")
				want := "ok: table " + schema + ".t: key (id)"
				if schema == "dark" {
					want = "error: table dark.t: its schema is not in the log; to mend it: correct binlog_do_db and binlog_ignore_db in the server's option file and restart it"
				}
				if got := findings(b.check(source, b.tables(source, schema)), "table"); got != want {
					b.Errorf("findings are %s, want %s", got, want)
				}
			}
		})
	}
}

// TestCheckReplica: what a replica has replicated is in its own log only when
// it is told so.
func TestCheckReplica(t *testing.T) {
	for _, spec := range []servers.Spec{{Kind: servers.MySQL, Version: "8.0"}, {Kind: servers.MariaDB, Version: "11.8"}} {
		t.Run(spec.String(), func(t *testing.T) {
			primary := newBox(t, servers.Test(t, spec).URL)
			spec.Args = []string{"--server-id=2", "--skip-log-slave-updates"}
			b := newBox(t, servers.Test(t, spec).URL)
			source := b.source(b.with("", "", ""))
			if got := findings(b.check(source, nil), "log_slave_updates", "log_replica_updates"); got != "" {
				b.Errorf("before it is a replica: %s", got)
			}
			name := "log_replica_updates"
			if b.isMaria() {
				name = "log_slave_updates"
				b.exec("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = "+primary.Port()+", MASTER_USER = 'root', MASTER_SSL_VERIFY_SERVER_CERT = 0", "START SLAVE")
			} else {
				b.exec("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " + primary.Port() + ", SOURCE_USER = 'root', GET_SOURCE_PUBLIC_KEY = 1")
			}
			want := "error: " + name + ": the server is a replica, and what it replicates is not in its own log; to mend it: write " + name + "=ON in the server's option file and restart it"
			for begun := time.Now(); ; {
				got := findings(b.check(source, nil), name)
				if got == want {
					break
				}
				if time.Since(begun) > patience {
					b.Fatalf("findings are %q, want %s", got, want)
				}
			}
		})
	}
}

// A table that somebody has locked does not keep the others from being looked at, nor a session from beginning.
func TestLockedTable(t *testing.T) {
	eachRig(t, func(r *rig) {
		r.exec("CREATE TABLE t"+people, "CREATE TABLE bits (id INT PRIMARY KEY, b BIT(3) DEFAULT b'101')")
		r.project("t", "bits")
		r.on(r.session(), "LOCK TABLES t WRITE, bits WRITE")
		want := "warning: table " + r.name + ".bits: it is locked"
		if got := findings(r.check(r.source, r.tables), "table "+r.name+".bits"); !strings.HasPrefix(got, want) {
			r.Errorf("findings are\n%s\nwant\n%s", got, want)
		}
		r.prepare("t", "bits")
	})
}
