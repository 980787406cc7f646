// Command bench prints one table: what the daemon does, as ratios to what the same two servers can do without it.
//
// Guarantee: each ratio is taken in one run, on one machine, with the baseline next to the measurement and over the very same
// rows, log or bytes. The daemon runs as a process of its own; its rates include its start, its CPU time and memory are the
// kernel's count. The servers are real and end with this process.
//
//	go run ./internal/bench [snapshot] [stream] [endtoend]
//
// HAYSTREAM_BENCH_ROWS sets the number of rows, HAYSTREAM_BENCH_PROFILE a directory for CPU profiles of the daemon.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"haystream/internal/servers"
)

const (
	defaultRows = 1_000_000
	rounds      = 3 // of each measurement; the median counts
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, wanted []string) error {
	rows, err := rowsWanted()
	if err != nil {
		return err
	}
	for _, name := range wanted {
		if !slices.Contains([]string{"snapshot", "stream", "endtoend"}, name) {
			return fmt.Errorf("unknown measurement %q", name)
		}
	}
	dir, err := os.MkdirTemp("", "haystream-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{rows: rows, dir: dir, binary: filepath.Join(dir, "haystream")}
	if err := b.build(ctx); err != nil {
		return err
	}
	return b.run(ctx, func(name string) bool { return len(wanted) == 0 || slices.Contains(wanted, name) })
}

func rowsWanted() (int, error) {
	text := os.Getenv("HAYSTREAM_BENCH_ROWS")
	if text == "" {
		return defaultRows, nil
	}
	rows, err := strconv.Atoi(text)
	if err != nil || rows < 1000 {
		return 0, fmt.Errorf("HAYSTREAM_BENCH_ROWS is %q, want a number of at least 1000", text)
	}
	return rows, nil
}

// A bench is one run.
type bench struct {
	rows   int
	dir    string
	binary string // of the daemon
	db     *database
	report report
}

// run takes the wanted measurements and prints the table.
func (b *bench) run(ctx context.Context, wanted func(string) bool) (err error) {
	postgres, err := servers.Start(ctx, servers.Spec{Kind: servers.Postgres, Version: "15", Args: quiet()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	note("loading %d rows", b.rows)
	if b.db, err = openDatabase(ctx, postgres, b.rows); err != nil {
		return err
	}
	defer b.db.close()
	if wanted("snapshot") || wanted("stream") {
		pipelines, err := b.snapshots(ctx)
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if wanted("stream") {
			if err := b.streams(ctx, pipelines); err != nil {
				return fmt.Errorf("stream: %w", err)
			}
		}
		if err := b.db.dropSlots(ctx); err != nil {
			return err
		}
	}
	if wanted("endtoend") {
		if err := b.endToEnd(ctx); err != nil {
			return fmt.Errorf("end to end: %w", err)
		}
	}
	return b.report.print(os.Stdout, b.rows)
}

// quiet keeps the server's own timers out of the measurements.
func quiet() []string {
	return []string{
		"-c", "autovacuum=off", "-c", "checkpoint_timeout=1d", "-c", "max_wal_size=64GB", "-c", "shared_buffers=512MB",
		"-c", "wal_sender_timeout=0",
	}
}

// note says what is going on, apart from the table.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
