package joins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
	"haystream/sources/sourcetest"
)

// A bench has a store of some tables. That of newBench has parents, and two tables
// with an unlogged foreign key to them, which is a part of the key of one.
type bench struct {
	*testing.T
	store   *rowstore.Store
	plan    *mapping.Plan
	j       *Joins
	version int64
	feeds   bool // documents are rendered
}

func newBench(t *testing.T) *bench {
	t.Helper()
	key := foreignKey("parent_id", "parent")
	return benchOf(
		t, []*sources.Table{
			{
				Schema: "s", Name: "child", Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey, ForeignKeys: []sources.ForeignKey{key},
				Columns: []sources.Column{{Name: "id", Type: integer, NotNull: true}, {Name: "parent_id", Type: integer}, {Name: "name", Type: text}},
			},
			{
				Schema: "s", Name: "part", Key: []int{0, 1}, IdentityColumns: []int{0, 1}, Identity: sources.IdentityKey, ForeignKeys: []sources.ForeignKey{key},
				Columns: []sources.Column{{Name: "parent_id", Type: integer, NotNull: true}, {Name: "id", Type: integer, NotNull: true}},
			},
			{
				Schema: "s", Name: "parent", Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey,
				Columns: []sources.Column{{Name: "id", Type: integer, NotNull: true}},
			},
		},
		mapping.Set{Indexes: map[string]*mapping.Definition{
			"x": {Table: "child", Fields: mapping.Fields{Named: map[string]*mapping.Field{"name": nil}}},
			"y": {Table: "part", Fields: mapping.Fields{Named: map[string]*mapping.Field{"id": nil}}},
		}},
	)
}

// newRing has a bench of tables that refer to one another in a ring: each row of one
// is deleted with the row of the one before, of the first with the one of the last.
func newRing(t *testing.T, names ...string) *bench {
	t.Helper()
	var catalog []*sources.Table
	set := mapping.Set{Indexes: map[string]*mapping.Definition{}}
	for i, name := range names {
		before := names[(i+len(names)-1)%len(names)]
		catalog = append(catalog, &sources.Table{
			Schema: "s", Name: name, Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey,
			Columns:     []sources.Column{{Name: "id", Type: integer, NotNull: true}, {Name: "of", Type: integer}},
			ForeignKeys: []sources.ForeignKey{foreignKey("of", before)},
		})
		set.Indexes[name] = &mapping.Definition{Table: name, Fields: mapping.Fields{Named: map[string]*mapping.Field{"of": nil}}}
	}
	return benchOf(t, catalog, set)
}

var (
	integer = sources.Type{Kind: sources.Int, Size: 32, SQL: "int"}
	text    = sources.Type{Kind: sources.Text, SQL: "text"}
)

func foreignKey(column, table string) sources.ForeignKey {
	return sources.ForeignKey{
		Name: "fk", Columns: []string{column}, Schema: "s", Table: table, Targets: []string{"id"},
		OnDelete: sources.Cascade, OnUpdate: sources.Cascade, Unlogged: true,
	}
}

func benchOf(t *testing.T, catalog []*sources.Table, set mapping.Set) *bench {
	t.Helper()
	plan, err := mapping.Options{Complete: true}.Compile(catalog, set)
	if err != nil {
		t.Fatal(err)
	}
	s := &bench{T: t, plan: plan, version: 100}
	if s.store, err = rowstore.Open("rows", rowstore.Meta{}, rowstore.Options{FS: vfs.NewMem()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	if err := s.store.Use(plan.Layout); err != nil {
		t.Fatal(err)
	}
	s.session()
	return s
}

// session begins a new one on the same store.
func (s *bench) session() {
	s.Helper()
	j, err := Open(s.store, s.plan, s.targets(), reading.NewWindows(len(s.plan.Tables)), s.version, time.Now)
	if err == nil {
		err = j.Reached()
	}
	if err != nil {
		s.Fatal(err)
	}
	s.j = j
}

// targets are one for each index; none where no documents are wanted.
func (s *bench) targets() (all []*Target) {
	for _, index := range s.plan.Sets[0] {
		if s.feeds {
			all = append(all, newTarget(index, index.Alias))
		}
	}
	return all
}

func newTarget(index *mapping.Index, physical string) *Target {
	return &Target{
		Target: &sinks.Target{Index: index.Alias, Physical: physical, WriteAlias: sinks.WriteAlias(physical)},
		Alias:  index.Alias, Joined: index.Joined, Since: &atomic.Int64{}, Retired: &atomic.Bool{},
	}
}

func (s *bench) table(name string) *sources.Table {
	return s.plan.Tables[slices.IndexFunc(s.plan.Tables, func(t *sources.Table) bool { return t.Name == name })]
}

func (s *bench) stored(name string) *Table { return s.j.of[s.table(name).Ordinal][0] }

// batch is of changes such as "delete parent 1" or "update child 5,?,x"; before
// an update's new values there may be the old ones and an arrow.
func (s *bench) batch(changes ...string) *sources.Batch {
	b := &sources.Batch{}
	for _, text := range changes {
		words := strings.SplitN(text, " ", 3)
		image := func(text string) sources.Row { return row(strings.Split(text, ",")...) }
		c := sources.Change{Table: s.table(words[1]), Cascades: true}
		s.version++
		c.Version, c.Tx = s.version, uint64(s.version)
		switch words[0] {
		case "insert":
			c.Kind, c.After, c.Cascades = sources.Insert, image(words[2]), false
		case "update":
			before, after, _ := strings.Cut(words[2], " > ")
			c.Kind, c.Before, c.After = sources.Update, image(before), image(after)
		case "delete":
			c.Kind, c.Before = sources.Delete, image(words[2])
		}
		b.Changes = append(b.Changes, c)
	}
	return b
}

// stream applies changes.
func (s *bench) stream(changes ...string) {
	s.Helper()
	b := s.batch(changes...)
	s.j.windows.Record(b)
	if err := s.j.Apply(b); err != nil {
		s.Fatal(err)
	}
}

// open begins to read a table.
func (s *bench) open(table string) (*Table, *reading.Window) {
	t := s.stored(table)
	return t, s.j.windows.Open(t.Source, true)
}

// merge stores all rows that a table has; done: there are no more.
func (s *bench) merge(table string, done bool, rows ...string) {
	s.Helper()
	t, w := s.open(table)
	s.mergeInto(t, w, done, rows...)
}

func (s *bench) mergeInto(t *Table, w *reading.Window, done bool, rows ...string) {
	s.Helper()
	chunk := &sources.Chunk{Done: done, Sees: func(uint64) bool { return false }}
	for _, text := range rows {
		chunk.Rows = append(chunk.Rows, row(strings.Split(text, ",")...))
		chunk.Last = sources.Key{strings.Split(text, ",")[0]}
	}
	defer s.j.windows.Close(w)
	h, ok := s.j.windows.Happened(w, chunk)
	if !ok {
		s.Fatal("the window has outgrown its bound")
	}
	if err := s.j.Merge(t, chunk, h); err != nil {
		s.Fatal(err)
	}
}

var row = sourcetest.Row

// expect compares what is stored of a table.
func (s *bench) expect(table string, rows ...string) {
	s.Helper()
	if got := s.rows(table); !slices.Equal(got, rows) {
		s.Errorf("%s: %.20q, want %q", table, got[:min(len(got), 5)], rows)
	}
}

// rows are those that are stored of a table.
func (s *bench) rows(table string) (got []string) {
	s.Helper()
	snap := s.store.Snapshot()
	defer snap.Release()
	err := snap.All(s.stored(table).Table, nil, func(_ []byte, r sources.Row) (bool, error) {
		var cells []string
		for i := range r.Len() {
			switch {
			case r.Missing(i):
				cells = append(cells, "?")
			case r.Null(i):
				cells = append(cells, "-")
			default:
				cells = append(cells, string(r.Text(i)))
			}
		}
		got = append(got, strings.Join(cells, ","))
		return true, nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return got
}

// settled reports whether tables are known and nothing is suspected.
func (s *bench) settled() bool {
	return s.j.known() && !slices.ContainsFunc(s.j.tables, func(t *Table) bool { return t.suspects > 0 })
}

// reread lets what is suspected be read again, in tables that have some rows, until
// nothing is.
func (s *bench) reread(tables map[string][]string) {
	s.Helper()
	for !s.settled() {
		if sw := s.j.nextSweep(); sw != nil {
			if err := s.j.sweep(sw); err != nil {
				s.Fatal(err)
			}
			continue
		}
		l, err := s.j.Look()
		if err != nil {
			s.Fatal(err)
		}
		if l == nil { // the last one has ended
			continue
		}
		w := s.j.windows.Open(l.table.Source, true)
		having, _ := l.Request()
		chunk := &sources.Chunk{Done: true, Sees: func(uint64) bool { return true }}
		for _, text := range tables[l.table.Source.Name] {
			r := row(strings.Split(text, ",")...)
			if slices.ContainsFunc(having.Of, func(v sources.Key) bool { return slices.Equal(r.Key(having.Columns), v) }) {
				chunk.Rows = append(chunk.Rows, r)
			}
		}
		h, ok := s.j.windows.Happened(w, chunk)
		s.j.windows.Close(w)
		if !ok {
			s.Fatal("the window has outgrown its bound")
		}
		if err := s.j.Found(l, chunk, h); err != nil {
			s.Fatal(err)
		}
	}
}

// TestCascadesSeenByAChunk: what foreign keys have done before a chunk was read is
// not done to its rows once more.
func TestCascadesSeenByAChunk(t *testing.T) {
	t.Run("partial image", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "2")
		c, w := s.open("child")
		s.stream("delete parent 1", "insert parent 1", "update child 7,?,? > 7,1,?")
		s.mergeInto(c, w, true, "7,1,seven") // as it was after that
		s.merge("part", true)
		s.reread(map[string][]string{"child": {"7,1,seven"}})
		s.expect("child", "7,1,seven")
	})
	t.Run("a key is taken over", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "2")
		c, w := s.open("child")
		s.stream("delete parent 1", "update parent 2 > 1")
		s.mergeInto(c, w, true, "7,1,seven")
		s.merge("part", true)
		s.reread(map[string][]string{"child": {"7,1,seven"}})
		s.expect("child", "7,1,seven")
	})
	t.Run("window opened while the batch is applied", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "2")
		b := s.batch("delete parent 1", "insert parent 1", "insert child 7,1,seven")
		s.j.windows.Record(b)
		c, w := s.open("child")
		if err := s.j.Apply(b); err != nil {
			t.Fatal(err)
		}
		s.mergeInto(c, w, true, "7,1,seven")
		s.expect("child", "7,1,seven")
	})
	t.Run("unseen", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "2")
		c, w := s.open("child")
		s.stream("delete parent 1", "update parent 2 > 3")
		s.mergeInto(c, w, true, "7,1,seven", "8,2,eight")
		s.merge("part", true)
		s.reread(map[string][]string{"child": {"8,3,eight"}})
		s.expect("child", "8,3,eight")
	})
}

// TestSuspects: rows that foreign keys may have acted on unseen, and those of which
// the log told a part, are read again.
func TestSuspects(t *testing.T) {
	t.Run("in flight", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "2")
		s.merge("part", true)
		c, w := s.open("child")
		s.stream("delete parent 1")
		s.mergeInto(c, w, true, "7,1,seven", "8,2,eight")
		if s.j.known() {
			t.Error("a row was taken for known that may have gone")
		}
		s.reread(map[string][]string{"child": {"8,2,eight"}})
		s.expect("child", "8,2,eight")
	})
	t.Run("moved to where all was read", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "9")
		s.merge("child", true)
		s.merge("part", false, "1,1")
		s.stream("update parent 9 > 0")
		s.merge("part", true)
		s.reread(map[string][]string{"part": {"0,5", "1,1"}})
		s.expect("part", "0,5", "1,1")
	})
	t.Run("told in part", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true, "1", "2")
		s.merge("part", true)
		s.merge("child", false, "1,1,one")
		s.stream("update child 7,?,? > 7,?,seven", "update child 8,?,? > 8,?,eight", "update child 6,?,? > 9,?,?", "delete parent 2") // and with it row 8
		s.expect("child", "1,1,one")
		s.session()
		s.merge("child", true)
		s.reread(map[string][]string{"child": {"1,1,one", "7,1,seven", "9,1,nine"}})
		s.expect("child", "1,1,one", "7,1,seven", "9,1,nine")
	})
	t.Run("told in part when all was read", func(t *testing.T) {
		s := newBench(t)
		for _, table := range []string{"parent", "part", "child"} {
			s.merge(table, true)
		}
		s.stream("insert child 1,-,?")
		s.expect("child")
		s.reread(map[string][]string{"child": {"1,-,default"}})
		s.expect("child", "1,-,default")
	})
	again := func(s *bench, changes ...string) {
		l, err := s.j.Look()
		if err != nil || l == nil {
			s.Fatalf("nothing is read again: %v", err)
		}
		_, w := s.open("child")
		s.stream(changes...)
		chunk := &sources.Chunk{Done: true, Sees: func(uint64) bool { return false }, Rows: []sources.Row{row("1", "-", "before")}}
		h, _ := s.j.windows.Happened(w, chunk)
		if err := s.j.Found(l, chunk, h); err != nil {
			s.Fatal(err)
		}
		s.j.windows.Close(w)
	}
	t.Run("told in part again while it is looked up", func(t *testing.T) {
		s := newBench(t)
		for _, table := range []string{"parent", "part", "child"} {
			s.merge(table, true)
		}
		s.stream("insert child 1,-,?")
		again(s, "update child 1,?,? > 1,?,?")
		s.expect("child")
		if !s.j.known() {
			t.Error("a row that comes late holds up all others")
		}
		s.reread(map[string][]string{"child": {"1,-,now"}})
		s.expect("child", "1,-,now")
	})
	t.Run("told in part, moved to where all was read", func(t *testing.T) {
		for _, changes := range [][]string{nil, {"update child 1,?,? > 1,?,?"}} {
			s := newBench(t)
			s.merge("parent", true)
			s.merge("part", true)
			s.merge("child", false, "2,-,two")
			s.stream("update child 6,?,? > 1,?,?")
			s.merge("child", true)
			if s.j.known() {
				t.Error("documents may be rendered without the row, which is nowhere in the store")
			}
			again(s, changes...)
			if _, err := s.j.Look(); err != nil || !s.j.known() {
				t.Errorf("the row holds up all others after it was read once: %v", err)
			}
			if len(changes) == 0 {
				s.expect("child", "1,-,before", "2,-,two")
			}
		}
	})
	t.Run("while another table is read", func(t *testing.T) {
		s := newBench(t)
		s.merge("parent", true)
		s.merge("child", true)
		s.stream("insert child 1,-,?")
		if l, err := s.j.Look(); l == nil || err != nil {
			t.Errorf("it is not read again before all tables are: %v", err)
		}
	})
	t.Run("referring to what went unseen", func(t *testing.T) {
		s := newRing(t, "a", "b", "c")
		s.merge("a", true, "1,-", "2,9", "4,-")
		s.stream("delete a 1,-") // and with it a row of b, and with that 9 of c, and with that 2 of a, and with that 3 of b
		s.merge("b", true)
		s.merge("c", true)
		s.reread(map[string][]string{"a": {"4,-"}})
		s.expect("a", "4,-")
	})
	t.Run("referring to nothing in the source too", func(t *testing.T) {
		s := newRing(t, "node")
		c, w := s.open("node")
		s.stream("insert node 3,-", "delete node 3,-")
		s.mergeInto(c, w, true, "1,-", "9,77")
		s.reread(map[string][]string{"node": {"1,-", "9,77"}})
		s.expect("node", "1,-", "9,77")
	})
	t.Run("come anew beside a chunk", func(t *testing.T) {
		s := newRing(t, "node")
		c, w := s.open("node")
		s.stream("delete node 1,-", "insert node 5,-") // with 1 went 5, and 6 with that
		s.mergeInto(c, w, true, "1,-", "5,1", "6,5")
		s.reread(map[string][]string{"node": {"5,-"}})
		s.expect("node", "5,-")
	})
}

// TestChangeThatCannotBeDecoded: of a row of which the log has a value that cannot be
// decoded it is known what referred to it, or that this is not known.
func TestChangeThatCannotBeDecoded(t *testing.T) {
	undecoded := func(s *bench, change string) {
		t.Helper()
		b := s.batch(change)
		var u sources.Undecoded
		if err := u.Fail("name", errors.New("it is odd")); err != nil {
			t.Fatal(err)
		}
		b.Changes[0] = u.Change(b.Changes[0])
		s.j.windows.Record(b)
		if err := s.j.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	children := []string{"7,1,seven", "8,2,eight"}
	t.Run("delete", func(t *testing.T) {
		s := newBench(t)
		s.merge("child", true, children...)
		undecoded(s, "delete parent 1")
		s.expect("child", "8,2,eight")
	})
	t.Run("key changed", func(t *testing.T) {
		s := newBench(t)
		s.merge("child", true, children...)
		undecoded(s, "update parent 1 > 3")
		s.expect("child", "7,3,seven", "8,2,eight")
	})
	for _, change := range []string{"delete parent ?", "update parent 1 > ?"} {
		t.Run("key that cannot be decoded: "+change, func(t *testing.T) {
			s := newBench(t)
			s.merge("child", true, children...)
			s.merge("part", true, "1,5")
			undecoded(s, change)
			s.merge("parent", true, "2")
			if s.j.known() {
				t.Error("rows are taken for known that may have gone")
			}
			s.reread(map[string][]string{"child": {"8,2,eight"}})
			s.expect("child", "8,2,eight")
			s.expect("part")
		})
	}
}

// TestReplayBesideAChunk: changes that are in the store already are not newer than a chunk's rows.
func TestReplayBesideAChunk(t *testing.T) {
	s := newBench(t)
	s.merge("parent", true, "1", "2")
	version := s.version
	s.stream("insert child 7,1,seven")
	s.version = version
	s.session()
	if _, since := s.j.Unread(); since < s.j.applied {
		t.Error("tables are read while changes come that are passed over")
	}
}

// TestBatchThatIsCutShort: where a large batch has taken effect in part, nothing is rendered
// from that, and the change of a part of a value is not made once more.
func TestBatchThatIsCutShort(t *testing.T) {
	s := newBench(t)
	s.feeds = true
	s.session()
	s.merge("parent", true, "1", "2")
	s.merge("part", true)
	rows := []string{"1,-,[1]"}
	for n := range 2 * sliceKeys {
		rows = append(rows, fmt.Sprintf("%d,1,%01000d", n+10, n))
	}
	s.merge("child", true, rows...)
	version := s.version
	apply := func(last string) error {
		s.version = version
		b := s.batch("update child 1,?,? > 1,?,?", "update parent 1 > 3", last)
		a := sources.NewArena(0)
		a.StartRow(3)
		a.Text([]byte("1"))
		a.Missing()
		a.Patch([]byte(`[["insert", [0], 0]]`))
		b.Changes[0].After = a.EndRow()
		s.j.windows.Record(b)
		return s.j.Apply(b)
	}
	if err := apply("insert child -,-,x"); err == nil {
		t.Fatal("a row without a key was stored")
	}
	paused := func(to *target) bool { return to.paused.Load() }
	if len(s.j.targets) == 0 || slices.ContainsFunc(s.j.targets, func(to *target) bool { return !paused(to) }) {
		t.Error("documents are rendered from a change that is made in part")
	}
	s.version = version
	s.session()
	if err := apply("insert child 2,-,x"); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(s.j.targets, paused) {
		t.Error("documents are not rendered after the batch")
	}
	got := s.rows("child")
	if !slices.Equal(got[:2], []string{"1,-,[0, 1]", "2,-,x"}) || slices.ContainsFunc(got[2:], func(r string) bool { return !strings.Contains(r, ",3,") }) {
		t.Errorf("%.20q", got[:5])
	}
}

// TestDueAfterTheClockIsSet: a time that comes since the clock was set forwards is noticed.
func TestDueAfterTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBench(t)
		set := time.Duration(0)
		j, err := Open(s.store, s.plan, nil, reading.NewWindows(len(s.plan.Tables)), s.version, func() time.Time { return time.Now().Add(set) })
		if err != nil {
			t.Fatal(err)
		}
		due := time.Now().Add(2 * time.Hour).UnixMicro()
		err = j.write(s.version, func(b *rowstore.Batch) error { return b.PutDue(due, 1, []byte("k")) })
		if err := errors.Join(err, j.schedule()); err != nil {
			t.Fatal(err)
		}
		_, timer, _ := j.Channels()
		left := func() (there bool) {
			if err := j.firstDue(due, func(time.Time) { there = true }); err != nil {
				t.Fatal(err)
			}
			return there
		}
		for looked := range 7 {
			if looked == 6 {
				set = 2 * time.Hour
			}
			select {
			case <-timer:
			case <-time.After(time.Minute):
				t.Fatal("the clock is not looked at")
			}
			if err := j.Due(); err != nil {
				t.Fatal(err)
			}
			if left() != (looked < 6) {
				t.Fatalf("after %d looks the document is due: %t", looked, left())
			}
		}
	})
}

// TestBegunWithoutItsTable: documents that were begun are not rendered from a table
// that has to be read again; their index is built anew beside first.
func TestBegunWithoutItsTable(t *testing.T) {
	s := newBench(t)
	index := s.plan.Sets[0][0]
	live := newTarget(index, "x-1")
	live.Serving = true
	again := func() error {
		j, err := Open(s.store, s.plan, []*Target{live}, reading.NewWindows(len(s.plan.Tables)), s.version, time.Now)
		s.j = j
		return err
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
	to := s.j.targets[0]
	err := s.j.write(s.version, func(b *rowstore.Batch) error {
		return errors.Join(writeNote(b, noteBegan+to.name(), 1), b.PutDue(9, to.id, []byte("k")), b.PutWork(1, binary.BigEndian.AppendUint32(nil, to.id)))
	})
	if err != nil {
		t.Fatal(err)
	}
	var rebuild *RebuildError
	if err := again(); !errors.As(err, &rebuild) || !slices.Equal(rebuild.Aliases, []string{"x"}) {
		t.Fatalf("begun, and its tables are not there: %v", err)
	}
	live.Serving = false
	if err := again(); !errors.As(err, &rebuild) || !slices.Equal(rebuild.Useless, []string{"x-1"}) {
		t.Fatalf("begun beside, and its tables are not there: %v", err)
	}
	live.Serving, live.Stale, live.Replaced = true, true, true
	if err := again(); err != nil {
		t.Fatal(err)
	}
	left, err := s.store.Targets()
	if err != nil || len(left) > 0 || s.j.targets[0].began.Load() > 0 {
		t.Errorf("still to be rendered: %v, begun: %v, %v", left, s.j.targets[0].began.Load(), err)
	}
	snap := s.store.Snapshot()
	defer snap.Release()
	err = snap.Work(func(id uint64, _ []byte) (bool, error) {
		t.Errorf("work %d is left", id)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsRenderedFromBehind: the store may have lost what documents were rendered from
// that were sent. Until all of that is in it again none is rendered.
func TestNothingIsRenderedFromBehind(t *testing.T) {
	s := newBench(t)
	s.feeds = true
	s.session()
	for _, table := range []string{"parent", "part", "child"} {
		s.merge(table, true)
	}
	s.stream("insert parent 1")
	var err error
	if s.j, err = Open(s.store, s.plan, s.targets(), reading.NewWindows(len(s.plan.Tables)), s.version, time.Now); err != nil {
		t.Fatal(err)
	}
	turns := func() (n int) {
		t.Helper()
		shared, _, turns, _, err := s.j.rounds.begin()
		if err != nil {
			t.Fatal(err)
		}
		s.j.rounds.leave(shared)
		for _, turn := range turns {
			if turn != nil {
				n++
			}
		}
		return n
	}
	s.stream("insert child 7,1,seven")
	if n := turns(); n > 0 || s.j.Known() {
		t.Errorf("%d targets are rendered, and the tables are known: %t", n, s.j.Known())
	}
	if err := s.j.Reached(); err != nil {
		t.Fatal(err)
	}
	if n := turns(); n != len(s.j.targets) || n == 0 || !s.j.Known() {
		t.Errorf("%d of %d targets are rendered, and the tables are known: %t", n, len(s.j.targets), s.j.Known())
	}
}

// TestEmptiedTable: what serves until it is replaced does not take a row that a truncated table had,
// and a new one, for the same document.
func TestEmptiedTable(t *testing.T) {
	for _, emptied := range []bool{false, true} {
		s := newBench(t)
		for _, table := range []string{"parent", "part", "child"} {
			s.merge(table, true)
		}
		s.stream("insert child 1,-,one", "insert child 2,-,two")
		s.version++
		stale := sources.Change{Table: s.table("child"), Kind: sources.Stale, Version: s.version, Stale: &sources.Staleness{Emptied: emptied}}
		if err := s.j.Apply(&sources.Batch{Changes: []sources.Change{stale}}); err != nil {
			t.Fatal(err)
		}
		s.stream("insert child 3,-,two")
		if emptied {
			s.expect("child", "3,-,two")
		} else {
			s.expect("child", "1,-,one", "2,-,two", "3,-,two")
		}
	}
}
