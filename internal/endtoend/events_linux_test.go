package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"haystream/internal/seeds"
	"haystream/internal/servers"
)

const eventsIndexes = `
  NAME:
    events: {}
    fields: {n: {type: long}, action: {type: keyword}}
  NAME_rows:
    table: hot
    fields: "*"
`

// An eventsForm is how large TestEvents is.
type eventsForm struct {
	total   int64 // events to be taken at least
	clients int
	outage  time.Duration // of Elasticsearch, at least
}

// formOfEvents is the form for every day; with HAYSTREAM_EVENTS the long one, of so many events.
func formOfEvents(t *testing.T) eventsForm {
	text := os.Getenv("HAYSTREAM_EVENTS")
	if text == "" {
		return eventsForm{total: 30_000, clients: 8}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return eventsForm{total: n, clients: 20, outage: time.Minute}
}

// TestEvents pushes events while the daemon is killed five times, Elasticsearch is stopped, the
// database is away and the disk is full: each event that was answered with 202 is in the index exactly once,
// and none that was refused is.
func TestEvents(t *testing.T) {
	database, es := servers.Test(t, postgres.Spec), search.Get(t)
	w := worldOn(t, database, es)
	w.exec(hotTable, hotRows(1, 10))
	state := filepath.Join(w.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=512m")
	mounted := err == nil
	if mounted {
		t.Cleanup(func() {
			w.stop()
			if err := syscall.Unmount(state, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	} else {
		t.Logf("NOT TESTED: a full disk, since a volume cannot be mounted here: %v", err)
	}
	w.config(eventsIndexes)
	seed := seeds.One(t)
	random := rand.New(rand.NewPCG(seed, 0))
	w.start()

	p := newPushers(w)
	var group sync.WaitGroup
	form := formOfEvents(t)
	total := form.total
	for n := range form.clients {
		group.Go(func() { p.run(rand.New(rand.NewPCG(seed, uint64(n)+1))) })
	}
	began, away := time.Now(), time.Time{}
	wait := func(part int64) {
		t.Helper()
		at := p.taken.Load() + part
		p.most.Store(at + slack)
		w.within(10*time.Minute, "events are pushed", func() bool { return p.taken.Load() >= at })
	}
	for n := range 5 {
		wait(total/8 + random.Int64N(total/100+1))
		switch n {
		case 0:
			if err := es.Kill(); err != nil {
				t.Fatal(err)
			}
			away = time.Now()
			wait(total / 8) // they are taken all the same
		case 1:
			if err := database.Kill(); err != nil {
				t.Fatal(err)
			}
			written := w.eventsDelivered()
			p.most.Add(slack)
			w.within(time.Minute, "events reach the index without the database", func() bool { return w.eventsDelivered() > written })
		case 2:
			if mounted {
				w.fillDisk(t, p, filepath.Join(state, "ballast"))
			}
		}
		w.kill()
		w.start()
		switch n {
		case 0:
			wait(total / 50) // also after a start without Elasticsearch
			w.within(2*form.outage+time.Minute, "Elasticsearch was away for "+form.outage.String(), func() bool { return time.Since(away) >= form.outage })
			if err := es.Restart(w.ctx); err != nil {
				t.Fatal(err)
			}
		case 1:
			wait(total / 50)
			if err := database.Restart(w.ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait(max(total/8, total-p.taken.Load()))
	close(p.stop)
	group.Wait()
	pushed := time.Since(began)
	w.within(10*time.Minute, "the daemon is ready", w.ready)
	w.within(10*time.Minute, "all events are delivered", func() bool { return w.events()["waiting"] == 0.0 })
	delivered := time.Since(began)
	_, wrong := p.compare()
	for _, text := range wrong {
		t.Error(text)
	}
	t.Logf("%d clients: %d events taken in %s, delivered after %s; %d refused, %d answers did not come",
		form.clients, len(p.accepted), pushed.Round(time.Second), delivered.Round(time.Second), len(p.refused), p.silent.Load())
	if code := w.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// fillDisk has the disk full until events are refused for it.
func (w *world) fillDisk(t *testing.T, p *pushers, ballast string) {
	t.Helper()
	fillVolume(t, ballast)
	refused := p.noRoom.Load()
	p.most.Add(10 * slack)
	w.within(time.Minute, "events are refused, since the disk is full", func() bool { return p.noRoom.Load() > refused+5 })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	taken := p.taken.Load()
	p.most.Add(slack)
	w.within(time.Minute, "events are taken again", func() bool { return p.taken.Load() > taken })
}

// eventsDelivered is how many events this process of the daemon has written.
func (w *world) eventsDelivered() float64 {
	indexes, _ := w.status()["indexes"].([]any)
	for _, index := range indexes {
		if fields, _ := index.(map[string]any); fields["alias"] == w.name {
			written, _ := fields["documents_written"].(float64)
			return written
		}
	}
	return 0
}

// slack is how many events may be taken beyond what is waited for, so that the sink comes after.
const slack = 2000

// pushers push events, each with a number of its own, and note what was answered.
type pushers struct {
	world *world
	url   string
	stop  chan struct{}
	made  atomic.Int64
	most  atomic.Int64 // that may be taken, but for those on their way

	taken, noRoom, silent atomic.Int64

	mu       sync.Mutex
	accepted map[int64]bool
	refused  map[int64]bool
}

func newPushers(w *world) *pushers {
	return &pushers{world: w, url: w.eventsURL(), stop: make(chan struct{}), accepted: map[int64]bool{}, refused: map[int64]bool{}}
}

// run pushes until stop: one event, an array or lines; with ids of its own, which it repeats until it
// is answered, or without, where an event that was not answered may be there or not.
func (p *pushers) run(r *rand.Rand) {
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-pace.C:
		}
		if p.taken.Load() >= p.most.Load() {
			continue
		}
		numbers, body, kind, own := p.request(r)
		for p.push(kind, body, numbers, own) {
			<-pace.C
		}
	}
}

// request makes a body.
func (p *pushers) request(r *rand.Rand) (numbers []int64, body, kind string, own bool) {
	form, n := r.IntN(3), 1
	if form > 0 {
		n += r.IntN(100)
	}
	own = r.IntN(2) == 0
	var events []string
	for range n {
		number := p.made.Add(1)
		id := ""
		if own {
			id = fmt.Sprintf(`"id":"own-%d",`, number)
		}
		numbers = append(numbers, number)
		events = append(events, fmt.Sprintf(`{%s"n":%d,"action":"pressed","more":{"text":%q}}`, id, number, strings.Repeat("x", r.IntN(300))))
	}
	switch form {
	case 0:
		return numbers, events[0], "application/json", own
	case 1:
		return numbers, "[" + strings.Join(events, ",\n") + "]", "application/json", own
	}
	return numbers, strings.Join(events, "\n") + "\n", "application/x-ndjson", own
}

// push notes the answer, and reports whether the same is to be pushed again.
func (p *pushers) push(kind, body string, numbers []int64, own bool) (again bool) {
	code, answer := 0, []byte(nil)
	if resp, err := http.Post(p.url, kind, strings.NewReader(body)); err == nil { // the daemon's end ends it
		code = resp.StatusCode
		if answer, err = io.ReadAll(resp.Body); err != nil {
			code = 0
		}
		_ = resp.Body.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case code == http.StatusAccepted:
		var out struct{ IDs []string }
		if err := json.Unmarshal(answer, &out); err != nil || len(out.IDs) != len(numbers) {
			p.world.t.Errorf("%d events were answered with %s", len(numbers), answer)
		}
		for _, n := range numbers {
			p.accepted[n] = true
		}
		p.taken.Add(int64(len(numbers)))
		return false
	case code == 0:
		p.silent.Add(1)
		return own && !p.stopped()
	case code == http.StatusServiceUnavailable && bytes.Contains(answer, []byte("no space left")):
		p.noRoom.Add(1)
	}
	for _, n := range numbers {
		p.refused[n] = p.refused[n] || !own // with the same ids it may have been taken before
	}
	return false
}

func (p *pushers) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// compare looks for what was answered in the index, of which it returns the number of documents.
func (p *pushers) compare() (documents int, wrong []string) {
	p.world.t.Helper()
	found := map[int64]int{}
	for id, source := range p.world.eachDocument(p.world.name) {
		var event struct {
			ID, Action, Created string
			N                   int64
		}
		if err := json.Unmarshal(source, &event); err != nil || event.ID != id || event.Action != "pressed" || event.Created == "" {
			p.world.t.Fatalf("document %s is %s, %v", id, source, err)
		}
		found[event.N]++
		documents++
	}
	for n := range p.accepted {
		if found[n] != 1 {
			wrong = append(wrong, fmt.Sprintf("event %d, which was taken, is in the index %d times", n, found[n]))
		}
	}
	for n, known := range p.refused {
		if known && found[n] > 0 {
			wrong = append(wrong, fmt.Sprintf("event %d, which was refused, is in the index", n))
		}
	}
	for n, times := range found {
		if times > 1 && !p.accepted[n] {
			wrong = append(wrong, fmt.Sprintf("event %d, which was not answered, is in the index %d times", n, times))
		}
	}
	return documents, wrong
}
