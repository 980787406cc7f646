package widgets

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"haystream/mapping"
	"haystream/sinks"
)

const (
	fresh         = 3 * time.Second // for how long an answer is shown without asking again
	searchTimeout = 10 * time.Second
	mostSearches  = 2 // at a time
)

// A Board answers for all widgets of a configuration. Its goroutines are searches under
// way, all of which have ended when Close returns.
type Board struct {
	widgets []*widget
	sink    sinks.Searcher
	zone    *time.Location
	now     func() time.Time

	ctx      context.Context // of searches: many may wait for one, so that none of them ends it
	end      context.CancelFunc
	searches sync.WaitGroup
	limit    *semaphore.Weighted
}

// A widget and the last that was learned of it.
type widget struct {
	name   string
	config *Config
	alias  string

	mu     sync.Mutex
	last   Answer
	err    error         // why there is nothing newer; nil where last is well
	since  time.Time     // since when err is so
	asked  time.Time     // when the last search ended
	flight chan struct{} // closed when the search under way ends; nil without one
}

// NewBoard makes a board of the widgets, in the order of their names. sink is nil where it cannot be
// searched, and there are no widgets.
func NewBoard(widgets Set, names []string, set mapping.Set, sink sinks.Searcher) (*Board, error) {
	zone, err := time.LoadLocation(set.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("read time_zone: %w", err)
	}
	b := &Board{sink: sink, zone: zone, now: time.Now, limit: semaphore.NewWeighted(mostSearches)}
	b.ctx, b.end = context.WithCancel(context.Background())
	if sink == nil {
		return b, nil
	}
	for _, name := range names {
		b.widgets = append(b.widgets, &widget{name: name, config: widgets[name], alias: set.Alias(widgets[name].Index)})
	}
	return b, nil
}

// Close ends searches under way. Nothing is answered anew after it.
func (b *Board) Close() {
	b.end()
	b.searches.Wait()
}

// A View is a widget as it is now. Err says why its answer is older than it should be;
// without an answer its UpdatedAt is zero.
type View struct {
	Name    string
	Kind    string
	Title   string
	Index   string // the definition
	Compare Span
	Every   string // of a graph
	Zone    *time.Location
	Answer  Answer
	Err     error
	Since   time.Time // since when Err is so
}

// Known reports whether the widget has ever been answered.
func (v *View) Known() bool { return !v.Answer.UpdatedAt.IsZero() }

// Views are all widgets. A search that takes longer than ctx lasts goes on, and the
// last answer stands for it.
func (b *Board) Views(ctx context.Context) []View {
	flights := make([]chan struct{}, len(b.widgets))
	for i, w := range b.widgets {
		flights[i] = b.refresh(w)
	}
	views := make([]View, len(b.widgets))
	for i, w := range b.widgets {
		wait(ctx, flights[i])
		views[i] = b.view(w)
	}
	return views
}

// List are all widgets, as they were last known.
func (b *Board) List() []View {
	views := make([]View, len(b.widgets))
	for i, w := range b.widgets {
		views[i] = b.view(w)
	}
	return views
}

// View is one widget; nil where there is none of that name.
func (b *Board) View(ctx context.Context, name string) *View {
	for _, w := range b.widgets {
		if w.name == name {
			wait(ctx, b.refresh(w))
			view := b.view(w)
			return &view
		}
	}
	return nil
}

func wait(ctx context.Context, flight chan struct{}) {
	if flight == nil {
		return
	}
	select {
	case <-flight:
	case <-ctx.Done():
	}
}

func (b *Board) view(w *widget) View {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := View{
		Name: w.name, Kind: w.config.Kind(), Title: w.config.Title, Index: w.config.Index, Compare: w.config.Compare, Zone: b.zone,
		Answer: w.last, Err: w.err, Since: w.since,
	}
	if v.Title == "" {
		v.Title = w.name
	}
	if w.config.Graph != nil {
		v.Every = w.config.Graph.Interval()
	}
	v.Answer.Title = v.Title
	return v
}

// refresh asks the sink where that is due, and returns what is closed when the search under way ends.
func (b *Board) refresh(w *widget) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flight != nil || b.ctx.Err() != nil || b.now().Sub(w.asked) < fresh {
		return w.flight
	}
	flight := make(chan struct{})
	w.flight = flight
	b.searches.Go(func() {
		answer, err := b.ask(w)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked, w.flight = b.now(), nil
		switch {
		case err == nil:
			w.last, w.err = answer, nil
		case b.ctx.Err() != nil: // the daemon ends
		default:
			if w.err == nil {
				w.since = w.asked.In(b.zone)
			}
			w.err = err
		}
		close(flight)
	})
	return flight
}

// errNoIndex means that the first session has not made the index yet, or that somebody has deleted it.
var errNoIndex = errors.New("there is no such index yet")

// ask makes the widget's search.
func (b *Board) ask(w *widget) (Answer, error) {
	if err := b.limit.Acquire(b.ctx, 1); err != nil {
		return Answer{}, err
	}
	defer b.limit.Release(1)
	ctx, cancel := context.WithTimeoutCause(b.ctx, searchTimeout, fmt.Errorf("the server has not answered for %s", searchTimeout))
	defer cancel()
	at := b.now()
	answer, err := b.search(ctx, w)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	answer.UpdatedAt = at.In(b.zone)
	return answer, err
}

// search reads the mapping each time: an alias may have come to show an index in which a
// field is another one, and an aggregation over a field that is not there finds nothing.
func (b *Board) search(ctx context.Context, w *widget) (Answer, error) {
	fields, err := b.read(ctx, w)
	if err != nil {
		return Answer{}, err
	}
	q := &question{config: w.config, fields: fields, zone: b.zone.String()}
	body, err := q.body()
	if err != nil {
		return Answer{}, fmt.Errorf("write search: %w", err)
	}
	found, err := b.sink.Search(ctx, w.alias, body)
	if err != nil {
		return Answer{}, err
	}
	return q.read(found)
}

// read is the fields of the indexes that the alias shows, as far as the widget names them.
func (b *Board) read(ctx context.Context, w *widget) (*Fields, error) {
	mappings, err := b.sink.Mappings(ctx, w.alias)
	if err != nil {
		return nil, err
	}
	if len(mappings) == 0 {
		return nil, errNoIndex
	}
	fields := &Fields{named: map[string]*Field{}}
	for _, m := range mappings {
		if err := fields.merge(m); err != nil {
			return nil, err
		}
	}
	c := &checker{}
	for _, use := range w.config.uses() {
		c.use(use.setting, w.config, use, fields)
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return fields, nil
}
