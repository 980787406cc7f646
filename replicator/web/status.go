package web

import (
	"time"

	"haystream/replicator/joins"
	"haystream/replicator/verify"
	"haystream/sinks"
)

// Status is the answer of GET /status.
type Status struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	State   string        `json:"state"` // starting, running, paused, waiting, stopped
	Reason  string        `json:"reason,omitempty"`
	Source  SourceStatus  `json:"source"`
	Sink    SinkStatus    `json:"sink"`
	Indexes []IndexStatus `json:"indexes"`
	Store   *joins.Status `json:"row_store,omitempty"`
	Events  *EventsStatus `json:"events,omitempty"` // nil where no definition is over events

	// Refused are the latest dead letters, where the sink can be searched for them.
	Refused []sinks.Refused `json:"dead_letters,omitempty"`

	Since time.Time `json:"since"` // when the process started

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

	CatchUp *CatchUpStatus `json:"catch_up,omitempty"` // nil while it is not far behind
}

// CatchUpStatus is how fast a daemon that is far behind makes up for it.
type CatchUpStatus struct {
	BehindSeconds      float64 `json:"behind_seconds"` // at most
	Seconds            float64 `json:"seconds"`        // since when it is, or since the sink takes documents again
	Documents          int64   `json:"documents"`      // that the sink has taken since
	DocumentsPerSecond float64 `json:"documents_per_second"`
	LeftSeconds        float64 `json:"left_seconds"` // -1 while it gets no better
}

// EventsStatus is the event queue's part of Status. Events are counted since the process started.
type EventsStatus struct {
	State         string           `json:"state"` // as of Status
	Reason        string           `json:"reason,omitempty"`
	Position      string           `json:"position"` // up to which the sink holds all
	QueueBytes    int64            `json:"queue_bytes"`
	MaxQueueBytes int64            `json:"max_queue_bytes"`
	Waiting       int64            `json:"waiting"`        // events in the queue
	OldestSeconds float64          `json:"oldest_seconds"` // age of the oldest of them
	Accepted      int64            `json:"accepted"`
	Delivered     int64            `json:"delivered"`
	Refused       map[string]int64 `json:"refused"`        // by reason: full, disk, invalid, standby, busy
	LostBytes     int64            `json:"lost_bytes"`     // that the disk did not give back
	RoomBytes     int64            `json:"room_bytes"`     // that may be pushed yet: left in the queue and on its disk; 0 while the disk fails
	Refuses       bool             `json:"refuses"`        // there is no room
	Room          string           `json:"room,omitempty"` // there is little, and what to do
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
	Expired     int64          `json:"documents_expired"` // left out, of periods that are not kept
	Periods     []string       `json:"periods,omitempty"` // the physical indexes beside the newest one, for periods of its documents
	DeadLetters int64          `json:"dead_letters"`
	Nulled      int64          `json:"values_nulled"`
	Snapshot    SnapshotStatus `json:"snapshot"`
	Verified    *VerifyStatus  `json:"verify,omitempty"` // nil before the first time
}

// VerifyStatus is what the last comparison of an index with its rows has found, or the one under way has so
// far. Stored rows are counted with the documents, but for Compared.
type VerifyStatus struct {
	State     string    `json:"state"` // waiting, running, done, failed
	Step      string    `json:"step,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended,omitzero"`
	Compared  int64     `json:"compared"`
	Missing   int64     `json:"missing"`
	Extra     int64     `json:"extra"`
	Different int64     `json:"different"`
	Repaired  int64     `json:"repaired"`
}

// Verified is a report's part of Status; nil of nil.
func Verified(r *verify.Report) *VerifyStatus {
	if r == nil {
		return nil
	}
	out := &VerifyStatus{State: r.State, Step: r.Step, Reason: r.Reason, Began: r.Began, Ended: r.Ended, Compared: r.Documents.Compared}
	add := func(c verify.Counts) {
		out.Missing, out.Extra, out.Different, out.Repaired = out.Missing+c.Missing, out.Extra+c.Extra, out.Different+c.Different, out.Repaired+c.Repaired
	}
	add(r.Documents)
	for _, c := range r.Stored {
		add(c)
	}
	return out
}

// SnapshotStatus is how far an index is made of its tables' rows. Documents of stored
// rows are made in two steps: rows of all tables are read, then those of its own rendered.
type SnapshotStatus struct {
	State         string  `json:"state"` // running, done
	RowsDone      int64   `json:"rows_done"`
	RowsEstimated int64   `json:"rows_estimated"` // by the planner, until tables are read whole
	RowsPerSecond float64 `json:"rows_per_second"`
	ETASeconds    float64 `json:"eta_seconds"` // -1 where unknown
}
