// Package inspect looks at a source, a sink and the definitions, and says what does not fit together,
// and which definitions have to be left out for it. It changes nothing at either end.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/builds"
	"haystream/replicator/config"
	"haystream/replicator/widgets"
	"haystream/sinks"
	"haystream/sources"
)

// An Inspection is what is known of both ends before anything is touched.
type Inspection struct {
	Source   sources.Info
	Sink     sinks.Info
	Catalog  []*sources.Table
	Homes    map[string]string // of tables named without a schema, as settled before
	Plan     *mapping.Plan
	Whole    bool          // all that the plan needs is stored
	partial  *mapping.Plan // what can be said of one where there are problems
	Findings []preflight.Finding

	Widgets widgets.Set                // to be looked whether they fit; nil for none
	Set     mapping.Set                // the definitions but for those that are held up
	Held    builds.Held                // why those are
	Adopts  *builds.Adoptions          // aliases whose places may be taken; nil for none
	Blocked map[string]*builds.Blocked // what the sink has taken no documents for, by alias
	broken  []broken                   // what is said of tables that does not fit them
}

// ReadSource asks the source who it is, and for its catalog.
func (in *Inspection) ReadSource(ctx context.Context, source sources.Source) (err error) {
	if in.Source, err = source.Info(ctx); err != nil {
		if name, ok := errors.AsType[*net.DNSError](err); ok {
			err = fmt.Errorf("%w; correct the host in source.url, or mend what resolves names", name)
		} else if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" { // once, whatever was tried
			err = fmt.Errorf("%w; start the server, or correct the host and port in source.url", dial)
		}
		return fmt.Errorf("connect to source: %w", err)
	}
	if in.Catalog, err = source.Catalog(ctx); err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	return nil
}

// ReadSink asks the sink who it is.
func (in *Inspection) ReadSink(ctx context.Context, sink sinks.Sink) (err error) {
	if in.Sink, err = sink.Info(ctx); err != nil {
		return fmt.Errorf("connect to sink: %w", err)
	}
	return nil
}

// Options are those of every plan.
func (in *Inspection) Options() mapping.Options {
	return mapping.Options{Rules: in.Sink.Rules, Complete: true, Homes: in.Homes}
}

// Compile plans the set's definitions over the catalog.
func (in *Inspection) Compile(ctx context.Context, source sources.Source, file *conf.Source) {
	plan, err := CompileExplained(ctx, source, in.Options(), in.Catalog, in.Set)
	if in.partial = plan; err == nil {
		in.widgets(plan, file)
		in.Plan = plan
		in.Findings = append(in.Findings, plan.Warnings...)
		return
	}
	for _, e := range config.Located(err, file) {
		in.Findings = append(in.Findings, preflight.Finding{
			Level: preflight.Error, Subject: e.File + ":" + strconv.Itoa(e.Line), Path: e.Path, Text: e.Path + ": " + e.Message,
		})
	}
}

// widgets looks whether the plan's indexes have what widgets show.
func (in *Inspection) widgets(plan *mapping.Plan, file *conf.Source) {
	problems := in.Widgets.Fit(in.Set, plan.Sets[0])
	if len(problems) == 0 {
		return
	}
	for _, e := range config.Located(problems, file) {
		in.Findings = append(in.Findings, preflight.Finding{
			Level: preflight.Error, Subject: e.File + ":" + strconv.Itoa(e.Line), Path: e.Path, Text: e.Path + ": " + e.Message,
		})
	}
}

// CompileExplained compiles, and where that fails asks the source for the views
// that definitions may have taken for tables.
func CompileExplained(ctx context.Context, source sources.Source, options mapping.Options, catalog []*sources.Table, set mapping.Set) (*mapping.Plan, error) {
	plan, err := options.Compile(catalog, set)
	if err == nil {
		return plan, nil
	}
	if options.Views, _ = source.Views(ctx); len(options.Views) == 0 { // without them the messages say less
		return plan, err
	}
	return options.Compile(catalog, set)
}

// CheckSource looks whether the source is fit for the plan.
func (in *Inspection) CheckSource(ctx context.Context, source sources.Source) error {
	var tables []*sources.Table
	if in.partial != nil {
		tables = in.partial.Tables
	}
	findings, err := source.Check(ctx, tables)
	if err != nil {
		return fmt.Errorf("check source: %w", err)
	}
	if in.Plan == nil { // not all tables are known that the publication has to carry
		findings = slices.DeleteFunc(findings, func(f preflight.Finding) bool { return strings.HasPrefix(f.Subject, "publication ") })
	}
	in.Findings = append(in.Findings, findings...)
	return nil
}

// CheckSink looks whether the sink is fit for the plan.
func (in *Inspection) CheckSink(ctx context.Context, sink sinks.Sink) error {
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
	for i := range findings {
		f := &findings[i]
		if alias, ok := strings.CutPrefix(f.Subject, "index "); ok && f.Waits && in.Adopts.Has(alias) {
			*f = preflight.Finding{Level: preflight.OK, Subject: f.Subject, Text: "is not this pipeline's; its place is taken once the new index is loaded, as `haystream adopt` was told"}
		}
	}
	in.Findings = append(in.Findings, findings...)
	return nil
}

// Distrust makes tables ones of which the log may leave out any value but the key's.
func (in *Inspection) Distrust(names []string) {
	for _, t := range in.Catalog {
		if !slices.Contains(names, t.String()) {
			continue
		}
		if t.Identity == sources.IdentityFull {
			t.Identity, t.IdentityColumns = sources.IdentityKey, t.Key
		}
		for i := range t.Columns {
			t.Columns[i].MayBeMissing = !slices.Contains(t.Key, i)
		}
	}
}

// A Refusal is what preflight found wrong. At the start it is final; a daemon
// that has run waits for somebody to mend what went wrong since.
type Refusal struct {
	Findings []preflight.Finding
	Final    bool
}

// Error is one line for each finding.
func (r *Refusal) Error() string {
	lines := make([]string, len(r.Findings))
	for i, f := range r.Findings {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
