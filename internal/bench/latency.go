package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	changesPerSecond = 1000
	warmUp           = 5 * time.Second
	observed         = 30 * time.Second
	readers          = 2
	hotRows          = 1000 // that are changed in turn
)

// A commit is a change that is looked for.
type commit struct {
	row, counter int
	at           time.Time // when the database had answered
}

// latency measures how soon a commit can be read by its id while a writer
// commits a steady number of changes a second.
func (b *bench) latency(ctx context.Context, es *search, d *daemon) error {
	note("committing %d changes a second for %s", changesPerSecond, warmUp+observed)
	if err := d.start(ctx); err != nil {
		return err
	}
	running := func(context.Context) (bool, error) { return true, nil }
	if _, err := d.await(ctx, running); err != nil {
		return err
	}
	l := latency{
		what:    fmt.Sprintf("%s: commit to readable by id, %d changes/s", b.product.name, changesPerSecond),
		targets: []percentile{{50, 50 * time.Millisecond}, {95, 0}, {99, 250 * time.Millisecond}},
	}
	var mu sync.Mutex
	began := time.Now()
	watched := make(chan *commit)
	g, reading := errgroup.WithContext(ctx)
	writing, stop := context.WithTimeout(reading, warmUp+observed)
	defer stop()
	g.Go(func() error {
		defer close(watched)
		return b.write(writing, watched)
	})
	for range readers {
		g.Go(func() error {
			for c := range watched {
				took, err := es.find(reading, d.name, c)
				if err != nil {
					return err
				}
				if c.at.Sub(began) > warmUp {
					mu.Lock()
					l.samples = append(l.samples, took)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	b.report.latencies = append(b.report.latencies, l)
	return d.stop()
}

// write commits changes at a steady pace until ctx ends, and hands a commit to
// a reader that waits for one.
func (b *bench) write(ctx context.Context, watched chan<- *commit) error {
	writer, err := b.db.connect(ctx)
	if err != nil {
		return err
	}
	defer writer.close()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 1; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(began) * changesPerSecond / time.Second); n <= due; n++ {
			c := &commit{row: 1 + n%hotRows, counter: million + n}
			if err := writer.exec(ctx, fmt.Sprintf("UPDATE bench SET views = %d WHERE id = %d", c.counter, c.row)); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("write a change: %w", err)
			}
			c.at = time.Now()
			select {
			case watched <- c:
			default:
			}
		}
	}
}

// find asks for the commit's document until it shows the change, and returns
// how long after the commit that was.
func (s *search) find(ctx context.Context, index string, c *commit) (time.Duration, error) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-poll.C:
		}
		answer, err := s.request(ctx, http.MethodGet, "/"+index+"/_source/"+strconv.Itoa(c.row)+"?_source=views", nil)
		if err != nil {
			return 0, err
		}
		var document struct {
			Views int `json:"views"`
		}
		if err := json.Unmarshal(answer, &document); err != nil {
			return 0, fmt.Errorf("decode document: %w", err)
		}
		if document.Views >= c.counter {
			return time.Since(c.at), nil
		}
	}
}
