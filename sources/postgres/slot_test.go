package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/sources"
)

// TestSlot is about a slot that is not as it was left.
func TestSlot(t *testing.T) {
	eachServer(t, map[string]func(*rig){
		"lost":        testSlotLost,
		"lost_live":   testSlotLostWhileRead,
		"ahead":       testSlotAhead,
		"gone":        testSlotGone,
		"alien":       testSlotForeign,
		"busy":        testSlotBusy,
		"half_dead":   testSlotHeldByOwnConnection,
		"leftover":    testSlotLeftover,
		"waits":       testSlotWaits,
		"other_place": testOtherPlace,
		"removed":     testRemove,
	})
}

func (r *rig) lost(err error, text string) {
	r.Helper()
	if !errors.Is(err, sources.ErrPositionLost) || !strings.Contains(err.Error(), text) {
		r.Errorf("the error is %v, want a lost position with %q", err, text)
	}
}

// loseSlot makes the server give up what the slot holds.
func (r *rig) loseSlot() {
	r.Helper()
	r.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
	r.eventually("the slot is lost", func() bool {
		r.exec("SELECT pg_switch_wal()", "CREATE TABLE filler AS SELECT generate_series(1, 1000)", "DROP TABLE filler", "SELECT pg_switch_wal()", "CHECKPOINT")
		return r.ask("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", r.name) == "lost"
	})
	r.exec("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
}

func testSlotLost(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	r.loseSlot()
	r.lost(r.again(r.start), "is lost")
	r.lost(r.follow(r.start).ends(), "is lost")
	before := r.start.Position
	r.prepare("public.notes") // as a daemon does then: from nothing
	if r.start.Position == before {
		r.Error("the new slot begins where the lost one did")
	}
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
}

// testSlotLostWhileRead: the server ends a stream whose slot it gives up.
func testSlotLostWhileRead(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	drained := make(chan error, 1)
	go func() { drained <- f.ends() }() // never acknowledges
	r.loseSlot()
	if err := <-drained; errors.Is(err, sources.ErrConfig) || errors.Is(err, sources.ErrBusy) {
		r.Errorf("the stream ended with %v", err)
	}
	r.lost(r.follow(f.at).ends(), "is lost")
}

// testSlotAhead: the server would start behind what was skipped, silently.
func testSlotAhead(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	r.exec("INSERT INTO notes VALUES (1)", "SELECT pg_replication_slot_advance('"+r.name+"', pg_current_wal_lsn())")
	r.lost(r.again(r.start), "advanced")
	r.lost(r.follow(r.start).ends(), "advanced")
	// One that somebody has made in its place.
	r.exec("INSERT INTO notes VALUES (2)", "SELECT pg_drop_replication_slot('"+r.name+"')", "SELECT pg_create_logical_replication_slot('"+r.name+"', 'pgoutput')")
	r.lost(r.again(r.start), "advanced")
	r.exec("SELECT pg_drop_replication_slot('"+r.name+"')", "SELECT pg_create_logical_replication_slot('"+r.name+"', 'pgoutput', twophase => true)")
	at := r.start
	at.Position = position{system: r.source.system.id, timeline: r.source.system.timeline, lsn: r.lsn("pg_current_wal_insert_lsn()")}.String()
	r.lost(r.again(at), "two_phase")
	r.prepare("public.notes")
	if r.ask("SELECT two_phase FROM pg_replication_slots WHERE slot_name = $1", r.name) != "false" {
		r.Error("the new slot is two_phase")
	}
}

func testSlotGone(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	r.exec("DROP PUBLICATION " + r.name)
	r.lost(r.again(r.start), "publication")
	r.lost(r.follow(r.start).ends(), "publication")
	r.exec("CREATE PUBLICATION "+r.name+" FOR TABLE notes", "SELECT pg_drop_replication_slot('"+r.name+"')")
	r.lost(r.again(r.start), "slot "+r.name+" is gone")
	r.lost(r.follow(r.start).ends(), "slot "+r.name+" is gone")
}

func testSlotForeign(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)", "SELECT pg_create_physical_replication_slot('"+r.name+"')")
	r.plan("public.notes")
	if _, err := r.source.Prepare(r.Context(), r.tables, ""); !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "another kind") {
		r.Errorf("a physical slot gives %v", err)
	}
	r.exec("SELECT pg_drop_replication_slot('" + r.name + "')")
	other := connect(r, r.server.URL)
	execute(r, other, "SELECT pg_create_logical_replication_slot('"+r.name+"', 'pgoutput')")
	if _, err := r.source.Prepare(r.Context(), r.tables, ""); !errors.Is(err, sources.ErrConfig) || !strings.Contains(err.Error(), "database postgres") {
		r.Errorf("another database's slot gives %v", err)
	}
	if lines, err := r.source.Remove(r.Context(), false); err != nil || len(lines) != 0 {
		r.Errorf("Remove drops %q, %v", lines, err)
	}
	execute(r, other, "SELECT pg_drop_replication_slot('"+r.name+"')")
	if r.ask("SELECT count(*) FROM pg_publication") != "0" {
		r.Error("a publication was created")
	}
}

func testSlotBusy(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	pid := r.ask("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", r.name)
	first := r.source
	r.source = r.newSource()
	r.exec("CREATE TABLE tags (id int PRIMARY KEY)")
	r.plan("public.notes", "public.tags")
	busy := func(err error) {
		r.Helper()
		if !errors.Is(err, sources.ErrBusy) || !strings.Contains(err.Error(), "pid "+pid) || !strings.Contains(err.Error(), "127.0.0.1:") {
			r.Errorf("the second daemon gets %v", err)
		}
	}
	busy(r.again(r.start))
	_, err := r.source.Prepare(r.Context(), r.tables, "")
	busy(err)
	_, err = r.source.Remove(r.Context(), false)
	busy(err)
	if tables := r.ask("SELECT count(*) FROM pg_publication_rel"); tables != "1" {
		r.Errorf("the second daemon changed the publication to %s tables", tables)
	}
	r.exec("INSERT INTO notes VALUES (2)")
	f.expect("insert notes (2)")
	f.stop()
	first.Close()
	r.eventually("the second takes over", func() bool {
		_, err := r.ready(r.Context(), f.at.Position)
		return err == nil
	})
	r.exec("INSERT INTO tags VALUES (1)")
	r.follow(f.at).expect("insert tags (1)")
}

// testSlotHeldByOwnConnection: after a network failure the server may think
// for a minute that the old connection lives. It is ended, not waited for.
func testSlotHeldByOwnConnection(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	second := r.follow(f.at)
	r.exec("INSERT INTO notes VALUES (2)")
	second.expect("insert notes (2)")
	if err := f.ends(); err == nil || sources.Known(err) {
		r.Errorf("the first connection ended with %v", err)
	}
}

func testSlotLeftover(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	r.exec("INSERT INTO notes VALUES (1)")
	r.source = r.newSource()
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (2)")
	f.expect("insert notes (2)")
}

// testSlotWaits: a new slot waits for what is running; a daemon that is
// stopped meanwhile leaves nothing behind.
func testSlotWaits(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	writer := connect(r, r.url)
	execute(r, writer, "BEGIN", "INSERT INTO public.notes VALUES (1)")
	r.plan("public.notes")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := r.ready(ctx, "")
		done <- err
	}()
	waiting := func() bool {
		return r.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_create_logical_replication_slot%' AND wait_event_type = 'Lock'") == "1"
	}
	r.eventually("the slot waits", waiting)
	r.eventually("the wait is explained", func() bool { return strings.Contains(r.logs.String(), "waiting for a transaction") })
	if pid := fmt.Sprint(writer.PgConn().PID()); !strings.Contains(r.logs.String(), `"pid":`+pid) {
		r.Errorf("the log does not name the process %s:\n%s", pid, r.logs)
	}
	cancel()
	if err := <-done; err == nil {
		r.Error("a cancelled Prepare succeeds")
	}
	r.eventually("the slot is gone", func() bool {
		return r.ask("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", r.name) == "0"
	})
	execute(r, writer, "COMMIT")
	r.prepare("public.notes")
}

// testOtherPlace: a checkpoint of another cluster, a later timeline, or from
// after a restore is not continued.
func testOtherPlace(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	at, err := parsePosition(r.start.Position)
	r.must(err)
	for text, wrong := range map[string]position{
		"cluster":  {"1" + at.system, at.timeline, at.lsn},
		"timeline": {at.system, at.timeline + 1, at.lsn},
		"up to":    {at.system, at.timeline, at.lsn + 1<<32},
	} {
		from := sources.Checkpoint{Position: wrong.String()}
		r.lost(r.again(from), text)
		r.lost(r.follow(from).ends(), text)
	}
	r.lost(r.again(sources.Checkpoint{Position: "binlog.000001:4"}), "parse position")
}

func testRemove(r *rig) {
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	if lines, err := r.source.Remove(r.Context(), true); err != nil || len(lines) != 0 {
		r.Errorf("nothing to remove: %q, %v", lines, err)
	}
	r.prepare("public.notes")
	want := fmt.Sprintf("[replication slot %s publication %s]", r.name, r.name)
	for _, dryRun := range []bool{true, false} {
		lines, err := r.source.Remove(r.Context(), dryRun)
		if err != nil || fmt.Sprint(lines) != want {
			r.Errorf("Remove says %v, %v, want %s", lines, err, want)
		}
		left := r.ask("SELECT count(*) FROM pg_publication") + r.ask("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", r.name)
		if dryRun && left != "11" || !dryRun && left != "00" {
			r.Errorf("dry run %v: left are %s", dryRun, left)
		}
	}
}

// TestServerRestarts: the stream ends with an error that passes, and goes on
// from its checkpoint with the same numbers.
func TestServerRestarts(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version, Args: []string{"-c", "fsync=on"}})
			r := newRig(t, server, "restarts")
			r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
			r.prepare("public.notes")
			f := r.follow(r.start)
			r.exec("INSERT INTO notes VALUES (1)")
			f.expect("insert notes (1)")
			at := f.at
			r.exec("INSERT INTO notes VALUES (2), (3)")
			f.expect("insert notes (2)", "insert notes (3)")
			version, tx := f.last, f.txs[1]
			for _, stop := range []func() error{func() error { return nil }, server.Kill} {
				r.must(stop())
				r.must(server.Restart(t.Context()))
				if err := f.ends(); err == nil || sources.Known(err) {
					t.Fatalf("the stream ended with %v", err)
				}
				r.admin = connect(t, r.url)
				r.eventually("the source is prepared", func() bool { return r.again(at) == nil })
				f = r.follow(at)
				f.expect("insert notes (2)", "insert notes (3)")
				if f.last != version || f.txs[0] != tx {
					t.Errorf("a replay numbers %d of transaction %d, before %d of %d", f.last, f.txs[0], version, tx)
				}
			}
			chunk, err := r.chunk()
			r.must(err)
			if rowTexts(chunk) != "(1) (2) (3)" {
				t.Errorf("the chunk has %s", rowTexts(chunk))
			}
		})
	}
}

// TestServerShutsDown: a stream whose changes nobody confirms does not hold up
// a server that shuts down, be it idle or blocked.
func TestServerShutsDown(t *testing.T) {
	for _, version := range servers.PostgresVersions() {
		t.Run(version, func(t *testing.T) {
			server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: version, Args: []string{"-c", "wal_sender_timeout=3s"}})
			r := newRig(t, server, "shutdown")
			r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
			r.prepare("public.notes")
			at := r.start
			for _, blocked := range []bool{false, true} {
				f := r.follow(at)
				r.exec("INSERT INTO notes SELECT COALESCE(max(id), 0) + 1 FROM notes")
				if !blocked {
					f.expect("insert notes (1)")
					at = f.at
				}
				drained := make(chan error, 1)
				if !blocked {
					go func() { drained <- f.ends() }()
				}
				r.must(server.Restart(t.Context()))
				if blocked {
					drained <- f.ends()
				}
				if err := <-drained; err == nil || sources.Known(err) {
					t.Errorf("blocked %v: the stream ended with %v", blocked, err)
				}
				r.admin = connect(t, r.url)
				r.exec("SET search_path = public")
				r.eventually("the source is prepared", func() bool { return r.again(at) == nil })
			}
			if strings.Contains(server.Log(), "immediate shutdown") {
				t.Error("the server had to be killed")
			}
		})
	}
}

// TestServerFallsSilent: a connection that stays open and says nothing is given up.
func TestServerFallsSilent(t *testing.T) {
	server := servers.Test(t, servers.Spec{Kind: servers.Postgres, Version: servers.PostgresVersions()[0], Args: []string{"-c", "wal_sender_timeout=2s"}})
	r := newRig(t, server, "silent")
	r.exec("CREATE TABLE notes (id int PRIMARY KEY)")
	r.prepare("public.notes")
	f := r.follow(r.start)
	r.exec("INSERT INTO notes VALUES (1)")
	f.expect("insert notes (1)")
	server.Pause()
	defer server.Resume()
	if err := f.ends(); err == nil || sources.Known(err) || !strings.Contains(err.Error(), "said nothing") {
		t.Errorf("the stream ended with %v", err)
	}
}
