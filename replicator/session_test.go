package replicator

import (
	"testing"
	"time"

	"haystream/mapping"
)

// TestRefusalsThatEndTheDaemon: a table that is dropped and created again does
// not, one that stays away does.
func TestRefusalsThatEndTheDaemon(t *testing.T) {
	long := time.Now().Add(-2 * tableGrace)
	fits := &mapping.Plan{}
	for _, c := range []struct {
		name   string
		daemon daemon
		plan   *mapping.Plan
		final  bool
	}{
		{"anything at the start", daemon{}, fits, true},
		{"no table at the start", daemon{}, nil, true},
		{"a setting, later", daemon{ran: true}, fits, false},
		{"a table has just gone", daemon{ran: true}, nil, false},
		{"a table is gone for good", daemon{ran: true, unfit: long}, nil, true},
		{"a table has come back, and a setting is wrong", daemon{ran: true, unfit: long}, fits, false},
	} {
		if final := c.daemon.final(c.plan); final != c.final {
			t.Errorf("%s: final is %v", c.name, final)
		}
		if c.plan != nil && c.daemon.ran && !c.daemon.unfit.IsZero() {
			t.Errorf("%s: the time that it had is not given back", c.name)
		}
	}
}
