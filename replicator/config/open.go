package config

import (
	"fmt"
	"net/url"
	"os"

	"github.com/rs/zerolog"

	"haystream/sinks"
	"haystream/sources"
	"haystream/sources/events"
	"haystream/sources/mysql"
	"haystream/sources/postgres"
)

// OpenSource makes the source that the URL's scheme names, or for the part of events the event
// queue. It connects to nothing.
func (c *Config) OpenSource(log zerolog.Logger) (sources.Source, error) {
	if c.ofEvents {
		return events.New(c.QueueDir(), c.Set().EventNames(), events.Options{MaxBytes: int64(c.Limits.MaxEventQueue), Log: log}), nil
	}
	u, err := url.Parse(c.Source.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("parse source.url: %w", sources.ErrConfig) // the reason would repeat the URL
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		return postgres.New(c.Source, log)
	case "mysql", "mariadb":
		return mysql.New(c.Source, log)
	}
	return nil, fmt.Errorf("open source: the scheme %q is not known", u.Scheme)
}

// OpenSink makes the sink that is configured. It connects to nothing.
func (c *Config) OpenSink(log zerolog.Logger) (sinks.Sink, error) {
	return c.Sink.Open(sinks.Options{
		Owner: c.Name, StateDir: c.State.Path, Stdout: os.Stdout, MaxDeadLetters: int64(c.Limits.MaxDeadLetters),
		MaxBytes: int64(c.Limits.MaxMemory) / 4, // the rest is for reading, rendering, requests, and what the collector has yet to free
	}, log)
}

// Open makes both ends.
func (c *Config) Open(log zerolog.Logger) (sources.Source, sinks.Sink, error) {
	source, err := c.OpenSource(log)
	if err != nil {
		return nil, nil, err
	}
	sink, err := c.OpenSink(log)
	if err != nil {
		source.Close()
		return nil, nil, err
	}
	return source, sink, nil
}
