package sinks

import "sync/atomic"

// Op is what an Action does.
type Op uint8

// Operations.
const (
	OpIndex  Op = iota + 1 // replace the whole document
	OpDelete               // remove it
	OpReject               // the document could not be rendered: a dead letter, Body holds the reason
)

// An Action is one write of one document. Its bytes belong to the Batch.
type Action struct {
	Target  *Target
	Op      Op
	Version int64
	ID      []byte // not escaped
	Routing []byte // nil for none
	Body    []byte // the JSON document on one line, for OpIndex
}

// A Batch of actions, in order. Buf is where mapping renders bodies and ids;
// its owner may reuse it after Done.
type Batch struct {
	Actions []Action
	Buf     []byte

	// Done is called exactly once, from any goroutine, when every action is held.
	Done func()
}

// Size is the memory that the batch holds, in bytes: a buffer that was larger
// once still takes its room.
func (b *Batch) Size() int { return cap(b.Buf) + actionSize*cap(b.Actions) }

const actionSize = 104

// A Target is a physical index that actions are written to, with its counters.
type Target struct {
	Index      string // the definition's alias, for messages
	Physical   string
	WriteAlias string // the alias that require_alias guards; written instead of Physical
	Pipeline   string // ingest pipeline; empty for none

	Written     atomic.Int64 // documents indexed
	Deleted     atomic.Int64 // deletes delivered
	Superseded  atomic.Int64 // answered "a newer version is there"
	DeadLetters atomic.Int64 // sent to the dead letters since start
}

// WriteAlias is the name of a physical index's own write alias.
func WriteAlias(physical string) string { return physical + "-write" }
