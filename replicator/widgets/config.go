// Package widgets shows numbers, lists and graphs of the documents in an index. A
// widget is one search, which is made when somebody looks at it.
//
// The guarantee: what a widget shows is exact for the documents that the sink shows to
// searches at one moment, or it says how far it may be off. However many look, there is
// one search of a widget in some seconds, and few at a time. A search that fails keeps
// the last answer, with the reason and since when.
package widgets

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"gopkg.in/yaml.v3"

	"haystream/internal/conf"
)

// A Config is one entry of `widgets:`: a number, or with List a list, or with Graph a graph.
type Config struct {
	// Title is shown above it. Default: the widget's name.
	Title string `yaml:"title"`

	// Index is the definition whose documents are looked at: all that are in its index.
	Index string `yaml:"index"`

	// Query chooses documents: Lucene text, such as "action:press AND created:>=now-1d", or a
	// mapping in Elasticsearch's query DSL. Default: all.
	Query Query `yaml:"query"`

	// Value is what is shown of the documents; for a list or a graph, of those of each
	// entry or point. Default: their count.
	Value Value `yaml:"value"`

	// Compare is how long before now the period lies that a number is compared with,
	// such as 1d or 1M: the query is asked again as it was then.
	Compare Span `yaml:"compare"`

	// List shows the values of a field that most documents have, or with the highest value.
	List *List `yaml:"list"`

	// Graph shows the course over time.
	Graph *Graph `yaml:"graph"`
}

// A List is the `list:` of a widget.
type List struct {
	// By is the field whose values are listed.
	By string `yaml:"by"`

	// Size is how many of them are, at most. Default: 10.
	Size int `yaml:"size"`
}

// A Graph is the `graph:` of a widget.
type Graph struct {
	// Over is the date field that is the x axis.
	Over string `yaml:"over"`

	// Every is what one point stands for: minute, hour, day, week, month or year, by the
	// pipeline's time_zone. Default: day.
	Every string `yaml:"every"`

	// Last is how far back it reaches, such as 2d. Default: 30 points.
	Last Span `yaml:"last"`
}

// Kinds of widgets.
const (
	KindNumber = "number"
	KindList   = "list"
	KindGraph  = "graph"
)

// Kind is the one that is configured.
func (c *Config) Kind() string {
	switch {
	case c.List != nil:
		return KindList
	case c.Graph != nil:
		return KindGraph
	}
	return KindNumber
}

// A Value is the `value:` of a widget: one function of one field. The zero Value is the
// count of the documents.
type Value struct {
	// Count is a field whose values are counted.
	Count string `yaml:"count"`

	// Sum, Avg, Min and Max are numeric fields; the last two may be dates.
	Sum string `yaml:"sum"`
	Avg string `yaml:"avg"`
	Min string `yaml:"min"`
	Max string `yaml:"max"`

	// Cardinality is a field whose different values are counted: exactly up to some
	// ten thousand, and about beyond that.
	Cardinality string `yaml:"cardinality"`

	// Percentile is a numeric field, of which Percent of the values are not above the
	// one shown. Percent is 50 by default, the median.
	Percentile string  `yaml:"percentile"`
	Percent    float64 `yaml:"percent"`
}

// UnmarshalYAML reads the word count, or one function and its field.
func (v *Value) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Value == "count" {
		return nil
	}
	if node.Kind == yaml.ScalarNode {
		return fmt.Errorf("wants a function and its field, such as {sum: total}, or count")
	}
	type settings Value
	return conf.Decode(node, (*settings)(v))
}

// Functions of values, as the sink's aggregations are called.
const (
	Count       = "value_count"
	Sum         = "sum"
	Avg         = "avg"
	Min         = "min"
	Max         = "max"
	Cardinality = "cardinality"
	Percentile  = "percentiles"
)

// Function is the sink's aggregation and its field; both are empty where documents are counted.
func (v *Value) Function() (name, field string) {
	for _, f := range v.functions() {
		if f.field != "" {
			return f.name, f.field
		}
	}
	return "", ""
}

// Aggregation is Function over the fields of an index: whole values are counted by the field that has them.
func (v *Value) Aggregation(fields *Fields) (name, field string) {
	name, field = v.Function()
	if name == Count || name == Cardinality {
		field = fields.Exact(field)
	}
	return name, field
}

// Rank is how many percent of the values are not above the percentile.
func (v *Value) Rank() float64 { return cmp.Or(v.Percent, 50) }

type function struct{ setting, name, field string }

func (v *Value) functions() []function {
	return []function{
		{"count", Count, v.Count},
		{"sum", Sum, v.Sum},
		{"avg", Avg, v.Avg},
		{"min", Min, v.Min},
		{"max", Max, v.Max},
		{"cardinality", Cardinality, v.Cardinality},
		{"percentile", Percentile, v.Percentile},
	}
}

// A Query is Lucene text or the JSON of a query. The zero Query is all documents.
type Query struct {
	Lucene string // as servers take it, see func Lucene
	DSL    json.RawMessage
}

// UnmarshalYAML reads either form.
func (q *Query) UnmarshalYAML(node *yaml.Node) error {
	switch node.Kind {
	case yaml.ScalarNode:
		q.Lucene = Lucene(node.Value)
		return nil
	case yaml.MappingNode:
		return conf.Decode(node, &q.DSL)
	}
	return fmt.Errorf("wants Lucene text, or a mapping in query DSL, such as {term: {action: press}}")
}

// A Span is a time by the calendar, written as 30m, 1h, 2d, 1w, 1M or 1y.
type Span struct {
	Count int
	Unit  byte // of date math: s, m, h, d, w, M, y
}

const maxSpan = 100_000

// UnmarshalText reads a span.
func (s *Span) UnmarshalText(text []byte) error {
	if last := len(text) - 1; last > 0 {
		n, err := strconv.Atoi(string(text[:last]))
		if _, ok := seconds[text[last]]; ok && err == nil && n > 0 && n <= maxSpan {
			*s = Span{n, text[last]}
			return nil
		}
	}
	return fmt.Errorf("%q is not a span of time; write it like 30m, 1h, 2d, 1w, 1M or 1y", text)
}

// IsZero reports whether there is none.
func (s Span) IsZero() bool { return s.Count == 0 }

// String is the span in date math: 1d.
func (s Span) String() string {
	if s.IsZero() {
		return ""
	}
	return strconv.Itoa(s.Count) + string(s.Unit)
}

// seconds that a unit of time has, about.
var seconds = map[byte]int{'s': 1, 'm': 60, 'h': 3600, 'd': 86_400, 'w': 7 * 86_400, 'M': 30 * 86_400, 'y': 365 * 86_400}

// seconds that it takes, about.
func (s Span) seconds() int { return s.Count * seconds[s.Unit] }

// units of date math that the intervals of a graph are.
var units = map[string]byte{"minute": 'm', "hour": 'h', "day": 'd', "week": 'w', "month": 'M', "year": 'y'}

// Intervals are the valid ones of a graph.
func Intervals() []string { return []string{"minute", "hour", "day", "week", "month", "year"} }
