package endtoend

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
)

// failover has the source's replica take its place, when it has all that the daemon has read.
func failover(m *trial) {
	before := m.physicalOf(m.name + "_fields")
	m.replica.copySlot(m.world)
	m.change()
	m.settle() // a session that ends within a transaction, as where a table changes, cannot say how far it has come
	m.replica.catchUp(m.world)
	if err := m.server.Kill(); err != nil {
		m.t.Fatal(err)
	}
	m.replica.promote(m.world)
	m.source.to.Store(&m.replica.Addr)
	m.db, _ = m.dialect.open(m.top, m.replica.URL, m.name)
	m.again()
	if m.anew {
		m.builtAnew(before, "the slot haystream_"+m.name+" is gone")
	}
}

// A replica follows a server, and may take its place.
type replica struct {
	*servers.Server
	db *sql.DB
}

// replicaOf starts a replica of a server of its own to which nobody writes yet.
func replicaOf(t *testing.T, primary *servers.Server) *replica {
	t.Helper()
	d := dialectOf(primary.Kind)
	if primary.Kind != servers.Postgres {
		spec := primary.Spec
		spec.Args = append([]string{"--server-id=2", "--log-bin=other", "--log-slave-updates=ON", "--skip-slave-start"}, spec.Args...)
		r := &replica{Server: servers.Test(t, spec)}
		r.db, _ = d.open(t, r.URL, "")
		r.exec(t, replicateFrom(t, primary)...)
		return r
	}
	r := &replica{Server: primary}
	if !r.continues() {
		r.Server = servers.Standby(t, primary)
	} else {
		r.Server = servers.Standby(t, primary, "-c", "sync_replication_slots=on")
		first := &replica{Server: primary}
		first.db, _ = d.open(t, primary.URL, "")
		first.exec(t, "ALTER SYSTEM SET synchronized_standby_slots = 'standby'", "SELECT pg_reload_conf()") // nobody reads what a standby lacks
	}
	r.db, _ = d.open(t, r.URL, "")
	return r
}

// continues reports whether the log of its primary goes on in its own: from version 17 on a standby has copies of slots.
func (r *replica) continues() bool {
	return r.Kind != servers.Postgres || r.Version >= "17"
}

func (r *replica) exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := r.db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// copySlot waits until a standby has a copy of the daemon's slot. It makes one when the slot has passed a record
// of running transactions that it has read itself.
func (r *replica) copySlot(w *world) {
	w.t.Helper()
	if r.Kind != servers.Postgres || !r.continues() {
		return
	}
	w.eventually("the standby has a copy of the slot", func() bool {
		w.exec("SELECT pg_log_standby_snapshot()", "SELECT pg_logical_emit_message(true, 'settle', '')")
		var copied bool
		err := r.db.QueryRowContext(w.ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE database = $1 AND synced AND NOT temporary)", w.name).Scan(&copied)
		return err == nil && copied
	})
}

// catchUp waits until it has all that its primary has.
func (r *replica) catchUp(w *world) {
	w.t.Helper()
	end, reached := "SELECT @@gtid_executed", "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 1) = 0"
	switch r.Kind {
	case servers.MariaDB:
		end, reached = "SELECT @@gtid_binlog_pos", "SELECT MASTER_GTID_WAIT(?, 1) = 0"
	case servers.Postgres:
		end, reached = "SELECT pg_current_wal_flush_lsn()::text", "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
	}
	var at string
	if err := w.db.QueryRowContext(w.ctx, end).Scan(&at); err != nil {
		w.t.Fatal(err)
	}
	w.within(5*time.Minute, "the replica has come to "+at, func() bool {
		var has bool
		err := r.db.QueryRowContext(w.ctx, reached, at).Scan(&has)
		return err == nil && has
	})
}

// promote makes it a primary, and the world's server.
func (r *replica) promote(w *world) {
	w.t.Helper()
	if r.Kind == servers.Postgres {
		r.exec(w.t, "SELECT pg_promote()")
	} else {
		r.exec(w.t, stopReplica(r.Server))
	}
	w.server = r.Server
}

// stopReplica ends what replicateFrom began.
func stopReplica(s *servers.Server) string {
	if s.Kind == servers.MySQL && s.Version != "8.0" {
		return "STOP REPLICA"
	}
	return "STOP SLAVE"
}

// replicateFrom is what makes a server a replica, in the words of its version.
func replicateFrom(t *testing.T, primary *servers.Server) []string {
	t.Helper()
	u, err := url.Parse(primary.URL)
	if err != nil {
		t.Fatal(err)
	}
	how := "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=" + u.Port() + ", MASTER_USER='root', "
	switch {
	case primary.Kind == servers.MariaDB:
		return []string{how + "MASTER_USE_GTID=slave_pos", "START SLAVE"}
	case primary.Version == "8.0":
		return []string{how + "MASTER_AUTO_POSITION=1, GET_MASTER_PUBLIC_KEY=1", "START SLAVE"}
	}
	return []string{"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=" + u.Port() + ", SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", "START REPLICA"}
}

// part has it follow its primary no longer, and nobody wait for that.
func (r *replica) part(w *world) {
	w.t.Helper()
	if r.Kind != servers.Postgres {
		r.exec(w.t, stopReplica(r.Server))
		return
	}
	if r.continues() {
		w.exec("ALTER SYSTEM RESET synchronized_standby_slots", "SELECT pg_reload_conf()")
	}
	r.exec(w.t, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
	w.eventually("the standby has parted", func() bool {
		var follows bool
		err := r.db.QueryRowContext(w.ctx, "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)").Scan(&follows)
		return err == nil && !follows
	})
}

// TestFailoverLosesWrites delivers what the replica never gets: documents are then those of the promoted server, also where
// the daemon was killed before its checkpoint could tell.
func TestFailoverLosesWrites(t *testing.T) {
	old, standby := postgres.Spec, postgres.Spec
	standby.Version = "18"
	for name, c := range map[string]struct {
		spec   servers.Spec
		killed bool
		says   string
	}{
		"without the slot":     {spec: old, says: "timeline 1 went only up to"},
		"with the slot":        {spec: standby, says: "timeline 1 went only up to"},
		"with the slot killed": {spec: standby, killed: true, says: "may have been sent"},
		"mysql":                {spec: mysqls[0].Spec, says: "has not executed all transactions"},
		"mysql killed":         {spec: mysqls[0].Spec, killed: true, says: "may have been sent"},
		"mariadb killed":       {spec: marias[0].Spec, killed: true, says: "may have been sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			losesWrites(t, c.spec, c.killed, c.says)
		})
	}
}

func losesWrites(t *testing.T, spec servers.Spec, killed bool, says string) {
	primary := servers.Test(t, spec)
	r := replicaOf(t, primary)
	source := newCutter(t, primary.Addr)
	w := worldOn(t, primary, search.Get(t))
	w.url = strings.Replace(w.url, primary.Addr, source.address(), 1)
	w.exec(w.dialect.hotTable, w.dialect.rows(1, 20), "CREATE TABLE owner (id int PRIMARY KEY, name varchar(50))",
		"CREATE TABLE item (id int PRIMARY KEY, owner_id int, name varchar(50), FOREIGN KEY (owner_id) REFERENCES owner (id))",
		"INSERT INTO owner VALUES (1, 'ann')", "INSERT INTO item VALUES (1, 1, 'one'), (2, 1, 'two')")
	w.config(hotIndex + "  items:\n    index: NAME-items\n    table: item\n    fields: {name: {}, owner: owner.name}\n")
	w.start()
	w.settle()
	r.copySlot(w)
	if killed {
		w.stop()
	}
	r.catchUp(w)
	r.part(w)
	gone := []string{"INSERT INTO hot (id, body) VALUES (1000, 'gone')", "DELETE FROM hot WHERE id = 1", "UPDATE owner SET name = 'gone'"}
	w.exec(append(append([]string{"BEGIN"}, gone...), "COMMIT")...)
	shown := func() bool {
		_, item := w.get(w.search.URL + "/" + w.name + "-items/_doc/1")
		return w.document("1000") != nil || w.document("1") == nil || strings.Contains(string(item), "gone")
	}
	if killed {
		w.dieAt("bulk answered")
		if !shown() {
			t.Fatal("nothing was delivered")
		}
	} else {
		w.eventually("it is delivered", shown)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	r.promote(w)
	source.to.Store(&r.Addr)
	w.db, _ = w.dialect.open(t, r.URL, w.name)
	w.exec("UPDATE hot SET counter = 7 WHERE id = 2", "INSERT INTO item VALUES (3, 1, 'three')")
	if killed {
		w.start()
	}
	w.settle()
	w.compare(w.dialect.documents)
	w.compareWith(w.name+"-items", map[string]string{"1": `{"name":"one","owner":"ann"}`, "2": `{"name":"two","owner":"ann"}`, "3": `{"name":"three","owner":"ann"}`})
	if !w.log.contains(says) {
		t.Errorf("the log does not say %q", says)
	}
}
