package postgres

import (
	"testing"

	"github.com/jackc/pglogrepl"
)

func TestSnapshotSees(t *testing.T) {
	s, err := parseSnapshot("10:20:17,12")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint64]bool{9: true, 10: true, 12: false, 13: true, 17: false, 19: true, 20: false, 99: false} {
		if s.sees(id) != want {
			t.Errorf("sees(%d) = %v, want %v", id, !want, want)
		}
	}
	empty, err := parseSnapshot("10:10:")
	if err != nil || !empty.sees(9) || empty.sees(10) {
		t.Errorf("an idle server's snapshot is %+v, %v", empty, err)
	}
	for _, text := range []string{"", "1:2", "x:2:", "1:x:", "1:2:x", "1:2:3,"} {
		if _, err := parseSnapshot(text); err == nil {
			t.Errorf("parseSnapshot(%q) gives no error", text)
		}
	}
}

func TestEndOfLog(t *testing.T) {
	const page, segment = 8192, 16 << 20
	for insert, want := range map[pglogrepl.LSN]pglogrepl.LSN{
		segment + 40:        segment, // behind a segment's header
		segment + 24:        segment + 24,
		segment + page + 24: segment + page, // behind a page's header
		segment + page + 40: segment + page + 40,
		segment + page:      segment + page,
		segment + 48:        segment + 48,
	} {
		if got := endOfLog(insert, page, segment); got != want {
			t.Errorf("endOfLog(%s) = %s, want %s", insert, got, want)
		}
	}
}

func TestWidenID(t *testing.T) {
	const epoch = 1 << 32
	tests := []struct {
		xid  uint32
		near uint64
		want uint64
	}{
		{100, 100, 100},
		{99, 100, 99},
		{5, epoch - 3, epoch + 5}, // the counter has wrapped around
		{1<<32 - 3, epoch + 5, epoch - 3},
		{7, 3*epoch + 7, 3*epoch + 7},
		{1 << 30, 3 * epoch, 3*epoch + 1<<30},
		{1<<32 - 1<<30, 3 * epoch, 3*epoch - 1<<30},
	}
	for _, test := range tests {
		if got := widenID(test.xid, test.near); got != test.want {
			t.Errorf("widenID(%d, %d) = %d, want %d", test.xid, test.near, got, test.want)
		}
	}
}

func TestEmittedIDs(t *testing.T) {
	var e emittedIDs
	e.widen(1<<32 - 2)
	var ids []uint64
	for _, xid := range []uint32{1<<32 - 2, 1<<32 - 1, 3, 4} {
		id, _ := e.add(xid)
		ids = append(ids, id)
	}
	if ids[3] != 1<<32+4 {
		t.Fatalf("ids are %v", ids)
	}
	e.below(1<<32 + 3)
	if kept := e.all(); len(kept) != 2 || kept[0] != 1<<32+3 {
		t.Errorf("kept are %v", kept)
	}
	due := false
	for range pruneAfter {
		_, due = e.add(5)
	}
	if !due {
		t.Error("it is never time to prune")
	}
	e.below(0)
	if _, due := e.add(5); due {
		t.Error("it is time to prune again at once, though all ids are needed")
	}
}
