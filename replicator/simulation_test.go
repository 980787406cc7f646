package replicator

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/rs/zerolog"

	"haystream/internal/backoff"
	"haystream/internal/conf"
	"haystream/internal/model"
	"haystream/internal/seeds"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/verify"
	"haystream/replicator/web"
)

// TestSimulation runs the whole engine against a simulated source, sink and disk, in virtual time. A seed
// gives a history: what is written to the source, and what goes wrong, and when. It is looked
//   - at each write, whether the document shows what the tables give, no older state than it did before, and
//     whether its version had another content;
//   - when the source is asked to go on, whether it has what follows: else something was acknowledged that was not held;
//   - whether a daemon that says it is ready is not far behind;
//   - in the end, whether the documents are those of the tables.
//
// A failing test's name ends in its seed, and it prints the shortest history that was found to fail as well.
// The seed makes all choices but those of the runtime, so that a failure may take some replays to come again; few
// where the seed is even, for goroutines run one at a time then.
func TestSimulation(t *testing.T) {
	tried := seeds.Of(t, 40)
	if len(tried) == 1 { // one that failed
		tried = slices.Repeat(tried, replays)
	}
	for _, seed := range tried {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { tryHistory(t, seed) }) {
			return
		}
	}
}

// replays is how often a history is run to see whether it fails.
const replays = 8

// tryHistory runs the history of a seed, and reports the shortest one that fails, too.
func tryHistory(t *testing.T, seed uint64) {
	steps := history(seed)
	first := simulate(t, seed, steps, false)
	if first.failure == "" {
		return
	}
	began := time.Now()
	fails := func(steps []step) *world {
		for n := 0; n < replays && time.Since(began) < 15*time.Second; n++ {
			if w := simulate(t, seed, steps, true); w.failure != "" {
				return w
			}
		}
		return nil
	}
	shortest := fails(steps)
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps); {
			fewer := slices.Delete(slices.Clone(steps), at, at+size)
			if w := fails(fewer); w != nil {
				steps, shortest = fewer, w
			} else {
				at += size
			}
		}
	}
	if shortest == nil {
		t.Fatalf("%s, but not again in %d replays", first.failure, replays)
	}
	t.Fatalf("%s\n%d of %d steps:\n%s", shortest.failure, len(steps), len(history(seed)), strings.Join(shortest.tale, "\n"))
}

// A step is something that happens, some time after the one before.
type step struct {
	after time.Duration
	do    deed
	seed  uint64 // of its own choices, so that they stay when other steps are left out
}

// A deed is what may happen.
type deed int

const (
	write deed = iota
	kill
	stop
	redefine
	compare
	refuse
	disappear
	cut
	second
	hang
	jump
	spoil
	alter
	truncate
	lose
	fork
	meddle
	putBack
	backup
	restore
	deeds
)

func (d deed) String() string {
	return [deeds]string{
		"write", "kill", "stop", "the definitions change", "an index is verified", "the sink refuses", "the sink is away", "connections to the source break", "another daemon starts", "the daemon hangs", "a clock steps", "a disk fails", "a table is altered", "a table is truncated", "the log is lost", "the source fails over",
		"somebody meddles with the sink", "a checkpoint is put back", "the sink is backed up", "the sink is restored",
	}[d]
}

// history draws the steps of a seed.
func history(seed uint64) (steps []step) {
	random := rand.New(rand.NewPCG(seed, 1))
	often := [deeds]int{write: 24, kill: 1 + random.IntN(4), stop: 1, refuse: 1, disappear: random.IntN(3), cut: 1}
	if random.IntN(3) == 0 {
		often[second], often[hang] = 2, 1
	}
	for _, d := range []deed{jump, spoil, alter, redefine, compare} {
		if random.IntN(3) == 0 {
			often[d] = 1 + random.IntN(3)
		}
	}
	if random.IntN(2) == 0 {
		for _, d := range []deed{truncate, lose, fork, meddle, putBack, backup, restore} {
			often[d] = random.IntN(2)
		}
	}
	var all []deed
	for d, n := range often {
		all = append(all, slices.Repeat([]deed{deed(d)}, n)...)
	}
	for range 5 + random.IntN(60) {
		after := time.Duration(random.Int64N(int64(60 * time.Millisecond)))
		switch random.IntN(20) {
		case 0, 1:
			after = time.Duration(random.Int64N(int64(2 * time.Second)))
		case 2:
			after = time.Duration(random.Int64N(int64(8 * time.Second)))
		}
		steps = append(steps, step{after, all[random.IntN(len(all))], random.Uint64()})
	}
	return steps
}

// A world has all that a history happens to.
type world struct {
	mu      sync.Mutex
	seed    uint64
	began   time.Time
	joined  bool      // there are definitions that join tables
	alters  bool      // columns are altered also while no daemon runs
	honest  bool      // the catalog tells which columns the log may leave out
	calm    bool      // nothing goes wrong any more
	repairs bool      // an index was verified to be repaired
	losable bool      // something was done for which the log need not go on from where a daemon was
	touched time.Time // when somebody did last, what takes a moment to be noticed
	over    bool
	telling bool
	tale    []string
	failure string

	db      *database
	cluster *cluster
	states  [views]map[string][]state // of documents by each view, by alias and id
	moment  int
	emptied int            // the moment at which a table was truncated last
	stale   map[string]int // by alias, at which a table was altered last
	view    view           // of the next daemon
	config  func(view) *config.Config
	running *machine
	standby *machine // on another host; nil where there is none
	hosts   int
	folder  string // on the real disk, for what is verified
	wait    sync.WaitGroup
}

// A state is what a document was from a moment on.
type state struct {
	moment int
	at     time.Time
	body   string // empty: there is none
}

// simulate runs a history.
func simulate(t *testing.T, seed uint64, steps []step, telling bool) *world {
	t.Helper()
	if seed%2 == 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(seed, telling)
		w.folder = t.TempDir()
		w.running = w.machine(vfs.NewCrashableMem(), &machine{})
		for _, s := range steps {
			w.pass(s.after)
			w.do(s)
		}
		w.settle()
		w.mu.Lock()
		w.over = true
		w.mu.Unlock()
		w.kill(0)
		w.wait.Wait()
	})
	return w
}

func newWorld(seed uint64, telling bool) *world {
	random := rand.New(rand.NewPCG(seed, 2))
	w := &world{seed: seed, began: time.Now(), telling: telling, stale: map[string]int{}}
	for v := range w.states {
		w.states[v] = map[string][]state{}
	}
	m := model.Model{Names: []string{"a", "b"}, Refs: [][]model.Reference{{model.Nothing}, {model.Nothing}}}
	if random.IntN(4) > 0 {
		shapes := model.Shapes()
		names := slices.Sorted(maps.Keys(shapes))
		m, w.joined = shapes[names[random.IntN(len(names))]], true
	}
	m.Minimal, m.Careless, w.honest = random.IntN(3) == 0, random.IntN(4) == 0, random.IntN(2) == 0
	m.Untold, w.alters = random.IntN(2) == 0, random.IntN(4) == 0
	m.Fill()
	for range m.Names {
		m.Rows = append(m.Rows, map[int][]int{})
	}
	for range random.IntN(60) {
		m.Step(random)
	}
	m.Log = nil
	w.db = &database{world: w, Model: &m, forked: map[int]int{}, moved: make(chan struct{})}
	w.cluster = newCluster(w)
	chunk, parallel := 1+random.IntN(5), 1+random.IntN(3)
	w.config = func(v view) *config.Config {
		w.mu.Lock()
		defer w.mu.Unlock()
		m.Less = v == less
		c := config.New()
		c.Name, c.Source.Snapshot.ChunkRows, c.Source.Snapshot.Parallel = "sim", chunk, parallel
		set := m.Definitions()
		if !w.joined || v == flat {
			clear(set.Indexes)
		}
		m.Flat(set)
		c.Indexes, c.Tables = set.Indexes, set.Tables
		return c
	}
	m.Logs, w.db.kept = w.db.logged, [][]map[int][]int{m.Copy()}
	w.db.note()
	return w
}

// tell adds to the tale of the history.
func (w *world) tell(format string, args ...any) {
	if w.telling && !w.over {
		w.tale = append(w.tale, fmt.Sprintf("%9.3f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
	}
}

// Write takes a line of the daemon's log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell("  log %s", strings.TrimSpace(string(line)))
	return len(line), nil
}

// fail notes the first thing that is wrong.
func (w *world) fail(format string, args ...any) {
	if w.failure == "" && !w.over {
		w.failure = fmt.Sprintf(format, args...)
		w.tell("FAILED: %s", w.failure)
	}
}

// draw is what the source, the sink or the network choose by, now and for what: it is not for the order in which
// goroutines ask, which the runtime chooses.
func (w *world) draw(what string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	return rand.New(rand.NewPCG(w.seed^uint64(time.Since(w.began)), h.Sum64()))
}

// latency is how long a request or an answer takes.
func (w *world) latency(what string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	random := w.draw("latency " + what)
	switch n := random.IntN(200); {
	case n == 0 && !w.calm:
		return time.Duration(random.Int64N(int64(4 * time.Second)))
	case n < 20:
		return time.Duration(random.Int64N(int64(50 * time.Millisecond)))
	}
	return time.Duration(random.Int64N(int64(3 * time.Millisecond)))
}

// faulty reports whether something goes wrong that does so once in a number of times.
func (w *world) faulty(once int, what string) bool { return !w.calm && w.draw(what).IntN(once) == 0 }

// late does something after a while, unless the sink is put back to a backup by then: that is another server.
func (w *world) late(what string, do func()) {
	life := w.cluster.lives
	time.AfterFunc(time.Duration(w.draw("late "+what).Int64N(int64(5*time.Second))), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over && life == w.cluster.lives {
			do()
		}
	})
}

// mayLose is called when the log does not go on from a position.
func (w *world) mayLose(what string) {
	if !w.losable {
		w.fail("acknowledged, and not held: %s", what)
	}
}

// note notes what documents have become.
func (db *database) note() {
	db.moment++
	for v, states := range db.states {
		now := db.documents(view(v))
		for key, of := range states {
			if _, there := now[key]; !there && of[len(of)-1].body != "" {
				now[key] = ""
			}
		}
		for key, body := range now {
			if of := states[key]; len(of) == 0 || of[len(of)-1].body != body {
				states[key] = append(of, state{db.moment, time.Now(), body})
			}
		}
	}
}

// shown is the earliest moment from one on at which a document was the same by a view; ok: there is one.
func (w *world) shown(by view, key, body string, from int) (moment int, ok bool) {
	of := append([]state{{}}, w.states[by][key]...)
	for i, s := range of {
		if s.body == body && (i == len(of)-1 || of[i+1].moment > from) {
			return max(from, s.moment), true
		}
	}
	return 0, false
}

// A view is one of the ways in which the definitions show the tables.
type view int

const (
	whole view = iota
	less
	flat // none joins tables
	views
)

// A machine runs a daemon until it is killed.
type machine struct {
	name    string
	folder  string
	view    view
	disk    *vfs.MemFS
	planned int                       // the moment at which it read the catalog last
	hung    time.Time                 // until when it does nothing
	skew    time.Duration             // of its wall clock
	spoilt  time.Time                 // until when its disk fails
	fails   func(errorfs.OpKind) bool // at what
	why     error
	d       *daemon
	dead    chan struct{}
	cancel  context.CancelFunc
	ended   chan struct{}
}

func (m *machine) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

// start starts a daemon with what is on a disk.
func (w *world) start(disk *vfs.MemFS) {
	if v := w.running.d.verifier; v.busy() {
		<-w.running.ended // a process that is killed leaves its files at once
	}
	w.running = w.machine(disk, w.running)
}

// busy reports whether something is to be verified.
func (v *verifier) busy() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.queue) > 0
}

func (w *world) machine(disk *vfs.MemFS, was *machine) *machine {
	ctx, cancel := context.WithCancel(context.Background())
	name := "host" + strconv.Itoa(w.hosts)
	m := &machine{name: name, folder: cmp.Or(was.folder, filepath.Join(w.folder, name)), view: w.view, disk: disk, skew: was.skew, spoilt: was.spoilt, fails: was.fails, why: was.why, dead: make(chan struct{}), cancel: cancel, ended: make(chan struct{})}
	log := zerolog.Nop()
	if w.telling {
		log = zerolog.New(w).Level(zerolog.InfoLevel)
	}
	cfg := w.config(m.view)
	cfg.State.Path = m.folder
	m.d = newDaemon(cfg, &conf.Source{}, &tail{database: w.db, of: m}, &client{cluster: w.cluster, of: m}, m.name, "simulated", log)
	m.d.disk = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error { return w.fault(m, op) }))
	m.d.now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Now().Add(m.skew)
	}
	w.hosts++
	w.wait.Go(func() {
		defer close(m.ended)
		defer m.d.source.Close()
		if err := m.d.supervise(ctx); err != nil && !m.isDead() {
			w.mu.Lock()
			w.fail("the daemon stopped: %v", err)
			w.mu.Unlock()
		}
	})
	return m
}

// jump sets the clock of the source or of a machine: by moments, past a lease, or by hours.
func (w *world) jump(random *rand.Rand) {
	by := time.Duration(random.Int64N(int64([]time.Duration{time.Second, 2 * builds.LeaseLife, 3 * time.Hour}[random.IntN(3)])))
	if random.IntN(2) == 0 {
		by = -by
	}
	whose, clock := "the source's", &w.db.skew
	switch random.IntN(3) {
	case 0:
		whose, clock = "the daemon's", &w.running.skew
	case 1:
		if w.standby != nil {
			whose, clock = "the other daemon's", &w.standby.skew
		}
	}
	*clock += by
	w.tell("%s clock steps by %s", whose, by)
}

// compare has an index verified by one of the daemons.
func (w *world) compare(random *rand.Rand) {
	var aliases []string
	for key := range w.states[w.running.view] {
		if alias, _, _ := strings.Cut(key, "/"); !slices.Contains(aliases, alias) {
			aliases = append(aliases, alias)
		}
	}
	if len(aliases) == 0 {
		return
	}
	slices.Sort(aliases)
	alias, repair := aliases[random.IntN(len(aliases))], random.IntN(2) == 0
	err := w.running.d.verifier.ask([]string{alias}, verify.Options{Repair: repair})
	w.repairs = w.repairs || repair && err == nil
	w.tell("%s, repairing: %v: %v", alias, repair, err)
}

// alarmed looks whether a verification has found something where nothing can be wrong. Where the log leaves out what the
// catalog says it has, an index may lack that until one of stored rows serves.
func (w *world) alarmed(m *machine) {
	if w.db.Minimal && !w.honest || w.losable || w.emptied > 0 || len(w.stale) > 0 || !w.touched.IsZero() {
		return
	}
	for alias := range w.config(m.view).Indexes {
		r := m.d.verifier.of(alias)
		if r == nil || r.State != verify.Done {
			continue
		}
		if found, _ := r.Wrong(); found > 0 {
			w.mu.Lock()
			w.fail("a false alarm: %+v", *r)
			w.mu.Unlock()
		}
	}
}

// What of a disk may fail.
func reads(op errorfs.OpKind) bool  { return op.ReadOrWrite() == errorfs.OpIsRead }
func writes(op errorfs.OpKind) bool { return op.ReadOrWrite() == errorfs.OpIsWrite }
func syncs(op errorfs.OpKind) bool {
	return op == errorfs.OpFileSync || op == errorfs.OpFileSyncData || op == errorfs.OpFileSyncTo
}

// spoil has the disk of the daemon's machine fail for a while.
func (w *world) spoil(random *rand.Rand, until time.Time) {
	m := w.running
	m.spoilt = until
	switch random.IntN(4) {
	case 0:
		m.fails, m.why = writes, syscall.ENOSPC
	case 1:
		m.fails, m.why = writes, syscall.EIO
	case 2:
		m.fails, m.why = reads, syscall.EIO
	case 3:
		m.fails, m.why = syncs, syscall.EIO
	}
	w.tell("the disk fails: %v", m.why)
}

// fault is the error of an operation of a machine's disk; nil: there is none.
func (w *world) fault(m *machine, op errorfs.Op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if op.Kind == errorfs.OpFileClose || !time.Now().Before(m.spoilt) || !m.fails(op.Kind) {
		return nil
	}
	w.tell("    %v", op)
	return m.why
}

// awake blocks while the machine hangs.
func (w *world) awake(ctx context.Context, m *machine) error {
	for {
		w.mu.Lock()
		left := time.Until(m.hung)
		w.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if err := backoff.Pause(ctx, min(left, time.Second)); err != nil { // it may be woken
			return err
		}
	}
}

// kill ends the daemon at once. The disk keeps what was synced, and so much in a hundred of what was not.
func (w *world) kill(unsynced int) *vfs.MemFS {
	m := w.running
	w.mu.Lock()
	close(m.dead)
	if w.db.holder != nil && w.db.holder.of == m {
		w.db.holder = nil
	}
	left := m.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: w.draw("crash")})
	w.mu.Unlock()
	m.cancel()
	return left
}

// stop ends the daemon in order.
func (w *world) stop() *vfs.MemFS {
	w.running.cancel()
	<-w.running.ended
	return w.running.disk
}

// do makes a step happen.
func (w *world) do(s step) {
	random := rand.New(rand.NewPCG(s.seed, 0))
	during := time.Duration(random.Int64N(int64(3 * time.Second)))
	if random.IntN(6) == 0 {
		during *= 30
	}
	w.mu.Lock()
	if s.do != write {
		w.tell("%s", s.do)
	}
	until := time.Now().Add(during)
	switch s.do {
	case write:
		for range 1 + random.IntN(4) {
			w.db.Step(random)
		}
	case refuse:
		w.cluster.refusing = until
	case disappear:
		w.cluster.away = until
	case cut:
		w.db.broken = until
	case hang:
		w.running.hung = until
	case compare:
		w.compare(random)
	case jump:
		w.jump(random)
	case spoil:
		w.spoil(random, until)
	case second:
		w.losable = true // the log goes on from what is stored on one of the hosts
	case alter:
		w.db.alter(random)
	case truncate:
		if w.db.Truncate(random.IntN(len(w.db.Names))) {
			w.emptied = w.moment
		}
	case lose:
		w.db.lose()
	case fork:
		w.db.fork(1 + random.IntN(8))
	case meddle:
		w.cluster.meddle(random)
	case putBack:
		w.cluster.putBack(random)
	case backup:
		w.cluster.backup = w.cluster.copy()
	}
	if s.do >= meddle {
		w.touched = time.Now()
	}
	w.mu.Unlock()
	var disk *vfs.MemFS
	switch s.do {
	case kill:
		disk = w.kill([]int{0, 50, 100}[random.IntN(3)])
	case stop:
		disk = w.stop()
	case redefine:
		w.view = view(random.IntN(int(views)))
		if random.IntN(2) == 0 {
			disk = w.stop()
		} else {
			disk = w.kill(50)
		}
	case second:
		if w.standby == nil {
			w.standby = w.machine(vfs.NewCrashableMem(), &machine{})
		}
		return
	case restore:
		// A daemon that runs cannot tell, so that none does. Nor can one tell that its row store has seen documents held
		// which the sink has lost, where no checkpoint was saved since the backup, so that the disk is lost as well.
		if w.standby != nil {
			w.kill(0)
			w.running, w.standby = w.standby, nil
		}
		disk = w.kill(100)
		w.mu.Lock()
		if backup := w.cluster.backup; len(backup.checkpoints) > 0 && backup.answered == w.cluster.answered {
			disk = vfs.NewCrashableMem()
		}
		w.cluster.restore()
		w.mu.Unlock()
	default:
		return
	}
	if s.do == kill && w.db.forks > 0 && random.IntN(2) == 0 { // what kills a daemon may kill the server beside it
		w.mu.Lock()
		w.db.fork(1 + random.IntN(8))
		w.touched = time.Now()
		w.mu.Unlock()
	}
	if random.IntN(2) == 0 {
		w.mu.Lock()
		w.db.Step(random)
		if w.alters && random.IntN(3) == 0 {
			w.db.alter(random)
			w.db.Step(random)
		}
		w.mu.Unlock()
	}
	if w.standby != nil && s.do != restore {
		w.running, w.standby = w.standby, nil
		return
	}
	w.pass(during)
	w.start(disk)
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	for d > 0 {
		some := min(d, time.Second)
		time.Sleep(some)
		d -= some
		w.check()
	}
}

// behind is how old what a ready daemon shows may be: what it may be behind, and what it takes to see it.
const behind = maxLag + 15*time.Second

// check looks whether a daemon that is ready is not behind.
func (w *world) check() {
	for _, m := range []*machine{w.running, w.standby} {
		if m != nil {
			w.checkOne(m)
			w.alarmed(m)
		}
	}
}

func (w *world) checkOne(m *machine) {
	select {
	case <-m.ended:
		return
	case <-m.dead:
		return
	default:
	}
	if len(m.d.status.NotReady()) > 0 || time.Since(w.touched) < behind || slices.ContainsFunc(m.d.status.Status().Indexes, building) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if wrong := w.differences(m.view, time.Now().Add(-behind)); len(wrong) > 0 {
		w.fail("ready, and behind: %s", strings.Join(wrong, "\n"))
	}
}

// building reports whether an index is built beside one that serves. A daemon says it is ready meanwhile, also where the
// one that serves lacks what a lost log had.
func building(index web.IndexStatus) bool { return index.Building != "" }

// differences are between what the aliases lead to and what the documents were at some time or since.
func (w *world) differences(by view, at time.Time) (wrong []string) {
	for _, key := range slices.Sorted(maps.Keys(w.states[by])) {
		alias, id, _ := strings.Cut(key, "/")
		index := w.cluster.indexes[w.cluster.aliases[alias]]
		if index == nil {
			wrong = append(wrong, "there is no index "+alias)
			continue
		}
		of := append([]state{{}}, w.states[by][key]...)
		got := index.documents[id]
		if !slices.ContainsFunc(of, func(s state) bool { return s.body == got.body && w.until(of, s).After(at) }) {
			wrong = append(wrong, fmt.Sprintf("document %s: %q, version %d, want %q", key, got.body, got.version, of[len(of)-1].body))
		}
	}
	for alias, name := range w.cluster.aliases {
		index := w.cluster.indexes[name]
		if index == nil || index.Alias != alias || by == flat && slices.Contains(w.db.Names, alias) {
			continue // it is a write alias, or not defined
		}
		for id, d := range index.documents {
			if d.body != "" && len(w.states[by][alias+"/"+id]) == 0 {
				wrong = append(wrong, "document "+alias+"/"+id+" has no row")
			}
		}
	}
	return wrong
}

// until is when a state ended; one that is still there ends later than now.
func (w *world) until(of []state, s state) time.Time {
	i := slices.Index(of, s)
	if i == len(of)-1 {
		return time.Now().Add(time.Hour)
	}
	return of[i+1].at
}

// settle waits until the documents are those of the tables, while nothing goes wrong.
func (w *world) settle() {
	w.mu.Lock()
	w.tell("nothing goes wrong any more")
	w.calm, w.running.hung, w.running.spoilt = true, time.Time{}, time.Time{}
	w.cluster.refusing, w.cluster.away, w.db.broken = time.Time{}, time.Time{}, time.Time{}
	w.mu.Unlock()
	if w.standby != nil {
		w.kill(0)
		w.running, w.standby = w.standby, nil
		w.mu.Lock()
		w.running.hung, w.running.spoilt = time.Time{}, time.Time{}
		w.mu.Unlock()
	}
	var wrong []string
	for range 300 {
		w.pass(time.Second)
		if wrong = w.unsettled(); len(wrong) == 0 && time.Since(w.touched) > 15*time.Second {
			break
		}
	}
	w.pass(6 * time.Second) // for what may come late
	if wrong = append(wrong, w.unsettled()...); len(wrong) > 0 {
		w.mu.Lock()
		w.fail("in the end %s", strings.Join(wrong, "\n"))
		w.mu.Unlock()
	}
}

// unsettled says what is not as it must be in the end.
func (w *world) unsettled() (wrong []string) {
	for _, trouble := range w.running.d.status.NotReady() {
		wrong = append(wrong, "not ready: "+trouble.Text)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong = append(wrong, w.differences(w.running.view, time.Now())...)
	if w.db.acked < len(w.db.Log) {
		wrong = append(wrong, fmt.Sprintf("%d of %d changes are acknowledged", w.db.acked, len(w.db.Log)))
	}
	return wrong
}
