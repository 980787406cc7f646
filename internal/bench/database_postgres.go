package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"haystream/internal/servers"
)

// A postgres keeps log by slots, one for each round.
type postgres struct {
	pgSession

	server *servers.Server
	rows   int
	kept   int    // how often log was kept
	end    string // of the log that is kept
}

// quietPostgres keeps the server's own timers out of the measurements.
func quietPostgres() []string {
	return []string{
		"-c", "autovacuum=off", "-c", "checkpoint_timeout=1d", "-c", "max_wal_size=64GB", "-c", "shared_buffers=512MB",
		"-c", "wal_sender_timeout=0",
	}
}

const postgresTable = `CREATE TABLE bench (
	id bigint PRIMARY KEY, author_id integer NOT NULL, title varchar(120) NOT NULL, body text NOT NULL, price numeric(10,2),
	views integer NOT NULL, published boolean NOT NULL, created timestamptz NOT NULL, updated timestamptz NOT NULL)`

// openPostgres makes the table and fills it.
func openPostgres(ctx context.Context, server *servers.Server, rows int) (database, error) {
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	db := &postgres{pgSession: pgSession{conn}, server: server, rows: rows}
	if err := db.fill(ctx); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

func (db *postgres) fill(ctx context.Context) error {
	for _, sql := range []string{postgresTable, "CREATE PUBLICATION baseline FOR TABLE bench"} {
		if err := db.exec(ctx, sql); err != nil {
			return err
		}
	}
	pipe, w := io.Pipe()
	go func() { _ = w.CloseWithError(writeRows(w, db.rows)) }() // ends with the reader below
	_, err := db.conn.PgConn().CopyFrom(ctx, pipe, "COPY bench FROM STDIN")
	_ = pipe.Close()
	if err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	if err := db.exec(ctx, "VACUUM (ANALYZE) bench"); err != nil {
		return err
	}
	return db.exec(ctx, "CHECKPOINT")
}

func (db *postgres) url() string { return db.server.URL }

// scan is COPY.
func (db *postgres) scan(ctx context.Context) (time.Duration, error) {
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

func (db *postgres) keepLog(ctx context.Context) error {
	db.kept++
	for round := range rounds {
		if err := db.exec(ctx, fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'pgoutput')", db.slot(round))); err != nil {
			return err
		}
	}
	return nil
}

func (db *postgres) slot(round int) string { return fmt.Sprintf("baseline_%d_%d", db.kept, round) }

// update changes each row by a statement of its own.
func (db *postgres) update(ctx context.Context, perTransaction int) error {
	err := db.exec(ctx, fmt.Sprintf(`DO $$ BEGIN
		FOR i IN 1..%d LOOP
			UPDATE bench SET views = views + 1, updated = updated + interval '1 second' WHERE id = i;
			IF i %% %d = 0 THEN COMMIT; END IF;
		END LOOP;
	END $$`, db.rows, perTransaction))
	if err != nil {
		return err
	}
	if err := db.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&db.end); err != nil {
		return fmt.Errorf("ask for the log's end: %w", err)
	}
	return db.exec(ctx, "VACUUM (ANALYZE) bench")
}

// drain reads what the walsender sends, and confirms nothing.
func (db *postgres) drain(ctx context.Context, round int) (time.Duration, error) {
	config, err := pgconn.ParseConfig(db.server.URL)
	if err != nil {
		return 0, fmt.Errorf("read address: %w", err)
	}
	config.RuntimeParams["replication"] = "database"
	began := time.Now()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return 0, fmt.Errorf("connect for replication: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	err = pglogrepl.StartReplication(ctx, conn, db.slot(round), 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names 'baseline'"},
	})
	if err != nil {
		return 0, fmt.Errorf("start replication: %w", err)
	}
	end, err := pglogrepl.ParseLSN(db.end)
	if err != nil {
		return 0, fmt.Errorf("read the log's end: %w", err)
	}
	socket, err := conn.Hijack() // the library would copy each message
	if err != nil {
		return 0, fmt.Errorf("take the connection: %w", err)
	}
	defer socket.Conn.Close()
	defer context.AfterFunc(ctx, func() { _ = socket.Conn.Close() })()
	if err := readLog(bufio.NewReaderSize(socket.Conn, 1<<16), end); err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	return time.Since(began), nil
}

// readLog reads the log up to a place: messages of a byte for their kind, of
// their length, and of what begins with a place in the log (PostgreSQL
// documentation, "Streaming Replication Protocol").
func readLog(r *bufio.Reader, end pglogrepl.LSN) error {
	const kind, header, place = 1, 5, 1 + 8
	for {
		head, err := r.Peek(header + place)
		if err != nil {
			return err
		}
		if head[0] != 'd' {
			return fmt.Errorf("the server sends %q", head[:header])
		}
		at := pglogrepl.LSN(binary.BigEndian.Uint64(head[header+1:]))
		if _, err := r.Discard(kind + int(binary.BigEndian.Uint32(head[kind:]))); err != nil || at >= end {
			return err
		}
	}
}

// follow is pg_recvlogical.
func (db *postgres) follow(ctx context.Context, round int) (time.Duration, error) {
	if err := db.free(ctx, db.slot(round)); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, db.server.Bin("pg_recvlogical"), "-d", db.server.URL, "--slot", db.slot(round), "--start", "--no-loop",
		"--endpos", db.end, "-f", "/dev/null", "-o", "proto_version=1", "-o", "publication_names=baseline")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w: %s", err, out)
	}
	return time.Since(began), nil
}

// free waits until nobody reads a slot: who has just gone takes a moment longer.
func (db *postgres) free(ctx context.Context, slot string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var active bool
		if err := db.conn.QueryRow(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&active); err != nil || !active {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// dropLog drops every slot. Those whose reader has just gone take a moment longer.
func (db *postgres) dropLog(ctx context.Context) error {
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

func (db *postgres) connect(ctx context.Context) (session, error) {
	conn, err := pgx.Connect(ctx, db.server.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return &pgSession{conn}, nil
}

// A pgSession is one connection to PostgreSQL.
type pgSession struct{ conn *pgx.Conn }

func (s *pgSession) exec(ctx context.Context, sql string) error {
	if _, err := s.conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("execute %.60q: %w", sql, err)
	}
	return nil
}

func (s *pgSession) close() { _ = s.conn.Close(context.Background()) }
