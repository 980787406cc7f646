package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"haystream/internal/servers"
)

// started is a daemon that follows a small table.
func started(t *testing.T, rows int) *world {
	w := newWorld(t)
	w.follow(rows)
	return w
}

// follow starts a daemon for a table of so many rows.
func (w *world) follow(rows int) {
	w.t.Helper()
	w.exec(w.dialect.hotTable, w.dialect.rows(1, rows), w.dialect.analyze)
	w.config(hotIndex)
	w.start()
	w.eventually("the daemon is ready", w.ready)
}

// TestPrimarySeesNoQueryForAChange counts the statements of the daemon's role.
func TestPrimarySeesNoQueryForAChange(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE EXTENSION pg_stat_statements", hotTable, hotRows(1, 1000),
		"DROP ROLE IF EXISTS follower", "CREATE ROLE follower LOGIN REPLICATION SUPERUSER")
	w.url = strings.Replace(w.url, "postgres://postgres@", "postgres://follower@", 1)
	w.config(hotIndex)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.exec("SELECT pg_stat_statements_reset()")
	for n := range 300 {
		w.exec(fmt.Sprintf("UPDATE hot SET counter = %d WHERE id = %d", n, n+1))
	}
	w.settle()
	rows, err := w.db.QueryContext(t.Context(), `SELECT query, calls FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
		WHERE rolname = 'follower' AND query ~* '\mhot\M'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var query string
		var calls int64
		if err := rows.Scan(&query, &calls); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%d calls for streamed changes: %s", calls, query)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestDeadLetterIsSeenAndClears(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE free (id int PRIMARY KEY, word text)", "INSERT INTO free VALUES (1, '12'), (2, '13')")
	w.config("\n  NAME:\n    table: free\n    fields: {word: {type: integer}}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.exec("UPDATE free SET word = 'no number' WHERE id = 1", "UPDATE free SET word = '14' WHERE id = 2")
	w.eventually("the stream goes on past the refused document", func() bool { return w.document("2")["word"] == "14" })
	w.eventually("the dead letter shows in /status", func() bool { return w.deadLetters() == 1 })
	if letter := w.letterOf("1"); !strings.Contains(letter.Body, "no number") {
		t.Errorf("the dead letter does not carry the document: %+v", letter)
	}
	w.exec("UPDATE free SET word = '15' WHERE id = 1")
	w.eventually("the dead letter is cleared", func() bool { return w.deadLetters() == 0 })
	if got := w.document("1")["word"]; got != "15" {
		t.Errorf("the mended document says %v", got)
	}
}

// deadLetters is the number that /status shows for the first index.
func (w *world) deadLetters() int {
	n, ok := w.firstIndex()["dead_letters"].(float64)
	if !ok {
		return -1
	}
	return int(n)
}

// firstIndex is the first of `indexes` in /status; nil while there is none.
func (w *world) firstIndex() map[string]any {
	indexes, _ := w.status()["indexes"].([]any)
	if len(indexes) == 0 {
		return nil
	}
	index, _ := indexes[0].(map[string]any)
	return index
}

func (w *world) indexExists(name string) bool {
	code, _ := w.request(http.MethodHead, w.search.URL+"/"+name, "")
	return code == http.StatusOK
}

// TestChangedDefinitionIsBuiltBesideAndSwapped polls the alias throughout:
// it never lacks a document, while the old index goes on to be fed.
func TestChangedDefinitionIsBuiltBesideAndSwapped(t *testing.T) {
	w := started(t, 3000)
	before := w.physical()
	if code := w.stop(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	w.exec("UPDATE hot SET counter = 1 WHERE id = 3000")
	w.config("\n  NAME:\n    table: hot\n    fields: {name: {}, twice: {expr: counter * 2, type: long}}\n")
	w.start()
	w.eventually("a fresh index serves", func() bool {
		if w.document("3000") == nil {
			t.Error("the alias lacks a document during the swap")
		}
		p := w.physical()
		return p != "" && p != before
	})
	w.exec("UPDATE hot SET counter = 4 WHERE id = 7", "DELETE FROM hot WHERE id = 8")
	w.settle()
	w.compare("SELECT id::text, json_build_object('name', name, 'twice', counter * 2)::text FROM hot")
	w.eventually("the old index is dropped", func() bool { return !w.indexExists(before) })
}

// TestUnchangedToast: what the log leaves out of an update is completed from
// stored rows, whether values were stored apart when the daemon started, or not.
func TestUnchangedToast(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE doc (id int PRIMARY KEY, title text, body text)", "ALTER TABLE doc ALTER body SET STORAGE EXTERNAL",
		"INSERT INTO doc SELECT n, 't', 'short' FROM generate_series(1, 50) n")
	w.config("\n  NAME:\n    table: doc\n    fields: \"*\"\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	flat := w.physical()
	w.exec("UPDATE doc SET title = 'seen' WHERE id = 6", "UPDATE doc SET body = repeat('x', 9000) WHERE id = 7")
	w.settle()
	if w.physical() != flat {
		t.Error("the index was rebuilt before a value was left out")
	}
	w.exec("UPDATE doc SET title = 'changed' WHERE id = 7", "UPDATE doc SET title = 'whole' WHERE id = 8")
	w.eventually("the index is rebuilt from stored rows", func() bool { return w.physical() != flat })
	w.settle()
	w.compare("SELECT id::text, row_to_json(doc)::text FROM doc")
	stored := w.physical()
	w.exec("UPDATE doc SET title = 'again' WHERE id = 7", "UPDATE doc SET id = 70 WHERE id = 7", "UPDATE doc SET title = 'moved' WHERE id = 70")
	w.settle()
	w.compare("SELECT id::text, row_to_json(doc)::text FROM doc")
	w.stop()
	w.exec("UPDATE doc SET title = 'meanwhile' WHERE id = 70")
	w.start()
	w.settle()
	w.compare("SELECT id::text, row_to_json(doc)::text FROM doc")
	if w.physical() != stored {
		t.Error("the index was rebuilt though its rows were stored")
	}
}

// TestGapOfATable takes a table out of the publication while the daemon is down:
// a row that came before that, and left in it, does not stay.
func TestGapOfATable(t *testing.T) {
	w := newWorld(t)
	w.follow(200)
	was := w.physical()
	w.stop()
	w.exec(hotRows(300, 310), "ALTER PUBLICATION haystream_"+w.name+" DROP TABLE hot", "DELETE FROM hot WHERE id IN (7, 305)", "UPDATE hot SET counter = 5 WHERE id = 306")
	w.start()
	w.eventually("a fresh index serves", func() bool { return w.physical() != was && w.physical() != "" })
	w.settle()
	w.compare(w.dialect.documents)
}

func TestStandbyTakesOver(t *testing.T) { eachDatabase(t, standbyTakesOver) }

func standbyTakesOver(_ *testing.T, w *world) {
	w.follow(100)
	port := w.standby()
	w.kill()
	w.port = port
	w.exec("UPDATE hot SET counter = 5 WHERE id = 1")
	w.settle()
	w.compare(w.dialect.documents)
}

// TestStandbyTakesOverFromHung stops the process that holds the source, whose
// connection lives on, and lets it go on when the other one has taken over.
func TestStandbyTakesOverFromHung(t *testing.T) {
	if os.Getenv("HAYSTREAM_TEST_VERSIONS") != "all" {
		t.Skip("a lease's life is waited for: nightly")
	}
	eachDatabase(t, standbyTakesOverFromHung)
}

func standbyTakesOverFromHung(t *testing.T, w *world) {
	w.follow(100)
	port, first := w.standby(), w.port
	signal := func(s os.Signal) {
		if err := w.daemon.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("UPDATE hot SET counter = 4")
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT) // else it cannot be asked to end
	w.exec("UPDATE hot SET counter = 5 WHERE id < 50", "DELETE FROM hot WHERE id = 60")
	w.port = port
	w.within(50*time.Second, "the second daemon takes over", func() bool { return w.ready() && w.document("1")["counter"] == 5.0 })
	w.settle()
	w.compare(w.dialect.documents)
	signal(syscall.SIGCONT)
	w.exec("UPDATE hot SET counter = 6 WHERE id < 30")
	w.within(20*time.Second, "the first daemon stands by", func() bool {
		code, reason := w.get(fmt.Sprintf("http://127.0.0.1:%d/readyz", first))
		return code == http.StatusServiceUnavailable && strings.Contains(string(reason), "another daemon")
	})
	w.settle()
	w.compare(w.dialect.documents)
}

// standby starts a second daemon and waits until it stands by. It returns its port.
func (w *world) standby() int {
	w.t.Helper()
	second := w.command("run")
	port := freePort(w.t)
	second.Args[len(second.Args)-1] = w.copyConfig(port)
	if err := second.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = second.Process.Kill(); _ = second.Wait() })
	w.eventually("the second daemon stands by", func() bool { return w.log.contains("standing by") })
	return port
}

// copyConfig writes the same config with another port and returns its path.
func (w *world) copyConfig(port int) string {
	path := w.path() + ".second.yaml"
	script := fmt.Sprintf("sed 's/127.0.0.1:%d/127.0.0.1:%d/' %s > %s", w.port, port, w.path(), path)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestStopsInTimeWhileTheSinkIsAway: SIGTERM within 10 seconds, nothing lost.
func TestStopsInTimeWhileTheSinkIsAway(t *testing.T) {
	es := servers.Test(t, search.Spec)
	w := worldOn(t, postgres.Get(t), es)
	w.exec(hotTable, hotRows(1, 200))
	w.config(hotIndex)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	for _, queued := range []string{"SELECT 1", "UPDATE hot SET counter = 3"} {
		if err := es.Kill(); err != nil {
			t.Fatal(err)
		}
		w.exec(queued)
		w.eventually("the daemon says that the sink is away", func() bool { return !w.ready() })
		began := time.Now()
		code := w.stop()
		if took := time.Since(began); code != 0 || took > 10*time.Second {
			t.Errorf("exit code %d after %s", code, took)
		}
		if err := es.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.eventually("the daemon is ready", w.ready)
	}
	w.settle()
	w.compare(hotDocuments)
}

// TestColumnsComeAndGo: with "*" a column added while the daemon runs, and
// one dropped while it is down, end in equal documents.
func TestColumnsComeAndGo(t *testing.T) { eachDatabase(t, columnsComeAndGo) }

func columnsComeAndGo(_ *testing.T, w *world) {
	w.follow(300)
	w.exec("ALTER TABLE hot ADD COLUMN extra int DEFAULT 5", "UPDATE hot SET extra = 6 WHERE id = 3")
	w.eventually("the added column shows up", func() bool { return w.document("3")["extra"] == 6.0 })
	w.settle()
	w.compare(w.dialect.withColumn("extra"))
	w.stop()
	w.exec("UPDATE hot SET extra = 7 WHERE id = 4", "ALTER TABLE hot DROP COLUMN extra", "UPDATE hot SET counter = 8 WHERE id = 5")
	w.start()
	w.eventually("the dropped column is gone", func() bool { _, there := w.document("3")["extra"]; return !there })
	w.settle()
	w.compare(w.dialect.documents)
}

// TestAnotherTableTakesTheName swaps a table for another of the same name while
// the daemon runs. The log tells of no change of the new one by itself.
func TestAnotherTableTakesTheName(t *testing.T) { eachDatabase(t, anotherTableTakesTheName) }

func anotherTableTakesTheName(_ *testing.T, w *world) {
	w.follow(200)
	before := w.physical()
	w.exec(w.dialect.copyTable, "INSERT INTO hot_new SELECT * FROM hot WHERE id > 50", "UPDATE hot_new SET body = 'new'")
	w.exec(w.dialect.swap...)
	w.exec("UPDATE hot SET counter = 9 WHERE id = 60", "UPDATE hot_old SET counter = 8 WHERE id = 60")
	w.eventually("a fresh index serves", func() bool { p := w.physical(); return p != "" && p != before })
	w.settle()
	w.compare(w.dialect.documents)
}

// TestOnlineSchemaChange copies a table into one with another column, kept up
// to date by triggers, and swaps the two by a rename, under a writer that does
// not notice: as the tools for MySQL do it.
func TestOnlineSchemaChange(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		if w.server.Kind != servers.Postgres { // where nobody needs such a tool
			onlineSchemaChange(t, w)
		}
	})
}

func onlineSchemaChange(t *testing.T, w *world) {
	const columns = "id, counter, name, amount, tags, at, flag, body"
	of := func(row string) string { return row + "." + strings.ReplaceAll(columns, ", ", ", "+row+".") }
	w.follow(2000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writes atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() { w.write(ctx, rand.New(rand.NewPCG(1, 2)), 2000, &writes) })
	w.exec("CREATE TABLE hot_new LIKE hot", "ALTER TABLE hot_new ADD COLUMN extra int DEFAULT 7",
		"CREATE TRIGGER hot_i AFTER INSERT ON hot FOR EACH ROW REPLACE INTO hot_new ("+columns+") VALUES ("+of("NEW")+")",
		"CREATE TRIGGER hot_u AFTER UPDATE ON hot FOR EACH ROW BEGIN DELETE FROM hot_new WHERE id = OLD.id; REPLACE INTO hot_new ("+columns+") VALUES ("+of("NEW")+"); END",
		"CREATE TRIGGER hot_d AFTER DELETE ON hot FOR EACH ROW DELETE FROM hot_new WHERE id = OLD.id")
	for id := 0; id < 4000; id += 500 {
		w.exec(fmt.Sprintf("INSERT IGNORE INTO hot_new (%s) SELECT %[1]s FROM hot WHERE id > %d AND id <= %d LOCK IN SHARE MODE", columns, id, id+500))
	}
	w.exec("RENAME TABLE hot TO hot_old, hot_new TO hot", "DROP TABLE hot_old")
	at := writes.Load()
	w.eventually("the writer goes on", func() bool { return writes.Load() > at+100 })
	w.eventually("the new column shows up", func() bool { return w.document("1")["extra"] == 7.0 })
	cancel()
	writer.Wait()
	w.settle()
	w.compare(w.dialect.withColumn("extra"))
}

// TestMetricsSpeakOfTheIndex reads what a monitoring system would.
func TestMetricsSpeakOfTheIndex(t *testing.T) {
	w := started(t, 100)
	w.settle()
	metrics := fmt.Sprintf("http://127.0.0.1:%d/metrics", w.port)
	w.eventually("an idle database has no lag", func() bool {
		_, body := w.get(metrics)
		return strings.Contains(string(body), "haystream_lag_seconds 0\n")
	})
	_, body := w.get(metrics)
	for _, want := range []string{"haystream_ready 1", `haystream_documents_written_total{index="` + w.name + `"}`, `haystream_snapshot_running{index="` + w.name + `"} 0`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	_, body = w.get(fmt.Sprintf("http://127.0.0.1:%d/status", w.port))
	var status map[string]any
	if err := json.Unmarshal(body, &status); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"source", "sink", "indexes", "version", "name"} {
		if status[key] == nil {
			t.Errorf("/status lacks %s", key)
		}
	}
}
