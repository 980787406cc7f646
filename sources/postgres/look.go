package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"haystream/sources"
)

const (
	// lookInterval is how often a stream looks at the catalog: changes of it are
	// not in the log. A look that takes the server long comes more seldom.
	lookInterval = 2 * time.Second
	lookShare    = 50

	// lookSpacing is the least time between looks that the log asks for.
	lookSpacing = time.Second

	// lookFailures in a row are told.
	lookFailures = 5
)

// A lookout looks at the catalog beside a stream, whatever that is busy with.
type lookout struct {
	look  func(context.Context) error
	every time.Duration // at least
	found chan error    // at most one: what ends the stream
	asked chan struct{} // to look soon
	wake  func()        // the stream
	log   zerolog.Logger

	mu    sync.Mutex
	last  time.Time // when the last look ended
	looks int
}

func newLookout(look func(context.Context) error, every time.Duration, wake func(), log zerolog.Logger) *lookout {
	return &lookout{look: look, every: every, found: make(chan error, 1), asked: make(chan struct{}, 1), wake: wake, log: log, last: time.Now()}
}

// run looks at the interval, and soon after it is asked to, until it has found
// something or ctx ends.
func (l *lookout) run(ctx context.Context) {
	next := time.Now().Add(l.every)
	timer := time.NewTimer(l.every)
	defer timer.Stop()
	for failing := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-l.asked:
			next = earlier(next, time.Now().Add(lookSpacing))
			timer.Reset(time.Until(next))
			continue
		case <-timer.C:
		}
		began := time.Now()
		err := l.now(ctx)
		if errors.Is(err, sources.ErrSchemaChanged) || errors.Is(err, sources.ErrConfig) {
			l.found <- err
			l.wake()
			return
		}
		if err == nil {
			failing = 0
		} else if failing++; failing == lookFailures {
			l.log.Warn().Err(err).Msg("cannot look at the catalog; changes of tables are not noticed until that is possible again")
		}
		next = time.Now().Add(max(l.every, lookShare*time.Since(began)))
		timer.Reset(time.Until(next))
	}
}

// now looks, and returns ErrSchemaChanged for what it finds; any other error is
// of the look itself.
func (l *lookout) now(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err := l.look(ctx)
	l.mu.Lock()
	l.last = time.Now()
	l.looks++
	l.mu.Unlock()
	return err
}

// ask looks now, or soon where that was done a moment ago: the log may describe
// tables anew as often as it likes.
func (l *lookout) ask(ctx context.Context) error {
	l.mu.Lock()
	recent := time.Since(l.last) < lookSpacing
	l.mu.Unlock()
	if recent {
		l.soon()
		return nil
	}
	if err := l.now(ctx); errors.Is(err, sources.ErrSchemaChanged) {
		return err
	}
	return nil // the next look may tell
}

// atOnce looks for somebody else than the stream, which hears of what that finds soon: its own next look may be minutes away.
func (l *lookout) atOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err := l.look(ctx)
	if errors.Is(err, sources.ErrSchemaChanged) {
		l.soon()
	}
	return err
}

// soon has the next look come soon.
func (l *lookout) soon() {
	select {
	case l.asked <- struct{}{}:
	default:
	}
}

// look compares the tables in use with what the stream was planned with: their
// columns, their fingerprints, and with these the publication.
func (st *stream) look(ctx context.Context) error {
	tables := make([]*sources.Table, 0, len(st.tables))
	for _, t := range st.tables {
		tables = append(tables, t)
	}
	var now *catalog
	err := st.source.use(ctx, func(conn *pgx.Conn) (err error) {
		now, err = st.source.readCatalog(ctx, conn, tables)
		return err
	})
	if err != nil {
		return err
	}
	if now.registry.publication == nil {
		return fmt.Errorf("%w: the publication %s is gone", sources.ErrSchemaChanged, st.source.cfg.Publication)
	}
	for name := range st.tables {
		planned := *st.catalog.tables[name]
		// Those to tables that are not in use were not looked at.
		planned.ForeignKeys = slices.DeleteFunc(slices.Clone(planned.ForeignKeys), func(k sources.ForeignKey) bool {
			return st.tables[k.Schema+"."+k.Table] == nil
		})
		if err := sources.Compare(&planned, now.tables[name]); err != nil {
			return err
		}
	}
	return nil
}
