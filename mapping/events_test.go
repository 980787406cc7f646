package mapping

import (
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"haystream/sinks"
	"haystream/sources"
)

// eventTable is as package events makes it.
func eventTable(name string) *sources.Table {
	return &sources.Table{
		Schema: "events", Name: name, Home: true, Open: true, Key: []int{0}, Identity: sources.IdentityFull,
		Columns: []sources.Column{
			{Name: "id", Type: sources.Type{Kind: sources.Keyword, SQL: "text"}, NotNull: true},
			{Name: "created", Type: sources.Type{Kind: sources.TimestampTZ, SQL: "timestamp with time zone"}, NotNull: true},
		},
	}
}

func eventSet(t *testing.T, definition string) Set {
	t.Helper()
	var set Set
	if err := yaml.Unmarshal([]byte("{clicks: {"+definition+"}}"), &set.Indexes); err != nil {
		t.Fatal(err)
	}
	return set
}

// What does not go with events is told, with what to do.
func TestEventsGoWith(t *testing.T) {
	for definition, want := range map[string]string{
		`events: {}`: "",
		`events: {}, mode: append, where: a > 1, routing: a, fields: {a: {type: long}}`: "",
		`events: {}, table: notes`:                               "over a table or over events",
		`events: {}, fields: "*"`:                                "name them, each with its type",
		`events: {}, fields: {a: {}}`:                            "give it a type",
		`events: {}, fields: {a: b.c}`:                           "give it a type",
		`events: {}, fields: {a: {mapping: {type: long}}}`:       "",
		`events: {}, fields: {a: {template: "{{ .b.c }}"}}`:      "",
		`events: {}, fields: {a: {expr: "b + c", type: double}}`: "",
		`events: {}, fields: {a: {value: 1}}`:                    "",
		`events: {}, where: "created > now()"`:                   "now() has no meaning",
		`events: {name: a b}`:                                    `"a b" cannot be the name`,
		`events: {}, haystack: {model: a.b}`:                     "events are none",
		`events: {}, mode: other`:                                "must be append",
	} {
		_, err := Options{}.Compile([]*sources.Table{eventTable("clicks"), eventTable("a b")}, eventSet(t, definition))
		if text := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v; want %q", definition, err, want)
		} else if strings.Contains(text, "no table") {
			t.Errorf("%s: %v; events are in no table", definition, err)
		}
	}
}

// Definitions over the same events, and a saved one, each find the members that they name.
func TestOpenTable(t *testing.T) {
	set := eventSet(t, `events: {}, where: kind == "x", fields: {a: {type: keyword}, city: {from: address.city, type: keyword}}`)
	set.Indexes["more"] = eventSet(t, `events: {name: clicks}, fields: {b: {expr: "n * 2", type: long}, a: {template: "{{ .a }}!"}}`).Indexes["clicks"]
	plan, err := Options{}.Compile([]*sources.Table{eventTable("clicks")}, set)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := Restore(plan.Sets[0][0].Normalized)
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = (Options{}).Compile([]*sources.Table{eventTable("clicks")}, set, saved); err != nil {
		t.Fatal(err)
	}
	table := plan.Tables[0]
	var names []string
	arena := &sources.Arena{}
	arena.StartRow(len(table.Columns))
	for _, c := range table.Columns {
		names = append(names, c.Name)
		arena.Text([]byte(map[string]string{
			"id": "1", "created": "2026-11-29T10:00:00Z", "kind": `"x"`, "a": `"A"`, "address": `{"city":"Rome"}`, "n": "4",
		}[c.Name]))
	}
	row := arena.EndRow()
	if len(names) != 6 {
		t.Fatalf("the columns are %v", names)
	}
	for i, want := range map[int]string{
		0: `{"a":"A","city":"Rome","created":"2026-11-29T10:00:00Z","id":"1"}`,
		1: `{"a":"A!","b":8,"created":"2026-11-29T10:00:00Z","id":"1"}`,
	} {
		batch := &sinks.Batch{}
		r := plan.Sets[0][i].Renderers[0]
		if err := r.Row(NewScratch(), batch, &sinks.Target{}, row, 1); err != nil {
			t.Fatal(err)
		}
		if len(batch.Actions) != 1 || string(batch.Actions[0].Body) != want || string(batch.Actions[0].ID) != "1" || !r.Append {
			t.Errorf("%s gives %s", r.Name, batch.Actions[0].Body)
		}
	}
}

// An index is of rows or of events.
func TestEventsApart(t *testing.T) {
	set := eventSet(t, `events: {}, index: both`)
	set.Indexes["notes"] = &Definition{Index: "both", Table: "notes", Fields: Fields{All: true}}
	if err := fmt.Sprint(set.Check(sinks.Rules{})); !strings.Contains(err, "events want an index of their own") {
		t.Error(err)
	}
	if n := len(set.Part(true).Indexes) + len(set.Part(false).Indexes); n != 2 || len(set.Part(true).Indexes) != 1 {
		t.Errorf("parts have %d definitions", n)
	}
}
