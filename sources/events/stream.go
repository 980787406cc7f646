package events

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"haystream/sources"
)

// linger is how long the stream waits for more events to come into a batch.
const linger = 2 * time.Millisecond

// Stream implements sources.Source. The events of one Append are a transaction.
func (s *Source) Stream(ctx context.Context, tables []*sources.Table, from sources.Checkpoint, out chan<- *sources.Batch) error {
	q, err := s.open()
	if err != nil {
		return err
	}
	saved := parseSpots(from.Position)
	at, _, err := q.from(saved)
	if err != nil {
		return err
	}
	st := &stream{queue: q, at: at, others: saved.without(q.id), numbers: sources.NewVersioner(from.Version), tables: map[string]*rowMaker{}, out: out, strays: map[string]bool{}}
	for _, t := range tables {
		st.tables[t.Name] = newRowMaker(t)
	}
	st.begin()
	for {
		grown, err := st.read(ctx)
		if err != nil {
			return err
		}
		busy := len(st.batch.Changes) > 0
		if err := st.send(ctx); err != nil {
			return err
		}
		if busy { // a batch without changes says that nothing follows
			if err := st.send(ctx); err != nil {
				return err
			}
		}
		if err := wait(ctx, grown); err != nil {
			return err
		}
	}
}

// wait waits for events, and a moment longer.
func wait(ctx context.Context, grown <-chan struct{}) error {
	select {
	case <-grown:
	case <-ctx.Done():
		return ctx.Err()
	}
	more := time.NewTimer(linger)
	defer more.Stop()
	select {
	case <-more.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A stream reads a queue.
type stream struct {
	queue   *Queue
	at      place // behind the last whole frame in the batch
	others  spots // of other hosts' queues
	numbers sources.Versioner
	tables  map[string]*rowMaker
	out     chan<- *sources.Batch
	strays  map[string]bool // names that no definition has, and that were told
	buf     []byte
	batch   *sources.Batch
}

// begin begins an empty batch.
func (st *stream) begin() { st.batch = &sources.Batch{Arena: &sources.Arena{}} }

// send hands the batch over.
func (st *stream) send(ctx context.Context) error {
	st.batch.Checkpoint = st.checkpoint()
	return st.hand(ctx)
}

// checkpoint is the state behind the last whole frame.
func (st *stream) checkpoint() sources.Checkpoint {
	return sources.Checkpoint{Position: st.others.position(st.queue.id, st.at), Version: st.numbers.Last()}
}

func (st *stream) hand(ctx context.Context) error {
	select {
	case st.out <- st.batch:
		st.begin()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read fills the batch with the frames that are there, and sends all but the last. The channel
// is closed when more is there.
func (st *stream) read(ctx context.Context) (grown <-chan struct{}, err error) {
	for ctx.Err() == nil {
		payload, next, grown, err := st.queue.read(st.at, st.buf)
		if err != nil {
			return nil, err
		}
		if payload == nil {
			st.at = next
			return grown, nil
		}
		if err := st.frame(ctx, payload, next); err != nil {
			return nil, err
		}
		if st.buf = payload; cap(payload) > keptBuffer {
			st.buf = nil
		}
		if st.batch.Size() >= sources.BatchBytes {
			if err := st.send(ctx); err != nil {
				return nil, err
			}
		}
	}
	return nil, ctx.Err()
}

// frame adds the events of a frame. A large one is sent in parts, of which the last has its place.
func (st *stream) frame(ctx context.Context, payload []byte, next place) error {
	before := st.checkpoint()
	st.batch.CommitTime = written(payload)
	st.numbers.Begin(st.batch.CommitTime)
	for f := newFrame(payload); f.left > 0; {
		e, err := f.next()
		if err != nil {
			return err
		}
		if st.batch.Size() >= sources.BatchBytes {
			commit := st.batch.CommitTime
			st.batch.Checkpoint = before
			if err := st.hand(ctx); err != nil {
				return err
			}
			st.batch.CommitTime = commit
		}
		version := st.numbers.Next()
		rows := st.tables[string(e.name)]
		if rows == nil {
			st.stray(string(e.name))
			continue
		}
		kind := sources.Insert
		if e.floats { // it may have been there at another time
			kind = sources.Update
		}
		st.batch.Changes = append(st.batch.Changes, sources.Change{
			Table: rows.table, Kind: kind, Version: version, Tx: uint64(next.events), After: rows.row(st.batch.Arena, e),
		})
	}
	st.batch.Transactions++
	st.at = next
	return nil
}

// stray tells of events that no definition is made of any more.
func (st *stream) stray(name string) {
	if !st.strays[name] {
		st.strays[name] = true
		st.queue.log.Warn().Str("event", name).Msg("the queue has events of a name that no definition has any more; they are passed over")
	}
}

// A rowMaker makes rows of one projected table.
type rowMaker struct {
	table   *sources.Table
	names   [][]byte // of the columns, in quotes; nil for what is not of the body
	members [][]byte // of the event at hand, by column; nil: it has none of that name
}

func newRowMaker(t *sources.Table) *rowMaker {
	m := &rowMaker{table: t, names: make([][]byte, len(t.Columns)), members: make([][]byte, len(t.Columns))}
	for i := range t.Columns {
		if c := &t.Columns[i]; c.Name != sources.EventID && c.Name != sources.EventCreated {
			m.names[i] = sources.AppendJSONString(nil, []byte(c.Name))
		}
	}
	return m
}

// row is an event's. What the body lacks, or has as null, is NULL.
func (m *rowMaker) row(a *sources.Arena, e view) sources.Row {
	clear(m.members)
	for w := sources.WalkJSON(e.body); w.Next(); {
		name := w.Name()
		if bytes.IndexByte(name, '\\') >= 0 {
			name = plainName(name)
		}
		for i := range m.names {
			if m.names[i] != nil && bytes.Equal(m.names[i], name) {
				m.members[i] = w.Value()
			}
		}
	}
	a.Reserve(len(e.id) + len(e.created) + len(e.body))
	a.StartRow(len(m.names))
	for i := range m.names {
		switch value := m.members[i]; {
		case m.names[i] == nil && m.table.Columns[i].Name == sources.EventID:
			a.Text(e.id)
		case m.names[i] == nil:
			a.Text(e.created)
		case value == nil || string(value) == "null":
			a.Null()
		default:
			a.Text(value)
		}
	}
	return a.EndRow()
}

// plainName is a name in the one form that AppendJSONString gives it.
func plainName(quoted []byte) []byte {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return quoted
	}
	return sources.AppendJSONString(nil, []byte(text))
}
