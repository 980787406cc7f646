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

// Listed implements sinks.Viewer. A place is the first sequence number that was not looked at, the last one
// to look at, and the width of the next page.
func (s *Sink) Listed(ctx context.Context, physical, at string) (docs []sinks.Document, next string, err error) {
	c := &copier{s: s, from: physical, to: physical}
	if docs, next, err = c.listed(ctx, at); err != nil {
		return nil, "", fmt.Errorf("list documents of index %s: %w", physical, err)
	}
	return docs, next, nil
}

func (c *copier) listed(ctx context.Context, at string) (docs []sinks.Document, next string, err error) {
	if at == "" {
		err = c.first(ctx)
	} else if _, err = fmt.Sscanf(at, "%d/%d/%d", &c.at, &c.last, &c.width); err != nil {
		err = fmt.Errorf("%q is not a place in it: %w", at, err)
	}
	if err != nil || c.at > c.last {
		return nil, "", err
	}
	hits, end, err := c.found(ctx)
	if err != nil {
		return nil, "", err
	}
	for i := range hits {
		docs = append(docs, *hits[i].document())
	}
	if end <= c.last {
		next = fmt.Sprintf("%d/%d/%d", end, c.last, c.width)
	}
	return docs, next, nil
}

// first is before the first page of all documents.
func (c *copier) first(ctx context.Context) error {
	e, err := c.s.own(ctx, c.from)
	switch {
	case err != nil:
		return err
	case e == nil:
		return errors.New("it is gone")
	}
	if c.shards, err = strconv.Atoi(e.Settings.Index.Shards); err != nil {
		return fmt.Errorf("read its number of shards: %w", err)
	}
	c.width = copyPage
	return c.bounds(ctx)
}

// Refusals implements sinks.Viewer.
func (s *Sink) Refusals(ctx context.Context, physical string, each func(id string)) error {
	return s.eachLetter(ctx, physical, func(l *deadletters.Letter) error {
		each(l.DocID)
		return nil
	})
}
