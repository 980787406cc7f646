package replicator

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"haystream/internal/fault"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/joins"
	"haystream/sinks"
	"haystream/sources"
)

// A job is one piece of work between apply and deliver: the changes of a batch,
// or the rows of a merged chunk. Jobs are rendered on all cores and delivered
// in the order in which they were made.
type job struct {
	seq      int64
	batch    *sources.Batch // changes, or
	chunk    *loadedChunk   // rows of its scan
	rows     []sources.Row
	piece    *joins.Piece  // of stored rows
	copied   chan struct{} // of a batch that is copied: closed when it is held
	version  int64         // of the rows
	held     int64         // of the pipeline's memory
	out      *sinks.Batch
	delivery *delivery

	err      error
	rendered chan struct{} // closed when out or err is set
}

// size is about how many bytes the job's documents will have.
func (j *job) size() int {
	switch {
	case j.piece != nil:
		return j.piece.Size()
	case j.chunk != nil:
		return j.chunk.chunk.Arena.Size() * len(j.chunk.scan.routes)
	}
	return j.batch.Size()
}

// release gives back the rows that were rendered.
func (j *job) release() {
	switch {
	case j.batch != nil:
		j.batch.Release()
	case j.chunk != nil:
		j.chunk.chunk.Release()
	}
	j.batch, j.rows, j.chunk = nil, nil, nil
}

// An incompleteError ends a session: the log left out a value that a definition
// uses, and nothing holds it. From then on the table's rows are stored.
type incompleteError struct {
	*mapping.IncompleteError
	alias string
}

// Unwrap gives the table and columns.
func (e *incompleteError) Unwrap() error { return e.IncompleteError }

// A renderer turns jobs into actions. Pure: no I/O.
type renderer struct {
	routes     [][]*route
	scratch    *mapping.Scratch
	incomplete func(*builds.Target) // is told once of each target that lacks something
}

// run renders jobs until work is closed.
func (r *renderer) run(ctx context.Context, work <-chan *job) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case j, ok := <-work:
			if !ok {
				return nil
			}
			switch {
			case j.piece != nil:
				j.err = j.piece.Render(r.scratch, j.out)
			case j.chunk != nil:
				j.err = r.rows(j)
			default:
				j.err = r.changes(j)
			}
			fault.Point("rendered")
			close(j.rendered)
		}
	}
}

// changes renders a batch of the stream.
func (r *renderer) changes(j *job) error {
	for i := range j.batch.Changes {
		c := &j.batch.Changes[i]
		if c.Kind == sources.Stale {
			continue // the apply loop has seen to it
		}
		for _, to := range r.routes[c.Table.Ordinal] {
			// What came up to the cause of a rebuild is in the rows that are read for it.
			if to.target.Retired.Load() || c.Version <= to.target.Since.Load() {
				continue
			}
			err := to.renderer.Change(r.scratch, j.out, to.target.Target, c)
			if err == nil {
				continue
			}
			var incomplete *mapping.IncompleteError
			if !errors.As(err, &incomplete) {
				return fmt.Errorf("render %s from table %s: %w", to.renderer.Name, c.Table, err)
			}
			switch {
			case to.awaitsRows(j.seq):
			case to.replacement != nil && to.replacement.awaitsRows(j.seq), to.target.Replacement != nil && to.target.Replacement.Stored():
				if !to.target.Incomplete.Swap(true) {
					r.incomplete(to.target)
				}
			default:
				return &incompleteError{IncompleteError: incomplete, alias: to.target.Alias}
			}
		}
	}
	return nil
}

// rows renders the rows of a chunk.
func (r *renderer) rows(j *job) error {
	for _, to := range j.chunk.scan.routes {
		if to.target.Retired.Load() {
			continue
		}
		render := to.renderer.Row
		if to.target.Again() {
			render = to.renderer.RowAgain
		}
		for _, row := range j.rows {
			if err := render(r.scratch, j.out, to.target.Target, row, j.version); err != nil {
				return fmt.Errorf("render %s from a row of table %s: %w", to.renderer.Name, j.chunk.scan.table, err)
			}
		}
	}
	return nil
}

// outputs keeps delivered batches for the next ones: small and large apart, so
// that small ones do not sit in large buffers while the sink is slow.
type outputs struct{ small, large sync.Pool }

// Sizes of batches in bytes: where large ones begin, and the largest worth keeping.
const (
	largeOutput   = 256 << 10
	maxKeptOutput = 4 << 20
)

func (o *outputs) of(size int) *sync.Pool {
	if size < largeOutput {
		return &o.small
	}
	return &o.large
}

// get returns an empty batch, for about the given number of bytes.
func (o *outputs) get(size int) *sinks.Batch {
	if b, ok := o.of(size).Get().(*sinks.Batch); ok {
		return b
	}
	return &sinks.Batch{}
}

// put takes a batch back.
func (o *outputs) put(b *sinks.Batch) {
	if size := b.Size(); size <= maxKeptOutput {
		b.Reset()
		o.of(size).Put(b)
	}
}
