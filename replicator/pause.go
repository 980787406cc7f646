package replicator

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"haystream/replicator/builds"
	"haystream/replicator/web"
)

// pausedPoll is how often a paused daemon looks whether another one of its name was told to resume.
const pausedPoll = 5 * time.Second

// rest blocks while the pipeline is paused: no session runs, so that nothing is read or
// written, and the source's log is acknowledged no further. The checkpoint says so, and a restart or
// a standby finds it there. What the source retains is looked at all the same.
func (d *daemon) rest(ctx context.Context) error {
	tick := time.NewTicker(pausedPoll)
	defer tick.Stop()
	var since time.Time // it is known to be paused; the sink may be away meanwhile
	for {
		at, found, err := d.pausedAt(ctx)
		if err == nil {
			d.status.noted()
		}
		if err == nil && !found {
			at = since // what somebody has deleted or damaged says nothing; until it is told to, it does not begin anew
		}
		switch {
		case err != nil && since.IsZero():
			return ctx.Err() // the session says what is wrong
		case err == nil && at.IsZero() && since.IsZero():
			return ctx.Err()
		case err == nil && at.IsZero():
			d.log.Info().Msg("resumed")
			d.status.paused(at)
			return ctx.Err()
		case err == nil && since.IsZero():
			d.log.Warn().Time("since", at).Msg(web.Paused.Log())
		}
		if err == nil {
			since = at
		}
		if err := d.checkRetained(ctx); errors.Is(err, errRetained) {
			d.giveUp(ctx, err)
		}
		d.status.paused(since)
		select {
		case d.taken = <-d.orders:
			d.obey(ctx)
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pausedAt reads in the checkpoint when the pipeline was paused; zero where it is not. found: there
// is a checkpoint that can be read.
func (d *daemon) pausedAt(ctx context.Context) (at time.Time, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pausedPoll)
	defer cancel()
	st, err := d.load(ctx, d.owner, zerolog.Nop())
	if err != nil {
		return at, false, err
	}
	st.View(func(cp *builds.Checkpoint) { at = cp.Paused })
	_, saved, _ := st.Found() // never, of one that is damaged
	return at, !saved.IsZero(), nil
}
