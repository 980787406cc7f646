package endtoend

import (
	"database/sql"
	"errors"
	"net/url"
	"testing"

	"haystream/internal/servers"
)

// failover has the source's replica take its place, when it has all that the daemon has read.
func failover(m *trial) {
	primary := m.server
	follower := follow(m.top, primary, m.replica)
	m.change()
	m.kill()
	m.exec("CREATE TABLE behind (id int PRIMARY KEY)")
	do := func(statement string) error {
		_, err := follower.ExecContext(m.ctx, statement)
		return err
	}
	m.eventually("the replica has all", func() bool { return do("SELECT 1 FROM "+m.name+".behind") == nil })
	if err := errors.Join(primary.Kill(), do(stopReplica(primary))); err != nil {
		m.t.Fatal(err)
	}
	m.server = m.replica
	m.db, m.url = m.dialect.open(m.top, m.replica.URL, m.name)
	m.configure()
	m.again()
	m.start()
}

// replicaOf starts a server that may be made a replica of one of the spec.
func replicaOf(t *testing.T, spec servers.Spec) *servers.Server {
	t.Helper()
	spec.Args = append([]string{"--server-id=2", "--log-bin=other", "--log-slave-updates=ON", "--skip-slave-start"}, spec.Args...)
	return servers.Test(t, spec)
}

// follow makes a server a replica of another one, and opens it.
func follow(t *testing.T, primary, replica *servers.Server) *sql.DB {
	t.Helper()
	follower, _ := dialectOf(primary.Kind).open(t, replica.URL, "")
	for _, statement := range replicateFrom(t, primary) {
		if _, err := follower.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return follower
}

// stopReplica ends what replicateFrom began.
func stopReplica(primary *servers.Server) string {
	if primary.Kind == servers.MySQL && primary.Version != "8.0" {
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
