package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"haystream/internal/backoff"
)

const (
	shortWait = 10 * time.Millisecond
	longWait  = time.Second

	// waitReports is how often a wait says what it waits for.
	waitReports = 10 * time.Second
)

// A wait spaces the attempts of one thing that other sessions hold up, and
// says from time to time whom it waits for.
type wait struct {
	next     time.Duration
	reported time.Time
}

// pause sleeps a little longer each time. It reports whether it is time to say
// what is waited for: not for the first moments, then every ten seconds.
func (w *wait) pause(ctx context.Context) (report bool, err error) {
	now := time.Now()
	switch {
	case w.reported.IsZero():
		w.next, w.reported = shortWait, now.Add(longWait-waitReports)
	case w.next < longWait:
		w.next = min(2*w.next, longWait)
	}
	if report = now.Sub(w.reported) >= waitReports; report {
		w.reported = now
	}
	return report, backoff.Pause(ctx, w.next)
}

// logOldest says which transaction holds up what is meant to happen: the
// oldest that has written something. Its lock is shown to every role, unlike
// what else is known of it.
func (s *Source) logOldest(ctx context.Context, conn *pgx.Conn, until string) {
	const query = `
SELECT COALESCE(l.pid, 0), COALESCE(NULLIF(a.application_name, ''), 'prepared transaction ' || p.gid, ''), COALESCE(a.state, ''), COALESCE(a.xact_start, p.prepared), a.query_start
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY age(l.transactionid) DESC LIMIT 1`
	var pid int
	var application, state string
	var since, queried *time.Time // not shown to a role that may not see other roles' sessions
	err := conn.QueryRow(ctx, query).Scan(&pid, &application, &state, &since, &queried)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		s.log.Info().Msg("waiting for a transaction of another session until " + until)
	case err != nil:
		s.log.Debug().Err(err).Msg("cannot read which session is waited for")
	default:
		s.log.Info().Int(keyPID, pid).Str(keyApplication, application).Str(keyState, state).
			Any(keySince, since).Any(keyQueryStart, queried).Msg("waiting for a transaction of another session until " + until)
	}
}

// watched does one thing that blocks in the server, and meanwhile says on
// another connection whom it waits for. Its goroutine has ended when it returns.
func (s *Source) watched(ctx context.Context, until string, work func(context.Context) error) error {
	var group errgroup.Group
	watch, done := context.WithCancel(ctx)
	group.Go(func() error {
		for backoff.Pause(watch, waitReports) == nil {
			_ = s.use(watch, func(conn *pgx.Conn) error {
				s.logOldest(watch, conn, until)
				return nil
			})
		}
		return nil
	})
	err := work(ctx)
	done()
	_ = group.Wait()
	return err
}
