package replicator

import (
	"math"
	"sync/atomic"

	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/reading"
)

// A route leads the rows of one table to one target.
type route struct {
	target   *builds.Target
	renderer *mapping.Renderer

	// firstMerge is the sequence number of the first piece of work that
	// carried chunk rows of this table into the target. Until then an
	// incomplete image may be passed over: the chunk will bring the row.
	firstMerge atomic.Int64

	replacement *route // of the same table, into the target's replacement; nil for most
}

// progress is the build's progress in the route's table.
func (r *route) progress() *reading.Progress { return r.target.Progress(r.renderer.Table) }

// awaitsRows reports whether an incomplete image in piece seq needs no answer,
// since chunk rows that come later bring the whole row.
func (r *route) awaitsRows(seq int64) bool { return seq < r.firstMerge.Load() }

// newRoutes lays out, for each table ordinal, where its rows go.
func newRoutes(tables int, targets []*builds.Target) [][]*route {
	routes := make([][]*route, tables)
	for _, t := range targets {
		for _, renderer := range t.Definition.Renderers {
			r := &route{target: t, renderer: renderer}
			if p := r.progress(); p.Rows == 0 && !p.Done && !t.Unbroken && t.Empty() {
				r.firstMerge.Store(unmerged)
			}
			n := renderer.Table.Ordinal
			routes[n] = append(routes[n], r)
		}
	}
	for _, ofTable := range routes {
		for _, r := range ofTable {
			for _, other := range ofTable {
				if other.target == r.target.Replacement {
					r.replacement = other
				}
			}
		}
	}
	return routes
}

// unmerged is firstMerge before any chunk was merged.
const unmerged = math.MaxInt64
