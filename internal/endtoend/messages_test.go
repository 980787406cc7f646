package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

const messagesIndex = `
  NAME:
    events: {}
    fields: {n: {type: long}}
`

// TestMessages has writers push events by messages in transactions that are committed or rolled back, wholly or
// to a savepoint, at once or in two phases, while the daemon is killed. Each transaction writes to a table, too,
// so that the database says which were committed: each of their events is in the index once, and no other.
func TestMessages(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15", Args: []string{"-c", "max_prepared_transactions=20"}})
	w := worldOn(t, server, search.Get(t))
	w.exec("CREATE TABLE ledger (n bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
	w.config(messagesIndex)
	w.start()
	w.eventually("the daemon is ready", w.ready) // what comes before it is not asked for
	seed := seeds.One(t)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithCancel(t.Context())
	var ends atomic.Int64
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() { w.pushInTransactions(ctx, n, rand.New(rand.NewPCG(seed, uint64(n)+1)), &ends) })
	}
	wait := func(transactions int) {
		at := ends.Load() + int64(transactions)
		w.eventually("writers go on", func() bool { return ends.Load() >= at })
	}
	for range 5 {
		wait(50 + random.IntN(50))
		w.kill()
		wait(random.IntN(50))
		w.start()
	}
	wait(50)
	cancel()
	group.Wait()
	w.settleMessages()

	want := map[int64]bool{}
	rows, err := w.db.QueryContext(t.Context(), "SELECT n FROM ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		want[n] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	got := map[int64]int{}
	for id, source := range w.documents() {
		var document struct {
			ID      string    `json:"id"`
			N       int64     `json:"n"`
			Created time.Time `json:"created"`
		}
		if err := json.Unmarshal(source, &document); err != nil || document.ID != id || document.Created.IsZero() {
			t.Errorf("document %s is %s, %v", id, source, err)
		}
		got[document.N]++
		if !want[document.N] {
			t.Errorf("the event %d was not committed", document.N)
		}
	}
	for n := range want {
		if got[n] != 1 {
			t.Errorf("the event %d is in the index %d times", n, got[n])
		}
	}
	t.Logf("%d transactions ended, %d events were committed", ends.Load(), len(want))
	if len(want) == 0 {
		t.Error("nothing was committed")
	}
	if code := w.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// pushInTransactions ends one transaction after the other, in any way, until ctx ends.
func (w *world) pushInTransactions(ctx context.Context, writer int, random *rand.Rand, ends *atomic.Int64) {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer conn.Close()
	number := writer * 1_000_000_000
	for n := 0; ctx.Err() == nil; n++ {
		event := func() []string {
			number++
			id := ""
			if random.IntN(3) == 0 {
				id = fmt.Sprintf(`, "id": "own-%d"`, number)
			}
			return []string{
				fmt.Sprintf("INSERT INTO ledger (n) VALUES (%d)", number),
				fmt.Sprintf(`SELECT pg_logical_emit_message(true, 'haystream.%s', '{"n": %d%s}')`, w.name, number, id),
			}
		}
		events := func(most int) (statements []string) {
			for range random.IntN(most + 1) {
				statements = append(statements, event()...)
			}
			return statements
		}
		name := fmt.Sprintf("'%s-%d-%d'", w.name, writer, n)
		statements := append([]string{"BEGIN"}, event()...)
		switch random.IntN(6) {
		case 0:
			statements = append(statements, "ROLLBACK")
		case 1:
			statements = slices.Concat(statements, []string{"SAVEPOINT s"}, event(), []string{"ROLLBACK TO s"}, events(2), []string{"COMMIT"})
		case 2:
			statements = append(statements, "PREPARE TRANSACTION "+name, "COMMIT PREPARED "+name)
		case 3:
			statements = append(statements, "PREPARE TRANSACTION "+name, "ROLLBACK PREPARED "+name)
		default:
			statements = slices.Concat(statements, events(20), []string{"COMMIT"})
		}
		for _, statement := range statements {
			if _, err := conn.ExecContext(context.WithoutCancel(ctx), statement); err != nil {
				w.t.Errorf("%s: %v", statement, err)
				return
			}
		}
		ends.Add(1)
	}
}

// queued is the status of the event queue.
func (w *world) queued() map[string]any {
	out, _ := w.status()["events"].(map[string]any)
	return out
}

// settleMessages waits until all that was pushed so far is in the index.
func (w *world) settleMessages() {
	w.t.Helper()
	end := w.logEnd()
	w.eventually("the daemon has passed "+end, func() bool { return w.passed(end) })
	w.eventually("all events are delivered", func() bool { return w.queued()["waiting"] == 0.0 })
	w.eventually("the daemon is ready", w.ready)
}

// TestMessagesPassedOver: what is no event of any definition is counted and logged with its place
// in the log, and holds nothing up. What is in no transaction counts at once.
func TestMessagesPassedOver(t *testing.T) {
	w := newWorld(t)
	w.config(messagesIndex)
	w.start()
	w.eventually("the daemon is ready", w.ready)
	emit := func(transactional bool, name, body string) string {
		return fmt.Sprintf("SELECT pg_logical_emit_message(%t, 'haystream.%s', %s)", transactional, name, body)
	}
	w.exec(emit(true, w.name, `'{"n": 1'`), emit(true, w.name, `'[{"n": 2}, 3]'`), emit(true, w.name, `'\xff'::bytea`), emit(true, w.name, "repeat('x', 9000000)"),
		emit(true, w.name+"s", `'{"n": 4}'`), "SELECT pg_logical_emit_message(true, 'other.prefix', '{}')",
		"BEGIN", emit(false, w.name, `'{"n": 5, "id": "outside"}'`), emit(true, w.name, `'{"n": 6}'`), "ROLLBACK",
		emit(true, w.name, `convert_to('{"n": 7, "id": "bytes", "created": "2026-01-02T03:04:05Z"}', 'UTF8')`),
		emit(true, w.name, `'[{"n": 8, "id": "8"}, {"n": 9, "id": "9"}]'`))
	w.settleMessages()
	documents := w.documents()
	for id, want := range map[string]string{"outside": `"n":5`, "bytes": `"created":"2026-01-02T03:04:05Z"`, "8": `"n":8`, "9": `"n":9`} {
		if !strings.Contains(string(documents[id]), want) {
			t.Errorf("document %s is %s", id, documents[id])
		}
	}
	refused, _ := w.queued()["refused"].(map[string]any)
	if len(documents) != 4 || refused["message_invalid"] != 4.0 || refused["message_unknown"] != 1.0 {
		t.Errorf("there are %d documents, refused are %v", len(documents), refused)
	}
	if !w.log.contains("a message in the database's log is no event, and is passed over: no definition is over events of this name") {
		t.Error("the log does not tell of what was passed over")
	}
}

// TestMessagesWait: a full queue holds the stream up, /readyz says so, and nothing is lost.
func TestMessagesWait(t *testing.T) {
	es := search.Get(t)
	w := worldOn(t, postgres.Get(t), es)
	w.config(messagesIndex + "\nlimits: {max_event_queue: 64MiB}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	if err := es.Kill(); err != nil {
		t.Fatal(err)
	}
	const messages = 80
	for n := range messages {
		w.exec(fmt.Sprintf(`SELECT pg_logical_emit_message(true, 'haystream.%s', '{"id": "%d", "n": %d, "more": "' || repeat('x', 1000000) || '"}')`, w.name, n, n))
	}
	const waits = "the stream waits, since its messages cannot be put into the event queue: the queue is full"
	w.eventually("/readyz tells of the queue", func() bool {
		_, body := w.get(w.readyURL())
		return strings.Contains(string(body), waits)
	})
	if !w.log.contains(waits) {
		t.Error("the log does not tell of the queue")
	}
	w.kill()
	w.start()
	if err := es.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.settleMessages()
	if n := len(w.documents()); n != messages {
		t.Errorf("there are %d documents, want %d", n, messages)
	}
}
