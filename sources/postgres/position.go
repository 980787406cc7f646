package postgres

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"haystream/sources"
)

// A position is a place in one server's log: the cluster's system identifier,
// the timeline that was followed, and the LSN after the last whole
// transaction. Its text is the sources.Position: 7423…:1:0/1A2B3C4.
type position struct {
	system   string
	timeline int32
	lsn      pglogrepl.LSN
}

func (p position) String() sources.Position {
	return sources.Position(fmt.Sprintf("%s:%d:%s", p.system, p.timeline, p.lsn))
}

func parsePosition(text sources.Position) (position, error) {
	system, rest, found := strings.Cut(string(text), ":")
	timeline, lsn, also := strings.Cut(rest, ":")
	if !found || !also || system == "" {
		return position{}, fmt.Errorf("parse position %q: want system:timeline:lsn", text)
	}
	number, err := strconv.ParseInt(timeline, 10, 32)
	if err != nil {
		return position{}, fmt.Errorf("parse position %q: timeline: %w", text, err)
	}
	at, err := parseLSN(lsn)
	if err != nil {
		return position{}, fmt.Errorf("parse position %q: %w", text, err)
	}
	return position{system: system, timeline: int32(number), lsn: at}, nil
}

// parseLSN reads PostgreSQL's text form, two hexadecimal halves. It is called
// for every batch, for which pglogrepl's scanner is too slow.
func parseLSN(text string) (pglogrepl.LSN, error) {
	high, low, found := strings.Cut(text, "/")
	if !found {
		return 0, fmt.Errorf("parse LSN %q: no slash", text)
	}
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", text, err)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", text, err)
	}
	return pglogrepl.LSN(h<<32 | l), nil
}

// A system is what IDENTIFY_SYSTEM says of the server that is connected to,
// with the history of its timeline.
type system struct {
	id       string
	timeline int32
	end      pglogrepl.LSN // of the log, as far as it is flushed
	history  []byte        // of the timeline; none for the first one
}

// contains says why the server's log does not lead through the position; nil
// where it does. A position on an older timeline must lie before the fork at
// which the server's own history left it.
func (s *system) contains(p position) error {
	if p.system != s.id {
		return fmt.Errorf("%w: it is of the cluster %s, the server is of the cluster %s", sources.ErrPositionLost, p.system, s.id)
	}
	if p.timeline > s.timeline {
		return fmt.Errorf("%w: it is on timeline %d, the server is on %d", sources.ErrPositionLost, p.timeline, s.timeline)
	}
	end := s.end
	if p.timeline < s.timeline {
		fork, err := forkOf(s.history, p.timeline)
		if err != nil {
			return err
		}
		end = fork
	}
	if p.lsn > end {
		return fmt.Errorf("%w: it is %s, the server's timeline %d went only up to %s", sources.ErrPositionLost, p.lsn, p.timeline, end)
	}
	return nil
}

// forkOf finds where a history left the timeline. A history file has a line
// per earlier timeline: its number, the LSN of the fork, the reason
// (PostgreSQL source, access/transam/timeline.c).
func forkOf(history []byte, timeline int32) (pglogrepl.LSN, error) {
	forks, err := parseHistory(history)
	if err != nil {
		return 0, err
	}
	for _, f := range forks {
		if f.timeline == timeline {
			return f.end, nil
		}
	}
	return 0, fmt.Errorf("%w: timeline %d is not in the server's history", sources.ErrPositionLost, timeline)
}

// A fork is where a timeline was left for the next one.
type fork struct {
	timeline int32
	end      pglogrepl.LSN
}

func parseHistory(history []byte) (forks []fork, err error) {
	for line := range bytes.Lines(history) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || fields[0][0] == '#' {
			continue
		}
		number, err := strconv.ParseInt(string(fields[0]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("parse timeline history: %w", err)
		}
		end, err := parseLSN(string(fields[1]))
		if err != nil {
			return nil, fmt.Errorf("parse timeline history: %w", err)
		}
		forks = append(forks, fork{int32(number), end})
	}
	return forks, nil
}

// record names a record of the log as no other one is named, on this server or on any
// that follows it: by the timeline that it was written on.
func (s *system) record(forks []fork, at pglogrepl.LSN) string {
	timeline := s.timeline
	for _, f := range forks { // oldest first
		if at < f.end {
			timeline = f.timeline
			break
		}
	}
	return fmt.Sprintf("%s-%d-%X", s.id, timeline, uint64(at))
}
