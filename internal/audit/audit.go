// Package audit finds what a stopped pipeline must have come to by a way of its own, for tests: it reads the source's tables
// whole, and compares and renders them in memory.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"haystream/mapping"
	"haystream/mapping/rowstore"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/replicator/joins"
	"haystream/sinks"
	"haystream/sources"
)

// A Result is what a pipeline must have come to, and what its row store has come to instead.
type Result struct {
	// Faults say where the row store differs from the tables.
	Faults []string

	// Documents are those that the rows give, by alias and id. Rows that have none
	// because of an error are left out.
	Documents map[string]map[string]json.RawMessage
}

// Run reads everything into memory. It is right only while the daemon is
// down, has delivered all, and nobody writes. Events are in no table, and so in no audit.
func Run(ctx context.Context, cfg *config.Config) (out *Result, err error) {
	if cfg = cfg.Part(false); cfg == nil {
		return &Result{}, nil
	}
	source, sink, err := cfg.Open(zerolog.Nop())
	if err != nil {
		return nil, err
	}
	defer source.Close()
	defer sink.Close()
	in := &inspect.Inspection{Set: cfg.Set()}
	if err := errors.Join(in.ReadSource(ctx, source), in.ReadSink(ctx, sink)); err != nil {
		return nil, err
	}
	st, err := builds.LoadState(ctx, sink, cfg.Name, "audit", time.Now, zerolog.Nop())
	if err != nil {
		return nil, err
	}
	stored := false
	st.View(func(cp *builds.Checkpoint) {
		cp.Compare(in.Catalog, zerolog.Nop())
		in.Distrust(cp.Partial)
		in.Homes, stored = cp.Homes, cp.Store.ID != ""
	})
	if !stored { // the log has left out nothing so far
		for _, t := range in.Catalog {
			for i := range t.Columns {
				t.Columns[i].MayBeMissing = false
			}
		}
	}
	options := in.Options()
	var store *rowstore.Store
	if stored {
		if store, err = rowstore.Open(cfg.StoreDir(), rowstore.Meta{Identity: in.Source.Identity}, rowstore.Options{Log: zerolog.Nop()}); err != nil {
			return nil, fmt.Errorf("open row store: %w", err)
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		if options.Kept, err = store.Kept(); err != nil {
			return nil, err
		}
	}
	plan, err := options.Compile(in.Catalog, in.Set)
	if err != nil {
		return nil, fmt.Errorf("compile definitions: %w", err)
	}
	if store != nil && plan.Layout != nil {
		if err := store.Use(plan.Layout); err != nil {
			return nil, fmt.Errorf("use row store: %w", err)
		}
	}
	out = &Result{Documents: map[string]map[string]json.RawMessage{}}
	return out, out.read(ctx, source, store, plan)
}

func (out *Result) read(ctx context.Context, source sources.Source, store *rowstore.Store, plan *mapping.Plan) error {
	for _, index := range plan.Sets[0] {
		out.Documents[index.Alias] = map[string]json.RawMessage{}
	}
	for _, t := range plan.Tables {
		rows, err := readAll(ctx, source, t)
		if err != nil {
			return err
		}
		if err := out.flat(plan, t, rows); err != nil {
			return err
		}
		for _, stored := range plan.Stored {
			if stored.Source == t {
				if err := out.stored(store, stored, rows); err != nil {
					return err
				}
			}
		}
	}
	return out.joined(store, plan)
}

func readAll(ctx context.Context, source sources.Source, t *sources.Table) ([]sources.Row, error) {
	var rows []sources.Row
	request := sources.ChunkRequest{Table: t, MaxRows: 10_000, MaxBytes: 16 << 20}
	for {
		chunk, err := source.Chunk(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("read table %s: %w", t, err)
		}
		rows, request.After = append(rows, chunk.Rows...), chunk.Last
		if chunk.Done {
			return rows, nil
		}
	}
}

// flat renders the rows of a table for definitions that need no store.
func (out *Result) flat(plan *mapping.Plan, t *sources.Table, rows []sources.Row) error {
	scratch := mapping.NewScratch()
	for _, index := range plan.Sets[0] {
		for _, r := range index.Renderers {
			if r.Table != t {
				continue
			}
			for _, row := range rows {
				b := &sinks.Batch{}
				if err := r.Row(scratch, b, index.Preview(time.Now()), row, 1); err != nil {
					return fmt.Errorf("render %s: %w", r.Name, err)
				}
				out.add(index.Alias, b)
			}
		}
	}
	return nil
}

func (out *Result) add(alias string, b *sinks.Batch) {
	for _, action := range b.Actions {
		if action.Op == sinks.OpIndex {
			out.Documents[alias][string(action.ID)] = action.Body
		}
	}
}

// stored compares a stored table with the rows that it is made of.
func (out *Result) stored(store *rowstore.Store, t *mapping.StoredTable, rows []sources.Row) error {
	if store == nil {
		out.faultf("there is no row store, and table %s has to be stored", t.Source)
		return nil
	}
	notes, err := joins.ReadNotes(store)
	if err != nil {
		return err
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	if !notes.Loaded([]*mapping.StoredTable{t}) {
		out.faultf("stored table %s is not noted as read whole", t.Source)
	}
	want, arena := map[string]string{}, &sources.Arena{}
	for _, row := range rows {
		key, _ := t.Key(nil, arena, row)
		want[string(key)] = describeRow(t.Cut(arena, row))
	}
	count := 0
	err = snap.All(t.Table, nil, func(key []byte, row sources.Row) (bool, error) {
		defer snap.Forget()
		count++
		if have := describeRow(row); want[string(key)] != have {
			out.faultf("stored table %s has a row that the source has otherwise\n is %s\nnot %s", t.Source, have, want[string(key)])
		}
		index, err := snap.Unindexed(t.Table, key, row)
		if err == nil && index >= 0 {
			out.faultf("index %d of stored table %s does not lead to the row %s", index, t.Source, describeRow(row))
		}
		return true, err
	})
	for after, done := []byte(nil), false; !done && err == nil; {
		after, done, err = snap.Strays(t.Table, after, 1000, func(s rowstore.Stray) error {
			out.faultf("index %d of stored table %s leads to a row by what it is not, with the key %x", s.Index, t.Source, s.Key)
			return nil
		})
	}
	if count != len(want) {
		out.faultf("stored table %s has %d rows, the source %d", t.Source, count, len(want))
	}
	return err
}

func describeRow(row sources.Row) string {
	var text []byte
	for i := range row.Len() {
		switch {
		case row.Missing(i):
			text = append(text, "? "...)
		case row.Null(i):
			text = append(text, "NULL "...)
		default:
			text = append(strconv.AppendQuote(text, string(row.Text(i))), ' ')
		}
	}
	return string(text)
}

func (out *Result) faultf(format string, args ...any) {
	const most = 10
	if len(out.Faults) < most {
		out.Faults = append(out.Faults, fmt.Sprintf(format, args...))
	}
}

// joined renders every document that is made of stored rows.
func (out *Result) joined(store *rowstore.Store, plan *mapping.Plan) error {
	if store == nil || plan.Layout == nil {
		return nil
	}
	snap := store.Snapshot()
	defer func() { _ = snap.Release() }() // nothing is written
	scratch := mapping.NewScratch()
	scratch.Now = time.Now().UnixMicro()
	for _, index := range plan.Sets[0] {
		for _, r := range index.Joined {
			var marks [][]byte
			err := snap.All(r.Stored, nil, func(key []byte, _ sources.Row) (bool, error) {
				marks = append(marks, r.Mark(nil, key))
				snap.Forget()
				return true, nil
			})
			if err != nil {
				return err
			}
			for _, mark := range marks {
				b := &sinks.Batch{}
				if _, err := r.Document(scratch, snap, b, index.Preview(time.Now()), mark, 1); err != nil {
					return fmt.Errorf("render %s: %w", r, err)
				}
				out.add(index.Alias, b)
			}
		}
	}
	return nil
}
