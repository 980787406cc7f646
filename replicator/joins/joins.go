// Package joins follows the tables that documents of several tables are made of,
// keeps what is to be rendered, and hands out pieces of it.
//
// The guarantee: a document is noted as dirty in the same atomic batch of the row store
// as the row that touches it, until the sink holds it. So a checkpoint may pass a change
// when its batch is synced: what is not delivered by then is found in these notes. A document is rendered from the store as one commit has left it, with
// that commit's version, and only from tables that are known whole.
//
// It owns no goroutine. One, the apply loop, calls all methods of Joins but Run,
// Barrier, Sync, Known, Alone, Progress and Status; another one is in Run; pieces are rendered by any.
package joins

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sources"
)

// Joins is one session's hold on the row store.
type Joins struct {
	store   *rowstore.Store
	tables  []*Table   // as in the plan
	of      [][]*Table // by the source table's ordinal
	targets []*target
	clock   *clock
	rounds  *rounds

	windows  *reading.Windows
	acting   map[string]bool // rows that foreign keys are acting on
	applied  int64           // Version of the last change that is in the store
	changing int64           // Version of the change that is being applied; 0: none is
	nextID   uint64
	loadRows int         // see the constant
	working  bool        // there is work left
	since    int64       // changes up to this Version were in the store before the session
	looking  *Lookup     // that is under way
	asked    bool        // the source is asked for it
	sweeping *sweep      // that is under way
	pausing  bool        // a table may not be as the source has it, or a change is made in part, so that targets are paused
	behind   bool        // the store may lack what documents were rendered from before
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

// Notes in the store.
const (
	noteApplied = "applied"
	noteTables  = "tables" // in use: the numbering depends on them
	noteFrom    = "from"   // where to go on: what came before needs nothing but the store
	notePass    = "pass/"  // and the physical index: how far the pass has come
	noteBegan   = "began/" // and the physical index: the version at which the pass has begun

	// Of one table.
	noteLoad  = "load"
	noteSweep = "sweep" // rows may refer to some that have gone unseen
)

// Open goes on with what earlier sessions have left in the store. version is the last
// that the source has given out; now is the wall clock. With a RebuildError nothing was begun.
func Open(store *rowstore.Store, plan *mapping.Plan, targets []*Target, w *reading.Windows, version int64, now func() time.Time) (*Joins, error) {
	j := &Joins{
		twice: plan.Doubled(),
		store: store, of: make([][]*Table, len(plan.Tables)), windows: w, acting: map[string]bool{},
		applied: version, loadRows: loadRows, now: now, timer: time.NewTimer(0), scratch: mapping.NewScratch(),
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	applied, err := readApplied(snap)
	if err != nil {
		return nil, err
	}
	j.applied = max(j.applied, applied)
	j.since = j.applied
	if err := j.openTables(plan.Stored, snap); err != nil {
		return nil, err
	}
	lost, err := j.openTargets(targets, snap)
	if err != nil {
		return nil, err
	}
	timed, err := store.Timed()
	if err != nil {
		return nil, fmt.Errorf("read row store: %w", err)
	}
	for _, to := range j.targets {
		to.dirty.most = max(maxDirty/len(j.targets), pieceKeys)
		to.timed = slices.Contains(timed, to.id)
	}
	for _, t := range j.tables {
		t.alone = len(t.Indexes)+len(t.Cascades)+len(t.above) == 0 &&
			!slices.ContainsFunc(j.targets, func(to *target) bool { return to.renderer.NeedsOld(t.Table) })
	}
	for _, t := range j.tables {
		for _, to := range j.targets {
			if !to.renderer.Reads(t.Table) {
				continue
			}
			if t.replaced = to.Serving && to.Stale && to.Replaced; !t.replaced {
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
	j.clock = newClock(store, version, now())
	j.rounds = newRounds(j.clock, j.targets)
	if len(lost) > 0 {
		if err := j.giveUp(lost); err != nil {
			return nil, err
		}
	}
	j.behind = true
	err = j.write(j.applied, func(b *rowstore.Batch) error {
		return errors.Join(j.empty(b), writeNote(b, noteTables, Names(plan.Tables)))
	})
	if err = errors.Join(err, j.forgetGone()); err == nil {
		err = j.Sync() // where this session's versions begin: the next one's begin later, whatever is lost
	}
	return j, err
}

// openTargets goes on with the targets as the store has them. lost are those whose pass has begun, although a table
// that they read is not loaded.
func (j *Joins) openTargets(targets []*Target, from *rowstore.Snapshot) (lost []*target, err error) {
	for _, t := range targets {
		for n, renderer := range t.Joined {
			jt := targetOf(t, n, renderer)
			var began int64
			if err := readNote(from, noteBegan+jt.name(), &began); err != nil {
				return nil, err
			}
			if began > 0 && slices.ContainsFunc(j.tables, func(t *Table) bool { return !t.load.Done && renderer.Reads(t.Table) }) {
				lost = append(lost, jt)
			}
			jt.began.Store(began)
			if began > 0 {
				if err := readNote(from, notePass+jt.name(), &jt.passed); err != nil {
					return nil, err
				}
				jt.cursor, jt.sent = jt.passed.Last, jt.passed.Done
				jt.rendered.Store(jt.passed.Rows)
				jt.passing.Store(!jt.passed.Done)
			}
			j.targets = append(j.targets, jt)
		}
	}
	return lost, nil
}

// openTables goes on with the tables as the store has them.
func (j *Joins) openTables(stored []*mapping.StoredTable, from *rowstore.Snapshot) error {
	for _, s := range stored {
		t := &Table{StoredTable: s}
		for i := range s.Table.Columns {
			t.all = append(t.all, i)
		}
		if err := t.recall(from); err != nil {
			return err
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
	return nil
}

// empty takes out what is in the store of tables of which nothing was read: changes
// came meanwhile that are not.
func (j *Joins) empty(b *rowstore.Batch) error {
	for _, t := range j.tables {
		if t.begun = t.load.Done || t.load.Rows > 0; t.begun {
			continue
		}
		if err := b.Truncate(t.Table); err != nil {
			return fmt.Errorf("empty table %s: %w", t.Source, err)
		}
	}
	return nil
}

// Reached says that the stream has come to where the log ended when the session began. Until
// then nothing is rendered: a kill may have taken the store's last batches, whose documents were sent, and
// what is older would take their place.
func (j *Joins) Reached() error {
	if j == nil {
		return nil
	}
	j.behind = false
	j.resume()
	return j.Begin()
}

// Own says whether changes are rendered from their own images, too: then what
// the store holds is not all that is to be delivered.
func (j *Joins) Own(alone bool) error {
	j.alone = alone
	if j.alone {
		return nil
	}
	return j.write(j.applied, func(b *rowstore.Batch) error { return writeNote(b, noteFrom, &sources.Checkpoint{}) })
}

// Alone reports whether nothing is rendered but from the store.
func (j *Joins) Alone() bool { return j != nil && j.alone }

// Known reports whether every table has been read whole in this session.
func (j *Joins) Known() bool { return j != nil && j.whole.Load() }

// Sync makes what was applied survive a power cut.
func (j *Joins) Sync() error {
	if err := j.store.Sync(); err != nil {
		return fmt.Errorf("sync row store: %w", err)
	}
	return nil
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

// target finds a target by its number; nil where its index is gone.
func (j *Joins) target(id uint32) *target {
	for _, to := range j.targets {
		if to.id == id {
			return to
		}
	}
	return nil
}

// loaded reports whether every stored table has been read whole.
func (j *Joins) loaded() bool {
	for _, t := range j.tables {
		if !t.load.Done {
			return false
		}
	}
	return true
}

// write makes one atomic change of the store, which has the source's changes up
// to a Version after it.
func (j *Joins) write(applied int64, change func(*rowstore.Batch) error) error {
	b := j.store.Batch()
	defer func() { _ = b.Discard() }() // after Commit it does nothing
	j.clock.begin(applied)
	if err := change(b); err != nil {
		return err
	}
	if err := writeApplied(b, applied); err != nil {
		return err
	}
	if err := j.commit(b, false); err != nil {
		return err
	}
	fault.Point("applied")
	j.applied = applied
	j.resume()
	return nil
}

// commit makes the batch under way visible, or a part of it.
func (j *Joins) commit(b *rowstore.Batch, spill bool) error {
	j.pause()
	return j.rounds.commit(b, spill)
}

// marked is how many documents the batch under way makes dirty.
func (j *Joins) marked() (n int) {
	for _, to := range j.targets {
		n += len(to.marks)
	}
	return n
}

// pause keeps documents from being rendered from what the batch under way leaves in
// tables that are not known then. It comes before the commit, resume after it.
func (j *Joins) pause() {
	if j.known() && !j.pausing {
		return
	}
	j.pausing = true
	for _, to := range j.targets {
		if !j.knows(to) {
			to.paused.Store(true)
		}
	}
}

// hold keeps all documents from being rendered until the batch under way has all of its changes.
func (j *Joins) hold() {
	j.pausing = true
	for _, to := range j.targets {
		to.paused.Store(true)
	}
}

func (j *Joins) resume() {
	if !j.pausing {
		return
	}
	j.pausing = !j.known()
	for _, to := range j.targets {
		if to.paused.Load() && j.knows(to) {
			to.paused.Store(false)
			wake(j.rounds.marked)
		}
	}
}

// knows reports whether the store has the tables of a target as the source has them.
func (j *Joins) knows(to *target) bool {
	return !j.behind && !slices.ContainsFunc(j.tables, func(t *Table) bool { return !t.known() && to.renderer.Reads(t.Table) })
}

// Apply puts a batch's changes into the store and marks what they touch. Those
// that are in it already, after a restart, are passed over: their images are
// older than the rows, and would forget which documents a row has left.
func (j *Joins) Apply(batch *sources.Batch) error {
	if j == nil {
		return nil
	}
	applied := j.applied
	if n := len(batch.Changes); n > 0 {
		applied = max(applied, batch.Changes[n-1].Version)
	}
	pos := batch.Checkpoint.Position
	stored := slices.ContainsFunc(batch.Changes, func(c sources.Change) bool { return len(j.of[c.Table.Ordinal]) > 0 })
	if !j.alone && !stored {
		j.applied = applied // nothing of it is for the store
		return j.Begin()
	}
	err := j.write(applied, func(b *rowstore.Batch) error {
		if stored {
			if err := j.commitLoading(b); err != nil {
				return err
			}
		}
		for i := range batch.Changes {
			c := &batch.Changes[i]
			if c.Version <= j.applied {
				continue
			}
			j.changing = c.Version
			if j.marked() > spillMarks {
				if err := j.spill(b); err != nil {
					return err
				}
			}
			for _, t := range j.of[c.Table.Ordinal] {
				if err := j.change(b, t, c); err != nil {
					return fmt.Errorf("store change of table %s: %w", c.Table, err)
				}
			}
		}
		j.changing = 0
		if !pos.IsZero() {
			j.clock.position = pos
		}
		if j.alone && !pos.IsZero() {
			return writeNote(b, noteFrom, &batch.Checkpoint)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return j.Begin()
}

// Settle notes what the sink holds by now, and when documents are due.
func (j *Joins) Settle() error {
	held, done := j.rounds.takeHeld()
	if len(held)+len(done) == 0 {
		return nil
	}
	timed := false
	notes := slices.ContainsFunc(held, func(p *Piece) bool {
		return p.pass != nil || p.to.timed || slices.ContainsFunc(p.dues, func(due int64) bool { return due > 0 })
	})
	if notes || len(done) > 0 {
		err := j.write(j.applied, func(b *rowstore.Batch) error {
			for _, p := range held {
				due, err := p.settle(b)
				timed = timed || due
				if err != nil {
					return fmt.Errorf("note when documents are due: %w", err)
				}
			}
			for _, r := range done {
				if err := b.DeleteDirty(r.target, r.version); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	j.rounds.landed(held)
	if timed {
		return j.schedule()
	}
	return nil
}

// Due marks the documents whose time has come.
func (j *Joins) Due() error {
	come := false
	if err := j.firstDue(j.now().UnixMicro(), func(time.Time) { come = true }); err != nil {
		return err
	}
	if !come {
		return j.schedule()
	}
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		n := 0
		return b.Due(j.now().UnixMicro(), func(_ int64, target uint32, key []byte) (bool, error) {
			n++
			if to := j.target(target); to != nil {
				if err := to.mark(key); err != nil {
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

// dueLook is how often the clock is looked at while a document is due some time: it may be set
// forwards, and a timer does not run while the machine is suspended.
const dueLook = 10 * time.Second

// schedule sets the timer for the next document that is due, or for a look at the clock before.
func (j *Joins) schedule() error {
	const far = 1<<63 - 1
	return j.firstDue(far, func(at time.Time) { j.timer.Reset(min(max(at.Sub(j.now()), 0), dueLook)) })
}

// firstDue tells when the next document is due, where that is not after a time in microseconds.
func (j *Joins) firstDue(until int64, is func(at time.Time)) error {
	snap := j.store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	return snap.Due(until, func(at int64, _ uint32, _ []byte) (bool, error) {
		is(time.UnixMicro(at))
		return false, nil
	})
}

// The methods below stand for nothing where there is no row store.

// Channels are what the apply loop waits for: documents that are held, a time
// that has come, work that is left.
func (j *Joins) Channels() (landing <-chan struct{}, due <-chan time.Time, left <-chan struct{}) {
	if j == nil {
		return nil, nil, nil
	}
	if j.working || j.nextSweep() != nil {
		left = always
	}
	return j.rounds.landing, j.timer.C, left
}

// Unread are the tables that are not read whole into the store, with how far they are.
// What is read of them must have the changes up to since.
func (j *Joins) Unread() (tables []*Table, since int64) {
	if j == nil {
		return nil, 0
	}
	for _, t := range j.tables {
		if !t.load.Done {
			tables = append(tables, t)
		}
	}
	return tables, j.since
}

// Step goes on with what is left to be done.
func (j *Joins) Step() error {
	if s := j.nextSweep(); s != nil {
		return j.sweep(s)
	}
	return j.slice()
}

// Status is the store's part of /status; nil where there is no store.
func (j *Joins) Status() *Status {
	if j == nil {
		return nil
	}
	out := j.rounds.status()
	out.Twice = j.twice
	return out
}

// Lag is for how long a document of an index that is loaded is to be rendered or on its way, at least.
func (j *Joins) Lag() time.Duration {
	if j == nil {
		return 0
	}
	return j.rounds.lag()
}

// Close ends all reading. What is not in the store yet will be read again.
func (j *Joins) Close() {
	if j == nil {
		return
	}
	j.rounds.close()
	for _, t := range j.tables {
		if t.loading != nil {
			_ = t.loading.Discard()
		}
	}
}

// always is ready.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
