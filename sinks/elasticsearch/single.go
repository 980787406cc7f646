package elasticsearch

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"haystream/internal/backoff"
	"haystream/sinks"
)

// A lone is a document that the server refuses for overload by itself.
type lone struct {
	action *sinks.Action
	tries  int
	since  time.Time
}

// A stubbornness is how often a document is refused by itself before it is a dead letter.
type stubbornness struct {
	sure   int           // tries, where the server says that it never fits; there may be other nodes
	unsure int           // tries, where the server does not say
	lasts  time.Duration // at least, where it does not say
}

var defaultStubbornness = stubbornness{sure: 4, unsure: 12, lasts: time.Minute}

// single deals with a round that was refused for overload as a whole. Smaller requests
// find out whether it is one document. That one becomes a dead letter, and single
// returns 1, when it was refused again and again with no other request of this sink
// under way, while each time the same shard took a small action at once, and nothing
// that the server says puts it down to load. A delete is never given up: it has no size.
func (l *lane) single(ctx context.Context, work []entry, t *trouble) (int, error) {
	if l.sent > 1 {
		if l.failures > patience(overloaded) {
			l.most = l.sent / 2
		}
		l.alone = lone{}
		return 0, nil
	}
	e, size := work[0], l.request.size
	a := e.action
	t.reason += fmt.Sprintf("; it refuses document %s of the index %s, %d bytes, by itself", a.ID, a.Target.Index, size)
	doing := ownDoing(t.words)
	if a.Op != sinks.OpIndex || doing == othersDoing {
		l.alone = lone{}
		return 0, nil
	}
	if l.alone.action != a {
		l.alone = lone{action: a, since: time.Now(), tries: 1}
		return 0, nil // others may have been under way
	}
	if err := backoff.Pause(ctx, t.after); err != nil {
		return 0, err
	}
	t.after = 0
	if !l.takesSmall(ctx, a) {
		l.alone = lone{}
		return 0, nil
	}
	l.alone.tries++
	tries, took, limit := l.alone.tries, time.Since(l.alone.since), l.w.stubborn
	if doing == itsOwn && tries < limit.sure || doing == unsaid && (tries < limit.unsure || took < limit.lasts) {
		return 0, nil
	}
	l.alone = lone{}
	return 1, l.bury(e, &answer{
		typ: t.typ, bodyless: true,
		reason: fmt.Sprintf("the server has refused the document of %d bytes by itself %d times in %v, and took others meanwhile: %s", size, tries, took.Round(time.Second), t.words),
	})
}

// controlID is the id of a delete that finds nothing, sent to learn what the server takes.
const controlID = "haystream-control"

// control sends a small action for the index of a. Its version is below that of any
// document, so that it deletes none.
func (l *lane) control(ctx context.Context, a *sinks.Action, routing []byte) (answer, error) {
	control := sinks.Action{Target: a.Target, Op: sinks.OpDelete, ID: []byte(controlID), Routing: routing}
	n, sendable := l.request.build([]entry{{action: &control}}, leastRequest, 1)
	answers, err := l.request.send(ctx, sendable)
	if err != nil || len(answers) != n {
		return answer{}, err
	}
	return answers[0], nil
}

// takesRequests reports whether the server takes a request for the index of a at all.
func (l *lane) takesRequests(ctx context.Context, a *sinks.Action) bool {
	_, err := l.control(ctx, a, nil)
	return err == nil
}

// takesSmall reports whether the shard of a takes a small action now.
func (l *lane) takesSmall(ctx context.Context, a *sinks.Action) bool {
	routing := a.Routing
	if routing == nil {
		routing = a.ID // which is what leads to its shard
	}
	ans, err := l.control(ctx, a, routing)
	if err != nil {
		return false
	}
	v := judge(&ans, &sinks.Action{Target: a.Target, Op: sinks.OpDelete})
	return v == delivered || v == superseded
}

// A doing is whose fault a refusal for overload is, by the server's words.
type doing uint8

const (
	unsaid      doing = iota
	itsOwn            // it would not fit on a server that does nothing else
	othersDoing       // it would fit
)

// What Elasticsearch and OpenSearch say where indexing pressure, the queue of a thread
// pool, or a circuit breaker refuses something (IndexingPressure, EsThreadPoolExecutor,
// HierarchyCircuitBreakerService).
var (
	pressure = regexp.MustCompile(`(?:coordinating|primary|replica)_operation_bytes=(\d+), max_\w+=(\d+)`)
	queue    = regexp.MustCompile(`ThreadPoolExecutor\[|queue capacity`)
	breaker  = regexp.MustCompile(`larger than the limit of \[(\d+)/.*new bytes reserved: \[(\d+)/`)
)

// breakerShare is the part of a circuit breaker's limit that an action takes at least
// where it, rather than load, can be why the breaker trips: 1/breakerShare.
const breakerShare = 20

func ownDoing(words string) doing {
	if found := pressure.FindStringSubmatch(words); found != nil {
		if number(found[1]) > number(found[2]) {
			return itsOwn
		}
		return othersDoing
	}
	if queue.MatchString(words) {
		return othersDoing
	}
	if found := breaker.FindStringSubmatch(words); found != nil {
		switch limit, wanted := number(found[1]), number(found[2]); {
		case wanted > limit:
			return itsOwn
		case wanted < limit/breakerShare:
			return othersDoing
		}
	}
	return unsaid
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // digits; one too large is 0
	return n
}
