package sources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestKeepLast takes out members that later ones replace.
func TestKeepLast(t *testing.T) {
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d":%d,`, i, i)
	}
	tests := []struct{ text, want string }{
		{`{"a":1,"b":2}`, `{"a":1,"b":2}`},
		{`{"a": 1, "a": 2}`, `{"a":2}`},
		{` {"a":{"x":1},"b":[{"c":1,"c":{"d":1,"d":2}}, 7 ,"s"],"a":null} `, `{"b":[{"c":{"d":2}},7,"s"],"a":null}`},
		{`{"a":1,"\u0061":2}`, `{"\u0061":2}`},
		{`{"a\"":1,"a":2}`, `{"a\"":1,"a":2}`},
		{`{"a\\":1,"a\\":2}`, `{"a\\":2}`},
		{`{"":1,"":2}`, `{"":2}`},
		{`{"a":"{\"a\":1,\"a\":2}","b":"a"}`, `{"a":"{\"a\":1,\"a\":2}","b":"a"}`},
		{`[]`, `[]`},
		{`{}`, `{}`},
		{`"a"`, `"a"`},
		{`7`, `7`},
		{`[{"a":[{"a":1}]},{"a":2}]`, `[{"a":[{"a":1}]},{"a":2}]`},
		{`{` + many.String() + `"z":1}`, `{` + many.String() + `"z":1}`},
		{`{"k7":[1,2],` + many.String() + `"z":1}`, `{` + many.String() + `"z":1}`},
	}
	for _, tt := range tests {
		if got := string(KeepLast([]byte("before"+tt.text), len("before"))); got != "before"+tt.want {
			t.Errorf("%.100s: got %.100s, want %.100s", tt.text, got, tt.want)
		}
	}
}

// TestKeepLastRandom compares with what decoding into maps gives.
func TestKeepLastRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var value func(depth int) string
	value = func(depth int) string {
		kinds := 6
		if depth > 4 {
			kinds = 2
		}
		switch random.IntN(kinds) {
		case 0:
			return []string{`"x"`, `"\""`, `"a,]}"`, `"\\"`}[random.IntN(4)]
		case 1:
			return []string{"0", "-1.5e3", "true", "null"}[random.IntN(4)]
		case 2, 4:
			var parts []string
			for range random.IntN(4) {
				parts = append(parts, value(depth+1))
			}
			return "[" + strings.Join(parts, ", ") + " ]"
		}
		var parts []string
		for range random.IntN(16) {
			parts = append(parts, []string{`"a"`, `"b"`, `"\u0061"`, `"a b"`, `"{"`, `"c"`, `"d"`, `"e"`}[random.IntN(8)]+" : "+value(depth+1))
		}
		return "{ " + strings.Join(parts, ",") + "}"
	}
	for range 3000 {
		text := value(0)
		var want, got any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		out := KeepLast([]byte(text), 0)
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %s: %v", text, out, err)
		}
		a, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) || members(out) != members(b) {
			t.Fatalf("%s: got %s", text, out)
		}
	}
}

// members counts the colons outside of strings.
func members(text []byte) (n int) {
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			continue
		case ':':
			n++
		}
		i++
	}
	return n
}

// TestKeepLastAllocates wants no memory for JSON without names that come twice.
func TestKeepLastAllocates(t *testing.T) {
	text := []byte(benchJSON)
	if n := testing.AllocsPerRun(100, func() { KeepLast(text, 0) }); pooled && n > 0 {
		t.Errorf("%v allocations", n)
	}
}

const benchJSON = `{"id": 4711, "name": "a person of that name", "tags": ["one", "two", "three"], "address": {"street": "Main Street 7", "city": "Springfield", "zip": "12345"}, "active": true, "score": 12.5, "note": "a longer text that goes on for a while, with \"quotes\" in it"}`

func BenchmarkKeepLast(b *testing.B) {
	text := []byte(benchJSON)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		KeepLast(text, 0)
	}
}
