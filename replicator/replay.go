package replicator

import (
	"context"
	"fmt"
	"net/http"

	"haystream/replicator/web"
	"haystream/sinks"
)

// A replay is a dead letter on its way to the sink again: the document as it was
// refused, at its version. While the dead letter is open nothing later of the document was
// taken, else it would have been cleared; and what is taken meanwhile has a later version, which
// the sink does not let it replace.
type replay struct {
	batch *sinks.Batch
	held  chan (<-chan struct{}) // gets what is closed once the sink holds it
}

// replay sends dead letters on until reading ends.
func (p *pipeline) replay(reading context.Context, send func(*sinks.Batch) (<-chan struct{}, error)) error {
	for {
		select {
		case <-reading.Done():
			return nil
		case r := <-p.replays:
			held, err := send(r.batch)
			if err != nil {
				return err
			}
			r.held <- held
		}
	}
}

// replay sends a dead letter again, and says what has become of it.
func (d *daemon) replay(ctx context.Context, l *sinks.Refused) (web.Replayed, error) {
	out := web.Replayed{Key: l.Key}
	conflict := func(format string, args ...any) (web.Replayed, error) {
		return out, &web.RefusedError{Status: http.StatusConflict, Text: fmt.Sprintf(format, args...)}
	}
	p, t, part := d.status.target(l.Physical)
	switch {
	case t == nil:
		return conflict("the index %s that dead letter %s is of gets no documents now; where it was replaced, drop the dead letter", l.Physical, l.Key)
	case l.Op != "delete" && l.Body == "":
		return conflict("dead letter %s has no document that could be sent again: %s; change its row, or build the index anew with `haystream reindex %s`", l.Key, l.Type, l.Index)
	case l.Routing == "" && d.routed(t.Definition.Names):
		return conflict("dead letter %s does not say which shard its document belongs to; change its row, or build the index anew with `haystream reindex %s`", l.Key, l.Index)
	}
	to := &sinks.Target{Index: part.Index, Physical: part.Physical, WriteAlias: part.WriteAlias, Pipeline: part.Pipeline}
	a := sinks.Action{Target: to, Op: sinks.OpIndex, Version: l.Version, ID: []byte(l.ID), Body: []byte(l.Body)}
	if l.Op == "delete" {
		a.Op, a.Body = sinks.OpDelete, nil
	}
	if l.Routing != "" {
		a.Routing = []byte(l.Routing)
	}
	r := &replay{batch: &sinks.Batch{Actions: []sinks.Action{a}}, held: make(chan (<-chan struct{}), 1)}
	late := unavailable("dead letter " + l.Key + " is not known to be sent; see /status, and ask again")
	select {
	case p.replays <- r:
	case <-ctx.Done():
		return out, late
	}
	select {
	case held := <-r.held:
		select {
		case <-held:
		case <-ctx.Done():
			return out, late
		}
	case <-ctx.Done():
		return out, late
	}
	switch {
	case to.DeadLetters.Load() > 0:
		out.Result = web.ReplayRefused
	case to.Superseded.Load() > 0:
		out.Result = web.ReplaySuperseded
	case to.Dropped.Load() > 0:
		out.Result = web.ReplayDropped
	default:
		out.Result = web.ReplayHeld
	}
	return out, nil
}

// routed reports whether one of the definitions says which shard documents belong to.
func (d *daemon) routed(definitions []string) bool {
	for _, name := range definitions {
		if def := d.cfg.Indexes[name]; def != nil && def.Routing.Text != "" {
			return true
		}
	}
	return false
}
