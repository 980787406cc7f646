package dashboards

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"gopkg.in/yaml.v3"

	"haystream/replicator/widgets"
)

// A SearchServer is where Grafana finds the documents. Its secrets are not among it: Grafana takes
// them from its own environment.
type SearchServer struct {
	URL        string // empty: $ELASTICSEARCH_URL
	User       string // for basic authentication with $ELASTICSEARCH_PASSWORD
	APIKey     bool   // $ELASTICSEARCH_API_KEY is sent
	OpenSearch bool   // by the data source plug-in for OpenSearch
}

// A File of several that a target takes, by its path with slashes.
type File struct {
	Path string
	Text []byte
}

// grafanaSource is a data source, which in Grafana is of one index and one time field.
type grafanaSource struct {
	Name       string `json:"name" yaml:"name"`
	UID        string `json:"uid" yaml:"uid"`
	Type       string `json:"type" yaml:"type"`
	Access     string `json:"access" yaml:"access"`
	URL        string `json:"url" yaml:"url"`
	BasicAuth  bool   `json:"basicAuth,omitempty" yaml:"basicAuth,omitempty"`
	User       string `json:"basicAuthUser,omitempty" yaml:"basicAuthUser,omitempty"`
	JSONData   object `json:"jsonData" yaml:"jsonData"`
	SecureData object `json:"secureJsonData,omitempty" yaml:"secureJsonData,omitempty"`
}

// prometheusUID is the data source of the daemon's metrics.
const prometheusUID = "haystream-prometheus"

// folderTitle is Grafana's folder for dashboards and alert rules.
const folderTitle = "Haystream"

// GrafanaFiles are a provisioning folder: data sources, dashboards and alert rules.
func (b *Boards) GrafanaFiles(server SearchServer) ([]File, error) {
	provider := object{"apiVersion": 1, "providers": []object{{
		"name": "haystream", "folder": folderTitle, "type": "file", "allowUiUpdates": false, "options": object{"path": "/etc/grafana/provisioning/dashboards/haystream"},
	}}}
	sources := append(b.grafanaSources(server), grafanaSource{
		Name: "Haystream metrics", UID: prometheusUID, Type: "prometheus", Access: "proxy", URL: "$PROMETHEUS_URL", JSONData: object{"httpMethod": "POST"},
	})
	var files []File
	add := func(path string, text []byte, err error) error {
		files = append(files, File{path, text})
		return err
	}
	text, err := encodeYAML(object{"apiVersion": 1, "datasources": sources})
	if err := add("datasources/haystream.yaml", text, err); err != nil {
		return nil, err
	}
	text, err = encodeYAML(provider)
	if err := add("dashboards/haystream.yaml", text, err); err != nil {
		return nil, err
	}
	for _, d := range b.grafanaDashboards(server) {
		text, err := encodeJSON(d)
		if err := add(fmt.Sprintf("dashboards/haystream/%s.json", d["uid"]), text, err); err != nil {
			return nil, err
		}
	}
	daemon, err := daemonDashboard()
	if err := add("dashboards/haystream/haystream-daemon.json", daemon, err); err != nil {
		return nil, err
	}
	alerts, err := alertRulesFile()
	return files, add("alerting/haystream.yaml", alerts, err)
}

func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return out.Bytes(), err
}

func encodeYAML(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := encoder.Encode(v)
	return out.Bytes(), err
}

// sourceUID is the data source's of an alias.
func (b *Boards) sourceUID(alias string) string { return newUID(b.Name, "source", alias) }

// newUID is an id of the 40 bytes that Grafana allows.
func newUID(parts ...string) string {
	id := newID(parts...)
	if len(id) > 40 {
		id = id[:31] + id[len(id)-9:]
	}
	return id
}

func (b *Boards) grafanaSources(server SearchServer) []grafanaSource {
	var all []grafanaSource
	seen := map[string]bool{}
	for _, v := range b.Views {
		if seen[v.Alias] || v.TimeField == "" {
			continue
		}
		seen[v.Alias] = true
		s := grafanaSource{
			Name: v.Alias + " (" + b.Name + ")", UID: b.sourceUID(v.Alias), Type: server.kind(), Access: "proxy", URL: server.URL,
			JSONData: object{"index": v.Alias, "timeField": v.TimeField}, SecureData: object{},
		}
		if server.OpenSearch {
			s.JSONData = object{"database": v.Alias, "timeField": v.TimeField, "flavor": "opensearch", "version": "2.0.0"}
		}
		if s.URL == "" {
			s.URL = "$ELASTICSEARCH_URL"
		}
		if server.User != "" {
			s.BasicAuth, s.User = true, server.User
			s.SecureData["basicAuthPassword"] = "$ELASTICSEARCH_PASSWORD"
		}
		if server.APIKey {
			s.JSONData["httpHeaderName1"] = "Authorization"
			s.SecureData["httpHeaderValue1"] = "ApiKey $ELASTICSEARCH_API_KEY"
		}
		all = append(all, s)
	}
	return all
}

func (s SearchServer) kind() string {
	if s.OpenSearch {
		return "grafana-opensearch-datasource"
	}
	return "elasticsearch"
}

// allTime is the time of a dashboard whose panels say themselves which time they look at.
var allTime = object{"from": "1970-01-01T00:00:00.000Z", "to": "now+10y"}

func (b *Boards) grafanaDashboards(server SearchServer) []object {
	var all []object
	for _, board := range b.Boards {
		panels := []object{}
		for i, p := range board.Panels {
			panel := b.grafanaPanel(p, server)
			panel["id"], panel["title"] = i+1, p.Title
			panel["gridPos"] = object{"x": p.X / 2, "y": p.Y, "w": p.W / 2, "h": p.H} // on 24 columns
			panels = append(panels, panel)
		}
		d := newGrafanaDashboard(newUID(b.Name, "board", board.ID), board.Title, board.Description, panels)
		d["time"] = allTime
		if board.Timed {
			d["time"] = object{"from": timeRange, "to": "now"}
		}
		all = append(all, d)
	}
	return all
}

// schemaVersion is the form of dashboards in Grafana 11; later ones bring it up to their own.
const schemaVersion = 39

func newGrafanaDashboard(uid, title, description string, panels []object) object {
	return object{
		"uid": uid, "title": title, "description": description, "tags": []string{"haystream"}, "timezone": "browser", "schemaVersion": schemaVersion,
		"editable": true, "graphTooltip": 1, "refresh": "1m", "panels": panels, "annotations": object{"list": []any{}}, "templating": object{"list": []any{}}, "links": []any{},
	}
}

func (b *Boards) grafanaPanel(p *Panel, server SearchServer) object {
	if why := p.noGrafana(); why != "" {
		return object{"type": "text", "options": object{"mode": "markdown", "content": why}}
	}
	source := object{"type": server.kind(), "uid": b.sourceUID(p.View.Alias)}
	target := object{
		"refId": "A", "datasource": source, "query": p.grafanaQuery(), "timeField": p.View.TimeField, "metrics": []object{p.grafanaMetric()}, "bucketAggs": []object{},
	}
	if server.OpenSearch {
		target["queryType"], target["luceneQueryType"] = "lucene", "Metric"
	}
	panel := object{"datasource": source, "targets": []object{target}, "fieldConfig": object{"defaults": object{}, "overrides": []any{}}}
	bucket := func(kind, field string, settings object) {
		agg := object{"id": "2", "type": kind, "settings": settings}
		if field != "" {
			agg["field"] = field
		}
		target["bucketAggs"] = []object{agg}
	}
	switch p.Kind {
	case documents:
		panel["type"], target["metrics"] = "table", []object{{"id": "1", "type": "raw_data", "settings": object{"size": "20"}}}
		if server.OpenSearch {
			target["luceneQueryType"] = "RawData"
		}
	case list:
		panel["type"] = "table"
		bucket("terms", p.By, object{"size": strconv.Itoa(p.Size), "order": "desc", "orderBy": p.grafanaOrder(), "min_doc_count": "1"})
	case graph:
		panel["type"] = "timeseries"
		panel["fieldConfig"].(object)["defaults"] = object{"custom": object{"drawStyle": "bars", "fillOpacity": 80}}
		bucket("date_histogram", p.Over, object{"interval": "1" + intervals[p.Every], "min_doc_count": "0", "trimEdges": "0"})
		if p.Since != "" {
			panel["timeFrom"] = p.Since
		}
	default:
		panel["type"], panel["options"] = "stat", object{"reduceOptions": object{"values": true, "calcs": []string{"lastNotNull"}, "fields": ""}, "graphMode": "none"}
		filters := []object{{"query": "*", "label": p.label()}}
		if p.Before != nil {
			target["query"] = p.counted("*")
			filters = []object{{"query": p.Query.Lucene, "label": "now"}, {"query": p.Before.Lucene, "label": p.Ago + " ago"}}
		}
		bucket("filters", "", object{"filters": filters})
	}
	return panel
}

// noGrafana says why Grafana cannot show the panel; empty where it can.
func (p *Panel) noGrafana() string {
	switch {
	case p.View.TimeField == "":
		return "The index " + p.View.Alias + " has no date field. Grafana's data source needs one."
	case p.Query.DSL != nil:
		return "The widget's query is query DSL. Grafana's data source takes Lucene text only."
	}
	return ""
}

// grafanaQuery is Lucene text; where a field is counted, of the documents that have it.
func (p *Panel) grafanaQuery() string { return p.counted(cmp.Or(p.Query.Lucene, "*")) }

func (p *Panel) counted(query string) string {
	if p.Function == widgets.Count {
		return "(" + query + ") AND _exists_:" + p.Field
	}
	return query
}

func (p *Panel) grafanaMetric() object {
	m := object{"id": "1", "type": p.Function, "field": p.Field, "settings": object{}}
	switch p.Function {
	case "", widgets.Count:
		return object{"id": "1", "type": "count"}
	case widgets.Percentile:
		m["settings"] = object{"percents": []string{strconv.FormatFloat(p.Percent, 'f', -1, 64)}}
	}
	return m
}

// grafanaOrder is what a list is ordered by.
func (p *Panel) grafanaOrder() string {
	switch p.Function {
	case "", widgets.Count:
		return "_count"
	case widgets.Percentile:
		return "1[" + strconv.FormatFloat(p.Percent, 'f', 1, 64) + "]"
	}
	return "1"
}
