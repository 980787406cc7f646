package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/sources"
)

// A rig is a database of its own on a real server, and a source that tails it.
type rig struct {
	*box
	name   string
	source *Source
	tables []*sources.Table // as prepared
	start  sources.Checkpoint
	fences int
}

// fenceTable is written to last, to know when all has come.
const fenceTable = "fence"

func newRig(b *box, name string) *rig {
	b.Helper()
	leaks := goleak.IgnoreCurrent()
	b.Cleanup(func() { goleak.VerifyNone(b, leaks) }) // runs after those of the source and the stream
	r := &rig{box: b, name: name}
	b.schema(name)
	b.Cleanup(func() { b.again("DROP DATABASE IF EXISTS " + name) })
	b.exec("USE "+name, "CREATE TABLE "+fenceTable+" (id INT PRIMARY KEY) ENGINE=InnoDB")
	r.source = r.newSource()
	return r
}

// eachRig runs work on each server of the fleet. The test's name makes the database's.
func eachRig(t *testing.T, work func(*rig)) {
	t.Helper()
	eachServer(t, func(b *box) { work(newRig(b, rigName(t))) })
}

// ownRig is a rig on a server of its own, which the test may disturb.
func ownRig(t *testing.T, spec servers.Spec) (*rig, *servers.Server) {
	t.Helper()
	server := servers.Test(t, spec)
	return newRig(newBox(t, server.URL), rigName(t)), server
}

func rigName(t *testing.T) string {
	name, _, _ := strings.Cut(t.Name(), "/")
	return strings.ToLower(strings.TrimPrefix(name, "Test"))
}

// eachOwn runs work on a server of its own for each version of a kind; an empty kind is any.
func eachOwn(t *testing.T, kind string, work func(*rig, *servers.Server), args ...string) {
	t.Helper()
	for _, shared := range fleet {
		if kind != "" && kind != shared.Spec.Kind {
			continue
		}
		t.Run(shared.Spec.String(), func(t *testing.T) {
			spec := shared.Spec
			spec.Args = append(slices.Clone(spec.Args), args...)
			work(ownRig(t, spec))
		})
	}
}

func (r *rig) newSource() *Source {
	r.Helper()
	s, err := New(sources.Config{URL: conf.Secret(r.with("", r.name, "")), Slot: r.name}, zerolog.New(zerolog.NewTestWriter(r.T)))
	r.must(err)
	r.Cleanup(s.Close)
	return s
}

// session is one more connection that writes.
func (r *rig) session() *conn {
	r.Helper()
	c := r.connect(r.with("", r.name, ""))
	r.must(c.exec(r.Context(), "SET SESSION TRANSACTION READ WRITE"))
	return c
}

// project reads the catalog and takes all columns of the tables.
func (r *rig) project(names ...string) {
	r.Helper()
	catalog, err := r.source.Catalog(r.Context())
	r.must(err)
	r.tables = nil
	for _, name := range append(names, fenceTable) {
		schema, table := r.name, name
		if before, after, dotted := strings.Cut(name, "/"); dotted {
			schema, table = before, after
		}
		i := slices.IndexFunc(catalog, func(t *sources.Table) bool { return t.Schema == schema && t.Name == table })
		if i < 0 {
			r.Fatalf("the catalog has no table %s", name)
		}
		t := catalog[i].Project(func(int) bool { return true })
		t.Ordinal = len(r.tables)
		r.tables = append(r.tables, t)
	}
}

// projectColumns takes some columns of a table.
func (r *rig) projectColumns(name string, columns ...string) {
	r.Helper()
	r.project(name)
	whole := r.tables[0]
	r.tables[0] = whole.Project(func(i int) bool { return slices.Contains(columns, whole.Columns[i].Name) })
	slices.SortFunc(r.tables[0].Columns, func(a, b sources.Column) int {
		return slices.Index(columns, a.Name) - slices.Index(columns, b.Name)
	})
	if key := r.tables[0].Key; len(key) == 1 {
		key[0] = r.tables[0].Column(columns[0])
	}
}

// rowsOf are the rows that changes of one table, whose key is its first column, leave.
func (r *rig) rowsOf(changes []string) (rows []string) {
	r.Helper()
	for _, change := range changes {
		verb, rest, _ := strings.Cut(change, " ")
		_, rest, _ = strings.Cut(rest, " ")
		old, row, moved := strings.Cut(rest, " to ")
		key, _, _ := strings.Cut(strings.Trim(old, "()"), ",")
		if verb != "insert" {
			before := len(rows)
			rows = slices.DeleteFunc(rows, func(row string) bool { return strings.HasPrefix(row, "("+key+",") })
			if len(rows) != before-1 {
				r.Errorf("%s: there is no such row, or more", change)
			}
		}
		switch {
		case verb == "insert":
			rows = append(rows, rest)
		case moved:
			rows = append(rows, row)
		}
	}
	return rows
}

// prepare is the first start with the tables; another schema's are schema/table.
func (r *rig) prepare(names ...string) {
	r.Helper()
	r.project(names...)
	r.prepared()
}

func (r *rig) prepared() {
	r.Helper()
	start, err := r.source.Prepare(r.Context(), r.tables, "")
	r.must(err)
	r.start = sources.Checkpoint{Position: start.Position, Version: start.Clock.UnixMicro()}
}

// again starts once more from a checkpoint, as after ErrSchemaChanged or in another process.
func (r *rig) restart(from sources.Checkpoint, names ...string) *tail {
	r.Helper()
	r.project(names...)
	_, err := r.source.Prepare(r.Context(), r.tables, from.Position)
	r.must(err)
	return r.stream(from)
}

// refuses reports a checkpoint that the server's log does not lead on from.
func (r *rig) refuses(from sources.Checkpoint, want error, text string) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for {
		_, err := r.source.Prepare(r.Context(), r.tables, from.Position)
		if errors.Is(err, want) && strings.Contains(err.Error(), text) {
			return
		}
		if time.Now().After(deadline) || !errors.Is(err, sources.ErrBusy) {
			r.Fatalf("prepare gave %v, want %v with %q", err, want, text)
		}
	}
}

// chunk reads the first rows of a table.
func (r *rig) chunk(name string) (*sources.Chunk, error) {
	r.Helper()
	i := slices.IndexFunc(r.tables, func(t *sources.Table) bool { return t.Name == name })
	return r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[i], MaxRows: 100, MaxBytes: 1 << 20})
}

// A tail is a running stream and what came of it, as text.
type tail struct {
	*rig
	cancel   context.CancelFunc
	out      chan *sources.Batch
	done     chan error
	changes  []string // without those of the fence
	each     func(*sources.Change)
	before   []string // the old images
	cascades []string // those of the changes through which foreign keys have acted unlogged
	versions []int64
	fence    int
	marks    []sources.Checkpoint // each batch's
}

func (r *rig) stream(from sources.Checkpoint) *tail {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	t := &tail{rig: r, cancel: cancel, out: make(chan *sources.Batch), done: make(chan error, 1), marks: []sources.Checkpoint{from}}
	source, tables := r.source, r.tables
	go func() {
		t.done <- source.Stream(ctx, tables, from, t.out)
		close(t.done)
	}()
	r.Cleanup(func() {
		cancel()
		for range t.done { // closed when the stream has ended
		}
	})
	return t
}

// next takes one batch.
func (t *tail) next() {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case batch := <-t.out:
		t.record(batch)
	case err := <-t.done:
		t.Fatalf("the stream ended: %v; it had given %q", err, t.changes)
	case <-timeout.C:
		t.Fatalf("no batch in %s; so far: %q", patience, t.changes)
	}
}

func (t *tail) record(batch *sources.Batch) {
	t.Helper()
	for i := range batch.Changes {
		c := &batch.Changes[i]
		if c.Table.Name == fenceTable {
			if c.Kind == sources.Insert {
				if _, err := fmt.Sscan(string(c.After.Text(0)), &t.fence); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		if t.each != nil {
			t.each(c)
		}
		t.changes = append(t.changes, changeText(c))
		if !c.Before.IsZero() {
			t.before = append(t.before, image(c.Before))
		}
		if c.Cascades {
			t.cascades = append(t.cascades, changeText(c))
		}
		t.versions = append(t.versions, c.Version)
	}
	t.marks = append(t.marks, batch.Checkpoint)
}

// mark is the last checkpoint.
func (t *tail) mark() sources.Checkpoint { return t.marks[len(t.marks)-1] }

func changeText(c *sources.Change) string {
	name := c.Table.Name
	switch c.Kind {
	case sources.Insert:
		return fmt.Sprintf("insert %s %s", name, image(c.After))
	case sources.Update:
		return fmt.Sprintf("update %s (%s) to %s", name, strings.Join(c.Before.Key(c.Table.Key), ","), image(c.After))
	case sources.Delete:
		return fmt.Sprintf("delete %s (%s)", name, strings.Join(c.Before.Key(c.Table.Key), ","))
	}
	if len(c.Stale.Columns) > 0 {
		return fmt.Sprintf("%s %s(%s)", c.Kind, name, strings.Join(c.Stale.Columns, ","))
	}
	return fmt.Sprintf("%s %s", c.Kind, name)
}

func image(r sources.Row) string {
	values := make([]string, r.Len())
	for i := range values {
		switch {
		case r.Null(i):
			values[i] = "NULL"
		case r.Missing(i):
			values[i] = "MISSING"
		default:
			values[i] = string(r.Text(i))
		}
	}
	return "(" + strings.Join(values, ",") + ")"
}

// catchUp reads until all that was committed so far has come.
func (t *tail) catchUp() {
	t.Helper()
	t.fences++
	t.exec(fmt.Sprintf("INSERT INTO %s.%s VALUES (%d)", t.name, fenceTable, t.fences))
	for t.fence < t.fences {
		t.next()
	}
}

// expect catches up and compares the changes since the last expect.
func (t *tail) expect(want ...string) {
	t.Helper()
	t.catchUp()
	t.same(t.changes, want)
	t.changes, t.versions = nil, nil
}

func (r *rig) same(got, want []string) {
	r.Helper()
	if !slices.Equal(got, want) {
		r.Fatalf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// fails waits until the stream ends, and looks at its error.
func (t *tail) fails(want error, text string) {
	t.Helper()
	if err := t.wait(); !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Fatalf("the stream returned %v, want %v with %q", err, want, text)
	}
}

// wait returns what the stream returned, and records what it still sends.
func (t *tail) wait() error {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case batch := <-t.out:
			t.record(batch)
		case err := <-t.done:
			return err
		case <-timeout.C:
			t.Fatalf("the stream has not ended in %s", patience)
		}
	}
}

func (t *tail) stop() {
	t.Helper()
	t.cancel()
	if err := t.wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped stream returned %v", err)
	}
}
