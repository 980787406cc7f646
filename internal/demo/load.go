package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

const (
	writers     = 3
	stepTimeout = 30 * time.Second
)

// load keeps changing the blog as its readers and authors would.
type load struct {
	url    string
	pace   time.Duration // between two steps of one writer
	writes atomic.Int64  // rows changed and committed
}

// newLoad makes about so many steps a second; a step changes one row, or some, or thousands.
func newLoad(url string, stepsPerSecond int) *load {
	return &load{url: url, pace: writers * time.Second / time.Duration(max(stepsPerSecond, 1))}
}

// run writes until ctx ends. When it returns, no transaction of its is under way.
func (l *load) run(ctx context.Context) error {
	var g errgroup.Group
	for i := range writers {
		g.Go(func() error { return l.write(ctx, newWriter(uint64(i)+2)) })
	}
	return g.Wait()
}

// write is one writer. It connects again where the database went away: the demo's guests may restart it.
func (l *load) write(ctx context.Context, w *writer) error {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	ticker := time.NewTicker(l.pace)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if conn == nil || conn.IsClosed() {
			fresh, err := pgx.Connect(ctx, l.url)
			if err != nil {
				continue
			}
			conn = fresh
		}
		rows, err := runStep(ctx, conn, w)
		if err != nil && !conn.IsClosed() && !collided(err) {
			return fmt.Errorf("change the blog: %w", err)
		}
		l.writes.Add(rows)
	}
}

// errRegret ends a transaction by a rollback.
var errRegret = errors.New("rolled back on purpose")

// runStep makes one step in a transaction and returns how many rows it changed. A step that has begun is finished: whoever waits
// for the writers may then read a database that stays as it is.
func runStep(ctx context.Context, conn *pgx.Conn, w *writer) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		b := &blog{tx: tx, w: w}
		err := chooseStep(w)(ctx, b)
		rows = b.rows
		return err
	})
	if errors.Is(err, errRegret) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return rows, nil
}

// collided reports whether two writers met, as they do in life: the loser's transaction had no effect.
func collided(err error) bool {
	const (
		foreignKeyViolation = "23503"
		uniqueViolation     = "23505"
		serializationFailed = "40001"
		deadlock            = "40P01"
	)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case foreignKeyViolation, uniqueViolation, serializationFailed, deadlock:
		return true
	}
	return false
}
