package web

import (
	"haystream/sinks"
)

// A Reason is a way in which the daemon stops, waits or lags.
type Reason uint8

// All reasons there are. What is said of each is in the table below.
const (
	Starting Reason = iota
	Loading
	Lag
	StandingBy
	Paused
	SinkDown
	SourceSilent
	Disconnected
	CheckpointUnsaved
	CheckpointSlow
	NoRoom
	Retained
	EventQueue
	EventsRefused
	ToMend
	HeldUp
	Unreadable
	AliasTaken
	IndexGone
	Moment
	Stopped
	reasonCount
)

// A reasonText is what is said of a reason, in the log and in docs/operations.md.
type reasonText struct {
	name   string // label of haystream_not_ready
	line   string // of /readyz; … stands for what differs
	log    string // the message in the log; empty: the line of /readyz, or none
	silent bool   // there is no line in the log
	metric string // beside haystream_not_ready, without haystream_
	person bool   // waiting alone does not mend it: /healthz says so, too
	remedy string
}

var reasonTexts = [reasonCount]reasonText{
	Starting: {
		name: "starting", line: "starting", silent: true, metric: "running",
		remedy: "nothing. If it stays so, a server does not answer: the log names it",
	},
	Loading: {
		name: "loading", line: "index …: … of about … rows are done", log: "snapshot", metric: "snapshot_running",
		remedy: "nothing: rows that were there before are read for the first time. `source.snapshot` has the pace",
	},
	Lag: {
		name: "lag", line: "… behind the source", silent: true, metric: "lag_seconds",
		remedy: "look at the sink's load, and at how large the transactions are. If it lasts, give Elasticsearch more, or raise `bulk.lanes`",
	},
	StandingBy: {
		name: "standby", line: "another daemon has the slot, the lock or the checkpoint: …", log: "standing by", metric: "running",
		remedy: "nothing, or stop one of the two",
	},
	Paused: {
		name: "paused", line: "paused since …", log: "paused; `haystream resume` goes on", metric: "paused",
		remedy: "`haystream resume`, when what it was paused for is done. The source keeps its log meanwhile",
	},
	SinkDown: {
		name: "sink", line: "sink: …", log: sinks.NotTaking, metric: "sink_healthy",
		remedy: "mend what the line says: Elasticsearch is away, overloaded, read-only, or refuses the user. What was read is kept, and sent when it answers",
	},
	SourceSilent: {
		name: "source_silent", line: "source: the server has said nothing for …", silent: true, metric: "lag_seconds",
		remedy: "look at the network between the two, and at the database's load. A dead connection is replaced by itself",
	},
	Disconnected: {
		name: "connection", line: "why the session ended", log: "stopped; trying again", metric: "running",
		remedy: "nothing, if it does not repeat; otherwise what the line says. It is tried again, every 15 seconds at the latest",
	},
	CheckpointUnsaved: {
		name: "checkpoint", line: "why the checkpoint step failed", log: "checkpoint step failed; trying again", metric: "checkpoint_failures_total",
		remedy: "mend what the line says, mostly in Elasticsearch. Nothing is lost; the database keeps its log meanwhile",
	},
	CheckpointSlow: {
		name: "checkpoint_slow", line: "sink: the checkpoint has been on its way for …", silent: true, metric: "sink_healthy",
		remedy: "look at the network to Elasticsearch, and at its load",
	},
	NoRoom: {
		name: "row_store", line: "the volume of the row store is full, or cannot be written to", log: "waiting until the row store can be written to", metric: "row_store_bytes", person: true,
		remedy: "make room on the volume of `state.path`, or mend it: the daemon goes on by itself",
	},
	Retained: {
		name: "retained_log", line: "too much log is retained: …", log: "the source keeps more log than limits.max_retained_log allows; replication slot given up, a rebuild follows", metric: "retained_bytes",
		remedy: "mend what kept the log from being taken. Every index is then rebuilt beside, by itself",
	},
	EventQueue: {
		name: "event_queue", line: "the stream waits, since its messages cannot be put into the event queue: …", metric: "events_queue_bytes",
		remedy: "make room for the queue: on the volume of `state.path`, or by `limits.max_event_queue`",
	},
	EventsRefused: {
		name: "events_refused", line: "events are refused: …", metric: "events_room_bytes",
		remedy: "what the line says: make room on the volume of `state.path`, raise `limits.max_event_queue`, or see why the sink takes events no faster. What was answered with 202 is kept; who pushes is told to push again",
	},
	ToMend: {
		name: "setup", line: "what the database, Elasticsearch or the config lacks, with the remedy", log: "stopped; trying again", metric: "running", person: true,
		remedy: "what the line says: a grant, a setting, a publication, an index of somebody else's. It is looked at again by itself",
	},
	HeldUp: {
		name: "held_up", line: "index … is held up: …", metric: "documents_written_total", person: true,
		remedy: "what the line says: a table, column or grant that the index needs is gone, Elasticsearch refuses to make it, or it is closed, blocked or forbidden while other indexes take documents (for ten seconds; one with `mode: append` holds up the others instead). " +
			"It stays as it is and gets no changes; the others go on. It is built anew by itself once it can be",
	},
	Unreadable: {
		name: "table", line: "table …: …", log: "table cannot be read; what depends on it waits, the rest goes on", metric: "snapshot_running", person: true,
		remedy: "what the line says: a grant is missing, or a value cannot be decoded. Reading is tried again",
	},
	AliasTaken: {
		name: "alias", line: "what somebody has changed of the aliases and indexes in Elasticsearch, with the remedy", metric: "ready",
		remedy: "what the line says. The index goes on to be fed meanwhile",
	},
	IndexGone: {
		name: "index_gone", line: "the physical index … is gone, was replaced, or its write alias pointed elsewhere by hand", metric: "snapshot_running",
		remedy: "nothing: it is built anew. Find out who did it",
	},
	Moment: {
		name: "schema_change", line: "wait for what may come back: …", log: "stopped for a moment", metric: "running",
		remedy: "nothing: a table or column is away, as in the middle of a migration. If it stays away, its indexes are held up",
	},
	Stopped: {
		name: "stopped", line: "what a person must mend, as the process ends with exit code 1", silent: true, metric: "running", person: true,
		remedy: "what its last words say: a mistake in the config or a missing grant at the first start, more dead letters than `limits.max_dead_letters`, a checkpoint or row store of a newer version. Restarting alone does not help",
	},
}

// String is the reason's name, as a label of the metric has it.
func (r Reason) String() string { return reasonTexts[r].name }

// Log is the message in the log that goes with the reason.
func (r Reason) Log() string { return reasonTexts[r].log }

// ForPerson reports whether waiting alone does not mend it.
func (r Reason) ForPerson() bool { return reasonTexts[r].person }

// A Trouble is what keeps the daemon from being ready.
type Trouble struct {
	Reason Reason
	Text   string // a line for people
}

// Lines are the troubles' texts.
func Lines(all []Trouble) []string {
	var texts []string
	for _, t := range all {
		texts = append(texts, t.Text)
	}
	return texts
}
