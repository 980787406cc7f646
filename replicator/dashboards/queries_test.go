package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"haystream/internal/servers"
)

var searches = []*servers.Shared{
	{Spec: servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"}},
	{Spec: servers.Spec{Kind: servers.OpenSearch, Version: "2.19"}},
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, server := range searches {
		server.Stop()
	}
	os.Exit(code)
}

// A document of the test, by its age.
type document struct {
	author string
	age    time.Duration
	total  string // empty for none
	title  string
}

const day = 24 * time.Hour

var stock = []document{
	{"a", 10 * time.Minute, "10.10", "One"},
	{"a", 20 * time.Minute, "20.20", "Two"},
	{"b", 26 * time.Hour, "0.05", "Three"},
	{"c", 27 * time.Hour, "5", "Four"},
	{"c", 10 * day, "", "Five"},
	{"d", 60 * day, "100", "Six"},
	{"a", 3 * time.Hour, "1", "One"},
	{"a", 75 * time.Hour, "", "Five"}, // mostly in the day that a graph of three days begins with
}

// Every panel asks for the numbers that it should, in the words of each target, as the target asks the server. What a
// panel asks is taken out of the objects as they are written.
func TestQueries(t *testing.T) {
	for _, shared := range searches {
		t.Run(shared.Spec.Kind, func(t *testing.T) {
			s := &searcher{t: t, url: shared.Get(t).URL, now: time.Now().UTC()}
			s.fill()
			want := s.expected(s.now.Add(-3 * day).Truncate(day))
			t.Run("saved objects", func(t *testing.T) {
				s := s.in(t)
				s.compare(want, s.savedObjects(shopBoards(t)))
			})
			t.Run("Kibana", func(t *testing.T) {
				s, want := s.in(t), without(want)
				want["dsl ago"] = "3" // a metric takes no query DSL of its own; the panel says so
				s.compare(want, s.kibana(shopBoards(t)))
			})
			t.Run("Grafana", func(t *testing.T) {
				// Its panels begin in the middle of an interval. Text panels say why the others are not there.
				s, want := s.in(t), without(s.expected(s.now.Add(-3*day)), "dsl", "dsl ago", "plain: documents", "plain: top name", "plain: latest documents")
				s.compare(want, s.grafana(shopBoards(t)))
			})
		})
	}
}

func without(all map[string]string, titles ...string) map[string]string {
	rest := map[string]string{}
	for title, answer := range all {
		if !slices.Contains(titles, title) {
			rest[title] = answer
		}
	}
	return rest
}

// expected are the answers by the panels' titles; graphs are where those of three days begin.
func (s *searcher) expected(graphs time.Time) map[string]string {
	last := func(from time.Time, value func(document) float64, which func(document) bool) string {
		days := map[string]float64{}
		for _, d := range stock {
			if !s.now.Add(-d.age).Before(from) && which(d) {
				days[s.now.Add(-d.age).Format(time.DateOnly)] += value(d)
			}
		}
		var out []string
		for date, n := range days {
			out = append(out, date+"="+amount(n))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	one := func(document) float64 { return 1 }
	all := func(document) bool { return true }
	total := func(d document) float64 {
		n, _ := strconv.ParseFloat("0"+d.total, 64)
		return n
	}
	return map[string]string{
		"Recent notes": "3 2", "revenue": "136.35", "highest": "100", "middle": "7.55", "distinct": "6", "counted": "4", "average": "10.43",
		"dsl": "2", "dsl ago": "3 2", "authors": "a=4 c=2", "best": "d=100",
		"daily":            last(graphs, one, func(d document) bool { return d.author != "b" }),
		"spent":            last(graphs, total, all),
		"notes: documents": "7", "notes: sum of total": "36.35", "notes: top author": "a=4 c=2 b=1", "notes: top title.keyword": "Five=2 One=2 Four=1 Three=1 Two=1",
		"notes: documents per day": last(s.now.Add(-30*day), one, all), "notes: latest documents": "0 1 6 2 3 7 4",
		"plain: documents": "1", "plain: top name": "x=1", "plain: latest documents": "0",
	}
}

// amount is a number as the answers are compared.
func amount(n float64) string { return strconv.FormatFloat(roundTo(n), 'f', -1, 64) }

func roundTo(n float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(n, 'f', 2, 64), 64)
	return r
}

// A searcher asks a server what panels ask.
type searcher struct {
	t   *testing.T
	url string
	now time.Time
}

func (s *searcher) in(t *testing.T) *searcher { return &searcher{t, s.url, s.now} }

func (s *searcher) do(method, path string, body any) (answer object) {
	s.t.Helper()
	var text []byte
	switch b := body.(type) {
	case string:
		text = []byte(b)
	default:
		text, _ = json.Marshal(b)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode >= 300 {
		s.t.Fatalf("%s %s %s: %s %v %v", method, path, text, response.Status, answer, err)
	}
	return answer
}

// fill makes the indexes behind their aliases, and beside them what a wildcard would count twice.
func (s *searcher) fill() {
	for _, name := range []string{"notes-1", "notes-2"} {
		body := object{"mappings": json.RawMessage(mappings)}
		if name == "notes-1" {
			body["aliases"] = object{"notes": object{}}
		}
		s.do(http.MethodPut, "/"+name, body)
		for i, d := range stock {
			row := object{"author": d.author, "created": s.now.Add(-d.age), "title": d.title}
			if d.total != "" {
				row["total"] = json.Number(d.total)
			}
			s.do(http.MethodPut, fmt.Sprintf("/%s/_doc/%d?refresh=true", name, i), row)
		}
	}
	s.do(http.MethodPut, "/plain-1", object{"aliases": object{"plain": object{}}, "mappings": object{"properties": object{"name": object{"type": "keyword"}}}})
	s.do(http.MethodPut, "/plain-1/_doc/0?refresh=true", object{"name": "x"})
}

func (s *searcher) compare(want, is map[string]string) {
	s.t.Helper()
	for title, answer := range want {
		if is[title] != answer {
			s.t.Errorf("%s: %q, want %q", title, is[title], answer)
		}
	}
	for title, answer := range is {
		if _, ok := want[title]; !ok {
			s.t.Errorf("%s: %q, and nothing is expected of it", title, answer)
		}
	}
}

// search is the answer to a panel's question: numbers, or entries of lists and graphs, or the ids of documents.
func (s *searcher) search(index string, filters []any, aggs object, sort []any) string {
	s.t.Helper()
	body := object{"query": object{"bool": object{"filter": filters}}, "track_total_hits": true, "size": 0}
	if aggs == nil {
		body["size"] = 20
		if sort != nil {
			body["sort"] = sort
		}
	} else {
		body["aggs"] = aggs
	}
	answer := s.do(http.MethodPost, "/"+index+"/_search", body)
	if aggs == nil {
		var ids []string
		for _, hit := range answer["hits"].(object)["hits"].([]any) {
			ids = append(ids, hit.(object)["_id"].(string))
		}
		return strings.Join(ids, " ")
	}
	found, _ := answer["aggregations"].(object)
	hits := answer["hits"].(object)["total"].(object)["value"].(float64)
	bucket, ok := found["2"].(object)
	if !ok {
		return value(found, hits)
	}
	var out []string
	switch buckets := bucket["buckets"].(type) {
	case []any:
		for _, b := range buckets {
			b := b.(object)
			n := b["doc_count"].(float64)
			if n == 0 {
				continue
			}
			name, ok := b["key_as_string"].(string)
			if !ok {
				name = b["key"].(string)
			} else {
				name = name[:len(time.DateOnly)]
			}
			out = append(out, name+"="+value(b, n))
		}
	case object: // filters, by their labels
		names := make([]string, 0, len(buckets))
		for name := range buckets {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range slices.Backward(names) { // "now" before "1d ago"
			b := buckets[name].(object)
			out = append(out, value(b, b["doc_count"].(float64)))
		}
	}
	return strings.Join(out, " ")
}

// value is that of the aggregation 1, or the count where there is none.
func value(found object, count float64) string {
	metric, ok := found["1"].(object)
	if !ok {
		return amount(count)
	}
	if values, ok := metric["values"].(object); ok {
		for _, v := range values {
			return amount(v.(float64))
		}
	}
	n, _ := metric["value"].(float64)
	return amount(n)
}

func queryString(text string) object {
	return object{"query_string": object{"query": text, "analyze_wildcard": true}}
}

func within(field string) object {
	return object{"range": object{field: object{"gte": timeRange, "lte": "now"}}}
}

// decoded is a value as it is written.
func decoded(t *testing.T, v any) (o object) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func inner(t *testing.T, o object, name string) object {
	t.Helper()
	text, ok := o[name].(string)
	if !ok {
		t.Fatalf("there is no text %s in %v", name, o)
	}
	return decoded(t, json.RawMessage(text))
}

// savedObjects asks as aggregation-based visualizations and saved searches do: the search source says which
// documents, and aggs of visState what of them.
func (s *searcher) savedObjects(b *Boards) map[string]string {
	lines, err := b.savedObjectsFile()
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]object{}
	answers := map[string]string{}
	for line := range bytes.Lines(lines) {
		o := decoded(s.t, json.RawMessage(line))
		all[o["type"].(string)+o["id"].(string)] = o
	}
	for _, o := range all {
		attributes := o["attributes"].(object)
		if o["type"] == "index-pattern" || o["type"] == "dashboard" {
			continue
		}
		source := inner(s.t, attributes["kibanaSavedObjectMeta"].(object), "searchSourceJSON")
		view := object{}
		for _, r := range o["references"].([]any) {
			if r := r.(object); r["name"] == source["indexRefName"] {
				view = all["index-pattern"+r["id"].(string)]["attributes"].(object)
			}
		}
		var filters []any
		if text := source["query"].(object)["query"].(string); text != "" {
			filters = append(filters, queryString(text))
		}
		for _, f := range source["filter"].([]any) {
			filters = append(filters, f.(object)["query"])
		}
		if field, ok := view["timeFieldName"].(string); ok {
			filters = append(filters, within(field))
		}
		var aggs object
		var sort []any
		if o["type"] == "visualization" {
			aggs = visAggs(inner(s.t, attributes, "visState")["aggs"].([]any))
		}
		if by, ok := attributes["sort"].([]any); ok {
			for _, pair := range by {
				sort = append(sort, object{pair.([]any)[0].(string): pair.([]any)[1]})
			}
		}
		answers[attributes["title"].(string)] = s.search(view["title"].(string), filters, aggs, sort)
	}
	return answers
}

func visAggs(list []any) object {
	aggs, metric := object{}, object{}
	for _, a := range list {
		a := a.(object)
		params := a["params"].(object)
		delete(params, "customLabel")
		switch kind := a["type"].(string); kind {
		case "count":
		case "terms":
			order := params["orderBy"].(string)
			if len(metric) == 0 {
				order = "_count"
			}
			aggs["2"] = object{"terms": object{"field": params["field"], "size": params["size"], "order": object{order: params["order"]}}, "aggs": metric}
		case "date_histogram":
			aggs["2"] = object{"date_histogram": object{"field": params["field"], "calendar_interval": "1" + params["interval"].(string), "min_doc_count": params["min_doc_count"]}, "aggs": metric}
		case "filters":
			filters := object{}
			for _, f := range params["filters"].([]any) {
				query := f.(object)["input"].(object)["query"]
				if text, ok := query.(string); ok {
					query = queryString(text)
				}
				filters[f.(object)["label"].(string)] = query
			}
			aggs["2"] = object{"filters": object{"filters": filters}, "aggs": metric}
		default:
			metric["1"] = object{kind: params}
		}
	}
	if aggs["2"] == nil {
		return metric
	}
	return aggs
}

// kibana asks as the panels of the Dashboards API do.
func (s *searcher) kibana(b *Boards) map[string]string {
	file := decoded(s.t, b.kibana())
	views := map[string]object{}
	for _, v := range file["data_views"].([]any) {
		views[v.(object)["id"].(string)] = v.(object)
	}
	answers := map[string]string{}
	for _, d := range file["dashboards"].([]any) {
		for _, p := range d.(object)["data"].(object)["panels"].([]any) {
			config := p.(object)["config"].(object)
			holder, aggs := config, object{}
			var sort []any
			switch {
			case config["tabs"] != nil:
				holder, aggs = config["tabs"].([]any)[0].(object), nil
				if by, ok := holder["sort"].([]any); ok {
					for _, o := range by {
						sort = append(sort, object{o.(object)["name"].(string): o.(object)["direction"]})
					}
				}
			case config["type"] == "xy":
				holder = config["layers"].([]any)[0].(object)
				x := holder["x"].(object)
				aggs["2"] = object{"date_histogram": object{"field": x["field"], "calendar_interval": "1" + x["suggested_interval"].(string)}, "aggs": operationAggs(holder["y"].([]any)[0])}
			case config["type"] == "data_table":
				row := config["rows"].([]any)[0].(object)
				metric := operationAggs(config["metrics"].([]any)[0])
				order := "1"
				if len(metric) == 0 {
					order = "_count"
				}
				aggs["2"] = object{"terms": object{"field": row["fields"].([]any)[0], "size": row["limit"], "order": object{order: "desc"}}, "aggs": metric}
			default:
				metrics := config["metrics"].([]any)
				aggs = operationAggs(metrics[0])
				if len(metrics) == 2 {
					filters := object{}
					for i, label := range []string{"now", "1d ago"} {
						filters[label] = queryString(metrics[i].(object)["filter"].(object)["expression"].(string))
					}
					aggs = object{"2": object{"filters": object{"filters": filters}, "aggs": aggs}}
				}
			}
			var filters []any
			source := holder["data_source"].(object)
			index, _ := source["index_pattern"].(string)
			if id, ok := source["ref_id"].(string); ok {
				index = views[id]["title"].(string)
				if field, ok := views[id]["timeFieldName"].(string); ok {
					filters = append(filters, within(field))
				}
			}
			if query, ok := config["query"].(object); ok {
				filters = append(filters, queryString(query["expression"].(string)))
			}
			if more, ok := config["filters"].([]any); ok {
				for _, f := range more {
					filters = append(filters, f.(object)["dsl"])
				}
			}
			answers[config["title"].(string)] = s.search(index, filters, aggs, sort)
		}
	}
	return answers
}

func operationAggs(o any) object {
	op := o.(object)
	field := object{"field": op["field"]}
	switch kind := op["operation"].(string); kind {
	case "count":
		if op["field"] == nil {
			return object{}
		}
		return object{"1": object{"value_count": field}}
	case "average":
		return object{"1": object{"avg": field}}
	case "unique_count":
		return object{"1": object{"cardinality": field}}
	case "percentile":
		return object{"1": object{"percentiles": object{"field": op["field"], "percents": []any{op["percentile"]}}}}
	default:
		return object{"1": object{kind: field}}
	}
}

// grafana asks as its data source does: always within the time of the dashboard or the panel.
func (s *searcher) grafana(b *Boards) map[string]string {
	files, err := b.GrafanaFiles(SearchServer{URL: s.url})
	if err != nil {
		s.t.Fatal(err)
	}
	answers := map[string]string{}
	for _, f := range files {
		if !strings.HasSuffix(f.Path, ".json") || strings.HasSuffix(f.Path, "haystream-daemon.json") {
			continue
		}
		dashboard := decoded(s.t, json.RawMessage(f.Text))
		for _, p := range dashboard["panels"].([]any) {
			p := p.(object)
			if p["type"] == "text" {
				continue
			}
			target := p["targets"].([]any)[0].(object)
			from := dashboard["time"].(object)["from"]
			if own, ok := p["timeFrom"].(string); ok {
				from = "now-" + own
			}
			field := target["timeField"].(string)
			filters := []any{queryString(target["query"].(string)), object{"range": object{field: object{"gte": from, "lte": dashboard["time"].(object)["to"]}}}}
			aggs, sort := grafanaAggs(target)
			if aggs == nil {
				sort = []any{object{field: "desc"}}
			}
			answers[p["title"].(string)] = s.search(s.index(b, target), filters, aggs, sort)
		}
	}
	return answers
}

// index is that of the target's data source.
func (s *searcher) index(b *Boards, target object) string {
	for _, source := range b.grafanaSources(SearchServer{URL: s.url}) {
		if source.UID == target["datasource"].(object)["uid"] {
			return source.JSONData["index"].(string)
		}
	}
	s.t.Fatalf("there is no data source %v", target["datasource"])
	return ""
}

func grafanaAggs(target object) (aggs object, sort []any) {
	metric := object{}
	m := target["metrics"].([]any)[0].(object)
	switch kind := m["type"].(string); kind {
	case "raw_data":
		return nil, nil
	case "count":
	case "percentiles":
		metric["1"] = object{kind: object{"field": m["field"], "percents": m["settings"].(object)["percents"]}}
	default:
		metric["1"] = object{kind: object{"field": m["field"]}}
	}
	bucket := target["bucketAggs"].([]any)[0].(object)
	settings := bucket["settings"].(object)
	agg := object{}
	switch bucket["type"] {
	case "filters":
		filters := object{}
		for _, f := range settings["filters"].([]any) {
			filters[f.(object)["label"].(string)] = queryString(f.(object)["query"].(string))
		}
		agg = object{"filters": object{"filters": filters}}
	case "terms":
		size, _ := strconv.Atoi(settings["size"].(string))
		agg = object{"terms": object{"field": bucket["field"], "size": size, "order": object{settings["orderBy"].(string): settings["order"]}}}
	case "date_histogram":
		agg = object{"date_histogram": object{"field": bucket["field"], "fixed_interval": settings["interval"], "min_doc_count": settings["min_doc_count"]}}
	}
	agg["aggs"] = metric
	return object{"2": agg}, nil
}
