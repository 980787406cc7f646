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
	"regexp"
	"strings"

	"haystream/internal/preflight"
)

// Sentinels that a caller branches on.
var (
	// ErrConflict means that somebody else saved the checkpoint since it was loaded.
	ErrConflict = errors.New("the checkpoint was saved by another daemon")

	// ErrForeign means that an index or alias of that name exists and was not
	// made by this pipeline.
	ErrForeign = errors.New("the index was not made by this pipeline")

	// ErrRefused means that the sink does not take an index's mapping or settings.
	// Other indexes are not concerned.
	ErrRefused = errors.New("the server refuses its mapping or settings")

	// ErrTooManyDeadLetters stops the pipeline.
	ErrTooManyDeadLetters = errors.New("too many dead letters")
)

// A Sink holds documents. Methods are called from one goroutine at a time,
// except that Write and Lacking run beside all others.
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

	// Standing says how things are with a physical index that is written to, its
	// write alias and the alias. It is asked every few seconds.
	Standing(ctx context.Context, alias, physical string) (Standing, error)

	// Takes asks whether a physical index takes documents now, by writes that change
	// none. why is empty where it does, and where it is gone; else what a person must
	// do. May be repeated.
	Takes(ctx context.Context, t *Target) (why string, err error)

	// Made lists the physical indexes that this pipeline has made for the alias: those
	// of its name and a timestamp that have their write alias.
	Made(ctx context.Context, alias string) ([]string, error)

	// Create makes a physical index with its own write alias, tuned for
	// loading. With Serve set the alias points to it from the start. One that
	// an earlier call has made is returned. ErrRefused is for this index alone.
	Create(ctx context.Context, spec IndexSpec) (*Index, error)

	// Finish makes a loaded index ready to serve: refresh, replicas restored.
	Finish(ctx context.Context, physical string) error

	// Amend puts another definition into a physical index and leaves its documents
	// alone: fields are added, settings changed. refused says why the sink takes it
	// for a new index only; the fields are as before then. A field that want lacks stays.
	Amend(ctx context.Context, physical string, was, want IndexSpec) (refused string, err error)

	// Lacking finds the documents of one physical index that another one lacks, but
	// for such as are written after it began, and calls each for some at a time,
	// which blocks it. at is empty or a place that each was given: documents before
	// it are passed over. May be repeated. It retries nothing, and changes nothing. What a sink cannot
	// read back, it does not find.
	Lacking(ctx context.Context, from, to, at string, each func(docs []Document, at string) error) error

	// Newest is about the highest Version in a physical index; 0 for an empty one.
	Newest(ctx context.Context, physical string) (int64, error)

	// Swap points the alias, or a write alias, to the physical index, away from any
	// other, in one step.
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

// A Standing is what leads to a physical index, as somebody's hand may have changed it.
type Standing struct {
	UUID     string   // empty where the index is gone, or is not this pipeline's
	WritesTo string   // the index behind its write alias; empty where writes are refused
	Serving  []string // all indexes behind the alias, as long as it shows the whole of them
	Blocked  string   // why it takes no documents, with the remedy; empty where it does
}

// IsPhysical reports whether a name is one that a physical index of the alias gets.
func IsPhysical(alias, name string) bool {
	stamp, ok := strings.CutPrefix(name, alias+"-")
	return ok && timestamp.MatchString(stamp)
}

var timestamp = regexp.MustCompile(`^\d{8}-\d{6}-\d{3}$`)

// An IndexSpec describes a physical index to be made.
type IndexSpec struct {
	Alias    string
	Physical string          // alias-<timestamp>
	Serve    bool            // point the alias to it at once
	Mappings json.RawMessage // {"dynamic":"strict","properties":{…}}
	Settings json.RawMessage // as configured; may be nil
	Meta     json.RawMessage // put under mappings._meta: the owner and the definition
	Pipeline string          // the ingest pipeline that documents go through; for Check only

	// Keep is a physical index whose documents are to come into this one: its
	// fields that Mappings lack are kept. Empty for none.
	Keep string
}

// A Document as the sink holds it.
type Document struct {
	ID      []byte
	Routing []byte // nil for none
	Version int64
	Body    []byte // on one line
}
