package value

import (
	"math/big"
	"strings"
	"testing"
)

func FuzzDecimal(f *testing.F) {
	f.Add(int64(1990), uint8(2), int64(3), uint8(0))
	f.Add(int64(-1), uint8(18), int64(7), uint8(5))
	f.Add(int64(0), uint8(3), int64(-5), uint8(1))
	f.Fuzz(func(t *testing.T, m1 int64, s1 uint8, m2 int64, s2 uint8) {
		a, b := bigDecimal{big.NewInt(m1), int(s1 % 20)}, bigDecimal{big.NewInt(m2), int(s2 % 20)}
		x, y := rat(t, a.text()), rat(t, b.text())
		if again, err := (Decimal{a.text()}).big(); err != nil || again.cmp(a) != 0 {
			t.Errorf("%s reads as %v (%v)", a.text(), again, err)
		}
		da, db := Decimal{a.text()}, Decimal{b.text()}
		if c, ok := compareSmall(da, db); ok && c != x.Cmp(y) {
			t.Errorf("%s against %s: %d", da, db, c)
		}
		for _, op := range []string{"+", "-", "*"} {
			exactly, _ := computeBig(op, a, b)
			if got, ok := computeSmall(op, da, db); ok && got.text() != exactly.text() {
				t.Errorf("%s %s %s = %s, want %s", da, op, db, got.text(), exactly.text())
			}
			if got, ok := computeSmall(op, m1, m2); ok && got.text() != mustCompute(t, op, bigInt(m1), bigInt(m2)) {
				t.Errorf("%d %s %d = %s", m1, op, m2, got.text())
			}
		}
		if a.cmp(b) != x.Cmp(y) {
			t.Errorf("%s against %s: %d", a.text(), b.text(), a.cmp(b))
		}
		for op, want := range map[string]*big.Rat{
			"+": new(big.Rat).Add(x, y), "-": new(big.Rat).Sub(x, y), "*": new(big.Rat).Mul(x, y),
		} {
			got, err := computeBig(op, a, b)
			if err != nil || rat(t, got.text()).Cmp(want) != 0 {
				t.Errorf("%s %s %s = %s (%v)", a.text(), op, b.text(), got.text(), err)
			}
		}
		if m2 == 0 {
			return
		}
		q := quotient(a, b)
		off := new(big.Rat).Sub(rat(t, q.text()), new(big.Rat).Quo(x, y))
		if off.Abs(off).Cmp(big.NewRat(1, 1e15)) > 0 {
			t.Errorf("%s / %s = %s", a.text(), b.text(), q.text())
		}
		// dividend = divisor * whole quotient + remainder, the remainder smaller and of the dividend's sign
		r, err := computeBig("%", a, b)
		if err != nil {
			t.Fatal(err)
		}
		rest := rat(t, r.text())
		whole := new(big.Rat).Quo(new(big.Rat).Sub(x, rest), y)
		if !whole.IsInt() || new(big.Rat).Abs(rest).Cmp(new(big.Rat).Abs(y)) >= 0 || rest.Sign()*x.Sign() < 0 {
			t.Errorf("%s %% %s = %s", a.text(), b.text(), r.text())
		}
	})
}

func mustCompute(t *testing.T, op string, a, b bigDecimal) string {
	result, err := computeBig(op, a, b)
	if err != nil {
		t.Fatal(err)
	}
	return result.text()
}

func rat(t *testing.T, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return r
}

func TestDecimalRounding(t *testing.T) {
	for _, tt := range []struct {
		in                       string
		digits                   int
		nearest, down, up, whole string
	}{
		{"2.5", 0, "3", "2", "3", "2"},
		{"-2.5", 0, "-3", "-3", "-2", "-2"},
		{"2.4999", 0, "2", "2", "3", "2"},
		{"1.005", 2, "1.01", "1.00", "1.01", "1"},
		{"7", 2, "7.00", "7.00", "7.00", "7"},
		{"1.5e3", 0, "1500", "1500", "1500", "1500"},
		{"-0.001", 1, "0.0", "-0.1", "0.0", "0"},
	} {
		d := Decimal{tt.in}
		x, err := d.big()
		if err != nil {
			t.Fatal(err)
		}
		down, _ := Floor(d, tt.digits)
		up, _ := Ceil(d, tt.digits)
		got := []string{x.round(tt.digits).text(), down.(Decimal).text, up.(Decimal).text, x.whole(0).String()}
		want := []string{tt.nearest, tt.down, tt.up, tt.whole}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s to %d digits: got %v, want %v", tt.in, tt.digits, got, want)
		}
	}
	for _, bad := range []string{"NaN", "x", "", "1e999999999", "--1"} {
		if _, err := (Decimal{bad}).big(); err == nil {
			t.Errorf("%q is a number", bad)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2024-02-29":                     "2024-02-29T00:00:00Z",
		"2024-02-29T01:02:03":            "2024-02-29T01:02:03Z",
		"2024-02-29T01:02:03.000004Z":    "2024-02-29T01:02:03.000004Z",
		"-0043-03-15":                    "-0043-03-15T00:00:00Z",
		"-4712-01-01T23:59:59":           "-4712-01-01T23:59:59Z",
		"+294276-12-31T23:59:59.999999Z": "294276-12-31T23:59:59.999999Z",
		"+5874897-12-31":                 "5874897-12-31T00:00:00Z",
		"0000-01-01":                     "0000-01-01T00:00:00Z",
	} {
		got, err := ParseTime(text)
		if err != nil || got.Format("2006-01-02T15:04:05.999999Z07:00") != want {
			t.Errorf("%s: got %s (%v), want %s", text, got.Format("2006-01-02T15:04:05.999999Z07:00"), err, want)
		}
		if got.String() != text {
			t.Errorf("%s prints as %s", text, got)
		}
	}
	for _, bad := range []string{"", "2024", "2024-1-1", "24-01-01", "2024-02-29T25:00:00", "-", "x-y-z", "2024-01-01Tx"} {
		if got, err := ParseTime(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
	early, late := Time{infinite: -1}, Time{infinite: 1}
	now, _ := ParseTime("2024-02-29")
	if early.compare(now) >= 0 || late.compare(now) <= 0 || late.compare(late) != 0 || now.compare(early) <= 0 {
		t.Error("infinite times are out of order")
	}
}
