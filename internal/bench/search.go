package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A search is the Elasticsearch server, as the baseline speaks to it.
type search struct {
	url    string
	client *http.Client
}

// request sends a JSON body and returns the answer's.
func (s *search) request(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return s.do(request)
}

func (s *search) do(request *http.Request) ([]byte, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: status %d: %.500s", request.Method, request.URL.Path, response.StatusCode, answer)
	}
	return answer, nil
}

// A blueprint is what a physical index of the daemon is made of.
type blueprint struct {
	Mappings json.RawMessage            `json:"mappings,omitempty"`
	Settings map[string]json.RawMessage `json:"settings,omitempty"`
}

// blueprint reads an index's mappings and settings.
func (s *search) blueprint(ctx context.Context, index string) (blueprint, error) {
	answer, err := s.request(ctx, http.MethodGet, "/"+index, nil)
	if err != nil {
		return blueprint{}, err
	}
	var indexes map[string]struct {
		Mappings json.RawMessage `json:"mappings"`
		Settings struct {
			Index map[string]json.RawMessage `json:"index"`
		} `json:"settings"`
	}
	if err := json.Unmarshal(answer, &indexes); err != nil {
		return blueprint{}, fmt.Errorf("decode index %s: %w", index, err)
	}
	found, ok := indexes[index]
	if !ok {
		return blueprint{}, fmt.Errorf("index %s is not there", index)
	}
	for _, own := range []string{"uuid", "version", "provided_name", "creation_date"} {
		delete(found.Settings.Index, own)
	}
	return blueprint{found.Mappings, found.Settings.Index}, nil
}

// create makes an index of the blueprint.
func (s *search) create(ctx context.Context, index string, of blueprint) error {
	body, err := json.Marshal(of)
	if err != nil {
		return fmt.Errorf("encode index %s: %w", index, err)
	}
	_, err = s.request(ctx, http.MethodPut, "/"+index, body)
	return err
}

// adapt gives an index the settings that the daemon gives to a loaded one.
func (s *search) adapt(ctx context.Context, index string, like blueprint) error {
	changed := map[string]json.RawMessage{}
	for _, name := range []string{"refresh_interval", "number_of_replicas"} {
		changed[name] = like.Settings[name] // null: the default
	}
	body, err := json.Marshal(map[string]any{"index": changed})
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	_, err = s.request(ctx, http.MethodPut, "/"+index+"/_settings", body)
	return err
}

// point moves the alias to the index.
func (s *search) point(ctx context.Context, alias, index string) error {
	body := fmt.Sprintf(`{"actions":[{"remove":{"index":"*","alias":%q,"must_exist":false}},{"add":{"index":%q,"alias":%q}}]}`, alias, index, alias)
	_, err := s.request(ctx, http.MethodPost, "/_aliases", []byte(body))
	return err
}

// count is how many documents the index holds.
func (s *search) count(ctx context.Context, index string) (int, error) {
	if _, err := s.request(ctx, http.MethodPost, "/"+index+"/_refresh", nil); err != nil {
		return 0, err
	}
	var answer struct {
		Count int `json:"count"`
	}
	err := getJSON(ctx, s.url+"/"+index+"/_count", &answer)
	return answer.Count, err
}

// settle waits until the server has nothing to merge, so that one measurement
// does not pay for the one before it.
func (s *search) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("still merging after 5 minutes"))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 5; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		var stats struct {
			All struct {
				Total struct {
					Merges struct {
						Current int `json:"current"`
					} `json:"merges"`
				} `json:"total"`
			} `json:"_all"`
		}
		if err := getJSON(ctx, s.url+"/_stats/merge", &stats); err != nil {
			return err
		}
		quiet++
		if stats.All.Total.Merges.Current > 0 {
			quiet = 0
		}
	}
	return nil
}
