// Package replicator is the engine: it moves committed changes from a source
// through the definitions into a sink, and keeps what it needs to go on after
// any end.
//
// The guarantee: a change is acknowledged to the source only after the sink
// holds what it made of it and a checkpoint says so; a document is never
// overwritten by an older state. Run owns every goroutine that it starts, and
// all of them have ended when it returns.
package replicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"haystream/internal/backoff"
	"haystream/internal/conf"
	"haystream/internal/quiet"
	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/replicator/joins"
	"haystream/replicator/web"
	"haystream/sinks"
	"haystream/sources"
)

// A daemon holds what lives longer than a session.
type daemon struct {
	cfg    *config.Config
	file   *conf.Source
	source sources.Source
	sink   sinks.Sink
	owner  string
	log    zerolog.Logger
	status *status
	ran    bool            // a session has begun to replicate
	gone   time.Time       // since when something that indexes need has been away; zero: it is there
	looked time.Time       // when it was looked last whether what is held up still must be
	warned map[string]bool // warnings that were logged
	rival  rival           // while standing by
	ends   *quiet.Log      // of sessions that could not go on

	decoding *decoding
}

// Run replicates until ctx ends, then delivers what was read, saves the
// checkpoint and returns nil. It returns an error for what only a person can
// mend. version is what /status shows. out gets the progress bar when it is a terminal.
func Run(ctx context.Context, version string, cfg *config.Config, file *conf.Source, log zerolog.Logger, out io.Writer) error {
	source, err := cfg.OpenSource(log)
	if err != nil {
		return err
	}
	defer source.Close()
	sink, err := cfg.OpenSink(log)
	if err != nil {
		return err
	}
	defer sink.Close()
	host, _ := os.Hostname() // only a label for people
	d := &daemon{
		cfg: cfg, file: file, source: source, sink: sink, log: log,
		owner:  host + "/" + strconv.Itoa(os.Getpid()) + "/" + strconv.FormatUint(rand.Uint64(), 36),
		status: newStatus(cfg, version, sink), warned: map[string]bool{}, ends: &quiet.Log{},
	}
	d.decoding = newDecoding(cfg, &d.status.gauges, log)
	limitMemory(cfg)
	server, err := web.Listen(ctx, cfg.HTTP, d.status)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ended, end := context.WithCancel(ctx)
	g.Go(func() error { return server.Serve(ended) })
	g.Go(func() error { return web.Progress(ended, d.status, out, log) })
	g.Go(func() error {
		defer end()
		return d.supervise(ctx)
	})
	return g.Wait()
}

// watched runs a session and keeps an eye on the log that the source retains
// for it. A session that cannot even start is no reason to fill a disk.
func (d *daemon) watched(ctx context.Context) error {
	if err := d.checkRetained(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ended, end := context.WithCancel(ctx)
	g.Go(func() error {
		defer end()
		return d.session(ctx)
	})
	g.Go(func() error {
		poll := backoff.Backoff{Min: 2 * time.Second, Max: 10 * time.Second}
		for poll.Wait(ended, 0) == nil {
			if err := d.checkRetained(ended); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// checkRetained notes how far the source's log is ahead, and returns
// errRetained when it holds more than it may.
func (d *daemon) checkRetained(ctx context.Context) error {
	limit := int64(d.cfg.Limits.MaxRetainedLog)
	lag, err := d.source.Lag(ctx, d.status.acked())
	if err != nil {
		d.status.lagUnknown()
	} else {
		d.status.lag(lag)
	}
	if err == nil && limit > 0 && lag.Retained > limit {
		return fmt.Errorf("%w: %s, limits.max_retained_log is %s", errRetained, conf.Bytes(lag.Retained), d.cfg.Limits.MaxRetainedLog)
	}
	return nil
}

// mostShort is how many short sessions may follow one another at once. More of them
// show that planning anew does not help.
const mostShort = 10

// supervise runs one session after another: what ended the last one decides
// what is done before the next.
func (d *daemon) supervise(ctx context.Context) error {
	retry := backoff.Backoff{Min: 200 * time.Millisecond, Max: 15 * time.Second}
	short := 0 // sessions in a row that ended soon
	for {
		began := time.Now()
		err := d.watched(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > time.Minute {
			retry.Reset()
		}
		if short++; time.Since(began) > 5*time.Second {
			short = 0
		}
		answer, stop := d.answer(ctx, err)
		if stop != nil {
			d.status.stopped(stop)
			return stop
		}
		if answer == again && short < mostShort {
			continue
		}
		if retry.Wait(ctx, 0) != nil {
			break
		}
	}
	return nil //nolint:nilerr // the end was asked for
}

// What supervise does after a session.
type answer int

const (
	again answer = iota // at once
	later               // after a pause that grows
)

// answer decides what follows the end of a session; stop is for what only a
// person can mend.
func (d *daemon) answer(ctx context.Context, err error) (next answer, stop error) {
	var (
		refused    *inspect.Refusal
		rebuild    *joins.RebuildError
		incomplete *incompleteError
		gone       *builds.LostError
		blocked    *builds.BlockedError
		problems   mapping.Problems
		anew       replan
	)
	switch {
	case errors.As(err, &rebuild):
		d.log.Warn().Strs("indexes", rebuild.Aliases).Msg(rebuild.Error() + "; rebuilding")
		return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Rebuild(rebuild.Aliases, rebuild.Error(), rebuild.Useless) }), nil
	case errors.As(err, &incomplete):
		d.log.Warn().Str("index", incomplete.alias).Msg(incomplete.Error() + "; the table's rows are stored from now on, and the index is built anew from them beside")
		return d.amend(ctx, func(cp *builds.Checkpoint) { cp.LeftOut(incomplete.Table, incomplete.alias) }), nil
	case errors.As(err, &gone):
		d.status.waiting(err)
		d.warned[err.Error()] = true
		d.log.Error().Str("index", gone.Alias).Str("physical", gone.Physical).Msg(err.Error())
		return again, nil
	case errors.As(err, &blocked):
		return d.block(ctx, blocked), nil
	case errors.Is(err, errAway):
		d.later(err, zerolog.InfoLevel, "stopped for a moment")
		if backoff.Pause(ctx, holdGrace/4) != nil {
			return later, nil
		}
		return again, nil
	case errors.As(err, &anew):
		d.log.Info().Msg(err.Error())
		return again, nil
	case errors.Is(err, sources.ErrSchemaChanged):
		d.log.Info().Err(err).Msg("planning anew")
		return again, nil
	case errors.Is(err, sources.ErrPositionLost):
		d.log.Error().Err(err).Msg("the log cannot be continued; every index is rebuilt beside the one that serves, then swapped; those of mode append are read into again")
		return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Restart(err.Error()) }), nil
	case errors.Is(err, sources.ErrBusy), errors.Is(err, sinks.ErrConflict):
		return d.standBy(ctx, err), nil
	case errors.As(err, &refused) && refused.Final, errors.As(err, &problems), errors.Is(err, sources.ErrConfig) && !d.ran,
		errors.Is(err, sinks.ErrForeign) && !d.ran, errors.Is(err, sinks.ErrTooManyDeadLetters), errors.Is(err, builds.ErrNewer):
		return later, err
	case errors.Is(err, errRetained):
		return d.giveUp(ctx, err), nil
	case errors.Is(err, rowstore.ErrFull), errors.Is(err, rowstore.ErrReadOnly):
		err = noRoom(err, d.cfg.StoreDir())
		return d.later(err, zerolog.ErrorLevel, "waiting until the row store can be written to"), nil
	}
	return d.later(err, zerolog.ErrorLevel, "stopped; trying again"), nil
}

// later notes why a session has ended that is tried again after a pause.
func (d *daemon) later(why error, level zerolog.Level, text string) answer {
	d.status.waiting(why)
	if lasted, tell := d.ends.Failed(why.Error()); tell {
		quiet.For(d.log.WithLevel(level).Err(why), lasted).Msg(text)
	}
	return later
}

// amend changes the saved checkpoint between sessions.
func (d *daemon) amend(ctx context.Context, change func(*builds.Checkpoint)) answer {
	st, err := builds.LoadState(ctx, d.sink, d.cfg.Name, d.owner, d.log)
	if err == nil {
		st.Update(change)
		_, err = st.Save(ctx)
	}
	if err != nil {
		return d.later(err, zerolog.ErrorLevel, "checkpoint not changed; trying again")
	}
	return again
}

// giveUp drops the log handle on the source, so that its disk does not fill,
// and waits for the sink.
func (d *daemon) giveUp(ctx context.Context, why error) answer {
	d.status.waiting(why)
	dropped, err := d.source.Remove(ctx, false)
	d.log.Error().Err(why).Strs("dropped", dropped).Msg("the source keeps more log than limits.max_retained_log allows; replication slot given up, a rebuild follows")
	if err != nil {
		d.log.Error().Err(err).Msg("replication slot not dropped")
	}
	return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Restart(why.Error()) })
}

// errRetained ends a session whose source keeps too much log.
var errRetained = errors.New("too much log is retained")

// programBytes is what the program itself takes of the memory, in files that are mapped.
const programBytes = 32 << 20

// limitMemory tells the runtime what it may use, so that it collects rather
// than grows. A limit in the environment stands.
func limitMemory(cfg *config.Config) {
	if limit := int64(cfg.Limits.MaxMemory); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(limit-max(programBytes, limit/5), limit/2))
	}
}

// describe is a line for people about where data comes from and goes to.
func describe(source sources.Info, sink sinks.Info) string {
	return fmt.Sprintf("%s %s at %s to %s %s at %s", source.Kind, source.Version, source.Address, sink.Kind, sink.Version, sink.Address)
}
