package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"haystream/internal/servers"
)

// stage is what the demo plays on: a database, Elasticsearch and the daemon, its own or those that it was given.
type stage struct {
	postgres string // URLs
	elastic  string
	status   string

	daemon  *daemon // nil: somebody else runs it
	servers []*servers.Server
	dir     string
}

// outside is the stage whose parts other people started.
func outside(o options) (*stage, error) {
	if o.postgres == "" || o.elastic == "" {
		return nil, errors.New("an outside database and an outside Elasticsearch come together: set both DEMO_POSTGRES_URL and DEMO_ES_URL")
	}
	if o.check && o.status == "" {
		return nil, errors.New("to check an outside daemon, say where its status is: set DEMO_STATUS_URL")
	}
	return &stage{postgres: o.postgres, elastic: o.elastic, status: o.status}, nil
}

// inside starts everything. The daemon is only built; its run is the caller's.
func inside(ctx context.Context, o options) (*stage, error) {
	dir, err := os.MkdirTemp("", "haystream-demo-")
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	s := &stage{dir: dir}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context, o options) error {
	var postgres, elastic *servers.Server
	var binary string
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		postgres, err = startPostgres(ctx, o.versions)
		return err
	})
	g.Go(func() (err error) {
		elastic, err = servers.Start(ctx, servers.Spec{Kind: servers.Elasticsearch, Version: "8.19"})
		return err
	})
	g.Go(func() (err error) {
		binary, err = build(ctx, s.dir)
		return err
	})
	err := g.Wait()
	for _, server := range []*servers.Server{postgres, elastic} {
		if server != nil {
			s.servers = append(s.servers, server)
		}
	}
	if err != nil {
		return err
	}
	listen, err := freeListen()
	if err != nil {
		return err
	}
	s.postgres, s.elastic, s.status = postgres.URL, elastic.URL, "http://"+listen+"/status"
	s.daemon = &daemon{binary: binary, config: o.config, dir: s.dir, env: []string{
		"DEMO_POSTGRES_URL=" + s.postgres, "DEMO_ES_URL=" + s.elastic, "DEMO_LISTEN=" + listen, "DEMO_STATE=" + s.dir + "/state",
	}}
	return nil
}

// startPostgres takes the first version that can be had.
func startPostgres(ctx context.Context, versions []string) (*servers.Server, error) {
	var server *servers.Server
	var err error
	for _, version := range versions {
		server, err = servers.Start(ctx, servers.Spec{Kind: servers.Postgres, Version: version})
		if !servers.Optional(err) {
			break
		}
	}
	return server, err
}

// close stops the servers and removes the files.
func (s *stage) close() error {
	var all error
	for _, server := range s.servers {
		all = errors.Join(all, server.Stop())
	}
	if s.dir != "" {
		all = errors.Join(all, os.RemoveAll(s.dir))
	}
	return all
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
