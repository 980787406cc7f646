package replicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/sinks"
	"haystream/sources"
)

// inspection is what is known of both ends before anything is touched.
type inspection struct {
	source   sources.Info
	sink     sinks.Info
	catalog  []*sources.Table
	homes    map[string]string // of tables named without a schema, as settled before
	plan     *mapping.Plan
	whole    bool          // all that the plan needs is stored
	partial  *mapping.Plan // what can be said of one where there are problems
	findings []preflight.Finding

	set     mapping.Set                // the definitions but for those that are held up
	held    builds.Held                // why those are
	blocked map[string]*builds.Blocked // what the sink has taken no documents for, by alias
	broken  []broken                   // what is said of tables that does not fit them
}

func (in *inspection) readSource(ctx context.Context, source sources.Source) (err error) {
	if in.source, err = source.Info(ctx); err != nil {
		return fmt.Errorf("connect to source: %w", err)
	}
	if in.catalog, err = source.Catalog(ctx); err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	return nil
}

func (in *inspection) readSink(ctx context.Context, sink sinks.Sink) (err error) {
	if in.sink, err = sink.Info(ctx); err != nil {
		return fmt.Errorf("connect to sink: %w", err)
	}
	return nil
}

// compile plans the set's definitions over the catalog.
func (in *inspection) compile(ctx context.Context, source sources.Source, file *conf.Source) {
	options := compileOptions(in.sink)
	options.Homes = in.homes
	plan, err := compileExplained(ctx, source, options, in.catalog, in.set)
	if in.partial = plan; err == nil {
		in.plan = plan
		in.findings = append(in.findings, plan.Warnings...)
		return
	}
	for _, e := range config.Located(err, file) {
		in.findings = append(in.findings, preflight.Finding{
			Level: preflight.Error, Subject: e.File + ":" + strconv.Itoa(e.Line), Path: e.Path, Text: e.Path + ": " + e.Message,
		})
	}
}

// compileExplained compiles, and where that fails asks the source for the views
// that definitions may have taken for tables.
func compileExplained(ctx context.Context, source sources.Source, options mapping.Options, catalog []*sources.Table, set mapping.Set) (*mapping.Plan, error) {
	plan, err := options.Compile(catalog, set)
	if err == nil {
		return plan, nil
	}
	if options.Views, _ = source.Views(ctx); len(options.Views) == 0 { // without them the messages say less
		return plan, err
	}
	return options.Compile(catalog, set)
}

func (in *inspection) checkSource(ctx context.Context, source sources.Source) error {
	var tables []*sources.Table
	if in.partial != nil {
		tables = in.partial.Tables
	}
	findings, err := source.Check(ctx, tables)
	if err != nil {
		return fmt.Errorf("check source: %w", err)
	}
	if in.plan == nil { // not all tables are known that the publication has to carry
		findings = slices.DeleteFunc(findings, func(f preflight.Finding) bool { return strings.HasPrefix(f.Subject, "publication ") })
	}
	in.findings = append(in.findings, findings...)
	return nil
}

func (in *inspection) checkSink(ctx context.Context, sink sinks.Sink) error {
	var indexes []sinks.IndexSpec
	if in.partial != nil {
		for _, index := range in.partial.Sets[0] {
			indexes = append(indexes, sinks.IndexSpec{
				Alias: index.Alias, Mappings: index.Mappings, Settings: index.Settings, Meta: index.Normalized, Pipeline: index.Pipeline,
			})
		}
	}
	findings, err := sink.Check(ctx, indexes)
	if err != nil {
		return fmt.Errorf("check sink: %w", err)
	}
	in.findings = append(in.findings, findings...)
	return nil
}

// Check prints a line for each thing that was looked at, and returns an error
// when one of them keeps the pipeline from running. It changes nothing.
func Check(ctx context.Context, cfg *config.Config, file *conf.Source, out io.Writer) error {
	source, sink, err := cfg.Open(zerolog.Nop())
	if err != nil {
		return err
	}
	defer source.Close()
	defer sink.Close()
	in := &inspection{set: cfg.Set()}
	in.okf("config", "%s: pipeline %s, %s", file.Path, cfg.Name, count(len(cfg.Indexes), "index", "indexes"))
	in.checkBoth(ctx, source, sink, cfg.Name, file)
	return report(in.findings, out)
}

// checkBoth goes on with one end where the other cannot be looked at.
func (in *inspection) checkBoth(ctx context.Context, source sources.Source, sink sinks.Sink, name string, file *conf.Source) {
	sinkErr := in.readSink(ctx, sink)
	sourceErr := in.readSource(ctx, source)
	if in.try("source", sourceErr) {
		in.okf("source", "%s at %s", in.source.Kind, in.source.Address)
		in.compile(ctx, source, file)
		in.listStored()
		in.try("source", in.checkSource(ctx, source))
	}
	if in.try("sink", sinkErr) {
		in.try("sink", in.checkSink(ctx, sink))
		in.try("checkpoint", in.checkCheckpoint(ctx, sink, name))
	}
}

// checkCheckpoint looks whether run can go on from the saved checkpoint.
func (in *inspection) checkCheckpoint(ctx context.Context, sink sinks.Sink, name string) error {
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
		in.findings = append(in.findings, preflight.Finding{
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
func (in *inspection) listStored() {
	if in.plan == nil {
		return
	}
	for _, t := range in.plan.Stored {
		size := ""
		if rows := t.Source.EstimatedRows; rows >= 0 {
			size = fmt.Sprintf("; about %s on disk for %s", conf.Bytes(rows*storedRow), count(int(rows), "row", "rows"))
		}
		in.okf("table "+t.Source.String(), "stored: %s%s", strings.Join(t.Why, "; "), size)
	}
}

// okf adds a finding that is well.
func (in *inspection) okf(subject, format string, args ...any) {
	in.findings = append(in.findings, preflight.Finding{Level: preflight.OK, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// try turns an error into a finding and reports whether there was none.
func (in *inspection) try(subject string, err error) bool {
	if err != nil {
		in.findings = append(in.findings, preflight.Finding{Level: preflight.Error, Subject: subject, Text: err.Error()})
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
		remedy := ""
		if f.Remedy != "" {
			remedy = "; to mend it: " + strings.Join(strings.Fields(f.Remedy), " ")
		}
		if _, err := fmt.Fprintf(out, "%-7s  %-*s  %s%s\n", f.Level, width, f.Subject, f.Text, remedy); err != nil {
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
	if !config.ReachesSource(file, errs) {
		return errs
	}
	source, err := cfg.OpenSource(zerolog.Nop())
	if err != nil {
		return errs
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	in := &inspection{}
	if in.readSource(ctx, source) != nil {
		return errs
	}
	return cfg.Explain(file, errs, func(set mapping.Set) error {
		_, err := compileExplained(ctx, source, mapping.Options{}, in.catalog, set)
		return err
	})
}

// explainTimeout bounds how long a config's mistakes wait for the catalog.
const explainTimeout = 5 * time.Second
