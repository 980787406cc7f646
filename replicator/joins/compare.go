package joins

import (
	"errors"
	"fmt"
	"slices"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// ErrUnloaded means that documents are not rendered from the store yet.
var ErrUnloaded = errors.New("its documents are not all there yet")

// mostWatched is how many documents that become dirty a watch keeps.
const mostWatched = 100_000

// A watch keeps which documents of a target have become dirty since it began. Guarded by rounds.mu.
type watch struct {
	to    *target
	marks map[string]struct{}
	over  bool // there were too many: any may have
}

// noteWatched tells the watches what has become dirty. rounds.mu is held.
func (d *rounds) noteWatched(to *target) {
	for w := range d.watches {
		if w.to != to {
			continue
		}
		if w.over = w.over || len(w.marks)+len(to.marks) > mostWatched; w.over {
			w.marks = nil
			continue
		}
		for _, m := range to.marks {
			w.marks[m] = struct{}{}
		}
	}
}

// A Check is what some documents of one table should be, as one commit has left the store.
type Check struct {
	Keys []string // of the rows, in the store
	Ends []int    // where the actions of each end
	Last []byte   // the key of the last row
	Done bool     // no rows are left
	Sure bool     // nothing that the commit has touched is still to be found out

	rounds *rounds
	watch  *watch
}

// Touched reports whether a row's document was to be rendered again since: what the sink holds
// may be later.
func (c *Check) Touched(i int) bool {
	c.rounds.mu.Lock()
	defer c.rounds.mu.Unlock()
	_, marked := c.watch.marks[string(c.watch.to.renderer.Mark(nil, []byte(c.Keys[i])))]
	return marked || c.watch.over
}

// End ends it.
func (c *Check) End() {
	c.rounds.mu.Lock()
	defer c.rounds.mu.Unlock()
	delete(c.rounds.watches, c.watch)
}

// Check renders what documents of a physical index should be: of the rows of its n-th joined
// table with some keys, as far as they are there, or, without keys, of those of the next rows after
// one, most at most, that picks wants. For use from any goroutine.
func (j *Joins) Check(physical string, n int, scratch *mapping.Scratch, out *sinks.Batch, after []byte, keys []string, picks func(key []byte) bool, most, bytes int) (c *Check, err error) {
	to := j.target(targetID(physical, n))
	if to == nil || to.Retired.Load() || to.began.Load() == 0 || to.passing.Load() {
		return nil, ErrUnloaded
	}
	c = &Check{rounds: j.rounds, watch: &watch{to: to, marks: map[string]struct{}{}}}
	j.rounds.mu.Lock()
	snap, version := j.clock.snapshot()
	j.rounds.watches[c.watch] = true
	j.rounds.mu.Unlock()
	list, rows := snap.Fork(sources.NewArena(1<<10)), snap.Fork(sources.NewArena(1<<10))
	defer func() {
		err = errors.Join(err, list.Release(), rows.Release(), snap.Release())
		if err != nil {
			c.End()
		}
	}()
	c.Sure = !to.paused.Load()
	err = snap.Work(func(uint64, []byte) (bool, error) {
		c.Sure = false
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read row store: %w", err)
	}
	scratch.Now = j.now().UnixMicro()
	if due, err := to.due(snap, scratch.Now); err != nil || due {
		if c.Sure = false; err != nil {
			return nil, err
		}
	}
	render := func(key []byte, row sources.Row) error {
		if _, err := to.renderer.Row(scratch, rows, out, to.Target.Target, row, version); err != nil {
			return fmt.Errorf("render %s: %w", to.renderer, err)
		}
		c.Keys, c.Ends = append(c.Keys, string(key)), append(c.Ends, len(out.Actions))
		list.Forget()
		return nil
	}
	for _, key := range keys {
		row, ok, err := list.Get(to.renderer.Stored, []byte(key))
		if err == nil && ok {
			err = render([]byte(key), row)
		}
		if err != nil {
			return nil, err
		}
	}
	if keys != nil {
		c.Done = true
		return c, nil
	}
	c.Done = true
	seen := 0
	err = list.All(to.renderer.Stored, after, func(key []byte, row sources.Row) (bool, error) {
		if seen == most || len(c.Keys) > 0 && out.Size() > bytes {
			c.Done = false
			return false, nil
		}
		seen++
		c.Last = append(c.Last[:0], key...)
		if picks(key) {
			return true, render(key, row)
		}
		list.Forget()
		return true, nil
	})
	return c, err
}

// due reports whether a document's time has come by some time, and it is not marked.
func (to *target) due(from *rowstore.Snapshot, by int64) (due bool, err error) {
	err = from.Due(by, func(_ int64, target uint32, _ []byte) (bool, error) {
		due = target == to.id
		return !due, nil
	})
	if err != nil {
		err = fmt.Errorf("read row store: %w", err)
	}
	return due, err
}

// A Moment says what is known at a time to be still made dirty: documents whose time has come, and those that work is left for.
type Moment struct {
	due  int64  // in µs since 1970
	work uint64 // the last id of work
}

// Moment is now. For use from any goroutine.
func (j *Joins) Moment() (m Moment, err error) {
	snap, _ := j.clock.snapshot()
	defer func() { err = errors.Join(err, snap.Release()) }()
	m.due = j.now().UnixMicro()
	err = snap.Work(func(id uint64, _ []byte) (bool, error) {
		m.work = id
		return true, nil
	})
	return m, err
}

// Marked reports whether all of a physical index is dirty by now, or was, that a moment knew of. One that is built beside it may read
// tables that are being loaded, for as long as that takes. For use from any goroutine.
func (j *Joins) Marked(physical string, m Moment) (all bool, err error) {
	snap, _ := j.clock.snapshot()
	defer func() { err = errors.Join(err, snap.Release()) }()
	for _, to := range j.targets {
		if to.Physical != physical || to.Retired.Load() {
			continue
		}
		if due, err := to.due(snap, m.due); err != nil || due || to.paused.Load() {
			return false, err
		}
	}
	all = true
	err = snap.Work(func(id uint64, _ []byte) (bool, error) {
		all = id > m.work
		return false, nil
	})
	return all, err
}

// Mend has documents of a physical index's n-th joined table rendered again, at a version of at
// least the given one.
func (j *Joins) Mend(physical string, n int, keys []string, version int64) error {
	to := j.target(targetID(physical, n))
	if to == nil {
		return nil
	}
	j.clock.raise(version)
	return j.write(j.applied, func(*rowstore.Batch) error {
		for _, key := range keys {
			if err := to.mark(to.renderer.Mark(nil, []byte(key))); err != nil {
				return err
			}
		}
		return nil
	})
}

// raise has the next batch get a version above the given one.
func (c *clock) raise(version int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = max(c.version, version)
}

// Since is the Version up to which what is read of the tables must have the changes.
func (j *Joins) Since() int64 { return j.since }

// Version is that of the last commit, which documents rendered from the store have at most.
func (j *Joins) Version() int64 { return j.clock.now() }

// Read are the stored tables that a physical index is made of.
func (j *Joins) Read(physical string) (tables []*Table) {
	if j == nil {
		return nil
	}
	for _, t := range j.tables {
		if slices.ContainsFunc(j.targets, func(to *target) bool { return to.Physical == physical && to.renderer.Reads(t.Table) }) {
			tables = append(tables, t)
		}
	}
	return tables
}

// A Stored is a row of a stored table that was compared with the source's.
type Stored struct {
	Key     string      // in the store
	Texts   sources.Key // as the source takes it
	Touched bool        // it has changed meanwhile, or is being read again: nothing can be said
	There   bool        // in the store
	Fields  []string    // in which they differ
	Gone    bool        // the source has no such row
}

// Compare compares a chunk, at its mark, with what the store has. asked are the stored rows, by key, that
// the chunk was read for; nil for one of all rows.
func (j *Joins) Compare(t *Table, chunk *sources.Chunk, h reading.Happened, asked map[string]sources.Key) (all []Stored, err error) {
	snap := j.store.Snapshot()
	defer func() { err = errors.Join(err, snap.Release()) }()
	if !t.load.Done || t.loading != nil {
		return nil, ErrUnloaded
	}
	found := map[string]bool{}
	arena := sources.NewArena(1 << 10)
	for _, read := range chunk.Rows {
		arena.Reset()
		row := t.Cut(arena, read)
		key, _ := rowstore.AppendKey(nil, t.Table, row, t.Table.Key)
		found[string(key)] = true
		s := Stored{Key: string(key), Texts: row.Key(t.Table.Key)}
		if s.Touched, err = j.happened(snap, t, read, row, key, h); err != nil {
			return nil, err
		}
		var old sources.Row
		if old, s.There, err = snap.Get(t.Table, key); err != nil {
			return nil, err
		}
		for i := range t.Table.Columns {
			if s.There && !old.Same(row, i) {
				s.Fields = append(s.Fields, t.Table.Columns[i].Name)
			}
		}
		all = append(all, s)
		snap.Forget()
	}
	for key, texts := range asked {
		if found[key] || !chunk.Done {
			continue
		}
		old, there, err := snap.Get(t.Table, []byte(key))
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		s := Stored{Key: key, Texts: texts, There: true, Gone: true}
		name, known := t.keyInSource(nil, old)
		suspect := suspectName(t.Table.Key, []byte(key))
		s.Touched = h.Changed.Has(name) || h.Partial.Has(name) || h.Acted.Has([]byte(suspect)) || !known && len(h.Changed)+len(h.Partial) > 0
		if !s.Touched {
			if s.Touched, err = j.suspected(snap, t, suspect); err != nil {
				return nil, err
			}
		}
		all = append(all, s)
		snap.Forget()
	}
	return all, nil
}

// Having asks for stored rows of a table by their keys.
func (t *Table) Having(keys []sources.Key) *sources.Values {
	having := &sources.Values{Of: keys}
	for _, i := range t.Table.Key {
		having.Columns = append(having.Columns, t.Columns[i])
	}
	return having
}

// Rows gives the keys of the stored rows of a table after one, most at most, and the columns of an index that does not
// lead to the row as it is stored; none where all do. For use from any goroutine.
func (j *Joins) Rows(t *Table, after []byte, most int, each func(key []byte, texts sources.Key, unindexed []string)) (last []byte, done bool, err error) {
	snap, _ := j.clock.snapshot()
	defer func() { err = errors.Join(err, snap.Release()) }()
	n := 0
	last, done = after, true
	err = snap.All(t.Table, after, func(key []byte, row sources.Row) (bool, error) {
		defer snap.Forget()
		if n == most {
			done = false
			return false, nil
		}
		n++
		last = slices.Clone(key)
		index, err := snap.Unindexed(t.Table, last, row)
		if err != nil {
			return false, err
		}
		each(last, row.Key(t.Table.Key), t.indexed(index))
		return true, nil
	})
	return last, done, err
}

// indexed names the columns of an index; none of a negative one.
func (t *Table) indexed(index int) []string {
	if index < 0 {
		return nil
	}
	return t.Names(t.Indexes[index])
}

// Strays looks at the index entries of a table after a place, most at most, and gives those that no row has, with the
// key of the row that is found by it and the columns of the index. For use from any goroutine.
func (j *Joins) Strays(t *Table, after []byte, most int, each func(s rowstore.Stray, texts sources.Key, columns []string)) (last []byte, done bool, err error) {
	snap, _ := j.clock.snapshot()
	defer func() { err = errors.Join(err, snap.Release()) }()
	return snap.Strays(t.Table, after, most, func(s rowstore.Stray) error {
		texts := sources.Key{fmt.Sprintf("%x", s.Key)} // there is no row that says it
		if !s.Row.IsZero() {
			texts = s.Row.Key(t.Table.Key)
		}
		s.Row = sources.Row{}
		each(s, texts, t.indexed(s.Index))
		return nil
	})
}

// Reindex has the indexes of a table lead to some rows as they are stored, and strays to nothing. It makes no document
// dirty: those that were found by an index cannot be found by it any more.
func (j *Joins) Reindex(t *Table, rows [][]byte, strays []rowstore.Stray) error {
	return j.write(j.applied, func(b *rowstore.Batch) error {
		for _, key := range rows {
			if err := b.Reindex(t.Table, key); err != nil {
				return err
			}
			b.Forget()
		}
		for _, s := range strays {
			if err := b.Strip(t.Table, s); err != nil {
				return err
			}
			b.Forget()
		}
		return nil
	})
}

// ReadAgain has rows of a table read again, by key.
func (j *Joins) ReadAgain(t *Table, keys []sources.Key) error {
	err := j.write(j.applied, func(b *rowstore.Batch) error {
		for _, texts := range keys {
			if err := j.suspect(b, t, t.value(t.Table.Key, texts), acted); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note suspects of table %s: %w", t.Source, err)
	}
	return j.Begin()
}
