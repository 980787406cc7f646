package mapping

import (
	"fmt"
	"time"
	_ "time/tzdata" // machines, and images above all, may have none
)

// parseZone reads the name of a time zone. Empty is UTC.
func parseZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return time.UTC, fmt.Errorf("there is no time zone %q; its name is that of the tz database, like Europe/Berlin", name)
	}
	return zone, nil
}

// zone reads a time zone of the configuration.
func (p *planner) zone(at, name string) *time.Location {
	zone, err := parseZone(name)
	if err != nil {
		p.problems.add(at, "%v", err)
	}
	return zone
}
