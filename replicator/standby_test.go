package replicator

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/sinks"
	"haystream/sinks/ndjson"
)

// A rival has hung when its checkpoint has been seen, time and again, to stay
// the same for a lease's life.
func TestHung(t *testing.T) {
	sink, err := ndjson.New(ndjson.Config{Path: "/dev/null"}, sinks.Options{StateDir: t.TempDir(), Owner: "blog", MaxDeadLetters: 10}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	first, err := builds.LoadState(t.Context(), sink, "blog", "first", time.Now, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{now: time.Now, cfg: &config.Config{Name: "blog"}, sink: sink, owner: "second"}
	now := time.Now()
	look := func(after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := d.hung(t.Context(), now); got != want {
			t.Fatalf("hung is %v", got)
		}
	}
	save := func() {
		t.Helper()
		if _, err := first.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look(0, false)
	look(time.Hour, false) // nothing was saved yet
	save()
	for range 5 {
		look(10*time.Second, false)
		save()
	}
	look(0, false)
	look(14*time.Second, false)
	look(14*time.Second, false)
	look(time.Minute, false) // it may have been the sink, or this daemon, that was away
	look(14*time.Second, false)
	look(14*time.Second, false)
	look(2*time.Second, true)
	save()
	look(time.Second, false)
}
