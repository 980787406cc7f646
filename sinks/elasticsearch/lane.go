package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"haystream/internal/backoff"
	"haystream/internal/fault"
	"haystream/sinks"
)

// A lane delivers its share of the documents with one request in flight, which
// keeps the order per document. What it is given meanwhile gathers for the next.
type lane struct {
	number  int
	w       *writer
	request *request
	retry   backoff.Backoff

	failures int           // requests in a row that settled nothing
	sent     int           // actions of the last request
	alone    lone          // a document that is refused for overload by itself
	most     int           // actions per request, while one that spoils a request is looked for
	started  time.Time     // of the last request
	took     time.Duration // by the last request
	letters  []entry       // dead letters to be written, and those to be cleared
	key      []byte
	spare    []entry

	mu     sync.Mutex
	queue  []entry
	closed bool
	wake   chan struct{}
}

// A trouble is why something was not settled.
type trouble struct {
	verdict verdict
	typ     string
	reason  string // for people
	words   string // the server's, which may quote a document
	slower  bool   // fewer or smaller requests may help
	after   time.Duration
}

func newLane(w *writer, number int) *lane {
	return &lane{
		number: number, w: w, most: math.MaxInt,
		request: newRequest(w.sink.client, w.sink.cfg.Compression),
		retry:   backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second},
		wake:    make(chan struct{}, 1),
	}
}

// push gives the lane more to do. It copies part.
func (l *lane) push(part []entry) {
	l.mu.Lock()
	l.queue = append(l.queue, part...)
	l.mu.Unlock()
	l.signal()
}

// close lets run return when all is delivered.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// A few actions are worth waiting for more.
const few = 200

// gather is how long to wait for more than n actions. A lane that was idle does
// not wait, and one whose requests are answered fast waits little: it spends a
// quarter of its time on requests of few actions.
func (l *lane) gather(n int) time.Duration {
	if n >= few || l.started.IsZero() {
		return 0
	}
	return min(4*l.took, time.Duration(l.w.sink.cfg.Bulk.MaxWait)) - time.Since(l.started)
}

// take waits for work; nil when there is none and will be none.
func (l *lane) take(ctx context.Context) ([]entry, error) {
	for {
		l.mu.Lock()
		n, closed := len(l.queue), l.closed
		l.mu.Unlock()
		switch {
		case n == 0 && closed:
			return nil, nil
		case n == 0:
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-l.wake:
			}
			continue
		}
		if wait := l.gather(n); wait > 0 && !closed {
			if err := backoff.Pause(ctx, wait); err != nil {
				return nil, err
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.queue, l.spare = l.spare[:0], l.queue
		return l.spare, nil
	}
}

// run delivers until the lane is closed and empty, or something ends it.
func (l *lane) run(ctx context.Context) error {
	defer l.w.sink.health.answers(l.number)
	for {
		work, err := l.take(ctx)
		if err != nil || len(work) == 0 {
			return err
		}
		if err := l.deliver(ctx, work); err != nil {
			return err
		}
		clear(work)
	}
}

// deliver sends actions until each is held or a dead letter.
func (l *lane) deliver(ctx context.Context, work []entry) error {
	for len(work) > 0 {
		n, t, err := l.round(ctx, work, l.settle)
		if n == 0 && err == nil && t != nil && t.verdict == overloaded {
			n, err = l.single(ctx, work, t)
		} else {
			l.alone = lone{}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		work = work[n:]
		if err := errors.Join(l.file(ctx), err); err != nil {
			return err
		}
		if err := l.rest(ctx, t, n > 0); err != nil {
			return err
		}
	}
	return nil
}

// file writes and clears dead letters until the server holds that.
func (l *lane) file(ctx context.Context) error {
	work := l.letters
	for len(work) > 0 {
		n, t, err := l.round(ctx, work, l.settleLetters)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case t != nil && (t.typ == indexNotFound || t.typ == strictMapping):
			if err := l.w.sink.createLetters(ctx); err != nil {
				t.reason = err.Error()
			} else {
				t = nil
			}
		case t != nil && t.verdict == overloaded && n == 0 && l.sent == 1 && l.failures > patience(overloaded):
			withoutBody(work[0].action)
		}
		work = work[n:]
		if err := l.rest(ctx, t, n > 0); err != nil {
			return err
		}
	}
	clear(l.letters)
	l.letters = l.letters[:0]
	return nil
}

// rest waits after trouble, longer with each round that settled nothing.
func (l *lane) rest(ctx context.Context, t *trouble, progress bool) error {
	if progress {
		l.retry.Reset()
	}
	if t == nil {
		if l.failures > 0 {
			l.failures = 0
			l.w.sink.health.answers(l.number)
		}
		return nil
	}
	l.failures++
	if l.failures > patience(t.verdict) {
		l.w.sink.health.waiting(l.number, t.reason)
	}
	return l.retry.Wait(ctx, t.after)
}

// patience is how many failures in a row are borne in silence.
func patience(v verdict) int {
	switch v {
	case blocked:
		return 0
	case unavailable:
		return 1
	}
	return 3
}

// A settling applies answers to the entries of a request. It moves those that
// must be sent again to the end, in order, and returns how many are settled.
type settling func(sent []entry, answers []answer) (int, *trouble, error)

// round sends one request from the front of work, and returns how many of its
// entries are settled; the rest of work is as it must be sent again, in order.
func (l *lane) round(ctx context.Context, work []entry, settle settling) (int, *trouble, error) {
	enter := l.w.throttle.enter
	if l.alone.action != nil {
		enter = l.w.throttle.enterAlone
	}
	p, err := enter(ctx)
	if err != nil {
		return 0, nil, err
	}
	if !l.w.leased() {
		l.w.sink.health.unleased(l.number)
		l.failures = max(l.failures, 1) // so that the end of it is noted
	}
	if err := sinks.AwaitLease(ctx, l.w.leased); err != nil {
		l.w.throttle.leave(p, false)
		return 0, nil, err
	}
	n, t, err := l.exchange(ctx, work, settle)
	l.w.throttle.leave(p, t != nil && t.slower)
	return n, t, err
}

func (l *lane) exchange(ctx context.Context, work []entry, settle settling) (int, *trouble, error) {
	n, sendable := l.request.build(work, l.w.throttle.size(), l.most)
	l.sent = n
	var answers []answer
	if sendable > 0 {
		var err error
		l.started = time.Now()
		l.w.sink.health.started[l.number].Store(l.started.UnixNano())
		answers, err = l.request.send(ctx, sendable)
		l.w.sink.health.started[l.number].Store(0)
		l.took = time.Since(l.started)
		fault.Point("bulk answered")
		if err != nil {
			return l.refused(ctx, work[:n], err, settle)
		}
	}
	if l.most < math.MaxInt/2 {
		l.most *= 2
	}
	return settle(work[:n], answers)
}

// refused deals with a request that failed as a whole. Where one of its
// documents may be the cause, smaller requests find out which.
func (l *lane) refused(ctx context.Context, sent []entry, err error, settle settling) (int, *trouble, error) {
	t := &trouble{verdict: judgeRequest(err), reason: "the server does not answer: " + err.Error()}
	t.slower = t.verdict == overloaded || errors.Is(err, context.DeadlineExceeded)
	var e *apiError
	if errors.As(err, &e) {
		t.typ, t.after, t.words = e.Type, e.RetryAfter, e.Reason
		t.reason = explain(t.verdict, e.Status, e.Type, e.Reason, sent[0].action.Target.Physical)
	}
	if t.verdict != impossible {
		return 0, t, nil
	}
	size := l.request.size
	if len(sent) > 1 {
		l.most = len(sent) / 2
		if e.Status == http.StatusRequestEntityTooLarge && l.w.throttle.tooLarge(size) {
			l.w.sink.log.Warn().Int("bytes", size).Msg("the server takes no request of this size; sending smaller ones from now on (see bulk.max_bytes)")
		}
		return 0, nil, nil
	}
	if a := sent[0].action; e.Status == http.StatusRequestEntityTooLarge && a.Op == sinks.OpDelete || !l.takesRequests(ctx, a) {
		t.verdict = blocked
		t.reason = fmt.Sprintf("the server, or a proxy before it, refuses whole requests, even one of %d bytes, whatever document is in it: %d %s", size, e.Status, e.Type)
		return 0, t, nil
	}
	l.request.size = size
	return settle(sent, []answer{{status: e.Status, typ: e.Type, reason: e.Reason}})
}

// settle applies the table of answers.
func (l *lane) settle(sent []entry, answers []answer) (int, *trouble, error) {
	kept := 0
	var t *trouble
	for _, e := range sent {
		a := e.action
		v, ans := impossible, answer{}
		if a.Op != sinks.OpReject {
			ans, answers = answers[0], answers[1:]
			v = judge(&ans, a)
		}
		switch v {
		case delivered, superseded, dropped:
			count(a, v)
			a.Target.Accept(a.Op)
			l.hold(e)
		case impossible:
			if a.Op != sinks.OpReject && ans.status != http.StatusRequestEntityTooLarge {
				a.Target.Accept(a.Op) // it is this document that was refused
			}
			if err := l.bury(e, &ans); err != nil {
				return 0, nil, err
			}
		default:
			t = worse(t, v, &ans, a)
			if v == blocked && a.Target.Refused() == nil {
				a.Target.Refuse(a.Op, explain(v, ans.status, ans.typ, ans.reason, a.Target.Physical))
			}
			sent[kept] = e
			kept++
		}
	}
	copy(sent[len(sent)-kept:], sent[:kept])
	return len(sent) - kept, t, nil
}

func count(a *sinks.Action, v verdict) {
	switch {
	case v == superseded:
		a.Target.Superseded.Add(1)
	case v == dropped:
		a.Target.Dropped.Add(1)
	case a.Op == sinks.OpDelete:
		a.Target.Deleted.Add(1)
	default:
		a.Target.Written.Add(1)
	}
}

// worse keeps the trouble that most needs somebody's attention.
func worse(t *trouble, v verdict, ans *answer, a *sinks.Action) *trouble {
	if t != nil && t.verdict >= v {
		return t
	}
	return &trouble{verdict: v, typ: ans.typ, words: ans.reason, slower: v == overloaded, reason: explain(v, ans.status, ans.typ, ans.reason, a.Target.Physical)}
}

func explain(v verdict, status int, typ, reason, physical string) string {
	switch v {
	case overloaded:
		return strings.TrimSpace(fmt.Sprintf("the server is overloaded: %d %s", status, typ))
	case unavailable:
		return strings.TrimSpace(fmt.Sprintf("the server cannot write now: %d %s", status, typ))
	}
	return remedy(status, typ, reason, physical)
}
