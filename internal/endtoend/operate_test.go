package endtoend

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"haystream/internal/servers"
)

// cli runs a command against the daemon and returns what it prints.
func (w *world) cli(args ...string) (string, error) {
	cmd := exec.Command(binary, append(args, "-c", w.path())...)
	cmd.Dir, cmd.SysProcAttr = w.dir, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is cli for a command that must go well.
func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := w.cli(args...)
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// post asks the daemon over HTTP.
func (w *world) post(path string) (int, string) {
	code, body := w.request(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", w.port, path), "")
	return code, string(body)
}

// TestPause: a paused pipeline writes nothing, over a restart and for a standby, and misses
// nothing. Its queue takes events meanwhile.
func TestPause(t *testing.T) { eachDatabase(t, pause) }

func pause(t *testing.T, w *world) {
	w.exec(w.dialect.hotTable, w.dialect.rows(1, 200), w.dialect.analyze)
	w.config(hotIndex + "  NAME-events:\n    events: {}\n    fields: {word: {type: keyword}}\n")
	w.start()
	w.settle()
	if out := w.must("pause"); !strings.Contains(out, "paused") {
		t.Errorf("pause prints %q", out)
	}
	w.must("pause") // again
	w.exec("UPDATE hot SET counter = 7 WHERE id = 1", "DELETE FROM hot WHERE id = 2", w.dialect.rows(201, 210))
	if code, body := w.request(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/events/%s-events", w.port, w.name), `{"word":"taken"}`); code != http.StatusAccepted {
		t.Errorf("events are answered %d %s", code, body)
	}
	paused := func() {
		t.Helper()
		w.eventually("the daemon is paused", func() bool { return w.status()["state"] == "paused" })
		if code, why := w.get(w.readyURL()); code != http.StatusServiceUnavailable || !strings.Contains(string(why), "paused since") || !strings.Contains(string(why), "haystream resume") {
			t.Errorf("/readyz answers %d %s", code, why)
		}
		if code, why := w.get(strings.Replace(w.readyURL(), "readyz", "healthz", 1)); code != http.StatusOK {
			t.Errorf("/healthz answers %d %s", code, why)
		}
		if got := w.document("1")["counter"]; got != 0.0 {
			t.Errorf("the document says %v: something was written", got)
		}
	}
	paused()
	w.kill()
	w.start()
	paused()
	if out, err := w.cli("status"); err != nil || !strings.Contains(out, "paused since") {
		t.Errorf("status prints %q, %v", out, err)
	}
	if code, body := w.post("/resume"); code != http.StatusOK || !strings.Contains(body, `"paused":false`) {
		t.Errorf("/resume answers %d %s", code, body)
	}
	w.eventually("the daemon runs", func() bool { return w.status()["state"] == "running" })
	w.settle()
	w.compare(w.dialect.documents)
	w.eventually("the event is delivered", func() bool { return len(w.documentsOf(w.name+"-events")) == 1 })
	w.must("resume") // again
	if log := w.log.count(`"paused; `); log < 2 {
		t.Errorf("the pause is logged %d times", log)
	}
}

// TestResumeWhileTheSinkIsAway: who could not read yet that it is paused does not say that it is resumed.
func TestResumeWhileTheSinkIsAway(t *testing.T) {
	es := servers.Test(t, search.Spec)
	w := worldOn(t, postgres.Get(t), es)
	w.exec(hotTable, hotRows(1, 10))
	w.config(hotIndex)
	w.start()
	w.settle()
	w.must("pause")
	if err := es.Kill(); err != nil {
		t.Fatal(err)
	}
	w.kill()
	w.start()
	w.eventually("the daemon waits", func() bool { return w.status()["state"] == "waiting" })
	if code, body := w.post("/resume"); code != http.StatusServiceUnavailable || !strings.Contains(body, "the daemon waits") {
		t.Errorf("/resume answers %d %s", code, body)
	}
	if err := es.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("the daemon is paused", func() bool { return w.status()["state"] == "paused" })
	w.must("resume")
	w.settle()
	w.compare(hotDocuments)
}

// TestDeadLettersReplayed: documents that Elasticsearch refused are sent again once the cause is
// mended there, and never in the place of a later state.
func TestDeadLettersReplayed(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE free (id int PRIMARY KEY, word text, part int)", "INSERT INTO free VALUES (1, '12', 1), (2, '13', 2), (3, '14', 3), (4, '15', 4)")
	w.config("\n  NAME:\n    table: free\n    routing: part\n    settings: {number_of_shards: 3, number_of_replicas: 0}\n    fields: {word: {type: integer}}\n")
	w.start()
	w.settle()
	w.exec("UPDATE free SET word = 'no number' WHERE id < 4", "UPDATE free SET word = 'nor this' WHERE id = 1")
	w.eventually("three documents are dead letters", func() bool { return w.deadLetters() == 3 })
	key := func(id int) string { return fmt.Sprintf("%s:%d", w.physical(), id) }

	first := w.must("dead-letters", "list", "--limit", "2")
	if !strings.Contains(first, "2 of 3; the next with --after ") {
		t.Fatalf("the list is\n%s", first)
	}
	_, place, _ := strings.Cut(first, "--after ")
	rest := w.must("dead-letters", "list", "--index", w.name, "--after", strings.TrimSpace(place))
	for id := 1; id < 4; id++ {
		if strings.Count(first+rest, key(id)+" ") != 1 {
			t.Errorf("dead letter %d is not listed once:\n%s\n%s", id, first, rest)
		}
	}
	if out := w.must("dead-letters", "show", key(1)); !strings.Contains(out, `"word": "nor this"`) || !strings.Contains(out, `"reason"`) {
		t.Errorf("dead letter 1 is\n%s", out)
	}
	if out, err := w.cli("dead-letters", "replay", key(1)); err == nil || !strings.Contains(out, "refused: ") {
		t.Errorf("before the cause is mended, replay prints\n%s %v", out, err)
	}
	for _, args := range [][]string{{"show", key(9)}, {"replay", key(9)}, {"drop", key(9)}, {"list", "--index", "nothing"}} {
		if out, err := w.cli(append([]string{"dead-letters"}, args...)...); err == nil || !strings.Contains(out, "there is no") {
			t.Errorf("%v prints\n%s %v", args, out, err)
		}
	}
	if out := w.must("dead-letters", "drop", key(3)); !strings.Contains(out, "dropped") || w.document("3?routing=3")["word"] != "14" {
		t.Errorf("drop prints\n%s", out)
	}

	w.ask(http.MethodPut, "/"+w.physical()+"/_mapping", `{"properties":{"word":{"type":"integer","ignore_malformed":true}}}`)
	w.exec("UPDATE free SET word = '22' WHERE id = 2")
	w.eventually("a good write clears the dead letter", func() bool { return w.deadLetters() == 1 })
	if out := w.must("dead-letters", "replay", "--all"); !strings.Contains(out, key(1)+" held") || strings.Count(out, "\n") != 1 {
		t.Errorf("after the cause is mended, replay prints\n%s", out)
	}
	w.eventually("no dead letter is left", func() bool { return w.deadLetters() == 0 })
	if out := w.must("dead-letters", "list"); out != "no dead letters\n" {
		t.Errorf("the list is\n%s", out)
	}
	if w.document("1?routing=1")["word"] != "nor this" || w.document("2?routing=2")["word"] != "22" {
		t.Errorf("the documents are %v", w.documents())
	}
	w.must("pause")
	if out, err := w.cli("dead-letters", "list"); err != nil {
		t.Errorf("while paused, list prints\n%s", out)
	}
	w.must("resume")
	w.exec("UPDATE free SET word = '30'")
	w.settle()
}

// TestDeadLettersOfPeriods: a document that the index of a period has refused is sent to that one again.
func TestDeadLettersOfPeriods(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE visit (id int PRIMARY KEY, at date, word text)", "INSERT INTO visit VALUES (1, '2024-01-05', '12'), (2, '2024-02-05', 'no number')")
	w.config("\n  NAME:\n    table: visit\n    mode: append\n    partition: {by: at, every: month}\n    settings: {number_of_replicas: 0}\n    fields: {at: {}, word: {type: integer}}\n")
	w.start()
	w.settle()
	w.exec("INSERT INTO visit VALUES (3, '2024-01-06', 'nor this')")
	w.eventually("two documents are dead letters", func() bool { return w.deadLetters() == 2 })
	if reports, ok := w.verify(); !ok || reports[w.name].Refused != 2 {
		t.Errorf("verify finds %+v", reports)
	}
	w.ask(http.MethodPut, "/"+w.name+"/_mapping", `{"properties":{"word":{"type":"integer","ignore_malformed":true}}}`)
	if out := w.must("dead-letters", "replay", "--all"); strings.Count(out, " held") != 2 {
		t.Errorf("replay prints\n%s", out)
	}
	w.eventually("no dead letter is left", func() bool { return w.deadLetters() == 0 })
	for hit := range w.eachHit(w.name) {
		if want := map[string]string{"1": "2024.01", "2": "2024.02", "3": "2024.01"}[hit.ID]; !strings.Contains(hit.Index, want) {
			t.Errorf("document %s is in %s", hit.ID, hit.Index)
		}
	}
	if reports, ok := w.verify(); !ok || reports[w.name].Documents.Compared != 3 || reports[w.name].Refused != 0 {
		t.Errorf("verify finds %+v", reports)
	}
}
