package sinktest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"haystream/sinks"
)

// searcher is the sink as one, where its Rules say that it is one.
func searcher(t *testing.T, s sinks.Sink) (sinks.Searcher, bool) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, ok := s.(sinks.Searcher)
	if ok != info.Rules.Searches {
		t.Fatalf("its rules say %t, and that it is a Searcher is %t", info.Rules.Searches, ok)
	}
	return found, ok
}

// searches asks about what is in an index.
func searches(t *testing.T, h Harness) {
	s := open(t, h, name())
	search, ok := searcher(t, s)
	if !ok {
		return
	}
	target := create(t, s, name())
	r := write(t, s)
	r.deliver(index(target, "1", 1, `{"n":1,"text":"one"}`), index(target, "2", 1, `{"n":20}`), index(target, "3", 1, `{"n":300}`), remove(target, "3", 2))
	r.close()
	if err := s.Finish(t.Context(), target.Physical); err != nil { // refreshes
		t.Fatal(err)
	}
	answer, err := search.Search(t.Context(), target.Index, []byte(`{"size":0,"track_total_hits":true,"query":{"query_string":{"query":"n:[1 TO 200]"}},"aggs":{"value":{"sum":{"field":"n"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Hits struct {
			Total struct {
				Value    int
				Relation string
			}
		}
		Aggregations struct{ Value struct{ Value float64 } }
	}
	if err := json.Unmarshal(answer, &found); err != nil || found.Hits.Total.Value != 2 || found.Hits.Total.Relation != "eq" || found.Aggregations.Value.Value != 21 {
		t.Errorf("a search answers %s, %v", answer, err)
	}

	for what, c := range map[string]struct{ alias, body, says string }{
		"a query that is none":  {target.Index, `{"query":{"query_string":{"query":"n:[1 TO"}}}`, "n:[1 TO"},
		"a field without order": {target.Index, `{"size":0,"aggs":{"value":{"terms":{"field":"text"}}}}`, "text"},
		"no alias":              {target.Index + "-gone", `{}`, target.Index + "-gone"},
	} {
		if _, err := search.Search(t.Context(), c.alias, []byte(c.body)); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "all shards failed") {
			t.Errorf("a search for %s: %v, want a reason with %q", what, err, c.says)
		}
	}
}

// shownMappings asks for those of what an alias shows.
func shownMappings(t *testing.T, h Harness) {
	s := open(t, h, name())
	search, ok := searcher(t, s)
	if !ok {
		return
	}
	target := create(t, s, name())
	all, err := search.Mappings(t.Context(), target.Index)
	if err != nil || len(all) != 1 {
		t.Fatalf("mappings %s, %v", all, err)
	}
	var mapping struct {
		Properties map[string]struct{ Type string }
	}
	if err := json.Unmarshal(all[0], &mapping); err != nil || mapping.Properties["n"].Type != "long" || mapping.Properties["text"].Type != "text" {
		t.Errorf("the mapping is %s, %v", all[0], err)
	}
	if none, err := search.Mappings(t.Context(), target.Index+"-gone"); err != nil || len(none) != 0 {
		t.Errorf("no alias has mappings %s, %v", none, err)
	}
}

// latestLetters asks for the reasons of dead letters.
func latestLetters(t *testing.T, h Harness) {
	pipeline := name()
	s := open(t, h, pipeline)
	search, ok := searcher(t, s)
	if !ok {
		return
	}
	target := create(t, s, name())
	ask := func(most int) []sinks.Refused {
		t.Helper()
		if _, err := s.DeadLetters(t.Context()); err != nil { // before which there may be none to search
			t.Fatal(err)
		}
		all, err := search.Refused(t.Context(), most)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := ask(10); len(all) != 0 {
		t.Errorf("before any: %v", all)
	}
	began := time.Now().Add(-time.Minute)
	r := write(t, s)
	r.deliver(reject(target, "a", 1, "no such template"))
	r.deliver(reject(target, "b", 1, "no such filter"))
	r.deliver(index(target, "c", 1, string(h.Refused)))
	if all := ask(10); len(all) != 3 {
		t.Errorf("dead letters are %v", all)
	}
	if all := ask(1); len(all) != 1 || all[0].ID != "c" || all[0].Index != target.Index || all[0].Type == "" || !strings.Contains(all[0].Reason, "n") || all[0].Time.Before(began) {
		t.Errorf("the latest dead letter is %v", all)
	}
	r.deliver(index(target, "c", 2, `{"n":2}`), remove(target, "b", 2))
	r.close()
	if all := ask(10); len(all) != 1 || all[0].ID != "a" || all[0].Reason != "no such template" {
		t.Errorf("what is left is %v", all)
	}
	other, _ := searcher(t, open(t, h, name()))
	if all, err := other.Refused(t.Context(), 10); err != nil || len(all) != 0 {
		t.Errorf("another pipeline has %v, %v", all, err)
	}
}
