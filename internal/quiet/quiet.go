// Package quiet keeps a trouble that lasts from flooding the log: each kind of it
// is told once, again every few minutes for as long as it goes on, and at its end.
// It owns no goroutine.
package quiet

import (
	"regexp"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// again is how often a trouble that goes on is told.
	again = 5 * time.Minute

	// maxKinds is how many kinds are told of one trouble. More of them mean that
	// what changes in the reasons is not known, and so must not be told each time.
	maxKinds = 16
)

// A Log decides what to log of one thing that fails again and again. The zero
// Log is ready. Safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	since time.Time       // of the first failure; zero while all is well
	told  time.Time       // when a failure was last told
	kinds map[string]bool // that were told
	now   func() time.Time
}

// Failed notes a failure, and reports whether it is to be logged: it is of another
// kind than those that were, or has gone on for some minutes. lasted is how long
// the thing has failed, 0 the first time.
func (l *Log) Failed(reason string) (lasted time.Duration, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	if l.since.IsZero() {
		l.since, l.kinds = now, map[string]bool{}
	}
	kind := kindOf(reason)
	if news := !l.kinds[kind] && len(l.kinds) < maxKinds; !news && now.Sub(l.told) < again {
		return 0, false
	}
	if len(l.kinds) < maxKinds {
		l.kinds[kind] = true
	}
	l.told = now
	return now.Sub(l.since).Round(time.Second), true
}

// Over notes that the thing goes well, and reports whether it had failed, and for
// how long.
func (l *Log) Over() (lasted time.Duration, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		return 0, false
	}
	lasted = l.clock().Sub(l.since).Round(time.Second)
	l.since = time.Time{}
	return lasted, true
}

// For adds to a log line for how long the thing has failed, where that is told again.
func For(e *zerolog.Event, lasted time.Duration) *zerolog.Event {
	if lasted > 0 {
		e = e.Stringer("for", lasted)
	}
	return e
}

func (l *Log) clock() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}

// varying is what differs between two reasons of one kind: ports, addresses,
// sizes, times, positions, ids. A name that has digits in it is not.
var varying = regexp.MustCompile(`0[xX][0-9a-fA-F]+` +
	`|\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b` + // UUID
	`|\b[0-9a-fA-F]*[0-9][0-9a-fA-F]{7,}\b|\b[0-9a-fA-F]{7,}[0-9][0-9a-fA-F]*\b` + // other ids
	`|[0-9a-fA-F]*:(:?[0-9a-fA-F]+)+` + // IPv6
	`|\b[0-9]+[0-9a-zA-Zµ.:/+-]*`)

// kindOf is a reason without what varies from one failure to the next.
func kindOf(reason string) string { return varying.ReplaceAllString(reason, "#") }
