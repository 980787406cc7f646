package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzParse: whatever is pushed, there are whole events or one error, and the same once more.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","n":1}`, `[{"id":1},{"id":null}]`, "{}\n{}\n", "{\n\"a\":1}\n", `{"created":1e3}`, `{"created":"2026-11-29"}`, `{"id":"\ud800"}`, `{"id":-0}`,
		`{"a":1,"a":{"id":2}}`, `[`, "\ufeff{}", `{"id":"x","\u0069d":"y"}`, `{"created":"0000-01-01T00:00:00+14:00"}`, `{"id":1.0}`,
	} {
		f.Add([]byte(seed), false, "")
		f.Add([]byte(seed), true, "key")
	}
	f.Fuzz(func(t *testing.T, body []byte, lines bool, key string) {
		parse := func() ([]Event, error) {
			p := &Push{Name: "n", Body: slices.Clone(body), Lines: lines, Key: key, Now: time.Unix(1, 0)}
			return p.Parse()
		}
		events, err := parse()
		if err != nil {
			if wrong, ok := errors.AsType[*ParseError](err); !ok || wrong.Text == "" || len(events) > 0 {
				t.Errorf("%d events and %v", len(events), err)
			}
			return
		}
		again, err := parse()
		if err != nil || len(again) != len(events) {
			t.Fatalf("once more: %d events instead of %d, %v", len(again), len(events), err)
		}
		for i, e := range events {
			var object map[string]json.RawMessage
			switch {
			case e.ID == "" || len(e.ID) > longestID || !utf8.ValidString(e.ID):
				t.Errorf("id %q", e.ID)
			case json.Unmarshal(e.Body, &object) != nil || object == nil || bytes.ContainsAny(e.Body, "\n\r") || !utf8.Valid(e.Body):
				t.Errorf("body %q", e.Body)
			case e.Floats && e.ID != again[i].ID, key != "" && e.Floats == (object["created"] != nil && string(object["created"]) != "null"):
				t.Errorf("id %q, created %q floats: %v", e.ID, e.Created, e.Floats)
			case key != "" && e.ID != again[i].ID:
				t.Errorf("id %q, once more %q", e.ID, again[i].ID)
			}
			if _, err := time.Parse(time.RFC3339Nano, e.Created); err != nil {
				t.Errorf("created %q", e.Created)
			}
		}
	})
}

// A creation floats where a repeat would have the same id and another time.
func TestFloats(t *testing.T) {
	for _, c := range []struct {
		body, key string
		fixed     bool
		want      bool
	}{
		{`{}`, "", false, false},
		{`{"created": "2026-11-29"}`, "", false, false},
		{`{"id": null}`, "", false, false},
		{`{"id": 1}`, "", false, true},
		{`{"id": 1, "created": null}`, "", false, true},
		{`{"id": 1, "created": "2026-11-29"}`, "", false, false},
		{`{}`, "key", false, true},
		{`{"created": 0}`, "key", false, false},
		{`[{"n": 1}]`, "key", false, true},
		{`{}`, "place", true, false},
		{`{"id": null}`, "place", true, false},
		{`{"id": "other"}`, "place", true, true},
	} {
		p := &Push{Name: "n", Body: []byte(c.body), Key: c.key, Fixed: c.fixed, Now: time.Unix(1, 0)}
		events, err := p.Parse()
		if err != nil || len(events) != 1 || events[0].Floats != c.want {
			t.Errorf("%s with the key %q, fixed %v: %+v, %v", c.body, c.key, c.fixed, events, err)
			continue
		}
		f := newFrame(encode(events)[frameHead:])
		if e, err := f.next(); err != nil || e.floats != c.want || string(e.created) != events[0].Created {
			t.Errorf("%s is read from the queue as created %s, floats %v, %v", c.body, e.created, e.floats, err)
		}
	}
}
