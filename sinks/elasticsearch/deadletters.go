package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"haystream/internal/backoff"
	"haystream/sinks"
	"haystream/sinks/bulk"
	"haystream/sinks/deadletters"
)

const (
	lettersIndex  = "haystream-dead-letters"
	indexNotFound = "index_not_found_exception"
	noShard       = "no_shard_available_action_exception"
	strictMapping = "strict_dynamic_mapping_exception"

	// maxLetterBody is the largest document kept in a dead letter, in bytes.
	maxLetterBody = 8 << 20

	lettersPage = 1000
)

// lettersSpec keeps what a person searches by, and the document only as it is.
const lettersSpec = `{
	"settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "index.gc_deletes": "1h"},
	"aliases": {"haystream-dead-letters-write": {}},
	"mappings": {"dynamic": "strict", "properties": {
		"owner": {"type": "keyword"}, "index": {"type": "keyword"}, "physical": {"type": "keyword"}, "doc_id": {"type": "keyword", "ignore_above": 8191},
		"version": {"type": "long"}, "op": {"type": "keyword"}, "type": {"type": "keyword"}, "reason": {"type": "text"}, "time": {"type": "date"}, "routing": {"type": "keyword"},
		"body": {"type": "keyword", "index": false, "doc_values": false}}}}`

// createLetters makes the index of dead letters with its write alias, and gives one that an
// earlier version has made the fields that it lacks.
func (s *Sink) createLetters(ctx context.Context) error {
	existed, err := s.ensure(ctx, lettersIndex, lettersSpec)
	if err != nil || !existed {
		return err
	}
	if err := s.client.call(ctx, http.MethodPut, "/"+lettersIndex+"/_mapping", []byte(`{"properties":{"routing":{"type":"keyword"}}}`), nil); err != nil {
		return fmt.Errorf("map index %s: %w", lettersIndex, err)
	}
	return nil
}

// ensure makes one of the sink's own indexes, or gives an existing one its write alias back.
func (s *Sink) ensure(ctx context.Context, name, spec string) (existed bool, err error) {
	err = s.client.call(ctx, http.MethodPut, "/"+name, []byte(spec), nil)
	if existed = isType(err, alreadyExists); existed {
		err = s.alter(ctx, aliasAction{Add: &aliasTarget{Index: name, Alias: sinks.WriteAlias(name)}})
	}
	if err != nil {
		return existed, fmt.Errorf("create index %s: %w", name, err)
	}
	return existed, nil
}

// bury makes a dead letter of an action that is refused for good.
func (l *lane) bury(e entry, ans *answer) error {
	s, a := l.w.sink, e.action
	l.key = deadletters.AppendKey(l.key[:0], a.Target.Physical, a.ID)
	if !s.open.Add(l.key, a.Version, a.Op == sinks.OpDelete) {
		return s.tooMany()
	}
	typ, reason := ans.typ, ans.reason
	switch {
	case ans.failureStore:
		typ, reason = deadletters.FailureStore, "the server put the document into a failure store instead of its index"
	case ans.status == http.StatusRequestEntityTooLarge:
		typ, reason = deadletters.TooLarge, fmt.Sprintf("the server takes no request of %d bytes", l.request.size)
	}
	letter := deadletters.New(s.opts.Owner, a, typ, reason, time.Now())
	if letter.Type == deadletters.TooLarge || ans.bodyless || len(letter.Body) > maxLetterBody {
		letter.Body = ""
	}
	a.Target.DeadLetters.Add(1)
	s.log.Warn().Str("index", a.Target.Index).Str("doc_id", letter.DocID).Str("type", letter.Type).Msg("document refused; kept as a dead letter")
	l.letters = append(l.letters, entry{of: e.of, action: &sinks.Action{
		Target: &l.w.letters, Op: sinks.OpIndex, Version: a.Version, ID: []byte(letter.ID()), Body: letter.JSON(),
	}})
	return nil
}

// hold is done with an action that is held; where its document has a dead
// letter, that one must be cleared first.
func (l *lane) hold(e entry) {
	if !l.w.sink.open.Empty() {
		a := e.action
		l.key = deadletters.AppendKey(l.key[:0], a.Target.Physical, a.ID)
		if l.w.sink.open.Clear(l.key, a.Version, a.Op == sinks.OpDelete) {
			l.letters = append(l.letters, entry{of: e.of, action: &sinks.Action{
				Target: &l.w.letters, Op: sinks.OpDelete, Version: a.Version, ID: []byte(deadletters.ID(a.Target.Physical, string(a.ID))),
			}})
			return
		}
	}
	l.w.held(e.of)
}

// settleLetters applies answers to writes of dead letters: nothing about them
// is refused for good, except that one too large goes without its document.
func (l *lane) settleLetters(sent []entry, answers []answer) (int, *trouble, error) {
	kept := 0
	var t *trouble
	for i, e := range sent {
		ans := &answers[i]
		switch v := judge(ans, e.action); v {
		case delivered, superseded:
			l.w.held(e.of)
			continue
		case dropped:
			t = &trouble{verdict: blocked, reason: "an ingest pipeline drops dead letters; " + noPipeline(lettersIndex)}
		case impossible:
			if ans.status != http.StatusRequestEntityTooLarge || !withoutBody(e.action) {
				t = &trouble{verdict: blocked, typ: ans.typ, reason: fmt.Sprintf("dead letters cannot be written: %d %s; look at the index %s", ans.status, ans.typ, lettersIndex)}
			}
		default:
			t = worse(t, v, ans, e.action)
		}
		sent[kept] = e
		kept++
	}
	copy(sent[len(sent)-kept:], sent[:kept])
	return len(sent) - kept, t, nil
}

// noPipeline is the remedy where an ingest pipeline drops documents of the sink's own index.
func noPipeline(index string) string {
	return fmt.Sprintf(`take it out of the index's settings with PUT /%s/_settings {"index.default_pipeline":null,"index.final_pipeline":null}`, index)
}

// withoutBody takes the document out of a dead letter, and reports whether there was one.
func withoutBody(a *sinks.Action) bool {
	var letter deadletters.Letter
	if json.Unmarshal(a.Body, &letter) != nil || letter.Body == "" {
		return false
	}
	letter.Body = ""
	a.Body = letter.JSON()
	return true
}

func (s *Sink) tooMany() error {
	return fmt.Errorf("%w: more than limits.max_dead_letters (%d) are open; mend the rows or the mapping of the documents listed in the index %s, or raise the limit",
		sinks.ErrTooManyDeadLetters, s.opts.MaxDeadLetters, lettersIndex)
}

// loadOpen reads which dead letters are open, and tries until it is told.
func (w *writer) loadOpen(ctx context.Context) error {
	s := w.sink
	defer s.health.answers(0)
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		s.open.Reset()
		err := s.eachLetter(ctx, "", func(l *deadletters.Letter) error {
			if !s.open.Add(deadletters.AppendKey(nil, l.Physical, []byte(l.DocID)), l.Version, l.Deletes()) {
				return s.tooMany()
			}
			return nil
		})
		if err == nil || ctx.Err() != nil || errors.Is(err, sinks.ErrTooManyDeadLetters) {
			return errors.Join(err, ctx.Err())
		}
		s.health.waiting(0, "dead letters cannot be read: "+describe(err))
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
	}
}

// lettersQuery finds the pipeline's dead letters, of one physical index where
// that is not empty.
func (s *Sink) lettersQuery(physical string) map[string]any {
	filter := []any{map[string]any{"term": map[string]any{"owner": s.opts.Owner}}}
	if physical != "" {
		filter = append(filter, map[string]any{"term": map[string]any{"physical": physical}})
	}
	return map[string]any{"bool": map[string]any{"filter": filter}}
}

// search asks the index of dead letters as it is now. It returns false where
// there is no such index.
func (s *Sink) search(ctx context.Context, query map[string]any, out any) (bool, error) {
	body, err := json.Marshal(query)
	if err != nil {
		return false, err
	}
	err = s.client.call(ctx, http.MethodPost, "/"+lettersIndex+"/_search?allow_partial_search_results=false", body, out)
	if isType(err, indexNotFound) {
		return false, nil
	}
	return err == nil, err
}

// refreshLetters makes all dead letters visible to search.
func (s *Sink) refreshLetters(ctx context.Context) error {
	err := s.client.call(ctx, http.MethodPost, "/"+lettersIndex+"/_refresh", nil, nil)
	if isType(err, indexNotFound) {
		return nil
	}
	return err
}

// eachLetter calls each for the pipeline's dead letters, without their documents.
func (s *Sink) eachLetter(ctx context.Context, physical string, each func(*deadletters.Letter) error) error {
	if err := s.refreshLetters(ctx); err != nil {
		return fmt.Errorf("refresh dead letters: %w", err)
	}
	query := map[string]any{
		"size": lettersPage, "query": s.lettersQuery(physical), "sort": []string{"physical", "doc_id"},
		"_source": []string{"physical", "doc_id", "version", "op"},
	}
	for {
		var page struct {
			Hits struct {
				Hits []struct {
					Source deadletters.Letter `json:"_source"`
					Sort   json.RawMessage    `json:"sort"`
				} `json:"hits"`
			} `json:"hits"`
		}
		if found, err := s.search(ctx, query, &page); err != nil || !found {
			return err
		}
		for i := range page.Hits.Hits {
			if err := each(&page.Hits.Hits[i].Source); err != nil {
				return err
			}
		}
		n := len(page.Hits.Hits)
		if n < lettersPage {
			return nil
		}
		query["search_after"] = page.Hits.Hits[n-1].Sort
	}
}

// DeadLetters implements sinks.Sink.
func (s *Sink) DeadLetters(ctx context.Context) (map[string]int64, error) {
	if err := s.refreshLetters(ctx); err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	var answer struct {
		Aggregations struct {
			Physical struct {
				Buckets []struct {
					Key   string `json:"key"`
					Count int64  `json:"doc_count"`
				} `json:"buckets"`
			} `json:"physical"`
		} `json:"aggregations"`
	}
	_, err := s.search(ctx, map[string]any{
		"size": 0, "query": s.lettersQuery(""),
		"aggs": map[string]any{"physical": map[string]any{"terms": map[string]any{"field": "physical", "size": 10_000}}},
	}, &answer)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	counts := map[string]int64{}
	for _, b := range answer.Aggregations.Physical.Buckets {
		counts[b.Key] = b.Count
	}
	return counts, nil
}

// Refused implements sinks.Searcher.
func (s *Sink) Refused(ctx context.Context, most int) ([]sinks.Refused, error) {
	page, err := s.lettersPage(ctx, s.lettersQuery(""), most, "")
	return page.Letters, err
}

// dropLetters deletes the dead letters of a physical index.
func (s *Sink) dropLetters(ctx context.Context, physical string) error {
	var lines []byte
	err := s.eachLetter(ctx, physical, func(l *deadletters.Letter) error {
		lines = append(lines, `{"delete":{"_id":`...)
		lines = bulk.AppendString(lines, l.ID())
		lines = append(lines, "}}\n"...)
		return nil
	})
	s.open.Drop(physical)
	if err != nil || len(lines) == 0 {
		return err
	}
	var answer struct {
		Items []map[string]struct {
			Status int
			Error  json.RawMessage
		}
	}
	if err := s.client.call(ctx, http.MethodPost, "/"+lettersIndex+"/_bulk?refresh=true", lines, &answer); err != nil {
		return err
	}
	for _, item := range answer.Items {
		for _, a := range item {
			if a.Status/100 != 2 && a.Status != http.StatusNotFound {
				return fmt.Errorf("delete a dead letter: the server answers %d %s", a.Status, bytes.TrimSpace(a.Error))
			}
		}
	}
	return nil
}
