package sinktest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"haystream/sinks"
)

func checkpoint(t *testing.T, h Harness) {
	pipeline := name()
	a, b := open(t, h, pipeline), open(t, h, pipeline)
	ctx := t.Context()
	load := func(s sinks.Sink) (string, sinks.Token) {
		t.Helper()
		data, token, err := s.LoadCheckpoint(ctx, pipeline)
		if err != nil {
			t.Fatal(err)
		}
		return string(data), token
	}
	save := func(s sinks.Sink, data string, token sinks.Token) sinks.Token {
		t.Helper()
		next, err := s.SaveCheckpoint(ctx, pipeline, []byte(data), token)
		if err != nil || next == "" || next == token {
			t.Fatalf("got token %q after %q, %v", next, token, err)
		}
		return next
	}
	conflict := func(s sinks.Sink, token sinks.Token) {
		t.Helper()
		if _, err := s.SaveCheckpoint(ctx, pipeline, []byte("stolen"), token); !errors.Is(err, sinks.ErrConflict) {
			t.Fatalf("a save with the old token %q: %v", token, err)
		}
	}
	if data, token := load(a); data != "" || token != "" {
		t.Fatalf("before the first save: %q, %q", data, token)
	}
	if err := a.RemoveCheckpoint(ctx, pipeline); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
	first := save(a, `{"position":"0/1"}`, "")
	conflict(b, "")
	second := save(a, `{"position":"0/2"}`, first)
	conflict(a, first)
	conflict(b, first)
	if data, token := load(b); data != `{"position":"0/2"}` || token != second {
		t.Fatalf("got %q, %q, want the second save and %q", data, token, second)
	}
	long := `{"rows":"` + strings.Repeat(`é"\`, 100_000) + `"}`
	third := save(b, long, second)
	conflict(a, second)
	if data, token := load(a); data != long || token != third {
		t.Error("a long checkpoint is not what was saved")
	}
	if err := a.RemoveCheckpoint(ctx, pipeline); err != nil {
		t.Fatal(err)
	}
	if data, token := load(b); data != "" || token != "" {
		t.Errorf("after it was removed: %q, %q", data, token)
	}
	conflict(b, third)
	save(b, "{}", "")
	if err := a.RemoveCheckpoint(ctx, pipeline); err != nil {
		t.Fatal(err)
	}
}

// checkpointRace has many daemons save on the same token, again and again.
func checkpointRace(t *testing.T, h Harness) {
	pipeline := name()
	const daemons, rounds = 4, 10
	all := make([]sinks.Sink, daemons)
	for i := range all {
		all[i] = open(t, h, pipeline)
	}
	var token sinks.Token
	for round := range rounds {
		won := make(chan sinks.Token, daemons)
		var wg sync.WaitGroup
		for i, s := range all {
			wg.Go(func() {
				next, err := s.SaveCheckpoint(t.Context(), pipeline, fmt.Appendf(nil, "%d", i), token)
				switch {
				case err == nil:
					won <- next
				case !errors.Is(err, sinks.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d daemons saved on one token", round, len(won))
		}
		token = <-won
		if _, loaded, err := all[0].LoadCheckpoint(t.Context(), pipeline); err != nil || loaded != token {
			t.Fatalf("round %d: loaded %q, %v, want %q", round, loaded, err, token)
		}
	}
	if err := all[0].RemoveCheckpoint(t.Context(), pipeline); err != nil {
		t.Fatal(err)
	}
}
