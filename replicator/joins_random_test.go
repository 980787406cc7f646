package replicator

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"haystream/mapping"
	"haystream/sources"
)

// bench has a store for the model's tables.
func (m *model) bench(t *testing.T) *bench {
	var catalog []*sources.Table
	set := mapping.Set{Indexes: map[string]*mapping.Definition{}}
	for n, name := range m.names {
		table := &sources.Table{
			Schema: "s", Name: name, Key: []int{0}, IdentityColumns: []int{0}, Identity: sources.IdentityKey,
			Columns: []sources.Column{{Name: "id", Type: integer, NotNull: true}},
		}
		fields := map[string]*mapping.Field{"id": nil}
		for i, ref := range m.refs[n] {
			column := "id"
			if i > 0 {
				column = fmt.Sprintf("r%d", i)
				table.Columns = append(table.Columns, sources.Column{Name: column, Type: integer})
			}
			if ref == nothing {
				continue
			}
			table.ForeignKeys = append(table.ForeignKeys, sources.ForeignKey{
				Name: name + column, Columns: []string{column}, Schema: "s", Table: m.names[ref.table], Targets: []string{"id"},
				OnDelete: ref.onDelete, OnUpdate: ref.onUpdate, Unlogged: true,
			})
			fields[column] = nil
		}
		catalog = append(catalog, table)
		set.Indexes[name] = &mapping.Definition{Table: name, Fields: mapping.Fields{Named: fields}}
	}
	return benchOf(t, catalog, set)
}

// A reading is one session on a model and a bench.
type reading struct {
	*bench
	m       *model
	random  *rand.Rand
	at      int // how many changes the stream has brought
	scans   []*scan
	pending map[*scan][]*loadedChunk
	marks   map[*loadedChunk]int
	ends    map[*scan]sources.Key // of what was read
}

func (r *reading) begin() {
	r.session()
	r.scans = r.j.scans()
	r.pending, r.marks, r.ends = map[*scan][]*loadedChunk{}, map[*loadedChunk]int{}, map[*scan]sources.Key{}
	for _, s := range r.scans {
		r.ends[s] = s.last
	}
}

// failed begins a new session where that is what the error asks for.
func (r *reading) failed(err error) {
	r.Helper()
	if _, ok := errors.AsType[*reloadError](err); !ok && err != nil {
		r.Fatal(err)
	}
	if err != nil {
		r.at = int(r.j.applied - r.version) // the replay of what is stored does nothing
		r.begin()
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
		if !slices.Contains(r.scans, s) {
			return // that began a new session
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
	if len(r.pending[s]) == 0 || r.marks[r.pending[s][0]] > r.at {
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
	if <-c.answer {
		return
	}
	for _, later := range r.pending[s] {
		r.j.windows.close(later.window)
	}
	r.pending[s], r.ends[s] = nil, s.last
}

// TestRandomCascades reads tables while foreign keys act, as the server, the stream
// and the chunks happen to take turns, and compares what is stored with the server's.
// A failing test's name ends in its seed: HAYSTREAM_SEED replays it.
func TestRandomCascades(t *testing.T) {
	const cascade, null, restrict = sources.Cascade, sources.SetNull, sources.Restrict
	shapes := map[string]model{
		"levels": {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing}, {nothing, {0, cascade, cascade}}, {nothing, {1, cascade, cascade}, {1, null, null}}}},
		"part":   {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing}, {{0, cascade, cascade}, {0, null, null}}, {nothing, {1, cascade, cascade}, {1, null, null}}}},
		"self":   {names: []string{"a", "b"}, refs: [][]reference{{nothing, {0, cascade, restrict}}, {nothing, {0, null, restrict}}}},
		"ring":   {names: []string{"a", "b", "c"}, refs: [][]reference{{nothing, {2, cascade, restrict}}, {nothing, {0, cascade, restrict}}, {nothing, {1, cascade, restrict}}}},
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
	m.log = nil
	r := &reading{bench: m.bench(t), m: &m, random: random}
	r.begin()
	turn := func(writes bool) {
		switch n := random.IntN(10); {
		case n == 0 && random.IntN(5) == 0: // a kill
			r.at -= random.IntN(r.at + 1)
			r.begin()
		case n < 4 && writes:
			m.step(random)
		case n < 6:
			r.deliver(1 + random.IntN(4))
		case n < 8 && len(r.scans) > 0:
			r.read(r.scans[random.IntN(len(r.scans))])
		case len(r.scans) > 0:
			r.merge(r.scans[random.IntN(len(r.scans))])
		}
	}
	for n := 0; n < 200 || !r.j.whole.Load(); n++ {
		turn(n < 150)
		if n > 100000 {
			t.Fatal("the tables are never read")
		}
	}
	for r.at < len(m.log) {
		r.deliver(4)
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
}
