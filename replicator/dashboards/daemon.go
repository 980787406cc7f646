package dashboards

// A metricPanel is a graph of the daemon's own metrics.
type metricPanel struct {
	title, unit string // a unit as Grafana calls it
	series      []series
}

type series struct{ query, legend string }

const perIndex = "{{index}}"

// metricPanels show all that /metrics has of Haystream.
var metricPanels = []metricPanel{
	{"Running and ready", "bool_yes_no", []series{
		{"haystream_running", "running"}, {"haystream_ready", "ready"}, {"haystream_paused", "paused"}, {"haystream_sink_healthy", "sink takes documents"},
	}},
	{"Why not ready", "bool_yes_no", []series{{"haystream_not_ready == 1", "{{reason}}"}}},
	{"Lag", "s", []series{{"haystream_lag_seconds", "oldest change not yet delivered"}}},
	{"Log of the source", "bytes", []series{
		{"haystream_lag_bytes", "not acknowledged"}, {"haystream_retained_bytes", "kept on the source's disk"}, {"haystream_safe_bytes", "until the slot is lost"},
	}},
	{"Changes", "cps", []series{
		{"rate(haystream_changes_total[5m])", "changes"}, {"rate(haystream_transactions_total[5m])", "transactions"}, {"rate(haystream_snapshot_rows_total[5m])", "snapshot rows"},
	}},
	{"Documents written", "cps", []series{{"rate(haystream_documents_written_total[5m])", perIndex}}},
	{"Documents deleted", "cps", []series{{"rate(haystream_documents_deleted_total[5m])", perIndex}}},
	{"Documents not written", "cps", []series{
		{"rate(haystream_documents_superseded_total[5m])", perIndex + ": a newer one is there"},
		{"rate(haystream_documents_dropped_total[5m])", perIndex + ": dropped by the ingest pipeline"},
	}},
	{"Dead letters", "short", []series{{"haystream_dead_letters", perIndex}}},
	{"Documents compared with their rows", "short", []series{
		{"haystream_verify_documents", perIndex}, {"haystream_verify_running", perIndex + ": under way"},
	}},
	{"Differences found", "short", []series{
		{"haystream_verify_differences", perIndex + ": {{kind}}"}, {"haystream_verify_repaired", perIndex + ": repaired"}, {"haystream_verify_failed", perIndex + ": could not be compared"},
	}},
	{"Time since the last comparison", "s", []series{{"time() - (haystream_verify_ended_seconds > 0)", perIndex}}},
	{"Snapshots", "percentunit", []series{
		{"haystream_snapshot_rows_done / haystream_snapshot_rows_estimated and haystream_snapshot_running == 1", perIndex},
	}},
	{"Values that were changed", "cps", []series{
		{"rate(haystream_values_nulled_total[5m])", perIndex + ": NaN or infinity, null now"}, {"rate(haystream_values_replaced_total[5m])", "not UTF-8"},
	}},
	{"Documents of periods that are not kept", "cps", []series{{"rate(haystream_documents_expired_total[5m])", perIndex}}},
	{"Periods", "short", []series{{"haystream_index_periods", perIndex}}},
	{"Events", "cps", []series{
		{"rate(haystream_events_accepted_total[5m])", "accepted"},
		{"rate(haystream_events_delivered_total[5m])", "delivered"},
		{"rate(haystream_events_refused_total[5m])", "refused: {{reason}}"},
	}},
	{"Event queue", "bytes", []series{
		{"haystream_events_queue_bytes", "in use"}, {"haystream_events_queue_limit_bytes", "limit"}, {"haystream_events_room_bytes", "left, also on the disk"}, {"haystream_events_lost_bytes_total", "lost by the disk"},
	}},
	{"Events that wait", "short", []series{{"haystream_events_waiting", "events"}, {"haystream_events_running", "delivery is running"}}},
	{"Age of the oldest event that waits", "s", []series{{"haystream_events_oldest_seconds", "seconds"}}},
	{"Failed checkpoints", "cps", []series{{"rate(haystream_checkpoint_failures_total[5m])", "failures"}}},
	{"Row store", "bytes", []series{{"haystream_row_store_bytes", "on disk"}, {"haystream_row_store_memory_bytes", "in memory"}}},
	{"Documents to be rendered", "short", []series{{"haystream_row_store_pending", "pending"}}},
	{"Row store reads", "cps", []series{
		{"rate(haystream_row_store_cache_hits_total[5m])", "from memory"},
		{"rate(haystream_row_store_cache_misses_total[5m])", "from disk"},
		{"rate(haystream_row_store_compactions_total[5m])", "compactions"},
	}},
}

// daemonDashboard is Grafana's dashboard of the daemon's metrics.
func daemonDashboard() ([]byte, error) {
	var panels []object
	source := object{"type": "prometheus", "uid": "${datasource}"}
	for i, p := range metricPanels {
		var targets []object
		for j, s := range p.series {
			targets = append(targets, object{"refId": string(rune('A' + j)), "datasource": source, "expr": s.query, "legendFormat": s.legend})
		}
		panels = append(panels, object{
			"id": i + 1, "type": "timeseries", "title": p.title, "datasource": source, "targets": targets,
			"gridPos": object{"x": i % 2 * 12, "y": i / 2 * 8, "w": 12, "h": 8}, "fieldConfig": object{"defaults": object{"unit": p.unit}, "overrides": []any{}},
		})
	}
	d := newGrafanaDashboard("haystream-daemon", "Haystream", "The daemon's own metrics.", panels)
	d["time"] = object{"from": "now-6h", "to": "now"}
	d["templating"] = object{"list": []object{{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}}}
	return encodeJSON(d)
}

// An alertRule fires while what its query gives is above or below a limit for some time.
type alertRule struct {
	title, query   string
	evaluator      string // gt or lt
	limit          float64
	wait, severity string
	summary        string
	absent         bool // fires also while there is no such metric
}

var alertRules = []alertRule{
	{
		"Haystream is down", `max by (job) ({__name__=~"haystream_running|haystream_paused"})`, "lt", 1, "5m", "critical",
		"No daemon replicates. See its log, and /status for what it waits for.", true,
	},
	{
		"Haystream is paused", "haystream_paused", "gt", 0, "1h", "warning",
		"Somebody has paused it and not resumed: haystream resume goes on. The source keeps its log meanwhile.", false,
	},
	{"Haystream is not ready", "haystream_ready and haystream_running == 1", "lt", 1, "30m", "warning", "/readyz says why.", false},
	{
		"Haystream lags", "haystream_lag_seconds", "gt", 300, "10m", "warning",
		"The oldest change not yet delivered is {{ $values.A }} seconds old.", false,
	},
	{
		"Haystream's sink takes no documents", "haystream_sink_healthy and haystream_running == 1", "lt", 1, "5m", "critical",
		"Changes are held back until it does.", false,
	},
	{
		"Haystream's slot is about to be lost", "haystream_safe_bytes", "lt", 1e9, "1m", "critical",
		"The source gives the replication slot up after {{ $values.A }} more bytes of log. All indexes would be rebuilt.", false,
	},
	{
		"Haystream keeps much of the source's log", "haystream_retained_bytes", "gt", 20e9, "10m", "warning",
		"{{ $values.A }} bytes of log are kept on the source's disk.", false,
	},
	{
		"Haystream has dead letters", "haystream_dead_letters", "gt", 0, "1m", "warning",
		"{{ $labels.index }}: the sink refused {{ $values.A }} documents. haystream dead-letters list has their reasons.", false,
	},
	{
		"Haystream has found wrong documents", "sum by (job, instance, index) (haystream_verify_differences) - haystream_verify_repaired", "gt", 0, "1m", "critical",
		"{{ $labels.index }}: {{ $values.A }} documents or stored rows are not as their rows say. haystream verify --repair mends them.", false,
	},
	{
		"Haystream refuses events", `sum by (job, instance) (increase(haystream_events_refused_total{reason=~"full|disk"}[5m]))`, "gt", 0, "1m", "critical",
		"The event queue is full, or its disk takes no more: {{ $values.A }} events were refused in five minutes. /readyz says why.", false,
	},
	{
		"Haystream's event queue is nearly full", "haystream_events_room_bytes / haystream_events_queue_limit_bytes", "lt", 0.2, "5m", "warning",
		"Less than a fifth of limits.max_event_queue is left in the queue or on its disk. /status says which.", false,
	},
	{
		"Haystream has lost events", "increase(haystream_events_lost_bytes_total[10m])", "gt", 0, "1m", "critical",
		"The disk of state.path does not give back what was written to it.", false,
	},
	{
		"Haystream cannot save its checkpoint", "increase(haystream_checkpoint_failures_total[10m])", "gt", 3, "5m", "warning",
		"Nothing is lost. After a restart more is sent again.", false,
	},
}

// alertRulesFile is Grafana's provisioning file of alert rules over the daemon's metrics.
func alertRulesFile() ([]byte, error) {
	var rules []object
	for _, r := range alertRules {
		span, noData := object{"from": 600, "to": 0}, "OK"
		if r.absent {
			noData = "Alerting"
		}
		rules = append(rules, object{
			"uid": newUID("alert", r.title), "title": r.title, "condition": "B", "for": r.wait, "noDataState": noData, "execErrState": "Error",
			"labels": object{"severity": r.severity}, "annotations": object{"summary": r.summary},
			"data": []object{
				{"refId": "A", "datasourceUid": prometheusUID, "relativeTimeRange": span, "model": object{"refId": "A", "expr": r.query, "instant": true}},
				{"refId": "B", "datasourceUid": "__expr__", "relativeTimeRange": span, "model": object{
					"refId": "B", "type": "threshold", "expression": "A", "conditions": []object{{"evaluator": object{"type": r.evaluator, "params": []float64{r.limit}}}},
				}},
			},
		})
	}
	return encodeYAML(object{"apiVersion": 1, "groups": []object{{
		"orgId": 1, "name": "haystream", "folder": folderTitle, "interval": "1m", "rules": rules,
	}}})
}
