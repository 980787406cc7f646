package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/servers"
)

// largeDocuments are what ownedItems have, in the words of a kind of database.
func largeDocuments(kind string) (flat, joined string) {
	object, text := jsonWords(kind)
	flat = "SELECT CAST(id AS " + text + "), CAST(" + object + "('id', id, 'owner_id', owner_id, 'counter', counter) AS " + text + ") FROM item"
	joined = "SELECT CAST(i.id AS " + text + "), CAST(" + object + "('id', i.id, 'counter', counter, 'owner', o.name) AS " + text + ") FROM item i JOIN owner o ON o.id = owner_id"
	return flat, joined
}

// manyItems makes items 1 to rows of owners that have a hundred each; an item's last digit is its owner's.
func (w *world) manyItems(rows int) (owners int) {
	w.t.Helper()
	owners = max(rows/100, 100)
	numbers := func(to int) string { return fmt.Sprintf("generate_series(1, %d) n", to) }
	// Half of a page stays free, so that updates never fill its 291 places: heap_force_kill of pg_surgery 15, given the last
	// place of one page, kills the last place of later pages too.
	form := " WITH (fillfactor = 50)"
	whole := "ALTER TABLE item REPLICA IDENTITY FULL" // the log has an item's old owner, which routes its document
	if w.server.Kind != servers.Postgres {
		digits := "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
		numbers = func(to int) string {
			return fmt.Sprintf("(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d n FROM %s a, %[1]s b, %[1]s c, %[1]s d, %[1]s e, %[1]s f) numbers WHERE n <= %d", digits, to)
		}
		form, whole = "", "SET @nothing = 0"
	}
	w.exec("CREATE TABLE owner (id int PRIMARY KEY, name varchar(40))"+form, "INSERT INTO owner SELECT n - 1, concat('owner ', n - 1) FROM "+numbers(owners),
		"CREATE TABLE item (id int PRIMARY KEY, owner_id int NOT NULL, counter int NOT NULL)"+form,
		fmt.Sprintf("INSERT INTO item SELECT n, n %% %d, 1 FROM %s", owners, numbers(rows)), whole)
	return owners
}

// A writers changes items at a pace, but for those whose number ends in 0, and renames owners, but for those whose
// number ends in 0 or 5.
type writers struct {
	*world
	rows, owners int
	pace         int          // changes a second
	changed      atomic.Int64 // rows
	stop         func()       // ends them, and waits until they have
}

func (w *world) startWriters(rows, owners, pace int) *writers {
	l := &writers{world: w, rows: rows, owners: owners, pace: pace}
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	all.Go(func() { l.run(ctx) })
	l.stop = func() { cancel(); all.Wait() }
	w.t.Cleanup(l.stop)
	return l
}

func (l *writers) run(ctx context.Context) {
	began, random := time.Now(), rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	number := func(below int) int { return 10*random.IntN(below/10) + 1 + random.IntN(9) }
	renamed := time.Now()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := min(int64(time.Since(began).Seconds()*float64(l.pace))-l.changed.Load(), 200) // what it is late with it makes up for
		if due < 10 {
			continue
		}
		var ids []string
		for range due - 3 {
			ids = append(ids, strconv.Itoa(number(l.rows)))
		}
		added := l.rows + 10*n + 1
		statements := []string{
			"UPDATE item SET counter = counter + 1 WHERE id IN (" + strings.Join(ids, ",") + ")",
			fmt.Sprintf("INSERT INTO item VALUES (%d, %d, 1)", added, number(l.owners)),
			fmt.Sprintf("DELETE FROM item WHERE id = %d", added-500),
			fmt.Sprintf("UPDATE item SET owner_id = %d WHERE id = %d", number(l.owners), number(l.rows)),
		}
		if time.Since(renamed) > time.Second {
			renamed = time.Now()
			statements = append(statements, fmt.Sprintf("UPDATE owner SET name = 'renamed %d' WHERE id = %d", n, 10*random.IntN(l.owners/10)+1+random.IntN(4)))
		}
		for _, statement := range statements {
			result, err := l.db.ExecContext(l.ctx, statement)
			if err != nil {
				l.t.Errorf("%s: %v", statement, err)
				return
			}
			rows, _ := result.RowsAffected()
			l.changed.Add(rows)
		}
	}
}

// A lagMeter looks again and again how far the daemon is behind.
type lagMeter struct {
	mu        sync.Mutex
	sum, most float64
	n         int
}

func (w *world) startLagMeter() *lagMeter {
	m := &lagMeter{}
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			source, _ := w.status()["source"].(map[string]any)
			if lag, ok := source["lag_seconds"].(float64); ok {
				m.mu.Lock()
				m.sum, m.most, m.n = m.sum+lag, max(m.most, lag), m.n+1
				m.mu.Unlock()
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	w.t.Cleanup(func() { cancel(); all.Wait() })
	return m
}

// take is what it has seen since it was asked last.
func (m *lagMeter) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := fmt.Sprintf("lag %.2f s on average, %.2f s at most", m.sum/float64(max(m.n, 1)), m.most)
	m.sum, m.most, m.n = 0, 0, 0
	return text
}

// processorTime is what the daemon has used.
func (w *world) processorTime() time.Duration {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.daemon.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // proc(5): the third is the first of these
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			w.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}

// forgetPeak has VmHWM begin at what the daemon's memory is now.
func (w *world) forgetPeak() {
	w.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", w.daemon.Process.Pid), []byte("5"), 0); err != nil {
		w.t.Fatal(err)
	}
}

// numberFrom is a number of the environment, or the form for every day.
func numberFrom(t *testing.T, name string, usual int) int {
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
