package mysql

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// A replica of the same history goes on where its primary has ended, in files
// of its own, and is a source before that, too.
func TestFailover(t *testing.T) {
	eachOwn(t, "", func(r *rig, primary *servers.Server) {
		spec := primary.Spec
		spec.Args = append(slices.Clip(spec.Args), "--server-id=2", "--log-bin=other", "--log-slave-updates=ON", "--skip-slave-start")
		replica := newBox(r.T, servers.Test(r.T, spec).URL)
		replicate(replica, r.URL)

		r.exec("CREATE TABLE t" + people)
		if r.isMaria() {
			r.exec("SET gtid_domain_id = 5", "INSERT INTO t VALUES (100, 'another domain')", "SET gtid_domain_id = 0")
		}
		r.prepare("t")
		first := r.stream(r.start)
		for i := range 20 {
			r.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 'a')", i))
		}
		first.catchUp()
		first.stop()
		mark := first.mark()
		r.exec("INSERT INTO t VALUES (200, 'unread')", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (201, 'unread')")
		for replica.ask("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '"+r.name+"' AND table_name = 't'") != "1" {
			r.must(r.Context().Err())
		}
		for replica.ask("SELECT COUNT(*) FROM "+r.name+".t WHERE id >= 200") != "2" {
			r.must(r.Context().Err())
		}
		if err := primary.Kill(); err != nil {
			r.Fatal(err)
		}
		replica.exec("STOP REPLICA")
		promoted := &rig{box: replica, name: r.name, fences: r.fences}
		promoted.exec("USE " + r.name)
		promoted.source = promoted.newSource()
		r.Cleanup(func() { r.must(primary.Restart(context.Background())) }) // for its own clean-up
		promoted.project("t")
		start, err := promoted.source.Prepare(r.Context(), promoted.tables, mark.Position)
		if r.must(err); !start.Moved {
			r.Error("Prepare does not say that the server is another one")
		}
		second := promoted.restart(mark, "t")
		second.expect("insert t (200,unread)", "insert t (201,unread)")
		chunk, err := promoted.chunk("t")
		promoted.must(err)
		second.untilReached(chunk)
		promoted.exec("INSERT INTO t VALUES (300, 'new primary')")
		second.expect("insert t (300,new primary)")
		second.stop()
		promoted.restart(second.mark(), "t").expect()
	})
}

func replicate(b *box, from *url.URL) {
	b.Helper()
	how := fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s, MASTER_USER='root', ", from.Port())
	switch {
	case b.isMaria():
		b.exec(how+"MASTER_USE_GTID=slave_pos", "START SLAVE")
	case older(b.admin.version, 8, 4):
		b.exec(how+"MASTER_AUTO_POSITION=1, GET_MASTER_PUBLIC_KEY=1", "START SLAVE")
	default:
		b.exec(fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%s, SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", from.Port()), "START REPLICA")
	}
}

// A server whose history has forked, or that is another one, is refused.
func TestForkedHistory(t *testing.T) {
	eachOwn(t, "", func(r *rig, server *servers.Server) {
		r.exec("CREATE TABLE t" + people)
		r.prepare("t")
		first := r.stream(r.start)
		r.exec("INSERT INTO t VALUES (1, 'a')")
		first.expect("insert t (1,a)")
		first.stop()
		spec := server.Spec
		spec.Args = append(slices.Clip(spec.Args), "--server-id=3")
		other := newRig(newBox(r.T, servers.Test(r.T, spec).URL), r.name)
		other.exec("CREATE TABLE t" + people)
		other.project("t")
		other.refuses(first.mark(), sources.ErrPositionLost, "forked")
	})
}

// Before its first numbered transaction a server has a position, too.
func TestEmptyHistory(t *testing.T) {
	eachOwn(t, "", func(r *rig, _ *servers.Server) {
		r.exec("CREATE TABLE t" + people)
		reset := "RESET MASTER"
		if !r.isMaria() && !older(r.admin.version, 8, 4) {
			reset = "RESET BINARY LOGS AND GTIDS"
		}
		r.exec(reset)
		r.prepare("t")
		first := r.stream(r.start)
		if !r.isMaria() { // which has said so already
			first.next()
		}
		first.stop()
		at, err := parsePosition(first.mark().Position)
		r.must(err)
		if at.gtids != "" || at.file == "" {
			r.Fatalf("the position is %s", at)
		}
		second := r.restart(first.mark(), "t")
		r.exec("INSERT INTO t VALUES (1, 'a')")
		second.expect("insert t (1,a)")
	})
}
