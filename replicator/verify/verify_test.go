package verify

import (
	"fmt"
	"slices"
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
		for i, want := range map[int]bool{0: round == 0, 49_999: round == 0, 100_000: round == 1, 50_000: false} {
			if has, err := s.Has([]byte("index"), fmt.Append(nil, i), nil); err != nil || has != want {
				t.Errorf("round %d: %d is in it: %v, %v", round, i, has, err)
			}
		}
		if has, err := s.Has([]byte("index"), nil, fmt.Append(nil, round*100_000)); err != nil || has {
			t.Errorf("a routing is taken for an id: %v, %v", has, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
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
	for id, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if has, err := s.Has([]byte(id)); err != nil || has != want {
			t.Errorf("%s is in it: %v, %v", id, has, err)
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
