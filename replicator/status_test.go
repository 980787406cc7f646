package replicator

import (
	"errors"
	"testing"
	"time"

	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/web"
	"haystream/sinks"
)

// TestTallied: what was done for an index is counted since the process started, over sessions, targets that are
// replaced and periods that are dropped; each counter of /metrics would otherwise fall.
func TestTallied(t *testing.T) {
	definition := &mapping.Index{Renderers: []*mapping.Renderer{{}}}
	definition.Renderers[0].Nulled.Store(3)
	target := func(written int64) *builds.Target {
		made := &builds.Target{Target: &sinks.Target{}, Alias: "notes", Definition: definition}
		made.Written.Store(written)
		return made
	}
	none := map[string]tally{}
	live := target(10)
	live.In("2026.11").Written.Store(5)
	if n := tallied(none, []*builds.Target{live, target(100)})["notes"]; n.written != 115 || n.nulled != 3 {
		t.Errorf("of two targets of one definition: %+v", n)
	}
	live.Forget("2026.11")
	former := tallied(none, []*builds.Target{live})
	if n := former["notes"]; n.written != 15 {
		t.Errorf("after a period was dropped: %+v", n)
	}
	if n := tallied(former, []*builds.Target{target(1)})["notes"]; n.written != 16 || n.nulled != 6 {
		t.Errorf("over two sessions: %+v", n)
	}
	if n := former["notes"]; n.written != 15 {
		t.Errorf("it has changed what was before: %+v", n)
	}
}

// TestMayBePaused: a daemon that waits for a sink from which it could not read yet whether it is paused may be.
func TestMayBePaused(t *testing.T) {
	s := newStatus(nil, "", nil)
	want := func(after string, may bool) {
		t.Helper()
		if got := s.mayBePaused(); got != may {
			t.Errorf("%s, the pipeline may be paused: %t", after, got)
		}
	}
	want("at the start", true)
	s.waiting(web.Starting, errors.New("the sink is away"))
	want("while the sink is away", true)
	s.noted()
	want("since the checkpoint was read", false)
	s.paused(time.Now())
	want("when the checkpoint says so", true)
}
