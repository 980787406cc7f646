package dashboards

import (
	"haystream/replicator/widgets"
)

// A kibanaFile is what Kibana 9.5 and later are sent: for each data view the body of POST
// /api/data_views/data_view, and for each dashboard that of PUT /api/dashboards/ID.
type kibanaFile struct {
	DataViews  []kibanaView      `json:"data_views"`
	Dashboards []kibanaDashboard `json:"dashboards"`
}

type kibanaView struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Name      string `json:"name"`
	TimeField string `json:"timeFieldName,omitempty"`
}

type kibanaDashboard struct {
	ID   string `json:"id"`
	Data object `json:"data"`
}

// kibana is in the form of the Dashboards API as it is from 9.5 on.
func (b *Boards) kibana() *kibanaFile {
	f := &kibanaFile{DataViews: []kibanaView{}, Dashboards: []kibanaDashboard{}}
	for _, v := range b.Views {
		if !v.Timeless { // panels without a time filter bring their own
			f.DataViews = append(f.DataViews, kibanaView{v.ID, v.Alias, v.Alias, v.TimeField})
		}
	}
	for _, board := range b.Boards {
		panels := []object{}
		for _, p := range board.Panels {
			kind, config := p.kibana()
			panels = append(panels, object{"type": kind, "uid": p.ID, "grid": object{"x": p.X, "y": p.Y, "w": p.W, "h": p.H}, "config": config})
		}
		data := object{"title": board.Title, "description": board.Description, "panels": panels}
		if board.Timed {
			data["time_range"] = object{"from": timeRange, "to": "now"}
		}
		f.Dashboards = append(f.Dashboards, kibanaDashboard{board.ID, data})
	}
	return f
}

func (p *Panel) kibana() (kind string, config object) {
	config = object{"title": p.Title}
	switch p.Kind {
	case documents:
		tab := object{"data_source": p.dataSource(), "column_order": p.Columns}
		if p.Sort != "" {
			tab["sort"] = []object{{"name": p.Sort, "direction": "desc"}}
		}
		config["tabs"] = []object{tab}
		return "discover_session", config
	case list:
		config["type"], config["data_source"] = "data_table", p.dataSource()
		config["metrics"] = []object{p.operation()}
		config["rows"] = []object{{
			"operation": "terms", "fields": []string{p.By}, "limit": p.Size, "rank_by": object{"type": "metric", "metric_index": 0, "direction": "desc"},
		}}
	case graph:
		config["type"] = "xy"
		config["layers"] = []object{{
			"type": "bar", "data_source": p.dataSource(),
			"x": object{"operation": "date_histogram", "field": p.Over, "suggested_interval": intervals[p.Every], "include_empty_rows": true},
			"y": []object{p.operation()},
		}}
	default:
		config["type"], config["data_source"] = "metric", p.dataSource()
		primary := p.operation()
		primary["type"] = "primary"
		metrics := []object{primary}
		if p.Before != nil && p.Before.DSL == nil {
			secondary := p.operation()
			secondary["type"], secondary["label"], secondary["compare"] = "secondary", p.Ago+" ago", object{"to": "primary"}
			primary["filter"], secondary["filter"] = expression(p.Query.Lucene), expression(p.Before.Lucene)
			config["metrics"] = append(metrics, secondary)
			return "vis", config
		}
		if p.Before != nil {
			config["description"] = "Without the comparison with " + p.Ago + " before: a metric of Kibana takes no query DSL of its own."
		}
		config["metrics"] = metrics
	}
	if p.Query.Lucene != "" {
		config["query"] = expression(p.Query.Lucene)
	}
	var filters []object
	if p.Query.DSL != nil {
		filters = append(filters, object{"type": "dsl", "label": "the widget's query", "dsl": p.Query.DSL})
	}
	if p.Since != "" {
		filters = append(filters, object{"type": "dsl", "label": "the last " + p.Since, "dsl": p.recent()})
	}
	if filters != nil {
		config["filters"] = filters
	}
	return "vis", config
}

func expression(text string) object { return object{"expression": text, "language": "lucene"} }

// dataSource is the saved data view, or where no time filter applies one of the panel's own.
func (p *Panel) dataSource() object {
	if p.View.Timeless {
		return object{"type": "data_view_spec", "index_pattern": p.View.Alias}
	}
	return object{"type": "data_view_reference", "ref_id": p.View.ID}
}

// operation is what the panel computes.
func (p *Panel) operation() object {
	o := object{"label": p.label()}
	if p.Field != "" {
		o["field"] = p.Field
	}
	switch p.Function {
	case "", widgets.Count:
		o["operation"] = "count"
	case widgets.Avg:
		o["operation"] = "average"
	case widgets.Cardinality:
		o["operation"] = "unique_count"
	case widgets.Percentile:
		o["operation"], o["percentile"] = "percentile", p.Percent
	default:
		o["operation"] = p.Function
	}
	return o
}
