package replicator

import (
	"testing"
	"testing/synctest"
	"time"

	"haystream/sources"
)

// TestLagOfWhatTheLogHasLost: a transaction that was received and not delivered, and that never comes again, makes
// no lag once the source says that nothing follows.
func TestLagOfWhatTheLogHasLost(t *testing.T) {
	var g gauges
	now := time.Now()
	for _, at := range []time.Time{now.Add(-2 * time.Hour), now.Add(-time.Hour)} {
		g.batch(&sources.Batch{CommitTime: at, Transactions: 1})
		if at.Before(now.Add(-time.Hour)) {
			g.delivered(&delivery{commit: at})
		}
	}
	if lag := g.lag(); lag < time.Hour {
		t.Errorf("with an hour on its way the lag is %s", lag)
	}
	g.begin()
	if lag := g.lag(); lag < time.Hour {
		t.Errorf("before the source has said anything the lag is %s", lag)
	}
	g.batch(&sources.Batch{})
	if lag := g.lag(); lag != 0 {
		t.Errorf("with nothing on its way the lag is %s", lag)
	}
}

// TestClockSteps: neither clock's steps make a lag, or hide one.
func TestClockSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauges
		source := time.Now().Add(time.Hour)
		g.read(source)
		g.batch(&sources.Batch{CommitTime: source, Transactions: 1})
		time.Sleep(time.Minute)
		if lag := g.lag(); lag != time.Minute {
			t.Errorf("the lag is %s, of a source whose clock is ahead", lag)
		}
		g.batch(&sources.Batch{CommitTime: source.Add(3 * time.Hour), Transactions: 1})
		g.delivered(&delivery{commit: source.Add(3 * time.Hour)})
		g.batch(&sources.Batch{CommitTime: source.Add(3 * time.Hour), Transactions: 1})
		time.Sleep(2 * time.Minute)
		if lag := g.lag(); lag != 2*time.Minute {
			t.Errorf("the lag is %s after the source's clock has stepped forward", lag)
		}
	})
}
