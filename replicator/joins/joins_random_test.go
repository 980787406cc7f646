package joins

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/model"
	"haystream/internal/seeds"
	"haystream/mapping"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// whole is a row with all of its columns.
func whole(row []int) sources.Row { return wholeIn(&sources.Arena{}, row) }

func wholeIn(a *sources.Arena, row []int) sources.Row {
	columns := make([]int, len(row))
	for i := range row {
		columns[i] = i
	}
	return model.Image(a, row, columns)
}

// sessions are some, one after the other, on a model and a bench, and the sink.
type sessions struct {
	*bench
	m      *model.Model
	random *rand.Rand
	ended  bool // the session is over
	few    bool // dirty documents are kept in the memory of some sessions
	slow   bool // the sink is: rounds are rare
	writes bool // the source is written to
	tale   []string

	at      int // how many changes the stream has brought
	scans   []*scan
	asked   *Lookup // by the apply loop
	looking *chunk  // what was read for it

	rendering bool // a round is under way
	sent      []*sending
	queues    map[string][]queued // by document
	sink      map[string]stored
}

// A scan reads a table.
type scan struct {
	*Table
	last, end sources.Key // of what was stored, and of what was read
	pending   []*chunk
}

// A chunk is what was read.
type chunk struct {
	*sources.Chunk
	after  sources.Key
	window *reading.Window
	mark   int // how many changes it has seen
}

// A sending is a piece on its way.
type sending struct {
	*Piece
	out  *sinks.Batch // nil: not rendered
	left int          // actions that the sink does not hold
}

type queued struct {
	sinks.Action
	of *sending
}

// stored has the version of the last write; no body: it is deleted.
type stored struct {
	version int64
	body    string
}

func (r *sessions) begin() {
	r.j.Close()
	r.failed(r.store.Use(r.plan.Layout))
	r.session()
	if r.random.IntN(3) > 0 {
		r.j.loadRows = 1
	}
	if r.few && r.random.IntN(2) == 0 { // this session has less room than others
		for _, to := range r.j.targets {
			to.dirty.most = 3
		}
	}
	r.j.rounds.loaded = func(*target) {}
	r.scans, r.ended, r.asked, r.looking = nil, false, nil, nil
	tables, _ := r.j.Unread()
	for _, t := range tables {
		r.scans = append(r.scans, &scan{Table: t, last: t.load.Last, end: t.load.Last})
	}
	for name := range r.queues { // some requests take effect all the same
		for r.random.IntN(2) == 0 && len(r.queues[name]) > 0 {
			r.take(name)
		}
	}
	r.sent, r.queues = nil, map[string][]queued{}
	r.failed(r.j.Begin())
}

// tell notes what happens, for the history of a seed that fails.
func (r *sessions) tell(format string, args ...any) {
	r.tale = append(r.tale, fmt.Sprintf(format, args...))
}

// step makes a change in the server, and tells of it with its tables in short.
func (r *sessions) step() {
	before := len(r.m.Log)
	r.m.Step(r.random)
	for _, l := range r.m.Log[before:] {
		rows := ""
		for n, name := range r.m.Names {
			rows += " " + name
			for _, k := range slices.Sorted(maps.Keys(r.m.Rows[n])) {
				rows += " " + model.Words(r.m.Rows[n][k])
			}
		}
		r.tell("%d: %s %s %s > %s unchecked %v:%s", len(r.m.Log), l.Kind, r.m.Names[l.Table], model.Words(l.Before), model.Words(l.After), l.Unchecked, rows)
	}
}

func (r *sessions) failed(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// turn lets one of those that take part do something.
func (r *sessions) turn(writes bool) {
	r.writes = writes
	if r.ended && !r.rendering {
		r.begin()
	}
	if r.ended {
		return
	}
	switch n := r.random.IntN(20); {
	case n == 0 && writes && r.random.IntN(5) == 0: // a kill
		r.kill()
	case n < 6 && writes:
		r.step()
	case n < 9:
		r.deliver(1 + r.random.IntN(4))
	case n < 11 && len(r.scans) > 0:
		r.read(r.scans[r.random.IntN(len(r.scans))])
	case n < 13 && len(r.scans) > 0:
		r.merge(r.scans[r.random.IntN(len(r.scans))])
	case n < 14 && r.random.IntN(2) == 0 && r.j.loaded():
		r.look()
	case n < 14 && (r.j.working || r.j.nextSweep() != nil):
		if s := r.j.sweeping; s != nil {
			r.tell("  sweep %s", s.table.Source)
		}
		r.failed(r.j.Step())
	case n < 15 && !r.rendering && !(writes && r.slow && r.random.IntN(20) > 0):
		r.round(writes)
	case n < 16 && len(r.sent) > 0:
		r.render(r.sent[r.random.IntN(len(r.sent))])
	case n < 17:
		r.hand()
	case n < 19 && len(r.queues) > 0:
		names := slices.Sorted(maps.Keys(r.queues))
		r.take(names[r.random.IntN(len(names))])
	default:
		r.failed(r.j.Settle())
	}
}

var errEnded = errors.New("the session is over")

// round sends off what is marked, while the others take turns.
func (r *sessions) round(writes bool) {
	r.rendering = true
	err := r.j.rounds.round(r.Context(), func(p *Piece) error {
		r.sent = append(r.sent, &sending{Piece: p})
		for r.random.IntN(4) > 0 {
			r.turn(writes)
		}
		if r.ended {
			return errEnded
		}
		return nil
	})
	r.rendering = false
	if err != nil && !errors.Is(err, errEnded) {
		r.Fatal(err)
	}
}

func (r *sessions) render(s *sending) {
	if s.out != nil {
		return
	}
	s.out = &sinks.Batch{}
	if err := s.Render(mapping.NewScratch(), s.out); err != nil {
		r.Fatal(err)
	}
	s.left = len(s.out.Actions)
}

// hand gives the sink the first piece that it does not have.
func (r *sessions) hand() {
	if len(r.sent) == 0 || r.sent[0].out == nil {
		return
	}
	s := r.sent[0]
	r.sent = r.sent[1:]
	for _, action := range s.out.Actions {
		name := action.Target.Physical + "/" + string(action.ID)
		r.queues[name] = append(r.queues[name], queued{action, s})
	}
	if s.left == 0 {
		s.Hold()
	}
}

// take lets the sink take the next write of a document.
func (r *sessions) take(name string) {
	q := r.queues[name][0]
	if r.queues[name] = r.queues[name][1:]; len(r.queues[name]) == 0 {
		delete(r.queues, name)
	}
	if q.Version >= r.sink[name].version {
		r.sink[name] = stored{q.Version, string(q.Body)}
	}
	if q.of.left--; q.of.left == 0 && !r.ended {
		q.of.Hold()
	}
}

// deliver brings some changes.
func (r *sessions) deliver(most int) {
	end := min(len(r.m.Log), r.at+most)
	if end == r.at {
		return
	}
	b := &sources.Batch{Arena: &sources.Arena{}}
	for n, l := range r.m.Log[r.at:end] {
		tx := r.at + n + 1
		b.Changes = append(b.Changes, sources.Change{
			Table: r.table(r.m.Names[l.Table]), Kind: l.Kind, Before: wholeIn(b.Arena, l.Before), After: wholeIn(b.Arena, l.After),
			Cascades: l.Kind != sources.Insert && !l.Unchecked, Version: r.version + int64(tx), Tx: uint64(tx),
		})
	}
	r.at = end
	r.tell("  stream at %d", end)
	r.j.windows.Record(b)
	r.failed(r.j.Apply(b))
	b.Release()
	for _, t := range r.j.tables {
		if !t.known() {
			r.tell("    table %s: read %v, %d suspects, sweep %v", t.Source, t.load.Done, t.suspects, t.sweep)
		}
	}
}

// read reads a chunk of a table that it is time for.
func (r *sessions) read(s *scan) {
	if n := len(s.pending); s.load.Done || n == 2 || n > 0 && s.pending[n-1].Done || r.version+int64(r.at) < r.j.since {
		return
	}
	if c := r.chunk(s.Table, s.end, nil); c != nil {
		s.end = c.Last
		s.pending = append(s.pending, c)
	}
}

// chunk reads rows of a table; nil where the session has ended meanwhile.
func (r *sessions) chunk(t *Table, after sources.Key, having *sources.Values) *chunk {
	c := &chunk{after: after, window: r.j.windows.Open(t.Source, true)}
	if r.random.IntN(3) == 0 {
		r.deliver(1 + r.random.IntN(3)) // between the window and the chunk
		if r.ended {
			return nil
		}
	}
	for r.random.IntN(2) == 0 && r.writes {
		r.step()
	}
	rows, done := r.m.Chunk(slices.Index(r.m.Names, t.Source.Name), after, 1+r.random.IntN(3), having)
	c.mark = len(r.m.Log)
	c.Chunk = &sources.Chunk{Done: done, Last: after, Sees: func(tx uint64) bool { return int(tx) <= c.mark }}
	for _, row := range rows {
		c.Rows = append(c.Rows, whole(row))
		c.Last = sources.Key{strconv.Itoa(row[0])}
	}
	what := ""
	if having != nil {
		what = fmt.Sprintf(" with %v", having.Of)
	}
	r.tell("  read %s%s after %v: %v done %v", t.Source.Name, what, after, rows, done)
	return c
}

// look reads suspects again: asks, reads, or stores, as it is time for.
func (r *sessions) look() {
	switch l := r.asked; {
	case l == nil:
		var err error
		r.asked, err = r.j.Look()
		r.failed(err)
	case r.looking == nil:
		if r.version+int64(r.at) < l.since {
			return
		}
		having, after := l.Request()
		r.looking = r.chunk(l.table, after, having)
	case r.looking.mark <= r.at:
		c := r.looking
		r.looking = nil
		r.tell("  found rows of %s", l.table.Source)
		h, ok := r.j.windows.Happened(c.window, c.Chunk)
		if ok {
			r.asked = nil
			r.failed(r.j.Found(l, c.Chunk, h))
		}
		r.j.windows.Close(c.window)
	}
}

// merge stores a chunk that the stream has come to.
func (r *sessions) merge(s *scan) {
	if r.ended || len(s.pending) == 0 || s.pending[0].mark > r.at {
		return
	}
	c := s.pending[0]
	s.pending = s.pending[1:]
	r.tell("  merge %s %v", s.Source.Name, c.Last)
	h, ok := r.j.windows.Happened(c.window, c.Chunk)
	if ok && r.writes && r.random.IntN(10) == 0 {
		r.cut(s, c, h)
		return
	}
	if ok {
		r.failed(r.j.Merge(s.Table, c.Chunk, h))
		s.last = c.Last
	}
	r.j.windows.Close(c.window)
	r.counted()
	if ok {
		return
	}
	for _, later := range s.pending {
		r.j.windows.Close(later.window)
	}
	s.pending, s.end = nil, s.last
}

// cut is a kill after some rows were loaded and before that is noted.
func (r *sessions) cut(s *scan, c *chunk, h reading.Happened) {
	_, err := r.j.loadChunk(s.Table, c.Rows, h)
	r.failed(err)
	b := r.store.Batch()
	r.failed(errors.Join(r.j.commitLoading(b), b.Discard()))
	r.kill()
}

func (r *sessions) kill() {
	r.at -= r.random.IntN(r.at + 1)
	r.tell("kill; back at %d", r.at)
	r.ended = true
}

// counted compares what is known of tables with what the store has noted.
func (r *sessions) counted() {
	r.Helper()
	snap := r.store.Snapshot()
	defer snap.Release()
	for _, t := range r.j.tables {
		noted := &Table{StoredTable: t.StoredTable}
		if err := noted.recall(snap); err != nil {
			r.Fatal(err)
		}
		if noted.suspects != t.suspects || noted.absent != t.absent || noted.sweep != t.sweep {
			r.Fatalf("of table %s %d suspects, sweep %v, and in the store %d, %v", t.Source, t.suspects, t.sweep, noted.suspects, noted.sweep)
		}
	}
}

// TestRandomCascades reads tables while foreign keys act, and renders documents, as
// the server, the stream, the chunks, the rounds and the sink happen to take turns,
// with kills. It compares what is stored, and the documents, with the model's.
// A failing test's name ends in its seed.
func TestRandomCascades(t *testing.T) {
	for name, shape := range model.Shapes() {
		t.Run(name, func(t *testing.T) {
			for _, seed := range seeds.Of(t, 30) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { randomCascades(t, seed, shape) })
			}
		})
	}
}

func randomCascades(t *testing.T, seed uint64, m model.Model) {
	random := rand.New(rand.NewPCG(seed, 0))
	m.Minimal, m.Careless = random.IntN(3) == 0, random.IntN(3) == 0
	for range m.Names {
		m.Rows = append(m.Rows, map[int][]int{})
	}
	for range 60 {
		m.Step(random)
	}
	if random.IntN(4) == 0 {
		m.Orphan(random)
	}
	m.Log = nil
	r := &sessions{bench: benchOf(t, m.Catalog(), m.Definitions()), m: &m, random: random, queues: map[string][]queued{}, sink: map[string]stored{}}
	r.feeds, r.few, r.slow = true, random.IntN(3) == 0, random.IntN(3) == 0
	r.begin()
	for n := 0; n < 400 || !r.settled(); n++ {
		r.turn(n < 300)
		if n > 100000 {
			t.Fatal("the tables are never read")
		}
	}
	for n := 0; r.ended || r.at < len(m.Log) || r.j.working || !r.settled() || r.asked != nil || r.j.Status().Pending > 0; n++ {
		r.turn(false)
		if n > 100000 {
			t.Fatalf("never at rest: %d of %d changes, %+v", r.at, len(m.Log), r.j.Status())
		}
	}
	for n, name := range m.Names {
		want := []string{}
		for _, k := range slices.Sorted(maps.Keys(m.Rows[n])) {
			want = append(want, model.Words(m.Rows[n][k]))
		}
		if got := r.rows(name); !slices.Equal(got, want) {
			t.Log(strings.Join(r.tale, "\n"))
			t.Errorf("table %s: %q, want %q", name, got, want)
		}
	}
	r.compare()
}

// compare compares the sink's documents with the model's.
func (r *sessions) compare() {
	r.Helper()
	got := map[string]string{}
	for name, d := range r.sink {
		if d.body == "" {
			continue
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(d.body), &document); err != nil {
			r.Fatal(err)
		}
		text, err := json.Marshal(document)
		if err != nil {
			r.Fatal(err)
		}
		got[name] = string(text)
	}
	want := r.m.Documents()
	for name, text := range want {
		if got[name] != text {
			r.Errorf("document %s: %q, want %s", name, got[name], text)
		}
		delete(got, name)
	}
	for name, text := range got {
		r.Errorf("document %s has no row: %s", name, text)
	}
}
