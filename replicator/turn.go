package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"haystream/replicator/web"
	"haystream/sinks"
	"haystream/sources"
)

// Each host has an event queue of its own, and one host delivers. What waits in the queue of another
// would wait until the first is gone. So a daemon that stands by while events wait with it asks for its turn: it
// writes so beside the checkpoint, again and again. The one that delivers takes no more events, delivers what it
// has, makes the other the checkpoint's owner, and stands by. It then has no events to ask for. The host that
// follows the database asks, too, so that both come to be on one. Nothing but the owner's name changes hands, by
// the same compare-and-swap as ever: if any of this is cut short, the lease decides.

// A turn is what is asked for.
type turn struct {
	Owner string    `json:"owner"`    // who asks
	Asked time.Time `json:"asked_at"` // by its own clock, which is only compared with itself
}

// turns are what a daemon knows of them.
type turns struct {
	looked time.Time            // when it was looked last whether somebody asks
	asked  map[string]time.Time // who, and when it was asked last
	giving string               // to whom; empty: to nobody
	since  time.Time            // of giving
	gave   string               // who has got the last one
}

const (
	turnEvery   = 5 * time.Second  // how often it is looked, and asked
	turnSettles = time.Second      // for requests that are being answered
	turnDrains  = 20 * time.Second // in which what waits must be delivered, or nothing comes of it
)

// errTurn ends a session whose daemon has delivered all, and gives its turn to another one.
const errTurn = replan("another host gets its turn to deliver events")

// askForTurn asks whoever delivers. It is tried again by who stands by.
func (d *daemon) askForTurn(ctx context.Context) {
	_, token, err := d.sink.LoadCheckpoint(ctx, d.cfg.Turn())
	if err == nil {
		var data []byte
		if data, err = json.Marshal(turn{Owner: d.owner, Asked: time.Now().UTC()}); err == nil {
			_, err = d.sink.SaveCheckpoint(ctx, d.cfg.Turn(), data, token)
		}
	}
	if err != nil && !errors.Is(err, sinks.ErrConflict) { // another one asks, too
		d.log.Debug().Err(err).Msg("cannot ask for the turn to deliver events; trying again")
	}
}

// giveTurn looks whether another daemon asks, and has this one prepare for it. It returns errTurn
// when all is delivered. It is called by the checkpoint step, often.
func (d *daemon) giveTurn(ctx context.Context, now time.Time) error {
	t := &d.turns
	switch {
	case d.queue == nil:
		return nil
	case t.giving == "":
		if now.Sub(t.looked) < turnEvery {
			return nil
		}
		t.looked = now
		asker, err := d.asker(ctx)
		if err != nil || asker == "" {
			return nil //nolint:nilerr // the next look comes soon
		}
		t.giving, t.since = asker, now
		d.status.standingBy(asker + " is about to deliver the events of a queue of its own")
	case d.queue.Stats().Events == 0 && now.Sub(t.since) >= turnSettles:
		return errTurn
	case now.Sub(t.since) > turnDrains:
		t.giving, t.asked = "", nil
		d.status.standingBy("")
	}
	return nil
}

// asker is who asks, and has asked again since it was looked last, so that it is alive.
func (d *daemon) asker(ctx context.Context) (string, error) {
	data, _, err := d.sink.LoadCheckpoint(ctx, d.cfg.Turn())
	if err != nil || data == nil {
		return "", err
	}
	var asked turn
	if err := json.Unmarshal(data, &asked); err != nil || asked.Owner == d.owner { // damaged, or this one has its turn
		return "", d.sink.RemoveCheckpoint(ctx, d.cfg.Turn())
	}
	last, known := d.turns.asked[asked.Owner]
	if d.turns.asked == nil {
		d.turns.asked = map[string]time.Time{}
	}
	d.turns.asked[asked.Owner] = asked.Asked
	if !known || last.Equal(asked.Asked) {
		return "", nil
	}
	return asked.Owner, nil
}

// handOver makes the daemon that has asked the owner of the checkpoint, and stands by.
func (d *daemon) handOver(ctx context.Context) answer {
	to := d.turns.giving
	d.turns.giving, d.turns.asked = "", nil
	switch given, err := d.passTo(ctx, to); {
	case err != nil:
		return d.later(web.CheckpointUnsaved, fmt.Errorf("give another daemon its turn to deliver events: %w", err), zerolog.ErrorLevel)
	case !given:
		return again
	}
	d.turns.gave = to
	return d.standBy(ctx, fmt.Errorf("%w: %s has got its turn to deliver the events of a queue of its own", sources.ErrBusy, to))
}

// passTo saves the checkpoint as another daemon's, unless it is by now, or events have come at the last moment.
func (d *daemon) passTo(ctx context.Context, to string) (given bool, err error) {
	st, err := d.load(ctx, to, d.log)
	if err != nil {
		return false, err
	}
	if owner, _, _ := st.Found(); owner != d.owner || d.queue.Stats().Events > 0 {
		return false, nil
	}
	_, err = st.Save(ctx)
	return err == nil, err
}
