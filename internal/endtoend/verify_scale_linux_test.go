package endtoend

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A verifyForm is how large TestVerifyAtScale is.
type verifyForm struct {
	rows    int
	runs    int // that must find nothing
	planted int // differences of each of 16 kinds
	pace    int // changes a second
}

// formOfVerify is the form for every day; with HAYSTREAM_VERIFY_ROWS the long one, of so many rows.
func formOfVerify(t *testing.T) verifyForm {
	if rows := numberFrom(t, "HAYSTREAM_VERIFY_ROWS", 0); rows > 0 {
		return verifyForm{rows: rows, runs: 10, planted: 63, pace: 500}
	}
	return verifyForm{rows: 3000, runs: 1, planted: 2, pace: 100}
}

// TestVerifyAtScale compares large indexes while rows change: nothing is found where nothing is wrong, all that was planted
// is, and repaired. It logs what that costs.
func TestVerifyAtScale(t *testing.T) {
	form := formOfVerify(t)
	w := newWorld(t)
	w.exec("CREATE EXTENSION pg_stat_statements", "DROP ROLE IF EXISTS verifier", "CREATE ROLE verifier LOGIN REPLICATION SUPERUSER")
	w.url = strings.Replace(w.url, "postgres://postgres@", "postgres://verifier@", 1)
	owners := w.manyItems(form.rows)
	w.config(ownedItems)
	began := time.Now()
	w.start()
	w.within(time.Hour, "the daemon is ready", w.ready)
	t.Logf("%d rows and %d owners were loaded in %s", form.rows, owners, time.Since(began).Round(time.Millisecond))
	load, lag := w.startWriters(form.rows, owners, form.pace), w.startLagMeter()
	w.idleCost(load, lag, min(time.Duration(form.rows/100)*time.Millisecond, time.Minute))
	for n := range form.runs {
		reports, ok := w.costOf(load, lag, fmt.Sprintf("run %d", n+1))
		for index, f := range reports {
			if compared := f.Documents.Compared; compared < form.rows || len(f.List) > 0 || f.Unsettled > 0 {
				t.Errorf("run %d, index %s: %+v", n+1, index, f)
			}
		}
		if !ok || len(reports) != 2 {
			t.Errorf("run %d: %d reports, content: %v", n+1, len(reports), ok)
		}
	}
	want := w.plantMany(form.rows, owners, form.planted)
	reports, ok := w.costOf(load, lag, "with what is planted", "--repair")
	for index, planted := range want {
		f := reports[index]
		if got := f.differences(); !slices.Equal(got, planted) {
			t.Errorf("verify of %s finds %d differences, planted are %d:%s", index, len(got), len(planted), apart(got, planted))
		}
		repaired := f.Documents.Repaired
		for _, c := range f.Stored {
			repaired += c.Repaired
		}
		if repaired != len(planted) {
			t.Errorf("%d differences of %s are repaired, of %d", repaired, index, len(planted))
		}
		t.Logf("verify of %s has found %d of %d differences, and repaired %d", index, len(f.List), len(planted), repaired)
	}
	if ok {
		t.Error("verify is content with what it has found")
	}
	if reports, ok := w.costOf(load, lag, "after repair"); !ok {
		t.Errorf("after repair: %+v", reports)
	}
	load.stop()
	w.settle()
	flat, joined := largeDocuments(w.server.Kind)
	w.compareIn(w.name, flat)
	w.compareIn(w.name+"-joined", joined)
}

// apart is what only one of two sorted lists has.
func apart(got, want []string) string {
	var b strings.Builder
	for _, d := range got {
		if _, both := slices.BinarySearch(want, d); !both && b.Len() < 2000 {
			b.WriteString("\nfound, not planted: " + d)
		}
	}
	for _, d := range want {
		if _, both := slices.BinarySearch(got, d); !both && b.Len() < 4000 {
			b.WriteString("\nplanted, not found: " + d)
		}
	}
	return b.String()
}

// A cost is what was used since the servers and the daemon began.
type cost struct {
	at             time.Time
	changed        int64         // rows, by the writers
	daemon         time.Duration // of processors
	calls, rows    int64         // of the daemon's statements on the source
	source         time.Duration // that these took there
	gets, searches int64         // of documents, and pages of lists, on the sink
	sink           time.Duration // of processors, in all
}

func (w *world) cost(load *writers) (c cost) {
	w.t.Helper()
	c.at, c.changed, c.daemon = time.Now(), load.changed.Load(), w.processorTime()
	var millis float64
	err := w.db.QueryRowContext(w.ctx, `SELECT sum(calls), sum(rows), sum(total_exec_time) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
		WHERE rolname = 'verifier'`).Scan(&c.calls, &c.rows, &millis)
	if err != nil {
		w.t.Fatal(err)
	}
	c.source = time.Duration(millis * float64(time.Millisecond))
	var stats struct {
		All struct {
			Total struct {
				Get    struct{ Total int64 }
				Search struct {
					Queries int64 `json:"query_total"`
					Scrolls int64 `json:"scroll_total"`
				}
			}
		} `json:"_all"`
		Nodes map[string]struct {
			Process struct {
				CPU struct {
					Total int64 `json:"total_in_millis"`
				}
			}
		}
	}
	for _, path := range []string{"/" + w.name + "*/_stats/get,search", "/_nodes/stats/process"} {
		if _, body := w.get(w.search.URL + path); json.Unmarshal(body, &stats) != nil {
			w.t.Fatalf("%s is answered %s", path, body)
		}
	}
	c.gets, c.searches = stats.All.Total.Get.Total, stats.All.Total.Search.Queries+stats.All.Total.Search.Scrolls
	for _, node := range stats.Nodes {
		c.sink += time.Duration(node.Process.CPU.Total) * time.Millisecond
	}
	return c
}

// logCost logs what was used since. The daemon's memory must have stayed at its limit.
func (w *world) logCost(what string, since, now cost, lag *lagMeter) {
	w.t.Helper()
	took := now.at.Sub(since.at)
	peak := w.resident("VmHWM:")
	w.t.Logf("%s: %s under %.0f changes a second; daemon %.1f s of processors, at most %d MiB; source %d statements, %d rows, %.1f s; sink %d documents read, %d pages listed, %.1f s of processors; %s",
		what, took.Round(time.Millisecond), float64(now.changed-since.changed)/took.Seconds(), (now.daemon - since.daemon).Seconds(), peak>>20,
		now.calls-since.calls, now.rows-since.rows, (now.source - since.source).Seconds(),
		now.gets-since.gets, now.searches-since.searches, (now.sink - since.sink).Seconds(), lag.take())
	if peak > 96<<20+16<<20 { // limits.max_memory, and what garbage is collected late
		w.t.Errorf("%s: the daemon took %d MiB", what, peak>>20)
	}
}

// idleCost logs what the daemon uses for the changes alone.
func (w *world) idleCost(load *writers, lag *lagMeter, lasts time.Duration) {
	w.t.Helper()
	lag.take()
	w.forgetPeak()
	since := w.cost(load)
	w.within(lasts+time.Minute, "the writers have written alone", func() bool { return time.Since(since.at) >= lasts })
	w.logCost("without verify", since, w.cost(load), lag)
}

// costOf runs verify and logs what it costs.
func (w *world) costOf(load *writers, lag *lagMeter, what string, args ...string) (map[string]found, bool) {
	w.t.Helper()
	lag.take()
	w.forgetPeak()
	since := w.cost(load)
	reports, ok := w.verify(args...)
	w.logCost(what, since, w.cost(load), lag)
	return reports, ok
}

// plantMany plants n differences of each kind, in items and owners that the writers leave alone, and returns what is
// to be found in each index.
func (w *world) plantMany(rows, owners, n int) map[string][]string {
	w.t.Helper()
	const kinds = 16
	used := 0
	items := func() (ids []int) { // from everywhere
		for range n {
			ids = append(ids, 10*(1+used*(rows/10-1)/(n*kinds)))
			used++
		}
		return ids
	}
	want := map[string][]string{}
	expect := func(index, format string, ids []int) {
		for _, id := range ids {
			want[index] = append(want[index], fmt.Sprintf(format, id))
		}
	}
	for _, index := range []string{w.name, w.name + "-joined"} {
		p := &planter{world: w, index: w.physicalOf(index)}
		if index == w.name {
			p.routing = func(id int) string { return fmt.Sprint(id % owners) }
			ids := items()
			p.bulk(ids, func(d *planted) { d.routing += "0" })
			expect(index, "different %d _routing", ids)
		}
		ids := items()
		p.bulk(ids, func(d *planted) { d.op = "delete" })
		expect(index, "missing %d", ids)
		ids = items()
		p.bulk(ids, func(d *planted) { d.id += 90_000_000 })
		for _, id := range ids {
			expect(index, "extra %d", []int{id + 90_000_000})
		}
		ids = items()
		p.bulk(ids, func(d *planted) { d.source["counter"] = 77 })
		expect(index, "different %d counter", ids)
		ids = items()
		p.older(ids)
		expect(index, "different %d counter", ids)
	}
	changed, lost, added, renamed := items(), items(), items(), []int{}
	for i := range added {
		added[i] += 80_000_000
	}
	for i := range n {
		renamed = append(renamed, 5+10*(i*(owners/10)/n))
	}
	renamed = slices.Compact(renamed) // there may be fewer owners
	w.plantUnlogged(changed, lost, added, renamed)
	expect(w.name, "different %d counter", changed)
	expect(w.name, "extra %d", lost)
	expect(w.name, "missing %d", added)
	expect(w.name+"-joined", "stored different %d counter", changed)
	expect(w.name+"-joined", "stored extra %d", lost)
	expect(w.name+"-joined", "stored missing %d", added)
	expect(w.name+"-joined", "stored different %d name", renamed)
	for _, all := range want {
		slices.Sort(all)
	}
	return want
}

func list(ids []int) string {
	var texts []string
	for _, id := range ids {
		texts = append(texts, fmt.Sprint(id))
	}
	return strings.Join(texts, ",")
}

// plantUnlogged changes and deletes items, adds others, and renames owners, without a word in the log: rows are killed on
// their pages, and those that the log knows to be gone come back.
func (w *world) plantUnlogged(changed, lost, added, renamed []int) {
	w.t.Helper()
	snapshot, err := w.db.BeginTx(w.ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = snapshot.Rollback() }()
	if _, err := snapshot.ExecContext(w.ctx, "SELECT count(*) FROM owner"); err != nil { // as long as it lives, no page loses a row
		w.t.Fatal(err)
	}
	w.exec("INSERT INTO item SELECT id, 0, 5 FROM unnest(ARRAY[" + list(added) + "]) id")
	of := func(table string, ids []int) (places string) {
		query := fmt.Sprintf("SELECT array_agg(ctid)::text FROM %s WHERE id IN (%s)", table, list(ids))
		if err := w.db.QueryRowContext(w.ctx, query).Scan(&places); err != nil {
			w.t.Fatal(err)
		}
		return places
	}
	back, gone, named := of("item", slices.Concat(changed, added)), of("item", lost), of("owner", renamed)
	w.exec("UPDATE item SET counter = 500 WHERE id IN ("+list(changed)+")", "DELETE FROM item WHERE id IN ("+list(added)+")",
		"UPDATE owner SET name = 'unseen' WHERE id IN ("+list(renamed)+")")
	after, names := of("item", changed), of("owner", renamed)
	end := w.logEnd()
	w.eventually("what the log says is delivered", func() bool { return w.passed(end) })
	do := func(what, table, places string) string {
		return fmt.Sprintf("SELECT heap_force_%s('%s'::regclass, '%s'::tid[])", what, table, places)
	}
	w.exec("CREATE EXTENSION pg_surgery", do("kill", "item", after), do("freeze", "item", back), do("kill", "item", gone),
		do("kill", "owner", names), do("freeze", "owner", named))
}

// A planter writes documents of an index by hand.
type planter struct {
	*world
	index   string
	routing func(id int) string // nil: none
}

// A planted is a document, as it is written.
type planted struct {
	op      string
	id      int
	routing string
	version int64 // 0: the next one
	source  map[string]any
}

// read gets documents, with the versions that they have.
func (p *planter) read(ids []int) (all []*planted) {
	p.t.Helper()
	for _, id := range ids {
		d := &planted{op: "index", id: id}
		path := fmt.Sprintf("%s/%s/_doc/%d", p.search.URL, p.index, id)
		if p.routing != nil {
			d.routing = p.routing(id)
			path += "?routing=" + d.routing
		}
		code, body := p.get(path)
		var answer struct {
			Version int64          `json:"_version"`
			Source  map[string]any `json:"_source"`
		}
		if err := json.Unmarshal(body, &answer); code != http.StatusOK || err != nil {
			p.t.Fatalf("document %d is not there: %d %s", id, code, body)
		}
		d.version, d.source = answer.Version, answer.Source
		all = append(all, d)
	}
	return all
}

// bulk writes documents as spoil makes them.
func (p *planter) bulk(ids []int, spoil func(*planted)) {
	p.t.Helper()
	all := p.read(ids)
	for _, d := range all {
		d.version = 0
		spoil(d)
	}
	if answer := p.write(all); answer != "" {
		p.t.Fatalf("planting is answered %s", answer)
	}
}

// write returns what is answered where some were not written.
func (p *planter) write(all []*planted) (wrong string) {
	p.t.Helper()
	var b strings.Builder
	for _, d := range all {
		meta := map[string]any{"_id": fmt.Sprint(d.id)}
		if d.routing != "" {
			meta["routing"] = d.routing
		}
		if d.version != 0 {
			meta["version"], meta["version_type"] = d.version, "external_gte"
		}
		lines := []any{map[string]any{d.op: meta}, d.source}
		if d.op == "delete" {
			lines = lines[:1]
		}
		for _, line := range lines {
			text, err := json.Marshal(line)
			if err != nil {
				p.t.Fatal(err)
			}
			b.Write(append(text, '\n'))
		}
	}
	if _, answer := p.request(http.MethodPost, p.search.URL+"/"+p.index+"/_bulk", b.String()); !strings.Contains(string(answer), `"errors":false`) {
		return string(answer)
	}
	return ""
}

// older puts documents back to an earlier state, with the version that it had. Their tombstones must go for that.
func (p *planter) older(ids []int) {
	p.t.Helper()
	all := p.read(ids)
	p.put(p.index, "/_settings", `{"index.gc_deletes":"0s"}`)
	p.bulk(ids, func(d *planted) { d.op = "delete" })
	for _, d := range all {
		d.version -= 1_000_000
		d.source["counter"] = 0
	}
	p.eventually("tombstones go, and earlier states are taken", func() bool {
		p.ask(http.MethodPost, "/"+p.index+"/_refresh", "")
		return p.write(all) == ""
	})
	p.put(p.index, "/_settings", `{"index.gc_deletes":"1h"}`)
}
