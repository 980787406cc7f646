package replicator

import (
	"context"

	"haystream/replicator/verify"
	"haystream/sinks"
)

// extra looks for documents that no row explains.
func (c *comparison) extra(ctx context.Context) error {
	c.step("documents that no row explains")
	for _, part := range c.t.All() {
		err := c.view.Listed(ctx, part.Physical, func(docs []sinks.Document) error {
			unknown, err := c.unknown(part, docs)
			if err != nil || len(unknown) == 0 {
				return err
			}
			return c.confirmExtra(ctx, part, unknown)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unknown are those of some documents that no row gives.
func (c *comparison) unknown(part *sinks.Target, docs []sinks.Document) (unknown []sinks.Document, err error) {
	for _, d := range docs {
		has, err := c.set.Has([]byte(part.Physical), d.ID, d.Routing)
		if err != nil {
			return nil, err
		}
		if !has {
			unknown = append(unknown, d)
		}
	}
	return unknown, nil
}

// confirmExtra looks again at documents that no row seems to give, once all that was on its way has come.
func (c *comparison) confirmExtra(ctx context.Context, part *sinks.Target, docs []sinks.Document) error {
	for try := 0; try < 2 && len(docs) > 0; try++ {
		if err := c.held(ctx, false); err != nil {
			return err
		}
		if len(c.t.Definition.Joined) > 0 {
			if err := c.held(ctx, true); err != nil {
				return err
			}
		}
		var there []sinks.Document
		err := c.persist(ctx, func() error {
			there = nil
			return c.view.View(ctx, part.Physical, docs, func(_ int, d *sinks.Document) {
				if d != nil {
					d.Body = nil
					there = append(there, *d)
				}
			})
		})
		if err == nil {
			docs, err = c.unknown(part, there)
		}
		if err != nil {
			return err
		}
	}
	var actions []sinks.Action
	var all []verify.Difference
	for _, d := range docs {
		diff := verify.Difference{Kind: verify.Extra, ID: string(d.ID), Routing: string(d.Routing), Physical: part.Physical, Version: d.Version}
		c.log.Found(diff)
		if !c.repair || d.Version > c.p.now()+ahead.Microseconds() {
			continue
		}
		all = append(all, diff)
		// Whatever the document gets later has this Version at least.
		actions = append(actions, sinks.Action{Target: part, Op: sinks.OpDelete, Version: d.Version, ID: d.ID, Routing: d.Routing})
	}
	if len(actions) == 0 {
		return nil
	}
	if err := c.write(ctx, actions); err != nil {
		return err
	}
	names := make([]sinks.Document, len(actions))
	for i, a := range actions {
		names[i] = sinks.Document{ID: a.ID, Routing: a.Routing}
	}
	return c.persist(ctx, func() error {
		return c.view.View(ctx, part.Physical, names, func(n int, d *sinks.Document) {
			if d == nil {
				c.log.Repaired(all[n])
			}
		})
	})
}
