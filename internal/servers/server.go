// Package servers runs real databases and search servers for the tests, the demo and the benchmark, without a container engine.
//
// Guarantee: a started server answers, listens on loopback only, and ends with the process that started it, in whatever way that
// one ends (kill -9 too); what it wrote to the temporary directory goes with it. Downloads are pinned by checksum, or checked against
// an index that Debian signs, and never taken half-finished; parallel checkouts may share the cache. When a server cannot be had, the error names the command that mends it.
//
// The package owns no goroutine. A small shell, the guard, stands by each server and waits for the end of its parent.
//
// A test asks for a server of its own with Test. Where the start is slow, a package shares one with Shared.
package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The kinds of servers.
const (
	Postgres      = "postgres"
	Elasticsearch = "elasticsearch"
	OpenSearch    = "opensearch"
	MySQL         = "mysql"
	MariaDB       = "mariadb"
)

const (
	startTimeout = 5 * time.Minute // ten seconds, but for a machine that has much else to do
	stopTimeout  = 15 * time.Second
	portAttempts = 3
)

// Spec says which server to start, and how.
type Spec struct {
	Kind    string   // Postgres, Elasticsearch, OpenSearch, MySQL or MariaDB
	Version string   // "15", "8.19"; one that Versions lists for the kind
	Args    []string // more arguments for the server: "-c", "max_slot_wal_keep_size=1MB"
	Secure  bool     // Elasticsearch: TLS, and the user "admin" with the Password
	Dir     string   // data directory to use and to keep; empty: a fresh one, removed by Stop
}

func (s Spec) String() string { return s.Kind + " " + s.Version }

// Server is a started server. Its fields stay as they are; its methods may not be called at the same time.
type Server struct {
	Spec

	URL         string // postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable, http://127.0.0.1:9200, mysql://root@127.0.0.1:3306/
	Addr        string // 127.0.0.1:5432
	Password    string // Secure: of the user "admin"
	CACert      string // Secure: path of the PEM file
	Fingerprint string // Secure: SHA-256 of the authority's certificate, in hex

	run     string // own temporary directory
	lock    *os.File
	data    string
	port    int
	brief   bool // short work: a quick start counts for more than speed
	program program
	process *process
}

// program is what starting, watching and stopping a server takes, whatever its kind.
type program struct {
	bin     []string // folders with its programs, the first one first
	command []string // MySQL and MariaDB: how the command line begins
	args    []string // the whole command line
	env     []string
	stop    syscall.Signal // asks for a clean end
	abort   syscall.Signal // ends it at once, and leaves no children
	ready   func(ctx context.Context) bool
}

// Start fetches the server where needed, starts it and returns when it answers.
// The context limits the start only. The caller owns the server and calls Stop.
func Start(ctx context.Context, spec Spec) (*Server, error) {
	return start(ctx, &Server{Spec: spec})
}

func start(ctx context.Context, s *Server) (*Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout+startTimeout, fmt.Errorf("no answer in %s", fetchTimeout+startTimeout))
	defer cancel()
	home, err := Fetch(ctx, s.Spec)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Spec, err)
	}
	sweep(os.TempDir())
	if s.run, s.lock, err = newRunDir(s.Kind); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Spec, err)
	}
	if err = s.prepare(ctx, home); err == nil {
		err = s.launchOnFreePort(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.Spec, err), s.Stop())
	}
	return s, nil
}

// prepare lays out everything that the server finds on its disk.
func (s *Server) prepare(ctx context.Context, home string) error {
	s.data = s.Dir
	if s.data == "" {
		s.data = filepath.Join(s.run, "data")
	}
	switch s.Kind {
	case Postgres:
		return s.preparePostgres(ctx, home)
	case Elasticsearch, OpenSearch:
		return s.prepareElasticsearch(ctx, home)
	case MySQL, MariaDB:
		return s.prepareMySQL(ctx, home)
	default:
		return fmt.Errorf("unknown kind %q", s.Kind)
	}
}

// launchOnFreePort tries again where another process took the port between its choice and its use.
func (s *Server) launchOnFreePort(ctx context.Context) error {
	var err error
	for range portAttempts {
		if s.port, err = freePort(); err != nil {
			return err
		}
		s.Addr = fmt.Sprintf("127.0.0.1:%d", s.port)
		switch s.Kind {
		case Postgres:
			s.configurePostgres()
		case MySQL, MariaDB:
			s.configureMySQL()
		default:
			s.configureElasticsearch()
		}
		if err = s.launch(ctx); err == nil || !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	return err
}

// launch starts the process on s.port and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	var err error
	if s.process, err = startProcess(s.program, s.run, s.lock); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer in %s", startTimeout))
	defer cancel()
	ended := false
	err = poll(ctx, func() bool {
		ended = s.process.ended()
		return ended || s.program.ready(ctx)
	})
	if err == nil && !ended {
		return nil
	}
	if err == nil {
		err = errors.New("it ended at once")
	}
	err = errors.Join(err, s.process.kill())
	return fmt.Errorf("%w; the end of its log:\n%s", err, s.Log())
}

// Stop ends the server cleanly, by force after some seconds, and removes its temporary directory.
// It may be called after Kill and more than once.
func (s *Server) Stop() error {
	err := s.end()
	if s.Kind == Postgres {
		s.removeSharedMemory()
	}
	err = errors.Join(err, os.RemoveAll(s.run))
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", s.Spec, err)
	}
	return nil
}

// end asks the process to end, and waits.
func (s *Server) end() error {
	if s.process == nil {
		return nil
	}
	s.process.signalTree(syscall.SIGCONT)
	for _, signal := range []syscall.Signal{s.program.stop, s.program.abort} {
		if s.process.end(signal, stopTimeout) {
			return nil
		}
	}
	return s.process.kill()
}

// Kill ends the server with all its children by SIGKILL, as a power cut would. The data stays, for Restart.
func (s *Server) Kill() error {
	if err := s.process.kill(); err != nil {
		return fmt.Errorf("kill %s: %w", s.Spec, err)
	}
	return nil
}

// Restart starts the server again, on the same port and data; a running one is stopped cleanly first.
func (s *Server) Restart(ctx context.Context) error {
	if err := errors.Join(s.end(), s.launch(ctx)); err != nil {
		return fmt.Errorf("restart %s: %w", s.Spec, err)
	}
	return nil
}

// Pause freezes the server with all its children: its connections stay open and answer nothing.
func (s *Server) Pause() { s.process.signalTree(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.process.signalTree(syscall.SIGCONT) }

// Data is the data directory.
func (s *Server) Data() string { return s.data }

// Bin is the path of a program that comes with the server: psql, pg_ctl, pg_recvlogical, elasticsearch-users.
// Where the server's download lacks it, it is looked for in other installed versions, then left to PATH.
func (s *Server) Bin(name string) string {
	for _, dir := range s.program.bin {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return name
}

// Log is the end of what the server has logged.
func (s *Server) Log() string {
	const most = 16000
	text, err := os.ReadFile(filepath.Join(s.run, logName))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
