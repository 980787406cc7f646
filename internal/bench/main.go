// Command bench prints one table: what the daemon does, as ratios to what the same two servers can do without it.
//
// Guarantee: each ratio is taken in one run, on one machine, with the baseline next to the measurement and over the very same
// rows, log or bytes. The daemon runs as a process of its own; its rates include its start, its CPU time and memory are the
// kernel's count. The servers are real and end with this process.
//
//	go run ./internal/bench [-db postgres,mysql,mariadb] [snapshot] [stream] [endtoend] [store] [joined] [templates] [events]
//
// Without arguments it takes the first two of each database, and the third of PostgreSQL; endtoend is taken of another one where
// both are named. store compares a pipeline that keeps its rows in the row store with one that does not; joined has documents of several tables, from a
// quarter as many rows; templates compares the CPU time of a ten-line template of Django's with that of Go's for the same text; events are pushed over HTTP,
// and no database takes part. HAYSTREAM_BENCH_ROWS sets the number of rows, HAYSTREAM_BENCH_PROFILE a directory for CPU profiles of the daemon.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"haystream/internal/servers"
)

const (
	defaultRows = 1_000_000
	rounds      = 3 // of each measurement; the median counts
)

// The measurements.
const (
	snapshot = "snapshot"
	stream   = "stream"
	endToEnd = "endtoend"
	store    = "store"
	joined   = "joined"
	template = "templates"
	events   = "events"
)

var measurements = []string{snapshot, stream, endToEnd, store, joined, template, events}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what is asked for. Nothing in a list stands for what is taken by default.
type options struct {
	databases    []string
	measurements []string
	rows         int
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	databases := flags.String("db", "", "databases to measure, with commas between them: "+strings.Join(kinds(), ", ")+" (default all)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *databases != "" {
		o.databases = strings.Split(*databases, ",")
	}
	o.measurements = flags.Args()
	for _, name := range o.databases {
		if !slices.Contains(kinds(), name) {
			return o, fmt.Errorf("unknown database %q", name)
		}
	}
	for _, name := range o.measurements {
		if !slices.Contains(measurements, name) {
			return o, fmt.Errorf("unknown measurement %q", name)
		}
	}
	var err error
	o.rows, err = rowsWanted()
	return o, err
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

// wants reports whether to take a measurement of that kind of database.
func (o options) wants(kind, measurement string) bool {
	named := slices.Contains(o.measurements, measurement)
	switch {
	case len(o.databases) > 0 && !slices.Contains(o.databases, kind):
		return false
	case measurement == events: // no database takes part
		return false
	case measurement == store, measurement == joined, measurement == template:
		return named
	case measurement == endToEnd && kind != servers.Postgres:
		return named && len(o.databases) > 0
	}
	return named || len(o.measurements) == 0
}

// run measures one database after the other, and prints the table of what was measured even where one has failed.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "haystream-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{rows: o.rows, dir: dir, binary: filepath.Join(dir, "haystream")}
	if err := b.build(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.report.print(os.Stdout, b.rows)) }()
	if slices.Contains(o.measurements, events) {
		if err := b.events(ctx); err != nil {
			return fmt.Errorf("events: %w", err)
		}
	}
	for _, b.product = range products() {
		wanted := func(measurement string) bool { return o.wants(b.product.server.Kind, measurement) }
		if err := b.measure(ctx, wanted); err != nil {
			return fmt.Errorf("%s: %w", b.product.name, err)
		}
	}
	return nil
}

// A bench is one run.
type bench struct {
	rows    int
	dir     string
	binary  string // of the daemon
	product product
	db      database
	report  report
}

// measure takes the wanted measurements of one database.
func (b *bench) measure(ctx context.Context, wanted func(measurement string) bool) (err error) {
	counting := wanted(snapshot) || wanted(stream)
	if !counting && !wanted(endToEnd) && !wanted(store) && !wanted(joined) && !wanted(template) {
		return nil
	}
	server, err := servers.Start(ctx, b.product.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	note("%s: loading %d rows", b.product.server, b.rows)
	if b.db, err = b.product.open(ctx, server, b.rows); err != nil {
		return err
	}
	defer b.db.close()
	if counting {
		pipelines, err := b.snapshots(ctx)
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if wanted(stream) {
			if err := b.streams(ctx, pipelines); err != nil {
				return fmt.Errorf("stream: %w", err)
			}
		}
		if err := b.db.dropLog(ctx); err != nil {
			return err
		}
	}
	if wanted(store) {
		if err := b.stores(ctx); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if err := b.db.dropLog(ctx); err != nil {
			return err
		}
	}
	if wanted(joined) {
		if err := b.joins(ctx); err != nil {
			return fmt.Errorf("joined: %w", err)
		}
		if err := b.db.dropLog(ctx); err != nil {
			return err
		}
	}
	if wanted(template) {
		if err := b.templates(ctx); err != nil {
			return fmt.Errorf("templates: %w", err)
		}
		if err := b.db.dropLog(ctx); err != nil {
			return err
		}
	}
	if wanted(endToEnd) {
		if err := b.endToEnd(ctx); err != nil {
			return fmt.Errorf("end to end: %w", err)
		}
	}
	return nil
}

// note says what is going on, apart from the table.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
