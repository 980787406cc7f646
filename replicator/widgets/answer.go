package widgets

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// An Answer is what a widget shows. Of its members GET /widgets/NAME gives those that its
// kind has, by the names that django-dashing's widgets read.
type Answer struct {
	Title     string
	Value     Number // of a number, and over all points of a graph
	Before    Number // in the period before, with compare
	Change    string // from Before to Value, such as +12.5%; empty where it cannot be said
	List      []Entry
	Points    []Point
	Note      string // what somebody should know who reads the numbers
	UpdatedAt time.Time
}

// A Number is JSON: a number digit by digit, null, or a date as a string.
type Number = json.RawMessage

// An Entry of a list.
type Entry struct {
	Label json.RawMessage `json:"label"` // a string, or a number
	Value Number          `json:"value"`
}

// A Point of a graph.
type Point struct {
	X int64  `json:"x"` // where it begins, in Unix seconds
	Y Number `json:"y"`
}

// What the sink answers.
type (
	result struct {
		Hits struct {
			Total struct {
				Value json.Number `json:"value"`
			} `json:"total"`
		} `json:"hits"`
		Aggregations struct {
			Value  *metric `json:"value"`
			Now    *bucket `json:"now"`
			Before *bucket `json:"before"`
			List   struct {
				Buckets []bucket    `json:"buckets"`
				Error   json.Number `json:"doc_count_error_upper_bound"`
				Others  json.Number `json:"sum_other_doc_count"`
			} `json:"list"`
			Graph struct {
				Buckets []bucket `json:"buckets"`
			} `json:"graph"`
		} `json:"aggregations"`
	}
	bucket struct {
		Key   json.RawMessage `json:"key"`
		Text  json.RawMessage `json:"key_as_string"`
		Count json.Number     `json:"doc_count"`
		Value *metric         `json:"value"`
	}
	metric struct {
		Value  *json.Number    `json:"value"`
		Text   json.RawMessage `json:"value_as_string"`
		Values []struct {
			Value *json.Number `json:"value"`
		} `json:"values"`
	}
)

// read is what the sink's answer says.
func (q *question) read(body json.RawMessage) (Answer, error) {
	var r result
	if err := json.Unmarshal(body, &r); err != nil {
		return Answer{}, fmt.Errorf("read answer to search: %w", err)
	}
	aggs := r.Aggregations
	out := Answer{}
	switch {
	case q.config.List != nil:
		out.List = []Entry{}
		for i := range aggs.List.Buckets {
			b := &aggs.List.Buckets[i]
			label := b.Key
			if b.Text != nil {
				label = b.Text
			}
			out.List = append(out.List, Entry{Label: label, Value: q.number(b.Value, b.Count)})
		}
		if e := aggs.List.Error.String(); e != "0" && e != "" {
			out.Note = "approximate: the index has several shards with many different values"
		}
	case q.config.Graph != nil:
		out.Points = []Point{}
		for i := range aggs.Graph.Buckets {
			b := &aggs.Graph.Buckets[i]
			at, err := strconv.ParseFloat(string(b.Key), 64)
			if err != nil {
				return Answer{}, fmt.Errorf("read answer to search: a point at %s: %w", b.Key, err)
			}
			out.Points = append(out.Points, Point{X: int64(at) / 1000, Y: q.number(b.Value, b.Count)})
		}
		out.Value = q.number(aggs.Value, r.Hits.Total.Value)
	case aggs.Now != nil && aggs.Before != nil:
		out.Value = q.number(aggs.Now.Value, aggs.Now.Count)
		out.Before = q.number(aggs.Before.Value, aggs.Before.Count)
		out.Change = change(out.Before, out.Value)
	default:
		out.Value = q.number(aggs.Value, r.Hits.Total.Value)
	}
	return out, nil
}

var null = json.RawMessage("null")

// number is the widget's value of some documents, in the digits of its field.
func (q *question) number(m *metric, count json.Number) Number {
	name, field := q.config.Value.Function()
	if name == "" {
		return json.RawMessage(count)
	}
	if m == nil {
		return null
	}
	value := m.Value
	if len(m.Values) > 0 {
		value = m.Values[0].Value
	}
	switch {
	case value == nil:
		return null
	case m.Text != nil && q.fields.dates(field):
		return m.Text
	}
	decimals := q.fields.decimals(field)
	switch {
	case name == Count || name == Cardinality:
		return plain(*value, 0)
	case name == Sum && decimals < 0, name == Avg, name == Percentile:
		return plain(rounded(*value), -1)
	}
	return plain(*value, decimals)
}

// certain are the digits of a double that computing has not touched: in a sum of amounts
// they are all that there are.
const certain = 15

func rounded(n json.Number) json.Number {
	f, err := n.Float64()
	if err != nil {
		return n
	}
	return json.Number(strconv.FormatFloat(f, 'g', certain, 64))
}

// dates reports whether the values of a field are dates.
func (f *Fields) dates(name string) bool {
	field := f.named[name]
	return field != nil && field.Dates()
}

// largestPlain is the largest number that is written without an exponent.
const largestPlain = 1e21

// plain is a number of the sink's, which computes with doubles, in the decimals that its
// field has: a sum of cents is one of cents.
func plain(n json.Number, decimals int) Number {
	f, err := n.Float64()
	switch {
	case err != nil || math.IsInf(f, 0) || math.IsNaN(f):
		return null
	case math.Abs(f) >= largestPlain:
		return json.RawMessage(n)
	case decimals == 0:
		if _, err := n.Int64(); err == nil {
			return json.RawMessage(n)
		}
	}
	text := strconv.FormatFloat(f, 'f', decimals, 64)
	return json.RawMessage(text)
}

// change is by how much a number has changed, for people; empty where it was nothing.
func change(before, now Number) string {
	a, errA := strconv.ParseFloat(string(before), 64)
	b, errB := strconv.ParseFloat(string(now), 64)
	switch {
	case errA != nil || errB != nil || a == 0:
		return ""
	case a == b:
		return "0%"
	}
	percent := (b - a) / math.Abs(a) * 100
	decimals := 1
	if math.Abs(percent) >= 100 {
		decimals = 0
	}
	return fmt.Sprintf("%+.*f%%", decimals, percent)
}

// MarshalJSON gives the answer as django-dashing's widgets read it. A member that such a
// widget has is there even where it is empty.
func (v *View) MarshalJSON() ([]byte, error) {
	a := v.Answer
	out := object{"name": v.Name, "title": a.Title, "moreInfo": v.note(), "updatedAt": ""}
	if !a.UpdatedAt.IsZero() {
		out["updatedAt"] = a.UpdatedAt.Format(time.RFC3339)
	}
	if v.Err != nil {
		out["error"], out["failingSince"] = v.Err.Error(), v.Since.Format(time.RFC3339)
	}
	switch v.Kind {
	case KindList:
		out["data"] = a.List
	case KindGraph:
		out["data"], out["value"] = a.Points, a.Value
		out["properties"] = object{"renderer": "bar", "padding": object{"top": 0.1}}
	default:
		out["value"], out["detail"], out["changeRate"] = a.Value, v.Detail(), a.Change
		if a.Before != nil {
			out["before"] = a.Before
		}
	}
	return json.Marshal(out)
}

// Detail says what a number is compared with; empty without compare.
func (v *View) Detail() string {
	if v.Answer.Before == nil {
		return ""
	}
	change := v.Answer.Change
	if change == "" {
		change = "was " + string(v.Answer.Before)
	}
	return change + " against " + v.Compare.String() + " before"
}

// note is what should be known of the answer.
func (v *View) note() string {
	if v.Err != nil {
		return "no answer since " + v.Since.Format("15:04:05") + ": " + v.Err.Error()
	}
	return v.Answer.Note
}
