package rowstore

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"haystream/sources"
)

func TestEqualValues(t *testing.T) {
	integer, decimal := sources.Type{Kind: sources.Int}, sources.Type{Kind: sources.Decimal}
	float, text := sources.Type{Kind: sources.Float}, sources.Type{Kind: sources.Text}
	boolean, uuid := sources.Type{Kind: sources.Bool}, sources.Type{Kind: sources.Keyword, SQL: "uuid"}
	date, timestamp := sources.Type{Kind: sources.Date}, sources.Type{Kind: sources.Timestamp}
	zoned, raw := sources.Type{Kind: sources.TimestampTZ}, sources.Type{Kind: sources.Bytes}
	lower := &Fold{Name: "lower", Append: func(dst, text []byte) []byte { return append(dst, bytes.ToLower(text)...) }}
	type value struct {
		of   *sources.Type
		fold *Fold
		text string
	}
	// Values of one line are equal, of different lines they differ.
	classes := [][]value{
		{{&integer, nil, "0"}, {&decimal, nil, "0.00"}, {&decimal, nil, "-0.0"}, {&float, nil, "0e+10"}, {&boolean, nil, "false"}},
		{{&integer, nil, "1"}, {&decimal, nil, "1.0"}, {&decimal, nil, "1"}, {&decimal, nil, "1.00"}, {&float, nil, "1e+00"}, {&boolean, nil, "true"}},
		{{&integer, nil, "-1"}, {&decimal, nil, "-1.000"}},
		{{&integer, nil, "10"}, {&decimal, nil, "10.0"}, {&float, nil, "1e1"}},
		{{&integer, nil, "100"}, {&float, nil, "1E2"}},
		{{&integer, nil, "18446744073709551615"}, {&decimal, nil, "18446744073709551615.0"}},
		{{&decimal, nil, "0.1"}, {&float, nil, "1e-01"}, {&decimal, nil, "00.10"}},
		{{&decimal, nil, "0.01"}},
		{{&decimal, nil, "0.001"}},
		{{&decimal, nil, "10.01"}},
		{{&decimal, nil, "NaN"}, {&float, nil, "NaN"}},
		{{&decimal, nil, "Infinity"}, {&float, nil, "Infinity"}},
		{{&decimal, nil, "-Infinity"}},
		{{&text, nil, "1"}},
		{{&text, nil, ""}},
		{{&text, nil, "a"}, {&raw, nil, "a"}, {&text, lower, "A"}},
		{{&text, nil, "A"}},
		{{&text, nil, "a\x00"}},
		{{&text, nil, "a\x00\x01"}},
		{{&text, nil, "a\x00\xff"}},
		{{&uuid, nil, "2B2E0A00-0000-4000-8000-00000000000A"}, {&uuid, nil, "2b2e0a00-0000-4000-8000-00000000000a"}},
		{{&date, nil, "2024-02-29"}, {&timestamp, nil, "2024-02-29T00:00:00"}, {&timestamp, nil, "2024-02-29T00:00:00.000"}},
		{{&timestamp, nil, "2024-02-29T00:00:10"}, {&timestamp, nil, "2024-02-29T00:00:10.000000"}},
		{{&timestamp, nil, "2024-02-29T00:00:10.1"}, {&timestamp, nil, "2024-02-29T00:00:10.100"}},
		{{&zoned, nil, "2024-02-29T00:00:00Z"}, {&zoned, nil, "2024-02-29T00:00:00.000Z"}},
		{{&zoned, nil, "2024-02-29T00:00:00.12Z"}, {&zoned, nil, "2024-02-29T00:00:00.120Z"}},
		{{&date, nil, "infinity"}, {&timestamp, nil, "infinity"}},
	}
	of := map[string]int{}
	for n, class := range classes {
		for _, v := range class {
			before := v.text
			got := AppendValue([]byte("x"), v.of, v.fold, []byte(v.text))
			if v.text != before || got[0] != 'x' {
				t.Errorf("%q: what was there changed", v.text)
			}
			if had, ok := of[string(got)]; ok && had != n {
				t.Errorf("%q of kind %d equals a value of line %d", v.text, v.of.Kind, had)
			} else if !ok && v.text != class[0].text {
				t.Errorf("%q of kind %d is %x and differs from %q", v.text, v.of.Kind, got, class[0].text)
			}
			of[string(got)] = n
			if size := valueSize(append(got[1:], 0, 1, 0xff)); size != len(got)-1 {
				t.Errorf("%q of kind %d takes %d bytes of %x, it seems", v.text, v.of.Kind, size, got[1:])
			}
		}
	}
	for a := range of {
		for b := range of {
			if a != b && strings.HasPrefix(a, b) {
				t.Errorf("%x begins with %x, so that a list of values is not told from another", a, b)
			}
		}
	}
}

func TestNullKey(t *testing.T) {
	l := layout()
	if _, null := AppendKey(nil, l.Tables[users], row("1", null), []int{0, 1}); !null {
		t.Error("NULL matches")
	}
	a := sources.NewArena(0)
	a.StartRow(1)
	a.Missing()
	if _, null := AppendKey(nil, l.Tables[users], a.EndRow(), []int{0}); !null {
		t.Error("a missing value matches")
	}
}

// Numbers sort and compare as their encodings do.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0 1", "-1 1", "10 9", "1.5 1.50", "0.001 0.0001", "1e20 100000000000000000000", "1e-5 0.00001", "-0.5 -0.05", "123456789012345678901234567890 1e120", "1e-130 1e-200", "-1e130 -1e131"} {
		a, b, _ := strings.Cut(s, " ")
		f.Add(a, b)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, okX := rational(a)
		y, okY := rational(b)
		if !okX || !okY {
			return
		}
		kx, _ := appendNumber(nil, []byte(a))
		if size := valueSize(append(slices.Clip(kx), 0x11)); size != len(kx) {
			t.Errorf("%s takes %d bytes of %x, it seems", a, size, kx)
		}
		ky, ok := appendNumber(nil, []byte(b))
		if !ok {
			t.Fatalf("%s is not taken for a number", b)
		}
		if got, want := bytes.Compare(kx, ky), x.Cmp(y); got != want {
			t.Errorf("%s against %s: %d, want %d (%x, %x)", a, b, got, want, kx, ky)
		}
		if want := x.Cmp(y) == 0; !want && (bytes.HasPrefix(kx, ky) || bytes.HasPrefix(ky, kx)) {
			t.Errorf("%s and %s: one begins with the other", a, b)
		}
	})
}

// rational reads what a source gives as a number.
func rational(s string) (*big.Rat, bool) {
	if strings.Trim(s, "0123456789.eE+-") != "" || len(s) > 200 {
		return nil, false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 {
		return nil, false
	}
	var digit int
	if n, _ := fmt.Sscanf(strings.TrimPrefix(s, "-"), "%1d", &digit); n == 0 || strings.HasPrefix(s, "+") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

func BenchmarkAppendKey(b *testing.B) {
	l := layout()
	r := row("123456", "987654", "tag", "body")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendKey(dst[:0], l.Tables[notes], r, []int{0, 1, 2})
	}
}
