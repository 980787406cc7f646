package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	memory      = 40 // samples that the small curves show
	rateSpan    = 4  // samples that a rate is taken over
	searchSpan  = 5 * time.Second
	askTimeout  = 5 * time.Second
	mostAuthors = 14
	mostHits    = 5
	unknown     = -1
)

// sample is everything that the view shows, at one moment.
type sample struct {
	elapsed  time.Duration
	tables   []tableSample
	status   status
	writes   []float64 // rows per second, the newest last
	lags     []float64 // seconds
	days     []bar
	authors  []bar
	found    found
	problems []string
}

// tableSample counts a table's rows that belong into its index, and the documents that are there.
type tableSample struct {
	truth
	rows, documents int64 // unknown where they could not be counted
	indexStatus
}

// sampler takes samples. Not for more than one goroutine.
type sampler struct {
	stage   *stage
	search  *search
	load    *load
	started time.Time

	met    bool // the daemon has answered once
	totals []total
	lags   []float64
	writes []float64
}

// total is the load's counter at a moment.
type total struct {
	at   time.Time
	rows int64
}

func newSampler(s *stage, l *load) *sampler {
	return &sampler{stage: s, search: newSearch(s.elastic), load: l, started: time.Now()}
}

// take never fails: what could not be asked is among the problems.
func (s *sampler) take(ctx context.Context) sample {
	now := sample{elapsed: time.Since(s.started)}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if s.stage.status != "" {
		s.askDaemon(ctx, &now)
	}
	s.countTables(ctx, &now)
	var err error
	now.days, err = s.search.notesPerDay(ctx)
	now.note(err)
	now.authors, err = s.search.notesByAuthor(ctx, mostAuthors)
	now.note(err)
	words := searches()
	now.found, err = s.search.fullText(ctx, words[int(now.elapsed/searchSpan)%len(words)], mostHits)
	now.note(err)
	s.remember(now.status)
	now.writes, now.lags = s.writes, s.lags
	return now
}

// note adds the error to the problems, once, unless it passes by itself or only says that the demo is ending.
func (s *sample) note(err error) {
	if err == nil || errors.Is(err, errNoIndex) || errors.Is(err, errStarting) || errors.Is(err, context.Canceled) {
		return
	}
	if text := err.Error(); !slices.Contains(s.problems, text) {
		s.problems = append(s.problems, text)
	}
}

func (s *sampler) askDaemon(ctx context.Context, now *sample) {
	st, err := readStatus(ctx, s.stage)
	now.status = st
	s.met = s.met || err == nil
	switch {
	case err != nil && !s.met:
		now.note(errors.New("waiting for the daemon to start"))
	case err != nil:
		now.note(err)
	case st.State != "running" && st.Reason != "":
		now.note(fmt.Errorf("the daemon is %s: %s", st.State, st.Reason))
	}
}

// countTables counts rows and documents.
func (s *sampler) countTables(ctx context.Context, now *sample) {
	var down error
	for _, t := range truths() {
		table := tableSample{truth: t, rows: unknown, documents: unknown, indexStatus: now.status.index(t.index)}
		if down == nil {
			down = s.stage.db.QueryRowContext(ctx, "SELECT count(*) FROM "+t.table+" WHERE "+t.where).Scan(&table.rows)
			now.note(down)
		}
		n, err := s.search.count(ctx, t.index)
		if err == nil {
			table.documents = n
		}
		now.note(err)
		now.tables = append(now.tables, table)
	}
}

// remember keeps the last values of what changes quickly.
func (s *sampler) remember(st status) {
	now := total{time.Now(), s.load.writes.Load()}
	s.totals = last(append(s.totals, now), rateSpan+1)
	if first := s.totals[0]; now.at.After(first.at) {
		s.writes = last(append(s.writes, float64(now.rows-first.rows)/now.at.Sub(first.at).Seconds()), memory)
	}
	if st.State != "" {
		s.lags = last(append(s.lags, st.Source.LagSeconds), memory)
	}
}

// last is the end of the list, at most n long.
func last[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// line is the sample in words, where there is no terminal to draw on.
func (s *sample) line() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%5.1fs", s.elapsed.Seconds())
	var dead int64
	for _, t := range s.tables {
		fmt.Fprintf(&text, "  %s %s/%s", t.index, amount(t.documents), amount(t.rows))
		dead += t.DeadLetters
	}
	fmt.Fprintf(&text, "  writes %s/s  lag %s  dead letters %d", amount(int64(newest(s.writes))), seconds(newest(s.lags)), dead)
	for _, p := range s.problems {
		text.WriteString("\n        " + p)
	}
	return text.String()
}

func newest(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1]
}
