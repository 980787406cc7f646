// Package mysql tails MySQL 8.0 and later and MariaDB 10.6 and later by their
// binary logs.
//
// The guarantee: Stream emits every committed change of the tables in use, in
// the order of the log, from its checkpoint on; what the log has in a form that
// cannot be followed makes tables stale, or ends it with an error, and is never passed over. Chunk reads
// rows that have seen all that the stream had emitted when it was called. No
// method changes anything on the server.
//
// The goroutine that calls Stream owns the connection that the log comes on;
// queries run on connections of their own. Goroutines that open and close those
// have ended when Close returns.
// What differs between the two servers is asked of flavor.
package mysql

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"haystream/sources"
)

// Source is a MySQL or MariaDB server. It implements sources.Source.
type Source struct {
	cfg      sources.Config
	log      zerolog.Logger
	endpoint *endpoint
	pool     *sources.Pool[*conn]

	stream  atomic.Pointer[stream]
	wanted  atomic.Pointer[position] // the last chunk's mark
	silence sources.Silence
	spare   sync.Pool // chunks that were released

	mu       sync.Mutex
	catalog  *catalog   // as the last Catalog read it: what the projected tables came from
	prepared *catalog   // as the last Prepare read it: what Stream compares the log with
	planned  position   // the log's end before that
	held     *conn      // for Stream, with the lock
	server   string     // whose log is streamed
	emitted  position   // what chunks must have seen
	left     *knowledge // what the last stream knew; nil: taken up
	leftAt   position   // where it ended
	widths   map[string]int
}

// New reads the configuration and connects to nothing.
func New(cfg sources.Config, log zerolog.Logger) (*Source, error) {
	e, err := parseURL(cfg)
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, log: log, endpoint: e, pool: e.pool(), widths: map[string]int{}}, nil
}

// use lends a connection to work. One that failed is not lent again: it may have
// a transaction open.
func (s *Source) use(ctx context.Context, work func(*conn) error) error {
	return explain(s.pool.Use(ctx, work))
}

// Catalog reads the tables that the user can see.
func (s *Source) Catalog(ctx context.Context) ([]*sources.Table, error) {
	var tables []*sources.Table
	err := s.use(ctx, func(c *conn) error {
		read, ordered, err := readCatalog(ctx, c)
		if err != nil {
			return fmt.Errorf("read catalog: %w", err)
		}
		s.mu.Lock()
		s.catalog = read
		s.mu.Unlock()
		for _, t := range ordered {
			t.Home = read.catalogName(t.Schema, "") == read.catalogName(s.endpoint.database, "")
		}
		tables = ordered
		return nil
	})
	return tables, err
}

// Look finds nothing: the log has every statement that changes a table.
func (s *Source) Look(context.Context) error { return nil }

// Silence is for how long the server has said nothing, not even that nothing follows.
func (s *Source) Silence() time.Duration { return s.silence.Lasted(time.Now()) }

// Close ends all connections, when those in use are back. A running Stream or Chunk ends with its context.
func (s *Source) Close() {
	if c := s.takeHeld(); c != nil {
		c.close()
	}
	s.pool.Close()
}
