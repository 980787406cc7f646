package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	redraw     = 500 * time.Millisecond
	lineEvery  = 5 * time.Second
	widest     = 110
	curveWidth = 16
)

// watch shows samples until ctx ends: drawn where out is a terminal, else a line from time to time.
func watch(ctx context.Context, out *os.File, s *sampler) error {
	if width, _ := terminalSize(out); width == 0 {
		return report(ctx, out, s, lineEvery)
	}
	if _, err := io.WriteString(out, enter); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	defer func() { _, _ = io.WriteString(out, leave) }() // the terminal as it was, whatever happened
	return every(ctx, redraw, func() error {
		now := s.take(ctx)
		width, height := terminalSize(out)
		return paint(out, draw(now, s.stage, min(width, widest), height), width, height)
	})
}

// report prints a line at each interval until ctx ends.
func report(ctx context.Context, out io.Writer, s *sampler, interval time.Duration) error {
	return every(ctx, interval, func() error {
		if now := s.take(ctx); ctx.Err() == nil {
			fmt.Fprintln(out, now.line())
		}
		return nil
	})
}

// every does something now and at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func() error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// draw lays the sample out for a screen. The charts and the search share what height the rest leaves.
func draw(s sample, on *stage, width, height int) []string {
	lines := header(s, on, width)
	lines = append(lines, tables(s)...)
	lines = append(lines, "", pulse(s), "")
	footer := foot(s, on)
	free := height - len(lines) - len(footer) - 1
	rows := min(max((free-3)*3/5, 3), days)
	hits := min(max((free-rows-3)/2, 1), mostHits)
	half := (width - 6) / 2
	byDay := chart("Notes per day", "date_histogram", s.days, 11, half, rows)
	byAuthor := chart("Notes by author", "terms, mget", s.authors, 18, half, rows)
	for i := range byDay {
		lines = append(lines, "  "+left(byDay[i], half)+"  "+left(byAuthor[i], half))
	}
	lines = append(lines, "")
	lines = append(lines, hitLines(s.found, hits)...)
	for len(lines) < height-len(footer) {
		lines = append(lines, "")
	}
	return append(lines[:max(0, min(len(lines), height-len(footer)))], footer...)
}

func header(s sample, on *stage, width int) []string {
	version, _, _ := strings.Cut(s.status.Source.Version, "-") // MariaDB's goes on with who has built it
	title := "  " + bold + "Haystream" + reset + dim + "  a live copy of " + on.db.product + " " + version + " in Elasticsearch " + s.status.Sink.Version + reset
	return []string{"", left(title, width-10) + right(dim+clock(s.elapsed)+reset, 8), ""}
}

func tables(s sample) []string {
	lines := []string{dim + fmt.Sprintf("  %-21s%6s  %9s  %-8s%9s%8s%13s", "table", "rows", "documents", "index", "written", "deleted", "dead letters") + reset}
	for _, t := range s.tables {
		name := t.table
		if t.where != everyRow {
			name += ", " + t.where
		}
		sign, colour := "≈", yellow
		switch {
		case t.rows == unknown || t.documents == unknown:
			sign = " "
		case t.rows == t.documents:
			sign, colour = "=", green
		}
		lines = append(lines, fmt.Sprintf("  %-21s%6s %s%s%s%9s  %-8s%s", name, amount(t.rows), colour, sign, reset, amount(t.documents), t.index, progress(t.indexStatus)))
	}
	return lines
}

// progress is what the daemon has done for an index.
func progress(i indexStatus) string {
	if state := i.Snapshot.State; state != "" && state != snapshotDone {
		return yellow + right(fmt.Sprintf("snapshot: %s of %s rows", amount(i.Snapshot.RowsDone), amount(i.Snapshot.RowsEstimated)), 30) + reset
	}
	dead := right(amount(i.DeadLetters), 13)
	if i.DeadLetters > 0 {
		dead = red + dead + reset
	}
	return fmt.Sprintf("%9s%8s", amount(i.Written), amount(i.Deleted)) + dead
}

// pulse is what changes all the time.
func pulse(s sample) string {
	return fmt.Sprintf("  %swrites%s %8s  %s%s%s   %slag%s %8s  %s%s%s",
		dim, reset, amount(int64(newest(s.writes)))+"/s", cyan, curve(s.writes, curveWidth), reset,
		dim, reset, seconds(newest(s.lags)), cyan, curve(s.lags, curveWidth), reset)
}

// chart draws the first bars below their title, with their labels in so many columns.
func chart(title, query string, bars []bar, label, width, rows int) []string {
	lines := []string{bold + title + reset + dim + "  " + query + reset}
	var highest int64 = 1
	for _, b := range bars {
		highest = max(highest, b.count)
	}
	room := width - label - 9
	for i := range rows {
		if i >= len(bars) {
			lines = append(lines, "")
			continue
		}
		b := bars[i]
		lines = append(lines, left(b.label, label)+" "+cyan+beam(float64(b.count)/float64(highest), room)+reset+right(amount(b.count), 7))
	}
	return lines
}

// hitLines are a search and the notes that it found, with the words that were found in another colour.
func hitLines(f found, most int) []string {
	lines := []string{fmt.Sprintf("  %sSearch%s  %s“%s”%s  %s%s notes in %d ms%s", bold, reset, yellow, f.words, reset, dim, amount(f.total), f.took, reset)}
	marks := strings.NewReplacer(hitStart, yellow+bold, hitEnd, reset)
	for _, n := range f.notes[:min(len(f.notes), most)] {
		lines = append(lines, "  "+n.title, "    "+marks.Replace(n.fragment))
	}
	return lines
}

// foot is where people find what the demo shows, and what is wrong.
func foot(s sample, on *stage) []string {
	var lines []string
	if len(s.problems) > 0 {
		lines = append(lines, "  "+red+strings.ReplaceAll(s.problems[0], "\n", " ")+reset)
	}
	if on.button != "" {
		lines = append(lines, fmt.Sprintf("  %sa button %s   dashboards %s%s", dim, on.button, on.boards, reset))
	}
	return append(lines, fmt.Sprintf("  %sCtrl-C ends it all   %s   %s/notes/_search%s", dim, on.page(), on.elastic, reset))
}
