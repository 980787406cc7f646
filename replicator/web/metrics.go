package web

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"haystream/replicator/joins"
	"haystream/replicator/verify"
)

// A collector gives /metrics what /status shows, so that both always agree.
type collector struct{ d Daemon }

// Describe sends nothing: the metrics depend on the definitions.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	st, m := c.d.Status(), metrics(out)
	m.gauge("running", "1 while a session replicates.", flag(st.State == "running"))
	troubles := c.d.NotReady()
	m.gauge("ready", "1 while /readyz answers 200.", flag(len(troubles) == 0))
	for r := range reasonCount {
		holds := slices.ContainsFunc(troubles, func(t Trouble) bool { return t.Reason == r })
		m.gauge("not_ready", "1 while /readyz answers 503 for this reason, or for it among others.", flag(holds), "reason", r.String())
	}
	m.gauge("paused", "1 while somebody has paused the pipeline.", flag(st.State == "paused"))
	m.gauge("sink_healthy", "1 while the sink takes documents.", flag(st.Sink.Healthy))
	m.gauge("lag_seconds", "Age of the oldest change not yet delivered.", st.Source.LagSeconds)
	m.counter("changes_total", "Changes received from the source.", float64(st.Source.Changes))
	m.counter("transactions_total", "Transactions received from the source.", float64(st.Source.Transactions))
	m.counter("checkpoint_failures_total", "Checkpoint steps that failed; each is tried again.", float64(st.CheckpointFailures))
	m.counter("values_replaced_total", "Values with bytes that are not UTF-8, which became U+FFFD.", float64(st.ValuesReplaced))
	m.counter("snapshot_rows_total", "Rows read by snapshots.", float64(st.SnapshotRows))
	if st.Source.LagBytes >= 0 {
		m.gauge("lag_bytes", "Log of the source after the last acknowledged position.", float64(st.Source.LagBytes))
	}
	if st.Source.RetainedBytes >= 0 {
		m.gauge("retained_bytes", "Log that the source keeps on disk for this daemon.", float64(st.Source.RetainedBytes))
	}
	if st.Source.SafeBytes >= 0 {
		m.gauge("safe_bytes", "Log that may be written before the source gives the slot up.", float64(st.Source.SafeBytes))
	}
	if st.Store != nil {
		m.store(st.Store)
	}
	if st.Events != nil {
		m.events(st.Events)
	}
	for _, index := range st.Indexes {
		m.index(index)
	}
}

// metrics takes what Collect sends; labels are names and values by turns.
type metrics chan<- prometheus.Metric

func (m metrics) gauge(name, help string, value float64, labels ...string) {
	m.send(name, help, prometheus.GaugeValue, value, labels)
}

func (m metrics) counter(name, help string, value float64, labels ...string) {
	m.send(name, help, prometheus.CounterValue, value, labels)
}

func (m metrics) send(name, help string, kind prometheus.ValueType, value float64, labels []string) {
	var keys, values []string
	for i := 0; i < len(labels); i += 2 {
		keys, values = append(keys, labels[i]), append(values, labels[i+1])
	}
	m <- prometheus.MustNewConstMetric(prometheus.NewDesc("haystream_"+name, help, keys, nil), kind, value, values...)
}

func (m metrics) store(store *joins.Status) {
	m.gauge("row_store_bytes", "Size of the row store on disk.", float64(store.Bytes))
	m.gauge("row_store_memory_bytes", "Memory that the row store holds.", float64(store.MemoryBytes))
	m.gauge("row_store_pending", "Documents of several tables that are to be rendered or on their way, at least; 0 only where there is none.", float64(store.Pending))
	m.counter("row_store_cache_hits_total", "Blocks of the row store found in memory.", float64(store.CacheHits))
	m.counter("row_store_cache_misses_total", "Blocks of the row store read from disk.", float64(store.CacheMisses))
	m.counter("row_store_compactions_total", "Compactions of the row store.", float64(store.Compactions))
}

func (m metrics) events(e *EventsStatus) {
	m.gauge("events_queue_bytes", "Size of the events on disk that the sink does not hold yet.", float64(e.QueueBytes))
	m.gauge("events_queue_limit_bytes", "limits.max_event_queue: what is pushed beyond is refused.", float64(e.MaxQueueBytes))
	m.gauge("events_room_bytes", "What may be pushed yet: left in the queue and on its disk; 0 while the disk fails.", float64(e.RoomBytes))
	m.gauge("events_waiting", "Events on disk that the sink does not hold yet.", float64(e.Waiting))
	m.gauge("events_oldest_seconds", "Age of the oldest event on disk that the sink does not hold yet.", e.OldestSeconds)
	m.gauge("events_running", "1 while events are delivered.", flag(e.State == "running"))
	m.counter("events_accepted_total", "Events answered with 202.", float64(e.Accepted))
	m.counter("events_delivered_total", "Events read from the queue to be delivered.", float64(e.Delivered))
	m.counter("events_lost_bytes_total", "Bytes of events that the disk did not give back.", float64(e.LostBytes))
	for _, reason := range slices.Sorted(maps.Keys(e.Refused)) {
		m.counter("events_refused_total", "Events refused because the queue was full or the disk failed; requests refused for other reasons.", float64(e.Refused[reason]), "reason", reason)
	}
}

func (m metrics) index(index IndexStatus) {
	m.counter("documents_written_total", "Documents indexed.", float64(index.Written), "index", index.Alias)
	m.counter("documents_deleted_total", "Documents deleted.", float64(index.Deleted), "index", index.Alias)
	m.counter("documents_superseded_total", "Writes answered with a newer version being there.", float64(index.Superseded), "index", index.Alias)
	m.counter("documents_dropped_total", "Documents that the ingest pipeline dropped, so that nothing was written.", float64(index.Dropped), "index", index.Alias)
	m.counter("documents_expired_total", "Documents left out since partition does not keep their periods.", float64(index.Expired), "index", index.Alias)
	m.gauge("index_periods", "Physical indexes for periods of the documents.", float64(len(index.Periods)), "index", index.Alias)
	m.gauge("dead_letters", "Documents that the sink refused and holds as dead letters.", float64(index.DeadLetters), "index", index.Alias)
	m.counter("values_nulled_total", "Values without a JSON form (NaN, infinity) that became null.", float64(index.Nulled), "index", index.Alias)
	m.gauge("snapshot_running", "1 while existing rows are read.", flag(index.Snapshot.State == "running"), "index", index.Alias)
	m.gauge("snapshot_rows_done", "Rows that the newest physical index has been made of so far: read from the source, and for documents of several tables then rendered.", float64(index.Snapshot.RowsDone), "index", index.Alias)
	m.gauge("snapshot_rows_estimated", "About how many rows it will be made of in the end.", float64(index.Snapshot.RowsEstimated), "index", index.Alias)
	if v := index.Verified; v != nil {
		m.gauge("verify_running", "1 while documents are compared with their rows.", flag(v.State == verify.Running), "index", index.Alias)
		m.gauge("verify_failed", "1 where the last comparison came to no end.", flag(v.State == verify.Failed), "index", index.Alias)
		m.gauge("verify_ended_seconds", "When the last comparison ended, in seconds since 1970; 0 while one is under way.", epoch(v.Ended), "index", index.Alias)
		m.gauge("verify_documents", "Documents that the last comparison has compared with their rows.", float64(v.Compared), "index", index.Alias)
		for kind, n := range map[string]int64{verify.Missing: v.Missing, verify.Extra: v.Extra, verify.Different: v.Different} {
			m.gauge("verify_differences", "Documents and stored rows that the last comparison has found not to be as their rows say.", float64(n), "index", index.Alias, "kind", kind)
		}
		m.gauge("verify_repaired", "Of the differences that the last comparison has found, those that were mended.", float64(v.Repaired), "index", index.Alias)
	}
}

func epoch(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return float64(at.Unix())
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
