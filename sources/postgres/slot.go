package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"haystream/internal/backoff"
	"haystream/sources"
)

const (
	outputPlugin = "pgoutput"
	maxName      = 63
	failoverFrom = 170000 // the first version whose standbys can keep a copy of the slot

	// releaseTimeout is how long a server process of our own may take to let go of the slot.
	releaseTimeout = 5 * time.Second
)

// checkNames knows what names the server takes (PostgreSQL documentation,
// "Replication Slots").
func checkNames(cfg sources.Config) error {
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' }
	if cfg.Slot == "" || len(cfg.Slot) > maxName || strings.ContainsFunc(cfg.Slot, odd) {
		return fmt.Errorf("%w: source.slot %q: write 1 to %d lower-case letters, digits and underscores", sources.ErrConfig, cfg.Slot, maxName)
	}
	if cfg.Publication == "" || len(cfg.Publication) > maxName {
		return fmt.Errorf("%w: source.publication %q: write 1 to %d bytes", sources.ErrConfig, cfg.Publication, maxName)
	}
	return nil
}

// A slot is one row of pg_replication_slots, read as JSON because its columns
// depend on the server's version.
type slot struct {
	Plugin       string `json:"plugin"`
	Type         string `json:"slot_type"`
	Database     string `json:"database"`
	Temporary    bool   `json:"temporary"`
	TwoPhase     bool   `json:"two_phase"` // from 14
	Active       bool   `json:"active"`
	ActivePID    uint32 `json:"active_pid"`
	Confirmed    string `json:"confirmed_flush_lsn"`
	WALStatus    string `json:"wal_status"`
	Invalidation string `json:"invalidation_reason"` // from 17
	Conflicting  bool   `json:"conflicting"`         // from 16
}

// readSlot returns nil where there is no slot of that name.
func readSlot(ctx context.Context, conn *pgx.Conn, name string) (*slot, error) {
	var text []byte
	err := conn.QueryRow(ctx, `SELECT to_jsonb(s)::text FROM pg_replication_slots s WHERE slot_name = $1`, name).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read slot: %w", err)
	}
	var found slot
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("read slot: %w", err)
	}
	return &found, nil
}

// usable says why the slot can never serve this source, whatever its place in the log.
func (sl *slot) usable(name, database string) error {
	switch {
	case sl.Type != "logical" || sl.Plugin != outputPlugin:
		return fmt.Errorf("%w: the slot %s is of another kind (%s %s); choose another source.slot", sources.ErrConfig, name, sl.Type, sl.Plugin)
	case sl.Database != database:
		return fmt.Errorf("%w: the slot %s belongs to the database %s; choose another source.slot", sources.ErrConfig, name, sl.Database)
	case sl.Temporary:
		return fmt.Errorf("%w: the slot %s is temporary; choose another source.slot", sources.ErrConfig, name)
	}
	return nil
}

// lost says why the slot can no longer be read.
func (sl *slot) lost() string {
	switch {
	case sl.Invalidation != "":
		return sl.Invalidation
	case sl.WALStatus == "lost":
		return "the log it needs was removed"
	case sl.Conflicting:
		return "it conflicts with recovery"
	case sl.TwoPhase: // it would give changes before they are committed
		return "it was made or altered to be two_phase"
	}
	return ""
}

// continues says why the slot does not lead on from a position in the log of
// this server. A slot that is ahead was advanced by someone else, and the
// server would start there without a word, leaving out what lies between.
func (sl *slot) continues(name string, from pglogrepl.LSN) error {
	if sl == nil {
		return fmt.Errorf("%w: the slot %s is gone", sources.ErrPositionLost, name)
	}
	if reason := sl.lost(); reason != "" {
		return fmt.Errorf("%w: the slot %s is lost: %s", sources.ErrPositionLost, name, reason)
	}
	confirmed, err := parseLSN(sl.Confirmed)
	if err != nil {
		return fmt.Errorf("read slot: %w", err)
	}
	if confirmed > from {
		return fmt.Errorf("%w: the slot %s was advanced to %s by someone else, the checkpoint is at %s: the changes between are skipped by the server",
			sources.ErrPositionLost, name, confirmed, from)
	}
	return nil
}

// free returns ErrBusy where another process reads the slot. One of our own
// whose connection broke may not know it yet; it is ended.
func (s *Source) free(ctx context.Context, conn *pgx.Conn, sl *slot) error {
	if sl == nil || !sl.Active {
		return nil
	}
	s.mu.Lock()
	own := s.pid
	s.mu.Unlock()
	if sl.ActivePID != own {
		return s.busy(ctx, conn, sl.ActivePID)
	}
	return s.end(ctx, conn, own)
}

// end ends the server's process that reads the slot, and waits until it has.
func (s *Source) end(ctx context.Context, conn *pgx.Conn, pid uint32) error {
	if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend($1)`, int32(pid)); err != nil {
		return fmt.Errorf("end server process %d: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	for {
		now, err := readSlot(ctx, conn, s.cfg.Slot)
		if err != nil {
			return err
		}
		if now == nil || !now.Active {
			return nil
		}
		if err := backoff.Pause(ctx, shortWait); err != nil {
			return s.busy(context.WithoutCancel(ctx), conn, now.ActivePID)
		}
	}
}

// Evict ends the server's process that reads the slot, where that is a daemon's.
// A role may end its own processes without a privilege.
func (s *Source) Evict(ctx context.Context) error {
	return s.use(ctx, func(conn *pgx.Conn) error {
		sl, err := readSlot(ctx, conn, s.cfg.Slot)
		if err != nil || sl == nil || !sl.Active {
			return err
		}
		var ours bool
		err = conn.QueryRow(ctx, `SELECT application_name = current_setting('application_name') FROM pg_stat_activity WHERE pid = $1`, int32(sl.ActivePID)).Scan(&ours)
		if err == nil && !ours {
			err = s.busy(ctx, conn, sl.ActivePID)
		}
		if err != nil {
			return fmt.Errorf("end who reads slot %s: %w", s.cfg.Slot, err)
		}
		return s.end(ctx, conn, sl.ActivePID)
	})
}

// busy names who reads the slot.
func (s *Source) busy(ctx context.Context, conn *pgx.Conn, pid uint32) error {
	var who string
	err := conn.QueryRow(ctx, `
SELECT format('pid %s, %s from %s since %s', pid, NULLIF(application_name, ''), COALESCE(host(client_addr) || ':' || client_port, 'a local socket'), date_trunc('second', backend_start))
FROM pg_stat_activity WHERE pid = $1`, int32(pid)).Scan(&who)
	if err != nil {
		who = fmt.Sprintf("pid %d", pid)
	}
	return fmt.Errorf("%w: the slot %s is in use by %s", sources.ErrBusy, s.cfg.Slot, who)
}

// createSlot makes the slot and returns the position from which it holds the
// log. The server waits for all transactions that are running, so that the log
// after that point has them whole.
func (s *Source) createSlot(ctx context.Context, conn *pgx.Conn, version int) (pglogrepl.LSN, error) {
	query := `SELECT lsn::text FROM pg_create_logical_replication_slot($1, $2, false)`
	if version >= failoverFrom {
		query = `SELECT lsn::text FROM pg_create_logical_replication_slot($1, $2, false, failover => true)`
	}
	var text string
	err := s.watched(ctx, "the replication slot can be created", func(ctx context.Context) error {
		return conn.QueryRow(ctx, query, s.cfg.Slot, outputPlugin).Scan(&text)
	})
	if sqlState(err) == codeConfigurationLimit {
		return 0, fmt.Errorf("%w: create slot %s: %w; raise max_replication_slots and restart the server, or drop an unused slot", sources.ErrConfig, s.cfg.Slot, err)
	}
	if err != nil {
		return 0, fmt.Errorf("create slot %s: %w", s.cfg.Slot, err)
	}
	s.log.Info().Str(keySlot, s.cfg.Slot).Str(keyPosition, text).Msg("created replication slot")
	return parseLSN(text)
}

func (s *Source) dropSlot(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, s.cfg.Slot)
	if sqlState(err) == codeObjectInUse {
		return fmt.Errorf("%w: drop slot %s: %w", sources.ErrBusy, s.cfg.Slot, err)
	}
	if err != nil {
		return fmt.Errorf("drop slot %s: %w", s.cfg.Slot, err)
	}
	s.log.Info().Str(keySlot, s.cfg.Slot).Msg("dropped replication slot")
	return nil
}
