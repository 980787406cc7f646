package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/internal/preflight"
	"haystream/mapping"
	"haystream/replicator/config"
	"haystream/replicator/dashboards"
	"haystream/replicator/inspect"
	"haystream/sinks/elasticsearch"
)

// DashboardsOptions say which dashboards are written, and where.
type DashboardsOptions struct {
	For  string                 // a target of package dashboards
	Out  string                 // a file, or for Grafana a folder; empty for standard output
	Push dashboards.PushOptions // with a URL: put there instead
}

// Dashboards writes the widgets and indexes of a configuration as dashboards. The types of fields come
// from the database's catalog, which it reads, and of events from their definitions; the sink is not asked, and
// nothing is changed but what is pushed.
func Dashboards(ctx context.Context, cfg *config.Config, file *conf.Source, options DashboardsOptions, out io.Writer) error {
	if cfg.Sink.Elasticsearch == nil {
		return errors.New("dashboards show what is in sink.elasticsearch, and the config has another sink")
	}
	var indexes []*mapping.Index
	for _, part := range cfg.Parts() {
		of, err := planned(ctx, part, file)
		if err != nil {
			return err
		}
		indexes = append(indexes, of...)
	}
	set := cfg.Set()
	boards, err := dashboards.New(cfg.Name, indexes, cfg.Widgets, set.Alias)
	if err != nil {
		return fmt.Errorf("make dashboards: %w", err)
	}
	options.Push.Server = searchServer(cfg.Sink.Elasticsearch)
	if options.Push.URL != "" {
		return boards.Push(ctx, options.For, options.Push, out)
	}
	if options.For == dashboards.Grafana {
		files, err := boards.GrafanaFiles(options.Push.Server)
		if err != nil {
			return fmt.Errorf("write dashboards: %w", err)
		}
		return writeFolder(options.Out, files)
	}
	text, err := boards.File(options.For)
	if err != nil {
		return fmt.Errorf("write dashboards: %w", err)
	}
	if options.Out == "" {
		_, err = out.Write(text)
	} else {
		err = os.WriteFile(options.Out, text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write dashboards: %w", err)
	}
	return nil
}

// planned are the indexes of a part, as its source's catalog has them.
func planned(ctx context.Context, part *config.Config, file *conf.Source) ([]*mapping.Index, error) {
	if len(part.Indexes) == 0 {
		return nil, nil
	}
	source, err := part.OpenSource(zerolog.Nop())
	if err != nil {
		return nil, err
	}
	defer source.Close()
	in := &inspect.Inspection{Set: part.Set(), Widgets: part.Widgets}
	in.Sink.Rules = part.Sink.Rules()
	if err := in.ReadSource(ctx, source); err != nil {
		return nil, err
	}
	if in.Compile(ctx, source, file); len(preflight.Errors(in.Findings)) > 0 {
		return nil, &inspect.Refusal{Findings: in.Findings, Final: true}
	}
	return in.Plan.Sets[0], nil
}

// searchServer is where Grafana finds the documents.
func searchServer(c *elasticsearch.Config) dashboards.SearchServer {
	s := dashboards.SearchServer{User: c.Username, APIKey: c.APIKey != "", OpenSearch: c.Flavor == elasticsearch.FlavorOpenSearch}
	if len(c.Addresses) > 0 {
		if u, err := url.Parse(c.Addresses[0]); err == nil {
			s.User = cmp.Or(s.User, u.User.Username())
			u.User = nil
			s.URL = u.String()
		}
	}
	return s
}

func writeFolder(folder string, files []dashboards.File) error {
	for _, f := range files {
		path := filepath.Join(folder, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write dashboards: %w", err)
		}
		if err := os.WriteFile(path, f.Text, 0o644); err != nil {
			return fmt.Errorf("write dashboards: %w", err)
		}
	}
	return nil
}
