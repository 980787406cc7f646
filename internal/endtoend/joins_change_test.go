package endtoend

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
)

// TestJoinedStopsWhileTheSinkIsAway: with documents on their way that are never
// taken, SIGTERM ends the daemon in time; nothing is lost.
func TestJoinedStopsWhileTheSinkIsAway(t *testing.T) {
	es := servers.Test(t, search.Spec)
	w := worldOn(t, postgres.Get(t), es)
	joined(w, 1, 20_000)
	if err := es.Kill(); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE author SET name = 'renamed'", "UPDATE tag SET word = 'again ' || id")
	w.eventually("the daemon says that the sink is away", func() bool { return !w.ready() })
	began := time.Now()
	if code, took := w.stop(), time.Since(began); code != 0 || took > 10*time.Second {
		t.Errorf("exit code %d after %s", code, took)
	}
	if w.log.contains("panic") {
		t.Error("it panicked")
	}
	if err := es.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	w.compare(writtenDocuments)
}

// TestHotAuthor renames the author of all notes again and again, with other
// changes between and a kill in the middle; the primary sees no query for it.
func TestHotAuthor(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE EXTENSION pg_stat_statements", "DROP ROLE IF EXISTS hot_follower", "CREATE ROLE hot_follower LOGIN REPLICATION SUPERUSER")
	w.url = strings.Replace(w.url, "postgres://postgres@", "postgres://hot_follower@", 1)
	joined(w, 1, 20_000)
	w.exec("SELECT pg_stat_statements_reset()")
	for n := range 4 {
		w.exec(fmt.Sprintf("UPDATE author SET name = 'name %d'", n), fmt.Sprintf("UPDATE note SET title = 'n %d' WHERE id %% 100 = %[1]d", n),
			fmt.Sprintf("DELETE FROM note WHERE id = %d", 500+n), fmt.Sprintf("INSERT INTO note VALUES (%d, 'late', 1)", 30_000+n))
		w.eventually("others are not kept waiting", func() bool { return w.document(fmt.Sprint(30_000+n)) != nil })
		if n == 1 {
			w.kill()
			w.start()
			w.eventually("it follows", w.ready)
			w.exec("SELECT pg_stat_statements_reset()")
		}
	}
	w.settle()
	w.compare(writtenDocuments)
	var queries int
	if err := w.db.QueryRowContext(t.Context(), `SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
		WHERE rolname = 'hot_follower' AND query ~* '\m(FROM|JOIN) (public\.)?"?(note|author|tag|note_tag)\M'`).Scan(&queries); err != nil {
		t.Fatal(err)
	}
	if queries > 0 {
		t.Errorf("%d queries for streamed changes", queries)
	}
}
