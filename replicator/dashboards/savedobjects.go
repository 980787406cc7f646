package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"haystream/replicator/widgets"
)

// object is a JSON object.
type object = map[string]any

// A savedObject is one line of the NDJSON that Kibana and OpenSearch Dashboards import.
type savedObject struct {
	Type             string            `json:"type"`
	ID               string            `json:"id"`
	Attributes       object            `json:"attributes"`
	References       []reference       `json:"references"`
	MigrationVersion map[string]string `json:"migrationVersion"`
}

type reference struct {
	Name string `json:"name"`
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Types of saved objects, with the version of the form that is written here. OpenSearch Dashboards
// knows no later ones, and Kibana brings older ones up to its own when it imports them.
var savedVersions = map[string]string{
	"index-pattern": "7.6.0", "visualization": "7.10.0", "search": "7.9.3", "dashboard": "7.9.3",
}

const panelVersion = "7.10.0"

// savedObjectsFile is the boards as NDJSON: aggregation-based visualizations in the form of 7.10, which
// Kibana 7.17 to 9 and OpenSearch Dashboards take. What an object refers to stands before it.
func (b *Boards) savedObjectsFile() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, o := range b.savedObjects() {
		if err := encoder.Encode(o); err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", o.Type, o.ID, err)
		}
	}
	return out.Bytes(), nil
}

func (b *Boards) savedObjects() (all []*savedObject) {
	for _, v := range b.Views {
		attributes := object{"title": v.Alias}
		if v.TimeField != "" && !v.Timeless {
			attributes["timeFieldName"] = v.TimeField
		}
		all = append(all, newSavedObject("index-pattern", v.ID, attributes))
	}
	for _, board := range b.Boards {
		for _, p := range board.Panels {
			all = append(all, p.savedObject())
		}
		all = append(all, board.savedObject())
	}
	return all
}

func newSavedObject(kind, id string, attributes object, references ...reference) *savedObject {
	return &savedObject{
		Type: kind, ID: id, Attributes: attributes, References: append([]reference{}, references...),
		MigrationVersion: map[string]string{kind: savedVersions[kind]},
	}
}

// timeRange is what a dashboard with a time filter begins with.
const timeRange = "now-30d"

func (board *Board) savedObject() *savedObject {
	var panels []object
	var references []reference
	for i, p := range board.Panels {
		n, ref := strconv.Itoa(i+1), fmt.Sprintf("panel_%d", i)
		panels = append(panels, object{
			"version": panelVersion, "panelIndex": n, "panelRefName": ref, "embeddableConfig": object{},
			"gridData": object{"x": p.X, "y": p.Y, "w": p.W, "h": p.H, "i": n},
		})
		references = append(references, reference{ref, p.savedType(), p.ID})
	}
	attributes := object{
		"title": board.Title, "description": board.Description, "hits": 0, "version": 1,
		"panelsJSON": text(panels), "optionsJSON": text(object{"useMargins": true, "hidePanelTitles": false}), "timeRestore": board.Timed,
		"kibanaSavedObjectMeta": object{"searchSourceJSON": text(object{"query": lucene(""), "filter": []any{}})},
	}
	if board.Timed {
		attributes["timeFrom"], attributes["timeTo"] = timeRange, "now"
	}
	return newSavedObject("dashboard", board.ID, attributes, references...)
}

// text is JSON within a string, as saved objects have it.
func text(v any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // maps, slices, texts and numbers
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

func lucene(query string) object { return object{"query": query, "language": "lucene"} }

func (p *Panel) savedType() string {
	if p.Kind == documents {
		return "search"
	}
	return "visualization"
}

func (p *Panel) savedObject() *savedObject {
	source, references := p.searchSource()
	attributes := object{"title": p.Title, "description": "", "version": 1, "kibanaSavedObjectMeta": object{"searchSourceJSON": text(source)}}
	if p.Kind == documents {
		sort := [][]string{}
		if p.Sort != "" {
			sort = append(sort, []string{p.Sort, "desc"})
		}
		attributes["hits"], attributes["columns"], attributes["sort"] = 0, p.Columns, sort
		return newSavedObject("search", p.ID, attributes, references...)
	}
	attributes["uiStateJSON"], attributes["visState"] = "{}", text(p.visState())
	return newSavedObject("visualization", p.ID, attributes, references...)
}

// searchSource is which documents the panel asks of.
func (p *Panel) searchSource() (object, []reference) {
	const meta = "kibanaSavedObjectMeta.searchSourceJSON."
	references := []reference{{meta + "index", "index-pattern", p.View.ID}}
	query := p.Query.Lucene
	if p.Before != nil {
		query = "" // each of both numbers has its own
	}
	filters := []any{}
	for i, f := range p.filters() {
		name := fmt.Sprintf("%sfilter[%d].meta.index", meta, i)
		references = append(references, reference{name, "index-pattern", p.View.ID})
		filters = append(filters, object{
			"$state": object{"store": "appState"}, "query": f.query,
			"meta": object{
				"alias": f.label, "disabled": false, "negate": false, "type": "custom", "key": "query", "value": text(f.query), "indexRefName": name,
			},
		})
	}
	return object{"query": lucene(query), "filter": filters, "indexRefName": meta + "index"}, references
}

// A filter is a condition beside the query's text.
type filter struct {
	label string // for people
	query any    // in query DSL
}

func (p *Panel) filters() (all []filter) {
	if p.Query.DSL != nil && p.Before == nil {
		all = append(all, filter{"the widget's query", p.Query.DSL})
	}
	if p.Since != "" {
		all = append(all, filter{"the last " + p.Since, p.recent()})
	}
	if p.Function == widgets.Count {
		all = append(all, filter{p.Field + " exists", object{"exists": object{"field": p.Field}}})
	}
	return all
}

// recent are the documents of the graph's time, which begins with a whole interval.
func (p *Panel) recent() object {
	return object{"range": object{p.Over: object{"gte": "now-" + p.Since + "/" + intervals[p.Every], "lte": "now"}}}
}

// label says what the panel computes.
func (p *Panel) label() string {
	switch p.Function {
	case "", widgets.Count:
		return "Count"
	case widgets.Cardinality:
		return "Different values of " + p.Field
	case widgets.Percentile:
		return fmt.Sprintf("Percentile %v of %s", p.Percent, p.Field)
	case widgets.Avg:
		return "Average of " + p.Field
	}
	return map[string]string{widgets.Sum: "Sum", widgets.Min: "Least", widgets.Max: "Greatest"}[p.Function] + " of " + p.Field
}

// metricAgg is the aggregation 1, and the name by which others are ordered by it.
func (p *Panel) metricAgg() (agg object, order string) {
	params := object{"customLabel": p.label()}
	kind, order := p.Function, "1"
	switch p.Function {
	case "", widgets.Count: // where a field is counted, a filter takes the documents that have it
		kind = "count"
	case widgets.Percentile:
		params["field"], params["percents"] = p.Field, []float64{p.Percent}
		order = "1." + strconv.FormatFloat(p.Percent, 'f', -1, 64)
	default:
		params["field"] = p.Field
	}
	return newAgg("1", kind, "metric", params), order
}

func newAgg(id, kind, schema string, params object) object {
	return object{"id": id, "enabled": true, "type": kind, "schema": schema, "params": params}
}

// intervals of a graph as date histograms call them.
var intervals = map[string]string{"minute": "m", "hour": "h", "day": "d", "week": "w", "month": "M", "year": "y"}

func (p *Panel) visState() object {
	metric, order := p.metricAgg()
	aggs := []object{metric}
	state := object{"title": p.Title}
	switch p.Kind {
	case list:
		aggs = append(aggs, newAgg("2", "terms", "bucket", object{
			"field": p.By, "size": p.Size, "order": "desc", "orderBy": order, "customLabel": p.By,
			"otherBucket": false, "otherBucketLabel": "Other", "missingBucket": false, "missingBucketLabel": "Missing",
		}))
		state["type"], state["params"] = "table", object{
			"perPage": 10, "showPartialRows": false, "showMetricsAtAllLevels": false, "showTotal": false, "totalFunc": "sum", "percentageCol": "",
		}
	case graph:
		aggs = append(aggs, newAgg("2", "date_histogram", "segment", object{
			"field": p.Over, "interval": intervals[p.Every], "useNormalizedEsInterval": true, "scaleMetricValues": false,
			"drop_partials": false, "min_doc_count": 1, "extended_bounds": object{},
		}))
		state["type"], state["params"] = "histogram", p.bars()
	default:
		if p.Before != nil {
			aggs = append(aggs, newAgg("2", "filters", "group", object{"filters": []object{
				{"input": input(&p.Query), "label": "now"}, {"input": input(p.Before), "label": p.Ago + " ago"},
			}}))
		}
		state["type"], state["params"] = "metric", object{
			"type": "metric", "addTooltip": true, "addLegend": false,
			"metric": object{
				"percentageMode": false, "useRanges": false, "colorSchema": "Green to Red", "metricColorMode": "None",
				"colorsRange": []object{{"from": 0, "to": 10000}}, "labels": object{"show": true}, "invertColors": false,
				"style": object{"bgFill": "#000", "bgColor": false, "labelColor": false, "subText": "", "fontSize": 48},
			},
		}
	}
	state["aggs"] = aggs
	return state
}

// input is a query as a filter of the filters aggregation has it: text, or an object that is taken as it is.
func input(q *widgets.Query) object {
	if q.DSL != nil {
		return object{"query": q.DSL, "language": "lucene"}
	}
	return lucene(q.Lucene)
}

func (p *Panel) bars() object {
	return object{
		"type": "histogram", "grid": object{"categoryLines": false},
		"categoryAxes": []object{{
			"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": true, "style": object{}, "scale": object{"type": "linear"},
			"labels": object{"show": true, "filter": true, "truncate": 100}, "title": object{},
		}},
		"valueAxes": []object{{
			"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": true, "style": object{},
			"scale": object{"type": "linear", "mode": "normal"}, "labels": object{"show": true, "rotate": 0, "filter": false, "truncate": 100},
			"title": object{"text": p.label()},
		}},
		"seriesParams": []object{{
			"show": true, "type": "histogram", "mode": "stacked", "data": object{"id": "1", "label": p.label()}, "valueAxis": "ValueAxis-1",
			"drawLinesBetweenPoints": true, "lineWidth": 2, "showCircles": true,
		}},
		"addTooltip": true, "addLegend": false, "legendPosition": "right", "times": []any{}, "addTimeMarker": false,
		"labels": object{"show": false}, "thresholdLine": object{"show": false, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
	}
}
