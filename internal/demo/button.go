package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	pressesIndex = "presses" // also the name of the events
	pressPace    = 150 * time.Millisecond
	buttonListen = "127.0.0.1:9601"
)

// button is a page with a button. Each press of it is an event, which is in no table, and so is each that readers make by themselves.
type button struct {
	events string // where the daemon takes them
	page   string // the daemon's
	token  string

	mu    sync.Mutex
	sent  map[string]bool // ids of events that were pushed
	taken map[string]bool // and of those that the daemon has answered with 202
}

func newButton(s *stage) *button {
	return &button{events: s.page() + "events/" + pressesIndex, page: s.page(), token: s.token, sent: map[string]bool{}, taken: map[string]bool{}}
}

// run has readers press until ctx ends.
func (b *button) run(ctx context.Context) error {
	w := newWriter(99)
	ticker := time.NewTicker(pressPace)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := b.press(ctx, w.person(1+w.IntN(seedUsers)).username); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// press pushes an event until it is taken: under one id, so that a repeat is harmless.
func (b *button) press(ctx context.Context, user string) error {
	id := uuid.NewString()
	body := fmt.Sprintf(`{"id": %q, "user": %q, "action": "press_a_button"}`, id, user)
	b.note(b.sent, id)
	err := poll(ctx, func() (bool, error) { return b.push(ctx, body) })
	if err == nil {
		b.note(b.taken, id)
	}
	return err
}

func (b *button) note(in map[string]bool, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in[id] = true
}

// push reports whether the event was taken. Where it was not, it is to be pushed again; an error says that this helps nothing.
func (b *button) push(ctx context.Context, body string) (taken bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.events, strings.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	authorize(request, b.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, nil // the daemon is down
	}
	defer response.Body.Close()
	switch code := response.StatusCode; {
	case code == http.StatusAccepted:
		return true, nil
	case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return false, nil
	}
	return false, fmt.Errorf("push an event to %s: %s", b.events, response.Status)
}

// presses is how many were taken.
func (b *button) presses() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.taken)
}

// check waits until the index has the events, and says what it lacks, and what it has that was never pushed.
func (b *button) check(ctx context.Context, s *search) (result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTimeout, fmt.Errorf("not delivered in %s", catchUpTimeout))
	defer cancel()
	b.mu.Lock()
	sent, taken := maps.Clone(b.sent), maps.Clone(b.taken)
	b.mu.Unlock()
	r := result{truth: truth{index: pressesIndex, table: "events"}}
	err := poll(ctx, func() (bool, error) {
		n, err := s.count(ctx, pressesIndex)
		if errors.Is(err, errNoIndex) || errors.Is(err, errStarting) {
			err = nil
		}
		return n >= int64(len(taken)), err
	})
	if err != nil {
		return r, fmt.Errorf("wait for events: %w", err)
	}
	found, err := s.documents(ctx, pressesIndex)
	if err != nil {
		return r, err
	}
	r.documents = len(found)
	for id := range taken {
		if found[id] == nil {
			r.missing = append(r.missing, id)
		}
	}
	for id := range found {
		if !sent[id] {
			r.extra = append(r.extra, id)
		}
	}
	return r, nil
}

var buttonPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>A button</title>
<style>body{font:1.2rem system-ui;margin:15vh auto;max-width:24em;text-align:center;color-scheme:light dark}button{font:inherit;padding:1em 2em}</style>
<form method="post"><button autofocus>Press a button</button></form>
<p>Presses that were taken: {{.Presses}}. <a href="{{.Page}}">The page</a> counts what is in the index.</p>
</html>
`))

// listen opens the page's usual address, or another where that one is taken.
func (b *button) listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	for _, address := range []string{buttonListen, "127.0.0.1:0"} {
		if listener, err := config.Listen(ctx, "tcp", address); err == nil {
			return listener, nil
		}
	}
	return nil, errors.New("find a free port for the page with a button")
}

// serve shows the page until ctx ends.
func (b *button) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the page with a button: %w", err)
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (b *button) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		if err := b.press(ctx, "guest"); err != nil {
			http.Error(w, "the daemon takes no event: "+err.Error(), http.StatusBadGateway)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	_ = buttonPage.Execute(w, map[string]any{"Presses": b.presses(), "Page": b.page}) // the guest went away
}
