package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// What Elasticsearch answers for a moment when the daemon begins: there is no index of that name, then none of its shards has started.
var (
	errNoIndex  = errors.New("no such index")
	errStarting = errors.New("no shard of the index has started")
)

// search asks Elasticsearch, as an application would: over HTTP, with JSON.
type search struct {
	url    string
	client *http.Client
}

func newSearch(url string) *search {
	return &search{url: strings.TrimSuffix(url, "/"), client: &http.Client{Timeout: time.Minute}}
}

// call sends the body, if there is one, and decodes the answer into into.
func (s *search) call(ctx context.Context, method, path string, body, into any) error {
	var text bytes.Buffer
	switch body := body.(type) {
	case nil:
	case []byte:
		text.Write(body)
	default:
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, &text)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask Elasticsearch: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read Elasticsearch's answer: %w", err)
	}
	switch {
	case response.StatusCode == http.StatusNotFound:
		return errNoIndex
	case response.StatusCode == http.StatusServiceUnavailable && bytes.Contains(answer, []byte("no_shard_available")):
		return errStarting
	case response.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("ask Elasticsearch: %s %s: %s: %.300s", method, path, response.Status, answer)
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decode Elasticsearch's answer: %w", err)
	}
	return nil
}

// object is a JSON object of a request.
type object = map[string]any

// searchAnswer is the part of _search's answer that the demo reads.
type searchAnswer struct {
	Took   int    `json:"took"`
	Scroll string `json:"_scroll_id"`
	Hits   struct {
		Total struct {
			Value int64 `json:"value"`
		} `json:"total"`
		Hits []hit `json:"hits"`
	} `json:"hits"`
	Aggregations struct {
		Groups struct {
			Buckets []bucket `json:"buckets"`
		} `json:"groups"`
	} `json:"aggregations"`
}

type hit struct {
	ID        string              `json:"_id"`
	Source    json.RawMessage     `json:"_source"`
	Highlight map[string][]string `json:"highlight"`
}

type bucket struct {
	Key   json.Number `json:"key"`
	Text  string      `json:"key_as_string"`
	Count int64       `json:"doc_count"`
}

// scroll hands every document of the index to each, as it is stored.
func (s *search) scroll(ctx context.Context, index string, each func(hit)) error {
	var page searchAnswer
	err := s.call(ctx, http.MethodPost, "/"+index+"/_search?scroll=1m", object{"size": 1000, "sort": []string{"_doc"}}, &page)
	for err == nil && len(page.Hits.Hits) > 0 {
		for _, h := range page.Hits.Hits {
			each(h)
		}
		id := page.Scroll
		page = searchAnswer{}
		err = s.call(ctx, http.MethodPost, "/_search/scroll", object{"scroll": "1m", "scroll_id": id}, &page)
	}
	if err != nil {
		return fmt.Errorf("read index %s: %w", index, err)
	}
	var freed struct{}
	if err := s.call(ctx, http.MethodDelete, "/_search/scroll", object{"scroll_id": page.Scroll}, &freed); err != nil {
		return fmt.Errorf("end reading of index %s: %w", index, err)
	}
	return nil
}
