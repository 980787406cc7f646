package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"haystream/sources"
)

// Prepare takes the lock of the pipeline's name and looks whether the log leads
// on from the position. It changes nothing on the server.
func (s *Source) Prepare(ctx context.Context, tables []*sources.Table, from sources.Position) (sources.Start, error) {
	if err := s.hold(ctx); err != nil {
		return sources.Start{}, fmt.Errorf("prepare source: %w", err)
	}
	var start sources.Start
	err := s.use(ctx, func(c *conn) (err error) {
		start, err = s.prepare(ctx, c, tables, from)
		return err
	})
	if err != nil {
		return sources.Start{}, fmt.Errorf("prepare source: %w", err)
	}
	return start, nil
}

func (s *Source) prepare(ctx context.Context, c *conn, tables []*sources.Table, from sources.Position) (sources.Start, error) {
	start := sources.Start{Position: from, Fresh: from.IsZero()}
	server, err := readFacts(ctx, c)
	if err != nil {
		return start, err
	}
	if err := s.readable(ctx, c); err != nil {
		return start, err
	}
	planned, err := server.end(ctx, c)
	if err != nil {
		return start, err
	}
	now, err := s.compareCatalog(ctx, c, tables)
	if err != nil {
		return start, err
	}
	if start.Fresh {
		first, err := server.start(ctx, c)
		if err != nil {
			return start, err
		}
		start.Position = sources.Position(first.String())
	} else {
		at, err := parsePosition(from)
		if err != nil {
			return start, fmt.Errorf("%w: %w", sources.ErrPositionLost, err)
		}
		if err := server.continues(ctx, c, at); err != nil {
			return start, err
		}
		if err := s.sameFile(ctx, c, server, at); err != nil {
			return start, err
		}
		start.Moved = at.server != server.server
	}
	if start.Clock, err = clock(ctx, c); err != nil {
		return start, err
	}
	at, err := parsePosition(start.Position)
	if err != nil {
		return start, err
	}
	mark, err := server.end(ctx, c)
	if err != nil {
		return start, err
	}
	start.Mark = sources.Position(mark.String())
	s.want(mark)
	s.mu.Lock()
	s.prepared, s.planned, s.server = now, planned, server.server
	s.emitted = at
	s.mu.Unlock()
	return start, nil
}

// readable returns ErrConfig where the log does not carry all that has changed.
func (s *Source) readable(ctx context.Context, c *conn) error {
	row, err := c.one(ctx, "SELECT @@GLOBAL.log_bin, @@GLOBAL.binlog_format, @@GLOBAL.binlog_row_image")
	switch {
	case err != nil:
		return fmt.Errorf("read settings: %w", err)
	case row[0] != "1":
		return fmt.Errorf("%w: the server writes no binary log; set log_bin in its option file and restart it", sources.ErrConfig)
	case row[1] != "ROW":
		return fmt.Errorf("%w: binlog_format is %s; run: %s", sources.ErrConfig, row[1], c.flavor.set("binlog_format", "'ROW'"))
	case !isFull(row[2]) && !c.flavor.completable():
		return fmt.Errorf("%w: binlog_row_image is %s; run: %s", sources.ErrConfig, row[2], c.flavor.set("binlog_row_image", "'FULL'"))
	}
	return nil
}

// compareCatalog reads the catalog anew: what Stream compares the log with must
// not be older than the plan.
func (s *Source) compareCatalog(ctx context.Context, c *conn, tables []*sources.Table) (*catalog, error) {
	now, _, err := readCatalog(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	s.mu.Lock()
	planned := s.catalog
	s.mu.Unlock()
	if planned == nil {
		return nil, errors.New("the catalog was not read")
	}
	for _, t := range tables {
		was, is := planned.table(t.Schema, t.Name), now.table(t.Schema, t.Name)
		if was == nil || is == nil {
			return nil, fmt.Errorf("%w: %s is not in the catalog any more", sources.ErrSchemaChanged, t)
		}
		if err := sources.Compare(was.sources, is.sources); err != nil {
			return nil, err
		}
	}
	return now, c.hasty(ctx, func() error { return now.readDefaults(ctx, c, tables) })
}

func clock(ctx context.Context, c *conn) (time.Time, error) {
	row, err := c.one(ctx, "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)")
	if err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	micro, err := strconv.ParseInt(row[0], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	return time.UnixMicro(micro), nil
}

// Ack does nothing: the server keeps its log by its own rules.
func (s *Source) Ack(sources.Position) {}

// Lag asks the server how much log there is after pos.
func (s *Source) Lag(ctx context.Context, pos sources.Position) (sources.Lag, error) {
	lag := sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1}
	if pos.IsZero() {
		return lag, nil
	}
	at, err := parsePosition(pos)
	if err != nil {
		return lag, err
	}
	err = s.use(ctx, func(c *conn) error {
		server, err := readFacts(ctx, c)
		if err != nil || server.server != at.server || at.file == "" {
			return err
		}
		lag.Bytes = 0
		return c.query(ctx, "SHOW BINARY LOGS", func(row [][]byte) error {
			size, err := strconv.ParseInt(string(row[1]), 10, 64)
			if err != nil {
				return fmt.Errorf("read size: %w", err)
			}
			switch n := fileNumber(string(row[0])); {
			case n == fileNumber(at.file):
				lag.Bytes += max(size-int64(at.offset), 0)
			case n > fileNumber(at.file):
				lag.Bytes += size
			}
			return nil
		})
	})
	if err != nil {
		return sources.Lag{Bytes: -1, Retained: -1, SafeLeft: -1}, fmt.Errorf("read lag: %w", err)
	}
	return lag, nil
}
