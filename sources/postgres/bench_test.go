package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/sources"
)

const benchRows = 1_000_000

// BenchmarkServer compares reading with the server's own limits: streams with
// pg_recvlogical, chunks with COPY. Each takes place once, over a million rows
// of about 260 bytes, and is measured in rows and CPU seconds of this process.
func BenchmarkServer(b *testing.B) {
	server := servers.Test(b, servers.Spec{
		Kind: servers.Postgres, Version: servers.PostgresVersions()[0],
		Args: []string{"-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB", "-c", "synchronous_commit=off", "-c", "autovacuum=off"},
	})
	admin := connect(b, server.URL)
	execute(b, admin, `CREATE TABLE public.notes (id int PRIMARY KEY, user_id int, title text, body text, price numeric(10,2), done bool, created timestamptz, changed timestamp, code uuid, n bigint)`,
		fmt.Sprintf(`INSERT INTO public.notes SELECT n, n %% 1000, 'note number ' || n, repeat('word ', 24), n %% 1000 + 0.5, n %% 2 = 0, now(), now(), md5(n::text)::uuid, n FROM generate_series(1, %d) n`, benchRows),
		"VACUUM ANALYZE public.notes",
		`CREATE PROCEDURE public.touch(rows int, each int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..rows / each LOOP
			UPDATE public.notes SET n = n + 1 WHERE id > (i - 1) * each AND id <= i * each; COMMIT; END LOOP; END $$`)
	source := benchSource(b, server)
	b.Run("chunks", func(b *testing.B) { benchChunks(b, source) })
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			tag, err := admin.PgConn().CopyTo(b.Context(), io.Discard, "COPY public.notes TO STDOUT")
			if err != nil {
				b.Fatal(err)
			}
			report(b, tag.RowsAffected(), 0)
		}
	})
	for _, each := range []int{100, benchRows} {
		tables, start := benchPrepare(b, source)
		execute(b, admin, "SELECT pg_create_logical_replication_slot('limit', 'pgoutput')",
			fmt.Sprintf("CALL public.touch(%d, %d)", benchRows, each))
		var end string
		if err := admin.QueryRow(b.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&end); err != nil {
			b.Fatal(err)
		}
		execute(b, admin, "CHECKPOINT")
		b.Run(fmt.Sprintf("recvlogical/%d", each), func(b *testing.B) { benchReceive(b, server, end) })
		b.Run(fmt.Sprintf("stream/%d", each), func(b *testing.B) { benchStream(b, source, tables, start) })
		execute(b, admin, "SELECT pg_drop_replication_slot('limit')", "VACUUM public.notes")
	}
}

func benchSource(b *testing.B, server *servers.Server) *Source {
	source, err := New(sources.Config{URL: conf.Secret(server.URL), Slot: "bench", Publication: "bench"}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(source.Close)
	return source
}

func benchPrepare(b *testing.B, source *Source) ([]*sources.Table, sources.Checkpoint) {
	tables, err := source.Catalog(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	start, err := source.Prepare(b.Context(), tables, "")
	if err != nil {
		b.Fatal(err)
	}
	return tables, sources.Checkpoint{Position: start.Position}
}

// report gives rows per second of the benchmark's time, and CPU seconds for a million.
func report(b *testing.B, rows int64, cpu time.Duration) {
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	if cpu > 0 {
		b.ReportMetric(cpu.Seconds()*1e6/float64(rows), "cpu-s/Mrows")
	}
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func benchChunks(b *testing.B, source *Source) {
	tables, _ := benchPrepare(b, source)
	for b.Loop() {
		before, rows := cpuTime(), 0
		var after sources.Key
		for done := false; !done; {
			chunk, err := source.Chunk(b.Context(), sources.ChunkRequest{Table: tables[0], After: after, MaxRows: 10_000, MaxBytes: 4 << 20})
			if err != nil {
				b.Fatal(err)
			}
			rows += len(chunk.Rows)
			after, done = chunk.Last, chunk.Done
		}
		report(b, int64(rows), cpuTime()-before)
	}
}

func benchReceive(b *testing.B, server *servers.Server, end string) {
	out, err := os.Create(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	host, port := server.Addr[:len("127.0.0.1")], server.Addr[len("127.0.0.1:"):]
	for b.Loop() {
		receive := exec.Command(server.Bin("pg_recvlogical"), "-h", host, "-p", port, "-U", "postgres", "-d", "postgres", "--slot", "limit", "--start", "-f", "-",
			"-o", "proto_version=1", "-o", "publication_names=bench", "--endpos", end, "--no-loop")
		receive.Stdout = out
		if err := receive.Run(); err != nil {
			b.Fatal(err)
		}
		report(b, benchRows, receive.ProcessState.UserTime()+receive.ProcessState.SystemTime())
	}
}

func benchStream(b *testing.B, source *Source, tables []*sources.Table, start sources.Checkpoint) {
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		out, done := make(chan *sources.Batch, 4), make(chan error, 1)
		before, rows, batches := cpuTime(), 0, 0
		go func() { done <- source.Stream(ctx, tables, start, out) }()
		for rows < benchRows {
			select {
			case batch := <-out:
				rows, batches = rows+len(batch.Changes), batches+1
			case err := <-done:
				b.Fatal(err)
			}
		}
		report(b, int64(rows), cpuTime()-before)
		b.ReportMetric(float64(batches), "batches")
		cancel()
		<-done
	}
}
