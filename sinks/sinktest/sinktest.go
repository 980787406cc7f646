// Package sinktest is the conformance suite that every sinks.Sink passes.
//
// The guarantee: what sinks.Sink's comments promise is tested here once, in the
// same way for all sinks. Each test uses names of its own, so that a server may
// be shared. Goroutines that a test starts have ended when it has.
package sinktest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"haystream/sinks"
)

// patience is how long anything may take on a slow machine.
const patience = 60 * time.Second

// A Harness says how the suite gets at a sink and at what is behind it.
type Harness struct {
	// Open returns a new Sink for the pipeline of that name. All sinks of one
	// harness work on the same storage. The suite closes it.
	Open func(t *testing.T, owner string, maxDeadLetters int64) sinks.Sink

	// Documents returns what a reader finds behind a Target, by document id.
	Documents func(t *testing.T, target *sinks.Target) map[string]Document

	// Point makes an alias one of a physical index alone, as somebody's hand would.
	// The documents that are written by the alias go there.
	Point func(t *testing.T, sink sinks.Sink, alias, physical string)

	// Gates: the sink itself turns older versions away and counts them as
	// Superseded. Where not, its readers do.
	Gates bool

	// Refused is a document that the sink refuses for good in an index with
	// Mappings; nil where it takes any.
	Refused []byte

	// Copies: the sink finds documents that one index lacks of another.
	Copies bool
}

// A Document as a reader finds it.
type Document struct {
	Version int64
	Body    string
}

// mappings are those of the suite's indexes.
const mappings = `{"dynamic":"strict","properties":{"n":{"type":"long"},"text":{"type":"text"}}}`

// Run tests a sink.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"says what it is":                       info,
		"checks and changes nothing":            check,
		"writes and deletes":                    writes,
		"keeps the order of a document":         order,
		"keeps the newer version":               versions,
		"is done once and only then":            doneOnce,
		"lets go of memory when done":           reuse,
		"takes a batch larger than its memory":  large,
		"ends with its context":                 cancel,
		"sends nothing without the lease":       unleased,
		"escapes ids":                           ids,
		"saves a checkpoint once per token":     checkpoint,
		"lets one of many save":                 checkpointRace,
		"makes, swaps and drops indexes":        indexes,
		"makes an index that serves at once":    serve,
		"says what leads to an index":           standing,
		"lists what it has made":                made,
		"keeps documents under a changed index": keeps,
		"keeps periods with their index":        periods,
		"leaves other pipelines' indexes alone": foreign,
		"keeps and clears dead letters":         deadLetters,
		"stops at too many dead letters":        tooManyDeadLetters,
		"drops dead letters with their index":   dropDeadLetters,
		"keeps refused documents":               refused,
		"lists documents by page":               lists,
		"answers searches":                      searches,
		"tells of mappings":                     shownMappings,
		"tells of the latest dead letters":      latestLetters,
	} {
		t.Run(name, func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
			test(t, h)
		})
	}
}

// name is a name that no other test uses.
func name() string { return "t-" + strings.ToLower(rand.Text()[:12]) }

// open returns a sink that is closed when the test ends.
func open(t *testing.T, h Harness, owner string) sinks.Sink {
	t.Helper()
	return openLimited(t, h, owner, 1000)
}

func openLimited(t *testing.T, h Harness, owner string, maxDeadLetters int64) sinks.Sink {
	t.Helper()
	s := h.Open(t, owner, maxDeadLetters)
	t.Cleanup(s.Close)
	return s
}

// create makes an index that serves the alias of the same name at once.
func create(t *testing.T, s sinks.Sink, alias string) *sinks.Target {
	t.Helper()
	target := &sinks.Target{Index: alias, Physical: alias + "-1", WriteAlias: sinks.WriteAlias(alias + "-1")}
	_, err := s.Create(t.Context(), sinks.IndexSpec{
		Alias: alias, Physical: target.Physical, Serve: true, Mappings: json.RawMessage(mappings), Meta: json.RawMessage(`{"fields":{"n":{}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Drop(context.WithoutCancel(t.Context()), target.Physical); err != nil {
			t.Error(err)
		}
	})
	return target
}

// A run is a Write in progress.
type run struct {
	t      *testing.T
	in     chan *sinks.Batch
	result chan error
	cancel context.CancelFunc
}

// write starts Write. It is ended by close or, at the latest, with the test.
func write(t *testing.T, s sinks.Sink) *run {
	t.Helper()
	return writeLeased(t, s, func() bool { return true })
}

func writeLeased(t *testing.T, s sinks.Sink, leased func() bool) *run {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{t: t, in: make(chan *sinks.Batch), result: make(chan error, 1), cancel: cancel}
	go func() { r.result <- s.Write(ctx, r.in, leased) }()
	t.Cleanup(func() {
		cancel()
		if r.result != nil {
			_ = r.wait() // the test has asked for what it wants to know
		}
	})
	return r
}

// wait returns what Write returned.
func (r *run) wait() error {
	r.t.Helper()
	select {
	case err := <-r.result:
		r.result = nil
		return err
	case <-time.After(patience):
		r.t.Fatal("Write does not return")
		return nil
	}
}

// close ends the run and expects that all was delivered.
func (r *run) close() {
	r.t.Helper()
	close(r.in)
	if err := r.wait(); err != nil {
		r.t.Fatalf("Write: %v", err)
	}
}

// send gives Write a batch and returns a channel that is closed when it is done.
func (r *run) send(actions ...sinks.Action) <-chan struct{} {
	r.t.Helper()
	done := make(chan struct{})
	var calls atomic.Int32
	b := &sinks.Batch{Actions: actions, Done: func() {
		if calls.Add(1) > 1 {
			r.t.Error("Done was called twice")
			return
		}
		close(done)
	}}
	select {
	case r.in <- b:
	case err := <-r.result:
		r.result <- err
		r.t.Fatalf("Write ended: %v", err)
	case <-time.After(patience):
		r.t.Fatal("Write takes no batch")
	}
	return done
}

// deliver sends a batch and waits until it is done.
func (r *run) deliver(actions ...sinks.Action) {
	r.t.Helper()
	done := r.send(actions...)
	select {
	case <-done:
	case err := <-r.result:
		r.result <- err
		r.t.Fatalf("Write ended: %v", err)
	case <-time.After(patience):
		r.t.Fatal("the batch is never done")
	}
}

func index(to *sinks.Target, id string, version int64, body string) sinks.Action {
	return sinks.Action{Target: to, Op: sinks.OpIndex, ID: []byte(id), Version: version, Body: []byte(body)}
}

func remove(to *sinks.Target, id string, version int64) sinks.Action {
	return sinks.Action{Target: to, Op: sinks.OpDelete, ID: []byte(id), Version: version}
}

func reject(to *sinks.Target, id string, version int64, reason string) sinks.Action {
	return sinks.Action{Target: to, Op: sinks.OpReject, ID: []byte(id), Version: version, Body: []byte(reason)}
}
