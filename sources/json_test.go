package sources

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAppendJSON(t *testing.T) {
	tests := []struct {
		kind   Kind
		text   string
		want   string
		nulled bool
	}{
		{Text, "", `""`, false},
		{Text, "plain", `"plain"`, false},
		{Text, "a\"b\\c/d", `"a\"b\\c/d"`, false},
		{Text, "line\r\n\ttab", `"line\r\n\ttab"`, false},
		{Text, "\x00\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\"", false},
		{Text, "žluťoučký 🐎 \u2028", "\"žluťoučký 🐎 \u2028\"", false},
		{Text, "bad \xff\xc3 \"x\" ž", "\"bad \ufffd\ufffd \\\"x\\\" ž\"", false},
		{Text, "true replacement \ufffd\xff", "\"true replacement \ufffd\ufffd\"", false},
		{Keyword, "2b2e…", `"2b2e…"`, false},
		{Inet, "10.0.0.0/8", `"10.0.0.0/8"`, false},
		{Bool, "true", `true`, false},
		{Int, "-9223372036854775808", `-9223372036854775808`, false},
		{Float, "1e+300", `1e+300`, false},
		{Float, "NaN", `null`, true},
		{Float, "-Infinity", `null`, true},
		{Decimal, "123456789012345678901234567890.10", `123456789012345678901234567890.10`, false},
		{Decimal, "-0.5", `-0.5`, false},
		{Decimal, "Infinity", `null`, true},
		{Bytes, "\x00\xff\x10", `"AP8Q"`, false},
		{Bytes, "", `""`, false},
		{Date, "2024-02-29", `"2024-02-29"`, false},
		{Date, "-0043-03-15", `"-0043-03-15"`, false},
		{Date, "infinity", `null`, true},
		{Timestamp, "2024-02-29T01:02:03.000004", `"2024-02-29T01:02:03.000004"`, false},
		{TimestampTZ, "+294276-12-31T23:59:59.999999Z", `"+294276-12-31T23:59:59.999999Z"`, false},
		{TimestampTZ, "-infinity", `null`, true},
		{JSON, `{"a": [1, "x"]}`, `{"a": [1, "x"]}`, false},
		{Array, `[1,null]`, `[1,null]`, false},
		{Range, `{"gte":1,"lt":5}`, `{"gte":1,"lt":5}`, false},
		{Point, `{"lat":1,"lon":2}`, `{"lat":1,"lon":2}`, false},
	}
	for _, tt := range tests {
		got, nulled := AppendJSON([]byte("x"), &Type{Kind: tt.kind}, []byte(tt.text))
		if string(got) != "x"+tt.want || nulled != tt.nulled {
			t.Errorf("kind %d %q: got %s nulled %v, want %s nulled %v", tt.kind, tt.text, got[1:], nulled, tt.want, tt.nulled)
		}
		if !json.Valid(got[1:]) {
			t.Errorf("kind %d %q: %s is not JSON", tt.kind, tt.text, got[1:])
		}
	}
}

func FuzzAppendJSONString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\\n", "\xff\xfe", "ž\xc5", "\u2028<&>", strings.Repeat("x", 100) + "\x00", "\xed\xa0\x80"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		standard, err := json.Marshal(string(text))
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := json.Unmarshal(standard, &want); err != nil {
			t.Fatal(err)
		}
		ours := AppendJSONString(nil, text)
		if err := json.Unmarshal(ours, &got); err != nil {
			t.Fatalf("%q gives %q: %v", text, ours, err)
		}
		if got != want {
			t.Errorf("%q decodes to %q, want %q", text, got, want)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	text := []byte(strings.Repeat("Sphinx of black quartz, \"judge\" my vow. ", 6))
	column := &Type{Kind: Text}
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst, _ = AppendJSON(dst[:0], column, text)
	}
}
