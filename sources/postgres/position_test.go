package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pglogrepl"

	"haystream/sources"
)

func TestPosition(t *testing.T) {
	p := position{system: "7423", timeline: 3, lsn: 0x1_0000_ABCD}
	if p.String() != "7423:3:1/ABCD" {
		t.Errorf("String() = %s", p.String())
	}
	if got, err := parsePosition(p.String()); err != nil || got != p {
		t.Errorf("parsePosition = %+v, %v", got, err)
	}
	for _, text := range []sources.Position{"", "1", "1:2", ":1:0/0", "1:x:0/0", "1:1:0", "1:1:0/x", "1:1:x/0", "1:99999999999:0/0"} {
		if _, err := parsePosition(text); err == nil {
			t.Errorf("parsePosition(%q) gives no error", text)
		}
	}
}

// TestContains has a server on timeline 3: 1 forked at 0/3000, 2 at 0/5000.
func TestContains(t *testing.T) {
	where := system{id: "7", timeline: 3, end: 0x9000, history: []byte("1\t0/3000\tno recovery target specified\n\n2\t0/5000\tno recovery target specified\n")}
	tests := []struct {
		at   sources.Position
		lost bool
	}{
		{"7:3:0/9000", false},
		{"7:3:0/9001", true}, // restored to an earlier time
		{"7:2:0/5000", false},
		{"7:2:0/5001", true}, // the new primary never had it
		{"7:1:0/3000", false},
		{"7:1:0/3001", true},
		{"7:4:0/1000", true}, // the server is behind a later promotion
		{"8:3:0/9000", true}, // another cluster
	}
	for _, test := range tests {
		at, err := parsePosition(test.at)
		if err != nil {
			t.Fatal(err)
		}
		err = where.contains(at)
		if errors.Is(err, sources.ErrPositionLost) != test.lost || err != nil != test.lost {
			t.Errorf("contains(%s) = %v, want lost: %v", test.at, err, test.lost)
		}
	}
	where.history = []byte("2\t0/5000\tx\n")
	if err := where.contains(position{"7", 1, 1}); !errors.Is(err, sources.ErrPositionLost) {
		t.Errorf("a timeline that is not in the history: %v", err)
	}
}

// TestRecord: a record has one name, on whatever server that has it, and what a lost timeline had
// there has another one.
func TestRecord(t *testing.T) {
	history := []byte("1\t0/3000\tx\n2\t0/5000\tx\n")
	forks, err := parseHistory(history)
	if err != nil {
		t.Fatal(err)
	}
	first, third := system{id: "7", timeline: 1}, system{id: "7", timeline: 3, history: history}
	tests := []struct {
		on    *system
		forks []fork
		at    pglogrepl.LSN
		want  string
	}{
		{&first, nil, 0x2FFF, "7-1-2FFF"},
		{&third, forks, 0x2FFF, "7-1-2FFF"},
		{&first, nil, 0x3000, "7-1-3000"}, // the other servers never had it
		{&third, forks, 0x3000, "7-2-3000"},
		{&third, forks, 0x1_0000_5000, "7-3-100005000"},
	}
	for _, test := range tests {
		if got := test.on.record(test.forks, test.at); got != test.want {
			t.Errorf("the record at %s of timeline %d is %s, want %s", test.at, test.on.timeline, got, test.want)
		}
	}
}
