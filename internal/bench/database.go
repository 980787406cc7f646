package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"haystream/internal/servers"
)

// A database holds the table that is replicated.
type database struct {
	server *servers.Server
	conn   *pgx.Conn
	rows   int
}

const table = `CREATE TABLE bench (
	id bigint PRIMARY KEY, author_id integer NOT NULL, title varchar(120) NOT NULL, body text NOT NULL, price numeric(10,2),
	views integer NOT NULL, published boolean NOT NULL, created timestamptz NOT NULL, updated timestamptz NOT NULL)`

// openDatabase makes the table and fills it.
func openDatabase(ctx context.Context, server *servers.Server, rows int) (*database, error) {
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	db := &database{server: server, conn: conn, rows: rows}
	if err := db.exec(ctx, table); err != nil {
		return nil, err
	}
	pipe, w := io.Pipe()
	go func() { _ = w.CloseWithError(writeRows(w, rows)) }() // ends with the reader below
	_, err = conn.PgConn().CopyFrom(ctx, pipe, "COPY bench FROM STDIN")
	_ = pipe.Close()
	if err != nil {
		return nil, fmt.Errorf("load rows: %w", err)
	}
	for _, sql := range []string{"VACUUM (ANALYZE) bench", "CHECKPOINT"} {
		if err := db.exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	return db, nil
}

func (db *database) close() { _ = db.conn.Close(context.Background()) }

func (db *database) exec(ctx context.Context, sql string, args ...any) error {
	if _, err := db.conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("execute %.60q: %w", sql, err)
	}
	return nil
}

// writeRows writes rows of about 260 bytes in COPY's text form, the same ones
// in every run.
func writeRows(w io.Writer, rows int) error {
	random := rand.New(rand.NewPCG(1, 2))
	words := vocabulary(random)
	sentence := func(dst []byte, size int) []byte {
		for end := len(dst) + size; len(dst) < end; {
			dst = append(append(dst, words[random.IntN(random.IntN(len(words))+1)]...), ' ') // common words first
		}
		return dst[:len(dst)-1]
	}
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var buf []byte
	for id := 1; id <= rows; id++ {
		created := start.Add(time.Duration(random.Int64N(1e9)) * time.Millisecond / 10)
		buf = strconv.AppendInt(buf, int64(id), 10)
		buf = strconv.AppendInt(append(buf, '\t'), random.Int64N(5000), 10)
		buf = sentence(append(buf, '\t'), 30)
		buf = sentence(append(buf, '\t'), 120)
		buf = fmt.Appendf(buf, "\t%d.%02d\t%d\t%t\t", random.IntN(1000), random.IntN(100), random.IntN(100000), id%4 != 0)
		buf = created.AppendFormat(buf, "2006-01-02 15:04:05.000000+00\t")
		buf = append(created.Add(time.Hour).AppendFormat(buf, "2006-01-02 15:04:05.000000+00"), '\n')
		if len(buf) > 1<<18 || id == rows {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}

// vocabulary is some thousand words for a full-text index to chew on.
func vocabulary(random *rand.Rand) []string {
	syllables := strings.Fields("ka lo mi ter en sa vor pin du ral esh to qui ble mor and ix ou ny gra")
	words := make([]string, 4000)
	for i := range words {
		for range 1 + random.IntN(4) {
			words[i] += syllables[random.IntN(len(syllables))]
		}
	}
	return words
}

// copyOut times COPY of the whole table to a client that throws it away.
func (db *database) copyOut(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	tag, err := db.conn.PgConn().CopyTo(ctx, io.Discard, "COPY bench TO STDOUT")
	if err == nil && tag.RowsAffected() != int64(db.rows) {
		err = fmt.Errorf("got %d rows, want %d", tag.RowsAffected(), db.rows)
	}
	if err != nil {
		return 0, fmt.Errorf("copy table out: %w", err)
	}
	return time.Since(began), nil
}

// update updates every row by a statement of its own, committing after every
// so many, and returns where the log ends then.
func (db *database) update(ctx context.Context, perTransaction int) (end string, err error) {
	err = db.exec(ctx, fmt.Sprintf(`DO $$ BEGIN
		FOR i IN 1..%d LOOP
			UPDATE bench SET views = views + 1, updated = updated + interval '1 second' WHERE id = i;
			IF i %% %d = 0 THEN COMMIT; END IF;
		END LOOP;
	END $$`, db.rows, perTransaction))
	if err != nil {
		return "", err
	}
	if err := db.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&end); err != nil {
		return "", fmt.Errorf("ask for the log's end: %w", err)
	}
	return end, db.exec(ctx, "VACUUM (ANALYZE) bench")
}

// createSlot makes a slot for receive.
func (db *database) createSlot(ctx context.Context, slot string) error {
	return db.exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
}

// dropSlots drops every slot, so that none holds log back. Those whose reader
// has just gone take a moment longer.
func (db *database) dropSlots(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := db.exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"); err != nil {
			return err
		}
		var left int
		if err := db.conn.QueryRow(ctx, "SELECT count(*) FROM pg_replication_slots").Scan(&left); err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// receive times pg_recvlogical over a slot up to end.
func (db *database) receive(ctx context.Context, slot, publication, end string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, db.server.Bin("pg_recvlogical"), "-d", db.server.URL, "--slot", slot, "--start", "--no-loop",
		"--endpos", end, "-f", "/dev/null", "-o", "proto_version=1", "-o", "publication_names="+publication)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w: %s", err, out)
	}
	return time.Since(began), nil
}
