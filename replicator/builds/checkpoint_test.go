package builds

import (
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"haystream/mapping"
	"haystream/sources"
)

func TestCheckpointSurvivesEncoding(t *testing.T) {
	cp, err := ParseCheckpoint([]byte(`{"format":1,"name":"blog","position":"0/1","version":7,
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
		_, err := ParseCheckpoint([]byte(text), "blog")
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "run that version") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestDamagedCheckpoints(t *testing.T) {
	const good = `{"format":1,"name":"blog","position":"0/1","version":7,"indexes":{"notes":{"live":{"physical":"notes-1","definition":{},"tables":{"public.t":{"rows":3}}}}}}`
	if _, err := ParseCheckpoint([]byte(good), "blog"); err != nil {
		t.Fatal(err)
	}
	damaged := []string{"", "null", "{}", "[]", "no JSON", `"text"`, good[:len(good)-5]}
	for _, change := range [][2]string{
		{`"format":1,`, ``},
		{`"format":1`, `"format":0`},
		{`"format":1`, `"format":"one"`},
		{`"format":1`, `"format":-3`},
		{`"blog"`, `"shop"`},
		{`"0/1"`, `17`},
		{`"version":7`, `"version":"7"`},
		{`"version":7`, `"version":-7`},
		{`"version":7,`, ``},
		{`"notes-1"`, `""`},
		{`"notes-1"`, `{}`},
		{`"definition":{},`, ``},
		{`,"tables":{"public.t":{"rows":3}}`, ``},
		{`{"rows":3}`, `null`},
		{`{"rows":3}`, `3`},
		{`{"notes":`, `{"people":null,"notes":`},
		{`"indexes":{`, `"others":{`},
	} {
		damaged = append(damaged, strings.Replace(good, change[0], change[1], 1))
	}
	for _, text := range damaged {
		if _, err := ParseCheckpoint([]byte(text), "blog"); err == nil || errors.Is(err, ErrNewer) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestRestartMarksEveryIndexStale(t *testing.T) {
	cp := NewCheckpoint("blog")
	cp.Position, cp.Version = "0/1", 100
	cp.Indexes["notes"] = &indexState{Live: &build{}}
	cp.Restart("slot lost")
	st := cp.Indexes["notes"]
	if cp.Position != "" || st.Stale != "slot lost" || st.Epoch != 1 || cp.Version <= 100 {
		t.Errorf("position %q, stale %q, epoch %d, version %d", cp.Position, st.Stale, st.Epoch, cp.Version)
	}
}

func TestMarkStaleKeepsTheLatestCause(t *testing.T) {
	cp := NewCheckpoint("blog")
	cp.Indexes["notes"] = &indexState{}
	cp.markStale("notes", "second", 20)
	cp.markStale("notes", "first", 10)
	if st := cp.Indexes["notes"]; st.Stale != "second" || st.Epoch != 20 {
		t.Errorf("stale %q, epoch %d", st.Stale, st.Epoch)
	}
}

// TestEpochs: what became stale begins an epoch of the columns that it names, or of
// all, and an index that was planned before is stale by those that it uses.
func TestEpochs(t *testing.T) {
	of := func(names ...string) sources.Fingerprint {
		f := sources.Fingerprint{Table: sources.Facts{"relation": {"1"}}, Columns: map[string]sources.Facts{}}
		for _, name := range names {
			f.Columns[name] = sources.Facts{"column": {name}}
		}
		return f
	}
	table := &sources.Table{Schema: "public", Name: "book", Columns: []sources.Column{{Name: "id"}, {Name: "title"}, {Name: "pages"}}, Fingerprint: of("id", "title", "pages")}
	cp := NewCheckpoint("blog")
	titles := &mapping.Index{Alias: "titles", Uses: map[string][]string{"public.book": {"id", "title"}}}
	cp.Use(&mapping.Plan{Tables: []*sources.Table{table}})
	stale := func(when, want string) {
		t.Helper()
		cp.Indexes["titles"] = &indexState{Live: &build{Epoch: cp.Indexes["titles"].Live.Epoch, Since: 1}}
		cp.outdate(titles)
		st := cp.Indexes["titles"]
		if st.Stale != want {
			t.Errorf("%s: stale %q, want %q", when, st.Stale, want)
		}
		if st.Stale != "" {
			st.Live.Epoch = cp.Epoch // built anew
		}
	}
	cp.Indexes["titles"] = &indexState{Live: &build{}}
	stale("at first", "")
	change := func(version int64, what sources.Staleness) bool {
		return cp.NoteStale([]sources.Change{{Table: table, Kind: sources.Stale, Version: version, Stale: &what}})
	}
	if !change(10, sources.Staleness{Columns: []string{"pages", "gone"}, Reason: "has other pages"}) {
		t.Error("a column in use is not told")
	}
	stale("another column", "")
	if change(10, sources.Staleness{Reason: "was truncated"}) {
		t.Error("what comes again is told again")
	}
	if change(11, sources.Staleness{Columns: []string{"gone"}}) {
		t.Error("a column that nobody uses is told")
	}
	change(12, sources.Staleness{Columns: []string{"title"}, Reason: "has other titles"})
	stale("its column", "table public.book has other titles")
	stale("built anew", "")
	change(13, sources.Staleness{Reason: "was truncated"})
	stale("all rows", "table public.book was truncated")

	older := sources.Staleness{Columns: []string{"title"}, Reason: "had other titles", Older: true}
	if change(14, older) {
		t.Error("what a column was before its rows are read again is told")
	}
	cp.reached()
	if change(14, older) {
		t.Error("the same is told when it comes again")
	}
	if !change(15, older) {
		t.Error("what a column was after its rows were read is not told")
	}
	stale("another column of that name", "table public.book had other titles")
	cp.Tables[table.String()].Fresh = []string{"title"}
	if !cp.NoteStale([]sources.Change{
		{Table: table, Kind: sources.Stale, Version: 16, Stale: &older},
		{Table: table, Kind: sources.Stale, Version: 16, Stale: &sources.Staleness{Columns: []string{"pages"}, Reason: "has a value in the log that cannot be decoded"}},
	}) {
		t.Error("a value that cannot be decoded is not told where the same change tells of older columns")
	}

	now := *table
	now.Fingerprint = of("id", "pages")
	cp.Compare([]*sources.Table{&now}, zerolog.Nop())
	stale("a column that is gone", "table public.book has no column title any more")
	if epoch := now.Epochs.Of("title"); epoch != cp.Epoch || now.Epochs.Of("id") == epoch {
		t.Errorf("epochs %+v of %d", now.Epochs, cp.Epoch)
	}
	cp.newEpoch()
	now.Epochs.Begin(cp.Epoch, &sources.Staleness{})
	cp.Indexes["titles"] = &indexState{Live: &build{Since: 1}, Next: &build{}}
	if epoch, st := cp.outdate(titles), cp.Indexes["titles"]; st.Stale == "" || st.Next.Epoch < epoch {
		t.Errorf("an index into which nothing has come has to be made again: %+v, %+v, %d", st, st.Next, epoch)
	}
	cp.Version = 5
	cp.Use(&mapping.Plan{Tables: []*sources.Table{table, {Schema: "public", Name: "tag"}}})
	if cp.Told != 5 {
		t.Errorf("with other tables in use, stale changes up to %d count as known", cp.Told)
	}
}

// TestUndecodedChange: a change that cannot be decoded is left out, so that indexes
// which use nothing of what it has that cannot be lack it, too.
func TestUndecodedChange(t *testing.T) {
	table := &sources.Table{Schema: "public", Name: "book", Columns: []sources.Column{{Name: "id"}, {Name: "title"}, {Name: "odd"}}}
	titles := &mapping.Index{Alias: "titles", Uses: map[string][]string{"public.book": {"id", "title"}}}
	cp := NewCheckpoint("books")
	cp.Use(&mapping.Plan{Tables: []*sources.Table{table}})
	cp.Indexes["titles"] = &indexState{Live: &build{Since: 1}}
	var undecoded sources.Undecoded
	if err := undecoded.Fail("odd", errors.New("it is odd")); err != nil {
		t.Fatal(err)
	}
	cp.NoteStale([]sources.Change{undecoded.Change(sources.Change{Table: table, Kind: sources.Insert, Version: 10})})
	cp.outdate(titles)
	if want := "table public.book has a value in the log that cannot be decoded: column odd: it is odd"; cp.Indexes["titles"].Stale != want {
		t.Errorf("stale %q, want %q", cp.Indexes["titles"].Stale, want)
	}
}

// TestDefinitionsTakenBack: a session that ends before it has decided about every index leaves what is known of
// the tables of former definitions, so that nothing is missed where these come back.
func TestDefinitionsTakenBack(t *testing.T) {
	table := func(name, sign string) *sources.Table {
		facts := sources.Facts{"relation": {sign}}
		return &sources.Table{Schema: "public", Name: name, Columns: []sources.Column{{Name: "id"}}, Fingerprint: sources.Fingerprint{Table: facts, Columns: map[string]sources.Facts{"id": facts}}}
	}
	books := &mapping.Index{Alias: "books", Uses: map[string][]string{"public.book": {"id"}}}
	former := &mapping.Plan{Tables: []*sources.Table{table("book", "1")}, Homes: map[string]string{"book": "public"}}
	others := &mapping.Plan{Tables: []*sources.Table{table("tag", "1")}, Homes: map[string]string{"tag": "public"}}
	for _, settled := range []bool{false, true} {
		cp := NewCheckpoint("blog")
		cp.Indexes["books"] = &indexState{Live: &build{Since: 1}}
		cp.Use(former)
		cp.Settle(former, nil)
		cp.Use(others)
		if settled {
			cp.Settle(others, nil)
		}
		cp.Compare([]*sources.Table{table("book", "2"), table("tag", "1")}, zerolog.Nop())
		cp.outdate(books)
		if stale := cp.Indexes["books"].Stale; (stale == "") != settled {
			t.Errorf("settled: %v, stale %q", settled, stale)
		}
		if (cp.Tables["public.book"] == nil) != settled || (cp.Homes["book"] == "") != settled || cp.Tables["public.tag"] == nil {
			t.Errorf("settled: %v, known are %v, at home in %v", settled, cp.Tables, cp.Homes)
		}
	}
}

// TestLoseStore: an index made of stored rows is stale without them, whatever the definitions are by now.
func TestLoseStore(t *testing.T) {
	cp := NewCheckpoint("blog")
	stored, other := &build{UUID: "made", Stored: true}, &build{UUID: "made"}
	cp.Indexes = map[string]*indexState{"live": {Live: stored}, "next": {Live: other, Next: stored}, "neither": {Live: other}, "planned": {Live: &build{Stored: true}}}
	cp.LoseStore()
	for alias, st := range cp.Indexes {
		if want := alias == "live" || alias == "next"; (st.Stale != "") != want || want && st.Epoch != cp.Epoch {
			t.Errorf("index %s: stale %q, epoch %d of %d", alias, st.Stale, st.Epoch, cp.Epoch)
		}
	}
}
