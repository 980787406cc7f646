package web

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"haystream/replicator/verify"
)

// A collector gives /metrics what /status shows, so that both always agree.
type collector struct{ d Daemon }

// Describe sends nothing: the metrics depend on the definitions.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	st := c.d.Status()
	emit := func(name, help string, kind prometheus.ValueType, value float64, labels ...string) {
		var keys, values []string
		for i := 0; i < len(labels); i += 2 {
			keys, values = append(keys, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("haystream_"+name, help, keys, nil), kind, value, values...)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	emit("running", "1 while a session replicates.", gauge, flag(st.State == "running"))
	troubles := c.d.NotReady()
	emit("ready", "1 while /readyz answers 200.", gauge, flag(len(troubles) == 0))
	for r := range reasonCount {
		holds := slices.ContainsFunc(troubles, func(t Trouble) bool { return t.Reason == r })
		emit("not_ready", "1 while /readyz answers 503 for this reason, or for it among others.", gauge, flag(holds), "reason", r.String())
	}
	emit("paused", "1 while somebody has paused the pipeline.", gauge, flag(st.State == "paused"))
	emit("sink_healthy", "1 while the sink takes documents.", gauge, flag(st.Sink.Healthy))
	emit("lag_seconds", "Age of the oldest change not yet delivered.", gauge, st.Source.LagSeconds)
	emit("changes_total", "Changes received from the source.", counter, float64(st.Source.Changes))
	emit("transactions_total", "Transactions received from the source.", counter, float64(st.Source.Transactions))
	emit("checkpoint_failures_total", "Checkpoint steps that failed; each is tried again.", counter, float64(st.CheckpointFailures))
	emit("values_replaced_total", "Values with bytes that are not UTF-8, which became U+FFFD.", counter, float64(st.ValuesReplaced))
	emit("snapshot_rows_total", "Rows read by snapshots.", counter, float64(st.SnapshotRows))
	if st.Source.LagBytes >= 0 {
		emit("lag_bytes", "Log of the source after the last acknowledged position.", gauge, float64(st.Source.LagBytes))
	}
	if st.Source.RetainedBytes >= 0 {
		emit("retained_bytes", "Log that the source keeps on disk for this daemon.", gauge, float64(st.Source.RetainedBytes))
	}
	if st.Source.SafeBytes >= 0 {
		emit("safe_bytes", "Log that may be written before the source gives the slot up.", gauge, float64(st.Source.SafeBytes))
	}
	if store := st.Store; store != nil {
		emit("row_store_bytes", "Size of the row store on disk.", gauge, float64(store.Bytes))
		emit("row_store_memory_bytes", "Memory that the row store holds.", gauge, float64(store.MemoryBytes))
		emit("row_store_pending", "Documents of several tables that are to be rendered or on their way, at least; 0 only where there is none.", gauge, float64(store.Pending))
		emit("row_store_cache_hits_total", "Blocks of the row store found in memory.", counter, float64(store.CacheHits))
		emit("row_store_cache_misses_total", "Blocks of the row store read from disk.", counter, float64(store.CacheMisses))
		emit("row_store_compactions_total", "Compactions of the row store.", counter, float64(store.Compactions))
	}
	if e := st.Events; e != nil {
		emit("events_queue_bytes", "Size of the events on disk that the sink does not hold yet.", gauge, float64(e.QueueBytes))
		emit("events_queue_limit_bytes", "limits.max_event_queue: what is pushed beyond is refused.", gauge, float64(e.MaxQueueBytes))
		emit("events_room_bytes", "What may be pushed yet: left in the queue and on its disk; 0 while the disk fails.", gauge, float64(e.RoomBytes))
		emit("events_waiting", "Events on disk that the sink does not hold yet.", gauge, float64(e.Waiting))
		emit("events_oldest_seconds", "Age of the oldest event on disk that the sink does not hold yet.", gauge, e.OldestSeconds)
		emit("events_running", "1 while events are delivered.", gauge, flag(e.State == "running"))
		emit("events_accepted_total", "Events answered with 202.", counter, float64(e.Accepted))
		emit("events_delivered_total", "Events read from the queue to be delivered.", counter, float64(e.Delivered))
		emit("events_lost_bytes_total", "Bytes of events that the disk did not give back.", counter, float64(e.LostBytes))
		for _, reason := range slices.Sorted(maps.Keys(e.Refused)) {
			emit("events_refused_total", "Events refused because the queue was full or the disk failed; requests refused for other reasons.", counter, float64(e.Refused[reason]), "reason", reason)
		}
	}
	for _, index := range st.Indexes {
		emit("documents_written_total", "Documents indexed.", counter, float64(index.Written), "index", index.Alias)
		emit("documents_deleted_total", "Documents deleted.", counter, float64(index.Deleted), "index", index.Alias)
		emit("documents_superseded_total", "Writes answered with a newer version being there.", counter, float64(index.Superseded), "index", index.Alias)
		emit("documents_dropped_total", "Documents that the ingest pipeline dropped, so that nothing was written.", counter, float64(index.Dropped), "index", index.Alias)
		emit("documents_expired_total", "Documents left out since partition does not keep their periods.", counter, float64(index.Expired), "index", index.Alias)
		emit("index_periods", "Physical indexes for periods of the documents.", gauge, float64(len(index.Periods)), "index", index.Alias)
		emit("dead_letters", "Documents that the sink refused and holds as dead letters.", gauge, float64(index.DeadLetters), "index", index.Alias)
		emit("values_nulled_total", "Values without a JSON form (NaN, infinity) that became null.", counter, float64(index.Nulled), "index", index.Alias)
		emit("snapshot_running", "1 while existing rows are read.", gauge, flag(index.Snapshot.State == "running"), "index", index.Alias)
		emit("snapshot_rows_done", "Rows that the newest physical index has been made of so far: read from the source, and for documents of several tables then rendered.", gauge, float64(index.Snapshot.RowsDone), "index", index.Alias)
		emit("snapshot_rows_estimated", "About how many rows it will be made of in the end.", gauge, float64(index.Snapshot.RowsEstimated), "index", index.Alias)
		if v := index.Verified; v != nil {
			emit("verify_running", "1 while documents are compared with their rows.", gauge, flag(v.State == verify.Running), "index", index.Alias)
			emit("verify_failed", "1 where the last comparison came to no end.", gauge, flag(v.State == verify.Failed), "index", index.Alias)
			emit("verify_ended_seconds", "When the last comparison ended, in seconds since 1970; 0 while one is under way.", gauge, epoch(v.Ended), "index", index.Alias)
			emit("verify_documents", "Documents that the last comparison has compared with their rows.", gauge, float64(v.Compared), "index", index.Alias)
			for kind, n := range map[string]int64{verify.Missing: v.Missing, verify.Extra: v.Extra, verify.Different: v.Different} {
				emit("verify_differences", "Documents and stored rows that the last comparison has found not to be as their rows say.", gauge, float64(n), "index", index.Alias, "kind", kind)
			}
			emit("verify_repaired", "Of the differences that the last comparison has found, those that were mended.", gauge, float64(v.Repaired), "index", index.Alias)
		}
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
