package mapping

import (
	"strings"

	"haystream/sinks"
	"haystream/sinks/bulk"
	"haystream/sources"
)

// Compile makes a plan without options but for the sink's field types.
func Compile(catalog []*sources.Table, types map[string]bool, sets ...Set) (*Plan, error) {
	return Options{Rules: rules(types)}.Compile(catalog, sets...)
}

// rules are those of a sink with these field types beyond the basic ones; nil for any.
func rules(types map[string]bool) sinks.Rules {
	r := bulk.Rules()
	r.Types = types
	return r
}

// sample is a table with a column of each type that templates and expressions tell apart.
func sample() *sources.Table {
	table := parseCatalog(nil, strings.ReplaceAll("table public.sample key;id bigint key;title text;status uuid;published boolean;deleted boolean;price numeric;"+
		"quantity integer;weight double;created timestamptz;day date;expires timestamp;doc jsonb;tags text[];none text;count integer;odd integer;nan numeric", ";", "\n"))[0]
	table.Columns[15].Name = "Odd Name"
	return table
}

var sampleRow = map[string]string{
	"id": "9007199254740993", "title": "Žluťoučký kůň", "status": "open", "published": "true",
	"price": "19.90", "quantity": "3", "weight": "0.1",
	"created": "2024-02-29T12:30:00.000001Z", "day": "2024-02-29", "expires": "infinity",
	"doc":  `{"a": {"b": [1, 2.50, null, {"c": "x"}]}, "big": 123456789012345678901234567890, "items": [{"p": 0.1}, {"p": 0.2}, {"q": 1}]}`,
	"tags": `["go","sql"]`, "count": "7", "Odd Name": "5", "nan": "NaN",
}

// newTree is the scope of a definition's own rows of a table.
func newTree(table *sources.Table) *scope {
	tree := &tree{schema: &schema{catalog: []*sources.Table{table}}, at: func(t *sources.Table) *sources.Table { return t }, purpose: forFields}
	return tree.root(table)
}
