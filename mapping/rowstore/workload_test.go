package rowstore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"haystream/sources"
)

const (
	users = iota
	notes
	tables
)

// layout has users by name, and notes by user and by (user, tag).
func layout() *Layout {
	integer, text := sources.Type{Kind: sources.Int, SQL: "bigint", Size: 8}, sources.Type{Kind: sources.Text, SQL: "text"}
	return &Layout{Tables: []*Table{
		users: {
			Table: &sources.Table{Schema: "public", Name: "users", Key: []int{0}, Columns: []sources.Column{
				{Name: "id", Type: integer}, {Name: "name", Type: text},
			}},
			Indexes: [][]int{{1}},
			Whole:   []bool{true},
		},
		notes: {
			Table: &sources.Table{Schema: "public", Name: "notes", Key: []int{0}, Columns: []sources.Column{
				{Name: "id", Type: integer}, {Name: "user_id", Type: integer}, {Name: "tag", Type: text}, {Name: "body", Type: text},
			}},
			Indexes: [][]int{{1}, {1, 2}},
			Whole:   []bool{true, false},
		},
	}}
}

var source = Meta{Identity: "7312/1"}

const null = "\x00null"

// row builds a row of texts, null among them, in memory of its own.
func row(texts ...string) sources.Row {
	a := sources.NewArena(64)
	a.StartRow(len(texts))
	for _, text := range texts {
		if text == null {
			a.Null()
		} else {
			a.Text([]byte(text))
		}
	}
	return a.EndRow()
}

// texts is a row as row was given it.
func texts(r sources.Row) []string {
	if r.IsZero() {
		return nil
	}
	out := make([]string, r.Len())
	for i := range out {
		if out[i] = string(r.Text(i)); r.Null(i) {
			out[i] = null
		}
	}
	return out
}

// model is what a store should hold.
type model struct {
	sequence uint64
	position string
	rows     [tables]map[string][]string // by key
	dirty    map[[2]int64]string         // by target and version
	work     map[uint64]string
	due      map[string]int64
	note     string
	loaded   string // the dump with the rows that the next commit has loaded, which may be there without it
}

func newModel() *model {
	m := &model{dirty: map[[2]int64]string{}, work: map[uint64]string{}, due: map[string]int64{}}
	for t := range m.rows {
		m.rows[t] = map[string][]string{}
	}
	return m
}

// dump is everything in the model, in the words of dump.
func (m *model) dump(l *Layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %q %q\n", m.sequence, m.position, m.note)
	for n, t := range l.Tables {
		for _, key := range slices.Sorted(maps.Keys(m.rows[n])) {
			fmt.Fprintf(&b, "%s %x %q\n", t.Name, key, m.rows[n][key])
		}
		for index, columns := range t.Indexes {
			byValue := map[string][]string{}
			for _, key := range slices.Sorted(maps.Keys(m.rows[n])) {
				if value, null := AppendKey(nil, t, row(m.rows[n][key]...), columns); !null {
					byValue[string(value)] = append(byValue[string(value)], key)
				}
			}
			for _, value := range values(t, index) {
				fmt.Fprintf(&b, "%s by %d %x: %x\n", t.Name, index, value, byValue[value])
			}
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(m.dirty), func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) }) {
		fmt.Fprintf(&b, "dirty %d %d %q\n", at[0], at[1], m.dirty[at])
	}
	for _, id := range slices.Sorted(maps.Keys(m.work)) {
		fmt.Fprintf(&b, "work %d %q\n", id, m.work[id])
	}
	keys := slices.SortedFunc(maps.Keys(m.due), func(x, y string) int {
		if m.due[x] != m.due[y] {
			return int(m.due[x] - m.due[y])
		}
		return strings.Compare(x, y)
	})
	for _, key := range keys {
		fmt.Fprintf(&b, "due %d %x\n", m.due[key], key)
	}
	return b.String()
}

// values are the index values that the workload makes, in order.
func values(t *Table, index int) []string {
	var out []string
	for id := range 6 {
		for tag := range 3 {
			texts := map[string]string{"name": "name" + strconv.Itoa(id), "user_id": strconv.Itoa(id), "tag": "tag" + strconv.Itoa(tag)}
			filled := make([]string, len(t.Columns))
			for i := range t.Columns {
				filled[i] = texts[t.Columns[i].Name]
			}
			value, _ := AppendKey(nil, t, row(filled...), t.Indexes[index])
			out = append(out, string(value))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// dump is everything that a reader of the store gives.
func dump(l *Layout, s *Store, r Reader) (string, error) {
	var b strings.Builder
	pos, _ := s.Position()
	note, err := r.Note("note")
	fmt.Fprintf(&b, "%d %q %q\n", s.Sequence(), pos, note)
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	for _, t := range l.Tables {
		keep(r.All(t, nil, func(key []byte, row sources.Row) (bool, error) {
			fmt.Fprintf(&b, "%s %x %q\n", t.Name, key, texts(row))
			return true, nil
		}))
		for index := range t.Indexes {
			for _, value := range values(t, index) {
				var keys []string
				keep(r.Scan(t, index, []byte(value), nil, func(key []byte, found sources.Row) (bool, error) {
					keys = append(keys, string(key))
					row, ok, err := r.Get(t, key)
					if err == nil && (!ok || !row.Same(found, every(len(t.Columns))...)) {
						err = fmt.Errorf("a row found by index %d of %s is not the one that is stored", index, t)
					}
					return true, err
				}))
				fmt.Fprintf(&b, "%s by %d %x: %x\n", t.Name, index, value, keys)
				for _, columns := range [][]int{t.links[index], every(len(t.Columns))} {
					at := 0
					keep(r.Links(t, index, columns, []byte(value), nil, func(key []byte, found sources.Row) (bool, error) {
						row, ok, err := r.Get(t, key)
						if err == nil && (!ok || at >= len(keys) || string(key) != keys[at] || !row.Same(found, columns...)) {
							err = fmt.Errorf("links of a row found by index %d of %s are not those of the row", index, t)
						}
						at++
						return true, err
					}))
					if at < len(keys) {
						keep(fmt.Errorf("%d links for %d rows by index %d of %s", at, len(keys), index, t))
					}
				}
			}
		}
	}
	for target := range uint32(2) {
		keep(r.Dirty(target, 0, func(version int64, data []byte) (bool, error) {
			fmt.Fprintf(&b, "dirty %d %d %q\n", target, version, data)
			return true, nil
		}))
	}
	keep(r.Work(func(id uint64, data []byte) (bool, error) {
		fmt.Fprintf(&b, "work %d %q\n", id, data)
		return true, nil
	}))
	keep(r.Due(1<<62, func(at int64, target uint32, key []byte) (bool, error) {
		fmt.Fprintf(&b, "due %d %x\n", at, string(appendTarget(nil, 'x', target))+string(key))
		return true, nil
	}))
	r.Forget()
	return b.String(), err
}

// step applies one random write to a batch and to the model.
func (m *model) step(b *Batch, l *Layout, r *rand.Rand) error {
	n := r.IntN(tables)
	t := l.Tables[n]
	id := strconv.Itoa(r.IntN(40) - 5)
	texts := newRow(n, id, r)
	key, _ := AppendKey(nil, t, row(texts...), t.Key)
	target := uint32(r.IntN(2))
	document := string(appendTarget(nil, 'x', target)) + string(key)
	switch r.IntN(16) {
	default:
		old, err := b.Put(t, row(texts...))
		if err != nil {
			return err
		}
		if err := m.same(n, key, old); err != nil {
			return err
		}
		m.rows[n][string(key)] = texts
	case 0, 1, 2:
		old, err := b.Delete(t, key)
		if err != nil {
			return err
		}
		if err := m.same(n, key, old); err != nil {
			return err
		}
		delete(m.rows[n], string(key))
	case 3:
		if r.IntN(20) == 0 {
			clear(m.rows[n])
			return b.Truncate(t)
		}
	case 4:
		version := int64(r.IntN(20))
		m.dirty[[2]int64{int64(target), version}] = id
		return b.PutDirty(target, version, []byte(id))
	case 5:
		version := int64(r.IntN(20))
		delete(m.dirty, [2]int64{int64(target), version})
		return b.DeleteDirty(target, version)
	case 6:
		work := uint64(r.IntN(10))
		m.work[work] = id
		return b.PutWork(work, []byte(id))
	case 7:
		work := uint64(r.IntN(10))
		delete(m.work, work)
		return b.DeleteWork(work)
	case 8:
		m.due[document] = int64(r.IntN(9) - 4)
		return b.PutDue(m.due[document], target, key)
	case 9:
		delete(m.due, document)
		return b.DeleteDue(target, key)
	case 10:
		m.note = id
		return b.Set("note", []byte(id))
	}
	return nil
}

// load loads the rows of a table that the store does not have, and puts others.
func (m *model) load(b *Batch, l *Layout, r *rand.Rand) error {
	n := r.IntN(tables)
	t := l.Tables[n]
	load := b.store.Load(t)
	defer load.Discard()
	left := map[string][]string{}
	for id := r.IntN(10) - 5; id < 35; id += 1 + r.IntN(10) {
		texts := newRow(n, strconv.Itoa(id), r)
		key, _ := AppendKey(nil, t, row(texts...), t.Key)
		taken, err := load.Add(key, row(texts...))
		if err != nil {
			return err
		}
		if taken == (m.rows[n][string(key)] != nil || b.store.large(row(texts...))) {
			return fmt.Errorf("row %d of %s taken: %v", id, t, taken)
		}
		if taken {
			m.rows[n][string(key)] = texts
			m.loaded = m.dump(l)
		} else {
			left[string(key)] = texts
		}
		if taken, err := load.Add(key, row(texts...)); taken {
			return fmt.Errorf("row %d of %s taken twice: %w", id, t, err)
		}
		if r.IntN(10) == 0 {
			if err := load.Rest(); err != nil {
				return err
			}
		}
	}
	if err := load.Commit(b); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		old, err := b.Put(t, row(left[key]...))
		if err == nil {
			err = m.same(n, []byte(key), old)
		}
		if err != nil {
			return err
		}
		m.rows[n][key] = left[key]
	}
	return nil
}

// newRow is a row of a table's at random.
func newRow(n int, id string, r *rand.Rand) []string {
	if n == users {
		return []string{id, "name" + strconv.Itoa(r.IntN(6))}
	}
	texts := []string{id, strconv.Itoa(r.IntN(6)), "tag" + strconv.Itoa(r.IntN(3)), strings.Repeat("body ", r.IntN(200))}
	if r.IntN(5) == 0 {
		texts[1+r.IntN(2)] = null
	}
	return texts
}

func (m *model) same(n int, key []byte, old sources.Row) error {
	if want := m.rows[n][string(key)]; !slices.Equal(texts(old), want) {
		return fmt.Errorf("the old row of %x is %q, want %q", key, texts(old), want)
	}
	return nil
}

// commit makes one batch of random writes. The model shows it whatever becomes of it.
func (m *model) commit(s *Store, l *Layout, r *rand.Rand, sync bool) error {
	b := s.Batch()
	m.loaded = ""
	if r.IntN(4) == 0 {
		if err := m.load(b, l, r); err != nil {
			b.Discard()
			return err
		}
	}
	for range 1 + r.IntN(20) {
		if err := m.step(b, l, r); err != nil {
			b.Discard()
			return err
		}
	}
	m.sequence++
	m.position = "0/" + strconv.FormatUint(m.sequence, 16)
	b.SetPosition(sources.Position(m.position), int64(m.sequence))
	return b.Commit(sync)
}

func open(t *testing.T, fs vfs.FS, l *Layout) *Store {
	t.Helper()
	options := small
	options.FS = fs
	s, err := openLayout("/data/store", l, source, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small has a store flush, and rows be large, soon.
var small = Options{CacheBytes: 1 << 18, pieceBytes: 100}

// openLayout opens a store and uses a layout.
func openLayout(dir string, l *Layout, of Meta, options Options) (*Store, error) {
	s, err := Open(dir, of, options)
	if err != nil {
		return s, err
	}
	if err = s.Use(l); err != nil && !errors.Is(err, ErrRebuild) {
		return nil, errors.Join(err, s.Close())
	}
	return s, err
}

func current(t *testing.T, l *Layout, s *Store) string {
	t.Helper()
	snapshot := s.Snapshot()
	defer snapshot.Release()
	got, err := dump(l, s, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// replay is the dump of what so many commits with a seed leave, and that of what a
// next one may leave behind though it was not made: rows that it has loaded.
func replay(t *testing.T, l *Layout, seed, commits uint64, options Options) []string {
	t.Helper()
	options.FS = vfs.NewMem()
	s, err := openLayout("/data/store", l, source, options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, r := newModel(), rand.New(rand.NewPCG(seed, seed))
	for m.sequence < commits {
		if err := m.commit(s, l, r, false); err != nil {
			t.Fatal(err)
		}
	}
	dump := m.dump(l)
	if err := m.commit(s, l, r, false); err != nil {
		t.Fatal(err)
	}
	return []string{dump, m.loaded}
}

// every is the first n numbers.
func every(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
