package replicator

import (
	"fmt"
	"net/url"
	"os"

	"github.com/rs/zerolog"

	"haystream/sinks"
	"haystream/sources"
	"haystream/sources/mysql"
	"haystream/sources/postgres"
)

// openSource makes the source that the URL's scheme names. It connects to nothing.
func openSource(cfg *Config, log zerolog.Logger) (sources.Source, error) {
	u, err := url.Parse(cfg.Source.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("parse source.url: %w", sources.ErrConfig) // the reason would repeat the URL
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		return postgres.New(cfg.Source, log)
	case "mysql", "mariadb":
		return mysql.New(cfg.Source, log)
	}
	return nil, fmt.Errorf("open source: the scheme %q is not known", u.Scheme)
}

// openSink makes the sink that is configured. It connects to nothing.
func openSink(cfg *Config, log zerolog.Logger) (sinks.Sink, error) {
	return cfg.Sink.Open(sinks.Options{
		Owner: cfg.Name, StateDir: cfg.State.Path, Stdout: os.Stdout, MaxDeadLetters: int64(cfg.Limits.MaxDeadLetters),
		MaxBytes: int64(cfg.Limits.MaxMemory) / 4, // the rest is for reading, rendering, requests, and what the collector has yet to free
	}, log)
}

// open makes both ends.
func open(cfg *Config, log zerolog.Logger) (sources.Source, sinks.Sink, error) {
	source, err := openSource(cfg, log)
	if err != nil {
		return nil, nil, err
	}
	sink, err := openSink(cfg, log)
	if err != nil {
		source.Close()
		return nil, nil, err
	}
	return source, sink, nil
}
