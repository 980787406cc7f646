package rowstore

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"haystream/sources"
)

// BenchmarkRows loads rows of about 260 bytes in order of their keys, and reads and
// changes them. ROWSTORE_ROWS says how many.
func BenchmarkRows(b *testing.B) {
	count := 100_000
	if n, err := strconv.Atoi(os.Getenv("ROWSTORE_ROWS")); err == nil {
		count = n
	}
	l := layout()
	s, err := openLayout(b.TempDir(), l, source, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rows := newRows(l.Tables[notes], count)
	began, used := time.Now(), processor()
	rows.load(b, s, count)
	if err := s.Sync(); err != nil {
		b.Fatal(err)
	}
	loaded := float64(count) / time.Since(began).Seconds()
	settle(s)
	m := s.Metrics()
	b.Logf("%d rows loaded at %.0f rows/s, %.1f CPU seconds per million; %d bytes on disk per row; %d MiB resident, %d of them cache",
		count, loaded, float64(processor()-used)/1000/float64(count), m.Bytes/int64(count), int(resident())>>20, m.MemoryBytes>>20)
	b.Run("update", func(b *testing.B) {
		measured(b)
		rows.put(b, s, b.N, func(int) int { return rand.IntN(count) })
	})
	settle(s)
	b.Logf("%d bytes on disk per row after the updates", s.Metrics().Bytes/int64(count))
	b.Run("get", func(b *testing.B) {
		snapshot := s.Snapshot()
		defer snapshot.Release()
		measured(b)
		for b.Loop() {
			rows.key(rand.IntN(count))
			if _, ok, err := snapshot.Get(rows.table, rows.keyBytes); err != nil || !ok {
				b.Fatal(ok, err)
			}
			snapshot.Forget()
		}
	})
	b.Run("get-near", func(b *testing.B) {
		snapshot := s.Snapshot()
		defer snapshot.Release()
		measured(b)
		for i := 0; b.Loop(); i++ {
			rows.key(i % count)
			if _, ok, err := snapshot.Get(rows.table, rows.keyBytes); err != nil || !ok {
				b.Fatal(ok, err)
			}
			snapshot.Forget()
		}
	})
	b.Run("scan-10", func(b *testing.B) {
		snapshot := s.Snapshot()
		defer snapshot.Release()
		measured(b)
		for b.Loop() {
			seen := 0
			rows.value = AppendValue(rows.value[:0], &rows.table.Columns[1].Type, nil, strconv.AppendInt(nil, int64(rand.IntN(count/10)), 10))
			if err := snapshot.Scan(rows.table, 0, rows.value, nil, func([]byte, sources.Row) (bool, error) { seen++; return true, nil }); err != nil {
				b.Fatal(seen, err)
			}
			snapshot.Forget()
		}
	})
	b.Run("all", func(b *testing.B) {
		snapshot := s.Snapshot()
		defer snapshot.Release()
		measured(b)
		n := 0
		for n < b.N {
			if err := snapshot.All(rows.table, nil, func([]byte, sources.Row) (bool, error) {
				snapshot.Forget()
				n++
				return n < b.N, nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	m = s.Metrics()
	b.Logf("at the end %d MiB resident; %d hits and %d misses of the cache, %d compactions", int(resident())>>20, m.CacheHits, m.CacheMisses, m.Compactions)
}

// settle waits until nothing goes on in the background.
func settle(s *Store) {
	for m := s.db.Metrics(); m.Compact.NumInProgress+m.Flush.NumInProgress > 0; m = s.db.Metrics() {
		select {
		case <-s.pace.changed:
		case <-time.After(50 * time.Millisecond): // it ended just before it was asked for
		}
	}
}

// measured reports a benchmark's processor time, as others may use the machine.
func measured(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	before := processor()
	b.Cleanup(func() { b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op") })
}

// processor is the time that this process has used, in nanoseconds.
func processor() int64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return use.Utime.Nano() + use.Stime.Nano()
}

// rows makes the benchmark's rows.
type rows struct {
	table           *Table
	count           int
	arena           *sources.Arena
	body, number    []byte
	keyArena        *sources.Arena
	keyBytes, value []byte
}

func newRows(t *Table, count int) *rows {
	body := make([]byte, 0, 4096)
	for r := rand.New(rand.NewPCG(1, 1)); len(body) < 4096; {
		body = append(body, strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(3))...)
	}
	return &rows{table: t, count: count, arena: sources.NewArena(1 << 10), keyArena: sources.NewArena(1 << 10), body: body}
}

func (r *rows) key(id int) {
	r.number = strconv.AppendInt(r.number[:0], int64(id), 10)
	r.keyBytes = AppendValue(r.keyBytes[:0], &r.table.Columns[0].Type, nil, r.number)
}

func (r *rows) row(id int) sources.Row {
	r.arena.Reset()
	r.arena.StartRow(4)
	r.arena.Value(strconv.AppendInt(r.arena.Buffer(), int64(id), 10))
	r.arena.Value(strconv.AppendInt(r.arena.Buffer(), int64(rand.IntN(max(1, r.count/10))), 10))
	r.arena.Value(strconv.AppendInt(append(r.arena.Buffer(), "tag"...), int64(id%50), 10))
	from := rand.IntN(len(r.body) - 240)
	r.arena.Text(r.body[from : from+240])
	return r.arena.EndRow()
}

// load loads n rows.
func (r *rows) load(b *testing.B, s *Store, n int) {
	b.Helper()
	for i := 0; i < n; {
		batch := s.Batch()
		load := s.Load(r.table)
		for ; i < n && !load.Full(); i++ {
			r.key(i)
			if taken, err := load.Add(r.keyBytes, r.row(i)); err != nil || !taken {
				b.Fatal(taken, err)
			}
		}
		if err := load.Commit(batch); err != nil {
			b.Fatal(err)
		}
		batch.SetPosition("0/1", int64(i))
		if err := batch.Commit(false); err != nil {
			b.Fatal(err)
		}
	}
}

// put stores n rows in batches of 500.
func (r *rows) put(b *testing.B, s *Store, n int, id func(i int) int) {
	b.Helper()
	for i := 0; i < n; {
		batch := s.Batch()
		for range 500 {
			if _, err := batch.Put(r.table, r.row(id(i))); err != nil {
				b.Fatal(err)
			}
			if i++; i == n {
				break
			}
		}
		batch.SetPosition("0/1", int64(i))
		if err := batch.Commit(false); err != nil {
			b.Fatal(err)
		}
	}
}

// resident is the process's memory in bytes.
func resident() float64 {
	runtime.GC()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		return 0
	}
	return float64(pages * os.Getpagesize())
}
