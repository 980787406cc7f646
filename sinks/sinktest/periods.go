package sinktest

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"haystream/sinks"
)

// periods makes indexes for periods beside one, which are served, changed and dropped
// with it, and copies from them.
func periods(t *testing.T, h Harness) {
	s, ctx, alias := open(t, h, name()), t.Context(), name()
	old := createAs(t, s, spec(alias, alias+"-20260102-030405-678", true))
	begin := func(of *sinks.Target, period string, serve bool) *sinks.Target {
		t.Helper()
		part := of.In(period)
		for range 2 {
			createAs(t, s, spec(alias, part.Physical, serve))
		}
		return part
	}
	stands := func(target *sinks.Target, serving []string, periods ...string) {
		t.Helper()
		got, err := s.Standing(ctx, alias, target.Physical)
		if err != nil || !slices.Equal(got.Periods, periods) || !slices.Equal(got.Serving, serving) {
			t.Errorf("%s: %+v, %v; want the periods %v, and %v to serve", target.Physical, got, err, periods, serving)
		}
	}
	june, july := begin(old, "2026.06", true), begin(old, "2026.07", true)
	stands(old, []string{old.Physical}, "2026.06", "2026.07")
	if got, err := s.Index(ctx, alias); err != nil || got == nil || got.Physical != old.Physical {
		t.Errorf("the alias leads to %+v, %v", got, err)
	}
	if made, err := s.Made(ctx, alias); err != nil || len(made) != 1 || made[0].Physical != old.Physical {
		t.Errorf("made %v, %v", made, err)
	}
	r := write(t, s)
	r.deliver(index(old, "none", 1, `{"n":0}`), index(june, "a", 2, `{"n":6}`), index(july, "b", 3, `{"n":7}`), index(july, "c", 9, `{"n":8}`))
	if err := s.Finish(ctx, old.Physical); err != nil {
		t.Fatal(err)
	}
	if newest, err := s.Newest(ctx, old.Physical); err != nil || h.Copies && newest != 9 {
		t.Errorf("the newest version is %d, %v", newest, err)
	}
	want := spec(alias, old.Physical, true)
	want.Mappings, want.Meta = json.RawMessage(`{"dynamic":"strict","properties":{"n":{"type":"long"},"more":{"type":"keyword"}}}`), json.RawMessage(`{"changed":1}`)
	if refused, err := s.Amend(ctx, old.Physical, spec(alias, old.Physical, true), want); refused != "" || err != nil {
		t.Errorf("amend: refused %q, %v", refused, err)
	}
	r.deliver(index(june, "more", 4, `{"n":6,"more":"x"}`))
	letters(t, s, june, 0)

	next := createAs(t, s, spec(alias, alias+"-20260102-030406-678", false))
	later := begin(next, "2026", false)
	r.deliver(index(later, "b", 20, `{"n":70}`), index(later, "c", 5, `{"n":5}`))
	found := map[string]int64{}
	at := ""
	err := s.Lacking(ctx, old.Physical, next.Physical, at, func(docs []sinks.Document, place string) error {
		for _, d := range docs {
			found[string(d.ID)] = d.Version
			if d.Older != (string(d.ID) == "c") {
				t.Errorf("document %s is there in an older version: %v", d.ID, d.Older)
			}
		}
		at = place
		return nil
	})
	if err != nil || h.Copies && !maps.Equal(found, map[string]int64{"none": 1, "a": 2, "more": 4, "c": 9}) {
		t.Errorf("found lacking: %v, %v", found, err)
	}
	err = s.Lacking(ctx, old.Physical, next.Physical, at, func(docs []sinks.Document, _ string) error {
		if len(docs) > 0 && string(docs[0].ID) != "b" && string(docs[0].ID) != "c" {
			t.Errorf("document %s is found again", docs[0].ID)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Swap(ctx, alias, next.Physical); err != nil {
		t.Fatal(err)
	}
	stands(next, []string{next.Physical}, "2026")
	if err := s.Drop(ctx, june.Physical); err != nil {
		t.Fatal(err)
	}
	stands(old, []string{next.Physical}, "2026.07")
	r.close()
	if err := s.Drop(ctx, old.Physical); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []*sinks.Target{old, june, july} {
		if got, err := s.Standing(ctx, alias, gone.Physical); err != nil || got.UUID != "" {
			t.Errorf("%s is there: %+v, %v", gone.Physical, got, err)
		}
	}
	stands(next, []string{next.Physical}, "2026")
	if err := s.Drop(ctx, next.Physical); err != nil {
		t.Fatal(err)
	}
	stands(next, nil)
}
