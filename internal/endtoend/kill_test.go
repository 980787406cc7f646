package endtoend

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

const hotTable = `CREATE TABLE hot (
	id bigint PRIMARY KEY, counter bigint NOT NULL DEFAULT 0, name text, amount numeric(12,2),
	tags text[], at timestamptz NOT NULL DEFAULT now(), flag boolean, body text NOT NULL)`

const hotDocuments = `SELECT id::text, json_build_object('id', id, 'counter', counter, 'name', name, 'amount', amount,
	'tags', tags, 'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'flag', flag, 'body', body)::text FROM hot`

const hotIndex = `
  NAME:
    table: hot
    fields: "*"
`

func hotRows(from, to int) string {
	return fmt.Sprintf(`INSERT INTO hot (id, name, amount, tags, flag, body) SELECT n, 'name ' || n, n * 1.01, ARRAY['a' || n %% 7, 'ü"\'],
		n %% 3 = 0, repeat(md5(n::text), 5) FROM generate_series(%d, %d) n`, from, to)
}

// rowsToKill is how many rows the kill test has; HAYSTREAM_ROWS sets another number.
func rowsToKill(t *testing.T) int {
	text := os.Getenv("HAYSTREAM_ROWS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNothingIsLostOrGoesBack kills the daemon at random during snapshot and
// stream and restarts both servers once, under writers that never stop. At the
// end each row equals its document; on the way, a counter never falls.
func TestNothingIsLostOrGoesBack(t *testing.T) {
	forDatabases(t, func(t *testing.T, shared *servers.Shared) {
		t.Parallel()
		nothingIsLost(t, shared.Spec)
	})
}

func nothingIsLost(t *testing.T, spec servers.Spec) {
	rows := rowsToKill(t)
	database := servers.Test(t, spec)
	es := servers.Test(t, search.Spec)
	w := worldOn(t, database, es)
	w.exec(w.dialect.hotTable, w.dialect.rows(1, rows), w.dialect.analyze)
	w.config(hotIndex)

	seed := seeds.One(t)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithCancel(t.Context())
	var writes, falls, polls atomic.Int64
	var searchGone atomic.Bool
	var group sync.WaitGroup
	for n := range 2 {
		group.Go(func() { w.write(ctx, rand.New(rand.NewPCG(seed, uint64(n)+1)), rows, &writes) })
	}
	group.Go(func() { w.watchCounter(ctx, 1, &searchGone, &falls, &polls) })

	for n := range 5 {
		w.start()
		target := 1 + random.IntN(rows/10)
		if n < 3 {
			w.within(10*time.Minute, "documents are written", func() bool { return w.written() >= target })
		} else {
			w.within(10*time.Minute, "the snapshot is done", w.loaded)
			at := w.written()
			w.within(10*time.Minute, "the stream is followed", func() bool { return w.written() >= at+target/100 })
		}
		switch n {
		case 1:
			searchGone.Store(true)
			w.killAndRestart(es)
			searchGone.Store(false)
		case 4:
			w.killAndRestart(database)
		}
		w.kill()
	}
	w.start()
	at := writes.Load()
	w.eventually("the writers go on", func() bool { return writes.Load() >= at+500 })
	cancel()
	group.Wait()
	w.within(10*time.Minute, "the daemon is ready", w.ready)
	w.settle()
	w.compare(w.dialect.documents)
	t.Logf("%d transactions written, %d polls of the counter", writes.Load(), polls.Load())
	if falls.Load() > 0 {
		t.Errorf("the counter fell %d times", falls.Load())
	}
	if polls.Load() == 0 {
		t.Error("the counter was never read")
	}
	if code := w.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

func (w *world) killAndRestart(s *servers.Server) {
	w.t.Helper()
	if err := errors.Join(s.Kill(), s.Restart(w.ctx)); err != nil {
		w.t.Fatal(err)
	}
}

// written is how many documents this process of the daemon has written.
func (w *world) written() int {
	n, _ := w.firstIndex()["documents_written"].(float64)
	return int(n)
}

// loaded reports whether the snapshot is done.
func (w *world) loaded() bool {
	snapshot, _ := w.firstIndex()["snapshot"].(map[string]any)
	return snapshot["state"] == "done"
}

// write changes rows at random until ctx ends, over restarts of the server. A
// statement that has begun is waited for.
func (w *world) write(ctx context.Context, random *rand.Rand, rows int, writes *atomic.Int64) {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		conn, err := w.db.Conn(context.WithoutCancel(ctx))
		if err != nil {
			<-pace.C
			continue
		}
		for err == nil && ctx.Err() == nil {
			err = w.writeOnce(context.WithoutCancel(ctx), conn, random, rows)
			writes.Add(1)
			<-pace.C
		}
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // so that the next is a fresh one
		_ = conn.Close()
	}
}

func (w *world) writeOnce(ctx context.Context, conn *sql.Conn, random *rand.Rand, rows int) error {
	id := 1 + random.IntN(rows)
	var statements string
	switch k := random.IntN(100); {
	case k < 30:
		statements = "UPDATE hot SET counter = counter + 1 WHERE id = 1"
	case k < 70:
		statements = fmt.Sprintf("UPDATE hot SET counter = counter + 1, at = %s, name = NULL WHERE id = %d", w.dialect.now, id)
	case k < 80:
		statements = fmt.Sprintf("DELETE FROM hot WHERE id = %d AND id <> 1", id)
	case k < 90:
		statements = fmt.Sprintf(w.dialect.upsert, id)
	case k < 95:
		statements = fmt.Sprintf(w.dialect.keyChange, id, rows+id)
	case k < 98:
		statements = fmt.Sprintf("UPDATE hot SET amount = amount + 1 WHERE id BETWEEN %d AND %d", id, id+20)
	default:
		statements = fmt.Sprintf(w.dialect.rollback, id)
	}
	separator := ";"
	if w.server.Kind == servers.Postgres {
		separator = "\x00" // a block has semicolons of its own
	}
	for statement := range strings.SplitSeq(statements, separator) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// watchCounter reads one document again and again: its counter must never fall.
// Only when the search server itself was killed it begins anew: the server shows
// a document before it has synced it, and may lose what it has shown.
func (w *world) watchCounter(ctx context.Context, id int, gone *atomic.Bool, falls, polls *atomic.Int64) {
	highest := 0.0
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		<-pace.C
		doc := w.document(strconv.Itoa(id))
		counter, ok := doc["counter"].(float64)
		if !ok {
			continue
		}
		if gone.Load() {
			highest = 0
			continue
		}
		polls.Add(1)
		if counter < highest && falls.Add(1) == 1 {
			w.t.Logf("the counter fell from %v to %v at %s", highest, counter, time.Now().UTC().Format(time.RFC3339Nano))
		}
		highest = max(highest, counter)
	}
}

// TestKillBeforeTheFirstChunk: what the stream has put into an index of which no
// row was read yet is deleted while the daemon is down.
func TestKillBeforeTheFirstChunk(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE first (id int PRIMARY KEY)", "CREATE TABLE second (id int PRIMARY KEY)", "INSERT INTO second VALUES (1)")
	const first = "\n  NAME-first:\n    table: first\n    fields: {id: {}}\n"
	w.config(first)
	w.start()
	w.settle()
	w.stop()
	w.config(first + "  NAME:\n    table: second\n    fields: {id: {}}\n")
	tx, err := w.db.BeginTx(w.ctx, nil) // chunks of a table that joins the publication wait for it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(w.ctx, "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	w.start()
	id := 1
	w.eventually("the stream's rows come into the index", func() bool {
		if !strings.HasPrefix(w.physical(), w.name) { // there is none yet
			return false
		}
		id++
		w.exec(fmt.Sprintf("INSERT INTO second VALUES (%d)", id))
		return len(w.documents()) > 0
	})
	w.kill()
	w.exec("DELETE FROM second WHERE id > 1")
	w.start()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.compareWith(w.name, map[string]string{"1": `{"id":1}`})
}
