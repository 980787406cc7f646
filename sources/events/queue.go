package events

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/fault"
)

var (
	// ErrFull means that the queue has no room for the events now. Nothing of them is kept.
	ErrFull = errors.New("the queue is full")

	// ErrLocked means that another process has the queue's folder.
	ErrLocked = errors.New("another process uses it")

	// ErrClosed means that the queue is closed, or not open yet.
	ErrClosed = errors.New("the queue is closed")
)

// Options say how large a queue may be.
type Options struct {
	MaxBytes int64 // of events that are not acknowledged
	Log      zerolog.Logger
}

// A Queue is a queue of events on disk. For use from any goroutine.
type Queue struct {
	disk    disk
	path    string // of its folder
	lock    io.Closer
	limit   int64
	log     zerolog.Logger
	id      string
	now     func() time.Time
	turn    int64         // at this size a segment is followed by another one
	wake    chan struct{} // something is waiting, or the queue is closed
	ended   chan struct{} // by commit
	durable *segment      // owned by commit; nil: the last write failed, and has not been made good

	mu       sync.Mutex
	segments []*segment // oldest first, at least one; commit writes to the last
	number   uint64     // of the next one
	end      place      // all before it is on disk
	acked    place
	waiting  []*write
	pending  int64 // bytes that wait
	closed   bool
	grown    chan struct{} // closed when end moves
	failing  error         // what the disk has last refused, until it takes something again
	stats    Stats
}

// Stats are what a queue has counted since it was opened, and what is in it now.
type Stats struct {
	Bytes    int64 // that are not acknowledged
	Events   int64
	Oldest   time.Time // when the oldest of them was written; zero where there are none
	Accepted int64
	Full     int64 // events refused since the queue was full
	Failed   int64 // events refused since the disk failed
	Lost     int64 // bytes of events that the disk did not give back
}

// A write is an Append that waits for the disk.
type write struct {
	frame  []byte
	events int64
	done   chan error
}

// Open opens the queue in a folder, which is made where it is not there. What was not wholly
// written is not in it.
func Open(path string, options Options) (*Queue, error) {
	d, lock, err := openFolder(path)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	q, err := open(d, options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open queue %s: %w", path, err), lock.Close())
	}
	q.lock, q.path = lock, path
	return q, nil
}

// The sizes between which segments are, where the queue may hold some of them.
const (
	smallSegment = 1 << 20
	largeSegment = 64 << 20
)

func open(d disk, options Options) (*Queue, error) {
	q := &Queue{
		disk: d, limit: options.MaxBytes, log: options.Log, now: time.Now, turn: min(max(options.MaxBytes/16, smallSegment), largeSegment),
		wake: make(chan struct{}, 1), ended: make(chan struct{}), grown: make(chan struct{}),
	}
	if err := q.find(); err != nil {
		for _, s := range q.segments {
			err = errors.Join(err, s.file.Close())
		}
		return nil, err
	}
	go q.commit()
	return q, nil
}

// find opens the segments that are there, or makes the first one, and looks for the end.
func (q *Queue) find() error {
	names, err := q.disk.list()
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		n, ok := segmentNumber(name)
		if !ok {
			continue
		}
		q.number = n + 1
		s, id, err := openSegment(q.disk, name)
		switch {
		case errors.Is(err, errUnmade) && name == lastSegment(names): // the power was cut while it was made
			if err := q.disk.remove(name); err != nil {
				return fmt.Errorf("remove %s, which is empty: %w", name, err)
			}
			continue
		case errors.Is(err, errHead), err == nil && q.id != "" && id != q.id:
			q.log.Error().Str("file", name).Msg("a file of the event queue is damaged, or of another queue; its events are not delivered")
			if s != nil {
				_ = s.file.Close() // it was only read
			}
			continue
		case err != nil:
			return err
		}
		q.id, q.segments = id, append(q.segments, s)
	}
	if len(q.segments) == 0 {
		return q.begin()
	}
	last := q.segments[len(q.segments)-1]
	if q.end, err = last.scan(); err != nil {
		return err
	}
	// What was found may be in the system's memory only. It must not be gone when it has been emitted.
	if err := last.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", last.name, err)
	}
	q.acked = q.segments[0].start
	return nil
}

// lastSegment is the newest one's name.
func lastSegment(sorted []string) (last string) {
	for _, name := range sorted {
		if _, ok := segmentNumber(name); ok {
			last = name
		}
	}
	return last
}

// begin makes the first segment of a new queue.
func (q *Queue) begin() error {
	id := make([]byte, idSize)
	_, _ = rand.Read(id) // never fails
	q.id = hex.EncodeToString(id)
	s, err := createSegment(q.disk, segmentName(q.number), q.id, place{})
	if err != nil {
		return err
	}
	q.number++
	q.segments, q.durable = []*segment{s}, s
	return nil
}

// scan returns where the last whole frame of the segment ends.
func (s *segment) scan() (place, error) {
	at := s.start
	var buf []byte
	for {
		payload, next, err := s.read(at, buf)
		switch {
		case errors.Is(err, errDamage):
			return at, nil
		case err != nil:
			return at, err
		}
		at, buf = next, payload
	}
}

// Append puts events into the queue, all or none, and returns nil when they are on disk. It may
// be called by many goroutines, which share the disk's syncs. ErrFull says that there is no room now;
// other errors are the disk's. When ctx ends before the disk has answered, the events may be there or not.
func (q *Queue) Append(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	w := &write{encode(events), int64(len(events)), make(chan error, 1)}
	if err := q.wait(w); err != nil {
		return err
	}
	q.rouse()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait puts a write among those that wait for the disk.
func (q *Queue) wait(w *write) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := int64(len(w.frame))
	used := q.end.offset - q.acked.offset + q.pending
	switch {
	case q.closed:
		return ErrClosed
	case size > q.limit, size > maxFrame:
		q.stats.Full += w.events
		return fmt.Errorf("%w: it takes no more than %s, and these events have %s", ErrFull, conf.Bytes(q.limit), conf.Bytes(size))
	case used+size > q.limit:
		q.stats.Full += w.events
		return fmt.Errorf("%w: %s of %s are in use", ErrFull, conf.Bytes(used), conf.Bytes(q.limit))
	}
	q.waiting = append(q.waiting, w)
	q.pending += size
	return nil
}

// commit writes what waits, all of it with one sync, until the queue is closed. Where the last
// write has failed and nothing waits, it looks whether the disk takes something again.
func (q *Queue) commit() {
	defer close(q.ended)
	var out []byte
	for range q.wake {
		q.mu.Lock()
		writes, closed, end, failing := q.waiting, q.closed, q.end, q.failing
		q.waiting = nil
		q.mu.Unlock()
		switch {
		case len(writes) > 0:
			var err error
			out, end, err = q.put(out[:0], writes, end)
			q.written(writes, end, err)
		case failing != nil && !closed:
			q.written(nil, end, q.ready(end))
		}
		if cap(out) > keptBuffer {
			out = nil
		}
		if closed {
			return
		}
	}
}

// keptBuffer is the most memory that is kept from one commit to the next.
const keptBuffer = 1 << 20

// put writes frames behind the end and syncs them. It returns the new end.
func (q *Queue) put(out []byte, writes []*write, end place) ([]byte, place, error) {
	if err := q.ready(end); err != nil {
		return out, end, err
	}
	now := uint64(q.now().UnixMicro())
	before := end
	for _, w := range writes {
		binary.LittleEndian.PutUint64(w.frame[frameHead:], now)
		end.chain = checksum(end.chain, w.frame[:4], w.frame[frameHead:])
		binary.LittleEndian.PutUint32(w.frame[4:], end.chain)
		end.offset += int64(len(w.frame))
		end.events += w.events
		out = append(out, w.frame...)
	}
	_, err := q.durable.file.Write(out)
	fault.Point("events written")
	if err == nil {
		err = q.durable.file.Sync()
	}
	fault.Point("events synced")
	if err != nil {
		q.durable = nil
		return out, before, errors.Join(fmt.Errorf("write to the queue: %w", err), q.ready(before))
	}
	return out, end, nil
}

// ready sees to a segment that can be written to: another one where the last is large enough.
// Where a write has failed, the last one is cut back to the end, so that nothing that was refused
// is in it, and not written to any more: after a failed sync nothing says what the disk has of it.
func (q *Queue) ready(end place) error {
	q.mu.Lock()
	last, name := q.segments[len(q.segments)-1], segmentName(q.number)
	q.mu.Unlock()
	if q.durable != nil && end.offset-last.start.offset < q.turn {
		return nil
	}
	if q.durable == nil {
		err := last.file.Truncate(segmentHead + end.offset - last.start.offset)
		if err == nil {
			err = last.file.Sync()
		}
		if err != nil {
			return fmt.Errorf("cut %s back: %w", last.name, err)
		}
	}
	s, err := createSegment(q.disk, name, q.id, end)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.number++ // a file that could not be removed may have this one
	if err != nil {
		return err
	}
	q.segments, q.durable = append(q.segments, s), s
	return nil
}

// written answers writes.
func (q *Queue) written(writes []*write, end place, err error) {
	q.mu.Lock()
	for _, w := range writes {
		q.pending -= int64(len(w.frame))
		if err != nil {
			q.stats.Failed += w.events
		} else {
			q.stats.Accepted += w.events
		}
	}
	if q.failing = err; err == nil {
		q.end = end
		close(q.grown)
		q.grown = make(chan struct{})
	}
	q.mu.Unlock()
	for _, w := range writes {
		w.done <- err
	}
}

// Close waits for what is being written, and closes the files.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.rouse()
	<-q.ended
	q.mu.Lock()
	defer q.mu.Unlock()
	var err error
	for _, s := range q.segments {
		err = errors.Join(err, s.file.Close())
	}
	if q.lock != nil {
		err = errors.Join(err, q.lock.Close())
	}
	return err
}

// read returns the frame at a place and where the next one is. A nil payload says that there is
// none yet: grown is closed when there is. buf is used where it is large enough.
func (q *Queue) read(at place, buf []byte) (payload []byte, next place, grown <-chan struct{}, err error) {
	q.mu.Lock()
	end, grown := q.end, q.grown
	of, ends := q.segments[0], end
	for i, s := range q.segments {
		if s.start.offset > at.offset {
			ends = s.start
			break
		}
		of, ends = q.segments[i], end
	}
	q.mu.Unlock()
	if at.offset == end.offset {
		return nil, at, grown, nil
	}
	payload, next, err = of.read(at, buf)
	if errors.Is(err, errDamage) {
		q.log.Error().Str("file", of.name).Int64("offset", at.offset).Int64("bytes", ends.offset-at.offset).Int64("events", ends.events-at.events).
			Msg("the disk does not give back what was written to the event queue: these events are lost; going on behind them")
		q.mu.Lock()
		q.stats.Lost += ends.offset - at.offset
		q.mu.Unlock()
		return q.read(ends, buf)
	}
	return payload, next, nil, err
}

// first is the oldest place that the queue has.
func (q *Queue) first() place {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.segments[0].start
}

// last is the end of what is on disk.
func (q *Queue) last() place {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end
}

// has reports whether a place is one of the queue, and not of another life of it.
func (q *Queue) has(p place) (bool, error) {
	q.mu.Lock()
	end, at := q.end, q.segments[0].start
	for _, s := range q.segments {
		if s.start.offset <= p.offset {
			at = s.start
		}
	}
	q.mu.Unlock()
	var buf []byte
	for at.offset < p.offset && p.offset <= end.offset {
		payload, next, _, err := q.read(at, buf)
		if err != nil {
			return false, err
		}
		at, buf = next, payload
	}
	return at == p, nil
}

// ack notes that all before a place is held elsewhere, and removes the segments that are.
func (q *Queue) ack(p place) {
	q.mu.Lock()
	if p.offset > q.acked.offset && p.offset <= q.end.offset {
		q.acked = p
	}
	var gone []*segment
	for !q.closed && len(q.segments) > 1 && q.segments[1].start.offset <= q.acked.offset {
		gone, q.segments = append(gone, q.segments[0]), q.segments[1:]
	}
	q.mu.Unlock()
	for _, s := range gone {
		fault.Point("events to be removed")
		if err := errors.Join(s.file.Close(), q.disk.remove(s.name)); err != nil {
			q.log.Warn().Err(err).Str("file", s.name).Msg("a file of the event queue whose events are delivered is not removed")
		}
	}
}

// Stats says what is in the queue.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	s, acked := q.stats, q.acked
	s.Bytes, s.Events = q.end.offset-acked.offset, q.end.events-acked.events
	of := q.segments[0]
	for _, next := range q.segments {
		if next.start.offset <= acked.offset {
			of = next
		}
	}
	if s.Events > 0 && !q.closed {
		var head [8]byte
		if of.readAt(head[:], segmentHead+acked.offset-of.start.offset+frameHead) == nil {
			s.Oldest = written(head[:])
		}
	}
	q.mu.Unlock()
	return s
}
