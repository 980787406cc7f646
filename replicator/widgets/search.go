package widgets

import (
	"encoding/json"
	"maps"
)

// An object is JSON that is put together.
type object = map[string]any

// A question is what a widget asks the sink: the body of one search.
type question struct {
	config *Config
	fields *Fields
	zone   string
}

// body is the search. Nothing of the documents themselves comes back.
func (q *question) body() ([]byte, error) {
	query, err := q.query(Span{})
	if err != nil {
		return nil, err
	}
	search := object{"size": 0, "track_total_hits": true}
	aggs := q.value()
	switch {
	case q.config.List != nil:
		aggs = object{"list": q.list()}
	case q.config.Graph != nil:
		query, aggs = q.graph(query)
	case !q.config.Compare.IsZero():
		before, err := q.query(q.config.Compare)
		if err != nil {
			return nil, err
		}
		// Both in one search, so that now is the same moment in both.
		aggs = object{"now": within(query, aggs), "before": within(before, aggs)}
		query = object{"bool": object{"should": []any{query, before}, "minimum_should_match": 1}}
	}
	search["query"] = query
	if len(aggs) > 0 {
		search["aggs"] = aggs
	}
	return json.Marshal(search)
}

// within are the aggregations over the documents that a query finds.
func within(query, aggs object) object {
	out := object{"filter": query}
	if len(aggs) > 0 {
		out["aggs"] = aggs
	}
	return out
}

// query is the widget's own, as it was so long before now.
func (q *question) query(before Span) (object, error) {
	w := q.config.Query
	var until []string
	lucene := func(t *jsonText) {
		if t.body["time_zone"] == nil {
			t.body["time_zone"] = q.zone
		}
		if !before.IsZero() {
			var fields []string
			t.text, fields = shiftLucene(t.text, before)
			until = append(until, fields...)
		}
		t.body["query"] = Lucene(t.text)
	}
	ranges := func(r *jsonRange) {
		if r.fromNow() && r.ends["time_zone"] == nil {
			r.ends["time_zone"] = q.zone
		}
		if !before.IsZero() {
			until = r.span().until(until)
			r.shift(before)
		}
	}
	query := object{"match_all": object{}}
	switch {
	case w.DSL != nil:
		var err error
		if query, err = decodeQuery(w.DSL); err != nil {
			return nil, err
		}
	case w.Lucene != "":
		query = object{"query_string": object{"query": w.Lucene, "analyze_wildcard": true}}
	}
	walkQuery(query, ranges, lucene)
	if len(until) == 0 {
		return query, nil
	}
	var later []any
	for _, field := range until {
		later = append(later, object{"range": object{field: object{"gte": "now-" + before.String()}}})
	}
	return object{"bool": object{"filter": []any{query}, "must_not": later}}, nil
}

// mostPrecise is up to how many different values are counted exactly.
const mostPrecise = 40_000

// value is the aggregation of the widget's value; none where documents are counted.
func (q *question) value() object {
	name, field := q.config.Value.Aggregation(q.fields)
	if name == "" {
		return object{}
	}
	body := object{"field": field}
	switch name {
	case Cardinality:
		body["precision_threshold"] = mostPrecise
	case Percentile:
		body["percents"] = []float64{q.config.Value.Rank()}
		body["keyed"] = false
		body["tdigest"] = object{"compression": 2000} // few values in each centroid, so that a median of whole numbers is within a half; under a megabyte
	}
	return object{"value": object{name: body}}
}

// leastAsked is how many values each shard is asked for: with one that has no more
// different ones the list is exact.
const leastAsked = 1000

func (q *question) list() object {
	size := q.config.List.Limit()
	terms := object{"field": q.fields.Exact(q.config.List.By), "size": size, "shard_size": max(leastAsked, 10*size)}
	out := object{"terms": terms}
	if aggs := q.value(); len(aggs) > 0 {
		out["aggs"] = aggs
		terms["order"] = []any{object{q.sortKey(): "desc"}, object{"_key": "asc"}}
	}
	return out
}

// sortKey names the value that a list is sorted by.
func (q *question) sortKey() string {
	if name, _ := q.config.Value.Function(); name == Percentile {
		text, _ := json.Marshal(q.config.Value.Rank()) // a number
		return "value." + string(text)
	}
	return "value"
}

// graph is the query with the time that the graph shows, and the points. Their time
// begins with a whole interval, so that the first point is of all its documents.
func (q *question) graph(query object) (object, object) {
	g := q.config.Graph
	unit := string(units[g.Interval()])
	from := "now-" + g.Reach().String() + "/" + unit
	shown := object{"range": object{g.Over: object{"gte": from, "lte": "now", "time_zone": q.zone}}}
	points := object{"date_histogram": object{
		"field": g.Over, "calendar_interval": g.Interval(), "time_zone": q.zone, "min_doc_count": 0,
		"extended_bounds": object{"min": from, "max": "now"},
	}}
	aggs := q.value()
	if len(aggs) > 0 {
		points["aggs"] = maps.Clone(aggs)
	}
	aggs["graph"] = points
	return object{"bool": object{"filter": []any{query, shown}}}, aggs
}
