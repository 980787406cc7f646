package rowstore

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
	"github.com/rs/zerolog"

	"haystream/internal/seeds"
	"haystream/sources"
)

func TestRandomWorkload(t *testing.T) {
	seed := seeds.One(t)
	r := rand.New(rand.NewPCG(seed, 0))
	fs, l, m := vfs.NewMem(), layout(), newModel()
	s := open(t, fs, l)
	for range 300 {
		if err := m.commit(s, l, r, r.IntN(10) == 0); err != nil {
			t.Fatal(err)
		}
		if r.IntN(30) == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, fs, l)
		}
		if r.IntN(10) > 0 {
			continue
		}
		if got, want := current(t, l, s), m.dump(l); got != want {
			t.Fatalf("the store holds\n%s\nwant\n%s", got, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A batch reads its own writes, a snapshot none that come after it, nor do discarded ones count.
func TestMoments(t *testing.T) {
	l := layout()
	s := open(t, vfs.NewMem(), l)
	defer s.Close()
	m, r := newModel(), rand.New(rand.NewPCG(1, 2))
	for range 50 {
		if err := m.commit(s, l, r, false); err != nil {
			t.Fatal(err)
		}
	}
	want := m.dump(l)
	before := s.Snapshot()
	fork := before.Fork(sources.NewArena(0))
	defer before.Release()
	defer fork.Release()
	b := s.Batch()
	for range 100 {
		if err := m.step(b, l, r); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := dump(l, s, b); err != nil || got != m.dump(l) {
		t.Errorf("the batch reads %v\n%s\nwant\n%s", err, got, m.dump(l))
	}
	if err := b.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := b.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := newModel().commit(s, l, r, false); err != nil && !strings.Contains(err.Error(), "old row") {
		t.Fatal(err)
	}
	for _, reader := range []Reader{before, fork} {
		got, err := dump(l, s, reader)
		if _, rest, _ := strings.Cut(got, "\n"); err != nil || rest != want[strings.Index(want, "\n")+1:] {
			t.Errorf("the snapshot reads %v\n%s\nwant\n%s", err, got, want)
		}
	}
}

func TestCursor(t *testing.T) {
	l := layout()
	s := open(t, vfs.NewMem(), l)
	defer s.Close()
	b := s.Batch()
	for id := range 100 {
		if _, err := b.Put(l.Tables[notes], row(strconv.Itoa(id-50), strconv.Itoa(id%2), null, "")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	snapshot := s.Snapshot()
	defer snapshot.Release()
	value, _ := AppendKey(nil, l.Tables[users], row("1", ""), []int{0})
	var got []string
	var after []byte
	for slice := 0; ; slice++ {
		n := len(got)
		err := snapshot.Scan(l.Tables[notes], 0, value, after, func(key []byte, row sources.Row) (bool, error) {
			got = append(got, string(row.Text(0)))
			after = append(after[:0], key...)
			return len(got) < n+7, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == n {
			break
		}
	}
	var want []string
	for id := -49; id < 50; id += 2 {
		want = append(want, strconv.Itoa(id))
	}
	if !slices.Equal(got, want) {
		t.Errorf("in slices: %q, want %q", got, want)
	}
	stop := errors.New("stop")
	if err := snapshot.All(l.Tables[notes], nil, func([]byte, sources.Row) (bool, error) { return true, stop }); !errors.Is(err, stop) {
		t.Errorf("All returns %v, want the callback's error", err)
	}
}

func TestIncompleteRow(t *testing.T) {
	l := layout()
	s := open(t, vfs.NewMem(), l)
	defer s.Close()
	b := s.Batch()
	defer b.Discard()
	a := sources.NewArena(0)
	a.StartRow(2)
	a.Text([]byte("1"))
	a.Missing()
	change := a.EndRow()
	if _, err := b.Put(l.Tables[users], change); err != nil {
		t.Fatal(err)
	}
	key, _ := AppendKey(nil, l.Tables[users], change, l.Tables[users].Key)
	if got, ok, err := b.Get(l.Tables[users], key); err != nil || !ok || got.Missing(0) || !got.Missing(1) {
		t.Errorf("a row with a missing cell is %q, %t, %v", texts(got), ok, err)
	}
	if _, err := b.Put(l.Tables[users], row(null, "x")); err == nil {
		t.Error("a row without a key was stored")
	}
	if got := texts(Merge(a, row("0", ""), change)); !slices.Equal(got, []string{"1", ""}) {
		t.Errorf("merged: %q", got)
	}
	if got := Merge(a, sources.Row{}, change); !got.Missing(1) {
		t.Error("a cell came from nowhere")
	}
}

// TestNewer: what a newer version has written stays as it is.
func TestNewer(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs, layout())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(what, says string) {
		t.Helper()
		s, err := openLayout("/data/store", layout(), source, Options{FS: fs})
		if !errors.Is(err, ErrNewer) || errors.Is(err, ErrRebuild) || s != nil || !strings.Contains(err.Error(), says+"; run that version, or delete /data/store") {
			t.Errorf("%s: %v", what, err)
		}
	}
	rewriteMeta(t, fs, format+1)
	newer := fmt.Sprintf("(format %d, this one reads up to %d)", format+1, format)
	refused("a newer format", newer)

	marker, was, err := atomicfs.LocateMarker(fs, "/data/store/rows", "format-version")
	if err == nil {
		err = marker.Move(strconv.Itoa(int(pebble.FormatNewest) + 100))
	}
	if err != nil {
		t.Fatal(err)
	}
	refused("a newer storage engine", fmt.Sprintf("(version %d of its storage engine's format, this one reads up to %d)", int(pebble.FormatNewest)+100, int(pebble.FormatNewest)))
	if err := errors.Join(marker.Move(was), marker.Close()); err != nil {
		t.Fatal(err)
	}
	refused("the store is as it was", newer)
}

func TestOfAnother(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs, layout())
	id := s.ID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		of     Meta
		format int
	}{
		"source": {Meta{Identity: "7312/2"}, format},
		"format": {source, format - 1},
	} {
		if try.format != format {
			rewriteMeta(t, fs, try.format)
		}
		s, err := Open("/data/store", try.of, Options{FS: fs})
		if !errors.Is(err, ErrRebuild) {
			t.Errorf("another %s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	s, err := openLayout("/data/store", layout(), source, Options{FS: fs})
	if !errors.Is(err, ErrRebuild) {
		t.Errorf("another format: %v", err)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if s.ID() == id || s.Sequence() != 0 {
		t.Errorf("after Reset it is %s at %d", s.ID(), s.Sequence())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func rewriteMeta(t *testing.T, fs vfs.FS, format int) {
	t.Helper()
	s := open(t, fs, layout())
	defer s.Close()
	data, err := json.Marshal(meta{Format: format, ID: s.ID(), Identity: source.Identity})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set([]byte{spaceMeta}, data, nil); err != nil {
		t.Fatal(err)
	}
}

func TestPrint(t *testing.T) {
	first := layout().Tables[users].Print()
	for name, change := range map[string]func(*Table){
		"name":   func(t *Table) { t.Name = "n" },
		"column": func(t *Table) { t.Columns[1].Name = "n" },
		"type":   func(t *Table) { t.Columns[1].Type.SQL = "varchar" },
		"key":    func(t *Table) { t.Key = []int{1} },
		"index":  func(t *Table) { t.Indexes = nil },
		"fold":   func(t *Table) { t.Folds = []*Fold{nil, {Name: "ci"}} },
	} {
		other := layout().Tables[users]
		change(other)
		if other.Print() == first {
			t.Errorf("the %s does not matter", name)
		}
	}
	long := func(sql string) string {
		table := layout().Tables[users]
		table.Columns[1].Type.SQL = sql
		return table.Print()
	}
	if long("varchar(10)") != long("varchar(20)") || long("varchar(10)") == long("varbinary(10)") {
		t.Error("a column that has grown is stored otherwise")
	}
}

// TestUse: tables that stay keep rows, indexes and notes, whatever comes and goes
// beside them; one that comes back begins empty.
func TestUse(t *testing.T) {
	fs := vfs.NewMem()
	wider := func() *Table {
		w := layout().Tables[notes]
		w.Indexes = w.Indexes[:1]
		return w
	}
	rows := func(s *Store, table *Table) (n int) {
		t.Helper()
		snapshot := s.Snapshot()
		defer snapshot.Release()
		err := snapshot.All(table, nil, func([]byte, sources.Row) (bool, error) { n++; return true, nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	note := func(s *Store, name string) string {
		t.Helper()
		snapshot := s.Snapshot()
		defer snapshot.Release()
		data, err := snapshot.Note(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	use := func(l *Layout, then func(*Store)) {
		t.Helper()
		s, err := openLayout("/data/store", l, source, Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		then(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	first, both, second := layout(), layout(), layout()
	both.Tables = append([]*Table{wider()}, both.Tables...)
	second.Tables[notes] = wider()
	m, r := newModel(), rand.New(rand.NewPCG(5, 6))
	var had, users1 int
	use(first, func(s *Store) {
		for range 30 {
			if err := m.commit(s, first, r, true); err != nil {
				t.Fatal(err)
			}
		}
		b := s.Batch()
		if err := errors.Join(b.Set(first.Tables[notes].Note("load"), []byte("all")), b.Set(first.Tables[users].Note("load"), []byte("some")), b.Commit(true)); err != nil {
			t.Fatal(err)
		}
		had, users1 = rows(s, first.Tables[notes]), rows(s, first.Tables[users])
	})
	if had == 0 || users1 == 0 {
		t.Fatal("nothing is stored")
	}
	use(both, func(s *Store) {
		if n := rows(s, both.Tables[0]); n != 0 {
			t.Errorf("a new table has %d rows", n)
		}
		if n := rows(s, both.Tables[1+notes]); n != had || note(s, both.Tables[1+notes].Note("load")) != "all" {
			t.Errorf("the table that stayed has %d rows, want %d", n, had)
		}
		b := s.Batch()
		err := b.All(both.Tables[1+notes], nil, func(_ []byte, row sources.Row) (bool, error) {
			_, err := b.Put(both.Tables[0], row)
			return true, err
		})
		if err := errors.Join(err, b.Commit(true)); err != nil {
			t.Fatal(err)
		}
		if n := rows(s, both.Tables[0]); n != had {
			t.Errorf("the new table has %d rows, want %d", n, had)
		}
	})
	use(second, func(s *Store) {
		if n := rows(s, second.Tables[notes]); n != had {
			t.Errorf("the new table has %d rows after the old one has gone, want %d", n, had)
		}
	})
	use(first, func(s *Store) {
		if n := rows(s, first.Tables[notes]); n != 0 || note(s, first.Tables[notes].Note("load")) != "" {
			t.Errorf("the table that came back has %d rows and the note %q", n, note(s, first.Tables[notes].Note("load")))
		}
		if n := rows(s, first.Tables[users]); n != users1 || note(s, first.Tables[users].Note("load")) != "some" {
			t.Errorf("the table that stayed has %d rows, want %d", n, users1)
		}
		described, err := s.Kept()
		if err != nil || len(described) != len(first.Tables) {
			t.Errorf("it holds %v: %v", described, err)
		}
	})
}

func TestUseRefuses(t *testing.T) {
	s := open(t, vfs.NewMem(), layout())
	defer s.Close()
	twice, keyless := layout(), layout()
	twice.Tables = append(twice.Tables, layout().Tables[0])
	if err := s.Use(twice); err == nil {
		t.Error("a table is there twice")
	}
	keyless.Tables[0].Key = nil
	if err := s.Use(keyless); err == nil {
		t.Error("a table has no key")
	}
}

// A store that was deleted or put back from a copy is told by ID and Sequence.
func TestOldCopy(t *testing.T) {
	dir, l, m := t.TempDir(), layout(), newModel()
	at := filepath.Join(dir, "store")
	s, err := openLayout(at, l, source, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	var copied string
	for n := range 40 {
		if err := m.commit(s, l, r, true); err != nil {
			t.Fatal(err)
		}
		if n == 20 {
			copied = m.dump(l)
			if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	id, sequence := s.ID(), s.Sequence()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openLayout(filepath.Join(dir, "copy"), l, source, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := current(t, l, s); got != copied {
		t.Errorf("the copy holds\n%s\nwant\n%s", got, copied)
	}
	if s.ID() != id || s.Sequence() >= sequence {
		t.Errorf("the copy is %s at %d, the store was %s at %d", s.ID(), s.Sequence(), id, sequence)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	if s, err = openLayout(at, l, source, Options{}); err != nil {
		t.Fatal(err)
	}
	if s.ID() == id || s.Sequence() != 0 {
		t.Error("a deleted store is there again")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// child commits for ever and says after each Sync how far it is.
func child(dir string) error {
	l, m, r := layout(), newModel(), rand.New(rand.NewPCG(5, 5))
	s, err := openLayout(dir, l, source, Options{CacheBytes: 1 << 18})
	if err != nil {
		return err
	}
	for {
		if err := m.commit(s, l, r, false); err != nil {
			return err
		}
		if m.sequence%7 != 0 {
			continue
		}
		if err := s.Sync(); err != nil {
			return err
		}
		fmt.Println(m.sequence)
	}
}

func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out), &stderr
}

func TestKill(t *testing.T) {
	for _, syncs := range []int{1, 10, 50} {
		dir := t.TempDir()
		cmd, lines, stderr := startChild(t, dir)
		var synced uint64
		for n := 0; n < syncs && lines.Scan(); n++ {
			synced, _ = strconv.ParseUint(lines.Text(), 10, 64)
		}
		if _, err := openLayout(dir, layout(), source, Options{}); !errors.Is(err, ErrLocked) {
			t.Errorf("a second process: %v", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				synced = n
			}
		}
		cmd.Wait()
		if synced == 0 {
			t.Fatalf("the process did not begin: %s", stderr)
		}
		l := layout()
		s, err := openLayout(dir, l, source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Sequence() < synced {
			t.Errorf("synced at %d, killed, and found at %d", synced, s.Sequence())
		}
		if got, want := current(t, l, s), replay(t, l, 5, s.Sequence(), Options{CacheBytes: 1 << 18}); !slices.Contains(want, got) {
			t.Errorf("after the kill at %d the store holds\n%s\nwant\n%s", s.Sequence(), got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLocked(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": nil, "memory": vfs.NewMem()} {
		dir := filepath.Join(t.TempDir(), "store")
		s, err := openLayout(dir, layout(), source, Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openLayout(dir, layout(), source, Options{FS: fs}); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: opened twice: %v", name, err)
		}
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		if _, err := openLayout(dir, layout(), source, Options{FS: fs}); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: opened twice after Reset: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = openLayout(dir, layout(), source, Options{FS: fs}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQuiet(t *testing.T) {
	var log bytes.Buffer
	l, m, r := layout(), newModel(), rand.New(rand.NewPCG(7, 8))
	s, err := openLayout(t.TempDir(), l, source, Options{Log: zerolog.New(&log), CacheBytes: 1 << 18})
	if err != nil {
		t.Fatal(err)
	}
	for range 400 {
		if err := m.commit(s, l, r, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Metrics(); got.Flushes == 0 || got.Bytes == 0 {
		t.Errorf("metrics: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", &log)
	}
}
