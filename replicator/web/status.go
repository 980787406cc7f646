package web

import (
	"time"

	"haystream/replicator/joins"
)

// Status is the answer of GET /status.
type Status struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	State   string        `json:"state"` // starting, running, waiting, stopped
	Reason  string        `json:"reason,omitempty"`
	Source  SourceStatus  `json:"source"`
	Sink    SinkStatus    `json:"sink"`
	Indexes []IndexStatus `json:"indexes"`
	Store   *joins.Status `json:"row_store,omitempty"`
	Since   time.Time     `json:"since"` // when the process started

	// Counted since the process started, for the metrics only.
	CheckpointFailures int64 `json:"-"`
	ValuesReplaced     int64 `json:"-"`
	SnapshotRows       int64 `json:"-"`
}

// SourceStatus is the source's part of Status. Sizes are -1 where unknown.
type SourceStatus struct {
	Kind          string  `json:"kind"`
	Version       string  `json:"version"`
	Address       string  `json:"address"`
	Position      string  `json:"position"`
	LagSeconds    float64 `json:"lag_seconds"`
	LagBytes      int64   `json:"lag_bytes"`
	RetainedBytes int64   `json:"retained_bytes"`
	SafeBytes     int64   `json:"safe_bytes"` // log that may be written before the server gives the slot up
	Transactions  int64   `json:"transactions"`
	Changes       int64   `json:"changes"`
}

// SinkStatus is the sink's part of Status.
type SinkStatus struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
	Address string `json:"address"`
	Healthy bool   `json:"healthy"`
	Reason  string `json:"reason,omitempty"`
}

// IndexStatus is one alias's part of Status. Documents are counted since the
// process started; dead letters are those that the sink holds.
type IndexStatus struct {
	Name        string         `json:"name"`
	Alias       string         `json:"alias"`
	Physical    string         `json:"physical_index"`
	Building    string         `json:"building,omitempty"` // the physical index built beside, or the same one, to be read into again
	Written     int64          `json:"documents_written"`
	Deleted     int64          `json:"documents_deleted"`
	Superseded  int64          `json:"documents_superseded"`
	Dropped     int64          `json:"documents_dropped"` // by an ingest pipeline
	DeadLetters int64          `json:"dead_letters"`
	Nulled      int64          `json:"values_nulled"`
	Snapshot    SnapshotStatus `json:"snapshot"`
}

// SnapshotStatus is how far an index's tables were read.
type SnapshotStatus struct {
	State         string  `json:"state"` // running, done
	RowsDone      int64   `json:"rows_done"`
	RowsEstimated int64   `json:"rows_estimated"`
	RowsPerSecond float64 `json:"rows_per_second"`
	ETASeconds    float64 `json:"eta_seconds"` // -1 where unknown
}
