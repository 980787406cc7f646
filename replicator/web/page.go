package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"haystream/internal/conf"
	"haystream/replicator/widgets"
)

// The page is one document: what it needs is in it.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	pages = template.Must(template.New("").Parse(pageHTML))

	// pagePolicy lets the page run and look like what it came with, and nothing else.
	pagePolicy = "default-src 'none'; style-src " + sourceHash(pageCSS) + "; script-src " + sourceHash(pageJS) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// parts are the page's parts that change, by their templates and elements.
var parts = []string{"state", "clock", "why", "widgets", "pipeline", "events", "sum", "indexes", "letters"}

const (
	pageEvery  = 2 * time.Second        // how often a page that is open is told what has changed
	pageWaits  = 700 * time.Millisecond // for widgets that are due
	firstWaits = 3 * time.Second        // for widgets that have no answer yet
)

// A page is what is shown, in words.
type page struct {
	Name, Version, State, Level, At string

	Why       []string
	Widgets   []shownWidget
	Facts     []fact
	Events    []fact // empty where no definition is over events
	Sum       string
	Indexes   []shownIndex
	Letters   []shownLetter
	LetterSum string

	CSS template.CSS
	JS  template.JS
}

// Levels of what is shown: each is a word beside its color.
const (
	good  = "good"
	watch = "watch"
	bad   = "bad"
)

type shownWidget struct {
	View    *widgets.View
	Figure  string
	Long    bool // the figure takes a smaller type
	Detail  string
	Trouble string
	Entries []shownEntry
	Chart   *chart
}

type shownEntry struct{ Label, Value string }

type fact struct {
	Name, Text, Level string
	Details           []string
	Spark             *chart
}

type shownIndex struct {
	Alias, State, Level, Detail, Written, Deleted, DeadLetters, Physical string
	Progress                                                             string // in percent; empty where there is none to show
	Dead                                                                 bool
}

type shownLetter struct{ ID, Index, Since, Type, Reason string }

// A front is what the page is made of. It makes it at most once a second, for however
// many look.
type front struct {
	daemon  Daemon
	board   *widgets.Board
	history history

	mu   sync.Mutex
	at   time.Time
	last map[string]string // the parts, as HTML
	page page
}

// look is the page now.
func (f *front) look(ctx context.Context) (page, map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil && time.Since(f.at) < time.Second {
		return f.page, f.last, nil
	}
	wait := pageWaits
	if f.last == nil {
		wait = firstWaits
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	p := f.compose(f.board.Views(ctx))
	all := map[string]string{}
	for _, name := range parts {
		var b bytes.Buffer
		if err := pages.ExecuteTemplate(&b, name, &p); err != nil {
			return p, nil, fmt.Errorf("write page: %w", err)
		}
		all[name] = strings.TrimSpace(b.String())
	}
	f.page, f.last, f.at = p, all, time.Now()
	return p, all, nil
}

// serve answers with the whole page.
func (f *front) serve(w http.ResponseWriter, r *http.Request) {
	p, _, err := f.look(r.Context())
	var b bytes.Buffer
	if err == nil {
		p.CSS, p.JS = template.CSS(pageCSS), template.JS(pageJS) //nolint:gosec // they come with the program
		err = pages.ExecuteTemplate(&b, "page", &p)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	_, _ = w.Write(b.Bytes()) // the client went away
}

func (f *front) compose(views []widgets.View) page {
	st, why := f.daemon.Status(), Lines(f.daemon.NotReady())
	p := page{Name: st.Name, Version: st.Version, Why: why, At: time.Now().UTC().Format("15:04:05 UTC")}
	p.State, p.Level = headline(st, why, f.daemon.Unhealthy())
	for i := range views {
		p.Widgets = append(p.Widgets, showWidget(&views[i]))
	}
	p.Facts, p.Events = f.facts(st), eventFacts(st.Events)
	p.indexes(st)
	p.letters(st)
	return p
}

// headline is the state in a word or two.
func headline(st Status, why []string, unhealthy string) (text, level string) {
	switch {
	case st.State == "stopped":
		return "Stopped", bad
	case unhealthy != "":
		return capital(st.State) + ", needs attention", bad
	case st.State == "running" && len(why) == 0:
		return "Running", good
	case st.State == "running":
		return "Running, not ready", watch
	case st.State == "waiting", st.State == "paused":
		return capital(st.State), watch
	}
	return "Starting", watch
}

// capital is a word with a capital letter.
func capital(word string) string {
	return strings.ToUpper(word[:min(1, len(word))]) + word[min(1, len(word)):]
}

// longFigure is from how many characters on a number is set smaller.
const longFigure = 11

func showWidget(v *widgets.View) shownWidget {
	out := shownWidget{View: v, Figure: figure(v.Answer.Value), Detail: v.Detail()}
	out.Long = len(out.Figure) >= longFigure
	if v.Answer.Note != "" {
		out.Detail = strings.TrimPrefix(out.Detail+"; "+v.Answer.Note, "; ")
	}
	switch {
	case !v.Known() && v.Err == nil:
		out.Detail = "being asked for"
	case v.Err != nil && v.Known():
		out.Trouble = "As of " + v.Answer.UpdatedAt.Format("2 Jan 15:04:05") + ". Since " + v.Since.Format("15:04:05") + ": " + v.Err.Error()
	case v.Err != nil:
		out.Trouble = v.Err.Error()
	}
	for _, e := range v.Answer.List {
		out.Entries = append(out.Entries, shownEntry{Label: label(e.Label), Value: figure(e.Value)})
	}
	if v.Kind == widgets.KindGraph && v.Known() {
		out.Chart = graph(v)
	}
	return out
}

// label is an entry's: a text, or a number as it is.
func label(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return cmp.Or(text, "(empty)")
	}
	return string(raw)
}

// facts are what is known of both ends and of what is between.
func (f *front) facts(st Status) []fact {
	source := fact{Name: "Source", Text: "not connected yet"}
	if st.Source.Kind != "" {
		version, build, _ := strings.Cut(st.Source.Version, " (")
		source.Text = st.Source.Kind + " " + version
		source.Details = []string{st.Source.Address}
		if build != "" {
			source.Details = append(source.Details, strings.TrimSuffix(build, ")"))
		}
	}
	sink := fact{Name: "Sink", Text: "not connected yet"}
	if st.Sink.Kind != "" {
		sink.Text, sink.Details = st.Sink.Kind+" "+st.Sink.Version, []string{st.Sink.Address}
	}
	if !st.Sink.Healthy {
		sink.Level, sink.Details = bad, append(sink.Details, "does not take documents")
	}
	lag := fact{Name: "Behind the source", Text: lasting(seconds(st.Source.LagSeconds))}
	if st.Source.LagSeconds == 0 {
		lag.Text = "nothing"
	}
	if st.Source.LagBytes >= 0 {
		lag.Details = append(lag.Details, size(st.Source.LagBytes)+" of log")
	}
	if st.Source.RetainedBytes >= 0 {
		lag.Details = append(lag.Details, size(st.Source.RetainedBytes)+" kept by the server")
	}
	late := f.history.lag()
	lag.Spark = spark("s-lag", "Behind the source", late, func(s float64) string { return lasting(seconds(s)) })
	changes := f.history.rate(func(s *sample) int64 { return s.changes })
	documents := f.history.rate(func(s *sample) int64 { return s.documents })
	facts := []fact{
		source, sink, lag,
		{Name: "Changes a second", Text: perSecond(changes.now()), Details: []string{whole(st.Source.Changes) + " since the start"}, Spark: spark("s-changes", "Changes a second", changes, perSecond)},
		{Name: "Documents a second", Text: perSecond(documents.now()), Spark: spark("s-documents", "Documents a second", documents, perSecond)},
	}
	if store := st.Store; store != nil {
		row := fact{Name: "Row store", Text: conf.Bytes(store.Bytes).String(), Details: []string{conf.Bytes(store.MemoryBytes).String() + " in memory"}}
		if store.Pending > 0 {
			row.Details = append(row.Details, whole(store.Pending)+" documents on their way")
		}
		facts = append(facts, row)
	}
	return append(facts, fact{Name: "Up", Text: lasting(time.Since(st.Since)), Details: []string{"since " + st.Since.UTC().Format("2 Jan 2006 15:04 UTC")}})
}

// eventFacts are what is known of events on their way; none where there is no queue.
func eventFacts(e *EventsStatus) []fact {
	if e == nil {
		return nil
	}
	waiting := fact{Name: "Waiting", Text: whole(e.Waiting)}
	if e.Waiting > 0 {
		waiting.Details = []string{"the oldest for " + lasting(seconds(e.OldestSeconds))}
	}
	queue := fact{Name: "Queue on disk", Text: conf.Bytes(e.QueueBytes).String()}
	if e.MaxQueueBytes > 0 {
		queue.Details = []string{fmt.Sprintf("%.0f %% of %s", float64(e.QueueBytes)/float64(e.MaxQueueBytes)*100, conf.Bytes(e.MaxQueueBytes))}
	}
	if e.Room != "" {
		queue.Level, queue.Details = watch, append(queue.Details, e.Room)
	}
	if e.Refuses {
		queue.Level = bad
	}
	refused := fact{Name: "Refused", Text: "none"}
	total := int64(0)
	for _, reason := range slices.Sorted(maps.Keys(e.Refused)) {
		if n := e.Refused[reason]; n > 0 {
			total += n
			refused.Details = append(refused.Details, whole(n)+" "+reason)
		}
	}
	if total > 0 {
		refused.Text, refused.Level = whole(total), watch
	}
	facts := []fact{
		{Name: "State", Text: capital(e.State)},
		waiting, queue,
		{Name: "Taken", Text: whole(e.Accepted), Details: []string{whole(e.Delivered) + " delivered, since the start"}},
		refused,
	}
	if e.State != "running" {
		facts[0].Level = watch
		if e.Reason != "" {
			facts[0].Details = []string{e.Reason}
		}
	}
	if e.LostBytes > 0 {
		facts = append(facts, fact{Name: "Lost", Text: conf.Bytes(e.LostBytes).String(), Level: bad, Details: []string{"that the disk did not give back"}})
	}
	return facts
}

func (p *page) indexes(st Status) {
	var live, loading, rebuilding int
	for i := range st.Indexes {
		index := &st.Indexes[i]
		line := shownIndex{
			Alias: index.Alias, State: "Live", Level: good, Written: whole(index.Written), Deleted: whole(index.Deleted),
			DeadLetters: whole(index.DeadLetters), Dead: index.DeadLetters > 0, Physical: index.Physical,
		}
		s := index.Snapshot
		switch {
		case s.State == "running" && (index.Building == "" || index.Physical == ""):
			line.State, line.Level = "Loading", watch
			loading++
		case s.State == "running" || index.Building != "":
			line.State, line.Level = "Rebuilding", watch
			rebuilding++
		default:
			live++
		}
		if s.State == "running" {
			line.progress(s)
		}
		if index.Building != "" && index.Building != index.Physical {
			line.Physical = strings.TrimPrefix(line.Physical+" → "+index.Building, " → ")
		}
		p.Indexes = append(p.Indexes, line)
	}
	for _, n := range []struct {
		count int
		word  string
	}{{live, "live"}, {loading, "loading"}, {rebuilding, "rebuilding"}} {
		if n.count > 0 {
			p.Sum = strings.TrimPrefix(fmt.Sprintf("%s, %d %s", p.Sum, n.count, n.word), ", ")
		}
	}
}

func (line *shownIndex) progress(s SnapshotStatus) {
	part := 0.0
	line.Detail = whole(s.RowsDone) + " rows"
	if s.Estimated() {
		part = float64(s.RowsDone) / float64(s.RowsEstimated)
		line.Detail = fmt.Sprintf("%.0f %%, %s of about %s rows", part*100, whole(s.RowsDone), whole(s.RowsEstimated))
	}
	line.Progress = coordinate(part * 100)
	if s.ETASeconds >= 0 {
		line.Detail += ", " + lasting(seconds(s.ETASeconds).Round(time.Second)) + " left"
	}
}

// longestReason is how many characters of one are shown.
const longestReason = 600

func (p *page) letters(st Status) {
	total := int64(0)
	for _, index := range st.Indexes {
		total += index.DeadLetters
	}
	for _, r := range st.Refused {
		reason := []rune(r.Reason)
		if len(reason) > longestReason {
			reason = append(reason[:longestReason], '…')
		}
		p.Letters = append(p.Letters, shownLetter{ID: r.ID, Index: r.Index, Since: r.Time.UTC().Format("2 Jan 15:04:05"), Type: r.Type, Reason: string(reason)})
	}
	p.LetterSum = whole(max(total, int64(len(p.Letters)))) + " open"
	if total > int64(len(p.Letters)) {
		p.LetterSum += fmt.Sprintf(", the latest %d of them", len(p.Letters))
	}
}
