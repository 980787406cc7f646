package elasticsearch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"haystream/sinks"
	"haystream/sinks/deadletters"
)

var _ sinks.Letters = (*Sink)(nil)

// forPeople is a dead letter for people, by its own id.
func forPeople(key string, l *deadletters.Letter) sinks.Refused {
	return sinks.Refused{
		Key: key, Index: l.Index, Physical: l.Physical, ID: l.DocID, Routing: l.Routing, Version: l.Version, Op: l.Op,
		Type: l.Type, Reason: l.Reason, Time: l.Time, Body: l.Body,
	}
}

// Letters implements sinks.Letters.
func (s *Sink) Letters(ctx context.Context, alias string, most int, after string) (page sinks.LettersPage, err error) {
	query := s.lettersQuery("")
	if alias != "" {
		query = map[string]any{"bool": map[string]any{"filter": []any{query, map[string]any{"term": map[string]any{"index": alias}}}}}
	}
	if err := s.refreshLetters(ctx); err != nil {
		return page, explained("list dead letters", err)
	}
	return s.lettersPage(ctx, query, most, after)
}

// lettersPage lists the dead letters that a query finds and a search sees.
func (s *Sink) lettersPage(ctx context.Context, query map[string]any, most int, after string) (page sinks.LettersPage, err error) {
	search := map[string]any{
		"size": most, "query": query, "track_total_hits": true,
		"sort":    []any{map[string]string{"time": "desc"}, map[string]string{"physical": "asc"}, map[string]string{"doc_id": "asc"}},
		"_source": map[string]any{"excludes": []string{"body"}},
	}
	if after != "" {
		place, err := base64.RawURLEncoding.DecodeString(after)
		if err != nil || !json.Valid(place) {
			return page, fmt.Errorf("%w: %q is not one", sinks.ErrPlace, after)
		}
		search["search_after"] = json.RawMessage(place)
	}
	var answer struct {
		Hits struct {
			Total struct{ Value int64 } `json:"total"`
			Hits  []struct {
				ID     string             `json:"_id"`
				Source deadletters.Letter `json:"_source"`
				Sort   json.RawMessage    `json:"sort"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if _, err := s.search(ctx, search, &answer); err != nil {
		return page, explained("list dead letters", err)
	}
	page.Total, page.Letters = answer.Hits.Total.Value, []sinks.Refused{}
	for i := range answer.Hits.Hits {
		h := &answer.Hits.Hits[i]
		page.Letters = append(page.Letters, forPeople(h.ID, &h.Source))
	}
	if n := len(page.Letters); n == most {
		page.Next = base64.RawURLEncoding.EncodeToString(answer.Hits.Hits[n-1].Sort)
	}
	return page, nil
}

// Letter implements sinks.Letters.
func (s *Sink) Letter(ctx context.Context, key string) (*sinks.Refused, error) {
	var found struct {
		Found  bool               `json:"found"`
		Source deadletters.Letter `json:"_source"`
	}
	err := s.client.call(ctx, http.MethodGet, "/"+lettersIndex+"/_doc/"+url.PathEscape(key), nil, &found)
	if e, ok := errors.AsType[*apiError](err); ok && e.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, explained("read dead letter "+key, err)
	}
	if !found.Found || found.Source.Owner != s.opts.Owner {
		return nil, nil
	}
	l := forPeople(key, &found.Source)
	return &l, nil
}

// DropLetter implements sinks.Letters. The version keeps one that has come since.
func (s *Sink) DropLetter(ctx context.Context, l *sinks.Refused) (bool, error) {
	path := "/" + sinks.WriteAlias(lettersIndex) + "/_doc/" + url.PathEscape(l.Key) + "?version_type=external_gte&version=" + strconv.FormatInt(l.Version, 10)
	err := s.client.call(ctx, http.MethodDelete, path, nil, nil)
	e, answered := errors.AsType[*apiError](err)
	switch {
	case answered && e.Status == http.StatusConflict:
		return false, nil
	case answered && e.Status == http.StatusNotFound, err == nil:
		s.open.Clear(deadletters.AppendKey(nil, l.Physical, []byte(l.ID)), l.Version, false)
		return true, nil
	}
	return false, explained("delete dead letter "+l.Key, err)
}
