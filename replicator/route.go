package replicator

import (
	"math"
	"sync/atomic"

	"haystream/mapping"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/sinks"
)

// A target is a physical index that this session feeds.
type target struct {
	*sinks.Target
	alias   string
	build   *build
	index   *mapping.Index
	serving bool    // the alias points to it
	stale   bool    // and has to be replaced, whatever its definition is
	heir    *target // built beside to replace it; nil for most

	waiting bool // goes on as it was until rows are stored for its changed definition

	// unbroken: it takes every change, also while it is fresh.
	unbroken bool
	filling  filling

	since   atomic.Int64    // changes up to this Version are in the rows that are read for it, or were
	retired atomic.Bool     // being replaced: nothing is written to it any more
	drained <-chan struct{} // closed once nothing is on its way to what it replaces; owned by the checkpoint step
	holed   atomic.Bool     // lacks something that its heir will have
}

// joined are the targets with documents that are made of stored rows.
func joined(targets []*target) (all []*joins.Target) {
	for _, t := range targets {
		if len(t.index.Joined) > 0 {
			all = append(all, &joins.Target{
				Target: t.Target, Alias: t.alias, Joined: t.index.Joined, Round: t.build.Round,
				Serving: t.serving, Stale: t.stale, Replaced: t.heir != nil, Since: &t.since, Retired: &t.retired,
			})
		}
	}
	return all
}

// A route leads the rows of one table to one target.
type route struct {
	target   *target
	renderer *mapping.Renderer

	// firstMerge is the sequence number of the first piece of work that
	// carried chunk rows of this table into the target. Until then an
	// incomplete image may be passed over: the chunk will bring the row.
	firstMerge atomic.Int64

	heir *route // of the same table, into the target's heir; nil for most
}

// progress is the build's progress in the route's table.
func (r *route) progress() *reading.Progress {
	name := r.renderer.Table.String()
	p := r.target.build.Tables[name]
	if p == nil {
		p = &reading.Progress{}
		r.target.build.Tables[name] = p
	}
	return p
}

// awaitsRows reports whether an incomplete image in piece seq needs no answer,
// since chunk rows that come later bring the whole row.
func (r *route) awaitsRows(seq int64) bool { return seq < r.firstMerge.Load() }

// newRoutes lays out, for each table ordinal, where its rows go.
func newRoutes(tables int, targets []*target) [][]*route {
	routes := make([][]*route, tables)
	for _, t := range targets {
		for _, renderer := range t.index.Renderers {
			r := &route{target: t, renderer: renderer}
			if p := r.progress(); p.Rows == 0 && !p.Done && !t.unbroken {
				r.firstMerge.Store(unmerged)
			}
			n := renderer.Table.Ordinal
			routes[n] = append(routes[n], r)
		}
	}
	for _, ofTable := range routes {
		for _, r := range ofTable {
			for _, other := range ofTable {
				if other.target == r.target.heir {
					r.heir = other
				}
			}
		}
	}
	return routes
}

// unknown is since before the stream has come to where a fresh build begins.
const unknown = math.MaxInt64

// unmerged is firstMerge before any chunk was merged.
const unmerged = math.MaxInt64
