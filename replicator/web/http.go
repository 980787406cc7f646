// Package web tells people what the daemon does: over HTTP, and how far it has come on its
// terminal. It asks the daemon, and keeps nothing of its own.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"haystream/replicator/config"
)

// A Daemon is asked for each request, by several goroutines at once, and never blocks.
type Daemon interface {
	Status() Status

	// NotReady lists why the daemon is not ready; empty when it is.
	NotReady() []string

	// Unhealthy says why the process does not do its work; empty while it does.
	Unhealthy() string
}

// A Server answers GET /healthz, /readyz, /metrics and /status.
type Server struct {
	listener net.Listener
	http     http.Server
}

// maxBody bounds the body of a request.
const maxBody = 1 << 20

// Listen opens the port, so that a taken one is told at once.
func Listen(ctx context.Context, cfg config.HTTPConfig, d Daemon) (*Server, error) {
	if cfg.Listen == "" {
		return &Server{}, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on http.listen: %w", err)
	}
	return &Server{listener: l, http: http.Server{
		Handler: http.MaxBytesHandler(handler(d), maxBody), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}, nil
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = s.http.Close() // nobody waits for an answer any more
	})
	err := s.http.Serve(s.listener)
	if !stop() {
		<-closed
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

func handler(d Daemon) http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{d}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if why := d.Unhealthy(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := d.NotReady(); len(why) > 0 {
			http.Error(w, strings.Join(why, "\n"), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(d.Status()) // the client went away
	})
	return mux
}
