package main

import (
	"os"
	"time"

	"haystream/replicator/config"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// newLogger writes JSON lines, or lines for people on a terminal. Validation
// has seen level and format.
func newLogger(cfg config.LogConfig, to *os.File) zerolog.Logger {
	terminal := isatty.IsTerminal(to.Fd())
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	if cfg.Format == "json" || cfg.Format == "auto" && !terminal {
		return zerolog.New(to).Level(level).With().Timestamp().Logger()
	}
	console := zerolog.ConsoleWriter{Out: to, NoColor: !terminal, TimeFormat: time.TimeOnly}
	return zerolog.New(console).Level(level).With().Timestamp().Logger()
}
