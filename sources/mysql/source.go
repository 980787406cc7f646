// Package mysql tails MySQL 8.0 and later and MariaDB 10.6 and later by their
// binary logs.
package mysql

import (
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"haystream/sources"
)

// Source is a MySQL or MariaDB server.
type Source struct {
	cfg      sources.Config
	log      zerolog.Logger
	endpoint *endpoint
	pool     pool

	mu      sync.Mutex
	catalog *catalog // as the last Catalog read it: what the projected tables came from
}

// New reads the configuration and connects to nothing.
func New(cfg sources.Config, log zerolog.Logger) (*Source, error) {
	e, err := parseURL(cfg)
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, log: log, endpoint: e, pool: pool{endpoint: e}}, nil
}

// Catalog reads the tables that the user can see.
func (s *Source) Catalog(ctx context.Context) ([]*sources.Table, error) {
	var tables []*sources.Table
	err := s.pool.use(ctx, func(c *conn) error {
		read, ordered, err := readCatalog(ctx, c)
		if err != nil {
			return fmt.Errorf("read catalog: %w", err)
		}
		s.mu.Lock()
		s.catalog = read
		s.mu.Unlock()
		tables = ordered
		return nil
	})
	return tables, err
}

// Close ends all connections.
func (s *Source) Close() { s.pool.close() }
