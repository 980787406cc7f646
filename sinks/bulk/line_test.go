package bulk

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"haystream/sinks"
)

func TestLines(t *testing.T) {
	plain := &sinks.Target{WriteAlias: "notes-1-write"}
	piped := &sinks.Target{WriteAlias: "notes-1-write", Pipeline: "geo"}
	for _, c := range []struct {
		name   string
		action sinks.Action
		want   string
	}{
		{
			"index",
			sinks.Action{Target: plain, Op: sinks.OpIndex, Version: 12, ID: []byte("7"), Body: []byte(`{"a":1}`)},
			`{"index":{"_index":"notes-1-write","_id":"7","version":12,"version_type":"external_gte","require_alias":true}}` + "\n" + `{"a":1}` + "\n",
		},
		{
			"delete",
			sinks.Action{Target: plain, Op: sinks.OpDelete, Version: 13, ID: []byte("7")},
			`{"delete":{"_index":"notes-1-write","_id":"7","version":13,"version_type":"external_gte","require_alias":true}}` + "\n",
		},
		{
			"routing",
			sinks.Action{Target: plain, Op: sinks.OpDelete, Version: 13, ID: []byte("7"), Routing: []byte("u1")},
			`{"delete":{"_index":"notes-1-write","_id":"7","version":13,"version_type":"external_gte","require_alias":true,"routing":"u1"}}` + "\n",
		},
		{
			"pipeline",
			sinks.Action{Target: piped, Op: sinks.OpIndex, Version: 1, ID: []byte("7"), Body: []byte(`{}`)},
			`{"index":{"_index":"notes-1-write","_id":"7","version":1,"version_type":"external_gte","require_alias":true,"pipeline":"geo"}}` + "\n{}\n",
		},
		{
			"a delete passes no pipeline",
			sinks.Action{Target: piped, Op: sinks.OpDelete, Version: 1, ID: []byte("7")},
			`{"delete":{"_index":"notes-1-write","_id":"7","version":1,"version_type":"external_gte","require_alias":true}}` + "\n",
		},
		{
			"an id that needs escapes",
			sinks.Action{Target: plain, Op: sinks.OpDelete, Version: 1, ID: []byte("a\"\\\n\u2028é\x7f")},
			`{"delete":{"_index":"notes-1-write","_id":"a\"\\\u000a` + "\u2028é\x7f" + `","version":1,"version_type":"external_gte","require_alias":true}}` + "\n",
		},
	} {
		if got := string(AppendAction(nil, &c.action)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\"\\\u2028\U0001f600")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		var back string
		if err := json.Unmarshal(AppendString(nil, text), &back); err != nil || back != text {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	})
}

func BenchmarkAppendLine(b *testing.B) {
	a := &sinks.Action{Target: &sinks.Target{WriteAlias: "notes-20260101-120000-write"}, Op: sinks.OpIndex, Version: 1767225600000000, ID: []byte("1234567")}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendLine(dst[:0], a)
	}
}
