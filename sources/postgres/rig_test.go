package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/servers"
	"haystream/sources"
)

const patience = time.Minute

// eachServer runs the cases on every version, each in a database of its own.
func eachServer(t *testing.T, cases map[string]func(*rig)) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version})
			names := make([]string, 0, len(cases))
			for name := range cases {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				t.Run(name, func(t *testing.T) { cases[name](newRig(t, server, name)) })
			}
		})
	}
}

// A rig is a database with a source that tails it.
type rig struct {
	*testing.T
	server *servers.Server
	name   string
	url    string
	admin  *pgx.Conn
	logs   *logs
	source *Source
	tables []*sources.Table
	start  sources.Checkpoint
}

func newRig(t *testing.T, server *servers.Server, name string, options ...string) *rig {
	t.Helper()
	r := &rig{T: t, server: server, name: name, logs: &logs{}}
	execute(t, connect(t, server.URL), "CREATE DATABASE "+name+" "+strings.Join(options, " "))
	r.url = withPath(t, server.URL, name)
	r.admin = connect(t, r.url)
	// A commit must not wait for the standby that some cases pretend to have.
	r.exec("SET synchronous_commit = local", "SET search_path = public")
	r.source = r.newSource()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.logs.String())
		}
	})
	return r
}

func withPath(t *testing.T, text, path string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = path
	return u.String()
}

// newSource makes a source as a daemon would. Its slot goes with the test.
func (r *rig) newSource() *Source {
	r.Helper()
	source, err := New(sources.Config{URL: conf.Secret(r.url), Slot: r.name, Publication: r.name}, zerolog.New(r.logs))
	r.must(err)
	source.lookInterval = 200 * time.Millisecond
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, _ = source.Remove(ctx, false)
		source.Close()
	})
	return source
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) exec(statements ...string) {
	r.Helper()
	execute(r, r.admin, statements...)
}

// ask returns the only value of a query, as text.
func (r *rig) ask(query string, args ...any) string {
	r.Helper()
	var answer string
	r.must(r.admin.QueryRow(r.Context(), "SELECT COALESCE(("+query+")::text, 'NULL')", args...).Scan(&answer))
	return answer
}

// lsn asks for a place in the log.
func (r *rig) lsn(expression string) pglogrepl.LSN {
	r.Helper()
	at, err := parseLSN(r.ask(expression))
	r.must(err)
	return at
}

// plan reads the catalog and uses the tables, with all columns that the log has.
func (r *rig) plan(names ...string) {
	r.Helper()
	r.planColumns(func(*sources.Column) bool { return true }, names...)
}

func (r *rig) planColumns(keep func(*sources.Column) bool, names ...string) {
	r.Helper()
	catalog, err := r.source.Catalog(r.Context())
	r.must(err)
	r.tables = nil
	for _, name := range names {
		i := slices.IndexFunc(catalog, func(t *sources.Table) bool { return t.String() == name })
		if i < 0 {
			r.Fatalf("no table %s", name)
		}
		t := catalog[i].Project(func(n int) bool { return !catalog[i].Columns[n].NotLogged && keep(&catalog[i].Columns[n]) })
		t.Ordinal = len(r.tables)
		r.tables = append(r.tables, t)
	}
}

// prepare plans the tables and prepares the source for the first time.
func (r *rig) prepare(names ...string) {
	r.Helper()
	r.plan(names...)
	start, err := r.first()
	r.must(err)
	if !start.Fresh || start.Position.IsZero() {
		r.Fatalf("first start is %+v", start)
	}
	r.start = sources.Checkpoint{Position: start.Position, Version: start.Clock.UnixMicro()}
}

// ready prepares the source as a daemon does: what Prepare alters is in the
// catalog that it goes on with.
func (r *rig) ready(ctx context.Context, from sources.Position) (sources.Start, error) {
	start, err := r.source.Prepare(ctx, r.tables, from)
	if errors.Is(err, sources.ErrSchemaChanged) {
		if _, err := r.source.Catalog(ctx); err != nil {
			return start, err
		}
		start, err = r.source.Prepare(ctx, r.tables, from)
	}
	return start, err
}

func (r *rig) first() (sources.Start, error) { return r.ready(r.Context(), "") }

// again prepares the source to go on from a checkpoint.
func (r *rig) again(from sources.Checkpoint) error {
	_, err := r.source.Prepare(r.Context(), r.tables, from.Position)
	return err
}

func (r *rig) chunk() (*sources.Chunk, error) {
	return r.source.Chunk(r.Context(), sources.ChunkRequest{Table: r.tables[0], MaxRows: 10_000, MaxBytes: 1 << 20})
}

// eventually waits for a condition that another session brings about.
func (r *rig) eventually(what string, condition func() bool) {
	r.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout.C:
			r.Fatalf("%s: not in %s", what, patience)
		}
	}
}

// A follower is a running stream with what it has sent.
type follower struct {
	*rig
	tables  []*sources.Table
	out     chan *sources.Batch
	cancel  context.CancelFunc
	done    chan error
	changes []string
	txs     []uint64
	at      sources.Checkpoint
	last    int64
}

// follow streams from the checkpoint until the test ends.
func (r *rig) follow(from sources.Checkpoint) *follower {
	ctx, cancel := context.WithCancel(r.Context())
	f := &follower{rig: r, tables: r.tables, out: make(chan *sources.Batch), cancel: cancel, done: make(chan error, 1), at: from, last: from.Version}
	source := r.source
	go func() {
		f.done <- source.Stream(ctx, f.tables, from, f.out)
		close(f.done)
	}()
	r.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

// next takes one batch, or the stream's error.
func (f *follower) next() (*sources.Batch, error) {
	f.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case b := <-f.out:
		f.take(b)
		return b, nil
	case err := <-f.done:
		return nil, err
	case <-timeout.C:
		f.Fatalf("no batch in %s; so far %q", patience, f.changes)
	}
	return nil, nil
}

func (f *follower) take(b *sources.Batch) {
	f.Helper()
	for i := range b.Changes {
		c := &b.Changes[i]
		if c.Table != f.tables[c.Table.Ordinal] {
			f.Fatalf("a change is of a table that was not given: %s", c.Table)
		}
		told := i > 0 && b.Changes[i-1].Kind == sources.Stale && c.Version == f.last // of the row's own table, before it
		if c.Version <= f.last && !told {
			f.Fatalf("version %d follows %d", c.Version, f.last)
		}
		f.last = c.Version
		f.changes = append(f.changes, changeText(c))
		f.txs = append(f.txs, c.Tx)
	}
	f.at = b.Checkpoint
}

// changeText is short: insert table new, update table old -> new, delete table old.
func changeText(c *sources.Change) string {
	text := c.Kind.String() + " " + c.Table.Name
	if !c.Before.IsZero() {
		text += " " + rowText(c.Before)
		if !c.After.IsZero() {
			text += " ->"
		}
	}
	if !c.After.IsZero() {
		text += " " + rowText(c.After)
	}
	return text
}

// rowText writes NULL and, for what the log left out, a question mark. Long
// values are cut.
func rowText(r sources.Row) string {
	cells := make([]string, r.Len())
	for i := range cells {
		switch {
		case r.Null(i):
			cells[i] = "NULL"
		case r.Missing(i):
			cells[i] = "?"
		default:
			cells[i] = fmt.Sprintf("%.12s", r.Text(i))
		}
	}
	return "(" + strings.Join(cells, ",") + ")"
}

func rowTexts(chunk *sources.Chunk) string {
	texts := make([]string, len(chunk.Rows))
	for i, row := range chunk.Rows {
		texts[i] = rowText(row)
	}
	return strings.Join(texts, " ")
}

// expect takes batches until there are as many changes, and compares them.
func (f *follower) expect(want ...string) {
	f.Helper()
	for len(f.changes) < len(want) {
		if _, err := f.next(); err != nil {
			f.Fatalf("stream ended: %v; so far %q", err, f.changes)
		}
	}
	if !slices.Equal(f.changes, want) {
		f.Errorf("changes are\n%s\nwant\n%s", strings.Join(f.changes, "\n"), strings.Join(want, "\n"))
	}
	f.changes = nil
}

// ends drains the stream and returns its error.
func (f *follower) ends() error {
	f.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if _, err := f.next(); err != nil {
			return err
		}
	}
	f.Fatalf("the stream goes on after %s; so far %q", patience, f.changes)
	return nil
}

// stop ends the stream.
func (f *follower) stop() {
	f.Helper()
	f.cancel()
	f.ends()
}

// reach takes batches until the stream is at the mark.
func (f *follower) reach(mark sources.Position) {
	f.Helper()
	for !f.source.Reached(f.at.Position, mark) {
		if _, err := f.next(); err != nil {
			f.Fatalf("stream ended before %s: %v", mark, err)
		}
	}
}

// logs keeps what a source logs, for tests to wait for.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
