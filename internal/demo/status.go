package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// status is the part of the daemon's GET /status that the demo shows.
type status struct {
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Source  struct {
		Version    string  `json:"version"`
		Position   string  `json:"position"`
		LagSeconds float64 `json:"lag_seconds"`
	} `json:"source"`
	Sink struct {
		Version string `json:"version"`
		Healthy bool   `json:"healthy"`
		Reason  string `json:"reason"`
	} `json:"sink"`
	Indexes []indexStatus `json:"indexes"`
}

type indexStatus struct {
	Alias       string `json:"alias"`
	Written     int64  `json:"documents_written"`
	Deleted     int64  `json:"documents_deleted"`
	DeadLetters int64  `json:"dead_letters"`
	Snapshot    struct {
		State         string `json:"state"`
		RowsDone      int64  `json:"rows_done"`
		RowsEstimated int64  `json:"rows_estimated"`
	} `json:"snapshot"`
}

// snapshotDone is the state of a snapshot that has read everything.
const snapshotDone = "done"

// index is the part about one index; zero where the daemon has not begun with it.
func (s status) index(alias string) indexStatus {
	for _, i := range s.Indexes {
		if i.Alias == alias {
			return i
		}
	}
	return indexStatus{}
}

// loaded reports whether the snapshots of all indexes are done.
func (s status) loaded() bool {
	for _, t := range truths() {
		if s.index(t.index).Snapshot.State != snapshotDone {
			return false
		}
	}
	return true
}

// authorize shows the daemon its token, where it has one.
func authorize(request *http.Request, token string) {
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
}

// readStatus asks the daemon.
func readStatus(ctx context.Context, on *stage) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, on.status, nil)
	if err != nil {
		return status{}, fmt.Errorf("make request: %w", err)
	}
	authorize(request, on.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return status{}, fmt.Errorf("ask the daemon: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return status{}, fmt.Errorf("ask the daemon: %s", response.Status)
	}
	var s status
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return status{}, fmt.Errorf("decode the daemon's status: %w", err)
	}
	return s, nil
}
