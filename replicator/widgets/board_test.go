package widgets

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"haystream/mapping"
	"haystream/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A counter is a sink that counts searches, each of which waits for a word.
type counter struct {
	asked, under, most atomic.Int64
	let                chan error
}

func (c *counter) Search(ctx context.Context, _ string, _ []byte) (json.RawMessage, error) {
	c.most.Store(max(c.most.Load(), c.under.Add(1)))
	defer c.under.Add(-1)
	n := c.asked.Add(1)
	select {
	case err := <-c.let:
		return json.RawMessage(`{"hits":{"total":{"value":` + string('0'+rune(n)) + `}}}`), err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *counter) Mappings(context.Context, string) ([]json.RawMessage, error) {
	return []json.RawMessage{json.RawMessage(`{"properties":{}}`)}, nil
}

func (c *counter) Refused(context.Context, int) ([]sinks.Refused, error) { return nil, nil }

func newBoard(t *testing.T, sink *counter, names ...string) (*Board, *atomic.Int64) {
	t.Helper()
	all := Set{}
	for _, name := range names {
		all[name] = &Config{Index: "notes"}
	}
	b, err := NewBoard(all, names, mapping.Set{}, sink)
	if err != nil {
		t.Fatal(err)
	}
	passed := &atomic.Int64{}
	start := time.Now()
	b.now = func() time.Time { return start.Add(time.Duration(passed.Load())) }
	t.Cleanup(b.Close)
	return b, passed
}

// TestManyWhoAskMakeOneSearch: at the same time, and for some seconds after.
func TestManyWhoAskMakeOneSearch(t *testing.T) {
	sink := &counter{let: make(chan error)}
	b, passed := newBoard(t, sink, "all")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if v := b.View(t.Context(), "all"); string(v.Answer.Value) != "1" {
				t.Errorf("got %s", v.Answer.Value)
			}
		})
	}
	sink.let <- nil
	all.Wait()
	b.View(t.Context(), "all")
	if n := sink.asked.Load(); n != 1 {
		t.Errorf("there were %d searches", n)
	}
	passed.Add(int64(fresh))
	go func() { sink.let <- nil }()
	if v := b.View(t.Context(), "all"); string(v.Answer.Value) != "2" {
		t.Errorf("after %s: got %s", fresh, v.Answer.Value)
	}
}

// TestFailingSearchKeepsTheLastAnswer: with the reason, and since when, until one succeeds.
func TestFailingSearchKeepsTheLastAnswer(t *testing.T) {
	sink := &counter{let: make(chan error, 1)}
	b, passed := newBoard(t, sink, "all")
	ask := func(err error) *View {
		sink.let <- err
		passed.Add(int64(fresh))
		return b.View(t.Context(), "all")
	}
	if v := ask(errors.New("away")); v.Known() || v.Err == nil {
		t.Errorf("got %+v", v)
	}
	first := ask(nil)
	since := ask(errors.New("away")).Since
	v := ask(errors.New("still away"))
	if v.Err == nil || v.Err.Error() != "still away" || !v.Since.Equal(since) || string(v.Answer.Value) != string(first.Answer.Value) || !v.Answer.UpdatedAt.Equal(first.Answer.UpdatedAt) {
		t.Errorf("got %+v, first %+v, since %s", v, first, since)
	}
	if v := ask(nil); v.Err != nil || string(v.Answer.Value) != "5" {
		t.Errorf("got %+v", v)
	}
}

// TestFewSearchesAtATime: and whoever does not wait for them gets what is known.
func TestFewSearchesAtATime(t *testing.T) {
	sink := &counter{let: make(chan error)}
	b, _ := newBoard(t, sink, "a", "b", "c", "d", "e")
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, v := range b.Views(gone) {
		if v.Known() {
			t.Errorf("%s is known", v.Name)
		}
	}
	for range 5 {
		sink.let <- nil
	}
	for _, v := range b.Views(t.Context()) {
		if !v.Known() {
			t.Errorf("%s is not known", v.Name)
		}
	}
	if most := sink.most.Load(); most > mostSearches {
		t.Errorf("there were %d searches at a time", most)
	}
}

// TestCheckQuery: what a server takes without a word, and can find nothing.
func TestCheckQuery(t *testing.T) {
	for query, want := range map[string]string{
		"n:>":                          "widgets.w.query: nothing stands behind the < or > of the field n",
		"m:[1 TO 2] AND (a:b OR n:<=)": "widgets.w.query: nothing stands behind the < or > of the field n",
		"n:(>1 AND <)":                 "widgets.w.query: nothing stands behind the < or > of the field n",
		"n:>1":                         "",
		"n:<\"x\"":                     "",
		"(n:1":                         "", // the server says so
	} {
		got := ""
		w := &Config{Index: "notes", Query: Query{Lucene: query}}
		if err := (Set{"w": w}).Check(map[string]*mapping.Definition{"notes": nil}).Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	indexes := []*mapping.Index{{Alias: "notes", Mappings: json.RawMessage(`{"dynamic":"strict","properties":{
		"title":{"type":"text"},"author":{"type":"text","fields":{"keyword":{"type":"keyword"}}},"total":{"type":"scaled_float","scaling_factor":100},
		"created":{"type":"date"},"hidden":{"type":"keyword","doc_values":false},"comments":{"type":"nested","properties":{"author":{"type":"keyword"}}},
		"doc":{"type":"object","dynamic":true},"user":{"properties":{"name":{"type":"keyword"}}}}}`)}}
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"well":           {Config{Value: Value{Sum: "total"}, List: &List{By: "author"}, Query: Query{Lucene: "user.name:x AND created:>now-1d"}}, ""},
		"unknown below":  {Config{Value: Value{Sum: "doc.size"}}, ""},
		"sum of text":    {Config{Value: Value{Sum: "author"}}, "widgets.w.value.sum: the field author is of the type text; this takes a number"},
		"max of a date":  {Config{Value: Value{Max: "created"}}, ""},
		"no field":       {Config{Value: Value{Sum: "totl"}}, `widgets.w.value.sum: there is no field "totl" in the index notes; did you mean "total"?`},
		"words":          {Config{List: &List{By: "title"}}, "widgets.w.list.by: the field title is a text without a keyword sub-field, whose words and not whose values could be counted; give the field `type: keyword`, or `mapping: {fields: {keyword: {type: keyword}}}`"},
		"nested":         {Config{List: &List{By: "comments.author"}}, "widgets.w.list.by: the field comments.author is in the nested field comments, and widgets look at whole documents"},
		"no doc values":  {Config{List: &List{By: "hidden"}}, "widgets.w.list.by: the field hidden has doc_values: false, so that nothing can be computed of it"},
		"over no date":   {Config{Graph: &Graph{Over: "total"}}, "widgets.w.graph.over: the field total is of the type scaled_float; this takes a date"},
		"query's field":  {Config{Query: Query{Lucene: "autor:x"}}, `widgets.w.query: there is no field "autor" in the index notes; did you mean "author"?`},
		"of another one": {Config{Index: "others", Value: Value{Sum: "x"}}, ""},
	} {
		if c.config.Index == "" {
			c.config.Index = "notes"
		}
		got := ""
		if err := (Set{"w": &c.config}).Fit(mapping.Set{}, indexes).Err(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got\n%s, want\n%s", name, got, c.want)
		}
	}
}
