package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The rates that events are to be taken at, a second.
const (
	eventsTarget = 20_000 // in requests of 100
	singleTarget = 2_000  // one by one, over 50 connections
)

// events measures how fast the daemon takes events, each of about 130 bytes, and delivers them meanwhile into
// nothing: no database takes part. CPU time and memory are until all is delivered.
func (b *bench) events(ctx context.Context) error {
	one := `{"user":"user 1234","action":"press_a_button","page":"/orders/2026/11/","amount":12.50,"address":{"city":"Rome","zip":"00118"}}`
	for _, m := range []struct {
		what                  string
		connections, size, of int
		least                 float64
	}{
		{"events, requests of 100", 8, 100, b.rows, eventsTarget},
		{"events, one by one", 50, 1, b.rows / 20, singleTarget},
	} {
		body := "[" + strings.Repeat(one+",", m.size-1) + one + "]"
		r := result{database: "events", what: m.what, baseline: "-", documents: m.of, least: m.least}
		for round := range rounds {
			took, err := b.push(ctx, fmt.Sprintf("events_%d_%d", m.size, round), body, m.connections, m.size, m.of)
			if err != nil {
				return err
			}
			r.ours = append(r.ours, took)
		}
		b.report.results = append(b.report.results, r)
	}
	return nil
}

// push measures one run.
func (b *bench) push(ctx context.Context, name, body string, connections, size, of int) (m measured, err error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return m, err
	}
	d := &daemon{name: name, dir: filepath.Join(b.dir, name), binary: b.binary, listen: listen}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return m, fmt.Errorf("make directory: %w", err)
	}
	text := fmt.Sprintf("name: %s\nsink: {ndjson: {path: /dev/null}}\nhttp: {listen: %s}\nindexes: {clicks: {events: {}, fields: {user: {type: keyword}, action: {type: keyword}, city: {from: address.city, type: keyword}}}}\n", name, listen)
	if err := os.WriteFile(filepath.Join(d.dir, "config.yaml"), []byte(text), 0o600); err != nil {
		return m, fmt.Errorf("write configuration: %w", err)
	}
	if err := d.start(ctx); err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if _, err := d.await(ctx, func(context.Context) (bool, error) { return true, nil }); err != nil {
		return m, err
	}
	began := time.Now()
	if err := pushAll(ctx, "http://"+listen+"/events/clicks", body, connections, of/size); err != nil {
		return m, d.failed(err)
	}
	took := time.Since(began)
	m, err = d.await(ctx, func(ctx context.Context) (bool, error) {
		var s struct {
			Events struct{ Accepted, Waiting int }
		}
		err := getJSON(ctx, "http://"+listen+"/status", &s)
		return s.Events.Accepted == of/size*size && s.Events.Waiting == 0, err
	})
	m.took, m.startup = took, 0
	note("%s: %d events in %.2f s, %.2f s of CPU", name, of, took.Seconds(), m.cpu.Seconds())
	return m, err
}

// pushAll sends a number of requests over some connections.
func pushAll(ctx context.Context, url, body string, connections, requests int) error {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	var sent atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range connections {
		g.Go(func() error {
			for sent.Add(1) <= int64(requests) {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
				if err != nil {
					return fmt.Errorf("push: %w", err)
				}
				r.Header.Set("Content-Type", "application/json")
				answer, err := client.Do(r)
				if err != nil {
					return fmt.Errorf("push: %w", err)
				}
				text, err := io.ReadAll(answer.Body)
				if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusAccepted {
					return fmt.Errorf("push: %s %s %w", answer.Status, text, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}
