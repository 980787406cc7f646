package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	writers     = 3
	stepTimeout = 30 * time.Second
)

// load keeps changing the blog as its readers and authors would.
type load struct {
	db     *database
	pace   time.Duration // between two steps of one writer
	writes atomic.Int64  // rows changed and committed
}

// newLoad makes about so many steps a second; a step changes one row, or some, or thousands.
func newLoad(db *database, stepsPerSecond int) *load {
	return &load{db: db, pace: writers * time.Second / time.Duration(max(stepsPerSecond, 1))}
}

// run writes until ctx ends. When it returns, no transaction of its is under way.
func (l *load) run(ctx context.Context) error {
	var g errgroup.Group
	for i := range writers {
		g.Go(func() error { return l.write(ctx, newWriter(uint64(i)+2)) })
	}
	return g.Wait()
}

// write is one writer. It goes on where the database went away: the demo's guests may restart it.
func (l *load) write(ctx context.Context, w *writer) error {
	ticker := time.NewTicker(l.pace)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		rows, err := runStep(ctx, l.db, w)
		if err != nil && !l.db.passes(err) {
			return fmt.Errorf("change the blog: %w", err)
		}
		l.writes.Add(rows)
	}
}

// errRegret ends a transaction by a rollback.
var errRegret = errors.New("rolled back on purpose")

// runStep makes one step in a transaction and returns how many rows it changed. A step that has begun is finished: whoever waits
// for the writers may then read a database that stays as it is.
func runStep(ctx context.Context, db *database, w *writer) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	b := &blog{db: db, w: w}
	err = db.transact(ctx, func(tx *sql.Tx) error {
		b.tx = tx
		return chooseStep(w)(ctx, b)
	})
	if errors.Is(err, errRegret) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return b.rows, nil
}
