package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"haystream/sinks"
	"haystream/sinks/deadletters"
)

// View implements sinks.Viewer.
func (s *Sink) View(ctx context.Context, physical string, of []sinks.Document, each func(n int, d *sinks.Document)) error {
	c := &copier{s: s, from: physical}
	hits := make([]hit, len(of))
	for i := range of {
		hits[i] = hit{ID: string(of[i].ID), Routing: string(of[i].Routing)}
	}
	return c.get(ctx, hits, func(n int, h *hit) error {
		if !h.Found {
			each(n, nil)
			return nil
		}
		each(n, h.document())
		return nil
	})
}

// document is the one that was found.
func (h *hit) document() *sinks.Document {
	d := &sinks.Document{ID: []byte(h.ID), Version: h.Version, Body: h.Source}
	if h.Routing != "" {
		d.Routing = []byte(h.Routing)
	}
	return d
}

// Listed implements sinks.Viewer.
func (s *Sink) Listed(ctx context.Context, physical string, each func([]sinks.Document) error) error {
	e, err := s.own(ctx, physical)
	if err != nil || e == nil {
		return fmt.Errorf("list documents of index %s: %w", physical, errors.Join(err, errors.New("it is gone")))
	}
	c := &copier{s: s, from: physical, to: physical}
	if c.shards, err = strconv.Atoi(e.Settings.Index.Shards); err != nil {
		return fmt.Errorf("list documents of index %s: read its number of shards: %w", physical, err)
	}
	if err := c.bounds(ctx); err != nil {
		return fmt.Errorf("list documents of index %s: %w", physical, err)
	}
	return c.walk(ctx, func(hits []hit) error {
		docs := make([]sinks.Document, len(hits))
		for i := range hits {
			docs[i] = *hits[i].document()
		}
		return each(docs)
	}, func() error { return nil })
}

// Refusals implements sinks.Viewer.
func (s *Sink) Refusals(ctx context.Context, physical string, each func(id string)) error {
	return s.eachLetter(ctx, physical, func(l *deadletters.Letter) error {
		each(l.DocID)
		return nil
	})
}
