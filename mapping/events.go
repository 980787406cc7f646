package mapping

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"haystream/internal/conf"
	"haystream/sources"
)

// eventName is what events of the definition of that name are pushed under; empty where it is
// not over events.
func (d *Definition) eventName(name string) string {
	switch {
	case d == nil || d.Events == nil:
		return ""
	case d.Events.Name != "":
		return d.Events.Name
	}
	return name
}

// ofEvents is the definition with what follows from events: the table that stands for them, the
// mode, and the fields that each of their documents has. Other definitions are as they are.
func (d *Definition) ofEvents(name string) *Definition {
	if d.Events == nil {
		return d
	}
	full := *d
	if full.Mode == "" {
		full.Mode = ModeAppend
	}
	if full.Table == "" {
		full.Table = sources.EventsSchema + "." + quoteName(d.eventName(name))
	}
	full.Fields.Named = maps.Clone(d.Fields.Named)
	if full.Fields.Named == nil {
		full.Fields.Named = map[string]*Field{}
	}
	for _, field := range []string{sources.EventID, sources.EventCreated} {
		if full.Fields.Named[field] == nil {
			full.Fields.Named[field] = &Field{From: field}
		}
	}
	return &full
}

// validEvent is what an event's name may be: a part of a path, without escapes.
var validEvent = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

// events checks what goes with events.
func (p *planner) events(u *unit) {
	d, name := u.def, u.def.eventName(u.name)
	if !validEvent.MatchString(name) {
		at := u.path("events")
		if d.Events.Name != "" {
			at = u.path("events", "name")
		}
		p.problems.add(at, "%q cannot be the name of events; it is letters, digits, _ and -, at most 100, the first a letter or digit", name)
	}
	if d.Table != sources.EventsSchema+"."+quoteName(name) {
		p.problems.add(u.path("table"), "a definition is over a table or over events; take one of them out")
	}
	if d.Fields.All {
		p.problems.add(u.path("fields"), `an event's members are not known before it comes, so that "*" has no meaning; name them, each with its type`)
	}
	if d.Haystack != nil {
		p.problems.add(u.path("haystack"), "is for the rows of a model; events are none")
	}
}

// eventsApart checks that no index is of events and of rows: two engines would write to it.
func (p *planner) eventsApart(alias string, units []*unit) {
	of := slices.IndexFunc(units, func(u *unit) bool { return u.def.Events != nil })
	other := slices.IndexFunc(units, func(u *unit) bool { return u.def.Events == nil })
	if of >= 0 && other >= 0 {
		p.problems.add(units[of].path("index"), "index %s has documents of rows, too (indexes.%s); events want an index of their own", alias, units[other].name)
	}
}

// Part returns the definitions over events, or all others.
func (s Set) Part(events bool) Set {
	part := s
	part.Indexes = map[string]*Definition{}
	for name, d := range s.Indexes {
		if (d.eventName(name) != "") == events {
			part.Indexes[name] = d
		}
	}
	if events {
		part.Tables = nil // they are of the database
	}
	return part
}

// EventNames are the names that events are pushed under, sorted.
func (s Set) EventNames() []string {
	var names []string
	for name, d := range s.Indexes {
		if event := d.eventName(name); event != "" && !slices.Contains(names, event) {
			names = append(names, event)
		}
	}
	slices.Sort(names)
	return names
}

// UnknownEvent says that there are no events of a name, and which may have been meant.
func UnknownEvent(name string, known []string) string {
	if len(known) == 0 {
		return "no definition is over events"
	}
	text := "no definition is over events named " + name
	if hint := conf.DidYouMean(name, known); hint != "" {
		return text + hint
	}
	return text + "; there are " + strings.Join(known, ", ")
}
