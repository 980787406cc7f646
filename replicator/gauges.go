package replicator

import (
	"sync/atomic"
	"time"

	"haystream/sources"
)

// gauges are what a session counts for people to see.
type gauges struct {
	changes      atomic.Int64
	transactions atomic.Int64
	bytes        atomic.Int64
	rows         atomic.Int64 // read by snapshots
	unsaved      atomic.Int64 // checkpoint steps that failed
	replaced     atomic.Int64 // values that were not UTF-8, as often as they were rendered
	committed    atomic.Int64 // commit time of the last delivered transaction, µs by the source's clock
	first        atomic.Int64 // commit time of the first transaction received, µs
	received     atomic.Int64 // commit time of the last received transaction, µs
	idle         atomic.Bool  // the source has said that nothing follows what was received
	clock        atomic.Pointer[clockReading]
}

// A clockReading is what the source's clock showed at a moment.
type clockReading struct{ clock, at time.Time }

// read notes what the source's clock shows.
func (g *gauges) read(clock time.Time) { g.clock.Store(&clockReading{clock, time.Now()}) }

// now is the source's clock, in µs, whatever ours does meanwhile.
func (g *gauges) now() int64 {
	r := g.clock.Load()
	if r == nil {
		return time.Now().UnixMicro()
	}
	return r.clock.Add(time.Since(r.at)).UnixMicro()
}

func (g *gauges) batch(b *sources.Batch) {
	g.changes.Add(int64(len(b.Changes)))
	g.transactions.Add(int64(b.Transactions))
	g.bytes.Add(int64(b.Size()))
	g.idle.Store(b.CommitTime.IsZero())
	if !b.CommitTime.IsZero() {
		g.first.CompareAndSwap(0, b.CommitTime.UnixMicro())
		g.received.Store(b.CommitTime.UnixMicro())
		if b.CommitTime.UnixMicro() > g.now() { // it has stepped forward
			g.read(b.CommitTime)
		}
	}
}

func (g *gauges) delivered(d *delivery) {
	if !d.commit.IsZero() {
		g.committed.Store(d.commit.UnixMicro())
	}
}

// begin begins a session: what another one received and did not deliver comes again, unless the log has lost it.
func (g *gauges) begin() {
	if at := g.committed.Load(); g.received.Swap(at) != at {
		g.idle.Store(false) // the source says it again
	}
	g.first.Store(0)
}

// lag is how old the oldest change may be that is not delivered yet; 0 when all is.
func (g *gauges) lag() time.Duration {
	at := g.committed.Load()
	if at == g.received.Load() && (at == 0 || g.idle.Load()) {
		return 0
	}
	if at == 0 {
		at = g.first.Load()
	}
	return max(0, time.Duration(g.now()-at)*time.Microsecond)
}

// caughtUp reports whether the stream is near enough to the log's end for a
// window to be opened.
func (g *gauges) caughtUp() bool {
	at := g.received.Load()
	return g.idle.Load() || at == 0 || g.now()-at < (30*time.Second).Microseconds()
}
