package replicator

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"haystream/internal/backoff"
	"haystream/internal/quiet"
	"haystream/replicator/config"
	"haystream/replicator/web"
	"haystream/sources/events"
)

// A process has the daemons of a pipeline, and tells of them as of one.
type process struct {
	cfg     *config.Config
	daemons []*daemon // the database's first
}

// supervise runs all daemons until ctx ends, or one stops for what only a person can mend. None
// waits for another.
func (p *process) supervise(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range p.daemons {
		g.Go(func() error { return d.supervise(ctx) })
		g.Go(func() error { return d.verifyRegularly(ctx) })
		if d.queue != nil {
			g.Go(func() error { return d.watchRoom(ctx) })
		}
	}
	return g.Wait()
}

func (p *process) close() {
	for _, d := range p.daemons {
		d.source.Close()
		d.sink.Close()
	}
}

// of names a daemon before what it says, where there is more than one.
func (p *process) of(d *daemon, text string) string {
	if text == "" {
		return text
	}
	return p.label(d) + text
}

// label names the daemon of events where there is another one, too.
func (p *process) label(d *daemon) string {
	if len(p.daemons) == 1 || d.queue == nil {
		return ""
	}
	return "events: "
}

// states are those of a daemon, the worst first.
var states = []string{"stopped", "waiting", "starting", "paused", "running"}

// Status is the first daemon's, with the indexes of all, and the state of the one that is worst off.
func (p *process) Status() web.Status {
	var all web.Status
	for i, d := range p.daemons {
		st := d.status.Status()
		st.Reason = p.of(d, st.Reason)
		if d.queue != nil {
			st.Events = d.eventsStatus(st)
			if m := p.daemons[0].messages; m != nil {
				st.Events.Refused["message_unknown"], st.Events.Refused["message_invalid"] = m.unknown.Load(), m.invalid.Load()
			}
		}
		if i == 0 {
			all = st
			continue
		}
		if slices.Index(states, st.State) < slices.Index(states, all.State) {
			all.State, all.Reason = st.State, st.Reason
		}
		if all.Sink.Healthy && !st.Sink.Healthy {
			all.Sink.Healthy, all.Sink.Reason = false, st.Sink.Reason
		}
		all.Sink.Kind, all.Sink.Version, all.Sink.Address = cmp.Or(all.Sink.Kind, st.Sink.Kind), cmp.Or(all.Sink.Version, st.Sink.Version), cmp.Or(all.Sink.Address, st.Sink.Address)
		if len(all.Refused) == 0 { // those of the pipeline
			all.Refused = st.Refused
		}
		all.Indexes, all.Events = append(all.Indexes, st.Indexes...), st.Events
		all.CheckpointFailures += st.CheckpointFailures
		all.ValuesReplaced += st.ValuesReplaced
		all.SnapshotRows += st.SnapshotRows
	}
	return all
}

// eventsStatus is what st, the daemon's status, and the queue say of events.
func (d *daemon) eventsStatus(st web.Status) *web.EventsStatus {
	s, room := d.queue.Stats(), d.queue.Room()
	out := &web.EventsStatus{
		State: st.State, Reason: st.Reason, Position: st.Source.Position, QueueBytes: s.Bytes, MaxQueueBytes: int64(d.cfg.Limits.MaxEventQueue), Waiting: s.Events,
		Delivered: st.Source.Changes, Accepted: s.Accepted, Refused: map[string]int64{"full": s.Full, "disk": s.Failed}, LostBytes: s.Lost,
		RoomBytes: room.Bytes, Refuses: room.Refuses, Room: room.Why,
	}
	if !s.Oldest.IsZero() {
		out.OldestSeconds = max(0, time.Since(s.Oldest).Seconds())
	}
	return out
}

// watchRoom logs when the event queue has little room, and what to do, until ctx ends.
func (d *daemon) watchRoom(ctx context.Context) error {
	var trouble quiet.Log
	for backoff.Pause(ctx, 2*time.Second) == nil {
		room := d.queue.Room()
		if room.Why == "" {
			if lasted, had := trouble.Over(); had {
				d.log.Info().Stringer("after", lasted).Msg("the event queue has room enough again")
			}
			continue
		}
		level := zerolog.WarnLevel
		if room.Refuses {
			level = zerolog.ErrorLevel
		}
		if lasted, tell := trouble.Failed(room.Why); tell {
			quiet.For(d.log.WithLevel(level), lasted).Msg(room.Why)
		}
	}
	return nil
}

// NotReady implements web.Daemon.
func (p *process) NotReady() (why []web.Trouble) {
	for _, d := range p.daemons {
		troubles := d.status.NotReady()
		if d.queue != nil {
			if room := d.queue.Room(); room.Refuses && room.Why != "" {
				troubles = append(troubles, web.Trouble{Reason: web.EventsRefused, Text: room.Why})
			}
		}
		for _, t := range troubles {
			if !slices.Contains(why, t) { // the sink's is the same for all
				why = append(why, web.Trouble{Reason: t.Reason, Text: p.of(d, t.Text)})
			}
		}
	}
	return why
}

// Unhealthy implements web.Daemon.
func (p *process) Unhealthy() (why string) {
	for _, d := range p.daemons {
		if reason := p.of(d, d.status.Unhealthy()); reason != "" && why != "" {
			why += "\n" + reason
		} else {
			why += reason
		}
	}
	return why
}

// door is where events come in over HTTP; nil where no definition is over any.
func (p *process) door() web.Events {
	for _, d := range p.daemons {
		if d.queue != nil {
			return &door{d, d.cfg.Set().EventNames()}
		}
	}
	return nil
}

// connect has the events that come by the database's log put into the queue, and both on one host.
func (p *process) connect() {
	if door, ok := p.door().(*door); ok && len(p.daemons) > 1 {
		d := p.daemons[0]
		door.daemon.beside = d
		d.messages = &messages{door: door, status: d.status, log: d.log}
	}
}

// A door puts events into a daemon's queue.
type door struct {
	daemon *daemon
	names  []string
}

// Names implements web.Events.
func (o *door) Names() []string { return o.names }

// Append implements web.Events.
func (o *door) Append(ctx context.Context, batch []events.Event) error {
	if why := o.StandsBy(); why != "" { // by now
		return errors.New(why)
	}
	return o.daemon.queue.Append(ctx, batch)
}

// StandsBy implements web.Events.
func (o *door) StandsBy() string { return o.daemon.status.standsBy() }
