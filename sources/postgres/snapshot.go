package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// A snapshot is a pg_snapshot: what a transaction sees (PostgreSQL
// documentation, "Transaction ID and Snapshot Information Functions").
type snapshot struct {
	xmin, xmax uint64
	running    []uint64 // between both, not finished; ascending
}

// parseSnapshot reads xmin:xmax:xip,xip,…
func parseSnapshot(text string) (snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return snapshot{}, fmt.Errorf("parse snapshot %q: want three parts", text)
	}
	var s snapshot
	var err error
	if s.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return snapshot{}, fmt.Errorf("parse snapshot: %w", err)
	}
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return snapshot{}, fmt.Errorf("parse snapshot: %w", err)
	}
	if parts[2] == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(parts[2], ",") {
		id, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return snapshot{}, fmt.Errorf("parse snapshot: %w", err)
		}
		s.running = append(s.running, id)
	}
	slices.Sort(s.running)
	return s, nil
}

// sees reports whether a committed transaction is visible to the snapshot.
func (s *snapshot) sees(id uint64) bool {
	if id < s.xmin {
		return true
	}
	if id >= s.xmax {
		return false
	}
	_, running := slices.BinarySearch(s.running, id)
	return !running
}

// Sizes of what begins each page and each segment of the log (PostgreSQL
// source, access/xlog_internal.h).
const (
	pageHeader    = 24
	segmentHeader = 40
)

// endOfLog turns an insert position into the end of the last record. Right
// after a page was filled, the insert position is behind the next page's
// header, where no record ends; a stream would never get there.
func endOfLog(insert pglogrepl.LSN, page, segment uint64) pglogrepl.LSN {
	at := uint64(insert)
	if page > 0 && segment > 0 && (at%segment == segmentHeader || at%segment >= page && at%page == pageHeader) {
		return pglogrepl.LSN(at - at%page)
	}
	return insert
}
