package events

import (
	"fmt"

	"haystream/internal/conf"
)

// warnPart: when less than this part of the limit is left, it is said before events are refused.
const warnPart = 5

// A Room is what a queue takes yet.
type Room struct {
	Bytes   int64  // left in the queue and on its disk; 0 while the disk fails
	Refuses bool   // a push that may be made is refused
	Why     string // there is little, and what to do; empty where there is enough
}

// Room says how much the queue takes yet. Where a write has failed, the disk is tried again.
func (q *Queue) Room() Room {
	q.mu.Lock()
	used, failing, closed := q.end.offset-q.acked.offset+q.pending, q.failing, q.closed
	q.mu.Unlock()
	if failing != nil {
		if !closed {
			q.rouse()
		}
		return Room{Refuses: true, Why: fmt.Sprintf("events are refused, since the disk does not take them: %v; make room on the volume of %s, or see to its disk", failing, q.path)}
	}
	room := Room{Bytes: max(0, q.limit-used)}
	remedy := fmt.Sprintf("%s of %s in the event queue are in use; see why the sink takes them no faster, or raise limits.max_event_queue", conf.Bytes(used), conf.Bytes(q.limit))
	if free, err := q.disk.free(); err == nil && free < room.Bytes {
		room.Bytes = free
		remedy = fmt.Sprintf("the event queue has %s left on the volume of %s; make room there", conf.Bytes(free), q.path)
	}
	switch {
	case room.Bytes < MaxPush:
		room.Refuses, room.Why = true, "events are refused: "+remedy
	case room.Bytes < q.limit/warnPart:
		room.Why = "events will be refused if this goes on: " + remedy
	}
	return room
}

// rouse has commit look for work.
func (q *Queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
