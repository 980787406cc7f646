package endtoend

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"haystream/internal/servers"
)

// widgetTable holds orders of the last three days, by some people, many at midnight in Berlin and around.
const widgetTable = `CREATE TABLE orders (id bigserial PRIMARY KEY, author varchar(100), remark text, total numeric(12,2), took integer, created timestamptz NOT NULL)`

const widgetRows = `INSERT INTO orders (author, remark, total, took, created)
	SELECT (ARRAY['Ada','Grace','Annie','Karen',NULL])[1 + (random()*random()*5)::int %% 5], (ARRAY['press a button','read','wrote'])[1 + i %% 3], (random()*1e6)::numeric(12,2), (random()*1000)::int,
		now() - random() * interval '3 days' FROM generate_series(1, %d) i`

// widgetConfig asks in each way that there is.
const widgetConfig = `  NAME: {table: orders, fields: "*"}
time_zone: Europe/Berlin
widgets:
  all: {title: Orders, index: NAME}
  day: {index: NAME, query: "remark:press AND created:>=now-1d", compare: 1d}
  today: {index: NAME, value: {sum: total}, query: "created:>=now/d", compare: 1d}
  raw: {index: NAME, value: {max: total}, query: {bool: {filter: [{range: {created: {gte: now-12h}}}, {term: {author: Ada}}]}}, compare: 12h}
  average: {index: NAME, value: {avg: took}}
  least: {index: NAME, value: {min: total}}
  latest: {index: NAME, value: {max: created}}
  known: {index: NAME, value: {count: author}}
  people: {index: NAME, value: {cardinality: author}}
  median: {index: NAME, value: {percentile: took}}
  nobody: {index: NAME, query: "author:Nobody", value: {avg: took}}
  authors: {index: NAME, list: {by: author, size: 3}}
  remarks: {index: NAME, list: {by: remark}, value: {sum: total}}
  hourly: {index: NAME, graph: {over: created, every: hour, last: 2d}}
  daily: {index: NAME, graph: {over: created, every: day, last: 2d}, value: {sum: total}, query: "author:Ada"}
`

// widgetAnswers are the same questions as SQL. $now is a moment.
var widgetAnswers = map[string]string{
	"all":     `SELECT json_build_object('value', count(*)) FROM orders`,
	"day":     `SELECT json_build_object('value', count(*) FILTER (WHERE created >= $now - interval '1 day'), 'before', count(*) FILTER (WHERE created >= $now - interval '2 days' AND created < $now - interval '1 day')) FROM orders WHERE remark = 'press a button'`,
	"today":   `SELECT json_build_object('value', coalesce(sum(total) FILTER (WHERE created >= $today), 0), 'before', coalesce(sum(total) FILTER (WHERE created >= $yesterday AND created < $now - interval '1 day'), 0)) FROM orders`,
	"raw":     `SELECT json_build_object('value', max(total) FILTER (WHERE created >= $now - interval '12 hours'), 'before', max(total) FILTER (WHERE created >= $now - interval '24 hours' AND created < $now - interval '12 hours')) FROM orders WHERE author = 'Ada'`,
	"least":   `SELECT json_build_object('value', min(total)) FROM orders`,
	"known":   `SELECT json_build_object('value', count(author)) FROM orders`,
	"people":  `SELECT json_build_object('value', count(DISTINCT author)) FROM orders`,
	"nobody":  `SELECT json_build_object('value', null)`,
	"authors": `SELECT json_build_object('data', json_agg(json_build_object('label', author, 'value', n))) FROM (SELECT author, count(*) n FROM orders WHERE author IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3) x`,
	"remarks": `SELECT json_build_object('data', json_agg(json_build_object('label', remark, 'value', n))) FROM (SELECT remark, sum(total) n FROM orders GROUP BY 1 ORDER BY 2 DESC) x`,
	"hourly": `SELECT json_build_object('value', sum(n), 'data', json_agg(json_build_object('x', extract(epoch FROM h)::bigint, 'y', n) ORDER BY h)) FROM (
		SELECT h, count(id) n FROM generate_series(date_trunc('hour', $now - interval '2 days'), $now, interval '1 hour') h LEFT JOIN orders ON created >= h AND created < h + interval '1 hour' AND created <= $now GROUP BY h) x`,
	"daily": `SELECT json_build_object('value', sum(n), 'data', json_agg(json_build_object('x', extract(epoch FROM d AT TIME ZONE 'Europe/Berlin')::bigint, 'y', n) ORDER BY d)) FROM (
		SELECT d, coalesce(sum(total), 0) n FROM generate_series($today_there - interval '2 days', $today_there, interval '1 day') d LEFT JOIN orders ON author = 'Ada' AND created AT TIME ZONE 'Europe/Berlin' >= d AND created AT TIME ZONE 'Europe/Berlin' < d + interval '1 day' AND created <= $now GROUP BY d) x`,
}

// TestWidgetsAnswerAsSQLDoes asks widgets while rows are written, and when no more are.
func TestWidgetsAnswerAsSQLDoes(t *testing.T) {
	w := newWorld(t)
	w.exec(widgetTable, fmt.Sprintf(widgetRows, 20_000))
	w.config(widgetConfig)
	w.start()
	w.settle()
	w.eventually("the index is loaded, and shown to searches", func() bool { return widgetValue(w, "all") == 20_000 })

	// While there are writers: no more than there is, and all that there was some seconds ago.
	stop := make(chan struct{})
	var writers sync.WaitGroup
	defer writers.Wait()
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	for range 2 {
		writers.Go(func() {
			pace := time.NewTicker(50 * time.Millisecond) // what a busy machine keeps up with
			defer pace.Stop()
			for {
				select {
				case <-stop:
					return
				case <-pace.C:
					if _, err := w.db.ExecContext(w.ctx, fmt.Sprintf(widgetRows, 20)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	rows := func() (n int64) {
		if err := w.db.QueryRowContext(w.ctx, "SELECT count(*) FROM orders").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.eventually("a widget has followed the writers", func() bool {
		least := rows()
		w.within(30*time.Second, "the widget shows what was there", func() bool {
			shown := widgetValue(w, "all")
			if most := rows(); shown > most {
				t.Fatalf("the widget shows %d rows, and there are %d", shown, most)
			}
			return shown >= least
		})
		return least > 22_000
	})
	end()
	writers.Wait()
	w.settle()
	w.request(http.MethodPost, w.search.URL+"/"+w.name+"/_refresh", "")
	for name, query := range widgetAnswers {
		// Windows that move lose rows while they are looked at: an answer that was right at some
		// moment between two looks at the database is right.
		w.within(time.Minute, name+" answers as SQL does", func() bool {
			before := sqlAnswer(w, query)
			shown, at := widgetAnswer(w, name)
			after := sqlAnswer(w, query)
			same := includes(shown, before) || includes(shown, after)
			if !same && time.Since(at) < time.Second {
				t.Logf("%s: shown %s, before %s, after %s", name, shown, before, after)
			}
			return same
		})
	}
	for name, want := range map[string]string{
		"average": `SELECT avg(took)::float8 FROM orders`, "median": `SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FROM orders`,
	} {
		var exact float64
		if err := w.db.QueryRowContext(w.ctx, want).Scan(&exact); err != nil {
			t.Fatal(err)
		}
		body, _ := widgetAnswer(w, name)
		var shown struct{ Value float64 }
		if err := json.Unmarshal(body, &shown); err != nil {
			t.Fatal(err)
		}
		if shown.Value < exact*0.999 || shown.Value > exact*1.001 {
			t.Errorf("%s: shown %v, and it is %v", name, shown.Value, exact)
		}
	}
	if body, _ := widgetAnswer(w, "latest"); !strings.Contains(string(body), `"value":"20`) {
		t.Errorf("the latest date is no date: %s", body)
	}
}

// TestWidgetsThatTheServerRefuses: a query that is no Lucene text, or no query DSL, is told with the server's reason in
// its widget, and holds up nothing else.
func TestWidgetsThatTheServerRefuses(t *testing.T) {
	w := newWorld(t)
	w.exec(widgetTable, fmt.Sprintf(widgetRows, 10))
	w.config(`  NAME: {table: orders, fields: "*"}
widgets:
  all: {index: NAME}
  open: {index: NAME, query: "(took:1"}
  compared: {index: NAME, query: "(created:>=now-1d", compare: 1d}
  dsl: {index: NAME, query: {terrm: {author: Ada}}}
`)
	w.start()
	w.settle()
	w.eventually("the index is shown to searches", func() bool { return widgetValue(w, "all") == 10 })
	_, page := w.get(fmt.Sprintf("http://127.0.0.1:%d/", w.port))
	for name, why := range map[string]string{
		"open":     "Failed to parse query [(took:1]",
		"compared": "Failed to parse query [(created:>=now-1d]", "dsl": "unknown query [terrm]",
	} {
		code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/widgets/%s", w.port, name))
		var answer struct{ Error string }
		if err := json.Unmarshal(body, &answer); err != nil || code != http.StatusServiceUnavailable || !strings.Contains(answer.Error, why) {
			t.Errorf("widget %s: %d %s; want 503 with %s", name, code, body, why)
		}
		if !strings.Contains(string(page), html.EscapeString(why)) {
			t.Errorf("the page does not say why %s has no answer: %s", name, page)
		}
	}
	w.exec(fmt.Sprintf(widgetRows, 5))
	w.settle()
	w.eventually("another widget goes on", func() bool { return widgetValue(w, "all") == 15 })
	if !w.ready() {
		t.Error("the daemon is not ready")
	}
}

func widgetAnswer(w *world, name string) (json.RawMessage, time.Time) {
	w.t.Helper()
	code, body := w.get(fmt.Sprintf("http://127.0.0.1:%d/widgets/%s", w.port, name))
	var answer struct {
		UpdatedAt time.Time `json:"updatedAt"`
		Error     string    `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || code != http.StatusOK || answer.Error != "" {
		w.t.Fatalf("widget %s: %d %s", name, code, body)
	}
	return body, answer.UpdatedAt
}

func widgetValue(w *world, name string) (n int64) {
	body, _ := widgetAnswer(w, name)
	var answer struct{ Value *int64 }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Value == nil {
		w.t.Fatalf("widget %s: %s", name, body)
	}
	return *answer.Value
}

// sqlAnswer is what the database answers now.
func sqlAnswer(w *world, query string) (out json.RawMessage) {
	w.t.Helper()
	query = strings.NewReplacer(
		"$today_there", "date_trunc('day', now() AT TIME ZONE 'Europe/Berlin')",
		"$today", "(date_trunc('day', now() AT TIME ZONE 'Europe/Berlin') AT TIME ZONE 'Europe/Berlin')",
		"$yesterday", "((date_trunc('day', now() AT TIME ZONE 'Europe/Berlin') - interval '1 day') AT TIME ZONE 'Europe/Berlin')",
		"$now", "now()",
	).Replace(query)
	if err := w.db.QueryRowContext(w.ctx, query).Scan(&out); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return out
}

// includes reports whether JSON has all members of other JSON, with the same values, numbers by their worth.
func includes(whole, part json.RawMessage) bool {
	var a, b any
	if json.Unmarshal(whole, &a) != nil || json.Unmarshal(part, &b) != nil {
		return false
	}
	var has func(a, b any) bool
	has = func(a, b any) bool {
		switch b := b.(type) {
		case map[string]any:
			object, ok := a.(map[string]any)
			for name, member := range b {
				ok = ok && has(object[name], member)
			}
			return ok
		case []any:
			list, ok := a.([]any)
			ok = ok && len(list) == len(b)
			for i := range b {
				ok = ok && has(list[i], b[i])
			}
			return ok
		}
		return a == b
	}
	return has(a, b)
}

// pageConfig is what the picture in docs/ shows.
const pageConfig = `  NAME: {table: orders, fields: "*"}
widgets:
  presses: {title: Button presses, index: NAME, query: "remark:press AND created:>=now-1d", compare: 1d}
  revenue: {title: Revenue today, index: NAME, value: {sum: total}, query: "created:>=now/d", compare: 1d}
  authors: {title: Top authors, index: NAME, list: {by: author, size: 5}}
  hourly: {title: Orders an hour, index: NAME, graph: {over: created, every: hour, last: 2d}}
`

// TestPageOfARunningDaemon looks at the page with Chromium while rows are written. With HAYSTREAM_SCREENSHOT set it
// writes what it sees to that file: the picture in docs/.
func TestPageOfARunningDaemon(t *testing.T) {
	browser := servers.Chromium(t)
	w := worldNamed(t, "shop", postgres.Get(t), search.Get(t))
	w.exec(widgetTable, fmt.Sprintf(widgetRows, 20_000),
		"DELETE FROM orders WHERE random() > 0.55 + 0.45 * sin(extract(epoch FROM created) / 86400 * 2 * pi())", // people sleep
		"UPDATE orders SET total = round(total / 10000, 2)")
	w.config(pageConfig)
	w.start()
	w.settle()
	w.eventually("the index is loaded, and shown to searches", func() bool { return widgetValue(w, "hourly") > 5000 })
	w.exec(fmt.Sprintf(widgetRows, 1000), "DELETE FROM orders WHERE id < 10")
	w.settle()
	page := fmt.Sprintf("http://127.0.0.1:%d/", w.port)
	dom, err := browser.DOM(t.Context(), page, servers.View{Width: 1280, Height: 900})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<span id="live" class="good">live</span>`, "Running", "postgres 15.", "elasticsearch 8.19", "Button presses", "against 1d before", "Ada", "points of an hour each", "1 live"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(dom)
	}
	if path := os.Getenv("HAYSTREAM_SCREENSHOT"); path != "" {
		if err := browser.Screenshot(t.Context(), page, path, servers.View{Width: 1280, Height: 1050}); err != nil {
			t.Fatal(err)
		}
	}
}
