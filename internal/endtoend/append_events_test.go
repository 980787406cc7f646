package endtoend

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haystream/internal/seeds"
)

// A presser pushes events all the time, of this month, the one before and a year ago.
type presser struct {
	*world
	random *rand.Rand
	stop   chan struct{}
	most   atomic.Int64 // events that may be pushed by now

	mu    sync.Mutex
	next  int
	taken map[string]string // the month of each event that was answered with 202, by its id
}

func (p *presser) run() {
	now := time.Now().UTC()
	days := []time.Time{now, time.Date(now.Year(), now.Month()-1, 15, 0, 0, 0, 0, time.UTC), now.AddDate(-1, 0, 0)}
	url := fmt.Sprintf("http://127.0.0.1:%d/events/pressed", p.port)
	for pause := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-p.stop:
			pause.Stop()
			return
		case <-pause.C:
		}
		if int64(p.next) >= p.most.Load() {
			continue
		}
		months := map[string]string{}
		var lines []string
		for range 5 {
			p.next++
			id, day := fmt.Sprint("e", p.next), days[p.random.IntN(len(days))]
			months[id] = day.Format("2006.01")
			lines = append(lines, fmt.Sprintf(`{"id": %q, "created": %q, "n": %d, "word": "%d"}`, id, day.Format(time.RFC3339), p.next, p.next))
		}
		if code, _ := p.request(http.MethodPost, url, "["+strings.Join(lines, ",")+"]"); code != http.StatusAccepted {
			continue // whether they were taken is not known
		}
		p.mu.Lock()
		for id, month := range months {
			p.taken[id] = month
		}
		p.mu.Unlock()
	}
}

// TestAppendEvents changes a definition over events ten times in a row, while events come and the
// daemon is killed: every event that was answered is in the index, but for those of periods that are
// not kept in the end.
func TestAppendEvents(t *testing.T) {
	seed := seeds.One(t)
	w := newWorld(t)
	random := rand.New(rand.NewPCG(seed, 0))
	const base, monthly, keep = "n: {type: long}", "partition: {by: created, every: month}", "partition: {by: created, every: month, keep: 2}"
	changes := []struct{ alias, fields, more string }{
		{"", base, monthly},
		{"", base + ", word: {type: keyword}", monthly},
		{"", base + ", word: {type: text}", monthly},
		{"", base, monthly},
		{"", base, "partition: {by: created, every: year}"},
		{"", "n: {type: keyword}", ""},
		{"_too", "n: {type: keyword}", ""},
		{"_too", base + ", word: {type: keyword}", "settings: {number_of_shards: 2}"},
		{"", base + ", word: {type: keyword}", monthly},
		{"", base + ", again: {from: n, type: long}", monthly},
		{"", base + ", again: {from: n, type: long}", keep},
	}
	p := &presser{world: w, random: rand.New(rand.NewPCG(seed, 1)), stop: make(chan struct{}), taken: map[string]string{}}
	var pushing sync.WaitGroup
	for n, c := range changes {
		w.config(fmt.Sprintf("  pressed:\n    index: NAME%s\n    events: {}\n    fields: {%s}\n    %s\n", c.alias, c.fields, c.more))
		before := w.log.len()
		p.most.Add(500)
		w.start()
		if n == 0 {
			pushing.Go(p.run)
		}
		moments := []string{"replicating", "index created", "copying documents of rows that are gone", "index loaded", "documents copied"}
		moment := moments[random.IntN(len(moments))]
		w.eventually("it says "+moment+", or is through", func() bool {
			return strings.Contains(w.log.from(before), moment) || w.ready() && w.events()["waiting"] == 0.0
		})
		if n < len(changes)-1 {
			w.kill()
		}
	}
	close(p.stop)
	pushing.Wait()
	oldest := time.Now().UTC().AddDate(0, 0, 1-time.Now().UTC().Day()).AddDate(0, -1, 0).Format("2006.01")
	told := ""
	w.eventually("all events are there, and those that are not kept are gone", func() bool {
		found := map[string]string{}
		var wrong []string
		for physical, documents := range w.everything(w.name) {
			for id, document := range documents {
				var event struct{ Created time.Time }
				if err := json.Unmarshal(document, &event); err != nil {
					t.Fatal(err)
				}
				month := event.Created.UTC().Format("2006.01")
				if found[id] != "" || !strings.Contains(physical, "-"+month+"-") {
					wrong = append(wrong, id+" is in "+physical)
				}
				found[id] = month
			}
		}
		for id, month := range p.taken {
			if (found[id] == month) != (month >= oldest) {
				wrong = append(wrong, fmt.Sprintf("%s of %s is in %q", id, month, found[id]))
			}
		}
		if text := fmt.Sprint(len(wrong), " of ", len(p.taken), ": ", wrong); len(wrong) > 0 && told != text {
			told = text
			t.Log(text[:min(len(text), 500)])
		}
		return len(wrong) == 0 && len(p.taken) > 0
	})
	t.Logf("%d events", len(p.taken))
}
