package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	peakTarget = 100 // MiB
	million    = 1_000_000
)

// A result compares the daemon with a baseline over the same rows, if there is one.
type result struct {
	database  string
	what      string
	baseline  string
	ours      []measured // of the daemon
	theirs    []time.Duration
	ratio     float64 // wanted at least; 0: no target
	least     float64 // documents per second, wanted at least; 0: no target
	cpu       float64 // seconds per million rows, wanted at most; 0: no target
	documents int     // in each run
}

// measured is one run of the daemon.
type measured struct {
	took    time.Duration
	startup time.Duration // part of took
	cpu     time.Duration
	peak    int64 // bytes
}

// A latency is how long commits took to be readable.
type latency struct {
	what    string
	samples []time.Duration
	targets []percentile
}

type percentile struct {
	percent int
	under   time.Duration // 0: no target
}

// A report collects the table.
type report struct {
	results   []result
	latencies []latency
}

// print writes the table. Every figure is the median of its runs, but for the
// peak of memory, which is the highest.
func (r *report) print(out io.Writer, rows int) error {
	if len(r.results) == 0 {
		return nil
	}
	fmt.Fprintf(out, "\n%d rows, medians, start-up included\n\n", rows)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "database\tmeasurement\tbaseline\thaystream/s\tbaseline/s\tratio\ttarget\t\tCPU s/1M\ttarget\t\tpeak MiB\ttarget\t\tstart-up s")
	for i := range r.results {
		r.results[i].print(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	for _, l := range r.latencies {
		l.print(out)
	}
	return nil
}

func (r *result) print(w io.Writer) {
	var took, startup, cpu []time.Duration
	var peak int64
	for _, m := range r.ours {
		took, startup, cpu = append(took, m.took), append(startup, m.startup), append(cpu, m.cpu)
		peak = max(peak, m.peak)
	}
	ours, theirs := rate(r.documents, median(took)), rate(r.documents, median(r.theirs))
	perMillion := median(cpu).Seconds() * million / float64(r.documents)
	cpuTarget, cpuMet := "-", ""
	if r.cpu > 0 {
		cpuTarget, cpuMet = fmt.Sprintf("<= %.0f", r.cpu), verdict(perMillion <= r.cpu)
	}
	ratioTarget, ratioMet := "-", ""
	switch {
	case r.ratio > 0:
		ratioTarget, ratioMet = fmt.Sprintf(">= %.2f", r.ratio), verdict(ours/theirs >= r.ratio)
	case r.least > 0:
		ratioTarget, ratioMet = fmt.Sprintf(">= %.0f/s", r.least), verdict(ours >= r.least)
	}
	their, ratio := "-", "-"
	if len(r.theirs) > 0 {
		their, ratio = fmt.Sprintf("%.0f", theirs), fmt.Sprintf("%.2f", ours/theirs)
	}
	mib := float64(peak) / (1 << 20)
	fmt.Fprintf(w, "%s\t%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%.1f\t%s\t%s\t%.0f\t< %d\t%s\t%.2f\n",
		r.database, r.what, r.baseline, ours, their, ratio, ratioTarget, ratioMet,
		perMillion, cpuTarget, cpuMet, mib, peakTarget, verdict(mib < peakTarget), median(startup).Seconds())
}

func (l *latency) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s, %d samples:", l.what, len(l.samples))
	for _, p := range l.targets {
		at := quantile(l.samples, p.percent)
		fmt.Fprintf(out, " p%d %.1f ms", p.percent, at.Seconds()*1000)
		if p.under > 0 {
			fmt.Fprintf(out, " (< %s: %s)", p.under, verdict(at < p.under))
		}
	}
	fmt.Fprintln(out)
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "NOT MET"
}

func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

func median(d []time.Duration) time.Duration { return quantile(d, 50) }

// quantile is the smallest sample that the given percentage does not exceed.
func quantile(d []time.Duration, percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
