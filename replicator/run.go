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

	"github.com/cockroachdb/pebble/v2/vfs"
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
	"haystream/replicator/widgets"
	"haystream/sinks"
	"haystream/sources"
	"haystream/sources/events"
)

// A daemon is an engine: it moves the changes of one source, and holds what lives longer than a
// session. A pipeline has one for the database, one for the event queue, or both.
type daemon struct {
	cfg      *config.Config // the part of it that this engine is for
	file     *conf.Source
	source   sources.Source
	queue    *events.Source // the source; nil where that is a database
	sink     sinks.Sink
	disk     vfs.FS           // where the row store lives; the machine's where nil
	now      func() time.Time // the machine's wall clock, which may step forward and back
	owner    string
	log      zerolog.Logger
	status   *status
	ran      bool            // a session has begun to replicate
	gone     time.Time       // since when something that indexes need has been away; zero: it is there
	looked   time.Time       // when it was looked last whether what is held up still must be
	warned   map[string]bool // warnings that were logged
	rival    rival           // while standing by
	turns    turns           // between hosts, to deliver events
	verifier *verifier
	beside   *daemon     // of the event queue: the database's; nil where there is none
	ends     *quiet.Log  // of sessions that could not go on
	orders   chan *order // from those who ask; taken by who has the checkpoint
	taken    *order      // has ended the session, and is to be carried out
	broken   error       // the row store is damaged, though Open may not see it; nil: it is not known to be

	decoding *decoding
	messages *messages // of the database's log; nil where there is no event queue for them
}

// Run replicates until ctx ends, then delivers what was read, saves the
// checkpoints and returns nil. It returns an error for what only a person can
// mend. version is what /status shows. out gets the progress bar when it is a terminal.
func Run(ctx context.Context, version string, cfg *config.Config, file *conf.Source, log zerolog.Logger, out io.Writer) error {
	host, _ := os.Hostname() // only a label for people
	owner := host + "/" + strconv.Itoa(os.Getpid()) + "/" + strconv.FormatUint(rand.Uint64(), 36)
	p := &process{cfg: cfg}
	defer p.close()
	for _, part := range cfg.Parts() {
		source, sink, err := part.Open(log)
		if err != nil {
			return err
		}
		p.daemons = append(p.daemons, newDaemon(part, file, source, sink, owner, version, log))
	}
	for _, d := range p.daemons[1:] {
		d.status.letters = p.daemons[0].status.letters
	}
	p.connect()
	limitMemory(cfg)
	searcher, _ := p.daemons[0].sink.(sinks.Searcher) // the config has no widgets where it is none
	board, err := widgets.NewBoard(cfg.Widgets, cfg.WidgetNames(file), cfg.Set(), searcher)
	if err != nil {
		return err
	}
	defer board.Close()
	server, err := web.Listen(ctx, cfg.HTTP, p, p.door(), board, p)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ended, end := context.WithCancel(ctx)
	g.Go(func() error { return server.Serve(ended) })
	g.Go(func() error { return web.Progress(ended, p, out, log) })
	g.Go(func() error {
		defer end()
		return p.supervise(ctx)
	})
	return g.Wait()
}

// newDaemon makes the engine for a part of the configuration. It connects to nothing.
func newDaemon(part *config.Config, file *conf.Source, source sources.Source, sink sinks.Sink, owner, version string, log zerolog.Logger) *daemon {
	d := &daemon{
		cfg: part, file: file, source: source, sink: sink, log: log, owner: owner,
		status: newStatus(part, version, sink), warned: map[string]bool{}, ends: &quiet.Log{},
		orders: make(chan *order), now: time.Now,
	}
	d.verifier = newVerifier(part.VerifyFile(), log)
	d.status.verifier = d.verifier
	d.decoding = newDecoding(part, &d.status.gauges, log)
	if queue, ok := source.(*events.Source); ok {
		d.queue = queue
		if err := queue.Open(); err != nil { // it is tried again, by sessions and by who pushes
			log.Error().Err(err).Msg("the event queue cannot be opened; no events are taken until it can")
		}
	}
	return d
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
	g.Go(func() error { return d.await(ended) })
	g.Go(func() error {
		for backoff.Pause(ended, time.Second) == nil {
			d.catchUp(time.Now())
		}
		return nil
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
		if d.rest(ctx) != nil {
			break
		}
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
		if d.taken != nil {
			short = 0
			d.obey(ctx)
		}
		switch {
		case answer == waited:
			short = 0
			continue
		case answer == again && short < mostShort:
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
	again  answer = iota // at once
	later                // after a pause that grows
	waited               // at once, since the pause is over
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
		d.status.waiting(web.IndexGone, err)
		d.warned[err.Error()] = true
		d.log.Error().Str("index", gone.Alias).Str("physical", gone.Physical).Msg(err.Error())
		if gone.Period {
			return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Rebuild([]string{gone.Alias}, err.Error(), nil) }), nil
		}
		return again, nil
	case errors.As(err, &blocked):
		return d.block(ctx, blocked), nil
	case errors.Is(err, errAway):
		d.later(web.Moment, err, zerolog.InfoLevel)
		return pause(ctx, holdGrace/4), nil
	case errors.Is(err, errTurn):
		return d.handOver(ctx), nil
	case errors.As(err, &anew):
		d.log.Info().Msg(err.Error())
		return again, nil
	case errors.Is(err, sources.ErrSchemaChanged):
		d.log.Info().Err(err).Msg("planning anew")
		return again, nil
	case errors.Is(err, sources.ErrPositionLost):
		d.log.Error().Err(err).Msg("the log cannot be continued; every index is rebuilt beside the one that serves, then swapped; those of mode append are read into again")
		return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Restart(err.Error()) }), nil
	case errors.Is(err, errTakenOver):
		d.log.Error().Err(err).Msg("the log goes on; once it is read to its end, every index is rebuilt beside the one that serves, then swapped; those of mode append are read into again")
		return d.amend(ctx, (*builds.Checkpoint).TakeOver), nil
	case errors.Is(err, errDistrusted):
		return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Distrust(err.Error()) }), nil
	case errors.Is(err, sources.ErrBusy), errors.Is(err, sinks.ErrConflict):
		return d.standBy(ctx, err), nil
	case errors.As(err, &refused) && refused.Final, errors.As(err, &problems), errors.Is(err, sources.ErrConfig) && !d.ran,
		errors.Is(err, sinks.ErrForeign) && !d.ran, errors.Is(err, sinks.ErrTooManyDeadLetters), errors.Is(err, builds.ErrNewer), errors.Is(err, rowstore.ErrNewer):
		return later, err
	case errors.Is(err, errRetained):
		return d.giveUp(ctx, err), nil
	case errors.Is(err, rowstore.ErrFull), errors.Is(err, rowstore.ErrReadOnly):
		err = noRoom(err, d.cfg.StoreDir())
		return d.later(web.NoRoom, err, zerolog.ErrorLevel), nil
	case errors.Is(err, rowstore.ErrRebuild):
		d.broken = err
		return again, nil
	case errors.As(err, &refused), errors.Is(err, sources.ErrConfig), errors.Is(err, sinks.ErrForeign):
		return d.later(web.ToMend, err, zerolog.ErrorLevel), nil
	}
	return d.later(web.Disconnected, err, zerolog.ErrorLevel), nil
}

// pause waits, unless the daemon is to end.
func pause(ctx context.Context, wait time.Duration) answer {
	if backoff.Pause(ctx, wait) != nil {
		return later
	}
	return waited
}

// later notes why a session has ended that is tried again after a pause.
func (d *daemon) later(reason web.Reason, why error, level zerolog.Level) answer {
	d.status.waiting(reason, why)
	if lasted, tell := d.ends.Failed(why.Error()); tell {
		quiet.For(d.log.WithLevel(level).Err(why), lasted).Msg(reason.Log())
	}
	return later
}

// load reads the saved checkpoint, for who may save it as an owner.
func (d *daemon) load(ctx context.Context, owner string, log zerolog.Logger) (*builds.State, error) {
	return builds.LoadState(ctx, d.sink, d.cfg.Checkpoint(), owner, d.now, log)
}

// amend changes the saved checkpoint between sessions.
func (d *daemon) amend(ctx context.Context, change func(*builds.Checkpoint)) answer {
	st, err := d.load(ctx, d.owner, d.log)
	if err == nil {
		st.Update(change)
		_, err = st.Save(ctx)
	}
	if err != nil {
		return d.later(web.CheckpointUnsaved, err, zerolog.ErrorLevel)
	}
	return again
}

// giveUp drops the log handle on the source, so that its disk does not fill,
// and waits for the sink.
func (d *daemon) giveUp(ctx context.Context, why error) answer {
	d.status.waiting(web.Retained, why)
	dropped, err := d.source.Remove(ctx, false)
	d.log.Error().Err(why).Strs("dropped", dropped).Msg(web.Retained.Log())
	if err != nil {
		d.log.Error().Err(err).Msg("replication slot not dropped")
	}
	return d.amend(ctx, func(cp *builds.Checkpoint) { cp.Restart(why.Error()) })
}

// errRetained ends a session whose source keeps too much log.
var errRetained = errors.New("too much log is retained")

// programBytes is what the program itself takes of the memory: its code and constants, in the file that is mapped. After
// some time nearly all of that has been in use.
const programBytes = 36 << 20

// limitMemory tells the runtime what it may use, so that it collects rather
// than grows. A limit in the environment stands.
func limitMemory(cfg *config.Config) {
	if limit := int64(cfg.Limits.MaxMemory); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(limit-max(programBytes, limit/5), limit/2))
	}
}

// describe is a line for people about where data comes from and goes to.
func describe(source sources.Info, sink sinks.Info) string {
	server := sink.Kind
	if sink.Version != "" { // a file has none
		server += " " + sink.Version
	}
	return fmt.Sprintf("%s %s at %s to %s at %s", source.Kind, source.Version, source.Address, server, sink.Address)
}
