package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"haystream/sources"
)

// facts are what a server says of itself and its log.
type facts struct {
	flavor flavor
	server string // whose files they are
	gtids  bool   // transactions are numbered for all servers of the history
}

// readFacts asks.
func readFacts(ctx context.Context, c *conn) (facts, error) {
	f := facts{flavor: c.flavor, gtids: true}
	if c.flavor == mariadbServer {
		row, err := c.one(ctx, "SELECT CONCAT_WS('-', @@hostname, @@port, @@server_id)")
		if err != nil {
			return f, fmt.Errorf("read server id: %w", err)
		}
		f.server = strings.ReplaceAll(row[0], "/", "-")
		return f, nil
	}
	row, err := c.one(ctx, "SELECT @@server_uuid, @@GLOBAL.gtid_mode")
	if err != nil {
		return f, fmt.Errorf("read server id: %w", err)
	}
	f.server, f.gtids = row[0], row[1] == "ON"
	return f, nil
}

// end is where the log ends now. With GTIDs on MySQL it has their set only:
// transactions may be in the file that are not in it yet.
func (f facts) end(ctx context.Context, c *conn) (position, error) {
	p := position{server: f.server, numbered: f.gtids}
	row, err := c.one(ctx, c.flavor.logStatus(c.version))
	if err != nil && !errors.Is(err, errNoRow) {
		return p, fmt.Errorf("read the log's end: %w", err)
	}
	if len(row) < 2 {
		return p, fmt.Errorf("%w: the server writes no binary log; set log_bin in its option file and restart it", sources.ErrConfig)
	}
	p.file = row[0]
	if p.offset, err = strconv.ParseUint(row[1], 10, 64); err != nil {
		return p, fmt.Errorf("read the log's end: %w", err)
	}
	switch {
	case c.flavor == mariadbServer:
		row, err := c.one(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %d)", literal(p.file), p.offset))
		if err != nil {
			return p, fmt.Errorf("read the log's end: %w", err)
		}
		p.gtids = row[0]
	case f.gtids && len(row) > 4:
		p.gtids = strings.ReplaceAll(row[4], "\n", "")
	}
	return p, nil
}

// start is where a first stream begins.
func (f facts) start(ctx context.Context, c *conn) (position, error) {
	p, err := f.end(ctx, c)
	if f.flavor == mysqlServer && f.gtids {
		p.file, p.offset = "", 0
	}
	return p, err
}

// continues returns ErrPositionLost where the server's log does not lead on
// from the position.
func (f facts) continues(ctx context.Context, c *conn, from position) error {
	switch {
	case !f.gtids:
		return f.hasFile(ctx, c, from)
	case !from.numbered:
		return fmt.Errorf("%w: it was read to a place in a file, and the server numbers its transactions (GTID) by now", sources.ErrPositionLost)
	case f.flavor == mariadbServer:
		return f.hasDomains(ctx, c, from)
	}
	row, err := c.one(ctx, fmt.Sprintf("SELECT GTID_SUBSET(%s, @@GLOBAL.gtid_executed), GTID_SUBSET(@@GLOBAL.gtid_purged, %[1]s), @@GLOBAL.gtid_purged", literal(from.gtids)))
	switch {
	case err != nil:
		return fmt.Errorf("compare GTIDs: %w", err)
	case row[0] != "1":
		return fmt.Errorf("%w: the server has not executed all transactions that were read before; it was restored to an earlier time, or its history forked from another server's", sources.ErrPositionLost)
	case row[1] != "1":
		return fmt.Errorf("%w: the server has purged transactions that were not read yet (gtid_purged is %s); keep them for longer with binlog_expire_logs_seconds", sources.ErrPositionLost, row[2])
	}
	return f.notBegunAnew(ctx, c, from)
}

// notBegunAnew looks whether a server's log still reaches to where it was read: one
// that was emptied, or put back from an older copy, gives the same numbers to other
// transactions. Where it has grown past that since, sameFile tells.
func (f facts) notBegunAnew(ctx context.Context, c *conn, from position) error {
	if from.server != f.server || from.file == "" {
		return nil
	}
	end, err := f.end(ctx, c)
	if err != nil {
		return err
	}
	if end.before(from) {
		return fmt.Errorf("%w: the server's log ends at %s:%d and was read to %s:%d; it was begun anew", sources.ErrPositionLost, end.file, end.offset, from.file, from.offset)
	}
	files, err := logFiles(ctx, c)
	if err != nil {
		return err
	}
	if size, ok := files[from.file]; ok && size < from.offset {
		return fmt.Errorf("%w: the server's file %s ends at %d and was read to %d; it was restored to an earlier time", sources.ErrPositionLost, from.file, size, from.offset)
	}
	return nil
}

// logFiles are the sizes of the log's files.
func logFiles(ctx context.Context, c *conn) (map[string]uint64, error) {
	files := map[string]uint64{}
	err := c.query(ctx, "SHOW BINARY LOGS", func(row [][]byte) error {
		size, err := strconv.ParseUint(string(row[1]), 10, 64)
		files[string(row[0])] = size
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the log's files: %w", err)
	}
	return files, nil
}

// sameFile returns ErrPositionLost where the file that the position is in was begun
// at another time than the one that was read: the log was emptied since, or is of an
// older copy of the server. A file that is gone says nothing.
func (s *Source) sameFile(ctx context.Context, c *conn, f facts, from position) error {
	if from.server != f.server || from.born == 0 {
		return nil
	}
	files, err := logFiles(ctx, c)
	if err != nil {
		return err
	}
	if _, ok := files[from.file]; !ok {
		return nil
	}
	born, err := s.born(ctx, from.file)
	switch {
	case serverCode(err) == codeLogUnreadable: // purged just now
		return nil
	case err != nil:
		return fmt.Errorf("read the beginning of %s: %w", from.file, explain(err))
	case born != from.born:
		return fmt.Errorf("%w: the server began its file %s at %s, and the one that was read at %s; the log was begun anew, or the server restored to an earlier time",
			sources.ErrPositionLost, from.file, seconds(born), seconds(from.born))
	}
	return nil
}

func seconds(t uint32) string { return time.Unix(int64(t), 0).UTC().Format(time.RFC3339) }

// hasFile: without GTIDs a position is one server's own.
func (f facts) hasFile(ctx context.Context, c *conn, from position) error {
	if from.server != f.server || from.numbered {
		return fmt.Errorf("%w: it is of another server, or from when the server numbered its transactions (GTID)", sources.ErrPositionLost)
	}
	files, err := logFiles(ctx, c)
	if err != nil {
		return err
	}
	if size, ok := files[from.file]; !ok || size < from.offset {
		return fmt.Errorf("%w: the server no longer has its file %s up to %d; keep files for longer with binlog_expire_logs_seconds", sources.ErrPositionLost, from.file, from.offset)
	}
	return nil
}

// hasDomains compares MariaDB's position with what the oldest file begins after
// and with what the server has written.
func (f facts) hasDomains(ctx context.Context, c *conn, from position) error {
	read, err := parseDomains(from.gtids)
	if err != nil {
		return fmt.Errorf("%w: %w", sources.ErrPositionLost, err)
	}
	row, err := c.one(ctx, "SELECT @@GLOBAL.gtid_binlog_state")
	if err != nil {
		return fmt.Errorf("read gtid_binlog_state: %w", err)
	}
	for domain, last := range read {
		written := uint64(0)
		for item := range strings.SplitSeq(row[0], ",") {
			of, err := parseDomains(item)
			if g, ok := of[domain]; err == nil && ok && g.server == last.server {
				written = g.number
			}
		}
		if written < last.number {
			return fmt.Errorf("%w: the server has not written transaction %d-%d-%d, which was read before; it was restored to an earlier time, or its history forked from another server's",
				sources.ErrPositionLost, domain, last.server, last.number)
		}
	}
	oldest := ""
	err = c.query(ctx, "SHOW BINARY LOGS", func(row [][]byte) error {
		if oldest == "" {
			oldest = string(row[0])
		}
		return nil
	})
	if err != nil || oldest == "" {
		return fmt.Errorf("list the log's files: %w", err)
	}
	if row, err = c.one(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %d)", literal(oldest), firstOffset)); err != nil {
		return fmt.Errorf("read the oldest file's position: %w", err)
	}
	purged, err := parseDomains(row[0])
	if err != nil {
		return err
	}
	for domain, g := range purged {
		if read[domain].number < g.number {
			return fmt.Errorf("%w: the server has purged transactions up to %d-%d-%d, which were not all read yet; keep files for longer with binlog_expire_logs_seconds",
				sources.ErrPositionLost, domain, g.server, g.number)
		}
	}
	return f.notBegunAnew(ctx, c, from)
}
