package expression

import (
	"fmt"
	"time"

	"haystream/mapping/value"
)

// A clock is now() in a `where`. Each comparison with it notes when its answer
// will change, so that all together tell when the whole answer may.
type clock struct{ now, due int64 }

// SetNow sets what now() is, in microseconds since 1970.
func (m *Machine) SetNow(now int64) { m.clock = clock{now: now} }

// Due is the first moment after now at which a condition that was evaluated since
// SetNow may give another answer; 0 for never.
func (m *Machine) Due() int64 { return m.clock.due }

// clockPrefix begins the names of the comparisons with the clock.
const clockPrefix = "=now"

// clockFunctions are the comparisons of a time with the clock plus a duration.
func clockFunctions(all map[string]function) {
	for op, after := range map[string]struct{ exclusive, becomes bool }{
		"<": {true, true}, "<=": {false, true}, ">": {false, false}, ">=": {true, false},
	} {
		all[clockPrefix+op] = function{call: func(args ...any) (any, error) {
			c, _ := args[1].(*clock)
			shift, _ := args[2].(time.Duration)
			if value.IsNull(args[0]) || c == nil {
				return false, nil
			}
			passed, err := c.passed(args[0], shift, after.exclusive)
			return passed == after.becomes, err
		}}
	}
}

// passed reports whether a time is behind the clock plus a duration; exclusive
// leaves out the moment itself.
func (c *clock) passed(v any, shift time.Duration, exclusive bool) (bool, error) {
	var t value.Time
	switch v := value.Normalize(v).(type) {
	case value.Time:
		t = v
	case string:
		var err error
		if t, err = value.ParseTimeLiteral(v); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("cannot compare %s with now()", value.Describe(v))
	}
	if sign := value.Infinity(t); sign != 0 {
		return sign < 0, nil
	}
	moment := t.Add(-shift)
	at := moment.UnixMicro()
	if exact := moment.Nanosecond()%1000 == 0; exclusive || !exact {
		at++
	}
	if c.now >= at {
		return true, nil
	}
	if c.due == 0 || at < c.due {
		c.due = at
	}
	return false, nil
}
