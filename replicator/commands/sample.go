package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// A sample is a row store in memory with the rows that a preview needs: those
// of the tables that relations lead to, as far as there is room, and those that
// are shown. Its tables are read one after the other, so not as of one moment.
type sample struct {
	source   sources.Source
	plan     *mapping.Plan
	store    *rowstore.Store
	arena    sources.Arena
	loaded   []*rowstore.Table
	warnings []string
}

// How much of a related table a sample holds at most.
const (
	sampleRows  = 100_000
	sampleBytes = 64 << 20
)

func newSample(source sources.Source, plan *mapping.Plan) (*sample, error) {
	store, err := rowstore.Open("sample", rowstore.Meta{}, rowstore.Options{FS: vfs.NewMem()})
	if err != nil {
		return nil, fmt.Errorf("open row store in memory: %w", err)
	}
	if err := store.Use(plan.Layout); err != nil {
		return nil, errors.Join(fmt.Errorf("use row store in memory: %w", err), store.Close())
	}
	return &sample{source: source, plan: plan, store: store}, nil
}

func (s *sample) close() { _ = s.store.Close() } // nothing of it is kept

func (s *sample) stored(t *rowstore.Table) *mapping.StoredTable { return s.plan.Stored[t.Ordinal] }

// load reads the tables that the definition's relations lead to.
func (s *sample) load(ctx context.Context, r *mapping.JoinedRenderer) error {
	for _, t := range r.Related() {
		if slices.Contains(s.loaded, t) {
			continue
		}
		s.loaded = append(s.loaded, t)
		if err := s.table(ctx, s.stored(t)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sample) table(ctx context.Context, t *mapping.StoredTable) error {
	request := sources.ChunkRequest{Table: t.Source, MaxRows: sampleRows, MaxBytes: reading.ChunkBytes}
	for size := 0; ; {
		chunk, err := s.source.Chunk(ctx, request)
		if err != nil {
			return fmt.Errorf("read table %s: %w", t.Source, err)
		}
		if err := s.put(t, chunk.Rows...); err != nil {
			return err
		}
		if chunk.Done {
			return nil
		}
		request.After = chunk.Last
		request.MaxRows -= len(chunk.Rows)
		size += chunk.Arena.Size()
		if request.MaxRows <= 0 || size >= sampleBytes {
			s.warnings = append(s.warnings, fmt.Sprintf("only the first %s of table %s were read: documents may lack what other rows of it bring",
				count(sampleRows-request.MaxRows, "row", "rows"), t.Source))
			return nil
		}
	}
}

// put stores whole rows.
func (s *sample) put(t *mapping.StoredTable, rows ...sources.Row) error {
	b := s.store.Batch()
	defer func() { _ = b.Discard() }() // after Commit it does nothing
	for _, row := range rows {
		s.arena.Reset()
		if _, err := b.Put(t.Table, t.Cut(&s.arena, row)); err != nil {
			return fmt.Errorf("store row of table %s: %w", t.Source, err)
		}
		b.Forget()
	}
	return b.Commit(false)
}

// render adds the document of a row of the definition's own table.
func (s *sample) render(scratch *mapping.Scratch, r *mapping.JoinedRenderer, row sources.Row, b *sinks.Batch) error {
	t := s.stored(r.Stored)
	if err := s.put(t, row); err != nil {
		return err
	}
	key, _ := t.Key(nil, &s.arena, row)
	snapshot := s.store.Snapshot()
	defer func() { _ = snapshot.Release() }() // nothing is written
	_, err := r.Document(scratch, snapshot, b, &sinks.Target{}, r.Mark(nil, key), 1)
	return err
}
