package sinktest

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haystream/internal/preflight"
	"haystream/sinks"
)

const meta = `{"table":"public.notes","fields":{"n":{"type":"long"},"a.b":null},"big":12345678901234567890,"text":"é\"\\"}`

func spec(alias, physical string, serve bool) sinks.IndexSpec {
	return sinks.IndexSpec{
		Alias: alias, Physical: physical, Serve: serve, Mappings: json.RawMessage(mappings), Meta: json.RawMessage(meta),
		Settings: json.RawMessage(`{"number_of_shards":1,"index":{"max_result_window":20000}}`),
	}
}

// sameJSON compares as people read it.
func sameJSON(t *testing.T, got, want []byte) bool {
	t.Helper()
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil {
		return false
	}
	return reflect.DeepEqual(a, b)
}

// points expects that a name leads to a physical index.
func points(t *testing.T, s sinks.Sink, name string, want *sinks.Index) {
	t.Helper()
	got, err := s.Index(t.Context(), name)
	switch {
	case err != nil:
		t.Fatal(err)
	case want == nil && got != nil:
		t.Fatalf("%s points to %s", name, got.Physical)
	case want == nil:
	case got == nil:
		t.Fatalf("%s points nowhere", name)
	case got.Physical != want.Physical || got.UUID != want.UUID || got.Alias != name:
		t.Fatalf("%s points to %+v, want %+v", name, got, want)
	case !sameJSON(t, got.Meta, []byte(meta)):
		t.Errorf("meta is %s, want %s", got.Meta, meta)
	}
}

func indexes(t *testing.T, h Harness) {
	pipeline, alias := name(), name()
	s, ctx := open(t, h, pipeline), t.Context()
	first, second := alias+"-1", alias+"-2"
	points(t, s, alias, nil)
	one, err := s.Create(ctx, spec(alias, first, false))
	if err != nil {
		t.Fatal(err)
	}
	if one.UUID == "" {
		t.Error("an index has no UUID")
	}
	points(t, s, alias, nil)
	points(t, s, sinks.WriteAlias(first), one)
	if again, err := s.Create(ctx, spec(alias, first, false)); err != nil || again.UUID != one.UUID {
		t.Errorf("create again: %+v, %v", again, err)
	}
	target := &sinks.Target{Index: alias, Physical: first, WriteAlias: sinks.WriteAlias(first)}
	r := write(t, s)
	r.deliver(index(target, "1", 1, `{"n":1}`))
	r.close()
	for range 2 {
		if err := s.Finish(ctx, first); err != nil {
			t.Fatal(err)
		}
		if err := s.Swap(ctx, alias, first); err != nil {
			t.Fatal(err)
		}
		points(t, s, alias, one)
	}
	expect(t, h, target, map[string]Document{"1": {1, `{"n":1}`}})
	two, err := s.Create(ctx, spec(alias, second, false))
	if err != nil {
		t.Fatal(err)
	}
	if two.UUID == one.UUID {
		t.Error("two indexes have the same UUID")
	}
	points(t, s, alias, one)
	if err := s.Swap(ctx, alias, second); err != nil {
		t.Fatal(err)
	}
	points(t, open(t, h, pipeline), alias, two)
	for range 2 {
		for _, physical := range []string{first, second, alias + "-never"} {
			if err := s.Drop(ctx, physical); err != nil {
				t.Fatal(err)
			}
		}
	}
	points(t, s, alias, nil)
	points(t, s, sinks.WriteAlias(second), nil)
	if err := s.Finish(ctx, first); err == nil {
		t.Error("an index that is gone was finished")
	}
	if err := s.Swap(ctx, alias, first); err == nil {
		t.Error("an alias points to an index that is gone")
	}
}

func serve(t *testing.T, h Harness) {
	alias := name()
	s := open(t, h, name())
	one, err := s.Create(t.Context(), spec(alias, alias+"-1", true))
	if err != nil {
		t.Fatal(err)
	}
	points(t, s, alias, one)
	if _, err := s.Create(t.Context(), spec(alias, alias+"-2", true)); err == nil {
		t.Error("a second index serves beside the first")
	}
	points(t, s, alias, one)
	if err := s.Drop(t.Context(), alias+"-1"); err != nil {
		t.Fatal(err)
	}
}

// standing changes what leads to an index, as somebody's hand would.
func standing(t *testing.T, h Harness) {
	pipeline, alias := name(), name()
	s, ctx := open(t, h, pipeline), t.Context()
	first, second := alias+"-1", alias+"-2"
	is := func(of sinks.Sink, uuid, writes, serves string) {
		t.Helper()
		got, err := of.Standing(ctx, alias, first)
		if err != nil {
			t.Fatal(err)
		}
		if got.UUID != uuid || got.WritesTo != writes || strings.Join(got.Serving, " and ") != serves || got.Blocked != "" {
			t.Errorf("got %+v, want %q, writes to %q, serving %q", got, uuid, writes, serves)
		}
	}
	swap := func(alias, physical string) {
		t.Helper()
		if err := s.Swap(ctx, alias, physical); err != nil {
			t.Fatal(err)
		}
	}
	is(s, "", "", "")
	one, err := s.Create(ctx, spec(alias, first, true))
	if err != nil {
		t.Fatal(err)
	}
	is(s, one.UUID, first, first)
	is(open(t, h, pipeline), one.UUID, first, first)
	is(open(t, h, name()), "", first, first) // another pipeline's
	if _, err := s.Create(ctx, spec(alias, second, false)); err != nil {
		t.Fatal(err)
	}
	is(s, one.UUID, first, first)
	swap(alias, second)
	is(s, one.UUID, first, second)
	h.Point(t, s, sinks.WriteAlias(first), second)
	is(s, one.UUID, second, second)
	h.Point(t, s, sinks.WriteAlias(first), first)
	swap(alias, first)
	is(s, one.UUID, first, first)
	for _, physical := range []string{first, second} {
		if err := s.Drop(ctx, physical); err != nil {
			t.Fatal(err)
		}
	}
	is(s, "", "", "")
}

func made(t *testing.T, h Harness) {
	pipeline, alias := name(), name()
	s, ctx := open(t, h, pipeline), t.Context()
	lists := func(of sinks.Sink, want ...string) {
		t.Helper()
		made, err := of.Made(ctx, alias)
		var got []string
		if all, err := of.Made(ctx, ""); err != nil {
			t.Error(err)
		} else {
			for _, index := range made {
				if !slices.ContainsFunc(all, func(i *sinks.Index) bool { return i.Physical == index.Physical && i.Alias == alias }) {
					t.Errorf("%s is not among all that were made", index.Physical)
				}
			}
		}
		for _, index := range made {
			got = append(got, index.Physical)
			if index.Alias != alias || index.UUID == "" || !sameJSON(t, index.Meta, spec(alias, "", false).Meta) {
				t.Errorf("made %+v", index)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("made %v, %v, want %v", got, err, want)
		}
	}
	lists(s)
	first, second := alias+"-20260102-030405-678", alias+"-20260102-030406-678"
	all := []string{first, second, alias + "-1", alias + "-other-20260102-030405-678"}
	for _, physical := range all {
		if _, err := s.Create(ctx, spec(alias, physical, false)); err != nil {
			t.Fatal(err)
		}
	}
	lists(s, first, second)
	lists(open(t, h, name()))
	h.Point(t, s, sinks.WriteAlias(second), first)
	lists(s, first)
	for _, physical := range all {
		if err := s.Drop(ctx, physical); err != nil {
			t.Fatal(err)
		}
	}
	lists(s)
}

func foreign(t *testing.T, h Harness) {
	alias := name()
	theirs, ours := open(t, h, name()), open(t, h, name())
	target := create(t, theirs, alias)
	isForeign := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, sinks.ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := t.Context()
	_, err := ours.Index(ctx, alias)
	isForeign("look at it", err)
	_, err = ours.Index(ctx, target.Physical)
	isForeign("take an index for an alias", err)
	_, err = ours.Create(ctx, spec(alias, target.Physical, false))
	isForeign("create it", err)
	_, err = ours.Create(ctx, spec(alias, alias+"-2", true))
	isForeign("serve beside it", err)
	isForeign("swap its alias", ours.Swap(ctx, alias, target.Physical))
	isForeign("drop it", ours.Drop(ctx, target.Physical))
	isForeign("finish it", ours.Finish(ctx, target.Physical))
	findings, err := ours.Check(ctx, []sinks.IndexSpec{{Alias: alias}})
	if bad := preflight.Errors(findings); err != nil || len(bad) != 1 || bad[0].Subject != "index "+alias {
		t.Errorf("a check finds %v, %v", findings, err)
	}
	if got, err := theirs.Index(ctx, alias); err != nil || got == nil || got.Physical != target.Physical {
		t.Errorf("afterwards its owner finds %+v, %v", got, err)
	}
}
