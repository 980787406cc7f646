package replicator

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/sources"
)

// joins keeps the row store up with the stream, and notes which joined
// documents are to be rendered anew. The apply loop owns it and makes all its
// writes; the drain reads what they have left.
//
// A document is marked in the same atomic batch as the row that touches it, and
// unmarked once the sink holds it. So a checkpoint may pass a change when its
// batch is synced: what is not delivered by then is found in the marks.
type joins struct {
	store   *rowstore.Store
	tables  []*storedTable   // as in the plan
	of      [][]*storedTable // by the source table's ordinal
	targets []*joinedTarget
	drain   *drain

	windows  *windows
	acting   map[string]bool // rows that foreign keys are acting on
	applied  int64           // Version of the last change that is in the store
	changing int64           // Version of the change that is being applied; 0: none is
	nextID   uint64
	working  bool        // there is work left
	since    int64       // changes up to this Version were in the store before the session
	looking  *lookup     // that is under way
	asked    bool        // the source is asked for it
	sweeping *sweep      // that is under way
	doubtful bool        // a table may not be as the source has it
	alone    bool        // nothing is rendered from the changes' own images
	whole    atomic.Bool // every table was read whole
	twice    bool        // some tables are stored twice
	now      func() time.Time
	timer    *time.Timer // for documents that are due
	arena    sources.Arena
	scratch  *mapping.Scratch
	key      []byte
	name     []byte
}

// A storedTable is a table in use with how far it was read into the store.
type storedTable struct {
	*mapping.StoredTable
	load   tableProgress
	begun  bool // rows may be there
	former bool // only indexes that are being replaced are made of it
	read   bool // all that is there was read in this session, and no change

	suspects int  // that are noted
	absent   int  // of those, that may stand for rows which are not stored
	sweep    bool // rows may refer to some that have gone unseen

	above []*mapping.Cascade // that act on its rows
	below []*storedTable     // that its rows act on without a word in the log, in any number of steps
}

// A joinedTarget is a physical index of joined documents of one table.
type joinedTarget struct {
	*target
	renderer *mapping.JoinedRenderer
	id       uint32       // in marks
	most     atomic.Int64 // documents in the next piece; 0: one
	each     atomic.Int64 // bytes of a document in the last piece
	began    atomic.Bool  // the pass over all rows has begun: changes mark documents
	paused   atomic.Bool  // its tables may not be as the source has them
	done     bool         // the pass is over, and all that it marked is held; owned by the drain
}

// Notes in the store.
const (
	noteApplied = "applied"
	noteTables  = "tables" // in use: the numbering depends on them
	noteFrom    = "from"   // where to go on: what came before needs nothing but the store
	notePass    = "pass/"  // and the physical index: the pass is over
	noteBegan   = "began/" // and the physical index: the pass has begun

	// Of one table.
	noteLoad  = "load"
	noteSweep = "sweep" // rows may refer to some that have gone unseen
)

// newJoins reads what earlier sessions have left in the store.
func newJoins(store *rowstore.Store, plan *mapping.Plan, targets []*target, w *windows, version int64) (*joins, error) {
	j := &joins{
		twice: plan.Doubled(),
		store: store, of: make([][]*storedTable, len(plan.Tables)), windows: w, acting: map[string]bool{},
		applied: version, now: time.Now, timer: time.NewTimer(0), scratch: mapping.NewScratch(),
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	applied, err := readApplied(snap)
	if err != nil {
		return nil, err
	}
	j.applied = max(j.applied, applied)
	j.since = j.applied
	for _, stored := range plan.Stored {
		t := &storedTable{StoredTable: stored}
		if err := t.recall(snap); err != nil {
			return nil, err
		}
		j.tables = append(j.tables, t)
		j.of[t.Source.Ordinal] = append(j.of[t.Source.Ordinal], t)
	}
	for _, t := range j.tables {
		t.below = j.below(t)
		for _, k := range t.Cascades {
			child := j.tables[k.Child.Ordinal]
			child.above = append(child.above, k)
		}
	}
	var lost []*joinedTarget
	for _, t := range targets {
		for n, renderer := range t.index.Joined {
			jt := &joinedTarget{target: t, renderer: renderer, id: targetID(t.Physical, n)}
			var began bool
			if err := readNote(snap, noteBegan+jt.name(), &began); err != nil {
				return nil, err
			}
			if began && slices.ContainsFunc(j.tables, func(t *storedTable) bool { return !t.load.Done && renderer.Reads(t.Table) }) {
				lost = append(lost, jt)
			}
			jt.began.Store(began)
			j.targets = append(j.targets, jt)
		}
	}
	for _, t := range j.tables {
		for _, to := range j.targets {
			if !to.renderer.Reads(t.Table) {
				continue
			}
			if t.former = to.serving && to.stale && to.heir != nil; !t.former {
				break
			}
		}
	}
	err = snap.Work(func(id uint64, _ []byte) (bool, error) {
		j.nextID, j.working = id+1, true
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read row store: %w", err)
	}
	j.drain = newDrain(store, j.targets, version)
	if len(lost) > 0 {
		if err := j.giveUp(lost); err != nil {
			return nil, err
		}
	}
	err = j.write(j.applied, func(b *rowstore.Batch) error {
		return errors.Join(j.empty(b), writeNote(b, noteTables, names(plan.Tables)))
	})
	return j, errors.Join(err, j.forgetGone())
}

// recall reads what the store has noted of a table.
func (t *storedTable) recall(from *rowstore.Snapshot) error {
	t.load, t.sweep, t.suspects, t.absent = tableProgress{}, false, 0, 0
	prefix := t.Note(noteSuspect)
	return errors.Join(
		readNote(from, t.Note(noteLoad), &t.load), readNote(from, t.Note(noteSweep), &t.sweep),
		from.Notes(prefix, func(note string) (bool, error) {
			t.count(strings.TrimPrefix(note, prefix), 1)
			return true, nil
		}),
	)
}

// empty takes out what is in the store of tables of which nothing was read: changes
// came meanwhile that are not.
func (j *joins) empty(b *rowstore.Batch) error {
	for _, t := range j.tables {
		if t.begun = t.load.Done || t.load.Rows > 0; t.begun {
			continue
		}
		if err := b.Truncate(t.Table); err != nil {
			return fmt.Errorf("empty table %s: %w", t.Source, err)
		}
		t.read = true
	}
	return nil
}

// own notes whether changes are rendered from their own images, too: then what
// the store holds is not all that is to be delivered.
func (j *joins) own(routes [][]*route) error {
	j.alone = !slices.ContainsFunc(routes, func(of []*route) bool { return len(of) > 0 })
	if j.alone {
		return nil
	}
	return j.write(j.applied, func(b *rowstore.Batch) error { return writeNote(b, noteFrom, &sources.Checkpoint{}) })
}

func readNote(from rowstore.Reader, name string, into any) error {
	note, err := from.Note(name)
	if err == nil && note != nil {
		err = json.Unmarshal(note, into)
	}
	if err != nil {
		return fmt.Errorf("read note %s of the row store: %w", name, err)
	}
	return nil
}

func writeNote(b *rowstore.Batch, name string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = b.Set(name, text)
	}
	if err != nil {
		return fmt.Errorf("write note %s of the row store: %w", name, err)
	}
	return nil
}

// targetID numbers a physical index and one of its definition's tables for marks.
func targetID(physical string, n int) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%d", physical, n)
	return h.Sum32()
}

// name is another one in each round, which has a pass of its own.
func (t *joinedTarget) name() string {
	if t.build.Round > 0 {
		return fmt.Sprintf("%s/%d/%d", t.Physical, t.id, t.build.Round)
	}
	return fmt.Sprintf("%s/%d", t.Physical, t.id)
}

// target finds a target by its number; nil where its index is gone.
func (j *joins) target(id uint32) *joinedTarget {
	for _, to := range j.targets {
		if to.id == id {
			return to
		}
	}
	return nil
}

// loaded reports whether every stored table has been read whole.
func (j *joins) loaded() bool {
	for _, t := range j.tables {
		if !t.load.Done {
			return false
		}
	}
	return true
}

// write makes one atomic change of the store, which has the source's changes up
// to a Version after it.
func (j *joins) write(applied int64, change func(*rowstore.Batch) error) error {
	b := j.store.Batch()
	defer func() { _ = b.Discard() }() // after Commit it does nothing
	j.drain.begin(applied)
	if err := change(b); err != nil {
		return err
	}
	if err := writeApplied(b, applied); err != nil {
		return err
	}
	j.pause()
	if err := j.drain.commit(b); err != nil {
		return err
	}
	j.applied = applied
	j.resume()
	return nil
}

// pause keeps documents from being rendered from what the batch under way leaves in
// tables that are not known then. It comes before the commit, resume after it.
func (j *joins) pause() {
	if known := j.known(); known && !j.doubtful {
		return
	}
	j.doubtful = true
	for _, to := range j.targets {
		if !j.knows(to) {
			to.paused.Store(true)
		}
	}
}

func (j *joins) resume() {
	if !j.doubtful {
		return
	}
	j.doubtful = !j.known()
	for _, to := range j.targets {
		if to.paused.Load() && j.knows(to) {
			to.paused.Store(false)
			wake(j.drain.marked)
		}
	}
}

// knows reports whether the store has the tables of a target as the source has them.
func (j *joins) knows(to *joinedTarget) bool {
	return !slices.ContainsFunc(j.tables, func(t *storedTable) bool { return !t.known() && to.renderer.Reads(t.Table) })
}

// below finds the tables that a table's rows act on, in any number of steps.
func (j *joins) below(t *storedTable) []*storedTable {
	var all []*storedTable
	for next := []*storedTable{t}; len(next) > 0; next = next[1:] {
		for _, k := range next[0].Cascades {
			if child := j.tables[k.Child.Ordinal]; !slices.Contains(all, child) {
				all, next = append(all, child), append(next, child)
			}
		}
	}
	return all
}

func writeApplied(b *rowstore.Batch, applied int64) error {
	var note [8]byte
	binary.BigEndian.PutUint64(note[:], uint64(applied))
	if err := b.Set(noteApplied, note[:]); err != nil {
		return fmt.Errorf("write row store: %w", err)
	}
	return nil
}

// apply puts a batch's changes into the store and marks what they touch. Those
// that are in it already, after a restart, are passed over: their images are
// older than the rows, and would forget which documents a row has left.
func (j *joins) apply(batch *sources.Batch) error {
	if j == nil {
		return nil
	}
	applied := j.applied
	if n := len(batch.Changes); n > 0 {
		applied = max(applied, batch.Changes[n-1].Version)
	}
	pos := batch.Checkpoint.Position
	if !j.alone && !slices.ContainsFunc(batch.Changes, func(c sources.Change) bool { return len(j.of[c.Table.Ordinal]) > 0 }) {
		j.applied = applied // nothing of it is for the store
		return j.begin()
	}
	err := j.write(applied, func(b *rowstore.Batch) error {
		for i := range batch.Changes {
			c := &batch.Changes[i]
			if c.Version <= j.applied {
				continue
			}
			for _, t := range j.of[c.Table.Ordinal] {
				j.changing = c.Version
				if err := j.change(b, t, c); err != nil {
					return fmt.Errorf("store change of table %s: %w", c.Table, err)
				}
			}
		}
		j.changing = 0
		if !pos.IsZero() {
			j.drain.position = pos
		}
		if j.alone && !pos.IsZero() {
			return writeNote(b, noteFrom, &batch.Checkpoint)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return j.begin()
}

// settle unmarks what the sink holds by now, and notes when documents are due.
func (j *joins) settle() error {
	held := j.drain.takeHeld()
	if len(held) == 0 {
		return nil
	}
	timed := false
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		for _, p := range held {
			due, err := p.unmark(b)
			timed = timed || due
			if err != nil {
				return fmt.Errorf("unmark documents: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.drain.landed(held)
	if timed {
		return j.schedule()
	}
	return nil
}

// due marks the documents whose time has come.
func (j *joins) due() error {
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		n := 0
		return b.Due(j.now().UnixMicro(), func(_ int64, target uint32, key []byte) (bool, error) {
			n++
			if to := j.target(target); to != nil {
				if err := j.drain.mark(b, to, key); err != nil {
					return false, err
				}
			}
			return n < sliceKeys, b.DeleteDue(target, key)
		})
	})
	if err != nil {
		return err
	}
	return j.schedule()
}

// schedule sets the timer for the next document that is due.
func (j *joins) schedule() error {
	const far = 1<<63 - 1
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	return snap.Due(far, func(at int64, _ uint32, _ []byte) (bool, error) {
		j.timer.Reset(max(time.UnixMicro(at).Sub(j.now()), 0))
		return false, nil
	})
}

// The methods below stand for nothing where there is no row store.

// channels are what the apply loop waits for: documents that are held, a time
// that has come, work that is left.
func (j *joins) channels() (landing <-chan struct{}, due <-chan time.Time, left <-chan struct{}) {
	if j == nil {
		return nil, nil, nil
	}
	if j.working || j.nextSweep() != nil {
		left = always
	}
	return j.drain.landing, j.timer.C, left
}

// scans are the tables that are not read whole into the store.
func (j *joins) scans() []*scan {
	if j == nil {
		return nil
	}
	var all []*scan
	for _, t := range j.tables {
		if !t.load.Done {
			all = append(all, &scan{table: t.Source, stored: t, last: t.load.Last, rows: t.load.Rows, since: j.applied})
		}
	}
	return all
}

// step goes on with what is left to be done.
func (j *joins) step() error {
	if s := j.nextSweep(); s != nil {
		return j.sweep(s)
	}
	return j.slice()
}

// status is the store's part of /status.
func (j *joins) status() *StoreStatus {
	if j == nil {
		return nil
	}
	out := j.drain.status()
	out.Twice = j.twice
	return out
}

// close ends all reading.
func (j *joins) close() {
	if j != nil {
		j.drain.close()
	}
}

// always is ready.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
