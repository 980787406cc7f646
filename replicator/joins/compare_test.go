package joins

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sinks"
	"haystream/sources"
)

// TestCheckKnowsWhatIsLeft: where the time of a document has come, or work is left, what should be in the sink is not sure
// before it is marked; and who waits for that waits for no more than what a moment knew of.
func TestCheckKnowsWhatIsLeft(t *testing.T) {
	s := newBench(t)
	s.feeds = true
	s.session()
	s.merge("child", true, "1,7,a")
	s.merge("part", true)
	s.merge("parent", true, "7")
	to := s.j.targets[0]
	to.passing.Store(false)
	sure := func() bool {
		t.Helper()
		c, err := s.j.Check(to.Physical, 0, mapping.NewScratch(), &sinks.Batch{}, nil, nil, func([]byte) bool { return true }, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		c.End()
		return c.Sure
	}
	marked := func(m Moment) bool {
		t.Helper()
		all, err := s.j.Marked(to.Physical, m)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	moment := func() Moment {
		t.Helper()
		m, err := s.j.Moment()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if !sure() || !marked(moment()) {
		t.Fatal("something is left of nothing")
	}
	child := s.stored("child")
	key, _ := rowstore.AppendKey(nil, child.Table, row("1", "7", "a"), child.Table.Key)
	mark := to.renderer.Mark(nil, key)
	for _, step := range []struct {
		what  string
		leave func(*rowstore.Batch) error
		do    func() error
	}{
		{"a document whose time has come", func(b *rowstore.Batch) error { return b.PutDue(time.Now().UnixMicro(), to.id, mark) }, s.j.Due},
		{"work", func(b *rowstore.Batch) error { return b.PutWork(7, make([]byte, workHeader)) }, s.j.slice},
	} {
		before := moment()
		if err := s.j.write(s.j.applied, step.leave); err != nil {
			t.Fatal(err)
		}
		after := moment()
		if sure() || marked(after) || step.what == "work" && !marked(before) {
			t.Errorf("%s is left, and that is not known", step.what)
		}
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if !marked(after) || !sure() {
			t.Errorf("%s is still left", step.what)
		}
	}
	coming := func(b *rowstore.Batch) error { return b.PutDue(time.Now().Add(time.Hour).UnixMicro(), to.id, mark) }
	if err := s.j.write(s.j.applied, coming); err != nil || !sure() || !marked(moment()) {
		t.Error("a document whose time comes later is waited for")
	}
	beside := targetOf(&Target{Target: &sinks.Target{Physical: "beside"}, Alias: to.Alias, Retired: new(atomic.Bool)}, 0, to.renderer)
	beside.paused.Store(true)
	if s.j.targets = append(s.j.targets, beside); !marked(moment()) {
		t.Error("the tables of an index that is built beside are waited for")
	}
}

// TestReindex: where a caller has told the store that a row was what it was not, an index leads to it by what it is not; that is
// found, and mended.
func TestReindex(t *testing.T) {
	s := newBench(t)
	s.merge("child", true, "1,7,a", "2,7,b", "3,9,c")
	child := s.stored("child")
	key := func(r sources.Row) []byte {
		k, _ := rowstore.AppendKey(nil, child.Table, r, child.Table.Key)
		return k
	}
	found := func() (all []string) {
		t.Helper()
		note := func(what string, texts sources.Key, columns []string) {
			if columns != nil {
				all = append(all, what+" "+strings.Join(texts, ",")+" by "+strings.Join(columns, ","))
			}
		}
		_, done, err := s.j.Rows(child, nil, 10, func(_ []byte, texts sources.Key, columns []string) { note("lost", texts, columns) })
		if err == nil && done {
			_, done, err = s.j.Strays(child, nil, 10, func(_ rowstore.Stray, texts sources.Key, columns []string) { note("stray", texts, columns) })
		}
		if err != nil || !done {
			t.Fatal(done, err)
		}
		return all
	}
	if all := found(); len(all) > 0 {
		t.Fatalf("before anything is wrong: %q", all)
	}
	err := s.j.write(s.j.applied, func(b *rowstore.Batch) error {
		k := key(row("1", "7", "a"))
		if err := b.Replace(child.Table, k, row("1", "9", "a"), row("1", "8", "a")); err != nil {
			return err
		}
		return b.Replace(child.Table, key(row("2", "7", "b")), row("2", "8", "b"), row("2", "8", "b2"))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lost 2 by parent_id", "stray 1 by parent_id", "stray 2 by parent_id"}
	if all := found(); !slices.Equal(all, want) {
		t.Errorf("found are %q, want %q", all, want)
	}
	var strays []rowstore.Stray
	if _, _, err := s.j.Strays(child, nil, 10, func(s rowstore.Stray, _ sources.Key, _ []string) { strays = append(strays, s) }); err != nil {
		t.Fatal(err)
	}
	if err := s.j.Reindex(child, [][]byte{key(row("2", "7", "b"))}, strays); err != nil {
		t.Fatal(err)
	}
	if all := found(); len(all) > 0 {
		t.Errorf("after it was mended: %q", all)
	}
}
