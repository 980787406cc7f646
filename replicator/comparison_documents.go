package replicator

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"haystream/internal/backoff"
	"haystream/replicator/verify"
	"haystream/sinks"
	"haystream/sources"
)

// A wrong is a document that differs.
type wrong struct {
	key    sources.Key
	action *sinks.Action
	have   *sinks.Document // nil: it is missing
	fields []string
}

func (w *wrong) difference() verify.Difference {
	d := verify.Difference{Kind: verify.Missing, ID: string(w.action.ID), Routing: string(w.action.Routing), Physical: w.action.Target.Physical, Fields: w.fields}
	if w.have != nil {
		d.Kind, d.Version = verify.Different, w.have.Version
	}
	return d
}

// documents compares the documents of one table's rows after a key.
func (c *comparison) documents(ctx context.Context, of rows, after sources.Key) error {
	for n := 0; ; {
		c.step("documents of %s: %d rows compared", of, n)
		var l *look
		var found []wrong
		var moving []sources.Key
		err := c.persist(ctx, func() (err error) {
			if l, err = of.look(ctx, after, nil); err != nil {
				return err
			}
			defer l.end()
			found, moving, err = c.compare(ctx, l, of.appends())
			return err
		})
		if err != nil {
			return err
		}
		n += len(l.keys)
		c.log.Compared("", l.documents)
		if err := c.settle(ctx, of, found, moving); err != nil {
			return err
		}
		if l.done {
			return nil
		}
		after = l.last
		if err := c.reach(after); err != nil {
			return err
		}
	}
}

// compare compares documents with what they should be. moving are rows about which nothing can be said.
func (c *comparison) compare(ctx context.Context, l *look, present bool) (found []wrong, moving []sources.Key, err error) {
	type expected struct {
		row    int
		action *sinks.Action
	}
	by := map[*sinks.Target][]expected{}
	at := 0
	for row, end := range l.ends {
		for ; at < end; at++ {
			a := &l.out.Actions[at]
			c.add(a)
			if a.Op == sinks.OpDelete || a.Op == sinks.OpReject { // no row, or a dead letter
				continue
			}
			by[a.Target] = append(by[a.Target], expected{row, a})
			l.documents++
		}
	}
	if l.documents == 0 {
		return nil, nil, nil
	}
	if err := c.held(ctx, l.stored); err != nil {
		return nil, nil, err
	}
	touched := map[int]bool{}
	for target, expect := range by {
		docs := make([]*sinks.Document, len(expect))
		names := make([]sinks.Document, len(expect))
		for i, e := range expect {
			names[i] = sinks.Document{ID: e.action.ID, Routing: e.action.Routing}
		}
		if target.Period == "" || target.Made.Load() {
			if err := c.view.View(ctx, target.Physical, names, func(n int, d *sinks.Document) { docs[n] = d }); err != nil {
				return nil, nil, fmt.Errorf("read documents: %w", err)
			}
		}
		for i, e := range expect {
			fields := c.differ(e.action, docs[i], present)
			if docs[i] != nil && len(fields) == 0 {
				continue
			}
			if moved, asked := touched[e.row]; asked && moved {
				continue
			}
			touched[e.row] = !l.sure || l.touched(e.row)
			if touched[e.row] {
				moving = append(moving, l.keys[e.row])
			} else {
				found = append(found, wrong{l.keys[e.row], e.action, docs[i], fields})
			}
		}
	}
	return found, moving, nil
}

// differ names the fields in which a document differs from what it should be.
func (c *comparison) differ(a *sinks.Action, have *sinks.Document, present bool) (fields []string) {
	if have == nil || present {
		return nil
	}
	if c.content {
		fields = verify.Fields(a.Body, have.Body)
	}
	if !bytes.Equal(a.Routing, have.Routing) {
		fields = append(fields, "_routing")
	}
	if have.Version > c.p.newest()+ahead.Microseconds() {
		fields = append(fields, "_version")
	}
	return fields
}

// settle looks again at documents that differ, and at rows that have changed meanwhile, and repairs.
func (c *comparison) settle(ctx context.Context, of rows, found []wrong, moving []sources.Key) error {
	retry := backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	seen := map[string]bool{}              // differed in the look before
	told := map[string]verify.Difference{} // by key and id
	name := func(w *wrong) string { return strings.Join(w.key, "\x00") + "\x00" + string(w.action.ID) }
	for _, w := range found {
		seen[name(&w)] = true
	}
	clear(c.refused)
	keys := moving
	for _, w := range found {
		keys = append(keys, w.key)
	}
	left := map[string]int{} // looks, by key
	for len(keys) > 0 {
		if err := retry.Wait(ctx, 0); err != nil {
			return err
		}
		var rest, again []sources.Key
		err := c.persist(ctx, func() error {
			rest, again = nil, nil
			l, err := of.look(ctx, nil, keys)
			if err != nil {
				return err
			}
			defer l.end()
			found, moving, err := c.compare(ctx, l, of.appends())
			if err != nil {
				return err
			}
			if slices.ContainsFunc(found, func(w wrong) bool { return seen[name(&w)] }) {
				if err := c.p.source.Look(ctx); err != nil {
					return err
				}
			}
			rest = l.rest
			still := map[string]bool{}
			var mend []wrong
			for _, w := range found {
				id := name(&w)
				still[id] = true
				if !seen[id] {
					seen[id] = true
					again = append(again, w.key)
					continue
				}
				if _, known := told[id]; !known {
					refused, err := c.isRefused(ctx, &w)
					if err != nil {
						return err
					}
					if refused {
						continue
					}
					told[id] = w.difference()
					c.log.Found(told[id])
					if w.have != nil { // by another routing, and told of
						c.set.Add([]byte(w.action.Target.Physical), w.have.ID, w.have.Routing)
					}
				}
				if c.options.Repair && !slices.Contains(w.fields, "_version") {
					mend = append(mend, w)
					again = append(again, w.key)
				}
			}
			c.mended(told, still, l.keys, moving)
			again = append(again, moving...)
			if len(mend) > 0 {
				return l.mend(mend)
			}
			return nil
		})
		if err != nil {
			return err
		}
		keys = rest
		for _, key := range again {
			n := strings.Join(key, "\x00")
			if left[n]++; left[n] < compareLooks {
				keys = append(keys, key)
			} else if !c.toldOf(told, n) {
				c.log.Update(func(r *verify.Report) { r.Unsettled++ })
			}
		}
		keys = unique(keys)
	}
	return nil
}

func (c *comparison) toldOf(told map[string]verify.Difference, key string) bool {
	for id := range told {
		if strings.HasPrefix(id, key+"\x00") {
			return true
		}
	}
	return false
}

// mended notes which differences are none any more, of rows that were looked at and have not changed.
func (c *comparison) mended(told map[string]verify.Difference, still map[string]bool, looked, moving []sources.Key) {
	if !c.options.Repair {
		return
	}
	of := func(keys []sources.Key, id string) bool {
		return slices.ContainsFunc(keys, func(k sources.Key) bool { return strings.HasPrefix(id, strings.Join(k, "\x00")+"\x00") })
	}
	for id, d := range told {
		if !still[id] && !d.Repaired && of(looked, id) && !of(moving, id) {
			d.Repaired = true
			told[id] = d
			c.log.Repaired(d)
		}
	}
}

func unique(keys []sources.Key) (all []sources.Key) {
	seen := map[string]bool{}
	for _, k := range keys {
		if name := strings.Join(k, "\x00"); !seen[name] {
			seen[name] = true
			all = append(all, k)
		}
	}
	return all
}

// isRefused reports whether a document differs since it is a dead letter, which is known elsewhere.
func (c *comparison) isRefused(ctx context.Context, w *wrong) (bool, error) {
	physical := w.action.Target.Physical
	if !c.refused[physical] { // asked once for each difference would be much
		err := c.view.Refusals(ctx, physical, func(id string) { c.refused[physical+"\x00"+id] = true })
		if err != nil {
			return false, fmt.Errorf("read dead letters: %w", err)
		}
		c.refused[physical] = true
	}
	refused := c.refused[physical+"\x00"+string(w.action.ID)]
	if refused {
		c.log.Update(func(r *verify.Report) { r.Refused++ })
	}
	return refused, nil
}
