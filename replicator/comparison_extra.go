package replicator

import (
	"context"
	"slices"

	"haystream/replicator/verify"
	"haystream/sinks"
	"haystream/sources"
)

// extra looks for documents that no row explains, from a page of the list of some index on: after is the
// index's period and the page's place.
func (c *comparison) extra(ctx context.Context, after sources.Key) error {
	c.step("documents that no row explains")
	for _, part := range c.t.All() {
		at := ""
		switch {
		case after == nil || part.Period > after[0]:
		case part.Period == after[0]:
			at = after[1]
		default:
			continue
		}
		if err := c.extraIn(ctx, part, at); err != nil {
			return err
		}
	}
	return nil
}

// extraIn looks at the documents of one physical index.
func (c *comparison) extraIn(ctx context.Context, part *sinks.Target, at string) error {
	for {
		if err := c.reach(sources.Key{part.Period, at}); err != nil {
			return err
		}
		var docs []sinks.Document
		var next string
		err := c.persist(ctx, func() (err error) {
			if docs, next = nil, ""; c.lists(part) {
				docs, next, err = c.view.Listed(ctx, part.Physical, at)
			}
			return err
		})
		if err == nil {
			err = c.explain(ctx, part, docs)
		}
		if err != nil || next == "" {
			return err
		}
		at = next
	}
}

// lists reports whether a physical index has documents to look at: that of a period may not be made yet, or be dropped by now.
func (c *comparison) lists(part *sinks.Target) bool {
	return part.Period == "" || part.Made.Load() && slices.Contains(c.t.All(), part)
}

// explain tells of the documents that no row gives.
func (c *comparison) explain(ctx context.Context, part *sinks.Target, docs []sinks.Document) error {
	unknown, err := c.unknown(part, docs)
	if err == nil && len(unknown) > 0 && c.resumed {
		for _, of := range c.rows() {
			if err := c.addAll(ctx, of); err != nil {
				return err
			}
		}
		c.resumed = false
		c.step("documents that no row explains")
		unknown, err = c.unknown(part, unknown)
	}
	if err != nil {
		return err
	}
	return c.confirmExtra(ctx, part, unknown)
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
	known, err := c.set.Read()
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		if !known.Has([]byte(part.Physical), d.ID, d.Routing) {
			unknown = append(unknown, d)
		}
	}
	return unknown, known.Close()
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
			if there = nil; !c.lists(part) {
				return nil
			}
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
	if len(docs) > 0 { // the rows may be those of another table, and not yet be told of
		if err := c.persist(ctx, func() error { return c.p.source.Look(ctx) }); err != nil {
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
