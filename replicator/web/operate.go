package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"haystream/internal/conf"
	"haystream/replicator/builds"
	"haystream/replicator/verify"
	"haystream/sinks"
)

// An Operator carries out what people ask for. For use from any goroutine. A method
// returns when it is done, or with an error; nothing was done where that is a RefusedError.
type Operator interface {
	// Pause returns when nothing is read or delivered any more.
	Pause(ctx context.Context) error

	// Resume goes on after Pause.
	Resume(ctx context.Context) error

	// Reindex has an index, by the name of a definition or by its alias, built anew beside the
	// one that serves, and returns when that is sure to happen. merge: its segments are
	// merged before it serves.
	Reindex(ctx context.Context, name string, merge bool) (builds.Reindexing, error)

	// Verify has an index compared with its rows, and returns when it is sure to be begun.
	Verify(ctx context.Context, name string, o verify.Options) (verify.Report, error)

	// Verified is the report of the comparison of an index that is under way, or else of the last one.
	Verified(ctx context.Context, name string) (verify.Report, error)

	// DeadLetters are those that are open, of one index or of all where that is empty.
	DeadLetters(ctx context.Context, index string, most int, after string) (sinks.LettersPage, error)

	// DeadLetter is one with its document.
	DeadLetter(ctx context.Context, key string) (*sinks.Refused, error)

	// Replay sends a dead letter's document again, and returns when the sink has taken or refused it.
	Replay(ctx context.Context, key string) (Replayed, error)

	// DropDeadLetter deletes a dead letter.
	DropDeadLetter(ctx context.Context, key string) error
}

// What can become of a document that is sent again.
const (
	ReplayHeld       = "held"       // the sink has it, and the dead letter is gone
	ReplaySuperseded = "superseded" // a later state of it is there, and the dead letter is gone
	ReplayDropped    = "dropped"    // the ingest pipeline has dropped it, and the dead letter is gone
	ReplayRefused    = "refused"    // again, for Reason
)

// Replayed is what has become of a dead letter.
type Replayed struct {
	Key    string `json:"key"`
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// A RefusedError says why something is not done, with the remedy.
type RefusedError struct {
	Status int // of HTTP
	Text   string
}

func (e *RefusedError) Error() string { return e.Text }

// operateFor is how long a request to an Operator may take: less than an answer may.
const operateFor = 15 * time.Second

// operate answers with what do returns. Parameters other than those that it knows are refused: one that is mistyped would
// otherwise do more, or less, than was meant.
func operate(status int, do func(ctx context.Context, r *http.Request) (any, error), parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name := range r.URL.Query() {
			if !slices.Contains(parameters, name) {
				refuse(w, http.StatusBadRequest, refusal{Error: fmt.Sprintf("there is no parameter %q%s", name, conf.DidYouMean(name, parameters))})
				return
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), operateFor)
		defer cancel()
		answer, err := do(ctx, r)
		if err == nil {
			writeJSON(w, status, answer)
			return
		}
		refused, ok := errors.AsType[*RefusedError](err)
		if !ok {
			refused = &RefusedError{Status: http.StatusServiceUnavailable}
		}
		refuse(w, refused.Status, refusal{Error: err.Error()})
	}
}

// operations adds what an Operator does.
func (s *Server) operations(mux *http.ServeMux, o Operator) {
	mux.HandleFunc("POST /pause", operate(http.StatusOK, func(ctx context.Context, _ *http.Request) (any, error) {
		return pauseAnswer{true}, o.Pause(ctx)
	}))
	mux.HandleFunc("POST /resume", operate(http.StatusOK, func(ctx context.Context, _ *http.Request) (any, error) {
		return pauseAnswer{false}, o.Resume(ctx)
	}))
	mux.HandleFunc("POST /indexes/{name}/reindex", operate(http.StatusAccepted, func(ctx context.Context, r *http.Request) (any, error) {
		merge, err := flagged(r, "force_merge")
		if err != nil {
			return nil, err
		}
		return o.Reindex(ctx, r.PathValue("name"), merge)
	}, "force_merge"))
	mux.HandleFunc("POST /indexes/{name}/verify", operate(http.StatusAccepted, func(ctx context.Context, r *http.Request) (any, error) {
		var options verify.Options
		var err error
		if options.Repair, err = flagged(r, "repair"); err != nil {
			return nil, err
		}
		if text := r.URL.Query().Get("rate"); text != "" {
			if options.Rate, err = strconv.Atoi(text); err != nil || options.Rate < 1 {
				return nil, &RefusedError{Status: http.StatusBadRequest, Text: fmt.Sprintf("rate is %q; say how many rows a second", text)}
			}
		}
		if text := r.URL.Query().Get("sample"); text != "" {
			if options.Sample, err = verify.ParsePercent(text); err != nil {
				return nil, &RefusedError{Status: http.StatusBadRequest, Text: err.Error()}
			}
		}
		return o.Verify(ctx, r.PathValue("name"), options)
	}, "repair", "rate", "sample"))
	mux.HandleFunc("GET /indexes/{name}/verify", operate(http.StatusOK, func(ctx context.Context, r *http.Request) (any, error) {
		return o.Verified(ctx, r.PathValue("name"))
	}))
	deadLetters(mux, o)
}

// Dead letters in a page of a list.
const (
	lettersListed = 100
	lettersMost   = 1000
)

// deadLetters adds what people do about dead letters.
func deadLetters(mux *http.ServeMux, o Operator) {
	mux.HandleFunc("GET /dead-letters", operate(http.StatusOK, func(ctx context.Context, r *http.Request) (any, error) {
		q, most := r.URL.Query(), lettersListed
		if text := q.Get("limit"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > lettersMost {
				return nil, &RefusedError{Status: http.StatusBadRequest, Text: fmt.Sprintf("limit is %q; say how many, from 1 to %d", text, lettersMost)}
			}
			most = n
		}
		return o.DeadLetters(ctx, q.Get("index"), most, q.Get("after"))
	}, "index", "limit", "after"))
	mux.HandleFunc("GET /dead-letters/{key}", operate(http.StatusOK, func(ctx context.Context, r *http.Request) (any, error) {
		return o.DeadLetter(ctx, r.PathValue("key"))
	}))
	mux.HandleFunc("POST /dead-letters/{key}/replay", operate(http.StatusOK, func(ctx context.Context, r *http.Request) (any, error) {
		return o.Replay(ctx, r.PathValue("key"))
	}))
	mux.HandleFunc("POST /dead-letters/{key}/drop", operate(http.StatusOK, func(ctx context.Context, r *http.Request) (any, error) {
		key := r.PathValue("key")
		return Replayed{Key: key, Result: "dropped"}, o.DropDeadLetter(ctx, key)
	}))
}

// flagged reports whether a parameter is true.
func flagged(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return r.URL.Query().Has(name), nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, &RefusedError{Status: http.StatusBadRequest, Text: fmt.Sprintf("%s is %q; say true or false", name, text)}
	}
	return on, nil
}

type pauseAnswer struct {
	Paused bool `json:"paused"`
}

// PausedReason is what a paused pipeline says of itself.
func PausedReason(since time.Time) string {
	return fmt.Sprintf("paused since %s: nothing is read or delivered, and the source keeps its log; `haystream resume` goes on", since.Format(time.RFC3339))
}
