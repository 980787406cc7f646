package sources

import (
	"fmt"
	"strings"
)

// A View is something of the source that has the name of a table and is none
// that can be tailed.
type View struct {
	Schema, Name string
	Home         bool // as of a Table

	Kind ViewKind

	// Tables are those that a view shows rows of, or the one that a partition
	// belongs to, as configuration writes them; none where the role may not know.
	Tables []string
}

// A ViewKind says what a View is.
type ViewKind string

// The kinds of views, in words for people.
const (
	OrdinaryView     ViewKind = "view"
	MaterializedView ViewKind = "materialized view"
	ForeignTable     ViewKind = "foreign table"
	Sequence         ViewKind = "sequence"
	Partition        ViewKind = "partition"
)

// Refusal says why the view cannot be tailed, and what to name instead.
func (v *View) Refusal() string {
	name := v.Schema + "." + v.Name
	switch v.Kind {
	case ForeignTable:
		return name + " is a foreign table: its rows change on another server; point a pipeline to that one"
	case Sequence:
		return name + " is a sequence and has no rows; name a table"
	case Partition:
		return fmt.Sprintf("%s is a partition of %s; name that", name, strings.Join(v.Tables, ", "))
	}
	if len(v.Tables) == 0 {
		return fmt.Sprintf("%s is a %s, whose changes are in no log; name a table that it is made of", name, v.Kind)
	}
	which := "these"
	if len(v.Tables) == 1 {
		which = "that"
	} else {
		which = "one of " + which
	}
	return fmt.Sprintf("%s is a %s over %s; name %s: its condition becomes where, its joins become relations", name, v.Kind, strings.Join(v.Tables, ", "), which)
}
