package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// debianPostgres returns the home of Debian's own package, installed first where that is wanted and possible; empty: there is none.
func debianPostgres(ctx context.Context, store cache, version string, wanted bool) string {
	home := filepath.Join("/usr/lib/postgresql", version)
	present := func() bool {
		_, err := os.Stat(filepath.Join(home, "bin", "postgres"))
		return err == nil
	}
	if present() {
		return home
	}
	if wanted && os.Geteuid() == 0 && installPostgres(ctx, store, "postgresql-"+version) == nil && present() {
		return home
	}
	return ""
}

// installPostgres installs the package but not the database that it makes and starts of itself.
func installPostgres(ctx context.Context, store cache, debian string) error {
	const dir = "/etc/postgresql-common/createcluster.d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("configure %s: %w", debian, err)
	}
	path := filepath.Join(dir, "haystream.conf")
	if err := os.WriteFile(path, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return fmt.Errorf("configure %s: %w", debian, err)
	}
	return errors.Join(install(ctx, store, debian), os.Remove(path))
}

// preparePostgres copies an initialised data directory, which is quicker than to make one.
func (s *Server) preparePostgres(ctx context.Context, home string) error {
	bin := filepath.Join(home, "bin")
	others, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	s.program = program{
		bin:   append([]string{bin}, others...),
		env:   []string{"HOME=" + s.run, "LC_ALL=C.UTF-8"},
		stop:  syscall.SIGINT,
		abort: syscall.SIGQUIT,
		ready: func(context.Context) bool { return s.postmaster(pidFileStatus) == "ready" },
	}
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err == nil {
		return nil
	}
	template, err := postgresTemplate(ctx, bin)
	if err != nil {
		return err
	}
	return copyTemplate(ctx, template, s.data)
}

// postgresTemplate initialises a data directory once per version and user.
func postgresTemplate(ctx context.Context, bin string) (string, error) {
	store, err := openCache()
	if err != nil {
		return "", err
	}
	postgres := filepath.Join(bin, "postgres")
	version, err := exec.CommandContext(ctx, postgres, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask PostgreSQL's version: %w", err)
	}
	fields := strings.Fields(string(version)) // postgres (PostgreSQL) 15.8 (Debian 15.8-1)
	if len(fields) < 3 {
		return "", fmt.Errorf("ask PostgreSQL's version: answer %q", version)
	}
	name := fmt.Sprintf("postgres-data-%s-%d", fields[2], os.Geteuid())
	dir, err := store.entry(ctx, name, func(ctx context.Context, dir string) error {
		data := filepath.Join(dir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		if err := own(data); err != nil {
			return err
		}
		return runAsServer(ctx, filepath.Join(bin, "initdb"), "--no-sync", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
	})
	if err != nil {
		return "", fmt.Errorf("initialise data directory: %w", err)
	}
	return filepath.Join(dir, "data"), nil
}

// configurePostgres sets the command line for s.port. Later arguments win, so that the spec's override ours.
func (s *Server) configurePostgres() {
	s.URL = fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", s.Addr)
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(s.port),
		"unix_socket_directories=",        // its path may be too long for a socket
		"dynamic_shared_memory_type=mmap", // in the data directory: a killed server leaves nothing in /dev/shm
		"wal_level=logical",
		"max_replication_slots=20",
		"max_wal_senders=20",
		"fsync=off",
	}
	s.program.args = []string{filepath.Join(s.program.bin[0], "postgres"), "-D", s.data}
	for _, setting := range settings {
		s.program.args = append(s.program.args, "-c", setting)
	}
	s.program.args = append(s.program.args, s.Args...)
}

// Lines of postmaster.pid, counted from 0 (PostgreSQL's src/include/utils/pidfile.h).
const (
	pidFilePID    = 0
	pidFileShm    = 6 // key and identifier
	pidFileStatus = 7
)

// postmaster returns a line of the server's own pid file; empty: it is not there.
func (s *Server) postmaster(line int) string {
	text, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	if line >= len(lines) || lines[pidFilePID] != strconv.Itoa(s.process.pid) {
		return ""
	}
	return strings.TrimSpace(lines[line])
}

// removeSharedMemory removes the small System V segment that a killed server leaves until its next start.
func (s *Server) removeSharedMemory() {
	if s.process == nil {
		return
	}
	fields := strings.Fields(s.postmaster(pidFileShm))
	if len(fields) != 2 {
		return
	}
	if id, err := strconv.Atoi(fields[1]); err == nil {
		_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
}
