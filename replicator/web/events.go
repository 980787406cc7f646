package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"haystream/mapping"
	"haystream/sources/events"
)

// Events are where events go. For use from any goroutine.
type Events interface {
	// Names are those that there are definitions of.
	Names() []string

	// Append returns when the events are on disk, all of them, or an error and none.
	Append(ctx context.Context, batch []events.Event) error

	// StandsBy says which other daemon delivers events; empty while this one may.
	StandsBy() string
}

const (
	// heldEvents is what bodies of requests that are being answered may have together. What is
	// made of a body is about as large again, twice.
	heldEvents = 12 << 20

	// retryAfter is for clients that are to try again, in seconds.
	retryAfter = "1"
)

// An eventDoor answers POST /events/{name}.
type eventDoor struct {
	events Events
	bodies *semaphore.Weighted

	invalid, standby, busy atomic.Int64 // events, or requests whose events were not read, that were refused
}

func newEventDoor(e Events) *eventDoor {
	return &eventDoor{events: e, bodies: semaphore.NewWeighted(heldEvents)}
}

// A refusal is the answer to a request that is not granted.
type refusal struct {
	Error string `json:"error"`
	Event *int   `json:"event,omitempty"` // the place of the one at fault, from 0
	Line  int    `json:"line,omitempty"`
}

// ServeHTTP implements http.Handler.
func (d *eventDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if d.events == nil || !slices.Contains(d.events.Names(), name) {
		var names []string
		if d.events != nil {
			names = d.events.Names()
		}
		refuse(w, http.StatusNotFound, refusal{Error: mapping.UnknownEvent(name, names)})
		return
	}
	lines, ok := mediaType(r)
	if !ok {
		refuse(w, http.StatusUnsupportedMediaType, refusal{Error: "send Content-Type: application/json, or application/x-ndjson for an event on each line, and the body as it is, without Content-Encoding"})
		return
	}
	if why := d.events.StandsBy(); why != "" {
		d.standby.Add(1)
		later(w, http.StatusServiceUnavailable, "5", refusal{Error: why})
		return
	}
	size := r.ContentLength
	if size < 0 {
		size = events.MaxPush
	}
	if size > events.MaxPush {
		refuse(w, http.StatusRequestEntityTooLarge, refusal{Error: tooLarge})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	if d.bodies.Acquire(ctx, size) != nil {
		d.busy.Add(1)
		later(w, http.StatusServiceUnavailable, retryAfter, refusal{Error: "too many large requests are being answered"})
		return
	}
	defer d.bodies.Release(size)
	body, err := readBody(w, r, size)
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			refuse(w, http.StatusRequestEntityTooLarge, refusal{Error: tooLarge})
			return
		}
		refuse(w, http.StatusBadRequest, refusal{Error: "the body does not come: " + err.Error()})
		return
	}
	d.push(w, r, events.Push{Name: name, Body: body, Lines: lines, Key: r.Header.Get("Idempotency-Key"), Now: time.Now()})
}

const tooLarge = "a request may have 8 MiB; push the events in several"

func readBody(w http.ResponseWriter, r *http.Request, size int64) ([]byte, error) {
	in := http.MaxBytesReader(w, r.Body, events.MaxPush)
	if r.ContentLength < 0 {
		return io.ReadAll(in)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(in, body)
	return body, err
}

// push answers when the events are on disk.
func (d *eventDoor) push(w http.ResponseWriter, r *http.Request, p events.Push) {
	batch, err := p.Parse()
	if err != nil {
		d.invalid.Add(1)
		answer := refusal{Error: err.Error()}
		if wrong, ok := errors.AsType[*events.ParseError](err); ok && wrong.Event >= 0 {
			answer.Event, answer.Line = &wrong.Event, wrong.Line
		}
		refuse(w, http.StatusBadRequest, answer)
		return
	}
	switch err := d.events.Append(r.Context(), batch); {
	case errors.Is(err, events.ErrFull):
		later(w, http.StatusTooManyRequests, retryAfter, refusal{Error: err.Error() + "; push again later, or raise limits.max_event_queue"})
	case err != nil:
		later(w, http.StatusServiceUnavailable, retryAfter, refusal{Error: err.Error() + "; it is not known to be stored: push again, with the same ids"})
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(appendIDs(make([]byte, 0, 16+48*len(batch)), batch)) // the client went away
	}
}

func appendIDs(out []byte, batch []events.Event) []byte {
	out = append(out, `{"ids":[`...)
	for i := range batch {
		if i > 0 {
			out = append(out, ',')
		}
		id, _ := json.Marshal(batch[i].ID) // a text encodes
		out = append(out, id...)
	}
	return append(out, "]}\n"...)
}

// mediaType reports whether the body is of lines; not ok: it is of a type that is not taken. A page
// of another site can send nothing of these types without being allowed to.
func mediaType(r *http.Request) (lines, ok bool) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return false, false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return false, false
	}
	switch kind {
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return true, true
	case "application/json":
		return false, true
	}
	return false, strings.HasSuffix(kind, "+json")
}

// refuse answers with what is wrong.
func refuse(w http.ResponseWriter, status int, why refusal) { writeJSON(w, status, why) }

// later is refuse, for what may come right.
func later(w http.ResponseWriter, status int, after string, why refusal) {
	w.Header().Set("Retry-After", after)
	refuse(w, status, why)
}
