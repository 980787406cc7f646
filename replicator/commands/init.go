package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/draft"
	"haystream/replicator/inspect"
	"haystream/sources"
)

// InitOptions say what Init drafts.
type InitOptions struct {
	URL          conf.Secret // of the database, as source.url has it
	PasswordFile string      // as source.password_file
	Tables       []string    // names and globs, as `table:` of a definition has them; none: all of the database
}

// Init prints a configuration that has a definition for each table of a database. It reads the
// catalog and changes nothing. What the source or the mapping refuses is a comment with the reason.
func Init(ctx context.Context, options InitOptions, out io.Writer) error {
	cfg, err := config.Tailing(options.URL, options.PasswordFile)
	if mistakes, ok := errors.AsType[conf.Errors](err); ok {
		return typed(mistakes)
	}
	source, err := cfg.OpenSource(zerolog.Nop())
	if err != nil {
		return err
	}
	defer source.Close()
	in := &initiation{cfg: cfg, source: source}
	if err := in.ReadSource(ctx, source); err != nil {
		return err
	}
	if in.views, err = source.Views(ctx); err != nil {
		return err
	}
	chosen, err := in.choose(options.Tables)
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		return fmt.Errorf("there is no table that the source's role can see in %s; create one, or grant the role SELECT", in.Source.Address)
	}
	d := draft.New(in.Catalog, chosen, cfg.Sink.Rules())
	if err := in.try(ctx, d); err != nil {
		return err
	}
	version, _, _ := strings.Cut(in.Source.Version, " ")
	p := draft.Pipeline{
		Name: cfg.Name, Server: in.Source.Kind + " " + version + " at " + in.Source.Address,
		URL: cfg.PublicURL(), Secret: cfg.PublicURL() != options.URL.Reveal(), PasswordFile: options.PasswordFile,
	}
	if len(options.Tables) == 0 {
		p.NotTables, p.Elsewhere = in.notTables(), in.elsewhere(chosen)
	}
	if _, err := io.WriteString(out, d.Text(p)); err != nil {
		return fmt.Errorf("print config: %w", err)
	}
	if d.Count() == 0 {
		return errors.New("no table can be followed; the config says why")
	}
	return nil
}

// typed names what was typed for the settings that mistakes are about.
func typed(mistakes conf.Errors) error {
	for i := range mistakes {
		switch e := &mistakes[i]; e.Path {
		case "source.url":
			e.Path = "URL"
		case "source.password_file":
			e.Path = "--password-file"
		}
	}
	return mistakes
}

// An initiation is what Init knows of the source.
type initiation struct {
	inspect.Inspection
	cfg    *config.Config
	source sources.Source
	views  []sources.View
}

// choose finds the tables that are asked for, in the order of their names.
func (in *initiation) choose(names []string) ([]*sources.Table, error) {
	chosen := map[*sources.Table]bool{}
	for _, name := range names {
		found, err := mapping.FindTables(in.Catalog, in.views, name)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			chosen[t] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(in.Catalog), func(t *sources.Table) bool {
		return !chosen[t] && (len(names) > 0 || !in.isHome(t.Home))
	}), nil
}

// isHome reports whether what has that Home belongs to the URL's database. In MySQL and MariaDB
// that is a schema, and the catalog has those of other databases, too.
func (in *initiation) isHome(home bool) bool {
	return home || in.Source.Kind == "postgres" || strings.HasSuffix(in.Source.Address, "/")
}

// try compiles the draft and has the source checked for its tables, until nothing is refused.
func (in *initiation) try(ctx context.Context, d *draft.Draft) error {
	plan, err := in.compile(d, false)
	if err != nil {
		return err
	}
	findings, err := in.source.Check(ctx, plan.Tables)
	if err != nil {
		return fmt.Errorf("check source: %w", err)
	}
	for _, f := range preflight.Errors(findings) {
		name, ok := strings.CutPrefix(f.Subject, "table ")
		why := f.Text
		if f.Remedy != "" {
			why += "; to mend it: " + f.Remedy
		}
		if ok {
			d.RefuseTable(name, why)
		}
	}
	d.Relate()
	_, err = in.compile(d, true)
	return err
}

// compile refuses what the mapping refuses, and returns the plan of the rest.
func (in *initiation) compile(d *draft.Draft, shown bool) (*mapping.Plan, error) {
	for {
		plan, err := mapping.Options{Rules: in.cfg.Sink.Rules(), Complete: true}.Compile(in.Catalog, d.Set(shown))
		if err == nil {
			return plan, nil
		}
		problems, ok := errors.AsType[mapping.Problems](err)
		if !ok || !d.Refuse(problems) {
			return nil, fmt.Errorf("draft config: %w", err)
		}
	}
}

// notTables says what has names in the database and is no table: views and the like.
func (in *initiation) notTables() []string {
	var lines []string
	for i := range in.views {
		v := &in.views[i]
		if in.isHome(v.Home) && v.Kind != sources.Partition && v.Kind != sources.Sequence {
			lines = append(lines, v.Refusal())
		}
	}
	return lines
}

// elsewhere names the schemas that nothing was chosen from.
func (in *initiation) elsewhere(chosen []*sources.Table) []string {
	var schemas []string
	for _, t := range in.Catalog {
		if !slices.ContainsFunc(chosen, func(c *sources.Table) bool { return c.Schema == t.Schema }) {
			schemas = append(schemas, t.Schema)
		}
	}
	return slices.Compact(schemas)
}
