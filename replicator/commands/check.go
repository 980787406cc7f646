// Package commands does what ends by itself: it checks a configuration, previews documents, removes
// what a pipeline has made, audits what a stopped one has come to. Only Remove changes anything.
package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/inspect"
	"haystream/sinks"
	"haystream/sources"
)

// Check prints a line for each thing that was looked at, and returns an error
// when one of them keeps the pipeline from running. It changes nothing.
func Check(ctx context.Context, cfg *config.Config, file *conf.Source, out io.Writer) error {
	in := &checkup{}
	in.okf("config", "%s: pipeline %s, %s", file.Path, cfg.Name, count(len(cfg.Indexes), "index", "indexes"))
	findings := in.Findings
	for _, part := range cfg.Parts() {
		found, err := checkPart(ctx, part, file)
		if err != nil {
			return err
		}
		for _, f := range found {
			if !slices.Contains(findings, f) { // of the sink
				findings = append(findings, f)
			}
		}
	}
	return report(findings, out)
}

// checkPart looks at both ends of a part.
func checkPart(ctx context.Context, part *config.Config, file *conf.Source) ([]preflight.Finding, error) {
	source, sink, err := part.Open(zerolog.Nop())
	if err != nil {
		return nil, err
	}
	defer source.Close()
	defer sink.Close()
	in := &checkup{inspect.Inspection{Set: part.Set(), Widgets: part.Widgets}}
	in.Adopts, _ = builds.LoadAdoptions(ctx, sink, part.Name) // where the sink cannot be asked, that is told below
	in.checkBoth(ctx, source, sink, part.Checkpoint(), file)
	return in.Findings, nil
}

// A checkup adds what is well to the findings of an inspection.
type checkup struct{ inspect.Inspection }

// checkBoth goes on with one end where the other cannot be looked at.
func (in *checkup) checkBoth(ctx context.Context, source sources.Source, sink sinks.Sink, name string, file *conf.Source) {
	sinkErr := in.ReadSink(ctx, sink)
	sourceErr := in.ReadSource(ctx, source)
	if in.try("source", sourceErr) {
		in.okf("source", "%s at %s", in.Source.Kind, in.Source.Address)
		in.Compile(ctx, source, file)
		in.listStored()
		in.try("source", in.CheckSource(ctx, source))
	}
	if in.try("sink", sinkErr) {
		in.try("sink", in.CheckSink(ctx, sink))
		in.try("checkpoint", in.checkCheckpoint(ctx, sink, name))
	}
}

// checkCheckpoint looks whether run can go on from the saved checkpoint.
func (in *checkup) checkCheckpoint(ctx context.Context, sink sinks.Sink, name string) error {
	data, _, err := sink.LoadCheckpoint(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("load checkpoint: %w", err)
	case data == nil:
		in.okf("checkpoint", "there is none yet")
		return nil
	}
	_, err = builds.ParseCheckpoint(data, name)
	switch {
	case errors.Is(err, builds.ErrNewer):
		return err
	case err != nil:
		in.Findings = append(in.Findings, preflight.Finding{
			Level: preflight.Error, Subject: "checkpoint",
			Text:   "the checkpoint " + name + " is damaged: " + err.Error(),
			Remedy: "put back one that haystream has saved, or let `haystream run` begin anew: it rebuilds every index beside the one that serves, then swaps",
		})
	default:
		in.okf("checkpoint", "is well")
	}
	return nil
}

// storedRow is about what a row of some hundred bytes takes in the row store,
// with its place in an index.
const storedRow = 250

// listStored says which tables are kept in the row store, and why.
func (in *checkup) listStored() {
	if in.Plan == nil {
		return
	}
	for _, t := range in.Plan.Stored {
		size := ""
		if rows := t.Source.EstimatedRows; rows >= 0 {
			size = fmt.Sprintf("; about %s on disk for %s", conf.Bytes(rows*storedRow), count(int(rows), "row", "rows"))
		}
		in.okf("table "+t.Source.String(), "stored: %s%s", strings.Join(t.Why, "; "), size)
	}
}

// okf adds a finding that is well.
func (in *checkup) okf(subject, format string, args ...any) {
	in.Findings = append(in.Findings, preflight.Finding{Level: preflight.OK, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// try turns an error into a finding and reports whether there was none.
func (in *checkup) try(subject string, err error) bool {
	if err != nil {
		in.Findings = append(in.Findings, preflight.Finding{Level: preflight.Error, Subject: subject, Text: err.Error()})
	}
	return err == nil
}

// report prints findings in columns.
func report(findings []preflight.Finding, out io.Writer) error {
	width := 0
	for _, f := range findings {
		if len(f.Subject) <= maxSubject {
			width = max(width, len(f.Subject))
		}
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "%-7s  %-*s  %s\n", f.Level, width, preflight.OneLine(f.Subject), f.Message()); err != nil {
			return fmt.Errorf("print findings: %w", err)
		}
	}
	if errs := preflight.Errors(findings); len(errs) > 0 {
		return fmt.Errorf("check found %s", count(len(errs), "error", "errors"))
	}
	return nil
}

// maxSubject is the widest subject that others are aligned to.
const maxSubject = 32

// count is a number of things, in words.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Explain adds to the mistakes found in the files those that only the catalog
// tells, such as a missing column, so that all are known at once. It connects
// where the source's settings are sound, reads, and changes nothing.
func Explain(ctx context.Context, cfg *config.Config, file *conf.Source, errs conf.Errors) conf.Errors {
	if !config.ReachesSource(file, errs) || cfg.Part(false) == nil {
		return errs
	}
	source, err := cfg.OpenSource(zerolog.Nop())
	if err != nil {
		return errs
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	in := &inspect.Inspection{}
	if in.ReadSource(ctx, source) != nil {
		return errs
	}
	return cfg.Explain(file, errs, func(set mapping.Set) error {
		plan, err := inspect.CompileExplained(ctx, source, mapping.Options{Rules: cfg.Sink.Rules()}, in.Catalog, set)
		if err != nil {
			return err
		}
		return cfg.Widgets.Fit(set, plan.Sets[0]).Err()
	})
}

// explainTimeout bounds how long a config's mistakes wait for the catalog.
const explainTimeout = 5 * time.Second
