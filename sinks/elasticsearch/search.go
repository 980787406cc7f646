package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"haystream/sinks"
)

var _ sinks.Searcher = (*Sink)(nil)

// Search implements sinks.Searcher.
func (s *Sink) Search(ctx context.Context, alias string, body []byte) (json.RawMessage, error) {
	var answer json.RawMessage
	path := "/" + url.PathEscape(alias) + "/_search?allow_partial_search_results=false"
	if err := s.client.call(ctx, http.MethodPost, path, body, &answer); err != nil {
		return nil, explained("search "+alias, err)
	}
	var whole struct {
		TimedOut bool `json:"timed_out"`
	}
	if err := json.Unmarshal(answer, &whole); err != nil {
		return nil, fmt.Errorf("read answer to search: %w", err)
	}
	if whole.TimedOut {
		return nil, fmt.Errorf("search %s: the server ran out of time before it had seen all documents", alias)
	}
	return answer, nil
}

// Mappings implements sinks.Searcher.
func (s *Sink) Mappings(ctx context.Context, alias string) ([]json.RawMessage, error) {
	var answer map[string]struct {
		Mappings json.RawMessage `json:"mappings"`
	}
	err := s.client.call(ctx, http.MethodGet, "/"+url.PathEscape(alias)+"/_mapping", nil, &answer)
	switch e := (*apiError)(nil); {
	case errors.As(err, &e) && e.Status == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, explained("read mapping of "+alias, err)
	}
	var all []json.RawMessage
	for _, name := range slices.Sorted(maps.Keys(answer)) {
		all = append(all, answer[name].Mappings)
	}
	return all, nil
}
