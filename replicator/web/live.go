package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	mostLive  = 100 // pages that are told of changes at a time
	liveWrite = 10 * time.Second
)

// live tells an open page what has changed, as server-sent events, until the page or the
// server goes. Each message is a JSON object of HTML by the id of its element.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	select {
	case s.lives <- struct{}{}:
		defer func() { <-s.lives }()
	default:
		w.Header().Set("Retry-After", "30")
		http.Error(w, fmt.Sprintf("%d pages are live already; close some", mostLive), http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.serving, cancel)()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of nginx, which would wait for more
	conn := http.NewResponseController(w)
	sent := map[string]string{}
	tick := time.NewTicker(pageEvery)
	defer tick.Stop()
	for {
		_, now, err := s.front.look(ctx)
		if err != nil || s.tell(w, conn, now, sent) != nil {
			return // the client went away
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell sends the parts that differ from those that were sent.
func (s *Server) tell(w http.ResponseWriter, conn *http.ResponseController, now, sent map[string]string) error {
	changed := map[string]string{}
	for id, html := range now {
		if old, ok := sent[id]; !ok || old != html {
			changed[id], sent[id] = html, html
		}
	}
	message, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	// Each message has its own time: that of the server is for whole answers.
	if err := conn.SetWriteDeadline(time.Now().Add(liveWrite)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "data: %s\n\n", message); err != nil {
		return err
	}
	return conn.Flush()
}
