// Package dashboards writes the widgets and the indexes of a configuration as dashboards of
// Kibana, OpenSearch Dashboards and Grafana, and puts them there.
//
// The guarantee: what is written depends on the configuration and the catalog alone, so that the
// same gives the same bytes. Every object has an id that follows from its name, so that a second
// push replaces the first. An object that somebody has changed since is left alone unless Push is
// told to overwrite it.
package dashboards

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"haystream/mapping"
	"haystream/replicator/widgets"
)

// Targets.
const (
	Kibana     = "kibana"     // 9.5 and later, by the Dashboards API
	Kibana7    = "kibana-7"   // 7.17 to 9, by saved objects
	OpenSearch = "opensearch" // OpenSearch Dashboards, by saved objects
	Grafana    = "grafana"
)

// Boards are what a configuration amounts to, whatever the target.
type Boards struct {
	Name   string // of the pipeline
	Views  []*View
	Boards []*Board
}

// A View is how a target gets at the documents of an alias.
type View struct {
	ID        string
	Alias     string
	TimeField string // that a time filter applies to; empty for none

	// Timeless: the panels of widgets say themselves which time they look at, so no time filter applies.
	Timeless bool
}

// A Board is one dashboard.
type Board struct {
	ID, Title, Description string
	Timed                  bool // a time filter applies to its panels
	Panels                 []*Panel
}

// Kinds of panels.
const (
	number    = "number"
	list      = "list"
	graph     = "graph"
	documents = "documents"
)

// A Panel is one question and how its answer is shown.
type Panel struct {
	ID, Title string
	Kind      string
	View      *View
	Query     widgets.Query

	// Function and Field are what is computed, as the sink's aggregation is called; both are
	// empty where documents are counted.
	Function, Field string
	Percent         float64

	Before  *widgets.Query // of a number: the same question some time ago
	Ago     string         // how long ago that is, such as 1d
	By      string         // of a list: the field whose values are listed
	Size    int            // of a list: how many
	Over    string         // of a graph: the date field
	Every   string         // of a graph: minute, hour, day, week, month or year
	Since   string         // of a graph: how far back it goes, such as 2d; empty for what the time filter says
	Columns []string       // of documents
	Sort    string         // of documents: the date field whose latest come first; empty for none

	X, Y, W, H int // place on a grid of 48 columns
}

// newID is one that all targets take, and that no other name gives.
func newID(parts ...string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(parts, "\x00"))) // never fails
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(strings.Join(parts, "-")))
	return fmt.Sprintf("haystream-%s-%08x", readable[:min(len(readable), 80)], uint32(h.Sum64()))
}

// New makes the dashboards of a pipeline: one of its widgets, and one for each of its indexes.
func New(name string, indexes []*mapping.Index, set widgets.Set, alias func(definition string) string) (*Boards, error) {
	b := &Boards{Name: name}
	fields := map[string]*widgets.Fields{}
	for _, index := range indexes {
		f, err := widgets.ReadFields(index.Mappings)
		if err != nil {
			return nil, fmt.Errorf("index %s: %w", index.Alias, err)
		}
		fields[index.Alias] = f
	}
	if err := b.widgets(set, alias, fields); err != nil {
		return nil, err
	}
	for _, index := range indexes {
		b.index(index.Alias, fields[index.Alias])
	}
	return b, nil
}

// view is the one of an alias, made where it is not there yet.
func (b *Boards) view(alias string, fields *widgets.Fields, timeless bool) *View {
	for _, v := range b.Views {
		if v.Alias == alias && v.Timeless == timeless {
			return v
		}
	}
	v := &View{Alias: alias, TimeField: timeField(fields), Timeless: timeless}
	if timeless {
		v.ID = newID(b.Name, "view", alias, "widgets")
	} else {
		v.ID = newID(b.Name, "view", alias)
	}
	b.Views = append(b.Views, v)
	return v
}

// Usual names of the field that says when a document's row came to be, the likeliest first.
var timeFields = []string{
	"@timestamp", "timestamp", "created", "created_at", "created_on", "date_created", "creation_date", "inserted_at",
	"pub_date", "published", "published_at", "date", "time", "datetime",
}

// timeField is the date field that a time filter applies to: one of a usual name, else the first by
// name; empty where there is none.
func timeField(fields *widgets.Fields) string {
	var dates []string
	for _, name := range fields.Names() {
		if f, _ := fields.Find(name); f.Dates() && f.Reachable() {
			dates = append(dates, name)
		}
	}
	for _, usual := range timeFields {
		if slices.Contains(dates, usual) {
			return usual
		}
	}
	return cmp.Or(append(dates, "")...)
}

// Columns of the grid, as Kibana has them.
const columns = 48

// flow places panels row by row: those of one row are as high as the highest of them.
func flow(panels []*Panel) {
	x, y, height := 0, 0, 0
	for _, p := range panels {
		if x+p.W > columns {
			x, y, height = 0, y+height, 0
		}
		p.X, p.Y = x, y
		x, height = x+p.W, max(height, p.H)
	}
}

// File is what a target other than Grafana takes: NDJSON, or for Kibana 9.5 and later the bodies of its API's requests.
func (b *Boards) File(target string) ([]byte, error) {
	if target == Kibana {
		return encodeJSON(b.kibana())
	}
	return b.savedObjectsFile()
}
