package replicator

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/quiet"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/sinks"
	"haystream/sinks/ndjson"
	"haystream/sources"
	"haystream/sources/events"
)

// A host is a daemon with a queue of its own, of those that share a checkpoint.
type host struct {
	*daemon
	t *testing.T
}

func newHosts(t *testing.T, owners ...string) []*host {
	t.Helper()
	sink, err := ndjson.New(ndjson.Config{Path: "/dev/null"}, sinks.Options{StateDir: t.TempDir(), Owner: "blog", MaxDeadLetters: 10}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	var all []*host
	for _, owner := range owners {
		queue := events.New(filepath.Join(t.TempDir(), "queue"), []string{"clicks"}, events.Options{MaxBytes: 1 << 20, Log: zerolog.Nop()})
		if err := queue.Open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(queue.Close)
		cfg := &config.Config{Name: "blog"}
		all = append(all, &host{t: t, daemon: &daemon{
			now: time.Now,
			cfg: cfg, sink: sink, owner: owner, queue: queue, source: queue, log: zerolog.Nop(), status: newStatus(cfg, "test", sink), warned: map[string]bool{}, ends: &quiet.Log{},
		}})
	}
	return all
}

func (h *host) push() {
	h.t.Helper()
	if err := h.queue.Append(h.t.Context(), []events.Event{{Name: "clicks", ID: "1", Created: "2026-11-29T10:00:00Z", Body: []byte(`{}`)}}); err != nil {
		h.t.Fatal(err)
	}
}

// delivers saves the checkpoint as this host's, with all of its queue delivered.
func (h *host) delivers() {
	h.t.Helper()
	st := h.load()
	var from sources.Position
	st.View(func(cp *builds.Checkpoint) { from = cp.Position })
	start, err := h.queue.Prepare(h.t.Context(), nil, from)
	if err != nil {
		h.t.Fatal(err)
	}
	end := start.Position
	for h.queue.Stats().Events > 0 {
		out := make(chan *sources.Batch)
		go func() { _ = h.queue.Stream(h.t.Context(), nil, sources.Checkpoint{Position: end}, out) }()
		end = (<-out).Checkpoint.Position
		h.queue.Ack(end)
	}
	st.Update(func(cp *builds.Checkpoint) { cp.Position, cp.Version = end, 1 })
	if _, err := st.Save(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) load() *builds.State {
	h.t.Helper()
	st, err := builds.LoadState(h.t.Context(), h.sink, "blog", h.owner, time.Now, zerolog.Nop())
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

// tries reports whether the host may deliver; where not, it asks if it has something to ask for.
func (h *host) tries() bool {
	h.t.Helper()
	err := h.elsewhere(h.t.Context(), h.load())
	if err != nil && !errors.Is(err, sources.ErrBusy) {
		h.t.Fatal(err)
	}
	return err == nil
}

// A host that stands by with events, or where the database is followed, gets its turn once the other
// one has delivered its own, and the other one stays away from then on.
func TestTurn(t *testing.T) {
	for _, reason := range []string{"events", "database"} {
		t.Run(reason, func(t *testing.T) {
			all := newHosts(t, "first", "second")
			first, second := all[0], all[1]
			now := time.Now()
			give := func(after time.Duration) error {
				now = now.Add(after)
				return first.giveTurn(t.Context(), now)
			}
			first.push()
			first.delivers()
			if second.tries() {
				t.Fatal("the second host delivers beside the first")
			}
			for range 3 { // it has nothing to ask for
				if err := give(turnEvery); err != nil || first.turns.giving != "" {
					t.Fatalf("nobody asks: %v, %q", err, first.turns.giving)
				}
				second.tries()
			}
			if reason == "events" {
				second.push()
			} else {
				second.beside = &daemon{status: newStatus(second.cfg, "test", second.sink)}
				second.beside.status.state = "running"
			}
			second.tries()
			for range 3 { // once only: it may be dead since
				if err := give(turnEvery); err != nil || first.turns.giving != "" {
					t.Fatalf("the asker is not known to be alive: %v, %q", err, first.turns.giving)
				}
			}
			second.tries()
			first.push()
			if err := give(turnEvery); err != nil || first.turns.giving != "second" || first.status.standsBy() == "" {
				t.Fatalf("%v, giving to %q, the door says %q", err, first.turns.giving, first.status.standsBy())
			}
			if err := give(turnDrains / 2); err != nil {
				t.Fatalf("events wait, and the turn is given: %v", err)
			}
			if err := give(turnDrains); err != nil || first.turns.giving != "" || first.status.standsBy() != "" {
				t.Fatalf("not given up: %v, %q", err, first.status.standsBy())
			}
			for range 2 {
				second.tries()
				if err := give(turnEvery); err != nil {
					t.Fatal(err)
				}
			}
			first.delivers()
			if err := give(turnSettles / 2); err != nil {
				t.Fatalf("requests are being answered, and the turn is given: %v", err)
			}
			if err := give(turnSettles); !errors.Is(err, errTurn) {
				t.Fatalf("all is delivered: %v", err)
			}
			if given, err := first.passTo(t.Context(), "second"); !given || err != nil {
				t.Fatal(given, err)
			}
			first.turns.gave = "second"
			if first.tries() || !second.tries() {
				t.Fatal("the turn is not the second host's")
			}
			second.delivers()
			if own, waiting, err := second.queue.Own(second.position()); !own || waiting != 0 || err != nil {
				t.Error(own, waiting, err)
			}
			if own, waiting, err := first.queue.Own(second.position()); own || waiting != 0 || err != nil {
				t.Errorf("the first host's queue is not where it was left: %v, %d, %v", own, waiting, err)
			}
			if first.tries() {
				t.Error("the first host delivers beside the second")
			}
		})
	}
}

func (h *host) position() (position sources.Position) {
	h.load().View(func(cp *builds.Checkpoint) { position = cp.Position })
	return position
}

// An owner that is not one any more gives nothing away, nor does one whose queue is not empty.
func TestTurnIsNotGiven(t *testing.T) {
	all := newHosts(t, "first", "second", "third")
	all[0].push()
	all[0].delivers()
	all[0].push()
	if given, err := all[0].passTo(t.Context(), "second"); given || err != nil {
		t.Error("with events in the queue:", given, err)
	}
	all[0].delivers()
	all[2].delivers()
	if given, err := all[0].passTo(t.Context(), "second"); given || err != nil {
		t.Error("after another one has taken over:", given, err)
	}
	if owner, _, _ := all[0].load().Found(); owner != "third" {
		t.Errorf("the owner is %q", owner)
	}
}
