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
			case key != "" && e.ID != again[i].ID:
				t.Errorf("id %q, once more %q", e.ID, again[i].ID)
			}
			if _, err := time.Parse(time.RFC3339Nano, e.Created); err != nil {
				t.Errorf("created %q", e.Created)
			}
		}
	})
}
