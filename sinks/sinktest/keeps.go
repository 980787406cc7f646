package sinktest

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"haystream/sinks"
)

// keeps changes an index in place, and fills another one with its documents.
func keeps(t *testing.T, h Harness) {
	s, ctx, alias := open(t, h, name()), t.Context(), name()
	was := spec(alias, alias+"-1", true)
	was.Settings = json.RawMessage(`{"number_of_shards":2,"refresh_interval":"7s","max_result_window":20000}`)
	old := createAs(t, s, was)
	amend(t, h, s, was)
	const count = 2500
	want := map[string]Document{}
	var actions []sinks.Action
	for n := range int64(count) {
		id := fmt.Sprint(n)
		actions = append(actions, index(old, id, 10+n, fmt.Sprintf(`{"n":%d.10,"more":"x"}`, n)))
		if n%2 == 0 {
			actions[len(actions)-1].Routing = []byte("r" + id)
		}
		want[id] = Document{Version: 10 + n, Body: string(actions[len(actions)-1].Body)}
	}
	r := write(t, s)
	r.deliver(actions...)
	r.deliver(index(old, "7", 4000, `{"n":70}`), index(old, "gone", 4001, `{"n":1}`), remove(old, "gone", 4002))
	want["7"] = Document{4000, `{"n":70}`}
	refused := len(want) // documents that are in dead letters
	if r.deliver(reject(old, "lost", 9, "no such key"), reject(old, "5", 9, "no such key")); h.Refused != nil {
		bad := index(old, "word", 9, `{"n":"a word","more":"x"}`)
		bad.Routing = []byte("r")
		r.deliver(bad)
		want["word"] = Document{9, string(bad.Body)}
	}
	refused = len(want) - refused
	if newest, err := s.Newest(ctx, old.Physical); err != nil || h.Copies && newest != 4000 {
		t.Errorf("the newest version is %d, %v", newest, err)
	}

	fresh := spec(alias, alias+"-2", false)
	fresh.Keep, fresh.Mappings = []string{old.Physical}, json.RawMessage(`{"dynamic":"strict","properties":{"n":{"type":"keyword"},"new":{"type":"long"}}}`)
	next := createAs(t, s, fresh)
	r.deliver(index(next, "5", 5000, `{"new":5}`), index(next, "6", 1, `{"new":6}`)) // one is newer than what is copied, one older
	want["5"] = Document{5000, `{"new":5}`}
	room := spec(alias, alias+"-3", false)
	room.Mappings = json.RawMessage(`{"dynamic":"strict","properties":{"n":{"type":"long"}}}`)
	third, more := createAs(t, s, room), room
	more.Keep = []string{old.Physical}
	if refused, err := s.Amend(ctx, third.Physical, room, more); refused != "" || err != nil {
		t.Errorf("fields of another index are refused: %q, %v", refused, err)
	}
	r.deliver(index(third, "k", 1, `{"n":1,"more":"x"}`))
	if got := h.Documents(t, third); got["k"].Version != 1 {
		t.Errorf("a document with fields of another index is not taken: %v", got)
	}
	at, given := "", 0
	for stop := true; ; stop = false {
		halt := fmt.Errorf("enough for now")
		err := s.Lacking(ctx, old.Physical, next.Physical, at, func(docs []sinks.Document, place string) error {
			var copies []sinks.Action
			for _, d := range docs {
				if d.Lost != "" {
					copies = append(copies, reject(next, string(d.ID), d.Version, d.Lost))
					continue
				}
				copies = append(copies, sinks.Action{Target: next, Op: sinks.OpIndex, ID: d.ID, Routing: d.Routing, Version: d.Version, Body: d.Body})
			}
			if given += len(docs); len(docs) > 0 {
				r.deliver(copies...)
			}
			if at = place; stop && given > count/2 {
				return halt
			}
			return nil
		})
		if err == nil && !stop || !h.Copies {
			break
		}
		if err != nil && !stop {
			t.Fatal(err)
		}
	}
	r.close()
	if counts, err := s.DeadLetters(ctx); err != nil || h.Copies && counts[next.Physical] != 1 {
		t.Errorf("dead letters %v, %v, want one that has no document", counts, err)
	}
	if !h.Copies {
		want = map[string]Document{"5": want["5"], "6": {1, `{"new":6}`}}
	}
	if got := h.Documents(t, next); !maps.Equal(got, want) {
		t.Errorf("%d documents after the copy, want %d; document 7 is %v, 5 is %v", len(got), len(want), got["7"], got["5"])
	}
	if h.Copies && given != count+refused {
		t.Errorf("%d documents were found lacking, of %d", given, count+refused)
	}
	for _, physical := range []string{old.Physical, next.Physical, third.Physical} {
		if err := s.Drop(ctx, physical); err != nil {
			t.Fatal(err)
		}
	}
}

// amend adds a field and changes a setting, and expects that what cannot be is refused.
func amend(t *testing.T, h Harness, s sinks.Sink, was sinks.IndexSpec) {
	t.Helper()
	want := was
	want.Meta = json.RawMessage(`{"changed":1}`)
	want.Mappings = json.RawMessage(`{"dynamic":"strict","properties":{"n":{"type":"long"},"more":{"type":"keyword"}}}`)
	want.Settings = json.RawMessage(`{"index":{"number_of_shards":2,"refresh_interval":"8s"}}`)
	for range 2 {
		if refused, err := s.Amend(t.Context(), was.Physical, was, want); refused != "" || err != nil {
			t.Fatalf("amend: refused %q, %v", refused, err)
		}
	}
	if got, err := s.Index(t.Context(), was.Alias); err != nil || !sameJSON(t, got.Meta, want.Meta) {
		t.Errorf("amended it is %+v, %v", got, err)
	}
	if h.Refused == nil {
		return // it takes anything
	}
	for what, change := range map[string]func(*sinks.IndexSpec){
		"another type":   func(i *sinks.IndexSpec) { i.Mappings = json.RawMessage(`{"properties":{"n":{"type":"keyword"}}}`) },
		"another layout": func(i *sinks.IndexSpec) { i.Settings = json.RawMessage(`{"number_of_shards":3}`) },
	} {
		impossible := want
		impossible.Meta = json.RawMessage(`{"changed":2}`)
		change(&impossible)
		if refused, err := s.Amend(t.Context(), was.Physical, want, impossible); refused == "" || err != nil {
			t.Errorf("%s is not refused: %v", what, err)
		}
	}
	if got, err := s.Index(t.Context(), was.Alias); err != nil || !sameJSON(t, got.Meta, want.Meta) {
		t.Errorf("after refusals it is %+v, %v", got, err)
	}
}

// createAs makes an index as it is specified.
func createAs(t *testing.T, s sinks.Sink, spec sinks.IndexSpec) *sinks.Target {
	t.Helper()
	if _, err := s.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return &sinks.Target{Index: spec.Alias, Physical: spec.Physical, WriteAlias: sinks.WriteAlias(spec.Physical)}
}
