package builds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/seeds"
	"haystream/mapping"
	"haystream/replicator/joins"
	"haystream/sinks"
	"haystream/sources"
)

// A model of the life of a definition of mode append: it changes, its alias and its mode do, the
// checkpoint and the log are lost, the table is emptied, and the daemon ends between any two steps,
// under writes. Decisions are those of Indexes; the sink, the log and the pipeline are small ones of
// the model. A seed makes all choices. The oracle: what was ever in the table has its document, in the
// last state that a session was told of.
func TestAppendModel(t *testing.T) {
	number := 500
	if testing.Short() {
		number = 100
	}
	for _, seed := range seeds.Of(t, number) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { newLife(t, seed).live() }) {
			return
		}
	}
}

// A wish is what the configuration says.
type wish struct {
	alias          string
	layout, fields int
	mirror         bool
	every          string // of its partition; empty for none
}

var noteTable = &sources.Table{Schema: "public", Home: true, Name: "note", Columns: []sources.Column{{Name: "id"}}, Key: []int{0}}

func (w wish) index() *mapping.Index {
	mode, partition := `"append"`, (*mapping.Partitioning)(nil)
	switch {
	case w.mirror:
		mode = `""`
	case w.every != "":
		partition = &mapping.Partitioning{Partition: &mapping.Partition{By: "at", Every: w.every}, Zone: time.UTC}
		mode += fmt.Sprintf(`,"partition":{"by":"at","every":%q}`, w.every)
	}
	normalized := fmt.Appendf(nil, `{"alias":%q,"definitions":{"notes":{"mode":%s}},"tables":{},"mappings":{"fields":%d},"settings":{"layout":%d}}`, w.alias, mode, w.fields, w.layout)
	return &mapping.Index{
		Partition: partition,
		Alias:     w.alias, Names: []string{"notes"}, Normalized: normalized, Uses: map[string][]string{noteTable.String(): {"id"}},
		Mappings: fmt.Appendf(nil, `{"fields":%d}`, w.fields), Settings: fmt.Appendf(nil, `{"layout":%d}`, w.layout),
		Renderers: []*mapping.Renderer{{Name: "notes", Table: noteTable, Append: !w.mirror}},
	}
}

// date tells the period of a row in a state.
func date(state int) string { return fmt.Sprintf("%d-%02d-01", 2020+state%2, 1+state/2%2) }

// A note is a row, or its document.
type note struct {
	version int64
	state   int
	gone    bool // a tombstone
	seq     int  // of the write, in its index
}

// An entry of the log.
type entry struct {
	id    string
	state int
	kind  sources.ChangeKind
	time  int64
}

// A life is one of a definition.
type life struct {
	t      *testing.T
	r      *rand.Rand
	sink   *memory
	clock  time.Time
	said   []string
	wish   wish
	rows   map[string]int // that are in the table, with their states
	next   int
	state  int
	log    []entry
	acked  int             // of the log: what the source will not send again
	lost   bool            // the log is
	sure   map[string]int  // states that rows had at least, in what was acknowledged
	astray map[string]bool // rows whose changes no session was told of: documents of two periods may be there
	unfed  []entry         // that the index which serves did not get
	unsure int             // what is before it in the log may have been looked at by a definition that did not append

	session *session // that runs
}

// A session is one run of the pipeline.
type session struct {
	ctx     context.Context
	end     context.CancelFunc
	x       *Indexes
	targets []*Target
	at      int   // in the log
	version int64 // of the last one read
	mark    int
	reached bool
	queue   []*landing
	copying bool
	replan  bool
	unfed   bool // what serves gets no changes
}

// A landing is on its way to the sink.
type landing struct {
	act     []func()
	at      int // in the log; -1 for none
	version int64
	read    *Target // whose table is read
	unmade  []*sinks.Target
	barrier chan struct{}
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{t: t, r: rand.New(rand.NewPCG(seed, 1)), rows: map[string]int{}, sure: map[string]int{}, astray: map[string]bool{}, clock: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), wish: wish{alias: "a"}}
	l.sink = &memory{life: l, indexes: map[string]*shelved{}, aliases: map[string]string{}, fuse: -1}
	return l
}

func (l *life) tell(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *life) live() {
	defer func() {
		if l.t.Failed() {
			l.t.Log("\n" + strings.Join(l.said, "\n"))
		}
	}()
	l.settle()
	for range 3 + l.r.IntN(8) {
		l.writes(4)
		l.change()
		for range l.r.IntN(4) {
			l.run(1 + l.r.IntN(60))
		}
		if l.r.IntN(2) == 0 {
			l.settle()
		}
		if l.t.Failed() {
			return
		}
	}
	if l.wish.mirror {
		l.append()
	}
	l.settle()
}

// change is what happens while the daemon is down.
func (l *life) change() {
	switch l.r.IntN(12) {
	case 10:
		l.wish.every = []string{"", "month", "year"}[l.r.IntN(3)]
	case 0, 1:
		l.wish.layout = l.r.IntN(3)
	case 2:
		l.wish.fields = l.r.IntN(3)
	case 3:
		was := l.wish.alias
		if l.wish.alias = []string{"a", "b", "c"}[l.r.IntN(3)]; l.wish.alias != was && l.sink.aliases[l.wish.alias] != "" {
			l.miss(l.log) // its index got no changes
		}
	case 4:
		if l.wish.mirror {
			l.append()
		} else {
			l.wish.mirror = true
		}
	case 5:
		l.sink.saved = nil
		l.miss(l.unfed) // what serves is gone on with
	case 6:
		l.tell("the log is lost at %d, acknowledged %d", len(l.log), l.acked)
		l.lost = true
	case 7:
		l.tell("the table is emptied")
		l.write(entry{kind: sources.Stale})
		clear(l.rows)
	case 8:
		l.delete()
	}
	l.tell("wish %+v, checkpoint %v", l.wish, l.sink.saved != nil)
}

// miss notes that an index that goes on was not told of entries. Rows that have come into other periods by
// those are read into them, and their documents of before stay.
func (l *life) miss(all []entry) {
	for _, e := range all {
		l.astray[e.id] = true
	}
}

// delete is somebody's hand that deletes the index that serves. What is in others that belong to it
// must not go, too.
func (l *life) delete() {
	cp := NewCheckpoint("blog")
	if l.sink.saved == nil || json.Unmarshal(l.sink.saved, cp) != nil || cp.Indexes[l.wish.alias] == nil || cp.Indexes[l.wish.alias].Live == nil {
		return
	}
	st := cp.Indexes[l.wish.alias]
	var others []string
	for _, b := range []*build{st.Live, st.Next} {
		if b == nil {
			continue
		}
		for _, o := range b.Origins {
			if !o.Copied {
				others = append(others, o.Physical)
			}
		}
	}
	others = slices.DeleteFunc(append(others, st.Next.name()), func(name string) bool {
		return name == st.Live.Physical || l.sink.indexes[name] == nil || !appends(l.sink.indexes[name].definition)
	})
	l.tell("%s is deleted, which leaves %v", st.Live.Physical, others)
	at, _ := strconv.Atoi(string(cp.Position))
	l.unsure = max(l.unsure, at)
	l.sink.remove(st.Live.Physical)
	maps.DeleteFunc(l.sure, func(id string, state int) bool {
		return !slices.ContainsFunc(others, func(name string) bool {
			d, ok := l.sink.doc(name, id)
			return ok && d.state >= state
		})
	})
}

// append takes the mode back. What came meanwhile need not have a document, unless it is there.
func (l *life) append() {
	l.wish.mirror, l.unsure = false, len(l.log)
	l.miss(l.log)
}

func (l *life) write(e entry) {
	e.time = l.now().UnixMicro()
	l.log = append(l.log, e)
}

func (l *life) writes(most int) {
	for range l.r.IntN(most + 1) {
		l.state++
		ids := slices.Sorted(maps.Keys(l.rows))
		switch n := l.r.IntN(10); {
		case n < 5 || len(ids) == 0:
			l.next++
			id := fmt.Sprint(l.next)
			l.rows[id] = l.state
			l.write(entry{id: id, state: l.state, kind: sources.Insert})
		case n < 7:
			id := ids[l.r.IntN(len(ids))]
			l.rows[id] = l.state
			l.write(entry{id: id, state: l.state, kind: sources.Update})
		default:
			id := ids[l.r.IntN(len(ids))]
			delete(l.rows, id)
			l.write(entry{id: id, state: l.state, kind: sources.Delete})
		}
	}
}

// settle lets the daemon come to rest, and looks whether all is there.
func (l *life) settle() {
	if l.t.Failed() {
		return
	}
	l.tell("settle")
	for n := 0; ; n++ {
		if n == 20 {
			l.t.Errorf("it does not come to rest")
			return
		}
		if l.run(-1) {
			break
		}
	}
	serving := l.sink.aliases[l.wish.alias]
	index := l.sink.indexes[serving]
	if index == nil {
		l.t.Errorf("nothing serves %s", l.wish.alias)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(l.rows)) {
		if d, ok := l.sink.doc(serving, id); !ok || d.state != l.rows[id] {
			l.t.Errorf("row %s is %d, and its document in %s %+v", id, l.rows[id], serving, d)
		}
	}
	if l.wish.mirror {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(l.sure)) {
		if d, ok := l.sink.doc(serving, id); !ok || d.state < l.sure[id] {
			l.t.Errorf("row %s was %d, and its document in %s is %+v", id, l.sure[id], serving, d)
		}
	}
	in := map[string]string{}
	for _, name := range l.sink.family(serving) {
		for id, d := range l.sink.indexes[name].docs {
			switch {
			case d.gone || l.astray[id]:
			case in[id] != "":
				l.t.Errorf("row %s has documents in %s and in %s", id, in[id], name)
			default:
				in[id] = name
			}
		}
	}
	for name, index := range l.sink.indexes {
		if sinks.IsPhysical(l.wish.alias, name) && name != serving && appends(index.definition) {
			l.t.Errorf("%s is left over beside %s", name, serving)
		}
	}
}

// run is a session, which is killed after some calls of the sink and steps; with -1 it ends when
// nothing is to be done, and reports that.
func (l *life) run(fuse int) (rest bool) {
	l.sink.fuse = fuse
	if fuse > 0 && l.r.IntN(2) == 0 {
		l.sink.fuse = -1 // the steps alone
	}
	steps := fuse * 3
	defer func() {
		l.sink.fuse = -1
		if s := l.session; s != nil {
			for _, d := range s.queue { // some of what was on its way has come
				if l.r.IntN(2) == 0 {
					for _, act := range d.act {
						act()
					}
				}
			}
			s.end()
		}
		l.session = nil
	}()
	if err := l.begin(); err != nil {
		l.tell("session: %v", err)
		return false
	}
	s := l.session
	for n := 0; ; n++ {
		switch {
		case s.replan, s.ctx.Err() != nil:
			l.tell("session ends, replan %v", s.replan)
			return false
		case fuse > 0 && (n >= steps || l.r.IntN(8) == 0 && slices.ContainsFunc(s.targets, func(t *Target) bool { return t.Retired.Load() })):
			l.tell("killed at %d of %d", s.at, len(l.log))
			return false
		case fuse < 0 && l.rests(s):
			if err := l.checkpoint(s); err == nil && l.rests(s) {
				return true
			}
		case fuse < 0 && n > 3000:
			var text []byte
			s.x.State.View(func(cp *Checkpoint) { text, _ = json.Marshal(cp) })
			l.t.Fatalf("it goes on for ever: %s", text)
		}
		if l.r.IntN(8) == 0 {
			l.clock = l.clock.Add(dropGrace)
		}
		if fuse > 0 && l.r.IntN(6) == 0 {
			l.writes(2)
		}
		l.step(s)
	}
}

func (l *life) rests(s *session) (rest bool) {
	s.x.State.View(func(cp *Checkpoint) {
		st := cp.Indexes[l.wish.alias]
		rest = s.at == len(l.log) && len(s.queue) == 0 && len(cp.Garbage) == 0 && st.Live != nil && st.Next == nil && st.Live.Finished && st.Stale == "" && st.Live.uncopied() == nil
	})
	return rest && !s.x.State.Due()
}

// begin is what a session does before the pipeline runs.
func (l *life) begin() error {
	ctx, end := context.WithCancel(l.t.Context())
	st, err := LoadState(ctx, l.sink, "blog", "test", time.Now, zerolog.Nop())
	if err != nil {
		end()
		return err
	}
	w := l.wish.index()
	wanted := []*mapping.Index{w}
	s := &session{ctx: ctx, end: end, mark: len(l.log)}
	if l.lost { // it goes on at its end
		st.Update(func(cp *Checkpoint) { cp.Restart("the log was lost") })
		if _, err := st.Save(ctx); err != nil {
			end()
			return err
		}
		l.miss(l.log[l.acked:])
		l.acked, l.lost = len(l.log), false
	}
	old := map[string]*mapping.Index{}
	st.Update(func(cp *Checkpoint) {
		if cp.Tables == nil {
			cp.Tables = map[string]*tableState{noteTable.String(): {}}
		}
		restored := cp.Restore(wanted, &joins.Notes{}, true, zerolog.Nop())
		for _, physical := range slices.Sorted(maps.Keys(restored)) {
			if l.r.IntN(4) > 0 { // else the saved definition does not fit the tables any more
				old[physical] = restore(cp.Indexes[l.wish.alias], physical, restored[physical])
			} else {
				s.unfed = true
			}
		}
		s.at = l.acked
		if !cp.Position.IsZero() {
			s.at, _ = strconv.Atoi(string(cp.Position))
		} else {
			cp.Position, cp.Version = sources.Position(fmt.Sprint(s.at)), max(cp.Version, l.now().UnixMicro())
		}
	})
	s.x = &Indexes{Sink: l.sink, State: st, Now: l.now, Log: zerolog.New(said{l}), Told: map[string]bool{}, Held: Held{}, Fed: old, Whole: true}
	if err = s.x.Reconcile(ctx, wanted); err == nil {
		s.targets = s.x.Targets(wanted, old)
		_, err = st.Save(ctx)
	}
	if err != nil {
		end()
		return err
	}
	if s.at < l.acked {
		l.t.Errorf("goes on at %d, and %d was acknowledged", s.at, l.acked)
	}
	st.View(func(cp *Checkpoint) { s.version = cp.Version })
	barrier := func(string) <-chan struct{} {
		d := &landing{barrier: make(chan struct{}), at: -1}
		s.queue = append(s.queue, d)
		return d.barrier
	}
	s.x.Follow(s.targets, barrier, func([]string) {})
	s.x.copies.need = func(ctx context.Context, parts []*sinks.Target) error { return s.x.makePeriods(ctx, s.targets, parts) }
	s.x.copies.barrier = func(alias string) <-chan struct{} {
		reached := barrier(alias)
		for open := true; open && s.ctx.Err() == nil; {
			select {
			case <-reached:
				open = false
			default:
				l.step(s)
			}
		}
		return reached
	}
	for _, t := range s.targets {
		l.tell("target %s serving %v since %d", t.Physical, t.Serving, t.Since.Load())
	}
	l.session = s
	return nil
}

// said takes the log.
type said struct{ *life }

func (s said) Write(text []byte) (int, error) {
	s.tell("%s", strings.TrimSpace(string(text)))
	return len(text), nil
}

func (l *life) now() time.Time {
	l.clock = l.clock.Add(time.Millisecond)
	return l.clock
}

// restore makes an index of a saved definition.
func restore(st *indexState, physical string, set mapping.Set) *mapping.Index {
	b := st.Live
	if b.name() != physical {
		b = st.Next
	}
	var definition struct {
		Alias       string
		Mappings    struct{ Fields int }
		Settings    struct{ Layout int }
		Definitions struct {
			Notes struct{ Partition struct{ Every string } }
		}
	}
	if err := json.Unmarshal(b.Definition, &definition); err != nil {
		panic(err)
	}
	return wish{definition.Alias, definition.Settings.Layout, definition.Mappings.Fields, set.Indexes["notes"].Mode == "", definition.Definitions.Notes.Partition.Every}.index()
}

// step is a step of the pipeline.
func (l *life) step(s *session) {
	if !s.reached && s.at >= s.mark {
		if s.x.State.Reached(s.ctx, s.targets, s.version) != nil {
			s.end()
			return
		}
		s.reached = true
	}
	switch n := l.r.IntN(10); {
	case n < 4 && s.at < len(l.log):
		l.read(s)
	case n < 7 && len(s.queue) > 0:
		l.land(s)
	case n < 8:
		l.chunk(s)
	case n < 9 && !s.copying && len(s.x.copies.asked) > 0:
		s.copying = true
		err := s.x.copies.fill(s.ctx, <-s.x.copies.asked, func(b *sinks.Batch) (<-chan struct{}, error) {
			for i := range b.Actions {
				a := &b.Actions[i]
				var document struct{ State int }
				if err := json.Unmarshal(a.Body, &document); a.Op == sinks.OpIndex && err != nil {
					return nil, err
				}
				l.sink.put(a.Target.Physical, string(a.ID), note{version: a.Version, state: document.State, gone: a.Op == sinks.OpDelete})
			}
			held := make(chan struct{})
			close(held)
			return held, nil
		})
		if s.copying = false; err != nil {
			s.end()
		}
	default:
		if l.checkpoint(s) != nil {
			s.end()
		}
	}
}

func (l *life) read(s *session) {
	e := l.log[s.at]
	s.version = max(s.version+1, e.time)
	if e.kind == sources.Stale {
		found := false
		s.x.State.Update(func(cp *Checkpoint) {
			found = cp.NoteStale([]sources.Change{{Kind: sources.Stale, Table: noteTable, Version: s.version, Stale: &sources.Staleness{Reason: "was emptied"}}})
		})
		if found {
			_, err := s.x.State.Save(s.ctx)
			s.replan = err == nil
			s.end()
			return
		}
	}
	s.at++
	if s.unfed {
		l.unfed = append(l.unfed, e)
	}
	l.tell("read %d: row %s, kind %d, state %d, version %d", s.at, e.id, e.kind, e.state, s.version)
	if e.kind == sources.Delete && l.wish.mirror {
		delete(l.sure, e.id)
	}
	d := &landing{at: s.at, version: s.version}
	for _, t := range s.targets {
		if t.Retired.Load() || s.version <= t.Since.Load() || e.kind == sources.Stale {
			continue
		}
		if e.kind != sources.Delete {
			l.render(d, t, e.id, note{version: s.version, state: e.state}, e.kind == sources.Update)
		} else if !keeps(t.Definition) {
			d.act = append(d.act, l.writing(t.Target, e.id, note{version: s.version, gone: true}))
		}
	}
	s.queue = append(s.queue, d)
}

// render has a document go to its period, and away from the others where it may have been there.
func (l *life) render(d *landing, t *Target, id string, n note, moves bool) {
	p := t.Definition.Partition
	if p == nil {
		d.act = append(d.act, l.writing(t.Target, id, n))
		return
	}
	b := &sinks.Batch{}
	now := p.Of([]byte(date(n.state)), p.Zone)
	d.act = append(d.act, l.writing(p.Part(b, t.Target, now), id, n))
	for _, other := range t.All() {
		if period, ok := p.Parse(other.Period); moves && ok && period != now {
			d.act = append(d.act, l.writing(p.Part(b, t.Target, period), id, note{version: n.version, gone: true}))
		}
	}
	d.unmade = append(d.unmade, b.Unmade...)
}

func (l *life) writing(t *sinks.Target, id string, n note) func() {
	return func() { l.sink.put(t.Physical, id, n) }
}

func (l *life) land(s *session) {
	d := s.queue[0]
	if err := s.x.makePeriods(s.ctx, s.targets, d.unmade); err != nil {
		s.end()
		return
	}
	s.queue = s.queue[1:]
	l.tell("landed up to %d", d.at)
	for _, act := range d.act {
		act()
	}
	if d.barrier != nil {
		close(d.barrier)
	}
	s.x.State.Update(func(cp *Checkpoint) {
		if d.at >= 0 {
			cp.Position, cp.Version = sources.Position(fmt.Sprint(d.at)), max(cp.Version, d.version)
		}
		if d.read != nil {
			d.read.Progress(noteTable).Advance(nil, 1, true)
		}
	})
}

// chunk reads the table, where the stream has come to its end.
func (l *life) chunk(s *session) {
	if !s.reached || s.at < len(l.log) {
		return
	}
	for _, t := range s.targets {
		if t.Replacement != nil || t.Retired.Load() || t.Progress(noteTable).Done {
			continue
		}
		d := &landing{at: -1, read: t}
		for _, id := range slices.Sorted(maps.Keys(l.rows)) {
			l.render(d, t, id, note{version: s.version, state: l.rows[id]}, false)
		}
		s.queue = append(s.queue, d)
		return
	}
}

func (l *life) checkpoint(s *session) error {
	if s.x.State.Due() {
		position, err := s.x.State.Save(s.ctx)
		if err != nil {
			return err
		}
		to, _ := strconv.Atoi(string(position))
		for ; l.acked < to; l.acked++ {
			e := l.log[l.acked]
			if (e.kind == sources.Insert || e.kind == sources.Update) && !l.wish.mirror && l.acked >= l.unsure {
				l.sure[e.id] = max(l.sure[e.id], e.state)
			}
		}
	}
	if err := s.x.KeepPeriods(s.ctx, s.targets); err != nil {
		return err
	}
	return s.x.Finish(s.ctx, s.targets)
}

// A memory is a sink whose indexes are maps.
type memory struct {
	sinks.Sink // what is not used
	life       *life
	indexes    map[string]*shelved
	aliases    map[string]string
	saved      []byte
	token      int
	fuse       int // calls that are left; negative: no end
	made       int
}

type shelved struct {
	uuid       string
	definition json.RawMessage
	settings   string
	docs       map[string]note
	last       int // sequence number
}

var errKilled = errors.New("killed")

// call counts a call that changes something; it may be done when the end comes, without an answer.
func (m *memory) call(change func()) error {
	if m.fuse == 0 { // all further ones fail
		return errKilled
	}
	if m.fuse--; m.fuse == 0 {
		m.life.tell("killed in a call")
		if s := m.life.session; s != nil {
			s.end()
		}
		if m.life.r.IntN(2) == 0 {
			return errKilled
		}
	}
	if change != nil {
		change()
	}
	if m.fuse == 0 {
		return errKilled
	}
	return nil
}

func (m *memory) put(physical, id string, n note) {
	index := m.indexes[physical]
	if index == nil {
		return
	}
	if was, ok := index.docs[id]; !ok || n.version >= was.version {
		index.last++
		n.seq = index.last
		index.docs[id] = n
	}
}

// family is an index and those of its periods, as far as they are there.
func (m *memory) family(physical string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(m.indexes)) {
		if name == physical || sinks.PeriodOf(physical, name) != "" {
			names = append(names, name)
		}
	}
	return names
}

// doc is the newest document of an id in a family.
func (m *memory) doc(physical, id string) (found note, ok bool) {
	for _, name := range m.family(physical) {
		if d, has := m.indexes[name].docs[id]; has && !d.gone && (!ok || d.version > found.version) {
			found, ok = d, true
		}
	}
	return found, ok
}

func (m *memory) remove(physical string) {
	for _, name := range m.family(physical) {
		delete(m.indexes, name)
	}
	maps.DeleteFunc(m.aliases, func(_, to string) bool { return to == physical })
}

func (m *memory) index(alias, physical string) *sinks.Index {
	i := m.indexes[physical]
	if i == nil {
		return nil
	}
	return &sinks.Index{Alias: alias, Physical: physical, UUID: i.uuid, Meta: i.definition}
}

func (m *memory) Index(_ context.Context, alias string) (*sinks.Index, error) {
	return m.index(alias, m.aliases[alias]), m.call(nil)
}

func (m *memory) Standing(_ context.Context, alias, physical string) (s sinks.Standing, err error) {
	if i := m.indexes[physical]; i != nil {
		s.UUID, s.WritesTo = i.uuid, physical
	}
	for _, name := range m.family(physical) {
		if period := sinks.PeriodOf(physical, name); period != "" {
			s.Periods = append(s.Periods, period)
		}
	}
	if to := m.aliases[alias]; to != "" {
		s.Serving = []string{to}
	}
	return s, m.call(nil)
}

func (m *memory) Made(_ context.Context, alias string) (all []*sinks.Index, err error) {
	for _, name := range slices.Sorted(maps.Keys(m.indexes)) {
		if of := sinks.AliasOf(name); (alias == "" || of == alias) && !sinks.Belongs(name, maps.Keys(m.indexes)) {
			all = append(all, m.index(of, name))
		}
	}
	return all, m.call(nil)
}

func (m *memory) Newest(_ context.Context, physical string) (newest int64, err error) {
	for _, name := range m.family(physical) {
		for _, n := range m.indexes[name].docs {
			newest = max(newest, n.version)
		}
	}
	return newest, m.call(nil)
}

func (m *memory) Create(_ context.Context, spec sinks.IndexSpec) (*sinks.Index, error) {
	err := m.call(func() {
		if m.indexes[spec.Physical] == nil {
			m.made++
			m.indexes[spec.Physical] = &shelved{fmt.Sprint(m.made), spec.Meta, string(spec.Settings), map[string]note{}, 0}
		}
		if spec.Serve && sinks.IsPhysical(spec.Alias, spec.Physical) && m.aliases[spec.Alias] == "" {
			m.aliases[spec.Alias] = spec.Physical
		}
	})
	return m.index(spec.Alias, spec.Physical), err
}

func (m *memory) Finish(_ context.Context, physical string) error {
	if m.indexes[physical] == nil {
		return errors.New("there is none")
	}
	return m.call(nil)
}

func (m *memory) Amend(_ context.Context, physical string, _, want sinks.IndexSpec) (string, error) {
	i := m.indexes[physical]
	if i.settings != string(want.Settings) {
		return "another layout", m.call(nil)
	}
	return "", m.call(func() {
		for _, name := range m.family(physical) {
			m.indexes[name].definition = want.Meta
		}
	})
}

func (m *memory) Swap(_ context.Context, alias, physical string) error {
	if m.indexes[physical] == nil {
		return errors.New("there is none")
	}
	return m.call(func() { m.aliases[alias] = physical })
}

func (m *memory) Drop(_ context.Context, physical string) error {
	return m.call(func() {
		m.life.tell("dropped %s", physical)
		m.remove(physical)
	})
}

// Lacking looks at a few documents at a time, while the pipeline goes on. What the other index has is
// known as it was in the beginning.
func (m *memory) Lacking(ctx context.Context, from, to, at string, each func([]sinks.Document, string) error) error {
	steps := func() {
		for range m.life.r.IntN(3) {
			if s := m.life.session; s != nil && ctx.Err() == nil {
				m.life.step(s)
			}
		}
	}
	if m.indexes[from] == nil {
		return fmt.Errorf("%s is gone", from)
	}
	begun, number, _ := strings.Cut(at, "/")
	start, _ := strconv.Atoi(number)
	have := map[string]int64{}
	for _, name := range m.family(to) {
		for id, d := range m.indexes[name].docs {
			if !d.gone {
				have[id] = max(have[id], d.version)
			}
		}
	}
	for _, name := range m.family(from) {
		if name < begun {
			continue
		}
		seq := 1
		if name == begun {
			seq = start + 1
		}
		for last := m.indexes[name].last; seq <= last; seq++ {
			steps()
			if err := errors.Join(m.call(nil), ctx.Err()); err != nil {
				return err
			}
			origin := m.indexes[name]
			if origin == nil || m.indexes[to] == nil {
				return errors.New("one of them is gone")
			}
			var docs []sinks.Document
			for id, d := range origin.docs {
				if d.seq == seq && !d.gone && have[id] < d.version {
					docs = append(docs, sinks.Document{ID: []byte(id), Version: d.version, Body: fmt.Appendf(nil, `{"state":%d,"at":%q}`, d.state, date(d.state)), Older: have[id] > 0})
				}
			}
			steps()
			if err := each(docs, fmt.Sprint(name, "/", seq)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) LoadCheckpoint(context.Context, string) ([]byte, sinks.Token, error) {
	if m.saved == nil {
		return nil, "", m.call(nil)
	}
	return m.saved, sinks.Token(fmt.Sprint(m.token)), m.call(nil)
}

func (m *memory) SaveCheckpoint(_ context.Context, _ string, data []byte, token sinks.Token) (sinks.Token, error) {
	err := m.call(func() {
		m.token++
		m.saved = slices.Clone(data)
	})
	return sinks.Token(fmt.Sprint(m.token)), err
}
