package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"haystream/sources"
)

// MaxPush is how many bytes the body of a Push may have.
const MaxPush = 8 << 20

// A Push is what a client pushes at a time.
type Push struct {
	Name  string
	Body  []byte // is kept, and changed
	Lines bool   // Body has an event on each line; else that is found out
	Key   string // the ids of events that have none begin with it; empty: they get new ones
	Now   time.Time
	Fixed bool // who pushes this Key once more gives the same Now
}

// A ParseError says which event of a Push is not sound. Nothing of the Push is to be kept.
type ParseError struct {
	Event int // its place among them, from 0; -1 where it is one of one
	Line  int // in the body, from 1; 0 where the body has no lines of its own
	Text  string
}

func (e *ParseError) Error() string {
	switch {
	case e.Line > 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Text)
	case e.Event >= 0:
		return fmt.Sprintf("event %d: %s", e.Event, e.Text)
	}
	return e.Text
}

// longestID is what a sink takes for a document's id, in bytes.
const longestID = 512

// Parse reads one event, an array of them, or one on each line. The error is a ParseError.
func (p *Push) Parse() ([]Event, error) {
	body := bytes.TrimSpace(p.Body)
	switch {
	case !utf8.Valid(body):
		return nil, &ParseError{Event: -1, Text: "it is not UTF-8"}
	case len(body) == 0:
		return nil, &ParseError{Event: -1, Text: "it is empty; push a JSON object, an array of them, or one on each line"}
	case p.Lines || startsWithLine(body):
		return p.lines()
	}
	if err := valid(body); err != nil {
		return nil, &ParseError{Event: -1, Text: err.Error()}
	}
	if body[0] != '[' {
		e, err := p.event(body, p.Key)
		if err != nil {
			return nil, &ParseError{Event: -1, Text: err.Error()}
		}
		return []Event{e}, nil
	}
	var events []Event
	for w := sources.WalkJSON(body); w.Next(); {
		e, err := p.event(w.Value(), p.keyOf(len(events)))
		if err != nil {
			return nil, &ParseError{Event: len(events), Text: err.Error()}
		}
		events = append(events, e)
	}
	return events, nil
}

// startsWithLine reports whether the first line is an object of its own, and more follows.
func startsWithLine(body []byte) bool {
	line, rest, _ := bytes.Cut(body, []byte("\n"))
	return body[0] == '{' && len(rest) > 0 && json.Valid(line)
}

func (p *Push) lines() ([]Event, error) {
	events := make([]Event, 0, bytes.Count(p.Body, []byte("\n"))+1)
	rest, more := p.Body, true
	for n := 1; more; n++ {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		err := valid(line)
		var e Event
		if err == nil {
			e, err = p.event(line, p.keyOf(len(events)))
		}
		if err != nil {
			return nil, &ParseError{Event: len(events), Line: n, Text: err.Error()}
		}
		events = append(events, e)
	}
	return events, nil
}

// keyOf is the id of the event at a place.
func (p *Push) keyOf(place int) string {
	if p.Key == "" {
		return ""
	}
	return p.Key + ":" + strconv.Itoa(place)
}

// valid says where a text is not JSON.
func valid(text []byte) error {
	if json.Valid(text) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is not JSON: %w (byte %d)", syntax, syntax.Offset)
	}
	return fmt.Errorf("it is not JSON: %w", err)
}

// event makes an event of a JSON text, which is valid. id is for one that has none.
func (p *Push) event(text []byte, id string) (e Event, err error) {
	if text[0] != '{' {
		return e, errors.New("an event is a JSON object, such as {\"action\": \"signed_up\"}")
	}
	e = Event{Name: p.Name, ID: id}
	var created []byte
	for w := sources.WalkJSON(text); w.Next(); { // the last of a name counts
		switch string(w.Name()) {
		case `"id"`:
			if e.ID, err = idOf(w.Value(), id); err != nil {
				return e, err
			}
		case `"created"`:
			created = w.Value()
		}
	}
	if e.Created, err = createdOf(created, p.Now); err != nil {
		return e, err
	}
	e.Floats = (created == nil || string(created) == "null") && e.ID != "" && (e.ID != id || !p.Fixed)
	if e.ID == "" {
		e.ID = newID()
	}
	if len(e.ID) > longestID {
		return e, fmt.Errorf("its id has %d bytes; there may be %d at most", len(e.ID), longestID)
	}
	if !utf8.ValidString(e.ID) { // of a header
		return e, errors.New("its id is not UTF-8")
	}
	if bytes.ContainsAny(text, "\n\r") {
		var flat bytes.Buffer
		if err := json.Compact(&flat, text); err != nil {
			return e, err
		}
		text = flat.Bytes()
	}
	e.Body = sources.KeepLast(text, 0)
	return e, nil
}

// newID is one that no event has, and that sorts behind those made before in this process.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// idOf is a member as an id: a text, or a whole number; null is none.
func idOf(value []byte, otherwise string) (string, error) {
	switch {
	case string(value) == "null":
		return otherwise, nil
	case value[0] == '"':
		var id string
		if err := json.Unmarshal(value, &id); err != nil {
			return "", err
		}
		if id == "" {
			return "", errors.New("its id is empty; leave it out, and one is made")
		}
		return id, nil
	case !bytes.ContainsAny(value, ".eE{[tf"):
		return string(value), nil
	}
	return "", errors.New("its id is neither a text nor a whole number")
}

// timeForms are those of created.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly}

// createdOf is a member as a sources.TimestampTZ: a text with date and time, without a zone in UTC,
// or milliseconds since 1970; what is not there, or null, is now.
func createdOf(value []byte, now time.Time) (string, error) {
	at := now
	switch {
	case value == nil, string(value) == "null":
	case value[0] == '"':
		var text string
		err := json.Unmarshal(value, &text)
		if err != nil {
			return "", err
		}
		if at, err = parseTime(text); err != nil {
			return "", err
		}
	default:
		ms, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || ms < firstTime.UnixMilli() || ms > lastTime.UnixMilli() {
			return "", fmt.Errorf("its created is %s; write it like \"2026-11-29T10:00:00Z\", or in milliseconds since 1970", value)
		}
		at = time.UnixMilli(ms)
	}
	return at.UTC().Format("2006-01-02T15:04:05.999999Z"), nil
}

// Times whose year has four digits.
var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
)

func parseTime(text string) (time.Time, error) {
	for _, form := range timeForms {
		at, err := time.Parse(form, text)
		if at = at.UTC(); err == nil && !at.Before(firstTime) && !at.After(lastTime) {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("its created is %q; write it like 2026-11-29T10:00:00Z", text)
}
