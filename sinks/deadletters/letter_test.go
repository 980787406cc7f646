package deadletters

import (
	"maps"
	"strings"
	"testing"
	"time"

	"haystream/sinks"
)

func TestLetter(t *testing.T) {
	target := &sinks.Target{Index: "notes", Physical: "notes-1"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		name   string
		action sinks.Action
		want   string
	}{
		{
			"refused",
			sinks.Action{Target: target, Op: sinks.OpIndex, Version: 5, ID: []byte("7"), Body: []byte(`{"a":"x"}`)},
			`{"owner":"blog","index":"notes","physical":"notes-1","doc_id":"7","version":5,"op":"index","type":"mapper","reason":"bad \"a\"","time":"2026-01-02T02:04:05Z","body":"{\"a\":\"x\"}"}`,
		},
		{
			"not rendered",
			sinks.Action{Target: target, Op: sinks.OpReject, Version: 5, ID: []byte("7"), Body: []byte("no such key")},
			`{"owner":"blog","index":"notes","physical":"notes-1","doc_id":"7","version":5,"op":"index","type":"not_rendered","reason":"no such key","time":"2026-01-02T02:04:05Z"}`,
		},
		{
			"a delete",
			sinks.Action{Target: target, Op: sinks.OpDelete, Version: 5, ID: []byte("7")},
			`{"owner":"blog","index":"notes","physical":"notes-1","doc_id":"7","version":5,"op":"delete","type":"mapper","reason":"bad \"a\"","time":"2026-01-02T02:04:05Z"}`,
		},
	} {
		if got := string(New("blog", &c.action, "mapper", `bad "a"`, at).JSON()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestLetterIDsAreShortAndDistinct(t *testing.T) {
	if got := ID("notes-1", "7"); got != "notes-1:7" {
		t.Errorf("got %s", got)
	}
	a, b := ID("notes-1", strings.Repeat("a", 511)), ID("notes-1", strings.Repeat("a", 512))
	if len(a) > maxID || len(b) > maxID || a == b {
		t.Errorf("%d and %d bytes, equal: %v", len(a), len(b), a == b)
	}
}

func TestOpen(t *testing.T) {
	key := func(physical, id string) []byte { return AppendKey(nil, physical, []byte(id)) }
	o := NewOpen(2)
	if !o.Empty() || o.Clear(key("a", "1"), 9, false) {
		t.Error("a new set has entries")
	}
	if !o.Add(key("a", "1"), 5, false) || !o.Add(key("b", "x:y"), 5, false) {
		t.Error("the limit is reached too early")
	}
	if o.Add(key("a", "2"), 5, false) {
		t.Error("one more than the limit was taken")
	}
	if !o.Add(key("a", "1"), 7, false) {
		t.Error("a known entry counts again")
	}
	if got, want := o.Counts(), map[string]int64{"a": 1, "b": 1}; !maps.Equal(got, want) {
		t.Errorf("counts %v, want %v", got, want)
	}
	if o.Clear(key("a", "1"), 6, false) {
		t.Error("an earlier version clears the entry")
	}
	if !o.Clear(key("a", "1"), 7, false) || o.Clear(key("a", "1"), 7, false) {
		t.Error("the same version does not clear the entry once")
	}
	// A document that moves is deleted where it was, by the same version.
	if !o.Add(key("a", "1"), 7, false) || o.Clear(key("a", "1"), 7, true) || !o.Clear(key("a", "1"), 8, true) {
		t.Error("not each later delete alone clears the entry")
	}
	if !o.Add(key("a", "1"), 7, true) || !o.Clear(key("a", "1"), 7, true) {
		t.Error("a delete that was refused is not cleared by the same one")
	}
	o.Drop("b")
	if !o.Empty() {
		t.Errorf("left: %v", o.Counts())
	}
}
