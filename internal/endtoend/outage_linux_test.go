package endtoend

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
)

// An outageForm is how large TestSinkOutage is.
type outageForm struct {
	rows, pace int           // of each daemon's tables; changes a second
	lasts      time.Duration // half of it the sink is frozen, and half of it dead
	databases  []*servers.Shared
}

// formOfOutage is the form for every day; with HAYSTREAM_OUTAGE the long one, of an outage of that time.
func formOfOutage(t *testing.T) outageForm {
	text := os.Getenv("HAYSTREAM_OUTAGE")
	if text == "" {
		return outageForm{rows: 2000, pace: 100, lasts: 20 * time.Second, databases: []*servers.Shared{&postgres}}
	}
	lasts, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	form := outageForm{rows: 20_000, pace: 500, lasts: lasts, databases: []*servers.Shared{&postgres}}
	if os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all" {
		form.databases = append(form.databases, mysqls[0], marias[0])
	}
	return form
}

// TestSinkOutage takes Elasticsearch away from under writers that go on, frozen at first and then dead. Each daemon says so and
// why, its memory stays as it is, and what the database keeps for it is seen. Afterwards it says how fast it makes up for
// it, and nothing is lost.
func TestSinkOutage(t *testing.T) {
	form := formOfOutage(t)
	es := servers.Test(t, search.Spec)
	var all []*outage
	for n, server := range append([]*servers.Shared{&postgres}, form.databases...) {
		o := &outage{world: worldNamed(t, fmt.Sprintf("sink_outage_%d", n), server.Get(t), es), what: server.Spec.Kind, indexes: ownedItems, fills: form.lasts >= 5*time.Minute}
		if n == 0 {
			_, joined, _ := strings.Cut(ownedItems, "  NAME-joined:")
			o.what, o.indexes = "joined only", "\n  NAME-joined:"+joined
		}
		all = append(all, o)
		owners := o.manyItems(form.rows)
		o.config(o.indexes)
		o.start()
		o.within(10*time.Minute, "the daemon is ready", o.ready)
		o.load = o.startWriters(form.rows, owners, form.pace)
	}
	for _, o := range all {
		o.eventually("the daemon follows the writers", func() bool { return o.load.changed.Load() > int64(form.pace) && o.ready() })
		o.forgetPeak()
		o.look("before")
		o.from = o.load.changed.Load()
	}
	began := time.Now()
	for n, away := range []string{"frozen", "dead"} {
		since := time.Now()
		if es.Pause(); n == 1 {
			if err := es.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range all {
			o.within(30*time.Second, "the daemon says that the sink is away", func() bool { return strings.Contains(o.notReady(), "sink: ") })
			t.Logf("%s: %s after it was %s /readyz says: %s", o.what, time.Since(since).Round(100*time.Millisecond), away, strings.TrimSpace(o.notReady()))
			o.forgetPeak()
		}
		for _, o := range all {
			o.within(form.lasts, "the sink was away for long", func() bool { return time.Since(since) > form.lasts/2 })
			o.look("while it was " + away)
			o.keeps()
		}
	}
	if err := es.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	t.Logf("the sink was away for %s", back.Sub(began).Round(time.Second))
	for _, o := range all {
		o.within(form.lasts+5*time.Minute, "the daemon has caught up", func() bool { return o.ready() && o.log.contains("caught up with the source") })
		o.look(fmt.Sprintf("%s after", time.Since(back).Round(time.Second)))
		o.load.stop()
	}
	for _, o := range all {
		o.settle()
		for line := range strings.Lines(o.log.from(0)) {
			if strings.Contains(line, "caught up with the source") {
				t.Logf("%s: %s", o.what, line)
			}
		}
		flat, joined := largeDocuments(o.server.Kind)
		o.compareIn(o.name+"-joined", joined)
		if o.indexes == ownedItems {
			o.compareIn(o.name, flat)
		}
	}
}

// An outage is what one daemon goes through.
type outage struct {
	*world
	what, indexes string
	fills         bool // half of the outage is long enough to fill the queues
	load          *writers
	from          int64   // rows that were changed before
	memory        int     // the most bytes that were seen before
	kept          float64 // bytes of log that the database has kept, when that was looked at last
}

// look logs how the daemon is. Its memory must not grow once its queues are full.
func (o *outage) look(when string) {
	o.t.Helper()
	const most, slack = 96 << 20, 8 << 20 // limits.max_memory, and what garbage is collected late
	peak, status := o.resident("VmHWM:"), o.status()
	source, _ := status["source"].(map[string]any)
	store, _ := status["row_store"].(map[string]any)
	o.t.Logf("%s, %s: memory %d MiB, at most %d MiB; lag %v s; log behind %v and kept %v bytes; row store %v bytes, %v documents wait; %d rows were changed",
		o.what, when, o.resident("VmRSS:")>>20, peak>>20, source["lag_seconds"], source["lag_bytes"], source["retained_bytes"],
		store["bytes"], store["documents_pending"], o.load.changed.Load()-o.from)
	if peak > most || o.fills && strings.HasSuffix(when, "dead") && peak > o.memory+slack {
		o.t.Errorf("%s, %s: the daemon took %d MiB, and before %d MiB", o.what, when, peak>>20, o.memory>>20)
	}
	o.memory = max(o.memory, peak)
	o.forgetPeak()
}

// keeps checks that the log that the database keeps is seen to grow in /status and in the metrics, or, where the row store takes
// what is written, that the log is let go.
func (o *outage) keeps() {
	o.t.Helper()
	if o.indexes != ownedItems {
		end, since := o.logEnd(), time.Now()
		o.within(time.Minute, "the log is let go", func() bool { return o.passed(end) })
		o.t.Logf("%s: the log was let go after %s", o.what, time.Since(since).Round(100*time.Millisecond))
		return
	}
	what := "retained_bytes"
	if o.server.Kind != servers.Postgres { // keeps its log whoever reads it
		what = "lag_bytes"
	}
	var seen float64
	o.within(30*time.Second, "what is kept is seen to grow", func() bool {
		source, _ := o.status()["source"].(map[string]any)
		seen, _ = source[what].(float64)
		return seen > o.kept+10_000
	})
	o.kept = seen
	o.within(30*time.Second, "the metrics say the same", func() bool {
		_, body := o.get(fmt.Sprintf("http://127.0.0.1:%d/metrics", o.port))
		for line := range strings.Lines(string(body)) {
			var now float64
			if n, _ := fmt.Sscanf(line, "haystream_"+what+" %g", &now); n == 1 {
				return now >= seen
			}
		}
		return false
	})
}
