package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/replicator/reading"
	"haystream/sinks"
	"haystream/sources"
)

// PreviewOptions say what Preview shows.
type PreviewOptions struct {
	Index string // a definition's name
	Limit int    // documents
	Key   string // only the row with this key, as keysOf takes it; empty for the first rows
}

// A preview is what Preview prints.
type preview struct {
	Index     string            `json:"index"` // the alias
	Mappings  json.RawMessage   `json:"mappings"`
	Settings  json.RawMessage   `json:"settings,omitempty"`
	Warnings  []string          `json:"warnings,omitempty"` // what the documents may lack
	Documents []previewDocument `json:"documents"`
}

type previewDocument struct {
	ID       string          `json:"_id"`
	Routing  string          `json:"_routing,omitempty"`
	Period   string          `json:"period,omitempty"` // whose index it goes to
	Source   json.RawMessage `json:"_source,omitempty"`
	Rejected string          `json:"rejected,omitempty"` // why there is no document
}

// Preview prints the mapping, settings and documents that real rows would
// give, as JSON. It reads from the source and writes nothing anywhere.
func Preview(ctx context.Context, cfg *config.Config, file *conf.Source, options PreviewOptions, out io.Writer) error {
	if cfg.Indexes[options.Index] == nil {
		return unknownIndex(cfg, options.Index)
	}
	cfg = cfg.Part(cfg.Indexes[options.Index].Events != nil)
	source, sink, err := cfg.Open(zerolog.Nop())
	if err != nil {
		return err
	}
	defer source.Close()
	defer sink.Close()
	in := &inspect.Inspection{Set: cfg.Set()}
	if err := errors.Join(in.ReadSource(ctx, source), in.ReadSink(ctx, sink)); err != nil {
		return err
	}
	if in.Compile(ctx, source, file); in.Plan == nil {
		return &inspect.Refusal{Findings: in.Findings, Final: true}
	}
	scratch := mapping.NewScratch()
	if cfg.Source.InvalidUTF8 == sources.InvalidDeadLetter {
		scratch.Undecodable = func(e *mapping.UndecodableError) error { return e }
	}
	scratch.Now = time.Now().UnixMicro()
	p := preview{Documents: []previewDocument{}}
	for _, index := range in.Plan.Sets[0] {
		if !slices.Contains(index.Names, options.Index) {
			continue
		}
		p.Index, p.Mappings, p.Settings = index.Alias, index.Mappings, index.Settings
		if err := p.read(ctx, source, in.Plan, index, options, scratch); err != nil {
			return err
		}
	}
	if cfg.Indexes[options.Index].Events != nil {
		p.Warnings = append(p.Warnings, "an event is in no table, so that there are none to show: push some, and look at them in the index")
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

// read renders rows of the definition's tables until there are enough documents.
func (p *preview) read(ctx context.Context, source sources.Source, plan *mapping.Plan, index *mapping.Index, options PreviewOptions, scratch *mapping.Scratch) error {
	for _, r := range index.Renderers {
		if r.Name != options.Index {
			continue
		}
		err := p.table(ctx, source, r.Table, options, func(row sources.Row, b *sinks.Batch) error {
			return r.Row(scratch, b, index.Preview(time.Now()), row, 1)
		})
		if err != nil {
			return err
		}
	}
	if err := p.readJoined(ctx, source, plan, index, options, scratch); err != nil {
		return err
	}
	if options.Key != "" && len(p.Documents) == 0 {
		return fmt.Errorf("the row with key %s is not there, or has no document", options.Key)
	}
	return nil
}

// readJoined does the same for documents of several tables.
func (p *preview) readJoined(ctx context.Context, source sources.Source, plan *mapping.Plan, index *mapping.Index, options PreviewOptions, scratch *mapping.Scratch) error {
	if len(index.Joined) == 0 {
		return nil
	}
	s, err := newSample(source, plan)
	if err != nil {
		return err
	}
	defer s.close()
	for _, r := range index.Joined {
		if r.Name != options.Index {
			continue
		}
		if err := s.load(ctx, r); err != nil {
			return err
		}
		root := s.stored(r.Stored)
		err := p.table(ctx, source, root.Source, options, func(row sources.Row, b *sinks.Batch) error {
			return s.render(scratch, r, row, b)
		})
		if err != nil {
			return err
		}
	}
	p.Warnings = s.warnings
	return nil
}

// table renders rows of one table until there are enough documents.
func (p *preview) table(ctx context.Context, source sources.Source, t *sources.Table, options PreviewOptions, render func(sources.Row, *sinks.Batch) error) error {
	request := sources.ChunkRequest{Table: t, MaxRows: options.Limit, MaxBytes: reading.ChunkBytes}
	if options.Key != "" {
		keys, err := keysOf(t, options.Key)
		if err != nil {
			return err
		}
		request.Having, request.MaxRows = &sources.Values{Columns: t.Key, Of: keys}, len(keys)
	}
	for len(p.Documents) < options.Limit {
		chunk, err := source.Chunk(ctx, request)
		if err != nil {
			return fmt.Errorf("read table %s: %w", t, err)
		}
		for _, row := range chunk.Rows {
			batch := &sinks.Batch{}
			if err := render(row, batch); err != nil {
				return fmt.Errorf("render row of %s: %w", t, err)
			}
			p.add(batch, options.Limit)
		}
		if chunk.Done || options.Key != "" {
			break
		}
		request.After = chunk.Last
	}
	return nil
}

// keysOf are the keys that somebody may mean: the value of the one column, as it is; of several columns, their values joined
// by commas or, as in a document's id, by colons and escaped. A text with both may be read in two ways.
func keysOf(t *sources.Table, text string) ([]sources.Key, error) {
	if len(t.Key) == 1 {
		return []sources.Key{{text}}, nil
	}
	var keys []sources.Key
	if key := strings.Split(text, ","); len(key) == len(t.Key) {
		keys = append(keys, key)
	}
	if key := strings.Split(text, ":"); len(key) == len(t.Key) {
		unescape := strings.NewReplacer("%3A", ":", "%25", "%")
		for i := range key {
			key[i] = unescape.Replace(key[i])
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("the key of %s has %s: join their values by commas or, as in a document's id, by colons, with %%3A for a colon in a value and %%25 for a percent sign",
			t, count(len(t.Key), "column", "columns"))
	}
	return keys, nil
}

// add takes a row's documents. A row that has none is left out.
func (p *preview) add(batch *sinks.Batch, limit int) {
	for _, a := range batch.Actions {
		if a.Op != sinks.OpDelete && len(p.Documents) < limit {
			p.Documents = append(p.Documents, newPreviewDocument(a))
		}
	}
}

func newPreviewDocument(a sinks.Action) previewDocument {
	d := previewDocument{ID: string(a.ID), Routing: string(a.Routing), Period: a.Target.Period}
	if a.Op == sinks.OpReject {
		d.Rejected = string(a.Body)
	} else {
		d.Source = a.Body
	}
	return d
}
