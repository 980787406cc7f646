package replicator

import (
	"strings"
	"testing"

	"haystream/mapping"
	"haystream/replicator/builds"
)

// TestEventsWait: events are passed over by no session, since they are nowhere else.
func TestEventsWait(t *testing.T) {
	wanted := []*mapping.Index{{Alias: "pressed"}, {Alias: "seen"}}
	both := []*builds.Target{{Alias: "pressed"}, {Alias: "seen"}}
	for name, test := range map[string]struct {
		targets []*builds.Target
		held    builds.Held
		want    string
	}{
		"all are taken":            {both, builds.Held{}, ""},
		"the old index takes them": {both, builds.Held{"seen": "its mapping is refused"}, ""},
		"one is refused":           {both[:1], builds.Held{"seen": "its mapping is refused"}, "index seen: its mapping is refused"},
		"one is not there":         {both[1:], builds.Held{}, "index pressed: "},
		"one is not looked at":     {both, builds.Held{"clicks": "the alias is taken"}, "index clicks: the alias is taken"},
	} {
		err := eventsWait(wanted, test.targets, test.held)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
