// Package kinds lists the kinds of sinks: the `sink:` section of the config, and the
// switch that opens what it says. What the settings of a kind mean is in its own package.
package kinds

import (
	"errors"

	"github.com/rs/zerolog"

	"haystream/internal/conf"
	"haystream/sinks"
	"haystream/sinks/elasticsearch"
	"haystream/sinks/ndjson"
)

// Config is the `sink:` section: exactly one kind of sink.
type Config struct {
	// Elasticsearch, or OpenSearch.
	Elasticsearch *elasticsearch.Config `yaml:"elasticsearch"`

	// NDJSON writes bulk lines to a file or standard output; it needs no server.
	NDJSON *ndjson.Config `yaml:"ndjson"`
}

// NewConfig has every kind, with every default.
func NewConfig() Config {
	return Config{Elasticsearch: elasticsearch.NewConfig(), NDJSON: ndjson.NewConfig()}
}

// Open makes the sink that is configured. It connects to nothing.
func (c *Config) Open(o sinks.Options, log zerolog.Logger) (sinks.Sink, error) {
	switch {
	case c.Elasticsearch != nil:
		return elasticsearch.New(*c.Elasticsearch, o, log)
	case c.NDJSON != nil:
		return ndjson.New(*c.NDJSON, o, log)
	}
	return nil, errors.New("open sink: none is configured")
}

// A section is the settings of one kind of sink.
type section interface {
	// Complete reads the files that settings name, and reports what cannot be used.
	Complete(at *conf.Section)

	// Rules are those that hold whatever the server is.
	Rules() sinks.Rules
}

// sections are those that are set, by name.
func (c *Config) sections() map[string]section {
	all := map[string]section{}
	if c.Elasticsearch != nil {
		all["elasticsearch"] = c.Elasticsearch
	}
	if c.NDJSON != nil {
		all["ndjson"] = c.NDJSON
	}
	return all
}

// Complete drops the sections that the config file does not have, and completes the others.
func (c *Config) Complete(src *conf.Source) conf.Errors {
	sink := src.Section("sink")
	if !sink.Has("elasticsearch") {
		c.Elasticsearch = nil
	}
	if !sink.Has("ndjson") {
		c.NDJSON = nil
	}
	all := c.sections()
	switch len(all) {
	case 0:
		sink.Failf("", "there is no sink; add elasticsearch or ndjson")
	case 2:
		sink.Failf("ndjson", "there are two sinks; keep elasticsearch or ndjson")
	}
	for name, s := range all {
		at := src.Section("sink." + name)
		s.Complete(at)
		sink.Errs = append(sink.Errs, at.Errs...)
	}
	return sink.Errs
}

// one is the section that is set, with its name; none where there is not exactly one.
func (c *Config) one() (name string, s section) {
	if all := c.sections(); len(all) == 1 {
		for name, s = range all {
			return name, s
		}
	}
	return "", nil
}

// Name is that of the kind that is configured; empty where it is not one.
func (c *Config) Name() string {
	name, _ := c.one()
	return name
}

// Choices lists the valid texts of settings that have only a few, by path.
func Choices() map[string][]string {
	return map[string][]string{"sink.elasticsearch.flavor": elasticsearch.Flavors()}
}

// Rules are those of the sink that is configured, as far as they are known before it
// is asked; none where it is not one.
func (c *Config) Rules() sinks.Rules {
	_, s := c.one()
	if s == nil {
		return sinks.Rules{}
	}
	return s.Rules()
}
