package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{`{"a":1,"b":2}`, `{"b": 2, "a": 1}`, nil},
		{`{"a":1.0}`, `{"a":1}`, []string{"a"}},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, []string{"a"}},
		{`{"a":{"x":1,"y":[1,{"z":2}]}}`, `{"a":{"x":2,"y":[1,{"z":3}]}}`, []string{"a.x", "a.y"}},
		{`{"a":null}`, `{}`, []string{"a"}},
		{`{}`, `{"b":[]}`, []string{"b"}},
		{`{"a":{}}`, `{"a":"x"}`, []string{"a"}},
		{`{"a":[{}]}`, `{"a":[1]}`, []string{"a"}},
		{`{"a":1}`, ``, []string{"_source"}},
	} {
		if got := Fields([]byte(c.a), []byte(c.b)); !slices.Equal(got, c.want) {
			t.Errorf("%s and %s differ in %q, not %q", c.a, c.b, got, c.want)
		}
	}
}

func TestSet(t *testing.T) {
	dir := t.TempDir() + "/set"
	for round := range 2 { // the second time nothing of the first is left
		s, err := NewSet(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50_000 {
			s.Add([]byte("index"), fmt.Append(nil, i+round*100_000), nil)
		}
		has := reader(t, s)
		for i, want := range map[int]bool{0: round == 0, 49_999: round == 0, 100_000: round == 1, 50_000: false} {
			if got := has([]byte("index"), fmt.Append(nil, i), nil); got != want {
				t.Errorf("round %d: %d is in it: %v", round, i, got)
			}
		}
		if has([]byte("index"), nil, fmt.Append(nil, round*100_000)) {
			t.Error("a routing is taken for an id")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSetNames: where one part ends and the next begins, and the end of a long part, make another name.
func TestSetNames(t *testing.T) {
	s, err := NewSet(t.TempDir() + "/set")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 500)
	for n, c := range []struct{ in, not []string }{
		{[]string{"ab", "c"}, []string{"a", "bc"}},
		{[]string{"a", ""}, []string{"", "a"}},
		{[]string{"b\x00"}, []string{"b"}},
		{[]string{"c", long}, []string{"c", long[1:]}},
		{[]string{"d", long + "1"}, []string{"d", long + "2"}},
		{[]string{long, "e"}, []string{long + "e", ""}},
	} {
		s.Add(bytesOf(c.in)...)
		has := reader(t, s)
		for _, name := range [][]string{c.in, c.not} {
			if got := has(bytesOf(name)...); got != slices.Equal(name, c.in) {
				t.Errorf("case %d: %.20q is in it: %v", n, name, got)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// reader asks one reader after the other, so that each name is looked for by itself.
func reader(t *testing.T, s *Set) func(parts ...[]byte) bool {
	return func(parts ...[]byte) bool {
		t.Helper()
		r, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		has := r.Has(parts...)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		return has
	}
}

func bytesOf(texts []string) (parts [][]byte) {
	for _, text := range texts {
		parts = append(parts, []byte(text))
	}
	return parts
}

// BenchmarkSet asks for the names of a page of documents, in the order of the rows.
func BenchmarkSet(b *testing.B) {
	s, err := NewSet(b.TempDir() + "/set")
	if err != nil {
		b.Fatal(err)
	}
	const size = 1_000_000
	index, routing, id := []byte("notes-20260102-030405-678"), []byte("7"), []byte(nil)
	for i := range size {
		id = strconv.AppendInt(id[:0], int64(i), 10)
		s.Add(index, id, routing)
	}
	b.ReportAllocs()
	const page = 1000
	for at := 0; b.Loop(); at += page {
		r, err := s.Read()
		if err != nil {
			b.Fatal(err)
		}
		for i := range page {
			if id = strconv.AppendInt(id[:0], int64((at+i)%size), 10); !r.Has(index, id, routing) {
				b.Fatal("it is not there")
			}
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// TestSetKept: what was flushed, or kept, is there when the set is opened again; a deleted one is not.
func TestSetKept(t *testing.T) {
	dir := t.TempDir() + "/set"
	s, err := NewSet(dir)
	for _, id := range []string{"a", "b"} {
		if err != nil {
			t.Fatal(err)
		}
		s.Add([]byte(id))
		if err := s.Keep(); err != nil {
			t.Fatal(err)
		}
		s, err = OpenSet(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	has := reader(t, s)
	for id, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if got := has([]byte(id)); got != want {
			t.Errorf("%s is in it: %v", id, got)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSet(dir); err == nil {
		t.Error("a deleted set is opened")
	}
}

func TestSample(t *testing.T) {
	for text, want := range map[string]float64{"5%": 5, "0.5": 0.5, "100%": 100, "0": 0, "101": 0, "-1": 0, "x": 0, "NaN": 0, "": 0} {
		if got, err := ParsePercent(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for percent, bounds := range map[float64][2]int{0: {100_000, 100_000}, 100: {100_000, 100_000}, 5: {4700, 5300}, 0.1: {50, 150}} {
		o, n := Options{Sample: percent}, 0
		for i := range 100_000 {
			if o.Picks(fmt.Append(nil, i)) {
				n++
			}
		}
		if n < bounds[0] || n > bounds[1] {
			t.Errorf("%v %% of 100,000 are %d", percent, n)
		}
	}
}

func TestReportCounts(t *testing.T) {
	l := NewLog("notes", Options{Repair: true})
	for i := range mostListed + 5 {
		l.Found(Difference{Kind: Missing, ID: fmt.Sprint(i)})
	}
	l.Found(Difference{Table: "public.t", Kind: Extra, ID: "1"})
	l.Repaired(Difference{Kind: Missing, ID: "3"})
	l.Repaired(Difference{Table: "public.t", Kind: Extra, ID: "1"})
	r := l.Report()
	if found, left := r.Wrong(); found != mostListed+6 || left != mostListed+4 {
		t.Errorf("%d found, %d left", found, left)
	}
	if len(r.Differences) != mostListed || !r.Differences[3].Repaired || r.Differences[1].Repaired {
		t.Errorf("%d listed: %+v", len(r.Differences), r.Differences[:4])
	}
}
