// Package sources defines what a tailed database gives to the pipeline, in
// types that fit PostgreSQL's WAL and the MySQL/MariaDB binlog alike.
//
// The guarantee: a Source emits every committed change of the tables it was
// asked for, in commit order, and numbers each so that a replay from the same
// Position numbers it the same. Of its goroutines only those that open and close
// connections outlive a call; all have ended when Close returns.
package sources

import (
	"context"
	"errors"
	"sync"
	"time"

	"haystream/internal/preflight"
)

// Sentinels that a caller branches on. Everything else that a Source returns
// is transient: the caller backs off and starts again from its checkpoint.
var (
	// ErrPositionLost means that the log no longer holds, or never held, what
	// follows the Position: slot gone or ahead of it, binlog purged, another
	// server, a forked timeline. Only a new snapshot mends it.
	ErrPositionLost = errors.New("the source's log no longer continues from the checkpoint")

	// ErrBusy means that another daemon is tailing under the same name.
	// The caller stands by and asks again.
	ErrBusy = errors.New("another daemon is tailing the source")

	// ErrSchemaChanged means that a table in use is not as the catalog had it, or
	// what its fingerprint tells is not. The caller reads the catalog again, plans
	// anew and starts again from its checkpoint.
	ErrSchemaChanged = errors.New("a table in use has changed")

	// ErrUnreadable means that a Chunk of this table cannot be read, and that
	// this says nothing of others: no grant, a value that cannot be decoded. The
	// caller goes on with the others and tries this one again.
	ErrUnreadable = errors.New("the table cannot be read")

	// ErrConfig means that a setting, a grant or a table in the source must be
	// mended by a person; trying again alone does not help. Its text carries
	// the remedy.
	ErrConfig = errors.New("the source is not set up for replication")
)

// Known reports whether an error says what a caller branches on.
func Known(err error) bool {
	return errors.Is(err, ErrConfig) || errors.Is(err, ErrBusy) || errors.Is(err, ErrPositionLost) || errors.Is(err, ErrSchemaChanged)
}

// A Source is a database that is tailed. All methods but Stream, Chunk and Look are
// called from one goroutine at a time; these run concurrently.
type Source interface {
	// Info connects and says what the source is. May be repeated.
	Info(ctx context.Context) (Info, error)

	// Catalog reads the tables that the configured role can see, with all
	// their columns in order, without system schemas. May be repeated.
	Catalog(ctx context.Context) ([]*Table, error)

	// Views reads what has a name like a table's and is none that can be tailed,
	// such as views: for messages. May be repeated.
	Views(ctx context.Context) ([]View, error)

	// Check reports everything that would keep the given tables from being
	// replicated, or that an operator should know, and changes nothing.
	Check(ctx context.Context, tables []*Table) ([]preflight.Finding, error)

	// Prepare makes the source ready to stream the tables after the Position
	// (empty for the first time): publication, slot, server checks. It returns
	// ErrPositionLost, ErrBusy or ErrConfig as said above, and ErrSchemaChanged
	// where the tables, or what their Fingerprints tell, are no longer as Catalog
	// gave them, also where Prepare itself has altered something of that. With an empty
	// Position it drops a leftover log handle (slot) of the same name that nobody uses,
	// and returns the Position to start from, from which the log holds
	// everything that a chunk read later could miss.
	Prepare(ctx context.Context, tables []*Table, from Position) (Start, error)

	// Stream sends batches to out until ctx ends or an error occurs, and keeps
	// the server's heartbeats up even while out is full. tables are the
	// projected tables that Prepare was given: rows carry exactly their
	// columns, in their order. It does not close out. It may be called again
	// after it returned, with the last checkpoint.
	Stream(ctx context.Context, tables []*Table, from Checkpoint, out chan<- *Batch) error

	// Ack tells the source that everything up to pos is held durably, so that
	// it may recycle its log. Never blocks; called from any goroutine.
	Ack(pos Position)

	// Chunk reads the next rows of a table in key order, in one short
	// transaction without locks that block writers. The chunk has seen every
	// transaction that the stream had emitted when Chunk was called; Chunk
	// waits and reads again until that is so. Blocks until read.
	Chunk(ctx context.Context, req ChunkRequest) (*Chunk, error)

	// Look looks whether the tables of the stream are still as Prepare found them, as far as that shows in
	// neither the log nor a chunk at its mark: else it returns ErrSchemaChanged, and Stream is about to. Who has compared
	// rows with anything else calls it before it takes a difference for one.
	Look(ctx context.Context) error

	// Reached reports whether a stream that is at pos has emitted everything
	// up to mark. Pure; called for every batch while chunks wait.
	Reached(pos, mark Position) bool

	// Remove drops what Prepare created (slot, publication) and says what it
	// dropped, one line each. With dryRun it only says.
	Remove(ctx context.Context, dryRun bool) ([]string, error)

	// Silence is for how long the server has said nothing to a stream that
	// listens, though it is asked every few seconds; 0 while none does. Never blocks.
	Silence() time.Duration

	// Evict ends the connection of the daemon that ErrBusy has told of. It is
	// called for one that has hung and cannot have written anything for long.
	Evict(ctx context.Context) error

	// Lag asks the source how far its log is ahead of pos. It uses a
	// connection of its own and may be called while Stream runs.
	Lag(ctx context.Context, pos Position) (Lag, error)

	// Close ends all connections, when the calls under way have returned.
	Close()
}

// Info says what a source is.
type Info struct {
	Kind     string // postgres, mysql, mariadb
	Version  string // the server's own words, such as 15.18
	Identity string // what must stay the same for a Position to mean anything: system identifier, server history
	Address  string // host:port/database, no credentials
}

// A Position is where a source's log was read up to. It is opaque outside its
// source; the empty Position is the one before the first start.
type Position string

// IsZero reports whether nothing has been read yet.
func (p Position) IsZero() bool { return p == "" }

// A Checkpoint is a Position with the last Version that was given out up to
// it: what a stream needs to number a replay as it did before.
type Checkpoint struct {
	Position Position
	Version  int64
}

// Start is Prepare's answer.
type Start struct {
	Position Position // where streaming begins

	// Mark is where the log ended after the catalog was compared: what is read
	// of the tables once the stream has Reached it is as the catalog says.
	Mark Position

	// Moved: the log goes on on another server, or timeline, than the one that the
	// Position was read from. It has all up to the Position; what that one had
	// after it, and a stream may have sent, may never have come here.
	Moved bool

	Clock time.Time // the source's clock: the first previous Version
	Fresh bool      // the log handle is new: rows must be read by a snapshot
}

// A Batch is a run of changes and messages in commit order: several small transactions, or
// a piece of a large one. A batch without either only moves the Position; one
// comes when nothing follows the last of them, even where the Position stays.
type Batch struct {
	Changes []Change

	// Messages are in the order of the log; how they lie between the Changes is not told.
	Messages []Message

	// Checkpoint is the state after the last whole transaction in the batch;
	// in the middle of a large transaction, the one before it.
	Checkpoint Checkpoint

	// CommitTime is when the last transaction in the batch was committed, by
	// the source's clock; zero where the batch only moves the Position.
	CommitTime time.Time

	// Transactions is how many commits the batch holds.
	Transactions int

	// Arena owns the bytes of every Row in Changes.
	Arena *Arena

	spare *sync.Pool // where Release puts it; nil: nowhere
}

// Release gives the batch's memory back, for a later one. Nothing of the batch may be
// used after that. A batch that is not released is left to the garbage collector.
func (b *Batch) Release() {
	large := b.Size() >= largeBatch
	clear(b.Changes)
	b.Arena.Reset()
	*b = Batch{Changes: b.Changes[:0], Arena: b.Arena, spare: b.spare}
	if large && b.spare != nil {
		b.spare.Put(b)
	}
}

// Size is the memory that the batch holds, in bytes.
func (b *Batch) Size() int {
	n := 0
	if b.Arena != nil {
		n = b.Arena.Size()
	}
	for i := range b.Messages {
		n += messageSize + len(b.Messages[i].Body)
	}
	return n + len(b.Changes)*changeSize
}

// empty reports whether the batch only moves the Position.
func (b *Batch) empty() bool { return len(b.Changes)+len(b.Messages) == 0 }

// MessagePrefix is what the messages in a log begin with that are for Haystream; the name
// of an event follows.
const MessagePrefix = "haystream."

// A Message is what a client has written into the log that is no row of a table. It
// takes no Version.
type Message struct {
	Name string    // what follows the MessagePrefix
	Body []byte    // as the client gave it: it may be anything
	ID   string    // its place in the log, which no other message has: a replay gives the same
	Time time.Time // of the commit; of one that is in no transaction, when it was read
	Read bool      // Time is when it was read: a replay gives another one
}

const messageSize = 96

// A ChangeKind says what a Change did.
type ChangeKind uint8

// The kinds of change that a log carries. Stale is one that is not of a row:
// what was read of the table before is worth nothing any more.
const (
	Insert ChangeKind = iota + 1
	Update
	Delete
	Stale
)

func (k ChangeKind) String() string {
	switch k {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Stale:
		return "stale"
	}
	return "unknown change"
}

// A Change is one row's insert, update or delete, or what makes a table's rows stale.
type Change struct {
	Table *Table // one of the projected tables given to Stream
	Kind  ChangeKind

	// Cascades: Unlogged foreign keys that refer to the row have acted.
	Cascades bool

	// Version orders this change against all others of the source.
	Version int64

	// Tx identifies the transaction, for Chunk.Sees. Opaque.
	Tx uint64

	// Stale says what became stale; nil but for changes of that kind.
	Stale *Staleness

	// Before is the row's old image as far as the log carries it: whole, only
	// its replica identity (other cells Missing), or none (IsZero) where the
	// key did not change. A Stale change has images where it was of one row.
	Before Row

	// After is the new image of an insert or update. A cell that the log left
	// out and that Before cannot fill is Missing.
	After Row
}

const changeSize = 152

// A ChunkRequest names the rows to read.
type ChunkRequest struct {
	Table *Table // projected; its Key gives the order
	After Key    // read rows after this key; nil for the first chunk

	// Inclusive begins with the row After itself, if it is there.
	Inclusive bool

	// Having, where it is not nil, asks only for rows that have one of some
	// values: by key, or by the columns of an index. They come in key order,
	// paged by After like all others.
	Having *Values

	MaxRows  int
	MaxBytes int // bound on the chunk's memory; a single larger row passes alone
}

// Values are values of some columns of a table. Two are equal where the database
// says so. No row has a value that a column's type cannot hold.
type Values struct {
	Columns []int // of the projected Table; for reading by key its Key
	Of      []Key // each as long as Columns, canonical text as in a Row; none is NULL
}

// A Key is a row's key as canonical text, one element per key column.
type Key []string

// A Chunk is a run of existing rows that were read in one moment.
type Chunk struct {
	Rows  []Row
	Arena *Arena
	Last  Key  // the last row's key; the next request's After
	Done  bool // no rows are left after it

	// Mark: once the stream has Reached it, it has emitted every transaction
	// that the chunk saw.
	Mark Position

	// Sees reports whether the chunk saw the transaction (Change.Tx). It may
	// say false for a seen one, never true for an unseen one.
	Sees func(tx uint64) bool

	spare *sync.Pool // where Release puts the memory; nil: nowhere
}

// NewChunk returns an empty chunk with room for so many rows of about so many bytes
// altogether, where it can in the memory of one that was released into spare.
func NewChunk(spare *sync.Pool, rows, bytes int) *Chunk {
	if c, ok := spare.Get().(*Chunk); ok {
		return c
	}
	return &Chunk{Rows: make([]Row, 0, rows), Arena: NewArena(bytes), spare: spare}
}

// Release gives the memory of the chunk's rows back, for a later chunk. They may not be
// used after that. A chunk that is not released is left to the garbage collector.
func (c *Chunk) Release() {
	clear(c.Rows)
	c.Arena.Reset()
	if c.spare != nil {
		c.spare.Put(&Chunk{Rows: c.Rows[:0], Arena: c.Arena, spare: c.spare})
	}
	c.Rows, c.Arena = nil, nil
}

// Lag is how far behind the source's log the daemon is.
type Lag struct {
	Bytes    int64 // log after the acknowledged position; -1 where unknown
	Retained int64 // log that the server keeps because of this daemon; -1 where unknown
	SafeLeft int64 // log that may still be written before the server gives the handle up; -1 unlimited or unknown
}
