package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/sources"
)

// A Source is a queue as a source: each name of an event is a table, to which every event
// adds a row, or changes one where its time of creation floats: that it had another one before
// is not known. Only one process can have it open.
type Source struct {
	path    string
	names   []string
	options Options

	mu    sync.Mutex
	queue *Queue // nil: not open
}

// New returns the source of the queue in a folder. It touches nothing. names are those of the
// events that are wanted.
func New(path string, names []string, options Options) *Source {
	return &Source{path: path, names: names, options: options}
}

// Open opens the queue, unless it is open. The error is sources.ErrBusy where another process has it.
func (s *Source) Open() error {
	_, err := s.open()
	return err
}

func (s *Source) open() (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue != nil {
		return s.queue, nil
	}
	q, err := Open(s.path, s.options)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %w", sources.ErrBusy, err)
	}
	s.queue = q
	return q, err
}

// opened is the queue where it is open; else nil.
func (s *Source) opened() *Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue
}

// Append is the queue's, which is opened where it is not.
func (s *Source) Append(ctx context.Context, events []Event) error {
	q, err := s.open()
	if err != nil {
		return err
	}
	return q.Append(ctx, events)
}

// Stats are the queue's; zero while it is not open.
func (s *Source) Stats() Stats {
	if q := s.opened(); q != nil {
		return q.Stats()
	}
	return Stats{}
}

// Room is the queue's; it has none while it is not open.
func (s *Source) Room() Room {
	if q := s.opened(); q != nil {
		return q.Room()
	}
	return Room{}
}

// Info implements sources.Source. Every queue has the same identity: its Position tells it apart, since
// the events of another one take no document with them.
func (s *Source) Info(context.Context) (sources.Info, error) {
	return sources.Info{Kind: "events", Version: "queue", Identity: "events", Address: s.path}, nil
}

// Catalog has a table for each name.
func (s *Source) Catalog(context.Context) ([]*sources.Table, error) { return Catalog(s.names), nil }

// Catalog is that of a queue whose events have the names.
func Catalog(names []string) []*sources.Table {
	tables := make([]*sources.Table, len(names))
	for i, name := range names {
		tables[i] = newTable(name)
	}
	return tables
}

func newTable(name string) *sources.Table {
	return &sources.Table{
		Schema: sources.EventsSchema, Name: name, Home: true, Open: true, Key: []int{0}, Identity: sources.IdentityFull,
		Columns: []sources.Column{
			{Name: sources.EventID, Type: sources.Type{Kind: sources.Keyword, SQL: "text"}, NotNull: true},
			{Name: sources.EventCreated, Type: sources.Type{Kind: sources.TimestampTZ, SQL: "timestamp with time zone"}, NotNull: true},
		},
	}
}

// Views implements sources.Source: there are none.
func (s *Source) Views(context.Context) ([]sources.View, error) { return nil, nil }

// Check says how much waits in the queue, whether it can be written, and whether the disk has room for it.
// Of a queue that is open, Room says that.
func (s *Source) Check(context.Context, []*sources.Table) ([]preflight.Finding, error) {
	if s.opened() != nil {
		return nil, nil
	}
	const subject = "event queue"
	finding := func(level preflight.Level, text, remedy string) []preflight.Finding {
		return []preflight.Finding{{Level: level, Subject: subject, Text: text, Remedy: remedy}}
	}
	segments, size, err := s.files()
	at := existing(s.path)
	if err == nil {
		err = syscall.Access(at, writable)
	}
	if err != nil {
		return finding(preflight.Error, fmt.Sprintf("%s cannot be written to: %v", at, err), "let the daemon's user read and write "+s.path), nil
	}
	text := s.path + " is made when the daemon starts"
	if len(segments) > 0 {
		text = fmt.Sprintf("%s has %s", s.path, conf.Bytes(size))
	}
	all := finding(preflight.OK, text, "")
	if free, err := (folder{at}).free(); err == nil && free < s.options.MaxBytes-size {
		all = append(all, finding(preflight.Warning, fmt.Sprintf("the volume of %s has %s left, and limits.max_event_queue is %s: events would be refused before that many wait",
			at, conf.Bytes(free), conf.Bytes(s.options.MaxBytes)), "make room on the volume, or lower limits.max_event_queue")...)
	}
	return all, nil
}

// writable is what a folder must allow: names in it to be made, and found.
const writable = 2 | 1

// existing is the folder itself, or the nearest one above that is there.
func existing(path string) string {
	for {
		above := filepath.Dir(path)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) || above == path {
			return path
		}
		path = above
	}
}

// files are those of the queue, with their size.
func (s *Source) files() (names []string, size int64, err error) {
	entries, err := os.ReadDir(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("look at the queue: %w", err)
	}
	for _, e := range entries {
		if _, ok := segmentNumber(e.Name()); !ok {
			continue
		}
		names = append(names, e.Name())
		if info, err := e.Info(); err == nil { // else it has just been removed
			size += info.Size()
		}
	}
	return names, size, nil
}

// Prepare says where streaming begins: where this queue was left, also when others were delivered
// since. A queue that the Position does not know, since the state folder was lost or put back, or is that of a
// host that delivers for the first time, is no reason to give anything up: what it holds is delivered.
func (s *Source) Prepare(_ context.Context, _ []*sources.Table, from sources.Position) (sources.Start, error) {
	q, err := s.open()
	if err != nil {
		return sources.Start{}, err
	}
	saved := parseSpots(from)
	at, known, err := q.from(saved)
	if err != nil {
		return sources.Start{}, err
	}
	switch _, listed := saved.of(q.id); {
	case known:
		q.ack(at)
	case listed:
		q.log.Error().Str("queue", s.path).Str("checkpoint", string(from)).
			Msg("the event queue is not as the checkpoint knows it: an older copy of state.path was put back; events that waited and are not in it are lost; going on with those that are")
	case !from.IsZero():
		q.log.Warn().Str("queue", s.path).Str("checkpoint", string(from)).
			Msg("the checkpoint does not know this event queue: this host delivers for the first time, or the folder state.path was lost, with the events that waited in it; going on with those that are in the queue")
	}
	position := saved.without(q.id).position(q.id, at)
	return sources.Start{Position: position, Mark: position, Clock: time.Now(), Fresh: from.IsZero()}, nil
}

// Own reports whether this queue, or none, is the one that a checkpoint's Position was delivered from, and
// how many of its events are not delivered.
func (s *Source) Own(position sources.Position) (own bool, waiting int64, err error) {
	q, err := s.open()
	if err != nil {
		return false, 0, err
	}
	saved := parseSpots(position)
	at, _, err := q.from(saved)
	return len(saved) == 0 || saved[0].queue == q.id, q.last().events - at.events, err
}

// from is where a stream begins: the place where the queue was left, if it has it, else its start.
func (q *Queue) from(saved spots) (at place, known bool, err error) {
	if at, ok := saved.of(q.id); ok {
		if has, err := q.has(at); err != nil || has {
			return at, has, err
		}
	}
	return q.first(), false, nil
}

// Ack implements sources.Source.
func (s *Source) Ack(position sources.Position) {
	if q := s.opened(); q != nil {
		if at, ok := parseSpots(position).of(q.id); ok {
			q.ack(at)
		}
	}
}

// Chunk is empty: an event is in no table that could be read.
func (s *Source) Chunk(context.Context, sources.ChunkRequest) (*sources.Chunk, error) {
	return &sources.Chunk{Arena: &sources.Arena{}, Done: true, Sees: func(uint64) bool { return false }}, nil
}

// Reached implements sources.Source. It compares places of the queue that the mark is of.
func (s *Source) Reached(pos, mark sources.Position) bool {
	wanted := parseSpots(mark)
	if len(wanted) == 0 {
		return true
	}
	now := parseSpots(pos)
	return len(now) > 0 && now[0].queue == wanted[0].queue && now[0].at.offset >= wanted[0].at.offset
}

// Remove removes the queue, with the events that wait in it.
func (s *Source) Remove(_ context.Context, dryRun bool) ([]string, error) {
	names, size, err := s.files()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	_, lock, err := openFolder(s.path)
	if errors.Is(err, ErrLocked) {
		err = fmt.Errorf("%w: %w", sources.ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	line := []string{fmt.Sprintf("event queue %s, %s, with the events in it that are not delivered", s.path, conf.Bytes(size))}
	if dryRun {
		return line, lock.Close()
	}
	for _, name := range append(names, lockName) {
		err = errors.Join(err, os.Remove(filepath.Join(s.path, name)))
	}
	_ = os.Remove(s.path) // it stays where anything else is in it
	return line, errors.Join(err, lock.Close())
}

// Look implements sources.Source: there are no tables.
func (s *Source) Look(context.Context) error { return nil }

// Silence implements sources.Source: a file never is.
func (s *Source) Silence() time.Duration { return 0 }

// Evict implements sources.Source: a process that has the queue holds it until it ends.
func (s *Source) Evict(context.Context) error {
	return fmt.Errorf("another process has the event queue %s; end it", s.path)
}

// Lag implements sources.Source.
func (s *Source) Lag(_ context.Context, pos sources.Position) (sources.Lag, error) {
	lag := sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1}
	q := s.opened()
	if q == nil {
		return lag, nil
	}
	if at, ok := parseSpots(pos).of(q.id); ok {
		lag.Bytes = max(0, q.last().offset-at.offset)
	}
	return lag, nil
}

// Close closes the queue.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue != nil {
		if err := s.queue.Close(); err != nil {
			s.options.Log.Warn().Err(err).Msg("close event queue")
		}
	}
}
