package replicator

import (
	"testing"
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
	if lag := g.lag(now); lag < time.Hour {
		t.Errorf("with an hour on its way the lag is %s", lag)
	}
	g.begin()
	if lag := g.lag(now); lag < time.Hour {
		t.Errorf("before the source has said anything the lag is %s", lag)
	}
	g.batch(&sources.Batch{})
	if lag := g.lag(now); lag != 0 {
		t.Errorf("with nothing on its way the lag is %s", lag)
	}
}
