package mapping

import "haystream/sources"

// sample is a table with a column of each kind that expressions tell apart.
func sample() *sources.Table {
	elem := sources.Type{Kind: sources.Text}
	return &sources.Table{
		Schema: "public", Home: true, Name: "sample",
		Columns: []sources.Column{
			{Name: "id", Type: sources.Type{Kind: sources.Int, Size: 8, SQL: "bigint"}, NotNull: true},
			{Name: "title", Type: sources.Type{Kind: sources.Text, SQL: "text"}},
			{Name: "status", Type: sources.Type{Kind: sources.Keyword, SQL: "status"}},
			{Name: "published", Type: sources.Type{Kind: sources.Bool, SQL: "boolean"}},
			{Name: "deleted", Type: sources.Type{Kind: sources.Bool, SQL: "boolean"}},
			{Name: "price", Type: sources.Type{Kind: sources.Decimal, SQL: "numeric"}},
			{Name: "quantity", Type: sources.Type{Kind: sources.Int, Size: 4, SQL: "integer"}},
			{Name: "weight", Type: sources.Type{Kind: sources.Float, Size: 8, SQL: "double precision"}},
			{Name: "created", Type: sources.Type{Kind: sources.TimestampTZ, SQL: "timestamp with time zone"}},
			{Name: "day", Type: sources.Type{Kind: sources.Date, SQL: "date"}},
			{Name: "expires", Type: sources.Type{Kind: sources.Timestamp, SQL: "timestamp without time zone"}},
			{Name: "doc", Type: sources.Type{Kind: sources.JSON, SQL: "jsonb"}},
			{Name: "tags", Type: sources.Type{Kind: sources.Array, SQL: "text[]", Elem: &elem}},
			{Name: "none", Type: sources.Type{Kind: sources.Text, SQL: "text"}},
			{Name: "count", Type: sources.Type{Kind: sources.Int, Size: 4, SQL: "integer"}},
			{Name: "Odd Name", Type: sources.Type{Kind: sources.Int, Size: 4, SQL: "integer"}},
			{Name: "nan", Type: sources.Type{Kind: sources.Decimal, SQL: "numeric"}},
		},
		Key: []int{0}, Identity: sources.IdentityKey, IdentityColumns: []int{0},
	}
}

var sampleRow = map[string]string{
	"id": "9007199254740993", "title": "Žluťoučký kůň", "status": "open", "published": "true",
	"price": "19.90", "quantity": "3", "weight": "0.1",
	"created": "2024-02-29T12:30:00.000001Z", "day": "2024-02-29", "expires": "infinity",
	"doc":  `{"a": {"b": [1, 2.50, null, {"c": "x"}]}, "big": 123456789012345678901234567890, "items": [{"p": 0.1}, {"p": 0.2}, {"q": 1}]}`,
	"tags": `["go","sql"]`, "count": "7", "Odd Name": "5", "nan": "NaN",
}

// row makes a row of t; a column that is not in values is NULL.
func row(t *sources.Table, values map[string]string) sources.Row {
	var a sources.Arena
	a.StartRow(len(t.Columns))
	for i := range t.Columns {
		if text, ok := values[t.Columns[i].Name]; ok {
			a.Text([]byte(text))
		} else {
			a.Null()
		}
	}
	return a.EndRow()
}
