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
	"time"

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

// NotTaking is logged when Health turns from nil.
const NotTaking = "the sink does not take documents; waiting"

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
//
// Other physical indexes may belong to one, for periods of its documents (see inPeriod).
// What is done to it is done to them; given the name of one of them, to that one alone.
type Catalog interface {
	// Index says what the alias points to: nil where neither alias nor index of
	// that name exists.
	Index(ctx context.Context, alias string) (*Index, error)

	// Standing says how things are with a physical index that is written to, its
	// write alias and the alias. It is asked every few seconds.
	Standing(ctx context.Context, alias, physical string) (Standing, error)

	// Foreign says what others than this pipeline have made that bears the alias's name; nil
	// where nothing does.
	Foreign(ctx context.Context, alias string) (*Foreign, error)

	// Take points the alias to the physical index in the place of what is foreign, in one step.
	// The documents of that stay in the indexes that it returns. To be repeated until it
	// has no error.
	Take(ctx context.Context, alias, physical string) (kept []string, err error)

	// Made lists the physical indexes that this pipeline has made for the alias, in the
	// order of their names: those of its name and a timestamp that have their write alias.
	// Without an alias, it lists those of all that it may see.
	Made(ctx context.Context, alias string) ([]*Index, error)

	// Newest is about the highest Version in a physical index; 0 for an empty one,
	// and where the sink cannot read back.
	Newest(ctx context.Context, physical string) (int64, error)

	// Create makes a physical index with its own write alias, tuned for
	// loading. With Serve set the alias points to it from the start: to an index where
	// nothing serves, and to one of a period beside the one that it belongs to. One that
	// an earlier call has made is returned. ErrRefused is for this index alone.
	Create(ctx context.Context, spec IndexSpec) (*Index, error)

	// Finish makes a loaded index ready to serve: refresh, replicas restored.
	// It is an error that there is no such index.
	Finish(ctx context.Context, physical string) error

	// Amend puts another definition into a physical index and leaves its documents
	// alone: fields are added, settings changed. refused says why the sink takes it
	// for a new index only; the fields are as before then. A field that want lacks stays.
	Amend(ctx context.Context, physical string, was, want IndexSpec) (refused string, err error)

	// Merge merges each shard's segments into one, for an index that is loaded: it is smaller and
	// searched faster then. It blocks until that is done, and may be called beside the
	// others. refused says why the sink does not do it.
	Merge(ctx context.Context, physical string) (refused string, err error)

	// Swap points the alias, or a write alias, to the physical index, away from any
	// other, in one step.
	Swap(ctx context.Context, alias, physical string) error

	// Shelve deletes the dead letters of a physical index of this pipeline that is kept and
	// gets no more documents.
	Shelve(ctx context.Context, physical string) error

	// Drop deletes a physical index of this pipeline and its dead letters.
	// One that is gone already is no error.
	Drop(ctx context.Context, physical string) error
}

// A Reader reads documents back, to copy them into an index that replaces theirs.
type Reader interface {
	// Lacking finds the documents of one physical index that another one lacks, or has in
	// an older Version, and those in its dead letters, but for such as are written after it began, and calls each for some at a time,
	// which blocks it and whose error ends it. at is empty or a place that each was
	// given: documents before it are passed over, so that it may be gone on with after
	// an error. It retries nothing, and changes nothing. A sink that cannot read back
	// finds nothing.
	Lacking(ctx context.Context, from, to, at string, each func(docs []Document, at string) error) error
}

// A Searcher answers questions about the documents that an alias shows. A sink need not be
// one. Several goroutines call it at once; it retries nothing, and changes nothing.
type Searcher interface {
	// Search sends the body of a search in the query DSL, and returns the answer's. An
	// answer without some of the documents is an error.
	Search(ctx context.Context, alias string, body []byte) (json.RawMessage, error)

	// Mappings are those of each physical index that the alias shows; none where there is
	// no such alias.
	Mappings(ctx context.Context, alias string) ([]json.RawMessage, error)

	// Refused are the latest dead letters that are open, most at most.
	Refused(ctx context.Context, most int) ([]Refused, error)
}

// Letters are the dead letters that a sink holds for people to see to. A sink need not
// hold them so. Several goroutines call it at once; it retries nothing.
type Letters interface {
	// Letters are those that are open of an alias, or of all where that is empty, the latest
	// first and without their documents: most at most, after the place that an earlier
	// page has named. ErrPlace: after is no such place.
	Letters(ctx context.Context, alias string, most int, after string) (LettersPage, error)

	// Letter is the one of a key, with its document; nil where none is open.
	Letter(ctx context.Context, key string) (*Refused, error)

	// DropLetter deletes a dead letter. It stays, and dropped is false, where the document was
	// refused again since, at a later version. One that is gone is no error.
	DropLetter(ctx context.Context, l *Refused) (dropped bool, err error)
}

// A Viewer shows single documents, to be compared with what they should be. A sink need not be
// one. It retries nothing, and changes nothing.
type Viewer interface {
	// View calls each for some documents of a physical index, by ID and Routing, as they are
	// at this moment, in the order asked for. One that is not there is nil.
	View(ctx context.Context, physical string, of []Document, each func(n int, d *Document)) error

	// Listed is a page of a physical index's documents, without their bodies: the first one where
	// at is empty, else the one at a place that an earlier page has named as next. The last page names none.
	// Documents that are written after the first page was asked for may be left out.
	Listed(ctx context.Context, physical, at string) (docs []Document, next string, err error)

	// Refusals calls each for the ids of a physical index that have an open dead letter.
	Refusals(ctx context.Context, physical string, each func(id string)) error
}

// ErrPlace means that a text is no place in a list.
var ErrPlace = errors.New("no place to go on from")

// A LettersPage is a part of the dead letters.
type LettersPage struct {
	Total   int64     `json:"total"`
	Letters []Refused `json:"dead_letters"`
	Next    string    `json:"next,omitempty"` // the place after them; empty where they are the last
}

// A Refused document is a dead letter.
type Refused struct {
	Key      string    `json:"key"`   // which it is
	Index    string    `json:"index"` // the alias
	Physical string    `json:"physical_index"`
	ID       string    `json:"id"`
	Routing  string    `json:"routing,omitempty"`
	Version  int64     `json:"version"`
	Op       string    `json:"op"` // index or delete
	Type     string    `json:"type"`
	Reason   string    `json:"reason"` // in the words of whoever refused it
	Time     time.Time `json:"time"`
	Body     string    `json:"document,omitempty"` // as it was sent; empty in lists, and where none is kept
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

	// NoBoost: fields take no boost in their mapping.
	NoBoost bool

	// Searches: the sink is a Searcher.
	Searches bool
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
	Serving  []string // all indexes behind the alias, as long as it shows the whole of them, without those of their periods
	Blocked  string   // why it takes no documents, with the remedy; empty where it does
	Periods  []string // of the indexes that belong to it and can be written to, in order
}

// A Foreign is what bears an alias's name and was made by others.
type Foreign struct {
	Alias     string
	Index     bool     // an index has the name; else an alias has it
	Indexes   []string // that index, or those that the alias leads to
	By        string   // who made them, for people: "made by django-haystack"
	Documents int64    // in them
	Kept      string   // the index that keeps the documents of an index, when the alias is in its place
	Cannot    string   // why its place cannot be taken, with the remedy; empty where it can
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

	// Keep are physical indexes whose documents are to come into this one: their
	// fields that Mappings lack are kept.
	Keep []string
}

// A Document as the sink holds it.
type Document struct {
	ID      []byte
	Routing []byte // nil for none
	Version int64
	Body    []byte // on one line
	Older   bool   // the index that lacks it has the document in an older Version
	Refused bool   // it comes from the dead letters
	Lost    string // of a dead letter that does not have the document: why
}
