package endtoend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
)

// started is a daemon that follows a small table.
func started(t *testing.T, rows int) *world {
	w := newWorld(t)
	w.exec(hotTable, hotRows(1, rows), "ANALYZE hot")
	w.config(hotIndex)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	return w
}

func TestFollowsEveryKindOfChange(t *testing.T) {
	w := started(t, 500)
	w.exec(
		"UPDATE hot SET name = NULL, amount = -0.10 WHERE id < 10",
		"UPDATE hot SET id = id + 10000 WHERE id BETWEEN 20 AND 30",
		"DELETE FROM hot WHERE id BETWEEN 40 AND 50",
		"INSERT INTO hot (id, body) VALUES (40, 'a row that came back')",
		"BEGIN", "UPDATE hot SET body = 'never'", "ROLLBACK",
	)
	w.settle()
	w.compare("NAME", hotDocuments)
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
}

func TestDeadLetterIsSeenAndClears(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE free (id int PRIMARY KEY, word text)", "INSERT INTO free VALUES (1, '12'), (2, '13')")
	w.config("\n  NAME:\n    table: free\n    fields: {word: {type: integer}}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.exec("UPDATE free SET word = 'no number' WHERE id = 1", "UPDATE free SET word = '14' WHERE id = 2")
	w.eventually("the stream goes on past the refused document", func() bool { return w.document("NAME", "2")["word"] == "14" })
	w.eventually("the dead letter shows in /status", func() bool { return w.deadLetters() == 1 })
	w.request(http.MethodPost, w.search.URL+"/haystream-dead-letters/_refresh", "")
	if _, body := w.get(w.search.URL + "/haystream-dead-letters/_search?q=" + w.physical("NAME")); !strings.Contains(string(body), "no number") {
		t.Errorf("the dead letter does not carry the document: %s", body)
	}
	w.exec("UPDATE free SET word = '15' WHERE id = 1")
	w.eventually("the dead letter is cleared", func() bool { return w.deadLetters() == 0 })
	if got := w.document("NAME", "1")["word"]; got != "15" {
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
	status, _ := w.status()
	indexes, _ := status["indexes"].([]any)
	if len(indexes) == 0 {
		return nil
	}
	index, _ := indexes[0].(map[string]any)
	return index
}

func TestTruncateReachesTheIndex(t *testing.T) {
	w := started(t, 2000)
	before := w.physical("NAME")
	w.exec("BEGIN", "TRUNCATE hot", hotRows(5, 8), "COMMIT", "UPDATE hot SET counter = 7 WHERE id = 5")
	w.eventually("a fresh index serves", func() bool { p := w.physical("NAME"); return p != "" && p != before })
	w.settle()
	w.compare("NAME", hotDocuments)
	w.exec("TRUNCATE hot")
	w.eventually("the index is empty", func() bool { return len(w.documents("NAME")) == 0 })
	if w.indexExists(before) {
		t.Errorf("the replaced index %s is still there", before)
	}
}

func (w *world) indexExists(name string) bool {
	code, _ := w.request(http.MethodHead, w.search.URL+"/"+name, "")
	return code == http.StatusOK
}

// TestChangedDefinitionIsBuiltBesideAndSwapped polls the alias throughout:
// it never lacks a document, while the old index goes on to be fed.
func TestChangedDefinitionIsBuiltBesideAndSwapped(t *testing.T) {
	w := started(t, 3000)
	before := w.physical("NAME")
	if code := w.stop(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	w.exec("UPDATE hot SET counter = 1 WHERE id = 3000")
	w.config("\n  NAME:\n    table: hot\n    fields: {name: {}, twice: {expr: counter * 2, type: long}}\n")
	w.start()
	w.eventually("a fresh index serves", func() bool {
		if w.document("NAME", "3000") == nil {
			t.Error("the alias lacks a document during the swap")
		}
		p := w.physical("NAME")
		return p != "" && p != before
	})
	w.exec("UPDATE hot SET counter = 4 WHERE id = 7", "DELETE FROM hot WHERE id = 8")
	w.settle()
	w.compare("NAME", "SELECT id::text, json_build_object('name', name, 'twice', counter * 2)::text FROM hot")
	w.eventually("the old index is dropped", func() bool { return !w.indexExists(before) })
}

func TestLostSlotIsRebuiltBeside(t *testing.T) {
	w := started(t, 1000)
	before := w.physical("NAME")
	w.stop()
	w.exec("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()",
		"DELETE FROM hot WHERE id < 100", "UPDATE hot SET counter = 9 WHERE id = 500")
	w.start()
	w.eventually("a fresh index serves", func() bool { p := w.physical("NAME"); return p != "" && p != before })
	w.settle()
	w.compare("NAME", hotDocuments)
	if !w.log.contains("slot") {
		t.Error("the log does not speak of the slot")
	}
}

// TestUnfilledToastPausesAndHeals: a value that the log left out is never
// indexed; the statement that mends it is told; afterwards all is equal.
func TestUnfilledToastPausesAndHeals(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE doc (id int PRIMARY KEY, title text, body text)", "ALTER TABLE doc ALTER body SET STORAGE EXTERNAL",
		"INSERT INTO doc SELECT n, 't', repeat('x', 9000) FROM generate_series(1, 50) n")
	w.config("\n  NAME:\n    table: doc\n    fields: \"*\"\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.exec("UPDATE doc SET title = 'changed' WHERE id = 7")
	w.eventually("readiness names the statement", func() bool {
		_, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port))
		return strings.Contains(string(body), "REPLICA IDENTITY FULL")
	})
	if got := w.document("NAME", "7"); got["body"] == nil || got["title"] != "t" {
		t.Errorf("an incomplete image was indexed: %.80v", got)
	}
	w.exec("ALTER TABLE doc REPLICA IDENTITY FULL", "UPDATE doc SET title = 'whole' WHERE id = 8")
	w.eventually("the row is whole again", func() bool { return w.document("NAME", "7")["title"] == "changed" })
	w.settle()
	w.compare("NAME", "SELECT id::text, row_to_json(doc)::text FROM doc")
}

func TestStandbyTakesOver(t *testing.T) {
	w := started(t, 100)
	second := w.command("run")
	port := freePort(t)
	second.Args[len(second.Args)-1] = w.copyConfig(port)
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Process.Kill(); _ = second.Wait() }()
	w.eventually("the second daemon stands by", func() bool { return w.log.contains("standing by") })
	w.kill()
	w.port = port
	w.exec("UPDATE hot SET counter = 5 WHERE id = 1")
	w.settle()
	w.compare("NAME", hotDocuments)
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
	es := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
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
	w.compare("NAME", hotDocuments)
}

// TestAddedColumnShowsUp: with "*" a column added while the daemon runs, and
// one dropped while it is down, end in equal documents.
func TestColumnsComeAndGo(t *testing.T) {
	w := started(t, 300)
	w.exec("ALTER TABLE hot ADD COLUMN extra int DEFAULT 5", "UPDATE hot SET extra = 6 WHERE id = 3")
	w.eventually("the added column shows up", func() bool { return w.document("NAME", "3")["extra"] == 6.0 })
	w.settle()
	all := "SELECT id::text, (to_jsonb(hot) || jsonb_build_object('at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')))::text FROM hot"
	w.compare("NAME", all)
	w.stop()
	w.exec("UPDATE hot SET extra = 7 WHERE id = 4", "ALTER TABLE hot DROP COLUMN extra", "UPDATE hot SET counter = 8 WHERE id = 5")
	w.start()
	w.eventually("the dropped column is gone", func() bool { _, there := w.document("NAME", "3")["extra"]; return !there })
	w.settle()
	w.compare("NAME", all)
}

// TestAnotherTableTakesTheName swaps a table for another of the same name while
// the daemon runs. The log tells of no change of the new one by itself.
func TestAnotherTableTakesTheName(t *testing.T) {
	w := started(t, 200)
	w.exec("CREATE TABLE hot_new (LIKE hot INCLUDING ALL)", "INSERT INTO hot_new SELECT * FROM hot WHERE id > 50",
		"UPDATE hot_new SET body = 'new'", "BEGIN", "ALTER TABLE hot RENAME TO hot_old", "ALTER TABLE hot_new RENAME TO hot", "COMMIT",
		"UPDATE hot SET counter = 9 WHERE id = 60", "UPDATE hot_old SET counter = 8 WHERE id = 60")
	w.eventually("the new table's rows serve", func() bool { return w.document("NAME", "60")["counter"] == 9.0 })
	w.settle()
	w.compare("NAME", hotDocuments)
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
