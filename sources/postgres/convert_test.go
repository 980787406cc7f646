package postgres

import (
	"encoding/json"
	"testing"

	"haystream/sources"
)

// textRegistry has the types that the tests of text alone use.
func textRegistry() *typeRegistry {
	r := &typeRegistry{types: map[uint32]*catalogType{}}
	for oid, name := range []string{"", "bool", "int4", "text", "numeric", "timestamptz", "uuid", "bytea", "float8", "date", "timestamp", "json", "point", "char"} {
		r.types[uint32(oid)] = &catalogType{builtin: true, name: name, sql: name, class: "b", delim: ','}
	}
	r.types[20] = &catalogType{sql: "int4[]", class: "b", category: "A", elem: 2}
	r.types[21] = &catalogType{sql: "text[]", class: "b", category: "A", elem: 3}
	r.types[22] = &catalogType{sql: "daterange", class: "r", elem: 9, delim: ','}
	r.types[23] = &catalogType{sql: "datemultirange", class: "m", elem: 22, delim: ','}
	r.types[24] = &catalogType{
		sql: "person", class: "c", fields: []string{"name", "born", "tags"},
		fieldTypes: []uint32{3, 9, 21}, fieldTypmods: []int32{-1, -1, -1}, delim: ',',
	}
	r.types[25] = &catalogType{name: "hstore", sql: "hstore", class: "b", delim: ','}
	r.types[26] = &catalogType{name: "int2vector", sql: "int2vector", class: "b", elem: 2, delim: ','}
	r.types[27] = &catalogType{name: "geometry", sql: "geometry", class: "b", delim: ','}
	r.types[28] = &catalogType{sql: "person[]", class: "b", category: "A", elem: 24}
	return r
}

func textType(t testing.TB, sql string, typmod int32) columnType {
	t.Helper()
	r := textRegistry()
	for oid, typ := range r.types {
		if typ.sql == sql {
			c, err := r.resolve(oid, typmod)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatalf("no type %s", sql)
	return columnType{}
}

// TestCanonicalText covers what the JSON of TestTypes cannot show: text that
// renders as null, raw bytes, and types that no server here has.
func TestCanonicalText(t *testing.T) {
	const pointTypmod = 1 << 2
	tests := []struct {
		sql        string
		typmod     int32
		text, want string
	}{
		{"float8", -1, "NaN", "NaN"},
		{"numeric", -1, "-Infinity", "-Infinity"},
		{"date", -1, "-infinity", "-infinity"},
		{"timestamp", -1, "infinity", "infinity"},
		{"timestamptz", -1, "infinity", "infinity"},
		{"timestamptz", -1, "0044-03-15 12:00:00.5+00 BC", "-0043-03-15T12:00:00.5Z"},
		{"bytea", -1, `\x00ff0a`, "\x00\xff\n"},
		{"char", -1, "\xff", `\377`},
		{"char", -1, `\377`, `\377`},
		{"json", -1, "{\r\n\"a\":\n1}", `{  "a": 1}`},
		{"geometry", -1, "0101000000000000000000F03F0000000000000040", `{"type":"Point","coordinates":[1,2]}`},
		{"geometry", -1, "0101000020110F0000000000000000F03F0000000000000040", `{"type":"Point","coordinates":[1,2]}` + "\x000101000020110F0000\x00"},
		{"geometry", 4326 << 8, "0101000020E6100000000000000000F03F0000000000000040", `{"type":"Point","coordinates":[1,2]}`},
		{"geometry", -1, "010100008000000000000000C0000000000000F83F0000000000002440", `{"type":"Point","coordinates":[-2,1.5,10]}`},
		{"geometry", -1, "010100004000000000000000C0000000000000F83F0000000000002440", `{"type":"Point","coordinates":[-2,1.5]}` + "\x00010100004000000000000000C0000000000000F83F0000000000002440\x00"},
		{"geometry", -1, "01010000C0000000000000F03F000000000000004000000000000008400000000000001040", `{"type":"Point","coordinates":[1,2,3]}` + "\x0001010000C0000000000000F03F000000000000004000000000000008400000000000001040\x00"},
		{"geometry", -1, "0101000000000000000000F87F000000000000F87F", "null\x000101000000000000000000F87F000000000000F87F\x00"},
		{"geometry", -1, "010200000002000000000000000000000000000000000000000000000000000040000000000000F03F", `{"type":"LineString","coordinates":[[0,0],[2,1]]}`},
		{"geometry", -1, "010200000000000000", `{"type":"LineString","coordinates":[]}`},
		{"geometry", -1, "010300000001000000040000000000000000000000000000000000000000000000000010400000000000000000000000000000104000000000000010400000000000000000000000000000" + "0000", `{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]}`},
		{"geometry", -1, "0104000000020000000101000000000000000000F03F00000000000000400101000000000000000000084000000000000010" + "40", `{"type":"MultiPoint","coordinates":[[1,2],[3,4]]}`},
		{"geometry", -1, "010500000001000000010200000002000000000000000000000000000000000000000000000000000040000000000000F03F", `{"type":"MultiLineString","coordinates":[[[0,0],[2,1]]]}`},
		{"geometry", -1, "010600000001000000010300000001000000040000000000000000000000000000000000000000000000000010400000000000000000000000000000104000000000000010400000000000000000000000000000" + "0000", `{"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,0]]]]}`},
		{"geometry", -1, "0107000000020000000101000000000000000000F03F0000000000000040010200000002000000000000000000000000000000000000000000000000000040000000000000F03F", `{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},{"type":"LineString","coordinates":[[0,0],[2,1]]}]}`},
		{"geometry", -1, "010700000000000000", `{"type":"GeometryCollection","geometries":[]}`},
		{"geometry", -1, "0111000000010000000400000000000000000000000000000000000000000000000000104000000000000000000000000000001040000000000000104000000000000000000000000000000000", `{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]}`},
		{"geometry", -1, "010800000000000000", "null\x00010800000000000000\x00"},
		{"geometry", pointTypmod, "0101000000000000000000F03F0000000000000040", `{"lat":2,"lon":1}`},
		{"geometry", pointTypmod | 4326<<8, "0101000020E61000003333333333B34E407B14AE47E17A44C0", `{"lat":-40.96,"lon":61.4}`},
		{"geometry", pointTypmod, "00000000013FF00000000000004000000000000000", `{"lat":2,"lon":1}`},
		{"geometry", pointTypmod, "0101000000000000000000F87F000000000000F87F", "null"},
		{"geometry", pointTypmod | 2, "0101000080000000000000F03F00000000000000400000000000000840", `{"lat":2,"lon":1}`},
	}
	for _, test := range tests {
		t.Run(test.sql, func(t *testing.T) {
			c := textType(t, test.sql, test.typmod)
			if got := canonical(t, c.convert, []byte(test.text)); string(got) != test.want {
				t.Errorf("%q became %q, want %q", test.text, got, test.want)
			}
		})
	}
}

// TestMalformedText gives text that no server prints: an error must come of it.
func TestMalformedText(t *testing.T) {
	tests := map[string][]string{
		"bool":           {"", "true", "1"},
		"bytea":          {"", "x", `\x0`, `\xzz`, `\000`},
		"date":           {"", "2024", "2024-1-1", "24-01-02", "2024-01-02 00", "xxxx-01-02 BC"},
		"timestamp":      {"", "2024-01-02", "2024-01-02T03:04:05", "2024-01-02 03"},
		"timestamptz":    {"", "2024-01-02 03:04:05", "2024-01-02 03:04:05+01"},
		"point":          {"", "(", "1,2", "(1,2", "(1)"},
		"int4[]":         {"", "{", "}", "1", "{1", "{{1}", "[1:2]", `{"1}`, `{"1\`, "{1}1"},
		"daterange":      {"", "[", "[,", "[)", "[2024-01-01]", "[2024-01-01,2024-01-02", `["2024-01-01,)`, "[,)x", "[x,)"},
		"datemultirange": {"", "{", "[,)", "{[,)", "{[}", "{x}"},
		"person":         {"", "(", "()", "(a)", "(a,2024-01-01)", "(a,b,{})", "(a,2024-01-01,{},)", `("a,,)`},
		"hstore":         {"a", `"a"`, `"a"=>`, `"a"=>b`, `"a"=>"b""c"=>"d"`, `"a"=>"b",`},
		"geometry":       {"", "01", "zz", "0102000000", "0101000000", "0101000020E6100000"},
	}
	for sql, texts := range tests {
		t.Run(sql, func(t *testing.T) {
			c := textType(t, sql, 1<<2)
			for _, text := range texts {
				if got, err := c.convert(nil, []byte(text)); err == nil {
					t.Errorf("%q became %q, want an error", text, got)
				}
			}
		})
	}
}

// FuzzConverters: no text makes a converter panic, or touch what is before its own output.
func FuzzConverters(f *testing.F) {
	for _, text := range []string{
		"", "{", `{"a\`, `{"a\\","b"}`, "[1:2]={1,2}", `["a,b","c\"d\\")`, `{[1,3),["5",8)}`, `(a,"b""c",)`,
		`"a"=>"1", "b"=>NULL`, "0044-03-15 12:00:00+00 BC", "(1,2)", "0101000020E6100000", `\x00`,
	} {
		f.Add([]byte(text))
	}
	registry := textRegistry()
	f.Fuzz(func(t *testing.T, text []byte) {
		for oid := range registry.types {
			c, err := registry.resolve(oid, 1<<2)
			if err != nil {
				t.Fatal(err)
			}
			if c.convert == nil {
				continue
			}
			if got, err := c.convert([]byte("before"), text); err == nil && string(got[:6]) != "before" {
				t.Errorf("%s: %q became %q", c.SQL, text, got)
			}
		}
	})
}

// BenchmarkConvert measures one value of each common type, as the stream and a
// snapshot convert it, and its rendering. Neither may allocate.
func BenchmarkConvert(b *testing.B) {
	values := map[string]string{
		"int4":        "2147483647",
		"text":        "The quick brown fox jumps over the lazy dog, twice a day.",
		"numeric":     "12345678.90",
		"bool":        "t",
		"timestamptz": "2024-02-29 23:59:59.123456+00",
		"uuid":        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"bytea":       `\xdeadbeefdeadbeefdeadbeefdeadbeef`,
		"int4[]":      "{1,2,3,40000,500000}",
		"text[]":      `{plain,"with space","with \"quote\""}`,
		"date":        "2024-02-29",
		"person":      `(Ann,2024-02-29,"{a,b}")`,
		"hstore":      `"a"=>"1", "b"=>NULL`,
		"daterange":   "[2024-01-01,2025-01-01)",
	}
	for sql, text := range values {
		b.Run(sql, func(b *testing.B) {
			c := textType(b, sql, -1)
			in, out := []byte(text), make([]byte, 0, 4096)
			rendered := make([]byte, 0, 4096)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var err error
				if c.convert == nil {
					out = append(out[:0], in...)
				} else if out, err = c.convert(out[:0], in); err != nil {
					b.Fatal(err)
				}
				rendered, _ = sources.AppendJSON(rendered[:0], &c.Type, out)
			}
			if !json.Valid(rendered) {
				b.Fatalf("not JSON: %s", rendered)
			}
		})
	}
}

// TestConvertersDoNotAllocate keeps what BenchmarkConvert shows.
func TestConvertersDoNotAllocate(t *testing.T) {
	for sql, text := range map[string]string{
		"bool": "t", "timestamptz": "2024-02-29 23:59:59.123456+00", "date": "2024-02-29",
		"bytea": `\xdeadbeef`, "int4[]": "{1,2,3}", "text[]": `{a,"b \"c\""}`, "daterange": "[2024-01-01,)",
		"person": `(Ann,2024-02-29,"{a,b}")`, "hstore": `"a"=>"1"`,
	} {
		c, in, out := textType(t, sql, -1), []byte(text), make([]byte, 0, 4096)
		allocated := testing.AllocsPerRun(100, func() {
			var err error
			if out, err = c.convert(out[:0], in); err != nil {
				t.Fatal(err)
			}
		})
		if allocated > 0 {
			t.Errorf("%s: %v allocations for a value", sql, allocated)
		}
	}
}
