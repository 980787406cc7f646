package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/mapping"
	"haystream/sinks"
	"haystream/sources"
)

// PreviewOptions say what Preview shows.
type PreviewOptions struct {
	Index string // a definition's name
	Limit int    // documents
	Key   string // only the row with this key, its columns joined by commas; empty for the first rows
}

// A preview is what Preview prints.
type preview struct {
	Index     string            `json:"index"` // the alias
	Mappings  json.RawMessage   `json:"mappings"`
	Settings  json.RawMessage   `json:"settings,omitempty"`
	Documents []previewDocument `json:"documents"`
}

type previewDocument struct {
	ID       string          `json:"_id"`
	Routing  string          `json:"_routing,omitempty"`
	Source   json.RawMessage `json:"_source,omitempty"`
	Rejected string          `json:"rejected,omitempty"` // why there is no document
}

// Preview prints the mapping, settings and documents that real rows would
// give, as JSON. It reads from the source and writes nothing anywhere.
func Preview(ctx context.Context, cfg *Config, file *conf.Source, options PreviewOptions, out io.Writer) error {
	if cfg.Indexes[options.Index] == nil {
		names := slices.Sorted(maps.Keys(cfg.Indexes))
		return fmt.Errorf("there is no index %q%s", options.Index, conf.DidYouMean(options.Index, names))
	}
	source, sink, err := open(cfg, zerolog.Nop())
	if err != nil {
		return err
	}
	defer source.Close()
	defer sink.Close()
	in := &inspection{}
	if err := errors.Join(in.readSource(ctx, source), in.readSink(ctx, sink)); err != nil {
		return err
	}
	if in.compile(cfg, file); in.plan == nil {
		return &refusal{findings: in.findings, final: true}
	}
	p := preview{Documents: []previewDocument{}}
	for _, index := range in.plan.Sets[0] {
		if !slices.Contains(index.Names, options.Index) {
			continue
		}
		p.Index, p.Mappings, p.Settings = index.Alias, index.Mappings, index.Settings
		if err := p.read(ctx, source, index, options); err != nil {
			return err
		}
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

// read renders rows of the definition's tables until there are enough documents.
func (p *preview) read(ctx context.Context, source sources.Source, index *mapping.Index, options PreviewOptions) error {
	for _, renderer := range index.Renderers {
		if renderer.Name != options.Index {
			continue
		}
		request := sources.ChunkRequest{Table: renderer.Table, MaxRows: options.Limit, MaxBytes: chunkBytes}
		if options.Key != "" {
			request.After, request.Inclusive, request.MaxRows = strings.Split(options.Key, ","), true, 1
			if len(request.After) != len(renderer.Table.Key) {
				return fmt.Errorf("the key of %s has %s, joined by commas", renderer.Table, count(len(renderer.Table.Key), "column", "columns"))
			}
		}
		for len(p.Documents) < options.Limit {
			chunk, err := source.Chunk(ctx, request)
			if err != nil {
				return fmt.Errorf("read table %s: %w", renderer.Table, err)
			}
			if err := p.render(renderer, chunk, options); err != nil {
				return err
			}
			if chunk.Done || options.Key != "" {
				break
			}
			request.After = chunk.Last
		}
	}
	if options.Key != "" && len(p.Documents) == 0 {
		return fmt.Errorf("the row with key %s is not there, or has no document", options.Key)
	}
	return nil
}

// render adds the documents of a chunk's rows. A row that has none is left out.
func (p *preview) render(renderer *mapping.Renderer, chunk *sources.Chunk, options PreviewOptions) error {
	scratch, target := mapping.NewScratch(), &sinks.Target{}
	for _, row := range chunk.Rows {
		if options.Key != "" && strings.Join(row.Key(renderer.Table.Key), ",") != options.Key {
			continue
		}
		batch := &sinks.Batch{}
		if err := renderer.Row(scratch, batch, target, row, 1); err != nil {
			return fmt.Errorf("render row of %s: %w", renderer.Table, err)
		}
		for _, a := range batch.Actions {
			if a.Op != sinks.OpDelete && len(p.Documents) < options.Limit {
				p.Documents = append(p.Documents, newPreviewDocument(a))
			}
		}
	}
	return nil
}

func newPreviewDocument(a sinks.Action) previewDocument {
	d := previewDocument{ID: string(a.ID), Routing: string(a.Routing)}
	if a.Op == sinks.OpReject {
		d.Rejected = string(a.Body)
	} else {
		d.Source = a.Body
	}
	return d
}
