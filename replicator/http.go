package replicator

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

// A server answers GET /healthz, /readyz, /metrics and /status.
type server struct {
	listener net.Listener
	http     http.Server
}

// maxBody bounds the body of a request.
const maxBody = 1 << 20

// listen opens the port, so that a taken one is told at once.
func listen(ctx context.Context, cfg *config.Config, s *status) (*server, error) {
	if cfg.HTTP.Listen == "" {
		return &server{}, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on http.listen: %w", err)
	}
	return &server{listener: l, http: http.Server{
		Handler: http.MaxBytesHandler(handler(s), maxBody), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}, nil
}

// serve answers until ctx ends.
func (s *server) serve(ctx context.Context) error {
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

func handler(s *status) http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if why := s.unhealthy(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := s.notReady(); len(why) > 0 {
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
		_ = e.Encode(s.Status()) // the client went away
	})
	return mux
}

// unhealthy says why the process does not do its work; empty while it does.
// Waiting for a server that is down is work. What a person must mend is not,
// though the rest goes on.
func (s *status) unhealthy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == "stopped" || s.state == "waiting" && s.mend {
		return s.reason
	}
	return strings.Join(s.forPeople(), "\n")
}
