package endtoend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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
	rows := rowsToKill(t)
	pg := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: "15"})
	es := servers.Test(t, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
	w := worldOn(t, pg, es)
	w.exec(hotTable, hotRows(1, rows), "ANALYZE hot")
	w.config(hotIndex)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rows", seed, rows)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithCancel(t.Context())
	var writes, falls, polls atomic.Int64
	var group sync.WaitGroup
	for n := range 2 {
		group.Go(func() { w.write(ctx, rand.New(rand.NewPCG(seed, uint64(n)+1)), rows, &writes) })
	}
	group.Go(func() { w.watchCounter(ctx, 1, &falls, &polls) })

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
			w.killAndRestart(es)
		case 4:
			w.killAndRestart(pg)
		}
		w.kill()
	}
	w.start()
	at := writes.Load()
	w.eventually("the writers go on", func() bool { return writes.Load() >= at+500 })
	cancel()
	group.Wait()
	w.db = w.connect()
	w.within(10*time.Minute, "the daemon is ready", w.ready)
	w.settle()
	w.compare("NAME", hotDocuments)
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
	if err := errors.Join(s.Kill(), s.Restart(w.t.Context())); err != nil {
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

// write changes rows at random until ctx ends, over restarts of the server.
func (w *world) write(ctx context.Context, random *rand.Rand, rows int, writes *atomic.Int64) {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		conn, err := pgx.Connect(ctx, w.url)
		if err != nil {
			continue
		}
		for err == nil {
			err = w.writeOnce(ctx, conn, random, rows)
			writes.Add(1)
			<-pace.C
		}
		_ = conn.Close(context.Background())
	}
}

func (w *world) writeOnce(ctx context.Context, conn *pgx.Conn, random *rand.Rand, rows int) error {
	id := 1 + random.IntN(rows)
	var sql string
	switch k := random.IntN(100); {
	case k < 30:
		sql = "UPDATE hot SET counter = counter + 1 WHERE id = 1"
	case k < 70:
		sql = fmt.Sprintf("UPDATE hot SET counter = counter + 1, at = clock_timestamp(), name = NULL WHERE id = %d", id)
	case k < 80:
		sql = fmt.Sprintf("DELETE FROM hot WHERE id = %d AND id <> 1", id)
	case k < 90:
		sql = fmt.Sprintf("INSERT INTO hot (id, body) VALUES (%d, 'again') ON CONFLICT (id) DO UPDATE SET flag = NOT hot.flag", id)
	case k < 95:
		sql = fmt.Sprintf("UPDATE hot SET id = %d WHERE id = %d AND NOT EXISTS (SELECT FROM hot WHERE id = %d) AND id <> 1", rows+id, id, rows+id)
	case k < 98:
		sql = fmt.Sprintf("UPDATE hot SET amount = amount + 1 WHERE id BETWEEN %d AND %d", id, id+20)
	default:
		sql = fmt.Sprintf("DO $$ BEGIN UPDATE hot SET name = 'rolled back' WHERE id = %d; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$", id)
	}
	_, err := conn.Exec(ctx, sql)
	return err
}

// watchCounter reads one document again and again: its counter must never fall.
func (w *world) watchCounter(ctx context.Context, id int, falls, polls *atomic.Int64) {
	highest := 0.0
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		<-pace.C
		doc := w.document("NAME", strconv.Itoa(id))
		counter, ok := doc["counter"].(float64)
		if !ok {
			continue
		}
		polls.Add(1)
		if counter < highest {
			falls.Add(1)
		}
		highest = max(highest, counter)
	}
}
