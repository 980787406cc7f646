package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/quiet"
	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/replicator/joins"
	"haystream/sinks"
	"haystream/sinks/ndjson"
	"haystream/sources"
)

// TestAnswers: what ends a session decides whether the next one follows at once, after
// a pause, or not at all, and what the checkpoint says of indexes then.
func TestAnswers(t *testing.T) {
	refused := func(final bool) error { return &inspect.Refusal{Final: final} }
	for name, test := range map[string]struct {
		err      error
		ran      bool   // the daemon has replicated before
		next     answer // what follows
		stops    bool   // nothing does
		stale    string // the index that has to be built anew
		position string // that the next session begins at
	}{
		"a connection broke":                       {err: errors.New("reset"), ran: true, next: later, position: "p"},
		"rows are stored otherwise":                {err: &joins.RebuildError{Aliases: []string{"notes"}}, next: again, stale: "notes", position: "p"},
		"the log left out a value":                 {err: &incompleteError{&mapping.IncompleteError{Table: "s.t"}, "tags"}, next: again, stale: "tags", position: "p"},
		"a physical index is gone":                 {err: &builds.LostError{Alias: "notes"}, next: again, position: "p"},
		"what was read is stale":                   {err: errStale, next: again, position: "p"},
		"a table has changed":                      {err: fmt.Errorf("stream: %w", sources.ErrSchemaChanged), next: again, position: "p"},
		"the log does not continue":                {err: fmt.Errorf("prepare: %w", sources.ErrPositionLost), next: again, stale: "notes tags"},
		"another server has taken over":            {err: fmt.Errorf("prepare: %w", errTakenOver), next: again, position: "p"},
		"and its log is read":                      {err: fmt.Errorf("prepare: %w", errDistrusted), next: again, stale: "notes tags", position: "p"},
		"definitions are refused":                  {err: refused(true), ran: true, next: later, stops: true, position: "p"},
		"something is refused that may come right": {err: refused(false), next: later, position: "p"},
		"the source is not set up, at first":       {err: sources.ErrConfig, next: later, stops: true, position: "p"},
		"the source is not set up any more":        {err: sources.ErrConfig, ran: true, next: later, position: "p"},
		"an index is somebody else's, at first":    {err: sinks.ErrForeign, next: later, stops: true, position: "p"},
		"an index has become somebody else's":      {err: sinks.ErrForeign, ran: true, next: later, position: "p"},
		"too many dead letters":                    {err: sinks.ErrTooManyDeadLetters, ran: true, next: later, stops: true, position: "p"},
		"a newer program's checkpoint":             {err: builds.ErrNewer, ran: true, next: later, stops: true, position: "p"},
		"a newer program's row store":              {err: rowstore.ErrNewer, ran: true, next: later, stops: true, position: "p"},
		"the row store's volume is full":           {err: rowstore.ErrFull, ran: true, next: later, position: "p"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.New()
			cfg.Name, cfg.State.Path = "blog", t.TempDir()
			sink, err := ndjson.New(ndjson.Config{Path: "/dev/null"}, sinks.Options{StateDir: cfg.State.Path, Owner: "blog", MaxDeadLetters: 10}, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			st, err := builds.LoadState(t.Context(), sink, "blog", "me", time.Now, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			live := `{"live": {"physical": "%s-1", "definition": {}, "tables": {}}}`
			before := fmt.Sprintf(`{"position": "p", "version": 5, "indexes": {"notes": `+live+`, "tags": `+live+`}}`, "notes", "tags")
			st.Update(func(cp *builds.Checkpoint) { err = json.Unmarshal([]byte(before), cp) })
			if _, saveErr := st.Save(t.Context()); err != nil || saveErr != nil {
				t.Fatal(err, saveErr)
			}
			d := &daemon{now: time.Now, cfg: cfg, sink: sink, owner: "me", log: zerolog.Nop(), status: newStatus(cfg, "test", sink), warned: map[string]bool{}, ends: &quiet.Log{}, ran: test.ran}
			next, stop := d.answer(t.Context(), test.err)
			if next != test.next || (stop != nil) != test.stops {
				t.Errorf("next %d, stop %v; want %d, %v", next, stop, test.next, test.stops)
			}
			if stale, position := staleIn(t.Context(), t, sink); stale != test.stale || position != test.position {
				t.Errorf("stale are %q from position %q, want %q from %q", stale, position, test.stale, test.position)
			}
		})
	}
}

// staleIn is which indexes have to be built anew, and the position.
func staleIn(ctx context.Context, t *testing.T, sink sinks.Checkpoints) (stale, position string) {
	t.Helper()
	data, _, err := sink.LoadCheckpoint(ctx, "blog")
	if err != nil {
		t.Fatal(err)
	}
	var cp struct {
		Position string
		Indexes  map[string]struct{ Stale *string }
	}
	if err := json.Unmarshal(data, &cp); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"notes", "tags"} {
		if cp.Indexes[alias].Stale != nil {
			stale += " " + alias
		}
	}
	if stale != "" {
		stale = stale[1:]
	}
	return stale, cp.Position
}
