package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"haystream/internal/servers"
)

// stage is what the demo plays on: a database, Elasticsearch and the daemon, its own or those that it was given.
type stage struct {
	db      *database
	elastic string // URLs
	status  string
	token   string // of the daemon; empty where it asks for none
	button  string // URL of the page with a button; empty where there is none
	boards  string // file with dashboards; the same

	daemon  *daemon // nil: somebody else runs it
	servers []*servers.Server
	dir     string
	lock    *os.File // held on dir
}

// outside is the stage whose parts other people started.
func outside(o options) (*stage, error) {
	if o.database == "" || o.elastic == "" {
		return nil, errors.New("an outside database and an outside Elasticsearch come together: set both DEMO_DATABASE_URL and DEMO_ES_URL")
	}
	if o.check && o.status == "" {
		return nil, errors.New("to check an outside daemon, say where its status is: set DEMO_STATUS_URL")
	}
	db, err := openDatabase(o.database)
	if err != nil {
		return nil, err
	}
	return &stage{db: db, elastic: o.elastic, status: o.status, token: o.token}, nil
}

// page is the daemon's.
func (s *stage) page() string { return strings.TrimSuffix(s.status, "status") }

// inside starts everything. The daemon is only built; its run is the caller's.
func inside(ctx context.Context, o options) (*stage, error) {
	s := &stage{}
	var err error
	if s.dir, s.lock, err = newDir(os.TempDir()); err != nil {
		return nil, err
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context, o options) error {
	var base, elastic *servers.Server
	var binary string
	g, starting := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		base, err = startDatabase(starting, o)
		return err
	})
	g.Go(func() (err error) {
		elastic, err = servers.Start(starting, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
		return err
	})
	g.Go(func() (err error) {
		binary, err = build(starting, s.dir)
		return err
	})
	err := g.Wait()
	for _, server := range []*servers.Server{base, elastic} {
		if server != nil {
			s.servers = append(s.servers, server)
		}
	}
	if err != nil {
		return err
	}
	own, daemons, err := furnish(ctx, base.URL)
	if err != nil {
		return err
	}
	if s.db, err = openDatabase(own); err != nil {
		return err
	}
	listen, err := freeListen(ctx)
	if err != nil {
		return err
	}
	s.elastic, s.status = elastic.URL, "http://"+listen+"/status"
	s.daemon = &daemon{binary: binary, config: o.config, dir: s.dir, env: []string{
		"DEMO_DATABASE_URL=" + daemons, "DEMO_ES_URL=" + s.elastic, "DEMO_LISTEN=" + listen, "DEMO_STATE=" + s.dir + "/state",
	}}
	return nil
}

// startDatabase takes the version that was asked for, or the first one that can be had.
func startDatabase(ctx context.Context, o options) (*servers.Server, error) {
	versions := o.dialect.versions
	if o.version != "" {
		versions = []string{o.version}
	}
	var server *servers.Server
	var err error
	for _, version := range versions {
		server, err = servers.Start(ctx, servers.Spec{Kind: o.kind, Version: version})
		if !servers.Optional(err) {
			break
		}
	}
	return server, err
}

// close stops the servers and removes the files.
func (s *stage) close() error {
	var all error
	if s.db != nil {
		all = s.db.Close()
	}
	for _, server := range s.servers {
		all = errors.Join(all, server.Stop())
	}
	if s.dir != "" {
		all = errors.Join(all, os.RemoveAll(s.dir), s.lock.Close())
	}
	return all
}

// newDir makes a locked directory in temp, and removes those that killed demos have left, whose locks are free.
func newDir(temp string) (string, *os.File, error) {
	const prefix = "haystream-demo-"
	left, _ := filepath.Glob(filepath.Join(temp, prefix+"*"))
	for _, dir := range left {
		if lock, err := lockDir(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
	dir, err := os.MkdirTemp(temp, prefix)
	if err != nil {
		return "", nil, fmt.Errorf("make temporary directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// lockDir locks the directory until the file is closed, at the latest by the end of this process.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// poll waits until the condition holds, or fails, or ctx ends.
func poll(ctx context.Context, condition func() (bool, error)) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if done, err := condition(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
