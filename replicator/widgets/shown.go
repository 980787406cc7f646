package widgets

import (
	"encoding/json"
	"strings"
)

// What others than the page show of widgets.

// Reachable reports whether aggregations see the field.
func (f *Field) Reachable() bool { return f.unreachable() == "" }

// IsZero reports whether the query takes all documents.
func (q *Query) IsZero() bool { return strings.TrimSpace(q.Lucene) == "" && q.DSL == nil }

// Before is the query as it was a span of time ago.
func (q *Query) Before(by Span) (Query, error) {
	if q.DSL == nil {
		text, until := shiftLucene(q.Lucene, by)
		for _, field := range until {
			text = "(" + text + ") AND " + field + ":<now-" + by.String()
		}
		return Query{Lucene: text}, nil
	}
	before, err := (&question{config: &Config{Query: *q}, zone: "UTC"}).query(by) // which is what the sink takes without one
	if err != nil {
		return Query{}, err
	}
	text, err := json.Marshal(before)
	return Query{DSL: text}, err
}
