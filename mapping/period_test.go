package mapping

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"haystream/internal/seeds"
	"haystream/sources"
)

func TestPeriodNames(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		every, text string
		zone        *time.Location
		want        string
	}{
		{"year", "2026-11-29", time.UTC, "2026"},
		{"month", "2026-11-29T23:59:59.999999Z", time.UTC, "2026.11"},
		{"month", "2026-11-30T23:30:00Z", berlin, "2026.12"}, // it is past midnight there
		{"month", "2026-11-30T23:30:00", berlin, "2026.11"},  // as it stands: the column has no zone
		{"month", "2026-11-30", berlin, "2026.11"},
		{"month", "2026-12-01T00:30:00+02:00", time.UTC, "2026.11"},
		{"day", "2026-03-29T00:59:59Z", berlin, "2026.03.29"}, // around the change of the clocks
		{"day", "2026-03-28T23:00:00Z", berlin, "2026.03.29"},
		{"day", "2024-02-29", time.UTC, "2024.02.29"},
		{"day", "1969-12-31", time.UTC, "1969.12.31"},
		{"week", "2026-01-01", time.UTC, "2026.w01"},
		{"week", "2027-01-03", time.UTC, "2026.w53"},
		{"week", "2024-12-30", time.UTC, "2025.w01"},
		{"week", "1969-12-28", time.UTC, "1969.w52"},
		{"week", "1970-01-01", time.UTC, "1970.w01"},
		{"year", "0000-01-01", time.UTC, "0000"},
		{"month", "0000-12-31", time.UTC, "0000.12"},
		{"month", "9999-12-31", time.UTC, "9999.12"},
		{"month", "10000-01-01", time.UTC, ""},
		{"month", "-0044-03-15", time.UTC, ""},
		{"month", "infinity", time.UTC, ""},
		{"month", "", time.UTC, ""},
		{"month", "2026-13-01", time.UTC, ""},
		{"month", "2026-11-30T99:30:00Z", berlin, ""},
	} {
		p := &Partition{Every: c.every}
		n := p.Of([]byte(c.text), c.zone)
		if got := p.Name(n); got != c.want {
			t.Errorf("%s of %q in %s: %s, want %s", c.every, c.text, c.zone, got, c.want)
		}
		if again, ok := p.Parse(c.want); !ok || again != n {
			t.Errorf("%s %s is read as %d, %v; it is %d", c.every, c.want, again, ok, n)
		}
	}
}

// TestPeriodsFollowEachOther: a day later it is the same period or the next one, and
// names are read back and sort as periods do.
func TestPeriodsFollowEachOther(t *testing.T) {
	random := rand.New(rand.NewPCG(seeds.One(t), 0))
	for _, every := range everyPeriods {
		p := &Partition{Every: every}
		for range 200 {
			at := time.Date(random.IntN(9999), time.Month(1+random.IntN(12)), 1+random.IntN(31), 0, 0, 0, 0, time.UTC)
			day, next := p.At(at), p.At(at.AddDate(0, 0, 1))
			if next != Undated && next != day && next != day+1 {
				t.Fatalf("%s: %s is in %d, the day after in %d", every, at, day, next)
			}
			if got := p.Of([]byte(at.Format(time.DateOnly)), time.UTC); got != day {
				t.Fatalf("%s: %s is in %d by its text, and in %d", every, at, got, day)
			}
			if again, ok := p.Parse(p.Name(day)); at.Year() > 0 && (!ok || again != day) {
				t.Fatalf("%s: %s is read as %d, %v; it is %d", every, p.Name(day), again, ok, day)
			}
			if next == day+1 && at.Year() > 0 && p.Name(day) >= p.Name(next) {
				t.Fatalf("%s: %s does not sort before %s", every, p.Name(day), p.Name(next))
			}
		}
	}
}

func TestOldestPeriod(t *testing.T) {
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		every string
		keep  int
		want  string
	}{{"month", 1, "2026.01"}, {"month", 3, "2025.11"}, {"year", 2, "2025"}, {"day", 31, "2026.01.01"}, {"week", 5, "2026.w01"}} {
		p := &Partition{Every: c.every, Keep: c.keep}
		if got := p.Name(p.Oldest(now)); got != c.want {
			t.Errorf("of %d, each a %s, the oldest is %s, want %s", c.keep, c.every, got, c.want)
		}
	}
	if got := (&Partition{Every: "day"}).Oldest(now); got != math.MinInt32 {
		t.Errorf("all are kept, from %d on", got)
	}
}

func TestNoPeriodName(t *testing.T) {
	for every, names := range map[string][]string{
		"month": {"2026", "2026.13", "2026.w01", "2026.01.02", "x"}, "week": {"2026.w54", "2026.01"}, "day": {"2026.02.30", "2026.02"},
	} {
		for _, name := range names {
			if n, ok := (&Partition{Every: every}).Parse(name); ok {
				t.Errorf("%s %q is read as %d", every, name, n)
			}
		}
	}
}

// TestPartitionIsChecked: mistakes are told with their place, also without a database.
func TestPartitionIsChecked(t *testing.T) {
	table := &sources.Table{Schema: "public", Home: true, Name: "press", Key: []int{0}, Identity: sources.IdentityFull, Columns: []sources.Column{
		{Name: "id", Type: sources.Type{Kind: sources.Int, SQL: "integer"}},
		{Name: "at", Type: sources.Type{Kind: sources.TimestampTZ, SQL: "timestamptz"}},
		{Name: "word", Type: sources.Type{Kind: sources.Text, SQL: "text"}},
	}}
	for want, p := range map[string]*Partition{
		"":                           {By: "at", Every: "month", Keep: 3},
		"must be day, week, month":   {By: "at", Every: "months"},
		"is how many periods":        {By: "at", Every: "day", Keep: -1},
		`no field "att"`:             {By: "att", Every: "day"},
		"must name the field":        {Every: "day"},
		"it must be a date or":       {By: "word", Every: "day"},
		"must be a column":           {By: "made", Every: "day"},
		"without date_format and de": {By: "formatted", Every: "day"},
	} {
		d := &Definition{Table: "press", Mode: ModeAppend, Partition: p, Fields: Fields{Named: map[string]*Field{
			"at": {}, "word": {}, "made": {Template: "{{ .word }}"}, "formatted": {From: "at", DateFormat: "epoch_millis"},
		}}}
		_, err := Options{}.Compile([]*sources.Table{table}, Set{Indexes: map[string]*Definition{"press": d}})
		if text := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(text, want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	mirror := &Definition{Table: "press", Partition: &Partition{By: "at", Every: "day"}, Fields: Fields{Named: map[string]*Field{"at": {}}}}
	if _, err := (Options{}).Compile([]*sources.Table{table}, Set{Indexes: map[string]*Definition{"press": mirror}}); !strings.Contains(fmt.Sprint(err), "mode: append only") {
		t.Errorf("without append: %v", err)
	}
}
