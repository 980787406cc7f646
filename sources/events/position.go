package events

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"haystream/sources"
)

// A spot is a place in one of several queues.
type spot struct {
	queue string // its id
	at    place
}

// spots are what a Position says: where the queue that is delivered has got to, and then where those
// of other hosts were left, the latest first. So each goes on where it was left.
type spots []spot

// mostSpots is how many queues a Position tells of. One that is not in it any more is read from its start.
const mostSpots = 16

// parseSpots reads a Position. It is empty where the Position is of no queue.
func parseSpots(position sources.Position) spots {
	var all spots
	for text := range strings.FieldsSeq(string(position)) {
		s, ok := parseSpot(text)
		if !ok {
			return nil
		}
		all = append(all, s)
	}
	return all
}

func parseSpot(text string) (s spot, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 {
		return s, false
	}
	var errs [3]error
	s.queue = parts[0]
	s.at.offset, errs[0] = strconv.ParseInt(parts[1], 10, 64)
	s.at.events, errs[1] = strconv.ParseInt(parts[2], 10, 64)
	chain, err := strconv.ParseUint(parts[3], 16, 32)
	s.at.chain, errs[2] = uint32(chain), err
	return s, errors.Join(errs[:]...) == nil
}

// of is where a queue has got to, or was left.
func (all spots) of(queue string) (at place, ok bool) {
	for i := range all {
		if all[i].queue == queue {
			return all[i].at, true
		}
	}
	return place{}, false
}

// without are the spots of other queues, as many as there may be.
func (all spots) without(queue string) spots {
	var others spots
	for _, s := range all {
		if s.queue != queue && len(others) < mostSpots-1 {
			others = append(others, s)
		}
	}
	return others
}

// position is that of a queue that has got to a place, before those in all.
func (all spots) position(queue string, at place) sources.Position {
	text := spot{queue, at}.String()
	for _, s := range all {
		text += " " + s.String()
	}
	return sources.Position(text)
}

func (s spot) String() string {
	return fmt.Sprintf("%s:%d:%d:%08x", s.queue, s.at.offset, s.at.events, s.at.chain)
}
