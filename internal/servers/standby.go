package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// standbyName is the physical slot from which a standby follows its primary.
const standbyName = "standby"

// Standby copies a running PostgreSQL server, and starts the copy as a physical standby that follows it, for one test. It has
// the primary's arguments and more. Nothing may be writing while it is copied.
func Standby(t testing.TB, primary *Server, args ...string) *Server {
	t.Helper()
	dir := filepath.Join(primary.run, standbyName) // goes with the primary, which is stopped after the standby
	if err := copyPrimary(t.Context(), primary, dir); err != nil {
		t.Fatalf("copy %s for a standby: %v", primary.Spec, err)
	}
	return Test(t, Spec{Kind: Postgres, Version: primary.Version, Dir: dir, Args: slices.Concat(primary.Args, args)})
}

// copyPrimary copies the data directory as pg_basebackup does, which not every download has.
func copyPrimary(ctx context.Context, primary *Server, dir string) error {
	conn, err := pgx.Connect(ctx, primary.URL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"SELECT pg_create_physical_replication_slot('" + standbyName + "', true)", "SELECT pg_backup_start('standby', true)"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", primary.data, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label); err != nil {
		return err
	}
	slots, err := filepath.Glob(filepath.Join(dir, "pg_replslot", "*"))
	if err != nil {
		return err
	}
	for _, path := range append(slots, filepath.Join(dir, "postmaster.pid")) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	// Not among the arguments: those could not be changed while it runs.
	settings := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres dbname=postgres'\nprimary_slot_name = '%s'\nhot_standby_feedback = on\n", primary.port, standbyName)
	for name, text := range map[string]string{"backup_label": label, "standby.signal": "", "postgresql.auto.conf": settings} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		if err := own(path); err != nil {
			return err
		}
	}
	return nil
}
