package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	checkLine      = 2 * time.Second
	loadTimeout    = 3 * time.Minute
	catchUpTimeout = 3 * time.Minute
)

// errDiffers is the check's verdict where it found a difference.
var errDiffers = errors.New("the indexes are not what the tables say")

// check lets the load run for the duration, kills the daemon once in the middle, then stops the writers and compares.
func check(ctx context.Context, s *stage, l *load, duration time.Duration) error {
	if err := underLoad(ctx, s, l, duration); err != nil {
		return err
	}
	fmt.Printf("writers stopped after %s changed rows; waiting for the daemon\n", amount(l.writes.Load()))
	began := time.Now()
	if err := catchUp(ctx, s); err != nil {
		return fmt.Errorf("wait for the daemon to catch up: %w", err)
	}
	fmt.Printf("caught up in %s\n", seconds(time.Since(began).Seconds()))
	results, err := compareAll(ctx, s.postgres, newSearch(s.elastic))
	if err != nil {
		return err
	}
	equal := true
	for _, r := range results {
		fmt.Println(r)
		equal = equal && r.equal()
	}
	if !equal {
		return errDiffers
	}
	fmt.Println("every document is what its row says")
	return nil
}

// underLoad returns when the duration is over and the writers have stopped.
func underLoad(ctx context.Context, s *stage, l *load, duration time.Duration) error {
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.run(writing) })
	watching, stopWatching := context.WithCancel(ctx)
	g.Go(func() error {
		sampler := newSampler(s, l)
		defer sampler.close(ctx)
		return report(watching, os.Stdout, sampler, checkLine)
	})
	g.Go(func() error {
		defer stopWatching()
		defer stopWriting()
		return disturb(ctx, s, duration)
	})
	return g.Wait()
}

// disturb waits for the duration; in the middle it kills the daemon. The second half begins when the first snapshots are done.
func disturb(ctx context.Context, s *stage, duration time.Duration) error {
	wait := func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(duration / 2):
			return nil
		}
	}
	if err := wait(); err != nil {
		return err
	}
	if s.daemon != nil {
		if err := s.daemon.crash(); err != nil {
			return err
		}
		fmt.Println("haystream killed with SIGKILL, and started again")
	}
	loading, cancel := context.WithTimeoutCause(ctx, loadTimeout, fmt.Errorf("wait for the first snapshots: not done in %s", loadTimeout))
	defer cancel()
	err := poll(loading, func() (bool, error) {
		st, err := readStatus(loading, s.status)
		return err == nil && st.loaded(), nil
	})
	if err != nil {
		return err
	}
	return wait()
}

// catchUp waits until the daemon's checkpoint holds all that was written until now. The last write is the demo's own: the daemon's
// position is behind what it has delivered, not behind what it had nothing to do with.
func catchUp(ctx context.Context, s *stage) error {
	conn, err := pgx.Connect(ctx, s.postgres)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var end string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&end); err != nil {
		return fmt.Errorf("read the log's end: %w", err)
	}
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return readNote(ctx, &blog{tx: tx}) }); err != nil {
		return fmt.Errorf("write the last row: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTimeout, fmt.Errorf("not done in %s", catchUpTimeout))
	defer cancel()
	return poll(ctx, func() (reached bool, err error) {
		at := place(ctx, s.status)
		if at == "" {
			return false, nil
		}
		err = conn.QueryRow(ctx, "SELECT $1::text::pg_lsn >= $2::text::pg_lsn", at, end).Scan(&reached)
		return reached, err
	})
}

// place is the checkpoint's place in the log, with which a position of PostgreSQL ends; empty while the daemon does not answer or has
// no checkpoint.
func place(ctx context.Context, url string) string {
	st, err := readStatus(ctx, url)
	if err != nil {
		return ""
	}
	return st.Source.Position[strings.LastIndexByte(st.Source.Position, ':')+1:]
}
