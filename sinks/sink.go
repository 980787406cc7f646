// Package sinks defines what the pipeline needs of a place that documents are
// delivered to.
//
// The guarantee: a Batch is done when each of its actions is held durably by
// the sink or is a dead letter there, and a document is never overwritten by
// an action of a lower Version.
package sinks

import (
	"context"
	"encoding/json"
	"errors"

	"haystream/internal/preflight"
)

// Sentinels that a caller branches on.
var (
	// ErrConflict means that somebody else saved the checkpoint since it was loaded.
	ErrConflict = errors.New("the checkpoint was saved by another daemon")

	// ErrForeign means that an index or alias of that name exists and was not
	// made by this pipeline.
	ErrForeign = errors.New("the index was not made by this pipeline")

	// ErrTooManyDeadLetters stops the pipeline.
	ErrTooManyDeadLetters = errors.New("too many dead letters")
)

// A Sink holds documents. Methods are called from one goroutine at a time,
// except that Write runs beside all others.
type Sink interface {
	// Info connects and says what the sink is. May be repeated. Retries nothing.
	Info(ctx context.Context) (Info, error)

	// Check reports what would keep the indexes from being made and written, and
	// changes nothing: reachability, version, privileges, foreign indexes, and of
	// specs with Mappings what the sink would refuse of them.
	Check(ctx context.Context, indexes []IndexSpec) ([]preflight.Finding, error)

	// Write delivers batches from in, in order for each document, and calls
	// each batch's Done once when all its actions are held. It retries what can
	// pass for as long as it takes. It returns nil after in is closed and all
	// is delivered, ctx's error when ctx ends, or ErrTooManyDeadLetters.
	// Nothing is sent while leased is false: another daemon may own the documents.
	Write(ctx context.Context, in <-chan *Batch, leased func() bool) error

	// Index says what the alias points to: nil where neither alias nor index of
	// that name exists, ErrForeign where it is not this pipeline's.
	Index(ctx context.Context, alias string) (*Index, error)

	// Create makes a physical index with its own write alias, tuned for
	// loading. With Serve set the alias points to it from the start. One that
	// an earlier call has made is returned.
	Create(ctx context.Context, spec IndexSpec) (*Index, error)

	// Finish makes a loaded index ready to serve: refresh, replicas restored.
	Finish(ctx context.Context, physical string) error

	// Swap points the alias to the physical index, away from any other, in one step.
	Swap(ctx context.Context, alias, physical string) error

	// Drop deletes a physical index of this pipeline and its dead letters.
	// One that is gone already is no error.
	Drop(ctx context.Context, physical string) error

	// LoadCheckpoint returns the saved checkpoint; nil data where there is none.
	LoadCheckpoint(ctx context.Context, name string) (data []byte, token Token, err error)

	// SaveCheckpoint replaces the checkpoint that token came from, or returns
	// ErrConflict. The zero Token creates it.
	SaveCheckpoint(ctx context.Context, name string, data []byte, token Token) (Token, error)

	// RemoveCheckpoint deletes the checkpoint. One that is gone is no error.
	RemoveCheckpoint(ctx context.Context, name string) error

	// DeadLetters counts them by physical index.
	DeadLetters(ctx context.Context) (map[string]int64, error)

	// Health is nil while the sink answers; otherwise the reason, in words for
	// people, why actions wait. Never blocks.
	Health() error

	// Close ends all connections.
	Close()
}

// Info says what a sink is.
type Info struct {
	Kind    string // elasticsearch, opensearch, ndjson
	Version string
	Address string // no credentials

	// Types lists the field types beyond the basic ones that the sink has, such as
	// scaled_float; nil where it takes any.
	Types map[string]bool
}

// Token is the sink's mark of a saved checkpoint, for compare-and-swap. The
// zero Token stands for "none saved yet".
type Token string

// An Index is a physical index and what is known of it.
type Index struct {
	Alias    string
	Physical string
	UUID     string          // the sink's own identity of it; changes when it is deleted and made again
	Meta     json.RawMessage // what IndexSpec.Meta said
}

// An IndexSpec describes a physical index to be made.
type IndexSpec struct {
	Alias    string
	Physical string          // alias-<timestamp>
	Serve    bool            // point the alias to it at once
	Mappings json.RawMessage // {"dynamic":"strict","properties":{…}}
	Settings json.RawMessage // as configured; may be nil
	Meta     json.RawMessage // put under mappings._meta: the owner and the definition
	Pipeline string          // the ingest pipeline that documents go through; for Check only
}
