package widgets

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A jsonRange is a range query: {"range":{FIELD:{…}}}.
type jsonRange struct {
	field string
	ends  object
}

// decodeQuery reads a query in the DSL, its numbers digit by digit.
func decodeQuery(raw json.RawMessage) (query object, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return query, d.Decode(&query)
}

// A jsonText is a query_string query, which holds Lucene text.
type jsonText struct {
	text string
	body object
}

// walkQuery calls each and lucene for every range and every query_string within a query.
func walkQuery(query any, each func(*jsonRange), lucene func(*jsonText)) {
	switch q := query.(type) {
	case []any:
		for _, inner := range q {
			walkQuery(inner, each, lucene)
		}
	case object:
		for kind, inner := range q {
			body, _ := inner.(object)
			if kind == "range" {
				for field, ends := range body {
					if ends, ok := ends.(object); ok {
						each(&jsonRange{field, ends})
					}
				}
				continue
			}
			if text, ok := body["query"].(string); ok && kind == "query_string" {
				lucene(&jsonText{text, body})
			}
			walkQuery(inner, each, lucene)
		}
	}
}

// The names of a range's ends. Both forms with from and to are old ones.
var (
	lowerEnds = []string{"gte", "gt", "from"}
	upperEnds = []string{"lte", "lt", "to"}
)

func (r *jsonRange) end(names []string) bound {
	for _, name := range names {
		if text, ok := r.ends[name].(string); ok {
			return bound{text: text}
		} else if r.ends[name] != nil {
			return bound{text: "a number"}
		}
	}
	return bound{}
}

func (r *jsonRange) span() span {
	return span{field: r.field, from: r.end(lowerEnds), to: r.end(upperEnds)}
}

// fromNow reports whether one of its ends is date math from now.
func (r *jsonRange) fromNow() bool { return r.span().from.fromNow() || r.span().to.fromNow() }

// shift moves its ends that are from now.
func (r *jsonRange) shift(by Span) {
	for name, end := range r.ends {
		if text, ok := end.(string); ok && (bound{text: text}).fromNow() {
			r.ends[name] = "now-" + by.String() + strings.TrimPrefix(text, "now")
		}
	}
}
