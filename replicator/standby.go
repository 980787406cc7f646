package replicator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"haystream/replicator/builds"
	"haystream/replicator/web"
	"haystream/sources"
)

// standbyWait is between two tries to take over from another daemon.
const standbyWait = 5 * time.Second

// A rival is the daemon for which this one stands by, as its checkpoint shows it.
type rival struct {
	owner string
	saved time.Time // by its own clock, which is only compared with itself
	since time.Time // when that save was seen first
	seen  time.Time // when it was looked at last
}

// standBy waits until another daemon has gone. One that has hung keeps its
// connection to the source, and with it the source's lock or slot. It is taken
// for hung when the checkpoint, which it must renew to send anything, has stayed
// the same for all of builds.LeaseLife. Then its connection is ended. Should it wake up,
// it sends nothing: its lease has run out, and its next save meets ours.
func (d *daemon) standBy(ctx context.Context, why error) answer {
	d.status.standingBy(why.Error()) // who reads the log may rely on it
	d.later(web.StandingBy, why, zerolog.WarnLevel)
	if d.queue != nil { // nobody else has a connection to it
		return pause(ctx, standbyWait)
	}
	if errors.Is(why, sources.ErrBusy) && d.hung(ctx, time.Now()) {
		d.log.Warn().Str("owner", d.rival.owner).Time("saved_at", d.rival.saved).
			Msgf("the daemon that holds the source has not saved its checkpoint for %s; ending its connection and taking over", builds.LeaseLife)
		if err := d.source.Evict(ctx); err != nil {
			d.log.Error().Err(err).Msg("cannot take over")
		} else {
			d.rival = rival{}
			return again
		}
	}
	return pause(ctx, standbyWait)
}

// elsewhere returns an error where another host delivers the events of a queue of its own. It is
// taken for gone as one that has hung is. Who has delivered from this host's queue is gone: this process has the
// queue, unless it has given its turn away.
func (d *daemon) elsewhere(ctx context.Context, st *builds.State) error {
	if d.queue == nil {
		return nil
	}
	var position sources.Position
	st.View(func(cp *builds.Checkpoint) { position = cp.Position })
	own, waiting, err := d.queue.Own(position)
	owner, saved, found := st.Found()
	if err != nil || own && owner != d.turns.gave || !found || owner == d.owner || d.hung(ctx, time.Now()) {
		return err
	}
	left := ""
	if waiting > 0 {
		left = fmt.Sprintf("; %d events wait in this host's queue, which asks for its turn", waiting)
	}
	if waiting > 0 || d.beside != nil && d.beside.status.now() == "running" { // which is better on one host
		d.askForTurn(ctx)
	}
	return fmt.Errorf("%w: %s delivers the events of a queue of its own, and saved its checkpoint at %s; if it is gone, this one takes over within %s%s",
		sources.ErrBusy, owner, saved.Format(time.RFC3339), builds.LeaseLife, left)
}

// hung looks at the rival's checkpoint, and reports whether it has been looked
// at, without a gap, for so long that the rival cannot be alive.
func (d *daemon) hung(ctx context.Context, now time.Time) bool {
	st, err := d.load(ctx, d.owner, zerolog.Nop())
	if err != nil {
		d.rival = rival{}
		return false
	}
	owner, saved, ok := st.Found()
	if !ok {
		d.rival = rival{}
		return false
	}
	next := rival{owner: owner, saved: saved, since: now, seen: now}
	if d.rival.owner == next.owner && d.rival.saved.Equal(next.saved) && now.Sub(d.rival.seen) < builds.LeaseLife/2 {
		next.since = d.rival.since
	}
	d.rival = next
	return now.Sub(next.since) >= builds.LeaseLife
}
