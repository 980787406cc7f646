package postgres

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// TestFailover promotes a standby. Where it has a copy of the slot, from
// PostgreSQL 17 on, the stream goes on there; a checkpoint that the standby's
// history does not contain is lost.
func TestFailover(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) { testFailover(t, version) })
	}
}

func testFailover(t *testing.T, version string) {
	primary := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version, Args: []string{"-c", "wal_sender_timeout=1s"}})
	r := newRig(t, primary, "failover")
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	standby := servers.Standby(t, primary)
	second := connect(t, withPath(t, standby.URL, r.name))
	major, err := strconv.Atoi(version)
	r.must(err)
	copied := major >= failoverFrom/10000
	if copied {
		// A copy is made by decoding on the standby what is between the last record of running transactions that
		// the slot has passed and its position, so the position must be past all of the record.
		r.eventually("the slot is copied", func() bool {
			record := r.lsn("SELECT pg_log_standby_snapshot()")
			f.reach(position{system: "any", lsn: record}.String())
			r.source.Ack(f.at.Position)
			r.eventually("the slot is past the record", func() bool {
				return r.ask("SELECT confirmed_flush_lsn >= $2::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", r.name, record) == "true"
			})
			_, _ = second.Exec(t.Context(), "SELECT pg_sync_replication_slots()") // an error means: not yet
			var synced bool
			r.must(second.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary)", r.name).Scan(&synced))
			return synced
		})
	}
	f.stop()
	r.admin = second
	r.eventually("the standby has all rows", func() bool { return r.ask("SELECT count(*) FROM public.notes") == "1" })
	r.source.Close()
	r.url = withPath(t, standby.URL, r.name)
	r.source = r.newSource()
	r.plan("public.notes")
	r.standbyRefuses(f.at)

	r.must(primary.Kill())
	r.ask("pg_promote()")
	r.exec("SET synchronous_commit = local", "SET search_path = public")
	fork := r.lsn("SELECT pg_current_wal_lsn()")
	at, err := parsePosition(f.at.Position)
	r.must(err)
	at.lsn = fork + 1<<20
	r.lost(r.again(sources.Checkpoint{Position: at.String()}), "timeline 1 went only up to")
	if !copied {
		r.lost(r.again(f.at), "slot failover is gone")
		return
	}
	start, err := r.source.Prepare(t.Context(), r.tables, f.at.Position)
	if r.must(err); !start.Moved {
		t.Error("Prepare does not say that the timeline is another one")
	}
	f = r.follow(f.at)
	r.exec("INSERT INTO notes VALUES (2)")
	f.expect("insert notes (2)")
	if at, err = parsePosition(f.at.Position); err != nil || at.timeline != 2 {
		t.Errorf("the position is %s", f.at.Position)
	}
	f.stop()
	start, err = r.source.Prepare(t.Context(), r.tables, f.at.Position)
	if r.must(err); start.Moved {
		t.Error("Prepare says that the timeline is another one, and it is the same")
	}
}

// standbyRefuses: a standby cannot be the source. On the way through a
// failover that passes; a chunk of it would show every transaction as seen.
func (r *rig) standbyRefuses(from sources.Checkpoint) {
	r.Helper()
	if err := r.again(from); err == nil || sources.Known(err) || !strings.Contains(err.Error(), "standby") {
		r.Errorf("to go on at a standby gives %v", err)
	}
	if err := r.again(sources.Checkpoint{}); !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "standby") {
		r.Errorf("to begin at a standby gives %v", err)
	}
	if _, err := r.chunk(); !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "standby") {
		r.Errorf("a chunk of a standby gives %v", err)
	}
	r.expectFindings("error: server: it is a standby; to mend it: point source.url to the primary", "server")
}
