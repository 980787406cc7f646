package replicator

import (
	"context"
	"errors"

	"haystream/replicator/verify"
	"haystream/sinks"
	"haystream/sources"
)

// errUnexplained means that a document may be without a row, and that the set may lack ids.
var errUnexplained = errors.New("the ids of all rows are to be added")

// extra looks for documents that no row explains.
func (c *comparison) extra(ctx context.Context) error {
	err := c.unexplained(ctx)
	if !errors.Is(err, errUnexplained) {
		return err
	}
	for _, of := range c.rows() {
		if err := c.addAll(ctx, of); err != nil {
			return err
		}
	}
	c.resumed = false
	return c.unexplained(ctx)
}

// unexplained tells of the documents whose ids are not in the set.
func (c *comparison) unexplained(ctx context.Context) error {
	c.step("documents that no row explains")
	for _, part := range c.t.All() {
		err := c.view.Listed(ctx, part.Physical, func(docs []sinks.Document) error {
			unknown, err := c.unknown(part, docs)
			switch {
			case err != nil || len(unknown) == 0:
				return err
			case c.resumed:
				return errUnexplained
			}
			return c.confirmExtra(ctx, part, unknown)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addAll adds the ids that rows give.
func (c *comparison) addAll(ctx context.Context, of rows) error {
	after := sources.Key(nil)
	for n := 0; ; {
		c.step("documents that no row explains: the ids of %d rows of %s are known", n, of)
		var l *look
		err := c.persist(ctx, func() (err error) {
			if l, err = of.look(ctx, after, nil); err != nil {
				return err
			}
			l.end()
			return nil
		})
		if err != nil {
			return err
		}
		for i := range l.out.Actions {
			c.add(&l.out.Actions[i])
		}
		if l.done {
			return nil
		}
		n, after = n+len(l.keys), l.last
	}
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
		if !c.options.Repair || d.Version > c.p.newest()+ahead.Microseconds() {
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
