package replicator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"haystream/internal/backoff"
	"haystream/internal/fault"
	"haystream/replicator/joins"
	"haystream/replicator/reading"
	"haystream/sources"
)

// A scan reads one table in key order for every build that has come equally
// far in it, and goes on where the checkpoint left off.
type scan struct {
	table  *sources.Table
	routes []*route     // that want the rows
	stored *joins.Table // of the row store, that wants them instead

	// progress of the table in each build that the routes lead to.
	progress []*reading.Progress

	rows  int64 // merged before this session
	since int64 // changes up to this Version are passed over by the store, and so must be in the rows

	// last is the last merged row's key. The apply loop sets it before it
	// answers a chunk; the scan reads it after the answer.
	last sources.Key

	read atomic.Int64 // rows read in this session
}

// chunksAhead is how many chunks of one scan may wait to be merged, so that
// waiting chunks cannot starve the stream that they wait for.
const chunksAhead = 2

// A loadedChunk waits for the stream to reach its mark.
type loadedChunk struct {
	scan   *scan         // it belongs to, or
	lookup *joins.Lookup // what it was read for; without a chunk: that cannot be read
	check  *chunkCheck   // what it is compared for
	after  sources.Key   // the key that it was read after
	window *reading.Window
	chunk  *sources.Chunk
	answer chan bool // whether it was merged; false: read it again

	version int64 // of the last change applied when it was compared
}

// newScans groups the routes whose tables are not read whole by table and progress.
func newScans(routes [][]*route) []*scan {
	var scans []*scan
	for _, ofTable := range routes {
		var here []*scan
		for _, r := range ofTable {
			p := r.progress()
			if p.Done || r.target.Replacement != nil {
				continue // read whole, or soon replaced
			}
			i := slices.IndexFunc(here, func(s *scan) bool { return reading.SameKey(s.last, p.Last) })
			if i < 0 {
				here = append(here, &scan{table: r.renderer.Table, last: p.Last, rows: p.Rows})
				i = len(here) - 1
			}
			here[i].routes = append(here[i].routes, r)
			if !slices.Contains(here[i].progress, p) {
				here[i].progress = append(here[i].progress, p)
			}
		}
		scans = append(scans, here...)
	}
	return scans
}

// storedScans are of the tables that are not read whole into the row store.
func storedScans(j *joins.Joins) (scans []*scan) {
	tables, since := j.Unread()
	for _, t := range tables {
		progress := t.Progress()
		scans = append(scans, &scan{table: t.Source, stored: t, last: progress.Last, rows: progress.Rows, since: since})
	}
	return scans
}

// A snapshot runs the scans of one session, some at a time, and hands their
// chunks to the apply loop.
type snapshot struct {
	source  sources.Source
	windows *reading.Windows
	chunks  chan *loadedChunk  // to the apply loop; closed by nobody, ends with ctx
	lookups chan *joins.Lookup // from the apply loop, one at a time
	limits  sources.SnapshotConfig
	bytes   int                    // bound on one chunk's memory
	caught  func(since int64) bool // whether the stream is past the session's mark and a Version, and near the log's end
	log     zerolog.Logger

	unreadable func(*sources.Table, error) // is told when a table cannot be read, and with nil when it can again

	rate throttle
}

// run reads all scans, and what is looked up, until ctx ends.
func (s *snapshot) run(ctx context.Context, scans []*scan) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(1 + max(s.limits.Parallel, 1))
	g.Go(func() error { return s.look(ctx) })
	for _, sc := range scans {
		g.Go(func() error {
			if err := s.scan(ctx, sc); err != nil {
				return fmt.Errorf("read table %s: %w", sc.table, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// scan reads one table from where it stands to its end. Reading goes on while
// earlier chunks wait for the stream; when one has to be read again, so are
// those after it.
func (s *snapshot) scan(ctx context.Context, sc *scan) error {
	start := time.Now()
	line := s.log.Info().Str("table", sc.table.String()).Int64("rows_done", sc.rows)
	if sc.table.EstimatedRows >= 0 {
		line = line.Int64("rows_estimated", sc.table.EstimatedRows)
	}
	line.Msg("reading table")
	retry := backoff.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	after, unread := sc.last, false
	var pending []*loadedChunk
	for {
		if len(pending) > 0 && (pending[len(pending)-1].chunk.Done || len(pending) == chunksAhead) {
			merged, err := s.await(ctx, pending[0])
			if err != nil {
				return err
			}
			if merged {
				last := pending[0].chunk
				pending = pending[1:]
				retry.Reset()
				if last.Done {
					break
				}
				continue
			}
			after = s.forget(ctx, sc, &pending)
			if err := retry.Wait(ctx, 0); err != nil {
				return err
			}
		}
		c, err := s.read(ctx, sc, after)
		if errors.Is(err, sources.ErrUnreadable) {
			s.unreadable(sc.table, err)
			unread = true
			if err := retry.Wait(ctx, 0); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if unread {
			unread = false
			s.unreadable(sc.table, nil)
		}
		after = c.chunk.Last
		pending = append(pending, c)
	}
	s.log.Info().Str("table", sc.table.String()).Int64("rows", sc.rows+sc.read.Load()).Stringer("took", time.Since(start).Round(time.Millisecond)).Msg("table read")
	return nil
}

// read opens a window, reads the next chunk and hands it to the apply loop.
func (s *snapshot) read(ctx context.Context, sc *scan, after sources.Key) (*loadedChunk, error) {
	return s.ask(ctx, &loadedChunk{scan: sc, after: after}, sc.stored != nil, sc.since, sources.ChunkRequest{Table: sc.table, After: after})
}

// ask opens a window, reads the chunk that is requested, and hands it to the apply loop.
func (s *snapshot) ask(ctx context.Context, c *loadedChunk, stored bool, since int64, req sources.ChunkRequest) (*loadedChunk, error) {
	// A window that opens far behind the log's end would have to remember
	// every key changed until then; and a change that no route takes must not be
	// found in it, since the row would be dropped for it.
	wait := backoff.Backoff{Min: 5 * time.Millisecond, Max: 100 * time.Millisecond}
	for !s.caught(since) {
		if err := wait.Wait(ctx, 0); err != nil {
			return nil, err
		}
	}
	req.MaxRows, req.MaxBytes = s.limits.ChunkRows, s.bytes
	c.window, c.answer = s.windows.Open(req.Table, stored), make(chan bool, 1)
	var err error
	if c.chunk, err = s.source.Chunk(ctx, req); err != nil {
		s.windows.Close(c.window)
		return nil, err
	}
	fault.Point("chunk read")
	rows := len(c.chunk.Rows) // which may be gone once it is handed over
	select {
	case s.chunks <- c:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return c, s.rate.take(ctx, rows, s.limits.MaxRowsPerSecond)
}

// look reads what the apply loop asks for by key, until ctx ends.
func (s *snapshot) look(ctx context.Context) error {
	retry := backoff.Backoff{Min: 5 * time.Millisecond, Max: 5 * time.Second}
	unread := map[*sources.Table]bool{}
	for {
		var l *joins.Lookup
		select {
		case l = <-s.lookups:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.Tries() == 0 {
			retry.Reset()
		}
		for again := l.Tries() > 0; ; again = true {
			if again {
				if err := retry.Wait(ctx, 0); err != nil {
					return err
				}
			}
			table, since := l.Table()
			having, after := l.Request()
			c, err := s.ask(ctx, &loadedChunk{lookup: l}, true, since, sources.ChunkRequest{Table: table, After: after, Having: having})
			if errors.Is(err, sources.ErrUnreadable) {
				s.unreadable(table, err)
				unread[table] = true
				select {
				case s.chunks <- &loadedChunk{lookup: l}:
				case <-ctx.Done():
					return ctx.Err()
				}
				break
			}
			if err != nil {
				return fmt.Errorf("read rows of table %s again: %w", table, err)
			}
			if unread[table] {
				delete(unread, table)
				s.unreadable(table, nil)
			}
			if merged, err := s.await(ctx, c); err != nil {
				return err
			} else if merged {
				break
			}
		}
	}
}

// await blocks until the apply loop has merged or refused the chunk.
func (s *snapshot) await(ctx context.Context, c *loadedChunk) (bool, error) {
	select {
	case merged := <-c.answer:
		return merged, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// forget drops a refused chunk and those read after it, and returns the key
// to go on from.
func (s *snapshot) forget(ctx context.Context, sc *scan, pending *[]*loadedChunk) sources.Key {
	for _, c := range (*pending)[1:] {
		// The apply loop refuses what follows a refused chunk.
		if _, err := s.await(ctx, c); err != nil {
			break
		}
	}
	*pending = nil
	return sc.last
}

// throttle keeps reading under a number of rows a second, over all scans.
type throttle struct {
	mu  sync.Mutex
	due time.Time
}

// take counts rows that were read and blocks until more may be.
func (t *throttle) take(ctx context.Context, rows, perSecond int) error {
	if perSecond <= 0 {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	if t.due.Before(now) {
		t.due = now
	}
	t.due = t.due.Add(time.Duration(rows) * time.Second / time.Duration(perSecond))
	wait := t.due.Sub(now)
	t.mu.Unlock()
	return backoff.Pause(ctx, wait)
}
