package endtoend

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"haystream/internal/servers"
)

// TestFailover kills a primary under writers, promotes its replica, and points
// the daemon at that: it goes on where it was, without reading a table again.
func TestFailover(t *testing.T) {
	for _, shared := range append(append([]*servers.Shared{}, mysqls...), marias...) {
		t.Run(shared.Spec.Kind+shared.Spec.Version, func(t *testing.T) { failover(t, shared.Spec) })
	}
}

func failover(t *testing.T, spec servers.Spec) {
	const rows = 3000
	primary := servers.Test(t, spec)
	w := worldOn(t, primary, search.Get(t))
	replica, follower := replicaOf(t, primary)
	w.follow(rows)
	before := w.physical()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writes atomic.Int64
	var writers sync.WaitGroup
	writers.Go(func() { w.write(ctx, rand.New(rand.NewPCG(1, 1)), rows, &writes) })
	w.eventually("the writer is under way", func() bool { return writes.Load() > 300 })
	w.kill()
	// What the daemon has read must have reached the replica: it has not read what comes now.
	at := writes.Load()
	w.eventually("the writer goes on", func() bool { return writes.Load() > at+300 })
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	cancel()
	writers.Wait()
	if _, err := follower.ExecContext(t.Context(), stopReplica(primary)); err != nil {
		t.Fatal(err)
	}
	w.server = replica
	w.db, w.url = w.dialect.open(t, replica.URL, w.name)
	w.config(hotIndex)
	w.start()
	w.exec("UPDATE hot SET counter = counter + 1 WHERE id < 50", "DELETE FROM hot WHERE id > 2900")
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	w.compare(w.dialect.documents)
	if after := w.physical(); after != before {
		t.Errorf("the table was read again, into %s", after)
	}
}

// replicaOf starts a replica.
func replicaOf(t *testing.T, primary *servers.Server) (*servers.Server, *sql.DB) {
	t.Helper()
	spec := primary.Spec
	spec.Args = append([]string{"--server-id=2", "--log-bin=other", "--log-slave-updates=ON", "--skip-slave-start"}, spec.Args...)
	replica := servers.Test(t, spec)
	follower, _ := dialectOf(primary.Kind).open(t, replica.URL, "")
	for _, statement := range replicateFrom(t, primary) {
		if _, err := follower.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return replica, follower
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
