package replicator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/backoff"
	"haystream/internal/conf"
	"haystream/internal/quiet"
	"haystream/sources"
	"haystream/sources/events"
)

// messages puts events that come as messages in the database's log into the event queue. A batch
// is applied when its messages are on disk, and so its position is not acknowledged before. A
// replay puts them there once more, under the same ids.
type messages struct {
	door   *door
	status *status
	log    zerolog.Logger
	waits  quiet.Log

	unknown, invalid atomic.Int64 // that were passed over
}

// take returns when the events are on disk. While the queue is full, or the disk fails, the stream
// waits with it, and the server keeps its log.
func (m *messages) take(ctx context.Context, of []sources.Message) error {
	batch := m.parse(of)
	wait := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		if why := m.door.StandsBy(); why != "" { // that daemon is to have the stream, too
			return fmt.Errorf("%w: %s", sources.ErrBusy, why)
		}
		err := m.door.Append(ctx, batch)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if lasted, failed := m.waits.Over(); failed {
				m.log.Info().Stringer("after", lasted).Msg("messages are put into the event queue again")
			}
			m.status.unqueued(nil)
			return nil
		}
		remedy := ""
		if errors.Is(err, events.ErrFull) {
			remedy = "; raise limits.max_event_queue if it stays full while the sink takes events"
		}
		err = fmt.Errorf("the stream waits, since its messages cannot be put into the event queue: %w%s", err, remedy)
		m.status.unqueued(err)
		if lasted, tell := m.waits.Failed(err.Error()); tell {
			quiet.For(m.log.Error(), lasted).Msg(err.Error())
		}
		if err := wait.Wait(ctx, 0); err != nil {
			return err
		}
	}
}

// parse makes events of messages. What is not one now, will never be: it is counted, logged and
// passed over.
func (m *messages) parse(of []sources.Message) []events.Event {
	var batch []events.Event
	for i := range of {
		msg := &of[i]
		if !slices.Contains(m.door.names, msg.Name) {
			m.passOver(&m.unknown, msg, "no definition is over events of this name")
			continue
		}
		push := events.Push{Name: msg.Name, Body: msg.Body, Key: msg.ID, Now: msg.Time, Fixed: !msg.Read}
		if len(msg.Body) > events.MaxPush {
			m.passOver(&m.invalid, msg, fmt.Sprintf("it has %s; there may be %s", conf.Bytes(len(msg.Body)), conf.Bytes(events.MaxPush)))
			continue
		}
		parsed, err := push.Parse()
		if err != nil {
			m.passOver(&m.invalid, msg, err.Error())
			continue
		}
		batch = append(batch, parsed...)
	}
	return batch
}

// passOver logs the first of a kind, and then ever fewer of them.
func (m *messages) passOver(counter *atomic.Int64, msg *sources.Message, why string) {
	if n := counter.Add(1); n&(n-1) == 0 {
		m.log.Error().Str("event", msg.Name).Str("id", msg.ID).Time("committed", msg.Time).Int64("so_far", n).
			Msg("a message in the database's log is no event, and is passed over: " + why)
	}
}
