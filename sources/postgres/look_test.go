package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/sources"
)

// TestLook: what changes without a row ends the stream, whatever it is busy with.
func TestLook(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"traffic":   testLookUnderTraffic,
		"silent":    testLookUnanswered,
		"storm":     testRelationStorm,
		"published": testUnpublishedWhileRead,
	})
}

// TestLookAtOnce: what somebody else has found ends the stream soon, however long it is until the stream's own next look.
func TestLookAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	look := func(context.Context) error { return sources.ErrSchemaChanged }
	l := newLookout(look, time.Hour, func() {}, zerolog.Nop())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx) })
	defer running.Wait()
	defer cancel()
	if err := l.atOnce(ctx); !errors.Is(err, sources.ErrSchemaChanged) {
		t.Errorf("it has found %v", err)
	}
	select {
	case <-l.found:
	case <-time.After(time.Minute):
		t.Error("the stream does not hear of it")
	}
}

// endsBy reads until a change of the catalog ends the stream.
func (f *follower) endsBy(t *rig, text string) {
	t.Helper()
	from := f.at
	f.endsWithSchemaChange(text)
	f.at = from
}

// testLookUnderTraffic: a table is replaced while others are written to all the
// time, and while nobody takes what the stream has read.
func testLookUnderTraffic(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "CREATE TABLE busy (id serial PRIMARY KEY, body text)", "CREATE TABLE other (id int PRIMARY KEY, n int)")
	writer := connect(r, r.url)
	for _, blocked := range []bool{false, true} {
		r.prepare("public.notes", "public.busy")
		f := r.follow(r.start)
		r.exec("INSERT INTO busy (body) VALUES ('x')")
		if _, err := f.next(); err != nil {
			r.Fatal(err)
		}
		ctx, cancel := context.WithCancel(r.Context())
		written := make(chan struct{})
		go func() {
			defer close(written)
			for ctx.Err() == nil {
				_, _ = writer.Exec(ctx, "INSERT INTO public.busy (body) SELECT repeat('x', 1000) FROM generate_series(1, 20)")
				_, _ = writer.Exec(ctx, "SELECT pg_sleep(0.02)")
			}
		}()
		r.exec("ALTER TABLE notes RENAME TO old", "ALTER TABLE other RENAME TO notes", "ALTER TABLE old RENAME TO other")
		began := time.Now()
		var ended error
		if blocked {
			ended = <-f.done // takes nothing
		} else {
			ended = f.ends()
		}
		if !errors.Is(ended, sources.ErrSchemaChanged) || !strings.Contains(ended.Error(), "public.notes has changed: it is another table") {
			r.Errorf("blocked %v: the stream ended with %v", blocked, ended)
		}
		if took := time.Since(began); took > 5*time.Second {
			r.Errorf("blocked %v: it took %s", blocked, took)
		}
		cancel()
		<-written
		writer = connect(r, r.url)
	}
}

// testLookUnanswered: while a look gets no answer, changes come all the same.
func testLookUnanswered(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (0, 0)")
	f.expect("insert notes (0,0)")
	r.exec("BEGIN", "LOCK pg_catalog.pg_publication IN ACCESS EXCLUSIVE MODE")
	r.eventually("a look waits", func() bool {
		return r.ask("SELECT count(*) FROM pg_locks WHERE relation = 'pg_publication'::regclass AND NOT granted") != "0"
	})
	writer := connect(r, r.url)
	for n := range 3 {
		execute(r, writer, fmt.Sprintf("INSERT INTO public.notes VALUES (%d, 0)", n+1))
		f.expect(fmt.Sprintf("insert notes (%d,0)", n+1))
	}
	r.exec("ROLLBACK", "ALTER TABLE notes ALTER n TYPE int USING n + 1")
	f.endsBy(r, "public.notes has changed its column n: its stored values")
}

// testRelationStorm: a table that is described again and again is not looked at
// each time, but soon.
func testRelationStorm(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY, n int)", "CREATE TABLE far (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (0, 0)")
	f.expect("insert notes (0,0)")
	l := r.source.stream.Load().lookout
	began := time.Now()
	var want []string
	for n := 1; n <= 200; n++ {
		// Each makes the server describe the table again.
		r.exec("ALTER TABLE notes SET (fillfactor = "+fmt.Sprint(50+n%50)+")", fmt.Sprintf("INSERT INTO notes VALUES (%d, 0)", n))
		want = append(want, fmt.Sprintf("insert notes (%d,0)", n))
	}
	f.expect(want...)
	f.stop()
	// Those of the interval come besides.
	if most := 4 + int(time.Since(began)/lookSpacing+time.Since(began)/r.source.lookInterval); l.looks > most {
		r.Errorf("%d looks, want %d at most", l.looks, most)
	}
}

// testUnpublishedWhileRead: the publication is changed by hand and put back; each
// is noticed, and what may have been missed is stale.
func testUnpublishedWhileRead(r *rig) {
	r.exec("CREATE TABLE a (id int PRIMARY KEY, n int)", "CREATE TABLE b (id int PRIMARY KEY)",
		"CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9)")
	r.prepare("public.a", "public.b", "public.p")
	pub := "ALTER PUBLICATION " + r.name
	tests := []struct {
		narrow string
		since  int
		want   string // tables that are stale
	}{
		{pub + " DROP TABLE a", 13, "a"},
		{pub + " SET (publish = 'insert')", 13, "a b p"},
		{pub + " SET (publish_via_partition_root)", 13, "a b p"},
		{pub + " SET TABLE a WHERE (id > 5), b, p", 15, "a"},
		{pub + " SET TABLE a (id), b, p", 15, "a"},
		{pub + " ADD TABLE p1 WHERE (id > 5)", 15, "p"},
		{pub + " SET TABLES IN SCHEMA public", 15, "a b p"},
	}
	from := r.start
	for _, test := range tests {
		if serverVersion(r.admin) < test.since*10000 {
			continue
		}
		r.plan("public.a", "public.b", "public.p")
		start, err := r.ready(r.Context(), from.Position)
		r.must(err)
		r.plan("public.a", "public.b", "public.p")
		earlier := r.tables
		f := r.follow(sources.Checkpoint{Position: start.Position})
		r.exec(test.narrow)
		f.endsWithSchemaChange("what the publication has of it")
		// What a daemon does then: it mends the publication.
		r.plan("public.a", "public.b", "public.p")
		_, err = r.ready(r.Context(), from.Position)
		r.must(err)
		r.plan("public.a", "public.b", "public.p")
		var stale []string
		for i, t := range r.tables {
			if t.Fingerprint.Since(earlier[i].Fingerprint) != nil {
				stale = append(stale, t.Name)
			}
		}
		if got := strings.Join(stale, " "); got != test.want {
			r.Errorf("%s: stale are %q, want %q", test.narrow, got, test.want)
		}
	}
	r.exec("DROP PUBLICATION " + r.name)
	if err := r.again(from); !errors.Is(err, sources.ErrPositionLost) {
		r.Errorf("without the publication Prepare gives %v", err)
	}
}
