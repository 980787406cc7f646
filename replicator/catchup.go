package replicator

import (
	"time"

	"haystream/replicator/web"
)

// How far behind a daemon is that has to catch up, and one that has.
const (
	farBehind = 10 * time.Second
	caughtUp  = 5 * time.Second
)

// nothingTaken is for how long the sink must have taken nothing for it to have been away.
const nothingTaken = 5 * time.Second

// A catchUp knows how fast a daemon that is far behind makes up for it.
type catchUp struct {
	from  lateness // since when it does; zero while it is not far behind
	worst lateness // when it was furthest behind
	taken lateness // when the sink had last taken documents
	last  lateness
}

// A lateness is how far behind a daemon was, and how many documents the sink had taken.
type lateness struct {
	at        time.Time
	lag       time.Duration
	documents int64
}

// note notes how it is now. It reports whether the daemon has caught up.
func (c *catchUp) note(now lateness) (over bool) {
	switch {
	case c.from.at.IsZero() && now.lag < farBehind:
		return false
	case c.from.at.IsZero():
		c.from, c.worst, c.taken = now, now, now
	case now.documents != c.taken.documents:
		c.taken = now
	case now.at.Sub(c.taken.at) >= nothingTaken:
		c.from = now
	}
	if now.lag >= c.worst.lag {
		c.worst = now
	}
	c.last = now
	return now.lag < caughtUp
}

// status is nil while the daemon is not far behind.
func (c *catchUp) status() *web.CatchUpStatus {
	if c.from.at.IsZero() {
		return nil
	}
	out := &web.CatchUpStatus{BehindSeconds: c.worst.lag.Seconds(), Seconds: c.last.at.Sub(c.from.at).Seconds(), LeftSeconds: -1}
	out.Documents = max(0, c.last.documents-c.from.documents) // another session counts anew
	if out.Seconds > 0 {
		out.DocumentsPerSecond = float64(out.Documents) / out.Seconds
	}
	if less := c.worst.lag - c.last.lag; less > 0 {
		out.LeftSeconds = c.last.lag.Seconds() * c.last.at.Sub(c.worst.at).Seconds() / less.Seconds()
	}
	return out
}

// catchUp looks at how far behind the daemon is, every second.
func (d *daemon) catchUp(now time.Time) {
	if made := d.status.catchUp(now); made != nil {
		d.log.Info().Stringer("was_behind", seconds(made.BehindSeconds)).Stringer("took", seconds(made.Seconds)).
			Int64("documents", made.Documents).Float64("documents_per_second", made.DocumentsPerSecond).Msg("caught up with the source")
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond)
}
