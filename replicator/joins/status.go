package joins

import (
	"time"
)

// Status is how the store is.
type Status struct {
	Bytes       int64 `json:"bytes"` // on disk
	MemoryBytes int64 `json:"memory_bytes"`
	Pending     int64 `json:"documents_pending"` // at least so many are to be rendered or on their way
	Twice       bool  `json:"stored_twice"`      // some tables are, until indexes that are being replaced are gone

	PendingSeconds float64 `json:"pending_seconds"` // for how long one of them is, at least, of an index that is loaded

	CacheHits   int64 `json:"cache_hits"`
	CacheMisses int64 `json:"cache_misses"`
	Compactions int64 `json:"compactions"`
}

// A seen is when something was still to be held of the commits up to a version.
type seen struct {
	version int64 // 0: nothing was
	at      time.Time
}

// status says how the store is, and a number of documents that are to be
// rendered or on their way, 0 only where there is none. Once it is closed, that is
// how it was then.
func (d *rounds) status() *Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.measured = d.clock.store.Metrics()
	}
	m := &d.measured
	out := &Status{
		Bytes: m.Bytes, MemoryBytes: m.MemoryBytes, Pending: int64(d.taken),
		CacheHits: m.CacheHits, CacheMisses: m.CacheMisses, Compactions: m.Compactions,
		PendingSeconds: d.waits().Seconds(),
	}
	for _, p := range d.pieces {
		out.Pending += int64(max(len(p.dues), 1))
	}
	for _, to := range d.targets {
		if to.Retired.Load() {
			continue
		}
		out.Pending += int64(len(to.dirty.queue))
		if to.passing.Load() || to.dirty.behind > 0 {
			out.Pending++
		}
	}
	return out
}

// lag is for how long a document of an index that is loaded is to be rendered or on its way, at least.
func (d *rounds) lag() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waits()
}

// waits is lag. mu is held.
func (d *rounds) waits() (longest time.Duration) {
	version, now := d.clock.now(), time.Now()
	for _, to := range d.targets {
		if !to.Retired.Load() && to.began.Load() > 0 && !to.passing.Load() {
			longest = max(longest, to.waits(version, now))
		}
	}
	return longest
}

// waits is for how long a document is to be rendered or on its way, at least, as far as that was asked before. version
// is that of the last commit. rounds.mu is held.
func (to *target) waits(version int64, now time.Time) time.Duration {
	switch oldest := to.oldest(); {
	case oldest == 0:
		to.seen = seen{}
	case to.seen.version < oldest:
		to.seen = seen{version, now}
	}
	if to.seen.version == 0 {
		return 0
	}
	return now.Sub(to.seen.at)
}

// oldest is the version of the first record of which something is not held; 0: there is none. rounds.mu is held.
func (to *target) oldest() int64 {
	switch {
	case len(to.sentRecords) > 0:
		return to.sentRecords[0].versions[0]
	case to.sending > 0:
		return to.sending
	case len(to.dirty.records) > 0:
		return to.dirty.records[0]
	}
	return to.dirty.behind
}
