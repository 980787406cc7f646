package widgets

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/mapping"
)

// A Set is the `widgets:` of a configuration, by name.
type Set map[string]*Config

// Of are the widgets of some definitions.
func (s Set) Of(indexes map[string]*mapping.Definition) Set {
	of := Set{}
	for name, w := range s {
		if w != nil && indexes[w.Index] != nil {
			of[name] = w
		}
	}
	return of
}

const (
	maxSize   = 1000 // entries of a list
	maxPoints = 2000 // of a graph
)

// A checker collects what is wrong with widgets.
type checker struct{ problems mapping.Problems }

func (c *checker) failf(path, format string, args ...any) {
	problem := mapping.Problem{Path: path, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(c.problems, problem) {
		c.problems = append(c.problems, problem)
	}
}

// Check finds the mistakes that widgets have whatever the tables are like.
func (s Set) Check(definitions map[string]*mapping.Definition) mapping.Problems {
	c := &checker{}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		at, w := "widgets."+name, s[name]
		if !conf.ValidName(name) { // it is part of a URL
			c.failf(at, "the name %s", conf.NameForm)
		}
		if w == nil {
			w = &Config{}
		}
		c.settings(at, w)
		c.index(at, w, definitions)
	}
	return c.problems
}

// index looks whether there is the definition, and the fields that it names.
func (c *checker) index(at string, w *Config, definitions map[string]*mapping.Definition) {
	names := slices.Sorted(maps.Keys(definitions))
	d, ok := definitions[w.Index]
	switch {
	case w.Index == "":
		c.failf(at+".index", "name a definition of indexes")
		return
	case !ok:
		c.failf(at+".index", "there is no definition %q under indexes%s", w.Index, conf.DidYouMean(w.Index, names))
		return
	case d == nil || d.Table == "" || d.Fields.All || d.Haystack != nil || d.Mapping != nil || len(d.Fields.Named) == 0:
		return // the catalog tells which fields there are
	}
	fields := slices.Sorted(maps.Keys(d.Fields.Named))
	for _, use := range w.uses() {
		if head, _, _ := strings.Cut(use.field, "."); use.field != "" && d.Fields.Named[head] == nil {
			c.failf(at+"."+use.setting, "%s", noField(use.field, w.Index, fields))
		}
	}
}

func noField(field, index string, fields []string) string {
	return fmt.Sprintf("there is no field %q in the index %s%s", field, index, conf.DidYouMean(field, fields))
}

// A use is a setting that names a field, and what kind of field it takes.
type use struct {
	setting, field string
	takes          func(*Field) string // what is wrong with the field; empty where nothing is
}

// uses are all of the widget but those in its query.
func (w *Config) uses() (all []use) {
	takes := map[string]func(*Field) string{
		Count: (*Field).notCountable, Sum: (*Field).notNumeric, Avg: (*Field).notNumeric, Percentile: (*Field).notNumeric,
		Min: (*Field).notOrdered, Max: (*Field).notOrdered, Cardinality: (*Field).notCountable,
	}
	for _, f := range w.Value.functions() {
		if f.field != "" {
			all = append(all, use{"value." + f.setting, f.field, takes[f.name]})
		}
	}
	if w.List != nil {
		all = append(all, use{"list.by", w.List.By, (*Field).notCountable})
	}
	if w.Graph != nil {
		all = append(all, use{"graph.over", w.Graph.Over, (*Field).notDate})
	}
	return all
}

// settings looks whether a widget's settings go together.
func (c *checker) settings(at string, w *Config) {
	var set []string
	for _, f := range w.Value.functions() {
		if f.field != "" {
			set = append(set, f.setting)
		}
	}
	if len(set) > 1 {
		c.failf(at+".value", "has %s; keep one of them", strings.Join(set, " and "))
	}
	if p := w.Value.Percent; p != 0 && w.Value.Percentile == "" {
		c.failf(at+".value.percent", "goes with percentile only")
	} else if p < 0 || p > 100 {
		c.failf(at+".value.percent", "must be above 0, and at most 100")
	}
	if w.List != nil && w.Graph != nil {
		c.failf(at+".graph", "there is a list, too; keep one of them, and make another widget of the other")
	}
	for _, r := range w.Query.spans() {
		if r.compared && r.from.text+r.to.text == "" && !r.from.quoted && !r.to.quoted { // servers find nothing, and say nothing
			c.failf(at+".query", "nothing stands behind the < or > of the field %s", r.field)
		}
	}
	if !w.Compare.IsZero() {
		c.compare(at, w)
	}
	if w.List != nil {
		if w.List.By == "" {
			c.failf(at+".list.by", "name the field whose values are listed")
		}
		if w.List.Size < 0 || w.List.Size > maxSize {
			c.failf(at+".list.size", "must be at least 1, and at most %d", maxSize)
		}
	}
	if w.Graph != nil {
		c.graph(at+".graph", w.Graph)
	}
}

func (c *checker) compare(at string, w *Config) {
	switch {
	case w.Kind() != KindNumber:
		c.failf(at+".compare", "goes with a number only, and this is a %s", w.Kind())
	case !w.Query.mentionsNow():
		c.failf(at+".compare", "nothing in the query says now, so that it asks for the same documents at any time; add a range such as created:>=now-1d")
	}
}

func (c *checker) graph(at string, g *Graph) {
	if g.Over == "" {
		c.failf(at+".over", "name the date field of the x axis")
	}
	unit, ok := units[g.Interval()]
	switch {
	case !ok:
		c.failf(at+".every", "must be one of %s%s", strings.Join(Intervals(), ", "), conf.DidYouMean(g.Every, Intervals()))
	case !g.Last.IsZero() && g.Last.seconds()/seconds[unit] > maxPoints:
		c.failf(at+".last", "gives more than %d points of a %s each; make it shorter, or `every` longer", maxPoints, g.Interval())
	case !g.Last.IsZero() && g.Last.seconds() < seconds[unit]:
		c.failf(at+".last", "is shorter than one %s", g.Interval())
	}
}

// Fit finds what is wrong with widgets over the indexes that definitions have become.
// Those of other indexes are passed over.
func (s Set) Fit(set mapping.Set, indexes []*mapping.Index) mapping.Problems {
	fields := map[string]*Fields{}
	for _, index := range indexes {
		if index.Mappings != nil {
			fields[index.Alias], _ = ReadFields(index.Mappings) // made by Compile
		}
	}
	c := &checker{}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		w := s[name]
		if w == nil || fields[set.Alias(w.Index)] == nil {
			continue
		}
		f := fields[set.Alias(w.Index)]
		for _, use := range w.uses() {
			c.use("widgets."+name+"."+use.setting, w, use, f)
		}
		for _, field := range w.Query.fields() {
			if _, known := f.Find(field); !known {
				c.failf("widgets."+name+".query", "%s", noField(field, w.Index, f.Names()))
			}
		}
	}
	return c.problems
}

func (c *checker) use(at string, w *Config, use use, fields *Fields) {
	if use.field == "" {
		return // told by Check
	}
	field, known := fields.Find(use.field)
	switch {
	case !known:
		c.failf(at, "%s", noField(use.field, w.Index, fields.Names()))
	case field != nil && use.takes(field) != "":
		c.failf(at, "the field %s %s", use.field, use.takes(field))
	}
}

// Interval is what one point of the graph stands for: minute, hour, day, week, month or year.
func (g *Graph) Interval() string {
	if g.Every == "" {
		return "day"
	}
	return g.Every
}

// Reach is how far back the graph goes.
func (g *Graph) Reach() Span {
	if g.Last.IsZero() {
		return Span{30, units[g.Interval()]}
	}
	return g.Last
}

// Limit is how many entries the list has at most.
func (l *List) Limit() int {
	if l.Size == 0 {
		return 10
	}
	return l.Size
}
