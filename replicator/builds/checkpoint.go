// Package builds keeps the checkpoint and the physical indexes that it knows of: what each is
// made of, and how far; when one is stale; how a fresh one is built beside it and comes to serve.
//
// A checkpoint is saved by compare-and-swap, before anything that relies on it happens in the
// sink; each step may be cut short and repeated. The package starts no goroutine.
package builds

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// checkpointFormat is raised when an older daemon could not read what a newer one saved.
const checkpointFormat = 1

// A Checkpoint is what the daemon needs to go on after it ended in any way.
// It lives in the sink and is replaced by compare-and-swap.
type Checkpoint struct {
	Format  int       `json:"format"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"` // the process that saved it
	SavedAt time.Time `json:"saved_at"`

	Source   string           `json:"source"` // sources.Info.Identity
	Position sources.Position `json:"position"`
	Version  int64            `json:"version"` // the last one given out up to Position

	// Beyond: documents and stored rows may show changes after Position, since a session is under
	// way, or ended without saving how far it came. A server that has taken over from the one that
	// they came from may lack these.
	Beyond bool `json:"beyond,omitempty"`

	// TakenOver: see TakeOver.
	TakenOver bool `json:"taken_over,omitempty"`

	Indexes map[string]*indexState `json:"indexes"` // by alias

	// Tables are those in use, by schema.table.
	Tables map[string]*tableState `json:"tables,omitempty"`

	// Epoch is the last one that has begun (see sources.Epochs): physical indexes and
	// stored rows of earlier ones are stale where what they are made of has changed.
	Epoch int64 `json:"epoch,omitempty"`

	// Told is the Version of the last change in the log that made rows stale and
	// has begun an epoch. It is passed over when it comes again.
	Told int64 `json:"told,omitempty"`

	// Definitions are a mark of those that have been planned.
	Definitions string `json:"definitions,omitempty"`

	// Homes are the schemas of tables that the configuration names without one. They
	// are settled once, by the name.
	Homes map[string]string `json:"homes,omitempty"`

	// Partial are the tables of which the log has left out a value that nothing
	// held: their rows are stored since.
	Partial []string `json:"partial,omitempty"`

	// Store is the row store as it was when this was saved; zero without one.
	Store StoreState `json:"store,omitzero"`

	// Garbage holds physical indexes that were replaced and are to be dropped.
	Garbage []string `json:"garbage,omitempty"`

	// Paused is when somebody has paused the pipeline; zero while nobody has.
	Paused time.Time `json:"paused,omitzero"`
}

// A StoreState tells a row store from another one, and from an older copy of itself, and a
// checkpoint from an older one.
type StoreState struct {
	ID       string `json:"id"`
	Sequence uint64 `json:"sequence"`
	Saves    uint64 `json:"saves,omitempty"` // of checkpoints with it; the store notes how many it has seen
}

// Fits reports whether a store may be what the checkpoint was saved with, or has gone on from that. Where the store
// has seen a later checkpoint, the sink was put back to what it was: it lacks documents that the store knows to be held.
func (s StoreState) Fits(store *rowstore.Store) bool {
	return s.ID == store.ID() && s.Sequence <= store.Sequence() && s.Saves >= store.Saves()
}

// An indexState is what is known of one alias.
type indexState struct {
	Live *build `json:"live,omitempty"` // what the alias points to
	Next *build `json:"next,omitempty"` // built beside, to be swapped in

	// Stale says why Live has to be replaced, by a build of Epoch or later.
	Stale string `json:"stale,omitempty"`
	Epoch int64  `json:"epoch,omitempty"`

	Gap bool `json:"gap,omitempty"` // it may have missed changes since

	// Old are physical indexes that were replaced and are kept, the oldest first. They get no changes.
	Old []string `json:"old,omitempty"`

	Merge bool `json:"merge,omitempty"` // the next one's segments are to be merged before it serves

	// Held: it is held up, and gets no changes.
	Held bool `json:"held,omitempty"`

	// Blocked is what the sink takes no documents for, while it is held up for that.
	Blocked *Blocked `json:"blocked,omitempty"`
}

// A build is a physical index with its definition and how much of the tables
// it holds.
type build struct {
	Physical   string                       `json:"physical"`
	UUID       string                       `json:"uuid,omitempty"` // empty until it is known to exist
	Definition json.RawMessage              `json:"definition"`
	Epoch      int64                        `json:"epoch,omitempty"`    // in which it was planned
	Since      int64                        `json:"since,omitempty"`    // changes up to this Version are in the rows that are read for it
	Finished   bool                         `json:"finished,omitempty"` // loaded, with its settings for serving
	Stored     bool                         `json:"stored,omitempty"`   // its documents are rendered from stored rows
	Tables     map[string]*reading.Progress `json:"tables"`

	Round int `json:"round,omitempty"` // how often all tables were read again into it

	// Origins are the physical indexes whose documents are copied into this one, as rows
	// of them may be gone. One that is to replace another has that among them, and serves once all are copied.
	Origins []*origin `json:"origins,omitempty"`

	// Sole: it has changes that the index which serves has not got, so that it is never given up.
	Sole bool `json:"sole,omitempty"`
}

// An origin is a physical index whose documents are copied into another one.
type origin struct {
	Physical string `json:"physical"`
	Place    string `json:"place,omitempty"`  // all documents before it were looked at
	Copied   bool   `json:"copied,omitempty"` // all were

	// Below is above the Versions that its documents get: they replace none that the
	// definition has made since they began to be copied.
	Below int64 `json:"below"`
}

// takeIn has documents of another physical index copied into the build.
func (b *build) takeIn(physical string, below int64) {
	if physical == b.Physical || slices.ContainsFunc(b.Origins, func(o *origin) bool { return o.Physical == physical }) {
		return
	}
	b.Origins = append(b.Origins, &origin{Physical: physical, Below: below})
	b.Finished = false
}

// uncopied is the first origin whose documents are not all here; nil where there is none.
func (b *build) uncopied() *origin {
	for _, o := range b.Origins {
		if !o.Copied {
			return o
		}
	}
	return nil
}

// origins are the names of the build's origins.
func (b *build) origins() (names []string) {
	for _, o := range b.Origins {
		names = append(names, o.Physical)
	}
	return names
}

// loaded reports whether every table has been read whole.
func (b *build) loaded() bool {
	for _, t := range b.Tables {
		if !t.Done {
			return false
		}
	}
	return true
}

// fresh reports whether nothing has been read into the build.
func (b *build) fresh() bool {
	for name := range b.Tables {
		if b.holds(name) {
			return false
		}
	}
	return true
}

// untouched reports whether the build is a fresh one that the stream has not come to
// the beginning of (see Reached): no document is in it.
func (b *build) untouched() bool {
	return b.fresh() && b.Since == 0 && b.Round == 0 && len(b.Origins) == 0
}

// NewCheckpoint is the one before the first start.
func NewCheckpoint(name string) *Checkpoint {
	return &Checkpoint{Format: checkpointFormat, Name: name, Indexes: map[string]*indexState{}}
}

// ParseCheckpoint reads a saved checkpoint of the pipeline. One that a newer version
// has saved is ErrNewer; any other error says what is damaged in it.
func ParseCheckpoint(data []byte, name string) (*Checkpoint, error) {
	var head struct {
		Format json.Number `json:"format"`
	}
	if json.Unmarshal(data, &head) == nil {
		if n, err := head.Format.Int64(); err == nil && n > checkpointFormat {
			return nil, fmt.Errorf("%w (format %d, this one reads up to %d); run that version", ErrNewer, n, checkpointFormat)
		}
	}
	cp := &Checkpoint{}
	if err := json.Unmarshal(data, cp); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	return cp, cp.damage(name)
}

// ErrNewer is of a checkpoint that is never overwritten.
var ErrNewer = errors.New("the checkpoint was saved by a newer version of haystream")

// damage says what no daemon can have saved; nil where all is as it should be.
func (cp *Checkpoint) damage(name string) error {
	switch {
	case cp.Format == 0:
		return errors.New("it has no format")
	case cp.Format != checkpointFormat:
		return fmt.Errorf("its format is %d, which no version has", cp.Format)
	case cp.Name != name:
		return fmt.Errorf("it is of the pipeline %q", cp.Name)
	case cp.Indexes == nil:
		return errors.New("it has no indexes")
	case cp.Version < 0 || cp.Version == 0 && cp.Position != "":
		return fmt.Errorf("its version is %d", cp.Version)
	}
	for alias, st := range cp.Indexes {
		if st == nil {
			return fmt.Errorf("index %s is empty", alias)
		}
		for _, b := range []*build{st.Live, st.Next} {
			if b == nil {
				continue
			}
			if b.Physical == "" || len(b.Definition) == 0 || b.Tables == nil {
				return fmt.Errorf("index %s has a physical index without name, definition or tables", alias)
			}
			for table, progress := range b.Tables {
				if progress == nil {
					return fmt.Errorf("index %s does not say how far table %s was read", alias, table)
				}
			}
		}
	}
	return nil
}

// newEpoch begins an epoch.
func (cp *Checkpoint) newEpoch() int64 {
	cp.Epoch++
	return cp.Epoch
}

// markStale asks for a new physical index beside the live one, of an epoch or a later one.
func (cp *Checkpoint) markStale(alias, reason string, epoch int64) {
	st := cp.Indexes[alias]
	if st == nil || st.Epoch > epoch && st.Stale != "" {
		return
	}
	st.Stale, st.Epoch = reason, epoch
}

// Rebuild asks for new physical indexes. useless are those that are being built and
// cannot be gone on with.
func (cp *Checkpoint) Rebuild(aliases []string, reason string, useless []string) {
	epoch := cp.newEpoch()
	for _, alias := range aliases {
		cp.markStale(alias, reason, epoch)
		if st := cp.Indexes[alias]; st != nil && slices.Contains(useless, st.Next.name()) && !st.Next.Sole {
			cp.Garbage, st.Next = append(cp.Garbage, st.Next.Physical), nil
		}
	}
}

// LeftOut notes that the log has left out a value of the table that an index needs.
func (cp *Checkpoint) LeftOut(table, alias string) {
	if !slices.Contains(cp.Partial, table) {
		cp.Partial = append(cp.Partial, table)
	}
	cp.markStale(alias, "the log left out a value of table "+table, cp.newEpoch())
}

// Restart forgets the position: the log does not continue from it. Every index
// is rebuilt beside the one that serves, since rows deleted in the gap would
// otherwise stay.
func (cp *Checkpoint) Restart(reason string) {
	cp.Position, cp.TakenOver = "", false
	cp.rebuildAll(reason)
	for _, st := range cp.Indexes {
		st.Gap = true
	}
}

// TakeOver notes that a server has taken over which may lack what documents and stored rows show beyond
// Position. The row store is begun anew, so that no document is made of rows of both. The log goes on, so that nothing
// is missed which is in no table; at its end Distrust is due, and not before: what is read again of the log must not get the
// higher Versions that come with that, or documents would go through their earlier states again.
func (cp *Checkpoint) TakeOver() {
	cp.Store, cp.TakenOver = StoreState{}, true
}

// Distrust has every index rebuilt beside the one that serves, and the row store begun anew, after TakeOver, once nothing
// is beyond Position.
func (cp *Checkpoint) Distrust(reason string) {
	cp.Store, cp.TakenOver = StoreState{}, false
	cp.rebuildAll(reason)
}

// rebuildAll marks every index stale, and numbers what comes above all that was sent.
func (cp *Checkpoint) rebuildAll(reason string) {
	cp.Version += versionStride
	epoch := cp.newEpoch()
	for _, alias := range slices.Sorted(maps.Keys(cp.Indexes)) {
		cp.markStale(alias, reason, epoch)
	}
}

// needs reports whether a physical index is in use, or has documents that are to be copied.
func (cp *Checkpoint) needs(physical string) bool {
	for _, st := range cp.Indexes {
		for _, b := range []*build{st.Live, st.Next} {
			if b != nil && (b.Physical == physical || slices.ContainsFunc(b.Origins, func(o *origin) bool { return o.Physical == physical && !o.Copied })) {
				return true
			}
		}
	}
	return false
}

// holds reports whether rows of the table were read into the build.
func (b *build) holds(table string) bool {
	if b == nil || b.Tables[table] == nil {
		return false
	}
	t := b.Tables[table]
	return t.Done || t.Rows > 0
}

// versionStride is how far the numbering jumps where the log does not continue:
// one hour in microseconds.
const versionStride = int64(time.Hour / time.Microsecond)

// A Held is why indexes are held up, by alias.
type Held map[string]string

// Hold notes which indexes are held up. What they miss meanwhile has to be read
// again.
func (cp *Checkpoint) Hold(why Held) {
	epoch := int64(0)
	for alias, st := range cp.Indexes {
		if why[alias] == "" {
			st.Held, st.Blocked = false, nil
			continue
		}
		if st.Held {
			continue
		}
		if st.Held = true; epoch == 0 {
			epoch = cp.newEpoch()
		}
		cp.markStale(alias, "it was held up", epoch)
		st.Gap = true
	}
}

// WriteAliases lists the write aliases of all physical indexes in the checkpoint.
func (cp *Checkpoint) WriteAliases() []string {
	var names []string
	for _, physical := range cp.Garbage {
		names = append(names, sinks.WriteAlias(physical))
	}
	for _, alias := range slices.Sorted(maps.Keys(cp.Indexes)) {
		st := cp.Indexes[alias]
		for _, physical := range append(slices.Clone(st.Old), st.Live.name(), st.Next.name()) {
			if physical != "" {
				names = append(names, sinks.WriteAlias(physical))
			}
		}
	}
	return names
}

// Stored reports whether rows are stored for an index, or have to be.
func (cp *Checkpoint) Stored() bool {
	found := cp.Store.ID != "" || len(cp.Partial) > 0
	for _, st := range cp.Indexes {
		found = found || st.Live != nil && st.Live.Stored
	}
	return found
}

// LoseStore marks the indexes stale that were rendered from a store that is gone, also one that is built where the
// checkpoint does not know what serves: rows that go before the next store is loaded would stay in it.
func (cp *Checkpoint) LoseStore() {
	stored := func(b *build) bool { return b != nil && b.UUID != "" && b.Stored }
	epoch := cp.newEpoch()
	for alias, st := range cp.Indexes {
		if stored(st.Live) || stored(st.Next) {
			cp.markStale(alias, "the row store was begun anew", epoch)
		}
	}
}
