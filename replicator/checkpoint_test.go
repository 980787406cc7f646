package replicator

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckpointSurvivesEncoding(t *testing.T) {
	cp, err := parseCheckpoint([]byte(`{"format":1,"name":"blog","position":"0/1","version":7,
		"indexes":{"notes":{"live":{"physical":"notes-1","definition":{"a":1},"tables":{"public.t":{"last":["3"],"rows":3}}}}}}`), "blog")
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
	for _, text := range []string{`{"format":99}`, `{"format":2,"name":"blog","position":{"log":"0/1"},"indexes":[]}`} {
		_, err := parseCheckpoint([]byte(text), "blog")
		if !errors.Is(err, errNewer) || !strings.Contains(err.Error(), "run that version") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestDamagedCheckpoints(t *testing.T) {
	const good = `{"format":1,"name":"blog","position":"0/1","version":7,"indexes":{"notes":{"live":{"physical":"notes-1","definition":{},"tables":{"public.t":{"rows":3}}}}}}`
	if _, err := parseCheckpoint([]byte(good), "blog"); err != nil {
		t.Fatal(err)
	}
	damaged := []string{"", "null", "{}", "[]", "no JSON", `"text"`, good[:len(good)-5]}
	for _, change := range [][2]string{
		{`"format":1,`, ``}, {`"format":1`, `"format":0`}, {`"format":1`, `"format":"one"`}, {`"format":1`, `"format":-3`},
		{`"blog"`, `"shop"`}, {`"0/1"`, `17`}, {`"version":7`, `"version":"7"`}, {`"version":7`, `"version":-7`}, {`"version":7,`, ``},
		{`"notes-1"`, `""`}, {`"notes-1"`, `{}`}, {`"definition":{},`, ``}, {`,"tables":{"public.t":{"rows":3}}`, ``}, {`{"rows":3}`, `null`}, {`{"rows":3}`, `3`},
		{`{"notes":`, `{"people":null,"notes":`}, {`"indexes":{`, `"others":{`},
	} {
		damaged = append(damaged, strings.Replace(good, change[0], change[1], 1))
	}
	for _, text := range damaged {
		if _, err := parseCheckpoint([]byte(text), "blog"); err == nil || errors.Is(err, errNewer) {
			t.Errorf("%s: got %v", text, err)
		}
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
