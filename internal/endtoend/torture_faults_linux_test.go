package endtoend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"haystream/internal/servers"
)

// Faults that are not for every run.
const (
	failedOver       = "failover"
	stoppedPastLease = "stopped past the lease"
	diskFull         = "disk full"
)

// tortures are the faults. Each leaves a daemon that runs, or is about to die at a point.
var tortures = map[string]func(*victim){
	"killed": func(v *victim) { v.again() },
	"killed at a point": func(v *victim) {
		all := slices.Concat(faultCases[servers.Postgres], faultCases[servers.MySQL])
		point := fmt.Sprintf("%s:%d", all[v.random.IntN(len(all))].point, 1+v.random.IntN(20))
		v.note("point", point)
		v.again("HAYSTREAM_FAULT=" + point)
		at, daemon := v.writes.Load()+300, v.daemon
		ended := make(chan error, 1)
		go func() { ended <- daemon.Wait() }()
		dead := func() bool { return len(ended) > 0 }
		v.within(5*time.Minute, "it dies, or the writers go on", func() bool { return dead() || v.writes.Load() > at })
		if !dead() { // not every one is reached
			_ = daemon.Process.Kill()
		}
		<-ended
		v.restarts++
		v.startHurt()
	},
	"connections cut": func(v *victim) {
		for _, c := range []*cutter{v.source, v.sink} {
			c.cutAfter(int64(v.random.IntN(100_000)))
		}
		v.writeMore(200)
		v.source.pass()
		v.sink.pass()
	},
	"source half-open": func(v *victim) { v.halfOpen(v.source) },
	"sink half-open":   func(v *victim) { v.halfOpen(v.sink) },
	"slow network": func(v *victim) {
		for _, c := range []*cutter{v.source, v.sink} {
			c.slow.Store(int64(time.Duration(1+v.random.IntN(30)) * time.Millisecond))
		}
		v.writeMore(300)
		v.source.slow.Store(0)
		v.sink.slow.Store(0)
	},
	"source killed": func(v *victim) { v.killAndRestart(v.server) },
	failedOver:      (*victim).failOver,
	"sink killed": func(v *victim) {
		v.outages.Add(1)
		err := v.search.Kill()
		v.writeMore(100)
		if err = errors.Join(err, v.search.Restart(v.ctx)); err != nil {
			v.t.Fatal(err)
		}
		v.outages.Add(1)
	},
	"log lost": func(v *victim) {
		v.kill()
		v.writeMore(50)
		v.loseVictimsLog()
		v.restarts++
		v.startHurt()
	},
	stoppedPastLease: func(v *victim) {
		_ = v.daemon.Process.Signal(syscall.SIGSTOP)
		until := time.Now().Add(17 * time.Second)
		v.within(time.Minute, "the lease is over", func() bool { return time.Now().After(until) })
		_ = v.daemon.Process.Signal(syscall.SIGCONT)
	},
	diskFull: func(v *victim) {
		ballast := filepath.Join(v.state, "ballast")
		fillVolume(v.t, ballast)
		v.writeMore(200)
		if err := os.Remove(ballast); err != nil {
			v.t.Fatal(err)
		}
	},
	"a second daemon": func(v *victim) {
		first, port, dir := v.daemon, v.port, v.dir
		v.dir, v.port = v.t.TempDir(), freePort(v.t)
		v.define()
		v.startHurt()
		second := v.daemon
		v.writeMore(100)
		_ = first.Process.Kill()
		_ = first.Wait()
		v.writeMore(300)
		_ = second.Process.Kill()
		_ = second.Wait()
		v.dir, v.port = dir, port
		v.restarts++
		v.startHurt()
	},
	"definition changed": func(v *victim) {
		v.variant++
		v.define()
		v.again()
	},
	"stored rows lost": func(v *victim) { // but not events, which are nowhere else
		v.kill()
		if err := os.RemoveAll(filepath.Join(v.state, v.name, "rows")); err != nil {
			v.t.Fatal(err)
		}
		v.restarts++
		v.startHurt()
	},
}

// writeMore waits until so many transactions more are written.
func (v *victim) writeMore(n int64) {
	v.t.Helper()
	at := v.writes.Load() + n
	v.within(5*time.Minute, "the writers go on", func() bool { return v.writes.Load() >= at })
}

func (v *victim) halfOpen(c *cutter) {
	c.gate.Lock()
	defer c.gate.Unlock()
	v.writeMore(int64(100 + v.random.IntN(1500)))
}

// failOver has the replica take the place of a database that has sent it all and is killed.
func (v *victim) failOver() {
	v.without(failedOver) // there is one replica
	v.schema.Lock()
	defer v.schema.Unlock()
	v.replica.catchUp(v.world)
	if err := v.server.Kill(); err != nil {
		v.t.Fatal(err)
	}
	v.replica.promote(v.world)
	v.door.to.Store(&v.replica.Addr)
	v.source.to.Store(&v.replica.Addr)
}

// loseVictimsLog takes away what a daemon that is down would need.
func (v *victim) loseVictimsLog() {
	if v.server.Kind != servers.Postgres { // the replica may need it, too
		v.without(failedOver)
	}
	v.schema.Lock() // what a purge writes meets nobody
	defer v.schema.Unlock()
	switch v.server.Kind {
	case servers.Postgres:
		v.loseLog()
	case servers.MariaDB:
		v.exec("RESET MASTER")
	default:
		v.exec("UPDATE owner SET name = 'lost' WHERE id = 1", "FLUSH BINARY LOGS", "UPDATE owner SET name = 'lost too' WHERE id = 1", "FLUSH BINARY LOGS",
			"PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
	}
}

// copiedOnline is a change of schemas under writers.
const copiedOnline = "copied under writers"

// alter makes a change of schemas.
func (v *victim) alter(name string) {
	if name == copiedOnline {
		v.note("change", name)
		v.copyOnline(onlineCopies[v.random.IntN(len(onlineCopies))])
		return
	}
	c := schemaChanges[name]
	statements := c(v.server.Kind == servers.Postgres, v.random.IntN(1000))
	if len(statements) == 0 {
		return
	}
	v.note("change", name)
	v.schema.Lock() // a copy must miss nothing
	defer v.schema.Unlock()
	v.exec(statements...)
}

// schemaChanges are statements that change what rows mean, or seem to; n is any number.
var schemaChanges = map[string]func(postgres bool, n int) []string{
	"names of two columns swapped": func(bool, int) []string {
		return []string{"ALTER TABLE item RENAME COLUMN word TO third", "ALTER TABLE item RENAME COLUMN other TO word", "ALTER TABLE item RENAME COLUMN third TO other"}
	},
	"dropped and added": func(_ bool, n int) []string {
		return []string{"ALTER TABLE item DROP COLUMN amount", fmt.Sprintf("ALTER TABLE item ADD COLUMN amount int DEFAULT %d", n)}
	},
	"renamed and back": func(bool, int) []string {
		return []string{"ALTER TABLE team RENAME COLUMN name TO away", "UPDATE team SET away = 'away' WHERE id < 4", "ALTER TABLE team RENAME COLUMN away TO name"}
	},
	"a column that nobody uses": func(bool, int) []string {
		return []string{"ALTER TABLE item ADD COLUMN unused int DEFAULT 3", "UPDATE item SET counter = counter + 1 WHERE id < 9", "ALTER TABLE item DROP COLUMN unused"}
	},
	"another type": func(postgres bool, n int) []string {
		if postgres {
			return []string{fmt.Sprintf("ALTER TABLE item ALTER amount TYPE int USING amount %% 1000 + %d", n)}
		}
		return []string{"UPDATE item SET amount = amount % 100", "ALTER TABLE item MODIFY amount tinyint", "ALTER TABLE item MODIFY amount int"}
	},
	"labels of an enum": func(postgres bool, _ int) []string {
		if postgres {
			return []string{"ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'", "UPDATE item SET mood = 'happy' WHERE id % 3 = 0", "ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'"}
		}
		return []string{"UPDATE item SET mood = 'glad' WHERE id % 3 = 0", "ALTER TABLE item MODIFY mood ENUM('mad', 'sad', 'glad')", "ALTER TABLE item MODIFY mood ENUM('sad', 'glad', 'mad')"}
	},
	"truncated": func(bool, int) []string { return []string{"TRUNCATE TABLE label"} },
	"copied and renamed": func(postgres bool, _ int) []string {
		columns := "(id int PRIMARY KEY, item_id int, name varchar(50))"
		return []string{
			"CREATE TABLE label_new " + columns, "INSERT INTO label_new SELECT * FROM label", "INSERT INTO label_new VALUES (1000, 1, 'ghost')",
			"ALTER TABLE label RENAME TO label_old", "ALTER TABLE label_new RENAME TO label", "DELETE FROM label WHERE id = 1000", "DROP TABLE label_old",
		}
	},
	"a partition emptied": func(postgres bool, _ int) []string {
		if postgres {
			return []string{"TRUNCATE TABLE part_a"}
		}
		return []string{"ALTER TABLE part TRUNCATE PARTITION part_a"}
	},
	"a partition gone and made anew": func(postgres bool, n int) []string {
		if postgres {
			return []string{
				"ALTER TABLE part DETACH PARTITION part_b", "DELETE FROM part_b WHERE id % 2 = 0",
				"ALTER TABLE part ATTACH PARTITION part_b FOR VALUES FROM (100) TO (200)",
			}
		}
		return []string{"ALTER TABLE part DROP PARTITION part_b", "ALTER TABLE part ADD PARTITION (PARTITION part_b VALUES LESS THAN (200))", fmt.Sprintf("INSERT INTO part VALUES (%d, 'anew')", 100+n%100)}
	},
}

// onlineCopies are tables, each with what is between its key and its name, and its foreign key.
var onlineCopies = [][3]string{
	{"label", "item_id", ""},
	{"player", "team_id", ", FOREIGN KEY (team_id) REFERENCES team (id) ON DELETE CASCADE ON UPDATE CASCADE"},
}

// copyOnline replaces a table by a copy, as tools for online changes of schemas do: triggers follow what is written
// while it is copied in pieces, then two tables are renamed at once. The copy need not be exact: the table that has
// the name is right.
func (v *victim) copyOnline(of [3]string) {
	named := strings.NewReplacer("$T", of[0], "$P", of[1], "$F", of[2])
	for _, statements := range onlineCopy(v.server.Kind == servers.Postgres) {
		for i := range statements {
			statements[i] = named.Replace(statements[i])
		}
		v.persist(statements)
	}
}

// onlineCopy are the steps, each of statements on one connection.
func onlineCopy(postgres bool) [][]string {
	steps := [][]string{{"CREATE TABLE $T_ghost (id int PRIMARY KEY, $P int, name varchar(50)$F)"}}
	ignore, or := " IGNORE", ""
	if postgres {
		ignore, or = "", " ON CONFLICT DO NOTHING"
		steps = append(steps, []string{
			`CREATE OR REPLACE FUNCTION follow_$T() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF TG_OP <> 'INSERT' THEN DELETE FROM $T_ghost WHERE id = OLD.id; END IF;
				IF TG_OP <> 'DELETE' THEN INSERT INTO $T_ghost SELECT NEW.* ON CONFLICT DO NOTHING; END IF;
				RETURN NULL; END $$`,
			"CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE ON $T FOR EACH ROW EXECUTE FUNCTION follow_$T()",
		})
	} else {
		steps = append(steps, []string{"CREATE TRIGGER $T_inserted AFTER INSERT ON $T FOR EACH ROW REPLACE INTO $T_ghost VALUES (NEW.id, NEW.$P, NEW.name)"},
			[]string{"CREATE TRIGGER $T_updated AFTER UPDATE ON $T FOR EACH ROW REPLACE INTO $T_ghost VALUES (NEW.id, NEW.$P, NEW.name)"},
			[]string{"CREATE TRIGGER $T_deleted AFTER DELETE ON $T FOR EACH ROW DELETE FROM $T_ghost WHERE id = OLD.id"})
	}
	for from := 0; from < 300; from += 50 {
		steps = append(steps, []string{fmt.Sprintf("INSERT%s INTO $T_ghost SELECT * FROM $T WHERE id > %d AND id <= %d%s", ignore, from, from+50, or)})
	}
	if postgres {
		steps = append(steps, []string{"BEGIN", "ALTER TABLE $T RENAME TO $T_old", "ALTER TABLE $T_ghost RENAME TO $T", "DROP TRIGGER follow ON $T_old", "COMMIT"})
	} else {
		steps = append(steps, []string{"RENAME TABLE $T TO $T_old, $T_ghost TO $T"})
	}
	return append(steps, []string{"DROP TABLE $T_old"})
}

// persist runs statements on one connection, and from the first again where they met a writer.
func (v *victim) persist(statements []string) {
	v.t.Helper()
	var err error
	for range 50 {
		if err = v.try(statements); err == nil {
			return
		}
	}
	v.t.Fatal(err)
}

func (v *victim) try(statements []string) error {
	conn, err := v.db.Conn(v.ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // and what it has begun
	for _, statement := range statements {
		if _, err := conn.ExecContext(v.ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
