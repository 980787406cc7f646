package endtoend

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"haystream/internal/audit"
	"haystream/internal/seeds"
	"haystream/internal/servers"
	"haystream/replicator/config"
)

// TestTorture writes, changes schemas and definitions, and makes every fault, all at random from
// a seed, and compares. By itself it runs for a short time on PostgreSQL; see `make torture`.
func TestTorture(t *testing.T) {
	o := ordeal{seed: seeds.One(t), lasts: 30 * time.Second, changes: append(slices.Sorted(maps.Keys(schemaChanges)), copiedOnline), faults: slices.Sorted(maps.Keys(tortures))}
	shared := &postgres
	switch os.Getenv("HAYSTREAM_TORTURE_DB") {
	case servers.MySQL:
		shared = mysqls[0]
	case servers.MariaDB:
		shared = marias[0]
	}
	if n, err := strconv.Atoi(os.Getenv("HAYSTREAM_TORTURE")); err == nil {
		o.lasts = time.Duration(n) * time.Second
	}
	if o.lasts < 2*time.Minute { // it takes half of a short run
		o.without(stoppedPastLease)
	}
	v := newVictim(t, shared.Spec, o)
	v.suffer()
	if v.wrong() {
		v.t.Error("documents are wrong; run again with HAYSTREAM_SEED")
	}
}

// TestTortureFinds plants a bug, which torture must find.
func TestTortureFinds(t *testing.T) {
	for _, c := range []struct {
		bug    string
		on     *servers.Shared
		lasts  time.Duration
		ordeal ordeal
	}{
		{"versions off", &postgres, 2 * time.Minute, ordeal{faults: []string{"killed", "killed at a point"}}},
		{"swallowed ALTER", &postgres, 2 * time.Minute, ordeal{changes: []string{"names of two columns swapped", "dropped and added"}}},
		{"forgotten cascade", mysqls[0], 2 * time.Minute, ordeal{}},
		{"acknowledged before it is delivered", &postgres, 20 * time.Minute, ordeal{faults: []string{"killed"}}},
	} {
		t.Run(strings.ReplaceAll(c.bug, " ", "_"), func(t *testing.T) {
			if c.lasts > 2*time.Minute && os.Getenv("HAYSTREAM_TEST_VERSIONS") != "all" {
				t.Skip("takes minutes, as a kill must fall between the two")
			}
			c.ordeal.seed, c.ordeal.bug, c.ordeal.lasts = seeds.One(t), c.bug, c.lasts
			v := newVictim(t, c.on.Spec, c.ordeal)
			v.suffer()
			if !v.wrong() {
				v.t.Error("torture has not found the bug")
			}
		})
	}
}

// An ordeal is what a run is made of.
type ordeal struct {
	seed    uint64
	lasts   time.Duration
	bug     string // that is planted; the run ends when it shows
	changes []string
	faults  []string
}

func (o *ordeal) without(fault string) {
	o.faults = slices.DeleteFunc(o.faults, func(name string) bool { return name == fault })
}

// A victim is a daemon under torture, between two proxies.
type victim struct {
	*world
	ordeal
	random   *rand.Rand
	door     *cutter // by which the test itself comes to the database
	source   *cutter
	sink     *cutter
	replica  *replica     // of the database
	state    string       // a volume of its own, where one can be mounted
	variant  int          // of the definitions
	schema   sync.RWMutex // held for writing while tables change under the writers
	outages  atomic.Int64 // of the search server, each counted when it begins and when it ends
	began    time.Time
	restarts int
	made     map[string]int // faults and changes, by kind
	pushers  *pushers
	pressed  map[string]bool // rows of the table that is appended, gone ones too, by key

	writes, presses, regressed, behind, reads atomic.Int64
	compared, lost, resurrected               int

	witness *witness
}

// victimTables are flat and joined ones, with a cascade over two levels, one in parts, an enum, and one that is appended.
func victimTables(kind string) []string {
	mood, moods := "ENUM('sad', 'glad', 'mad')", []string(nil)
	parts := []string{"CREATE TABLE part (id int PRIMARY KEY, word varchar(50)) PARTITION BY RANGE (id) (PARTITION part_a VALUES LESS THAN (100), PARTITION part_b VALUES LESS THAN (200))"}
	if kind == servers.Postgres {
		mood, moods = "mood", []string{"CREATE TYPE mood AS ENUM ('sad', 'glad', 'mad')"}
		parts = []string{
			"CREATE TABLE part (id int PRIMARY KEY, word varchar(50)) PARTITION BY RANGE (id)",
			"CREATE TABLE part_a PARTITION OF part FOR VALUES FROM (0) TO (100)", "CREATE TABLE part_b PARTITION OF part FOR VALUES FROM (100) TO (200)",
		}
	}
	return slices.Concat(moods, []string{
		"CREATE TABLE owner (id int PRIMARY KEY, name varchar(50), other varchar(50))",
		"CREATE TABLE team (id int PRIMARY KEY, owner_id int, name varchar(50), FOREIGN KEY (owner_id) REFERENCES owner (id) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE item (id int PRIMARY KEY, team_id int, counter bigint NOT NULL DEFAULT 0, word varchar(50), other varchar(50), amount int, mood " + mood +
			", beat bigint, FOREIGN KEY (team_id) REFERENCES team (id) ON DELETE SET NULL ON UPDATE CASCADE)",
		"CREATE TABLE player (id int PRIMARY KEY, team_id int, name varchar(50), FOREIGN KEY (team_id) REFERENCES team (id) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE label (id int PRIMARY KEY, item_id int, name varchar(50))",
		"CREATE TABLE press (id int PRIMARY KEY, name varchar(50))",
	}, parts)
}

const (
	watchedItems = 20  // with ids from 1 on, which are never deleted
	itemsAtMost  = 400 // further ones come and go
)

const victimConfig = `
  items:
    index: NAME-items
    table: item
    fields: {id: {}, counter: {}, word: {type: keyword}, other: {type: keyword}, amount: {}, mood: {}, beat: {}%s}
  joined:
    index: NAME-joined
    table: item
    fields: {counter: {}, word: {type: keyword}, team: team.name, owner: team.owner.name, labels: labels.name%s}
  players:
    index: NAME-players
    table: player
    fields: {name: {type: keyword}, team_id: {}}
  parts:
    index: NAME-parts
    table: part
    fields: "*"
  presses:
    index: NAME-presses
    table: press
    mode: append
    fields: {name: {type: keyword}%s}
  NAME:
    events: {}
    fields: {n: {type: long}, action: {type: keyword}%s}
tables:
  item:
    relations:
      labels: {table: label, column: item_id, many: true, order_by: [id]}
`

func newVictim(t *testing.T, spec servers.Spec, o ordeal) *victim {
	t.Helper()
	v := &victim{ordeal: o, random: rand.New(rand.NewPCG(o.seed, 0)), made: map[string]int{}, witness: &witness{TB: t}, began: time.Now()}
	t.Cleanup(func() { // runs last
		if v.world != nil {
			t.Log(v.table())
		}
	})
	database := servers.Test(t, spec)
	if slices.Contains(v.faults, failedOver) {
		v.replica = replicaOf(t, database)
	}
	w := worldOn(t, database, search.Get(t))
	w.t = v.witness
	v.pushers, v.pressed = newPushers(w), map[string]bool{}
	v.world, v.source, v.sink, v.state = w, newCutter(t, w.server.Addr), newCutter(t, strings.TrimPrefix(w.search.URL, "http://")), filepath.Join(w.dir, "state")
	v.door = newCutter(t, w.server.Addr)
	w.db, _ = w.dialect.open(t, strings.Replace(w.server.URL, w.server.Addr, v.door.address(), 1), w.name)
	w.db.SetMaxIdleConns(0) // a server may have been killed since
	w.url = strings.Replace(w.url, w.server.Addr, v.source.address(), 1)
	w.sink = "http://" + v.sink.address()
	if err := os.Mkdir(v.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", v.state, "tmpfs", 0, "size=256m"); err == nil {
		t.Cleanup(func() {
			w.stop()
			_ = syscall.Unmount(v.state, syscall.MNT_DETACH) // with the folder
		})
	} else {
		t.Logf("NOT TESTED: a full disk, since a volume cannot be mounted here: %v", err)
		v.without(diskFull)
	}
	w.chunk = 50
	w.exec(victimTables(spec.Kind)...)
	for id := range 8 {
		w.exec(fmt.Sprintf("INSERT INTO owner VALUES (%d, 'owner %[1]d', 'other')", id+1), fmt.Sprintf("INSERT INTO team VALUES (%d, %[1]d, 'team %[1]d')", id+1))
	}
	for id := range watchedItems {
		w.exec(fmt.Sprintf("INSERT INTO item (id, word, other, amount, mood) VALUES (%d, 'word', 'other', 1, 'sad')", id+1))
	}
	v.define()
	return v
}

func (v *victim) define() {
	more := []any{"", "", "", ""}
	if v.variant%2 == 1 {
		more = []any{", again: counter", ", owner_other: team.owner.other", ", again: name", ", again: {from: n, type: long}"}
	}
	v.config(fmt.Sprintf(victimConfig, more...))
}

// suffer goes round by round: some changes and faults under writes, and a comparison.
func (v *victim) suffer() {
	v.began = time.Now()
	ctx, cancel := context.WithCancel(v.ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { v.watch(ctx) })
	v.startHurt()
	v.within(5*time.Minute, "the daemon is ready", v.ready)
	if v.replica != nil {
		v.replica.copySlot(v.world)
	}
	for ready := time.Now(); ; {
		v.round()
		if time.Since(ready) > v.lasts || v.t.Failed() || v.bug != "" && v.wrong() {
			break
		}
	}
	v.stop()
}

// wrong reports whether any document was.
func (v *victim) wrong() bool { return v.lost+v.resurrected > 0 || v.regressed.Load() > 0 }

// round writes for a while.
func (v *victim) round() {
	end := v.writeBeside()
	defer end()
	for range 3 {
		v.pushers.most.Store(v.pushers.taken.Load() + 200)
		v.writeMore(50 + v.random.Int64N(200))
		if len(v.faults) > 0 {
			v.hurt(v.faults[v.random.IntN(len(v.faults))])
		}
		if len(v.changes) > 0 {
			v.alter(v.changes[v.random.IntN(len(v.changes))])
		}
	}
	v.writeMore(100)
	end()
	v.heal()
	v.compareAll()
	v.define()
	v.startHurt()
}

// writeBeside has rows written and events pushed until the returned function is called.
func (v *victim) writeBeside() func() {
	ctx, cancel := context.WithCancel(v.ctx)
	var all sync.WaitGroup
	for range 2 {
		random := rand.New(rand.NewPCG(v.seed, v.random.Uint64()))
		all.Go(func() { v.write(ctx, random) })
	}
	random := rand.New(rand.NewPCG(v.seed, v.random.Uint64()))
	v.pushers.stop = make(chan struct{})
	all.Go(func() { v.pushers.run(random) })
	return sync.OnceFunc(func() {
		cancel()
		close(v.pushers.stop)
		all.Wait()
	})
}

func (v *victim) hurt(fault string) {
	v.note("fault", fault)
	tortures[fault](v)
}

func (v *victim) note(what, kind string) {
	v.made[what+": "+kind]++
	v.t.Logf("%6.1f s  %s: %s", time.Since(v.began).Seconds(), what, kind)
}

func (v *victim) startHurt(environment ...string) {
	v.t.Helper()
	if v.bug != "" {
		environment = append(environment, "HAYSTREAM_BUG="+v.bug)
	}
	v.startWith(environment...)
}

// again kills the daemon, and starts it.
func (v *victim) again(environment ...string) {
	v.kill()
	v.restarts++
	v.startHurt(environment...)
}

// heal has a daemon with nothing in its way, and without a fault.
func (v *victim) heal() {
	v.source.pass()
	v.sink.pass()
	v.again()
	v.within(5*time.Minute, "the daemon is ready", v.ready)
}

// write makes transactions until ctx ends. One that fails is rolled back.
func (v *victim) write(ctx context.Context, random *rand.Rand) {
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		<-pace.C
		conn, err := v.db.Conn(v.ctx)
		if err != nil {
			continue
		}
		for err == nil && ctx.Err() == nil {
			v.schema.RLock()
			err = v.transact(conn, random)
			v.schema.RUnlock()
			<-pace.C
		}
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // so that the next is a fresh one
		_ = conn.Close()
	}
}

// transact makes one transaction, and returns an error where the connection is gone.
func (v *victim) transact(conn *sql.Conn, random *rand.Rand) error {
	statements := []string{"BEGIN"}
	for range 1 + random.IntN(3) {
		statements = append(statements, v.statement(random))
	}
	end := "COMMIT"
	if random.IntN(10) == 0 {
		end = "ROLLBACK"
	}
	ctx, cancel := context.WithTimeout(v.ctx, 10*time.Second)
	defer cancel()
	for _, statement := range append(statements, end) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			_, err := conn.ExecContext(ctx, "ROLLBACK")
			return err
		}
	}
	v.writes.Add(1)
	return nil
}

func (v *victim) statement(random *rand.Rand) string {
	id := func(most int) int { return 1 + random.IntN(most) }
	more := watchedItems + id(itemsAtMost)
	switch n := random.IntN(106); {
	case n < 10:
		return fmt.Sprintf("UPDATE item SET counter = counter + 1, beat = %d WHERE id = 1", time.Now().UnixMilli())
	case n < 40:
		return fmt.Sprintf("UPDATE item SET counter = counter + 1, word = 'word %d' WHERE id = %d", random.IntN(9), id(watchedItems))
	case n < 52:
		return fmt.Sprintf("INSERT INTO item (id, team_id, word, amount, mood) VALUES (%d, %d, 'new', %d, 'sad')", more, id(8), id(99))
	case n < 60:
		return fmt.Sprintf("DELETE FROM item WHERE id = %d", more)
	case n < 64:
		return fmt.Sprintf("UPDATE item SET team_id = %d, amount = amount + 1 WHERE id = %d", id(8), id(watchedItems+itemsAtMost))
	case n < 70:
		return fmt.Sprintf("INSERT INTO player VALUES (%d, %d, 'player %d')", id(200), id(8), random.IntN(9))
	case n < 74:
		return fmt.Sprintf("UPDATE owner SET name = 'owner %d' WHERE id = %d", random.IntN(99), id(8))
	case n < 77:
		return fmt.Sprintf("DELETE FROM team WHERE id = %d", id(8))
	case n < 78:
		return fmt.Sprintf("DELETE FROM owner WHERE id = %d", id(8))
	case n < 80:
		return fmt.Sprintf("UPDATE team SET id = %d WHERE id = %d", id(8), id(8))
	case n < 83:
		return fmt.Sprintf("INSERT INTO owner VALUES (%d, 'again', 'other %d')", id(8), random.IntN(9))
	case n < 88:
		return fmt.Sprintf("INSERT INTO team VALUES (%d, %d, 'team %d')", id(8), id(8), random.IntN(9))
	case n < 93:
		return fmt.Sprintf("INSERT INTO label VALUES (%d, %d, 'label %d')", id(300), id(watchedItems+itemsAtMost), random.IntN(9))
	case n < 96:
		return fmt.Sprintf("DELETE FROM label WHERE id = %d", id(300))
	case n < 98:
		return fmt.Sprintf("DELETE FROM part WHERE id = %d", random.IntN(200))
	case n < 100:
		return fmt.Sprintf("INSERT INTO part VALUES (%d, 'word %d')", random.IntN(200), random.IntN(9))
	case n < 101:
		return fmt.Sprintf("UPDATE press SET name = 'pressed again' WHERE id = %d", v.presses.Load())
	}
	return fmt.Sprintf("INSERT INTO press VALUES (%d, 'pressed')", v.presses.Add(1))
}

// watch reads documents that are always there: none may go back. Where the search server was
// killed it begins anew: that shows documents before it has synced them.
func (v *victim) watch(ctx context.Context) {
	highest, outages := map[string]float64{}, int64(0)
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		<-pace.C
		key := fmt.Sprintf("%s-%s/_doc/%d", v.name, []string{"items", "joined"}[n%2], 1+n/2%watchedItems)
		if n%3 == 0 {
			key = v.name + "-items/_doc/1"
		}
		if now := v.outages.Load(); now != outages {
			clear(highest)
			outages = now
		}
		code, body := v.get(v.search.URL + "/" + key)
		var doc struct {
			Source struct{ Counter, Beat *float64 } `json:"_source"`
		}
		if code != http.StatusOK || json.Unmarshal(body, &doc) != nil || doc.Source.Counter == nil || v.outages.Load() != outages {
			continue
		}
		v.reads.Add(1)
		counter := *doc.Source.Counter
		if counter < highest[key] {
			v.regressed.Add(1)
			v.saw("%s went from %v back to %v", key, highest[key], counter)
		}
		highest[key] = max(highest[key], counter)
		if beat := doc.Source.Beat; beat != nil {
			v.behind.Store(max(v.behind.Load(), time.Now().UnixMilli()-int64(*beat)))
		}
	}
}

// compareAll compares every stored row and every document. It stops the daemon.
func (v *victim) compareAll() {
	v.t.Helper()
	v.settle()
	v.eventually("all events are delivered", func() bool { return v.events()["waiting"] == 0.0 })
	v.stop()
	cfg, _, err := config.Load(v.path())
	if err != nil {
		v.t.Fatal(err)
	}
	found, err := audit.Run(v.ctx, cfg)
	if err != nil {
		v.t.Fatalf("audit: %v", err)
	}
	wrong := func(count *int, format string, args ...any) {
		if *count++; *count < 10 {
			v.saw(format, args...)
		}
	}
	for _, fault := range found.Faults {
		wrong(&v.lost, "store: %s", fault)
	}
	appended := v.name + "-presses"
	for id := range found.Documents[appended] {
		v.pressed[id] = true
	}
	for alias, want := range found.Documents {
		have := v.documentsOf(alias)
		v.compared += len(have)
		for id, document := range want {
			if got, ok := have[id]; !ok || !reflect.DeepEqual(canonical(v.world, got), canonical(v.world, document)) {
				wrong(&v.lost, "document %s of %s is %s, not %s", id, alias, got, document)
			}
		}
		for id := range have {
			if _, ok := want[id]; !ok && (alias != appended || !v.pressed[id]) {
				_, held := v.get(v.search.URL + "/" + alias + "/_doc/" + id)
				wrong(&v.resurrected, "document %s of %s has no row; by its id it is %s", id, alias, held)
			}
		}
		for id := range v.pressed {
			if _, ok := have[id]; !ok && alias == appended {
				wrong(&v.lost, "document %s of %s is gone", id, alias)
			}
		}
	}
	v.exec("DELETE FROM press WHERE id % 4 > 0") // what was appended stays
	documents, faults := v.pushers.compare()
	v.compared += documents
	for _, fault := range faults {
		wrong(&v.lost, "%s", fault)
	}
}

// saw says that a document is wrong.
func (v *victim) saw(format string, args ...any) {
	text := fmt.Sprintf("%6.1f s  %s", time.Since(v.began).Seconds(), fmt.Sprintf(format, args...))
	v.witness.keep(text)
	v.t.Log(text)
}

// table is what has been, and what went wrong.
func (v *victim) table() string {
	var b strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&b, "%-50s %v\n", name, value) }
	b.WriteString("\n")
	row("seed", v.seed)
	row("database", v.server.Kind+" "+v.server.Version)
	row("took", time.Since(v.began).Round(time.Second))
	row("transactions written", v.writes.Load())
	for _, kind := range slices.Sorted(maps.Keys(v.made)) {
		row(kind, v.made[kind])
	}
	row("restarts", v.restarts)
	row("events taken", v.pushers.taken.Load())
	row("documents compared", v.compared)
	row("reads of documents that only go forwards", v.reads.Load())
	row("lost", v.lost)
	row("resurrected", v.resurrected)
	row("regressed", v.regressed.Load())
	row("longest time behind", time.Duration(v.behind.Load())*time.Millisecond)
	for _, text := range v.witness.kept() {
		row("wrong", text)
	}
	return b.String()
}
