package ndjson

import (
	"haystream/internal/conf"
	"haystream/sinks"
	"haystream/sinks/bulk"
)

// Config is the `sink.ndjson:` section.
type Config struct {
	// Path of the file that bulk lines are appended to; "-" is standard output,
	// /dev/null measures without keeping anything.
	Path string `yaml:"path"`
}

// NewConfig has every default.
func NewConfig() *Config { return &Config{Path: "-"} }

// Complete reports what cannot be used.
func (c *Config) Complete(at *conf.Section) {
	if c.Path == "" {
		at.Failf("path", `must name a file, or be "-" for standard output`)
	}
}

// Rules are those of whatever the lines are applied to.
func (c *Config) Rules() sinks.Rules { return bulk.Rules() }
