package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

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
func check(ctx context.Context, s *stage, l *load, b *button, duration time.Duration) error {
	if err := underLoad(ctx, s, l, b, duration); err != nil {
		return err
	}
	fmt.Printf("writers stopped after %s changed rows; waiting for the daemon\n", amount(l.writes.Load()))
	began := time.Now()
	if err := catchUp(ctx, s); err != nil {
		return fmt.Errorf("wait for the daemon to catch up: %w", err)
	}
	fmt.Printf("caught up in %s\n", seconds(time.Since(began).Seconds()))
	results, err := compareAll(ctx, s.db, newSearch(s.elastic))
	if err != nil {
		return err
	}
	pushed, err := b.check(ctx, newSearch(s.elastic))
	if err != nil {
		return err
	}
	results = append(results, pushed)
	equal := true
	for _, r := range results {
		fmt.Println(r)
		equal = equal && r.equal()
	}
	if !equal {
		return errDiffers
	}
	fmt.Println("every document is what its row says, and every event is there once")
	return nil
}

// underLoad returns when the duration is over and the writers have stopped.
func underLoad(ctx context.Context, s *stage, l *load, b *button, duration time.Duration) error {
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.run(writing) })
	g.Go(func() error { return b.run(writing) })
	watching, stopWatching := context.WithCancel(ctx)
	g.Go(func() error {
		return report(watching, os.Stdout, newSampler(s, l), checkLine)
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
		st, err := readStatus(loading, s)
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
	var end string
	if err := s.db.QueryRowContext(ctx, s.db.end).Scan(&end); err != nil {
		return fmt.Errorf("read the log's end: %w", err)
	}
	if end == "" {
		return errors.New("read the log's end: the server does not number its transactions; set gtid_mode=ON")
	}
	err := s.db.transact(ctx, func(tx *sql.Tx) error { return readNote(ctx, &blog{db: s.db, tx: tx, w: newWriter(1)}) })
	if err != nil {
		return fmt.Errorf("write the last row: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTimeout, fmt.Errorf("not done in %s", catchUpTimeout))
	defer cancel()
	return poll(ctx, func() (reached bool, err error) {
		st, starts := readStatus(ctx, s)
		if has := starts == nil && st.Source.Position != ""; !has {
			return false, nil // it starts, or has no checkpoint yet
		}
		place := st.Source.Position[strings.LastIndex(st.Source.Position, s.db.cut)+1:]
		err = s.db.QueryRowContext(ctx, s.db.sql(s.db.reached), end, place).Scan(&reached) //nolint:gosec // the statement is the dialect's own
		return reached, err
	})
}
