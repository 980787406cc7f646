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
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"haystream/replicator/config"
	"haystream/replicator/widgets"
)

// A Daemon is asked for each request, by several goroutines at once, and never blocks.
type Daemon interface {
	Status() Status

	// NotReady lists why the daemon is not ready; empty when it is.
	NotReady() []Trouble

	// Unhealthy says why the process does not do its work; empty while it does.
	Unhealthy() string
}

// A Server answers GET /healthz, /readyz, /metrics and /status, takes events, and shows the page and widgets.
type Server struct {
	listener net.Listener
	http     http.Server
	daemon   Daemon
	door     *eventDoor
	operator Operator
	board    *widgets.Board
	front    *front
	lives    chan struct{}   // a place for each page that is live
	serving  context.Context // ends with Serve
	end      context.CancelFunc
	handlers sync.WaitGroup
}

// maxBody bounds the body of a request, other than one with events.
const maxBody = 1 << 20

// Listen opens the port, so that a taken one is told at once. e is nil where no events are taken.
func Listen(ctx context.Context, cfg config.HTTPConfig, d Daemon, e Events, board *widgets.Board, o Operator) (*Server, error) {
	if cfg.Listen == "" {
		return &Server{}, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on http.listen: %w", err)
	}
	s := newServer(d, e, board)
	s.operator = o
	s.listener = l
	s.prepare(cfg)
	return s, nil
}

// prepare sets what the server answers, and how long a client may take.
func (s *Server) prepare(cfg config.HTTPConfig) {
	s.http = http.Server{
		Handler: guarded(cfg, s.handler()), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

func newServer(d Daemon, e Events, board *widgets.Board) *Server {
	door := newEventDoor(e)
	if e != nil {
		d = counted{d, door}
	}
	s := &Server{daemon: d, door: door, board: board, front: &front{daemon: d, board: board}, lives: make(chan struct{}, mostLive)}
	s.serving, s.end = context.WithCancel(context.Background())
	return s
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	s.handlers.Go(func() { s.front.history.follow(s.serving, s.daemon) })
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = s.http.Close() // nobody waits for an answer any more
	})
	err := s.http.Serve(s.listener)
	if !stop() {
		<-closed
	}
	s.end()
	s.handlers.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

func (s *Server) handler() http.Handler {
	d := s.daemon
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
			http.Error(w, strings.Join(Lines(why), "\n"), http.StatusServiceUnavailable)
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
	mux.HandleFunc("GET /{$}", s.front.serve)
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		s.handlers.Add(1)
		defer s.handlers.Done()
		s.live(w, r)
	})
	mux.HandleFunc("GET /widgets", s.listWidgets)
	mux.HandleFunc("GET /widgets/{name}", s.widget)
	s.operations(mux, s.operator)
	all := http.NewServeMux()
	all.Handle("/", http.MaxBytesHandler(mux, maxBody))
	all.Handle("POST /events/{name}", s.door)
	all.HandleFunc("/events/{name}", func(w http.ResponseWriter, _ *http.Request) { // "/" takes any method
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, refusal{Error: "push events with POST"})
	})
	return all
}

// counted adds what the door has refused to what the daemon says.
type counted struct {
	Daemon
	door *eventDoor
}

// Status implements Daemon.
func (c counted) Status() Status {
	st := c.Daemon.Status()
	if st.Events != nil {
		st.Events.Refused["invalid"], st.Events.Refused["standby"], st.Events.Refused["busy"] = c.door.invalid.Load(), c.door.standby.Load(), c.door.busy.Load()
	}
	return st
}
