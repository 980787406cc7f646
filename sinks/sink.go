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
	"io"
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

// A Sink holds documents. It is made once; who uses it takes the part that is
// needed. The methods of one part are called by one goroutine at a time, except
// that Write and Health run beside all others; the parts run beside each other.
//
// Where a comment says no more, a method blocks for a few requests and may be
// repeated, and an error without a sentinel means that the sink cannot be asked now:
// it is not known whether anything was changed.
type Sink interface {
	Writer
	Catalog
	Reader
	Checkpoints

	// Info connects and says what the sink is: when a session begins, and for the
	// commands. Its Rules are there beside an error, too. Retries nothing.
	Info(ctx context.Context) (Info, error)

	// Check reports what would keep the indexes from being made and written, and
	// changes nothing: reachability, version, privileges, foreign indexes, and of
	// specs with Mappings what the sink would refuse of them. What is wrong is a
	// finding; an error only means that the sink could not be asked.
	Check(ctx context.Context, indexes []IndexSpec) ([]preflight.Finding, error)

	// Close ends all connections, after the last call of any other method.
	Close()
}

// A Writer delivers documents. The pipeline calls Write; what looks after it and
// tells of it, in the checkpoint step and over HTTP, calls the others.
type Writer interface {
	// Write delivers batches from in, in order for each document, and calls
	// each batch's Done once when all its actions are held. It retries what can
	// pass for as long as it takes. It blocks until in is closed and all is
	// delivered, and then returns nil; or it returns ctx's error when ctx ends, or
	// ErrTooManyDeadLetters, and what is not done has to come again in a later call.
	// Nothing is sent while leased is false: another daemon may own the documents.
	Write(ctx context.Context, in <-chan *Batch, leased func() bool) error

	// Takes asks whether a physical index takes documents now, by writes that change
	// none. why is empty where it does, and where it is gone; else what a person must do.
	Takes(ctx context.Context, t *Target) (why string, err error)

	// Health is nil while the sink answers; otherwise the reason, in words for
	// people, why actions wait. Never blocks; called from any goroutine.
	Health() error

	// DeadLetters counts those that are open by physical index.
	DeadLetters(ctx context.Context) (map[string]int64, error)
}

// A Catalog knows physical indexes and aliases. It is called when a session begins,
// then by the checkpoint step, and by the commands. ErrForeign, of any method, means
// that a name is taken by what this pipeline has not made, and which is left as it is.
type Catalog interface {
	// Index says what the alias points to: nil where neither alias nor index of
	// that name exists.
	Index(ctx context.Context, alias string) (*Index, error)

	// Standing says how things are with a physical index that is written to, its
	// write alias and the alias. It is asked every few seconds.
	Standing(ctx context.Context, alias, physical string) (Standing, error)

	// Made lists the physical indexes that this pipeline has made for the alias: those
	// of its name and a timestamp that have their write alias.
	Made(ctx context.Context, alias string) ([]string, error)

	// Newest is about the highest Version in a physical index; 0 for an empty one,
	// and where the sink cannot read back.
	Newest(ctx context.Context, physical string) (int64, error)

	// Create makes a physical index with its own write alias, tuned for
	// loading. With Serve set the alias points to it from the start. One that
	// an earlier call has made is returned. ErrRefused is for this index alone.
	Create(ctx context.Context, spec IndexSpec) (*Index, error)

	// Finish makes a loaded index ready to serve: refresh, replicas restored.
	// It is an error that there is no such index.
	Finish(ctx context.Context, physical string) error

	// Amend puts another definition into a physical index and leaves its documents
	// alone: fields are added, settings changed. refused says why the sink takes it
	// for a new index only; the fields are as before then. A field that want lacks stays.
	Amend(ctx context.Context, physical string, was, want IndexSpec) (refused string, err error)

	// Swap points the alias, or a write alias, to the physical index, away from any
	// other, in one step.
	Swap(ctx context.Context, alias, physical string) error

	// Drop deletes a physical index of this pipeline and its dead letters.
	// One that is gone already is no error.
	Drop(ctx context.Context, physical string) error
}

// A Reader reads documents back, to copy them into an index that replaces theirs.
type Reader interface {
	// Lacking finds the documents of one physical index that another one lacks, but
	// for such as are written after it began, and calls each for some at a time,
	// which blocks it and whose error ends it. at is empty or a place that each was
	// given: documents before it are passed over, so that it may be gone on with after
	// an error. It retries nothing, and changes nothing. A sink that cannot read back
	// finds nothing.
	Lacking(ctx context.Context, from, to, at string, each func(docs []Document, at string) error) error
}

// Checkpoints keep one document for each pipeline, by compare-and-swap. They are
// called when a session begins, by whatever has to be saved before it goes on, and by
// the commands.
type Checkpoints interface {
	// LoadCheckpoint returns the saved checkpoint; nil data where there is none.
	LoadCheckpoint(ctx context.Context, name string) (data []byte, token Token, err error)

	// SaveCheckpoint replaces the checkpoint that token came from; the zero Token
	// creates it. ErrConflict means that it is another one by now, or gone, and nothing
	// was saved. After another error it may have been saved all the same.
	SaveCheckpoint(ctx context.Context, name string, data []byte, token Token) (Token, error)

	// RemoveCheckpoint deletes the checkpoint. One that is gone is no error.
	RemoveCheckpoint(ctx context.Context, name string) error
}

// Options are what a Sink is told by the pipeline that it serves.
type Options struct {
	// Owner is the pipeline's name: what it made is marked with it.
	Owner string

	// StateDir is the folder that a sink without a server keeps all but the documents
	// in; it is made when something must be kept.
	StateDir string

	// MaxDeadLetters is how many may be open before Write gives up.
	MaxDeadLetters int64

	// MaxBytes bounds the batches that Write holds; a single larger one passes
	// alone. 0 stands for 32 MiB.
	MaxBytes int64

	// Stdout is standard output.
	Stdout io.Writer
}

// Info says what a sink is.
type Info struct {
	Kind    string // elasticsearch, opensearch, ndjson
	Version string
	Address string // no credentials
	Rules   Rules
}

// Rules are what a sink asks of documents and their indexes. The zero Rules ask nothing.
type Rules struct {
	IndexName func(alias string) (why string) // empty where physical indexes can be made for the alias
	Reserved  []string                        // names that no field may have
	LongestID int                             // of a document, in bytes

	// FieldTypes are the names of all types that fields may have, for suggestions: there may be more.
	FieldTypes []string

	// Types lists the field types beyond the basic ones that this sink has, such as
	// scaled_float; nil where it takes any, or was not asked.
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
