package joins

import (
	"fmt"
	"hash/fnv"
	"sync/atomic"

	"haystream/mapping"
	"haystream/sinks"
)

// A Target is a physical index that is made of stored rows, in part at least.
type Target struct {
	*sinks.Target
	Alias  string
	Joined []*mapping.JoinedRenderer
	Round  int // how often all rows were read again into it

	Serving  bool // the alias points to it
	Stale    bool // and it has to be replaced
	Replaced bool // by one that is built beside in this session

	Since   *atomic.Int64 // it begins once changes up to this Version are applied
	Retired *atomic.Bool  // nothing is written to it any more
}

// A target is one table's documents in a Target.
type target struct {
	*Target
	renderer *mapping.JoinedRenderer
	id       uint32       // in marks
	most     atomic.Int64 // documents in the next piece; 0: one
	each     atomic.Int64 // bytes of a document in the last piece
	began    atomic.Int64 // the version at which the pass over all rows has begun: from then on changes make documents dirty; 0: it has not
	passing  atomic.Bool  // and is not over
	paused   atomic.Bool  // its tables may not be as the source has them

	rendered    atomic.Int64 // rows whose documents the pass has rendered and are held
	dirty       dirty        // guarded by rounds.mu, as what follows
	sentRecords []recordsAt  // that are not deleted yet
	sending     int64        // the first record of what the round under way sends; 0: it has sent all
	seen        seen         // by whom asked last what is not held

	cursor []byte // the last row that the pass has sent; owned by Run
	sent   bool   // and there are no more
	passed passed // what is held of it; owned by the apply loop, as what follows
	timed  bool   // some document is due some time

	marks   []string            // of documents that the batch under way makes dirty
	marking map[string]struct{} // the same
}

// A RebuildError means that documents were begun whose tables have to be read again:
// their indexes must be built anew.
type RebuildError struct {
	Aliases []string
	Useless []string // physical indexes that are being built and cannot be gone on with
}

func (e *RebuildError) Error() string { return "rows of its tables are stored otherwise than before" }

// targetID numbers a physical index and one of its definition's tables for marks.
func targetID(physical string, n int) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%d", physical, n)
	return h.Sum32()
}

// name is another one in each round, which has a pass of its own.
func (t *target) name() string {
	if t.Round > 0 {
		return fmt.Sprintf("%s/%d/%d", t.Physical, t.id, t.Round)
	}
	return fmt.Sprintf("%s/%d", t.Physical, t.id)
}

// targetOf is the n-th table's documents in a Target.
func targetOf(of *Target, n int, renderer *mapping.JoinedRenderer) *target {
	return &target{Target: of, renderer: renderer, id: targetID(of.Physical, n), dirty: newDirty(), marking: map[string]struct{}{}}
}

// mark notes in the batch under way that a document is to be rendered.
func (t *target) mark(mark []byte) error { // as the walk wants it
	if _, marked := t.marking[string(mark)]; !marked {
		m := string(mark)
		t.marking[m] = struct{}{}
		t.marks = append(t.marks, m)
	}
	return nil
}

func (t *target) forgetMarks() {
	clear(t.marking)
	t.marks = nil
}
