package replicator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"haystream/mapping"
	"haystream/sinks"
	"haystream/sources"
)

// bench has a store for the model's tables, and an index for each. A row's document
// shows its columns, the unique column of what it refers to, and that of what
// refers to it; the unique column is its id.
func (m *model) bench(t *testing.T) *bench {
	var catalog []*sources.Table
	set := mapping.Set{Indexes: map[string]*mapping.Definition{}, Tables: map[string]*mapping.TableConfig{}}
	for _, name := range m.names {
		set.Tables[name] = &mapping.TableConfig{Relations: map[string]*mapping.Relation{}}
		set.Indexes[name] = &mapping.Definition{Table: name, ID: "{{ .u }}", Fields: mapping.Fields{Named: map[string]*mapping.Field{"id": nil, "u": nil}}}
	}
	for n, name := range m.names {
		table := &sources.Table{
			Schema: "s", Name: name, Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey,
			Columns: []sources.Column{{Name: "id", Type: integer, NotNull: true}},
		}
		for i, ref := range m.refs[n] {
			column := columnName(i)
			if i > 0 {
				table.Columns = append(table.Columns, sources.Column{Name: column, Type: integer})
				set.Indexes[name].Fields.Named[column] = nil
			}
			if ref == nothing {
				continue
			}
			other := m.names[ref.table]
			table.ForeignKeys = append(table.ForeignKeys, sources.ForeignKey{
				Name: name + column, Columns: []string{column}, Schema: "s", Table: other, Targets: []string{"id"},
				OnDelete: ref.onDelete, OnUpdate: ref.onUpdate, Unlogged: true,
			})
			to, from := "to_"+column, "from_"+name+"_"+column
			set.Tables[name].Relations[to] = &mapping.Relation{Table: other, Column: []string{column}, TargetColumn: []string{"id"}}
			set.Indexes[name].Fields.Named[to] = &mapping.Field{From: to + ".u"}
			set.Tables[other].Relations[from] = &mapping.Relation{Table: name, Column: []string{column}, TargetColumn: []string{"id"}, Many: true}
			set.Indexes[other].Fields.Named[from] = &mapping.Field{From: from + ".u"}
		}
		table.Columns = append(table.Columns, sources.Column{Name: "u", Type: integer, NotNull: true})
		catalog = append(catalog, table)
	}
	return benchOf(t, catalog, set)
}

func columnName(i int) string {
	if i == 0 {
		return "id"
	}
	return fmt.Sprintf("r%d", i)
}

// documents are what the indexes must hold, by index and id.
func (m *model) documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for n, name := range m.names {
		for _, row := range m.rows[n] {
			document := map[string]any{"id": row[0], "u": unique(row)}
			for i, ref := range m.refs[n] {
				if i > 0 {
					document[columnName(i)] = number(row[i])
				}
				if ref != nothing {
					document["to_"+columnName(i)] = nil
					if to := m.rows[ref.table][row[i]]; to != nil {
						document["to_"+columnName(i)] = unique(to)
					}
				}
			}
			for other, refs := range m.refs {
				for i, ref := range refs {
					if ref.table != n {
						continue
					}
					from := []int{}
					for _, k := range slices.Sorted(maps.Keys(m.rows[other])) {
						if child := m.rows[other][k]; child[i] == row[0] {
							from = append(from, unique(child))
						}
					}
					document["from_"+m.names[other]+"_"+columnName(i)] = from
				}
			}
			text, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			all[name+"/"+strconv.Itoa(unique(row))] = string(text)
		}
	}
	return all
}

func number(cell int) any {
	if cell == absent {
		return nil
	}
	return cell
}

// A reading is a session on a model and a bench, and the sink.
type reading struct {
	*bench
	m      *model
	random *rand.Rand
	ended  bool // the session is over

	at      int // how many changes the stream has brought
	scans   []*scan
	pending map[*scan][]*loadedChunk
	marks   map[*loadedChunk]int
	ends    map[*scan]sources.Key // of what was read

	rendering bool // a round is under way
	sent      []*sending
	queues    map[string][]queued // by document
	sink      map[string]document
}

// A sending is a piece on its way.
type sending struct {
	*piece
	out  *sinks.Batch // nil: not rendered
	left int          // actions that the sink does not hold
}

type queued struct {
	sinks.Action
	of *sending
}

// A document has the version of the last write; no body: it is deleted.
type document struct {
	version int64
	body    string
}

func (r *reading) begin() {
	r.j.close()
	r.session()
	r.j.drain.loaded = func(*joinedTarget) {}
	r.scans, r.ended = r.j.scans(), false
	r.pending, r.marks, r.ends = map[*scan][]*loadedChunk{}, map[*loadedChunk]int{}, map[*scan]sources.Key{}
	for _, s := range r.scans {
		r.ends[s] = s.last
	}
	for name := range r.queues { // some requests take effect all the same
		for r.random.IntN(2) == 0 && len(r.queues[name]) > 0 {
			r.take(name)
		}
	}
	r.sent, r.queues = nil, map[string][]queued{}
	r.failed(r.j.begin())
}

// failed ends the session where that is what the error asks for.
func (r *reading) failed(err error) {
	r.Helper()
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*reloadError](err); !ok {
		r.Fatal(err)
	}
	r.at = int(r.j.applied - r.version) // the replay of what is stored does nothing
	r.ended = true
}

// turn lets one of those that take part do something.
func (r *reading) turn(writes bool) {
	if r.ended && !r.rendering {
		r.begin()
	}
	if r.ended {
		return
	}
	switch n := r.random.IntN(20); {
	case n == 0 && writes && r.random.IntN(5) == 0: // a kill
		r.at -= r.random.IntN(r.at + 1)
		r.ended = true
	case n < 6 && writes:
		r.m.step(r.random)
	case n < 9:
		r.deliver(1 + r.random.IntN(4))
	case n < 11 && len(r.scans) > 0:
		r.read(r.scans[r.random.IntN(len(r.scans))])
	case n < 13 && len(r.scans) > 0:
		r.merge(r.scans[r.random.IntN(len(r.scans))])
	case n < 14 && r.j.working:
		r.failed(r.j.slice())
	case n < 15 && !r.rendering:
		r.round(writes)
	case n < 16 && len(r.sent) > 0:
		r.render(r.sent[r.random.IntN(len(r.sent))])
	case n < 17:
		r.hand()
	case n < 19 && len(r.queues) > 0:
		names := slices.Sorted(maps.Keys(r.queues))
		r.take(names[r.random.IntN(len(names))])
	default:
		r.failed(r.j.settle())
	}
}

var errEnded = errors.New("the session is over")

// round sends off what is marked, while the others take turns.
func (r *reading) round(writes bool) {
	r.rendering = true
	err := r.j.drain.round(r.Context(), func(p *piece) error {
		r.sent = append(r.sent, &sending{piece: p})
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

func (r *reading) render(s *sending) {
	if s.out != nil {
		return
	}
	s.out = &sinks.Batch{}
	work := &renderer{scratch: mapping.NewScratch()}
	if err := work.piece(&job{piece: s.piece, out: s.out}); err != nil {
		r.Fatal(err)
	}
	s.left = len(s.out.Actions)
}

// hand gives the sink the first piece that it does not have.
func (r *reading) hand() {
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
		r.j.drain.hold(s.piece)
	}
}

// take lets the sink take the next write of a document.
func (r *reading) take(name string) {
	q := r.queues[name][0]
	if r.queues[name] = r.queues[name][1:]; len(r.queues[name]) == 0 {
		delete(r.queues, name)
	}
	if q.Version >= r.sink[name].version {
		r.sink[name] = document{q.Version, string(q.Body)}
	}
	if q.of.left--; q.of.left == 0 && !r.ended {
		r.j.drain.hold(q.of.piece)
	}
}

// deliver brings some changes.
func (r *reading) deliver(most int) {
	end := min(len(r.m.log), r.at+most)
	if end == r.at {
		return
	}
	b := &sources.Batch{}
	for n, l := range r.m.log[r.at:end] {
		tx := r.at + n + 1
		b.Changes = append(b.Changes, sources.Change{
			Table: r.table(r.m.names[l.table]), Kind: l.kind, Before: image(l.before), After: image(l.after),
			Cascades: l.kind != sources.Insert, Version: r.version + int64(tx), Tx: uint64(tx),
		})
	}
	r.at = end
	r.j.windows.record(b)
	r.failed(r.j.apply(b))
}

// read reads a chunk of a table that it is time for.
func (r *reading) read(s *scan) {
	ahead := r.pending[s]
	if s.stored.load.Done || len(ahead) == chunksAhead || len(ahead) > 0 && ahead[len(ahead)-1].chunk.Done || r.version+int64(r.at) < s.since ||
		slices.ContainsFunc(s.after, func(before *scan) bool { return !before.stored.load.Done }) {
		return
	}
	c := &loadedChunk{scan: s, after: r.ends[s], window: r.j.windows.open(s.table, true), answer: make(chan bool, 1)}
	if r.random.IntN(3) == 0 {
		r.deliver(1 + r.random.IntN(3)) // between the window and the chunk
		if r.ended {
			return
		}
	}
	for r.random.IntN(2) == 0 {
		r.m.step(r.random)
	}
	table := slices.Index(r.m.names, s.table.Name)
	rows, done := r.m.chunk(table, c.after, 1+r.random.IntN(3))
	mark := len(r.m.log)
	c.chunk = &sources.Chunk{Done: done, Last: c.after, Sees: func(tx uint64) bool { return int(tx) <= mark }}
	for _, row := range rows {
		c.chunk.Rows = append(c.chunk.Rows, image(row))
		c.chunk.Last = sources.Key{strconv.Itoa(row[0])}
	}
	r.marks[c], r.ends[s] = mark, c.chunk.Last
	r.pending[s] = append(ahead, c)
}

// merge stores a chunk that the stream has come to.
func (r *reading) merge(s *scan) {
	if r.ended || len(r.pending[s]) == 0 || r.marks[r.pending[s][0]] > r.at {
		return
	}
	c := r.pending[s][0]
	r.pending[s] = r.pending[s][1:]
	p := &pipeline{joins: r.j, windows: r.j.windows, gauges: &gauges{}}
	err := p.store(c)
	r.j.windows.close(c.window)
	if err != nil {
		r.failed(err)
		return
	}
	merged := <-c.answer
	snap := r.store.Snapshot()
	defer snap.Release()
	for _, t := range r.j.tables {
		noted := &storedTable{StoredTable: t.StoredTable}
		if err := noted.recall(snap); err != nil {
			r.Fatal(err)
		}
		if noted.shaken != t.shaken || noted.holes != t.holes {
			r.Fatalf("merged %v: of table %s %d, %d holes, and in the store %d, %d", merged, t.Source, t.shaken, t.holes, noted.shaken, noted.holes)
		}
	}
	if merged {
		return
	}
	for _, later := range r.pending[s] {
		r.j.windows.close(later.window)
	}
	r.pending[s], r.ends[s] = nil, s.last
}

// TestRandomCascades reads tables while foreign keys act, and renders documents, as
// the server, the stream, the chunks, the drain and the sink happen to take turns,
// with kills. It compares what is stored, and the documents, with the model's.
// A failing test's name ends in its seed: HAYSTREAM_SEED replays it.
func TestRandomCascades(t *testing.T) {
	const cascade, null, restrict = sources.Cascade, sources.SetNull, sources.Restrict
	shapes := map[string]model{
		"levels": {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing}, {nothing, {0, cascade, cascade}}, {nothing, {1, cascade, cascade}, {1, null, null}}}},
		"part":   {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing}, {{0, cascade, cascade}, {0, null, null}}, {nothing, {1, cascade, cascade}, {1, null, null}}}},
		"self":   {names: []string{"a", "b"}, refs: [][]reference{{nothing, {0, cascade, restrict}}, {nothing, {0, null, restrict}}}},
		"ring":   {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing, {2, cascade, restrict}}, {nothing, {0, cascade, restrict}}, {nothing, {1, cascade, restrict}}}},
		"moving": {names: []string{"z", "a", "b"}, refs: [][]reference{{nothing, {2, cascade, restrict}}, {{0, cascade, cascade}}, {nothing, {1, cascade, cascade}}}},
		"mixed":  {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing, {1, null, restrict}}, {nothing, {0, cascade, restrict}, {1, cascade, restrict}}, {nothing, {1, cascade, restrict}, {0, null, restrict}}}},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			seeds := make([]uint64, 30)
			for i := range seeds {
				seeds[i] = rand.Uint64()
			}
			if seed, err := strconv.ParseUint(os.Getenv("HAYSTREAM_SEED"), 10, 64); err == nil {
				seeds = []uint64{seed}
			}
			for _, seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { randomCascades(t, seed, shape) })
			}
		})
	}
}

func randomCascades(t *testing.T, seed uint64, m model) {
	random := rand.New(rand.NewPCG(seed, 0))
	m.minimal = random.IntN(3) == 0
	for range m.names {
		m.rows = append(m.rows, map[int][]int{})
	}
	for range 60 {
		m.step(random)
	}
	if random.IntN(4) == 0 {
		m.orphan(random)
	}
	m.log = nil
	r := &reading{bench: m.bench(t), m: &m, random: random, queues: map[string][]queued{}, sink: map[string]document{}}
	r.feeds = true
	r.begin()
	for n := 0; n < 400 || !r.j.whole.Load(); n++ {
		r.turn(n < 300)
		if n > 100000 {
			t.Fatal("the tables are never read")
		}
	}
	for n := 0; r.ended || r.at < len(m.log) || r.j.working || r.j.status().Pending > 0; n++ {
		r.turn(false)
		if n > 100000 {
			t.Fatalf("never at rest: %d of %d changes, %+v", r.at, len(m.log), r.j.status())
		}
	}
	for n, name := range m.names {
		want := []string{}
		for _, k := range slices.Sorted(maps.Keys(m.rows[n])) {
			want = append(want, words(m.rows[n][k]))
		}
		if got := r.rows(name); !slices.Equal(got, want) {
			t.Errorf("table %s: %q, want %q", name, got, want)
		}
	}
	r.compare()
}

// compare compares the sink's documents with the model's.
func (r *reading) compare() {
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
	want := r.m.documents(r.T)
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
