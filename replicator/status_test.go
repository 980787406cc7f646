package replicator

import (
	"testing"

	"haystream/mapping"
	"haystream/replicator/builds"
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
