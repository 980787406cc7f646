package replicator

import (
	"context"
	"sync"
	"time"

	"haystream/sinks"
)

// letters are the pipeline's dead letters as the sink has last told of them. All its daemons share
// them, and whichever is due asks.
type letters struct {
	mu     sync.Mutex
	asked  time.Time
	open   map[string]int64 // how many, by physical index
	latest []sinks.Refused  // of them
}

// mostShown is how many dead letters are shown with their reasons.
const mostShown = 20

// ask asks the sink every few seconds; called by checkpoint steps more often than that.
func (l *letters) ask(ctx context.Context, sink sinks.Writer) {
	if !l.due() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	open, err := sink.DeadLetters(ctx)
	if err != nil {
		return
	}
	var latest []sinks.Refused
	if searcher, ok := sink.(sinks.Searcher); ok && len(open) > 0 {
		latest, err = searcher.Refused(ctx, mostShown)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open = open; err == nil { // the count does not wait for the reasons
		l.latest = latest
	}
}

func (l *letters) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) < 2*time.Second {
		return false
	}
	l.asked = time.Now()
	return true
}

// found is what the sink has told. Nobody changes it.
func (l *letters) found() (open map[string]int64, latest []sinks.Refused) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.latest
}
