// Command profiled runs the daemon's pipeline under Go's profilers: for whoever wants to see where the benchmark's time goes.
//
// Guarantee: it does what `haystream run -c config.yaml` does, and leaves one CPU and one heap profile for each run in HAYSTREAM_BENCH_PROFILE.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"haystream/replicator"
	"haystream/replicator/config"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "profiled:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, src, err := config.Load("config.yaml")
	if err != nil {
		return fmt.Errorf("load configuration: %w", err)
	}
	path := filepath.Join(os.Getenv("HAYSTREAM_BENCH_PROFILE"), cfg.Name+time.Now().Format("-150405"))
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return fmt.Errorf("create profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return fmt.Errorf("start profile: %w", err)
	}
	err = replicator.Run(ctx, "profiled", cfg, src, zerolog.New(os.Stderr).With().Timestamp().Logger(), os.Stderr)
	pprof.StopCPUProfile()
	return errors.Join(err, cpu.Close(), writeHeap(path+".heap"))
}

// writeHeap writes the profile of all allocations since the start.
func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create profile: %w", err)
	}
	runtime.GC()
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
