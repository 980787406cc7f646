package replicator

import (
	"strings"
	"testing"
)

func TestCheckpointSurvivesEncoding(t *testing.T) {
	cp, err := parseCheckpoint([]byte(`{"format":1,"name":"blog","position":"0/1","version":7,
		"indexes":{"notes":{"live":{"physical":"notes-1","definition":{"a":1},"tables":{"public.t":{"last":["3"],"rows":3}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	live := cp.Indexes["notes"].Live
	if live.loaded() || live.Tables["public.t"].Last[0] != "3" || cp.Version != 7 {
		t.Errorf("read back %+v", live)
	}
	live.Tables["public.t"].Done = true
	if !live.loaded() {
		t.Error("a build whose tables are all done is not loaded")
	}
}

func TestCheckpointOfANewerDaemonIsRefused(t *testing.T) {
	_, err := parseCheckpoint([]byte(`{"format":99}`))
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
}

func TestRestartMarksEveryIndexStale(t *testing.T) {
	cp := newCheckpoint("blog")
	cp.Position, cp.Version = "0/1", 100
	cp.Indexes["notes"] = &indexState{Live: &build{}}
	cp.restart("slot lost")
	st := cp.Indexes["notes"]
	if cp.Position != "" || st.Stale != "slot lost" || st.Epoch != 1 || cp.Version <= 100 {
		t.Errorf("position %q, stale %q, epoch %d, version %d", cp.Position, st.Stale, st.Epoch, cp.Version)
	}
}

func TestMarkStaleKeepsTheLatestCause(t *testing.T) {
	cp := newCheckpoint("blog")
	cp.Indexes["notes"] = &indexState{}
	cp.markStale("notes", "second", 20)
	cp.markStale("notes", "first", 10)
	if st := cp.Indexes["notes"]; st.Stale != "second" || st.Epoch != 20 {
		t.Errorf("stale %q, epoch %d", st.Stale, st.Epoch)
	}
}
